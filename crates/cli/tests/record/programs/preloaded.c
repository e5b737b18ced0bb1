// Allocates, and says whether the preloaded allocator of `arena.c` had it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void *by_malloc(void) { return malloc(1000); }

__attribute__((noinline)) static void *by_calloc(void) { return calloc(10, 200); }

__attribute__((noinline)) static void *by_memalign(void) {
    void *block = NULL;
    return posix_memalign(&block, 64, 3000) == 0 ? block : NULL;
}

__attribute__((noinline)) static void *by_realloc(void *block) { return realloc(block, 4000); }

int main(void) {
    int (*has)(const void *) = (int (*)(const void *))dlsym(RTLD_DEFAULT, "arena_has");
    int in_arena = 0;
    for (int at = 0; at < 5; at++) {
        void *first = by_malloc(), *second = by_calloc(), *third = by_memalign();
        in_arena += has != NULL && has(first) && has(second) && has(third);
        first = by_realloc(first);
        in_arena += has != NULL && has(first);
        free(third);
    }
    printf("%d in the arena\n", in_arena);
    return 0;
}
