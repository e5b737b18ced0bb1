// Frees with C23's functions, by their addresses: a C library without them still has the recorder's.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

static void *volatile sink;
__attribute__((noinline)) static void *freed_with_size(void) { return sink = malloc(10); }
__attribute__((noinline)) static void *freed_with_alignment(void) { return sink = aligned_alloc(64, 128); }
__attribute__((noinline)) static void *kept(void) { return sink = malloc(30); }

int main(void) {
    void (*sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    void (*aligned)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");
    if (!sized || !aligned) return 1;
    errno = 77;
    for (int i = 0; i < 10; i++) {
        sized(freed_with_size(), 10);
        aligned(freed_with_alignment(), 64, 128);
    }
    sized(NULL, 0);
    aligned(NULL, 64, 0);
    kept();
    return errno == 77 ? 0 : 2;
}
