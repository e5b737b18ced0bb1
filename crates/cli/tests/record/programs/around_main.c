// Allocates before main and after it.
#include <stdlib.h>

static void *volatile sink;

__attribute__((constructor)) static void before_main(void) { sink = malloc(1000); }
__attribute__((destructor)) static void destructor(void) { sink = malloc(3000); }
static void at_exit(void) { sink = malloc(2000); }

int main(void) {
    atexit(at_exit);
    return 0;
}
