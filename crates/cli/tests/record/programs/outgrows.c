// Grows outside of malloc, step by step, while what malloc gave stays as it is.
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define STEP (8 << 20)
#define STEPS 12

__attribute__((noinline)) static char *taken(void) {
  return mmap(0, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(void) {
  memset(malloc(1 << 20), 1, 1 << 20);
  for (int i = 0; i < STEPS; i++) {
    memset(taken(), 1, STEP);
    // As a program that works.
    struct timespec time = {0, 50 * 1000 * 1000};
    nanosleep(&time, 0);
  }
  exit(0);
}
