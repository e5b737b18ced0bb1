// Threads that come and go, some hundred thousands of them in a server's life, beside some that stay.
//
// It prints how much memory forked children would not see after a few of them and after many: that is the recorder's.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STAY = 20, FEW = 100, MANY = 5000 };

static pthread_barrier_t all_there, over;
static void *volatile sink;

__attribute__((noinline)) static void *made_by_guest(void) { return malloc(40); }

static void *guest(void *argument) {
    sink = made_by_guest();
    free(sink);
    return argument;
}

static void *stay(void *argument) {
    sink = malloc(24);
    pthread_barrier_wait(&all_there);
    pthread_barrier_wait(&over);
    return argument;
}

static void guests(int count) {
    for (int i = 0; i < count; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, guest, NULL);
        pthread_join(thread, NULL);
    }
}

static long recorders_kilobytes(void) {
    char line[512];
    long size = 0, sum = 0;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (fgets(line, sizeof line, file)) {
        sscanf(line, "Size: %ld kB", &size);
        if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " wf")) sum += size;
    }
    fclose(file);
    return sum;
}

int main(void) {
    // Whoever waits for room that never comes is ended.
    alarm(100);
    pthread_t threads[STAY];
    pthread_barrier_init(&all_there, NULL, STAY + 1);
    pthread_barrier_init(&over, NULL, STAY + 1);
    for (int i = 0; i < STAY; i++) pthread_create(&threads[i], NULL, stay, NULL);
    pthread_barrier_wait(&all_there);
    guests(FEW);
    long few = recorders_kilobytes();
    guests(MANY);
    printf("%ld %ld\n", few, recorders_kilobytes());
    pthread_barrier_wait(&over);
    for (int i = 0; i < STAY; i++) pthread_join(threads[i], NULL);
    return 0;
}
