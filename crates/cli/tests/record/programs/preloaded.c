// Allocates, and says whether the preloaded allocator of `arena.c` had it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void *by_malloc(void) { return malloc(1000); }

__attribute__((noinline)) static void *by_calloc(void) { return calloc(10, 200); }

__attribute__((noinline)) static void *by_memalign(void) {
    void *block = NULL;
    return posix_memalign(&block, 64, 3000) == 0 ? block : NULL;
}

__attribute__((noinline)) static void *by_realloc(void *block) { return realloc(block, 4000); }

static sigjmp_buf before;

static void jump(int signal) {
    (void)signal;
    siglongjmp(before, 1);
}

// Further down the stack than the call that was left.
__attribute__((noinline)) static void *by_deep(int levels) {
    volatile char room[64] = {0};
    void *block = levels == 0 ? malloc(500) : by_deep(levels - 1);
    room[0] = 1;
    return block;
}

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
    signal(SIGUSR1, jump);
    if (sigsetjmp(before, 1) == 0) {
        calloc(1, 7777);
    }
    void *deep = by_deep(20);
    in_arena += has != NULL && has(deep);
    printf("%d in the arena\n", in_arena);
    return 0;
}
