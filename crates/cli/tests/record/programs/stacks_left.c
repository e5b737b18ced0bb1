// A thread that ends and leaves blocks behind that only its stack knew; another that lives does the same.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline)) static void *left_behind(void) { return malloc(500); }
__attribute__((noinline)) static void *grown(void *block, size_t size) { return realloc(block, size); }
__attribute__((noinline)) static void *made(size_t size) { return malloc(size); }

static void *works(void *unused) {
    void *volatile blocks[64];
    for (int i = 0; i < 64; i++) blocks[i] = left_behind();
    void *block = 0;
    // Threads take turns between the two halves of a realloc.
    for (int i = 0; i < 100000; i++) {
        block = grown(block ? block : made(8), 8 + i % 100 * 8);
        free(made(24));
    }
    free(block);
    return unused;
}

int main(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, works, 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
    return 0;
}
