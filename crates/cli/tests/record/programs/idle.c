// More threads than the ring has room for in waiting chunks, all idle, and one that is busy.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { IDLE = 700, BUSY = 400000 };

static pthread_barrier_t all_there, over;
static void *volatile sink;

__attribute__((noinline)) static void *made_by_idle(void) { return malloc(24); }
__attribute__((noinline)) static void *made_by_busy(void) { return malloc(40); }

static void *idle(void *argument) {
    sink = made_by_idle();
    pthread_barrier_wait(&all_there);
    pthread_barrier_wait(&over);
    return argument;
}

int main(void) {
    // Whoever waits for room that never comes is ended.
    alarm(100);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    pthread_t threads[IDLE];
    pthread_barrier_init(&all_there, NULL, IDLE + 1);
    pthread_barrier_init(&over, NULL, IDLE + 1);
    for (int i = 0; i < IDLE; i++) pthread_create(&threads[i], &small, idle, NULL);
    pthread_barrier_wait(&all_there);
    for (int i = 0; i < BUSY; i++) {
        sink = made_by_busy();
        free(sink);
    }
    pthread_barrier_wait(&over);
    for (int i = 0; i < IDLE; i++) pthread_join(threads[i], NULL);
    return 0;
}
