/*
 * UTF-8 from anyone: cut as the first byte says it is what it is at once, and that is what a plain
 * decoder of RFC 3629 finds.
 */
#include "ws/utf8.h"

#include <stdlib.h>

/* Bytes of the code point at the start of data; 0: none; more than size: it is cut off, but could
 * be. */
static size_t point_size(const uint8_t *data, size_t size)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t whole = data[0] < 0x80 ? 1 : data[0] < 0xe0 ? 2 : data[0] < 0xf0 ? 3 : 4;
    uint32_t low = whole == 1 ? data[0] : data[0] & (0x7fu >> whole);

    if (data[0] >= 0x80 && (data[0] < 0xc0 || data[0] >= 0xf8)) {
        return 0;
    }
    uint32_t high = low;
    for (size_t i = 1; i < whole; i++) {
        if (i < size && (data[i] & 0xc0) != 0x80) {
            return 0;
        }
        low = low << 6 | (i < size ? data[i] & 0x3fu : 0);
        high = high << 6 | (i < size ? data[i] & 0x3fu : 0x3f);
    }
    /* Is any of low..high a code point of this size? */
    bool is_surrogate = low >= 0xd800 && high <= 0xdfff;
    return high < smallest[whole] || low > 0x10ffff || is_surrogate ? 0 : whole;
}

static uint32_t verdict(struct slice text)
{
    for (size_t at = 0; at < text.size;) {
        size_t size = point_size(text.data + at, text.size - at);
        if (size == 0) {
            return UTF8_REJECT;
        }
        if (size > text.size - at) {
            return 1;
        }
        at += size;
    }
    return UTF8_ACCEPT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct slice text = slice_from(data + 1, size - 1);
    uint32_t whole = utf8_advance(UTF8_ACCEPT, text);
    uint32_t pieces = UTF8_ACCEPT;
    uint32_t expected = verdict(text);
    size_t step = data[0] % 32u + 1;

    for (size_t at = 0; at < text.size; at += step) {
        size_t piece_size = step < text.size - at ? step : text.size - at;
        pieces = utf8_advance(pieces, slice_from(text.data + at, piece_size));
    }
    ASSERT(pieces == whole);
    ASSERT((whole == UTF8_ACCEPT) == (expected == UTF8_ACCEPT));
    ASSERT((whole == UTF8_REJECT) == (expected == UTF8_REJECT));
    return 0;
}
