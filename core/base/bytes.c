#include "base/bytes.h"

static uint8_t fold(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

bool slice_equal_fold(struct slice a, struct slice b)
{
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (fold(a.data[i]) != fold(b.data[i])) {
            return false;
        }
    }
    return true;
}

bool secret_equal(const void *a, const void *b, size_t size)
{
    const uint8_t *left = a;
    const uint8_t *right = b;
    uint8_t difference = 0;

    for (size_t i = 0; i < size; i++) {
        difference |= left[i] ^ right[i];
        /* The compiler must not learn that the result is decided once a bit is set. */
        __asm__ volatile("" : "+r"(difference));
    }
    return difference == 0;
}

void secret_wipe(void *data, size_t size)
{
    explicit_bzero(data, size);
}
