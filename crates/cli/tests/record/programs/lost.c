// Blocks that are reached in every way that there is, and some that nothing reaches.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define QUIET __attribute__((noinline))

struct node { struct node *next; long fill[5]; };

// Nobody reads them, and they must be there.
void *volatile global;
char *volatile inside;
struct node *volatile list;
__thread void *volatile of_thread;
void **volatile mapping;
static volatile int ready;

QUIET static void *by_global(void) { return malloc(101); }
QUIET static char *by_its_middle(void) { return malloc(102); }
QUIET static struct node *by_a_block(void) { return calloc(1, sizeof(struct node)); }
QUIET static void *by_a_stack(void) { return malloc(104); }
QUIET static void *by_thread_local(void) { return malloc(105); }
QUIET static void *by_a_register(void) { return malloc(106); }
QUIET static void *by_a_mapping(void) { return malloc(107); }
QUIET static void *large_by_global(void) { return malloc(1 << 20); }
QUIET static void *known_leak(void) { return malloc(108); }
QUIET static void *lost_alone(void) { return malloc(109); }
QUIET static struct node *lost_first(void) { return calloc(1, sizeof(struct node)); }
QUIET static struct node *lost_behind(void) { return calloc(1, sizeof(struct node)); }
QUIET static void *lost_and_large(void) { return malloc(1 << 20); }

const char *__lsan_default_suppressions(void) { return "leak:known_leak\n"; }

void *volatile large;

// Pauses for ever, with its argument in a register that is kept over calls.
QUIET static void *waits_with_register(void *unused) {
    register void *block asm("r12") = by_a_register();
    __sync_fetch_and_add(&ready, 1);
    asm volatile("1: mov $34, %%eax\n syscall\n jmp 1b" : : "r"(block) : "rax", "rcx", "r11", "memory");
    return unused;
}

QUIET static void *waits_with_stack(void *unused) {
    void *volatile block = by_a_stack();
    of_thread = by_thread_local();
    __sync_fetch_and_add(&ready, 1);
    for (;;) pause();
    return (void *)block;
}

QUIET static void make(int maps) {
    global = by_global();
    large = large_by_global();
    inside = by_its_middle() + 51;
    for (int i = 0; i < 20; i++) {
        struct node *node = by_a_block();
        node->next = list;
        list = node;
    }
    // LeakSanitizer does not look there.
    if (!maps) return;
    mapping = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mapping[1000] = by_a_mapping();
}

QUIET static void lose(void) {
    known_leak();
    for (int i = 0; i < 30; i++) lost_alone();
    for (int i = 0; i < 10; i++) {
        struct node *node = lost_first();
        node->next = lost_behind();
        node->next->next = lost_behind();
    }
    lost_and_large();
    // What malloc and its caller left in registers and on the stack.
    large = realloc(large, 1 << 20);
}

// Whatever was left on the stack.
QUIET static void wipe(void) {
    volatile char wiped[16384];
    memset((char *)wiped, 0, sizeof wiped);
}

int main(int count, char **arguments) {
    pthread_t threads[2];
    pthread_create(&threads[0], 0, waits_with_register, 0);
    pthread_create(&threads[1], 0, waits_with_stack, 0);
    while (ready < 2) usleep(1000);
    make(count > 1 && !strcmp(arguments[1], "map"));
    lose();
    wipe();
    if (count > 1 && !strcmp(arguments[1], "_exit")) _exit(0);
    return 0;
}
