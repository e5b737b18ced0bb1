// Throws through frames that hold memory.
#include <stdexcept>
#include <vector>

static void *volatile sink;

struct Holder {
    char *block = new char[40];
    ~Holder() { delete[] block; }
};
__attribute__((noinline)) static void thrower(int left) {
    Holder holder;
    sink = holder.block;
    if (left == 0) throw std::runtime_error("thrown on purpose");
    thrower(left - 1);
    sink = nullptr;
}
__attribute__((noinline)) static void after_throw() { sink = new char[8]; }

int main() {
    int caught = 0;
    for (int i = 0; i < 100; i++) {
        try {
            thrower(9);
        } catch (const std::runtime_error &) {
            caught++;
            after_throw();
        }
    }
    return caught == 100 ? 0 : 1;
}
