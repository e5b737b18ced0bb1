// Allocates while it is being loaded: in a constructor function, and in that of a static object.
#include <cstdlib>

static void *volatile sink;
__attribute__((constructor, noinline)) static void constructor() { sink = std::malloc(100); }

struct Static {
    char *text;
    __attribute__((noinline)) Static() : text(new char[200]) { sink = text; }
    __attribute__((noinline)) ~Static() {
        delete[] text;
        sink = std::malloc(300);
    }
};
static Static object;

extern "C" void plugin() {}
