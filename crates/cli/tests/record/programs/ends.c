// Ends in the way that its first argument tells; or waits for a line in the middle.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *volatile sink;
__attribute__((noinline)) static void before_the_end(void) { sink = malloc(10); }
__attribute__((noinline)) static void after_the_line(void) { void *block = malloc(20); sink = block; free(block); }

__attribute__((noinline)) static void without_the_leader(void) { sink = malloc(30); }

// Goes on for a while when the first thread is gone.
static void *follower(void *nothing) {
    char state = 0;
    while (state != 'Z') {
        char stat[512] = {0};
        int file = open("/proc/self/stat", O_RDONLY);
        if (file < 0 || read(file, stat, sizeof stat - 1) < 0) _exit(122);
        close(file);
        const char *end = strrchr(stat, ')');
        state = end ? end[2] : 'Z';
        usleep(1000);
    }
    usleep(400000);
    for (int i = 0; i < 20000; i++) without_the_leader();
    return nothing;
}

static void say(const char *word) {
    if (write(1, word, strlen(word)) < 0) _exit(120);
}

int main(int count, char **arguments) {
    const char *way = count > 1 ? arguments[1] : "";
    for (int i = 0; i < 20000; i++) before_the_end();
    if (!strcmp(way, "_exit")) _exit(9);
    if (!strcmp(way, "abort")) {
        signal(SIGABRT, SIG_DFL);
        abort();
    }
    if (!strcmp(way, "kill")) kill(getpid(), SIGKILL);
    if (!strcmp(way, "thread-exit")) return 11;
    if (!strcmp(way, "leader")) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, follower, NULL)) return 123;
        pthread_exit(NULL);
    }
    char letter = 0;
    say("ready\n");
    if (read(0, &letter, 1) != 1) return 121;
    // More than the ring holds.
    for (int i = 0; i < 2000000; i++) after_the_line();
    say("done\n");
    return 7;
}
