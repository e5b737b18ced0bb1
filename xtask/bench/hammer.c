// Allocates and frees as fast as it can, from 256 stacks of a chosen depth, in one or more threads.
//
//   hammer THREADS DEPTH PAIRS
//
// Each pair is a malloc from one of the stacks and the free of a block that was allocated a while before. It prints
// the nanoseconds for one of these calls: of the slowest thread, from the common start to its end, and then the
// processor time of the busiest one.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LEVELS = 4, HELD = 512 };

struct worker {
    pthread_t thread;
    unsigned depth;
    uint64_t seed;
    unsigned long pairs;
    void *held[HELD];
    double seconds;
    double processor_seconds;
};

static pthread_barrier_t start_line;

// Few sizes: heaptrack 1.4 hashes size and stack in a way that makes many of both collide.
static size_t size_of(unsigned stack) { return 16 + (stack * 8 & 127) + (stack & 7); }

// What comes back is changed, so that no call is in tail position and each keeps its frame.
#define BARRIER __asm__ volatile("" ::: "memory")

__attribute__((noinline)) static void *leaf(size_t size) {
    void *block = malloc(size);
    BARRIER;
    return block;
}

__attribute__((noinline)) static void *straight(unsigned depth, size_t size) {
    void *block = depth > 0 ? straight(depth - 1, size) : leaf(size);
    BARRIER;
    return block;
}

// Four levels with four call sites each tell the stacks apart. What stands behind a call keeps the compiler from
// making one call of two.
__attribute__((noinline)) static void *forked(unsigned level, unsigned stack, unsigned depth) {
    void *block;
    if (level == LEVELS) {
        block = straight(depth, size_of(stack));
        BARRIER;
        return block;
    }
    switch (stack >> 2 * level & 3) {
    case 0:
        block = forked(level + 1, stack, depth);
        __asm__ volatile("# first" ::: "memory");
        break;
    case 1:
        block = forked(level + 1, stack, depth);
        __asm__ volatile("# second" ::: "memory");
        break;
    case 2:
        block = forked(level + 1, stack, depth);
        __asm__ volatile("# third" ::: "memory");
        break;
    default:
        block = forked(level + 1, stack, depth);
        __asm__ volatile("# fourth" ::: "memory");
        break;
    }
    return block;
}

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *work(void *argument) {
    struct worker *worker = argument;
    uint64_t random = worker->seed;
    pthread_barrier_wait(&start_line);
    double start = now(CLOCK_MONOTONIC), processor_start = now(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned long pair = 0; pair < worker->pairs; pair++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        void **held = &worker->held[(random >> 40) % HELD];
        free(*held);
        *held = forked(0, (unsigned)(random >> 56), worker->depth);
    }
    worker->seconds = now(CLOCK_MONOTONIC) - start;
    worker->processor_seconds = now(CLOCK_THREAD_CPUTIME_ID) - processor_start;
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: hammer THREADS DEPTH PAIRS\n");
        return 2;
    }
    unsigned threads = (unsigned)atoi(arguments[1]);
    // Two frames of libc, `work`, five of `forked`, one of `straight` and `leaf` are there anyway.
    int above = 10;
    int depth = atoi(arguments[2]) - above;
    unsigned long pairs = strtoul(arguments[3], NULL, 10);
    struct worker *workers = calloc(threads, sizeof *workers);
    pthread_barrier_init(&start_line, NULL, threads);
    for (unsigned at = 0; at < threads; at++) {
        workers[at].depth = depth > 0 ? (unsigned)depth : 0;
        workers[at].seed = at + 1;
        workers[at].pairs = pairs;
        pthread_create(&workers[at].thread, NULL, work, &workers[at]);
    }
    double slowest = 0, busiest = 0;
    for (unsigned at = 0; at < threads; at++) {
        pthread_join(workers[at].thread, NULL);
        slowest = workers[at].seconds > slowest ? workers[at].seconds : slowest;
        busiest = workers[at].processor_seconds > busiest ? workers[at].processor_seconds : busiest;
    }
    printf("nanoseconds an event: %.3f\n", slowest * 1e9 / (double)(2 * pairs));
    printf("processor nanoseconds an event: %.3f\n", busiest * 1e9 / (double)(2 * pairs));
    return 0;
}
