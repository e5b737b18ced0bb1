// Loads and unloads a library that allocates.
#include <dlfcn.h>
#include <stdlib.h>

static void *volatile sink;
__attribute__((noinline)) static void between(void) { sink = malloc(3); }

int main(int count, char **arguments) {
    for (int i = 0; i < 20; i++) {
        void *library = dlopen(arguments[1], RTLD_NOW);
        if (!library) return 1;
        void (*plugin)(void) = (void (*)(void))dlsym(library, "plugin");
        if (!plugin) return 2;
        plugin();
        if (dlclose(library)) return 3;
        between();
    }
    return 0;
}
