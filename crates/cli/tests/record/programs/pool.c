// A pool that takes its memory from the kernel and tells of its blocks by heaptrack_api.h: as a library, whose weak
// symbols the dynamic linker binds, or as a program (-DHEAPTRACK_API_DLSYM), which looks them up.
#define _GNU_SOURCE
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#if __has_include(<heaptrack_api.h>)
#include <heaptrack_api.h>
#else
// What the header makes of it.
#include <dlfcn.h>
#ifdef HEAPTRACK_API_DLSYM
#define FUNCTION(name) dlsym(RTLD_NEXT, name)
#else
__attribute__((weak)) void heaptrack_malloc(void *, size_t);
__attribute__((weak)) void heaptrack_realloc(void *, size_t, void *);
__attribute__((weak)) void heaptrack_free(void *);
#define FUNCTION(name)                              \
  (name[10] == 'm'   ? (void *)heaptrack_malloc     \
   : name[10] == 'r' ? (void *)heaptrack_realloc    \
                     : (void *)heaptrack_free)
#endif
#define heaptrack_report_alloc(block, size)                                       \
  do {                                                                            \
    void (*report)(void *, size_t) = FUNCTION("heaptrack_malloc");                \
    if (report) report(block, size);                                              \
  } while (0)
#define heaptrack_report_realloc(old, size, block)                                \
  do {                                                                            \
    void (*report)(void *, size_t, void *) = FUNCTION("heaptrack_realloc");       \
    if (report) report(old, size, block);                                         \
  } while (0)
#define heaptrack_report_free(block)                                              \
  do {                                                                            \
    void (*report)(void *) = FUNCTION("heaptrack_free");                          \
    if (report) report(block);                                                    \
  } while (0)
#endif

#define SITE __attribute__((noinline)) static
#define POOL (4 << 20)

static char *position, *end;

// Blocks lie as close together as their sizes allow, and are never used again.
SITE void *taken(size_t size) {
  if (!position) {
    position = mmap(0, POOL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (position == MAP_FAILED) return position = 0;
    end = position + POOL;
  }
  if ((size_t)(end - position) < size) return 0;
  char *block = position;
  position += size;
  return block;
}

SITE void *pool_alloc(size_t size) {
  void *block = taken(size);
  heaptrack_report_alloc(block, size);
  return block;
}

SITE void *pool_realloc(void *old, size_t size) {
  void *block = taken(size);
  heaptrack_report_realloc(old, size, block);
  return block;
}

SITE void pool_free(void *block) { heaptrack_report_free(block); }

SITE void kept(void) {
  for (int i = 0; i < 50; i++) memset(pool_alloc(100), 1, 100);
}
SITE void close_together(void) {
  char *blocks[64];
  for (int i = 0; i < 64; i++) blocks[i] = pool_alloc(3);
  for (int i = 0; i < 64; i += 2) pool_free(blocks[i]);
}
SITE void grown(void) {
  void *block = pool_alloc(10);
  for (int i = 1; i <= 7; i++) block = pool_realloc(block, 100 * i);
  // It fails, and the block stays.
  pool_realloc(block, 2 * POOL);
  block = pool_realloc(0, 33);
  pool_free(block);
}
SITE void brief(void) {
  for (int i = 0; i < 200; i++) pool_free(pool_alloc(16));
}

int own_allocator(void) {
  kept();
  close_together();
  grown();
  brief();
  return 0;
}

#ifdef HEAPTRACK_API_DLSYM
int main(void) {
  own_allocator();
  puts("allocated");
  return 0;
}
#endif
