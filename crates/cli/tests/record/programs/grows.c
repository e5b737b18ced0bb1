// Blocks that grow by realloc: one to four kilobytes in steps of 16 bytes, and ten once each.
#include <stdlib.h>

static void *volatile sink;
__attribute__((noinline)) static void *began(size_t size) { return sink = malloc(size); }
__attribute__((noinline)) static void *grew(void *block, size_t size) { return sink = realloc(block, size); }
__attribute__((noinline)) static void *grew_once(void *block, size_t size) { return sink = realloc(block, size); }

int main(void) {
    void *block = began(16);
    for (size_t size = 32; size <= 4096; size += 16) block = grew(block, size);
    free(block);
    for (int i = 0; i < 10; i++) {
        block = grew_once(began(100), 300);
        if (i % 2) free(block);
    }
    return 0;
}
