#include "base/codepoint.h"

size_t code_point_size(struct slice text)
{
    ASSERT(text.size > 0);
    uint8_t first = text.data[0];
    uint8_t second_min = 0x80;
    uint8_t second_max = 0xbf;
    size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (size == 1) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4 || size > text.size) {
        return 0;
    }
    if (first == 0xe0) {
        second_min = 0xa0; /* shorter forms exist */
    } else if (first == 0xf0) {
        second_min = 0x90;
    } else if (first == 0xed) {
        second_max = 0x9f; /* surrogates */
    } else if (first == 0xf4) {
        second_max = 0x8f; /* beyond U+10FFFF */
    }
    if (text.data[1] < second_min || text.data[1] > second_max) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((text.data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}
