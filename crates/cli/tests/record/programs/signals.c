// Handlers that allocate in the middle of everything, on the thread's stack or on one of their own ("own").
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { HANDLED = 2000, STACK = 64 << 10 };
static void *volatile sink;
static volatile long handled;

__attribute__((noinline)) static void in_handler(void) {
    void *block = malloc(24);
    sink = block;
    free(block);
}
__attribute__((noinline)) static void outside(void) {
    void *block = malloc(16);
    sink = block;
    free(block);
}

static void handle(int signal) {
    in_handler();
    handled += signal != 0;
}

int main(int count, char **arguments) {
    static char stack[STACK];
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    if (count > 1 && !strcmp(arguments[1], "own")) {
        stack_t own = {.ss_sp = stack, .ss_size = STACK};
        if (sigaltstack(&own, NULL)) return 1;
        action.sa_flags |= SA_ONSTACK;
    }
    if (sigaction(SIGALRM, &action, NULL)) return 1;
    long rounds = 0, armed = -1;
    while (handled < HANDLED) {
        // One signal after the other, each at another moment: a timer that fires while its handler runs stops the program.
        if (armed < handled) {
            armed = handled;
            struct itimerval once = {{0, 0}, {0, 20 + armed % 100}};
            if (setitimer(ITIMER_REAL, &once, NULL)) return 1;
        }
        outside();
        rounds++;
    }
    char line[64];
    int length = snprintf(line, sizeof line, "%ld %ld\n", rounds, handled);
    return write(1, line, length) != length;
}
