// Allocates at the bottom of so many frames as the first argument tells, each with so many bytes of its own as the
// compiler was told.
#include <stdlib.h>

#ifndef ROOM
#define ROOM 1
#endif

static void *volatile sink;
__attribute__((noinline)) static void bottom(void) { sink = malloc(64); }
__attribute__((noinline)) static void level(int left) {
    char room[ROOM];
    __asm__ volatile("" ::"r"(room) : "memory");
    if (left <= 1) bottom();
    else level(left - 1);
    sink = NULL;
}
__attribute__((noinline)) static void top(int levels) { level(levels); sink = NULL; }

int main(int count, char **arguments) {
    for (int i = 0; i < 3; i++) top(atoi(arguments[1]));
    return count - 2;
}
