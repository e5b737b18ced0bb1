// Opens an addon and calls its function. A second argument is a number of megabytes that nothing else can have, right
// below the addon.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

// Bytes that a module takes in memory.
static size_t size_of(const char *path) {
  Elf64_Ehdr header;
  size_t end = 0;
  FILE *file = fopen(path, "rb");
  if (!file || fread(&header, sizeof header, 1, file) != 1) return 0;
  for (int at = 0; at < header.e_phnum; at++) {
    Elf64_Phdr part;
    fseek(file, header.e_phoff + at * sizeof part, SEEK_SET);
    if (fread(&part, sizeof part, 1, file) != 1) return 0;
    if (part.p_type == PT_LOAD && part.p_vaddr + part.p_memsz > end) end = part.p_vaddr + part.p_memsz;
  }
  fclose(file);
  return (end + 4095) & ~(size_t)4095;
}

static char *reserve(size_t bytes) {
  return mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

int main(int count, char **arguments) {
  char *hole = NULL;
  size_t size = size_of(arguments[1]);
  if (count > 2) {
    size_t below = (size_t)atoi(arguments[2]) << 20;
    char *wall = reserve(below + size);
    if (size == 0 || wall == MAP_FAILED) return 3;
    // The kernel takes the highest gap that is large enough: all above are filled.
    while (reserve(size) > wall) {
    }
    hole = wall + below;
    munmap(hole, size);
  }
  void *addon = dlopen(arguments[1], RTLD_NOW);
  if (!addon) return fprintf(stderr, "%s\n", dlerror()), 1;
  int (*run)(void) = (int (*)(void))dlsym(addon, "own_allocator");
  if (!run || run()) return 2;
  if (hole != NULL && ((char *)run < hole || (char *)run >= hole + size)) return 4;
  puts("allocated");
  return 0;
}
