// Destructors of thread-local objects that allocate and free.
#include <thread>

static void *volatile sink;
__attribute__((noinline)) static char *made_for_thread() { return new char[64]; }
__attribute__((noinline)) static void leaked_by_destructor() { sink = new char[128]; }

struct Local {
    char *block = made_for_thread();
    ~Local() {
        delete[] block;
        leaked_by_destructor();
    }
};
static thread_local Local local;

int main() {
    for (int i = 0; i < 20; i++) std::thread([] { sink = local.block; }).join();
    return 0;
}
