// Says its arguments.
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
    for (int i = 1; i < count; i++) printf(i + 1 < count ? "%s " : "%s\n", arguments[i]);
    return 0;
}
