// Takes the addresses of functions that are hooked, as some programs do to hand them on.
#include <stdlib.h>

static void *(*volatile allocate)(size_t) = malloc;
static void *(*volatile allocate_zeros)(size_t, size_t) = calloc;
static void *(*volatile resize)(void *, size_t) = realloc;
static void (*volatile release)(void *) = free;
static void *volatile sink;

__attribute__((noinline)) static void by_address(void) { sink = allocate(12); }

int main(void) {
    for (int i = 0; i < 9; i++) by_address();
    void *block = resize(allocate_zeros(2, 8), 100);
    release(block);
    return 0;
}
