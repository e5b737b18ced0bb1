// An allocator that the user preloads: it never gives anything back, and knows its own blocks. Some of its functions are
// made of others, as callers of which they come to the recorder once more.
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SIZE = 64 << 20 };

static _Alignas(4096) char arena[SIZE];
static size_t used;

static void *take(size_t align, size_t size) {
    for (;;) {
        size_t before = __atomic_load_n(&used, __ATOMIC_RELAXED);
        // The block's size lies before it.
        size_t start = (before + sizeof(size_t) + align - 1) & ~(align - 1);
        if (size > SIZE || start + size > SIZE) {
            errno = ENOMEM;
            return NULL;
        }
        if (__atomic_compare_exchange_n(&used, &before, start + size, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            memcpy(arena + start - sizeof size, &size, sizeof size);
            return arena + start;
        }
    }
}

int arena_has(const void *block) { return (const char *)block >= arena && (const char *)block < arena + SIZE; }

void *malloc(size_t size) { return take(16, size); }

void free(void *block) { (void)block; }

void *calloc(size_t count, size_t size) {
    if (size == 7777) {
        // Somebody's handler jumps out of it.
        raise(SIGUSR1);
    }
    // Nothing is used twice, so that all of it is zero still.
    return malloc(count * size);
}

void *realloc(void *block, size_t size) {
    void *other = malloc(size);
    if (block != NULL && other != NULL) {
        size_t before;
        memcpy(&before, (char *)block - sizeof before, sizeof before);
        memcpy(other, block, before < size ? before : size);
        free(block);
    }
    return other;
}

void *memalign(size_t align, size_t size) { return take(align < 16 ? 16 : align, size); }

void *aligned_alloc(size_t align, size_t size) { return memalign(align, size); }

int posix_memalign(void **out, size_t align, size_t size) {
    void *block = memalign(align, size);
    if (block == NULL) {
        return ENOMEM;
    }
    *out = block;
    return 0;
}
