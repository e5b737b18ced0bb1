// An allocator with the names of mimalloc's functions, as a program or an addon has it linked statically: it takes its
// memory by mmap, and nobody outside sees its functions.
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK (1 << 20)
#define HIDDEN __attribute__((visibility("hidden"), noinline))

static char *position, *end;

// Before each block, its size. Blocks are never used again.
HIDDEN void *mi_malloc(size_t size) {
  size_t whole = (size + 31) & ~(size_t)15;
  if (!position || (size_t)(end - position) < whole) {
    size_t length = whole > CHUNK ? whole : CHUNK;
    position = mmap(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (position == MAP_FAILED) return position = 0;
    end = position + length;
  }
  char *block = position + 16;
  *(size_t *)position = size;
  position += whole;
  return block;
}

static volatile size_t freed;

HIDDEN void mi_free(void *block) {
  if (!block) return;
  freed += ((size_t *)block)[-2];
}

HIDDEN void *mi_calloc(size_t count, size_t size) {
  void *block = mi_malloc(count * size);
  if (block) memset(block, 0, count * size);
  return block;
}

HIDDEN void *mi_realloc(void *block, size_t size) {
  void *moved = mi_malloc(size);
  if (moved && block) {
    size_t old = ((size_t *)block)[-2];
    memcpy(moved, block, old < size ? old : size);
    mi_free(block);
  }
  return moved;
}

HIDDEN int mi_posix_memalign(void **out, size_t align, size_t size) {
  char *block = mi_malloc(size + align);
  if (!block) return 12;
  block += align - (uintptr_t)block % align;
  ((size_t *)block)[-2] = size;
  *out = block;
  return 0;
}

#ifdef IMMOVABLE
// Its first instructions are the target of a jump, so that they can't be moved.
__asm__(
    ".text\n.globl mi_free_size\n.hidden mi_free_size\n.type mi_free_size,@function\n"
    "mi_free_size:\n xor %eax, %eax\n1: inc %eax\n cmp $3, %eax\n jne 1b\n jmp mi_free\n"
    ".size mi_free_size, .-mi_free_size\n");
#endif

#define SITE __attribute__((noinline)) static

SITE void *by_malloc(size_t size) { return mi_malloc(size); }
SITE void *by_calloc(size_t size) { return mi_calloc(4, size); }
SITE void *by_realloc(void *block, size_t size) { return mi_realloc(block, size); }
SITE void *by_memalign(size_t size) {
  void *block = 0;
  mi_posix_memalign(&block, 64, size);
  return block;
}

// Each site keeps a part of what it allocates.
int own_allocator(void) {
  for (int i = 0; i < 100; i++) {
    char *block = by_malloc(1000);
    memset(block, 1, 1000);
    if (i % 2) mi_free(block);
  }
  for (int i = 0; i < 10; i++) by_calloc(100);
  void *block = by_malloc(10);
  for (int i = 1; i <= 5; i++) block = by_realloc(block, 1000 * i);
  by_memalign(3000);
  // Much of it, that its memory is a line of its own: 8 MB.
  for (int i = 0; i < 8; i++) memset(by_malloc(1 << 20), 1, 1 << 20);
  return 0;
}

#ifndef ADDON
int main(void) {
  own_allocator();
  puts("allocated");
  return 0;
}
#endif
