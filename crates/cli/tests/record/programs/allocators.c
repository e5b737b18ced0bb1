// Every function of C that allocates, each at a call site of its own. Exits with a line's number if a function does
// not do what it should.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define SITE __attribute__((noinline)) static void *
#define CHECK(condition) do { if (!(condition)) _exit(__LINE__ & 127); } while (0)

static void *volatile sink;
static volatile size_t huge = PTRDIFF_MAX;

SITE by_malloc(void) { return sink = malloc(100); }
SITE by_calloc(void) { return sink = calloc(10, 20); }
SITE by_realloc(void) { return sink = realloc(NULL, 300); }
SITE by_reallocarray(void) { return sink = reallocarray(NULL, 4, 100); }
SITE by_posix_memalign(void) { void *out = NULL; CHECK(posix_memalign(&out, 64, 500) == 0); return sink = out; }
SITE by_aligned_alloc(void) { return sink = aligned_alloc(64, 640); }
SITE by_memalign(void) { return sink = memalign(128, 700); }
SITE by_valloc(void) { return sink = valloc(800); }
SITE by_pvalloc(void) { return sink = pvalloc(900); }
SITE nothing(void) { return sink = malloc(0); }
SITE small(void) { return sink = malloc(50); }
SITE grown(void) { void *old = small(); return sink = realloc(old, 5000); }
SITE gone(void) { void *old = small(); return sink = realloc(old, 0); }
SITE brief(void) { void *block = malloc(70); sink = block; free(block); return NULL; }
SITE failing(void) {
    void *out = NULL;
    CHECK(malloc(huge) == NULL && errno == ENOMEM);
    CHECK(calloc(huge, 2) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(reallocarray(NULL, huge, 3) == NULL && errno == ENOMEM);
    CHECK(aligned_alloc(64, huge) == NULL);
    CHECK(posix_memalign(&out, 3, 100) == EINVAL && out == NULL);
    // What can't grow stays what it is.
    void *kept = malloc(90);
    CHECK(realloc(kept, huge) == NULL);
    sink = kept;
    return kept;
}

int main(void) {
    errno = 77;
    for (int i = 0; i < 10; i++) {
        by_malloc(), by_calloc(), by_realloc(), by_reallocarray(), by_posix_memalign();
    }
    CHECK((uintptr_t)by_aligned_alloc() % 64 == 0);
    CHECK((uintptr_t)by_memalign() % 128 == 0);
    CHECK((uintptr_t)by_valloc() % 4096 == 0);
    CHECK((uintptr_t)by_pvalloc() % 4096 == 0);
    char *zeros = by_calloc();
    for (int i = 0; i < 200; i++) CHECK(zeros[i] == 0);
    nothing();
    grown();
    CHECK(gone() == NULL);
    for (int i = 0; i < 1000; i++) brief();
    free(NULL);
    CHECK(errno == 77);
    failing();
    CHECK(write(1, "allocated\n", 10) == 10);
    return 5;
}
