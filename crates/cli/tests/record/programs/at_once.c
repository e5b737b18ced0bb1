// So many threads at once: all live until the last one has allocated.
#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 500, BLOCKS = 50 };

static pthread_barrier_t barrier;
static void *volatile sink;

__attribute__((noinline)) static void *made_by_all(void) { return malloc(24); }
__attribute__((noinline)) static void *kept_by_all(void) { return malloc(48); }

static void *run(void *argument) {
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < BLOCKS; i++) {
        void *block = made_by_all();
        sink = block;
        free(block);
    }
    sink = kept_by_all();
    pthread_barrier_wait(&barrier);
    return argument;
}

int main(void) {
    static pthread_t threads[THREADS];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (long i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], &attributes, run, NULL)) return 1;
    for (long i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    return 0;
}
