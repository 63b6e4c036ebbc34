/*
 * Goal: no text breaks the readers of the kernel's files, and each number that is found is written
 * in the text.
 */
#include "admin/procfs.h"

#include <inttypes.h>
#include <stdio.h>

static void check(struct slice text, bool is_found, uint64_t value)
{
    char digits[24];

    if (is_found && value > 0) { /* zeros may stand before the digits, or be all of them */
        size_t size = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, value);
        ASSERT(memmem(text.data, text.size, digits, size) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice text = slice_from(data, size);
    uint64_t value = 0;

    check(text, procfs_column(text, "TcpExt:", "A", &value), value);
    check(text, procfs_field(text, "TCP:", "mem", &value), value);
    for (uint32_t place = 0; place < 4; place++) {
        check(text, procfs_number(text, place, &value), value);
    }
    return 0;
}
