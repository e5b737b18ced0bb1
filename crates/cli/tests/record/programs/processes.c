// Makes another process in the way that its first argument tells. Both allocate at sites of their own.
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static void *volatile sink;

__attribute__((noinline)) static void parent_before(void) { sink = malloc(10); }
__attribute__((noinline)) static void parent_after(void) { sink = malloc(20); }
__attribute__((noinline)) static void forked(void) { sink = malloc(40); }
__attribute__((noinline)) static void executed(void) { sink = malloc(80); }

static int wait_for(pid_t child) {
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) return 100;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

/// Says which variables of the recorder's there are.
static void tell_environment(void) {
    const char *names[] = {"TWINHEAP_RING", "LD_PRELOAD", "NODE_OPTIONS"};
    for (int i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value) dprintf(1, "%s=%s\n", names[i], value);
    }
}

int main(int count, char **arguments) {
    const char *way = count > 1 ? arguments[1] : "";
    char *self[] = {arguments[0], "executed", NULL};
    if (!strcmp(way, "executed")) {
        for (int i = 0; i < 7; i++) executed();
        tell_environment();
        return 3;
    }
    for (int i = 0; i < 5; i++) parent_before();
    int code = 99;
    if (!strcmp(way, "fork")) {
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < 6; i++) forked();
            _exit(3);
        }
        code = wait_for(child);
    } else if (!strcmp(way, "fork-exec")) {
        pid_t child = fork();
        if (child == 0) {
            execv(self[0], self);
            _exit(98);
        }
        code = wait_for(child);
    } else if (!strcmp(way, "vfork")) {
        pid_t child = vfork();
        if (child == 0) {
            execv(self[0], self);
            _exit(98);
        }
        code = wait_for(child);
    } else if (!strcmp(way, "spawn")) {
        pid_t child = -1;
        posix_spawn(&child, self[0], NULL, NULL, self, environ);
        code = wait_for(child);
    } else if (!strcmp(way, "exec")) {
        execv(self[0], self);
    } else {
        char line[4096];
        snprintf(line, sizeof line, "'%s' executed", arguments[0]);
        if (!strcmp(way, "system")) {
            code = WEXITSTATUS(system(line));
        } else if (!strcmp(way, "popen")) {
            FILE *pipe = popen(line, "w");
            code = WEXITSTATUS(pclose(pipe));
        }
    }
    for (int i = 0; i < 4; i++) parent_after();
    return code == 3 ? 0 : code;
}
