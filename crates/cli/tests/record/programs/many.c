// So many blocks of so many bytes, freed at once, kept, freed later, or all of that and of any size: arguments are number, size and way.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *volatile sink;
__attribute__((noinline)) static void *made(size_t size) { return sink = malloc(size); }

int main(int count, char **arguments) {
    long blocks = atol(arguments[1]);
    size_t size = atol(arguments[2]);
    static void *window[1024];
    unsigned random = 1;
    int is_mixed = !strcmp(arguments[3], "mixed");
    for (long i = 0; i < blocks; i++) {
        random = random * 1103515245 + 12345;
        void *block = made(is_mixed ? (random >> 8) % size : size);
        if (!strcmp(arguments[3], "kept")) continue;
        if (!strcmp(arguments[3], "at-once")) {
            free(block);
            continue;
        }
        long at = is_mixed ? (random >> 20) % 1024 : i % 1024;
        free(window[at]);
        window[at] = block;
    }
    for (int i = 0; i < 1024; i++) free(window[i]);
    if (is_mixed && write(1, "done\n", 5) != 5) return 1;
    return count - 4;
}
