// Memory of all kinds, and what the kernel says of it in the end: the oracle for what twinheap makes of it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MB (1 << 20)

static pthread_barrier_t ready, over;

static void *thread(void *unused) {
  // A frame of 2 MB, all of it used.
  volatile char frame[2 * MB];
  memset((char *)frame, 1, sizeof frame);
  free(malloc(10));
  pthread_barrier_wait(&ready);
  pthread_barrier_wait(&over);
  return 0;
}

__attribute__((noinline)) static char *pool(size_t size) {
  return mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(void) {
  pthread_barrier_init(&ready, 0, 4);
  pthread_barrier_init(&over, 0, 4);
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], 0, thread, 0);
  // 24 MB of which 16 are used, and 8 that are given back.
  char *kept = pool(24 * MB), *gone = pool(8 * MB);
  memset(kept, 1, 16 * MB);
  memset(gone, 1, 8 * MB);
  munmap(gone, 8 * MB);
  // Of malloc's: a block by its own mmap, and many of the heap.
  memset(malloc(10 * MB), 1, 10 * MB);
  for (int i = 0; i < 5000; i++) memset(malloc(1000), 1, 1000);
  // By a system call that nobody sees.
  char *silent = (char *)syscall(9, 0, 6L * MB, 3, 0x22, -1, 0);
  memset(silent, 1, 6 * MB);
  // A file of 4 MB, read through a mapping.
  int file = open("mapped.bin", O_RDWR | O_CREAT, 0600);
  if (ftruncate(file, 4 * MB)) return 3;
  volatile char *mapped = mmap(0, 4 * MB, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  for (int i = 0; i < 4 * MB; i += 4096) mapped[i] = 1;
  pthread_barrier_wait(&ready);
  // All resident bytes, as the kernel lists them.
  FILE *smaps = fopen("/proc/self/smaps", "r");
  char line[512];
  long all = 0, kilobytes;
  while (fgets(line, sizeof line, smaps))
    if (sscanf(line, "Rss: %ld kB", &kilobytes) == 1) all += kilobytes;
  printf("%ld\n", all * 1024);
  fflush(stdout);
  // Threads are still there when the process exits.
  exit(0);
}
