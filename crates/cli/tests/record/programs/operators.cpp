// Every form of new and delete, kept and freed. Exits with a line's number if one does not do what it should.
#include <cstdint>
#include <cstdlib>
#include <new>
#include <unistd.h>

#define SITE __attribute__((noinline)) static void *
#define CHECK(condition) do { if (!(condition)) _exit(__LINE__ & 127); } while (0)

static void *volatile sink;
static volatile std::size_t huge = PTRDIFF_MAX;
static volatile int handled = 0;
constexpr std::align_val_t wide{256};

SITE plain() { return sink = ::operator new(100); }
SITE array() { return sink = ::operator new[](200); }
SITE plain_nothrow() { return sink = ::operator new(300, std::nothrow); }
SITE array_nothrow() { return sink = ::operator new[](400, std::nothrow); }
SITE aligned() { return sink = ::operator new(512, wide); }
SITE aligned_array() { return sink = ::operator new[](768, wide); }
SITE aligned_nothrow() { return sink = ::operator new(1024, wide, std::nothrow); }
SITE aligned_array_nothrow() { return sink = ::operator new[](1280, wide, std::nothrow); }
SITE empty() { return sink = ::operator new(0); }

static void handler() {
    // Once it returns, as if there were memory now; then it gives up.
    if (++handled == 2) std::set_new_handler(nullptr);
}

template <typename Call> __attribute__((noinline)) static bool throws(Call call) {
    try {
        sink = call();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static void fail() {
    CHECK(throws([] { return ::operator new(huge); }));
    CHECK(throws([] { return ::operator new[](huge); }));
    CHECK(throws([] { return ::operator new(huge, wide); }));
    CHECK(throws([] { return ::operator new[](huge, wide); }));
    CHECK(::operator new(huge, std::nothrow) == nullptr);
    CHECK(::operator new[](huge, std::nothrow) == nullptr);
    CHECK(::operator new(huge, wide, std::nothrow) == nullptr);
    CHECK(::operator new[](huge, wide, std::nothrow) == nullptr);
    std::set_new_handler(handler);
    CHECK(throws([] { return ::operator new(huge); }));
    CHECK(handled == 2);
}

int main() {
    CHECK((std::uintptr_t)aligned() % 256 == 0 && (std::uintptr_t)aligned_array_nothrow() % 256 == 0);
    plain(), array(), plain_nothrow(), array_nothrow(), aligned_array(), aligned_nothrow(), empty();
    ::operator delete(plain());
    ::operator delete(plain(), std::size_t{100});
    ::operator delete(plain(), std::nothrow);
    ::operator delete[](array());
    ::operator delete[](array(), std::size_t{200});
    ::operator delete[](array(), std::nothrow);
    ::operator delete(aligned(), wide);
    ::operator delete(aligned(), std::size_t{512}, wide);
    ::operator delete(aligned(), wide, std::nothrow);
    ::operator delete[](aligned_array(), wide);
    ::operator delete[](aligned_array(), std::size_t{768}, wide);
    ::operator delete[](aligned_array(), wide, std::nothrow);
    ::operator delete(nullptr);
    fail();
    return 0;
}
