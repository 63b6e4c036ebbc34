#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void assert_failed(const char *condition, const char *file, int line)
{
    char text[512];
    int size = snprintf(text, sizeof(text), "%s:%d: assertion failed: %s\n", file, line, condition);

    if (size > 0) {
        size_t whole = (size_t)size;
        ssize_t written =
            write(STDERR_FILENO, text, whole < sizeof(text) ? whole : sizeof(text) - 1);
        (void)written; /* there is nobody left to tell */
    }
    abort();
}
