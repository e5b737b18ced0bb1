// One place asks for blocks of many sizes in turn, some of which have more than 32 bits. All are kept, and none is used.
#include <stdlib.h>

static const size_t sizes[] = {
    24, (1ul << 32) - 1, 24, 1ul << 32, (1ul << 32) - 2, (1ul << 32) - 1, 5ul << 30, 5ul << 30, 0, 4, 24, 24,
};

static void *volatile sink;
__attribute__((noinline)) static void *asked(size_t size) { return sink = malloc(size); }

int main(void) {
    for (int round = 0; round < 10; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            if (!asked(sizes[i])) return 1;
    return 0;
}
