// Threads that allocate, free each other's blocks, and allocate while they end.
#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 500, BLOCKS = 20, AT_ONCE = 25 };

static void *blocks[THREADS][BLOCKS];
static pthread_key_t key;
static void *volatile sink;

__attribute__((noinline)) static void *made_here(void) { return malloc(32); }
__attribute__((noinline)) static void *left_behind(void) { return malloc(8); }
__attribute__((noinline)) static void *made_at_the_end(void) { return malloc(16); }

static void end(void *value) {
    free(value);
    // The key's destructor runs again, up to four times, as long as there is a value.
    static __thread int rounds = 0;
    if (++rounds < 4) pthread_setspecific(key, made_at_the_end());
}

static void *run(void *argument) {
    long number = (long)argument;
    pthread_setspecific(key, made_at_the_end());
    for (int i = 0; i < BLOCKS; i++) blocks[number][i] = made_here();
    sink = left_behind();
    // Those of the thread a group before, which has ended.
    if (number >= AT_ONCE)
        for (int i = 0; i < BLOCKS / 2; i++) free(blocks[number - AT_ONCE][i]);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    pthread_key_create(&key, end);
    for (long first = 0; first < THREADS; first += AT_ONCE) {
        for (long i = first; i < first + AT_ONCE; i++) pthread_create(&threads[i], NULL, run, (void *)i);
        for (long i = first; i < first + AT_ONCE; i++) pthread_join(threads[i], NULL);
    }
    // main frees the other half, and leaves the first halves of the last group.
    for (long i = 0; i < THREADS; i++)
        for (int j = BLOCKS / 2; j < BLOCKS; j++) free(blocks[i][j]);
    return 0;
}
