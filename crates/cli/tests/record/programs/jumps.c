// Leaves frames by longjmp, again and again.
#include <setjmp.h>
#include <stdlib.h>

static jmp_buf target;
static void *volatile sink;

__attribute__((noinline)) static void deep(int left) {
    void *block = malloc(16);
    sink = block;
    free(block);
    if (left == 0) longjmp(target, 1);
    deep(left - 1);
    sink = NULL;
}
__attribute__((noinline)) static void after_jump(void) { sink = malloc(24); }

int main(void) {
    for (volatile int i = 0; i < 100; i++) {
        if (setjmp(target) == 0) deep(9);
        after_jump();
    }
    return 0;
}
