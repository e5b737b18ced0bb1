#include <stdlib.h>
static void *volatile sink;
static void *kept;
__attribute__((noinline)) void *made_in_plugin(void) { return sink = malloc(100); }
__attribute__((destructor)) static void unloaded(void) { free(kept); sink = malloc(7); }
void plugin(void) { kept = made_in_plugin(); made_in_plugin(); }
