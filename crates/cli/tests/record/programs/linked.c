// Calls the function of a library that it is linked with.
#include <stdio.h>

int own_allocator(void);

int main(void) {
  if (own_allocator()) return 2;
  puts("allocated");
  return 0;
}
