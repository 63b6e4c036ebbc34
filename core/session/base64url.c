#include "session/base64url.h"

#define INVALID 0xff

static const char characters[64] = {
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P',
    'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f',
    'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v',
    'w', 'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '-', '_',
};

static uint8_t value_of(uint8_t character)
{
    if (character >= 'A' && character <= 'Z') {
        return (uint8_t)(character - 'A');
    }
    if (character >= 'a' && character <= 'z') {
        return (uint8_t)(character - 'a' + 26);
    }
    if (character >= '0' && character <= '9') {
        return (uint8_t)(character - '0' + 52);
    }
    if (character == '-') {
        return 62;
    }
    return character == '_' ? 63 : INVALID;
}

size_t base64url_encode(struct slice input, char *out)
{
    size_t written = 0;
    uint32_t bits = 0;
    uint32_t bit_count = 0;

    for (size_t i = 0; i < input.size; i++) {
        bits = bits << 8 | input.data[i];
        bit_count += 8;
        while (bit_count >= 6) {
            bit_count -= 6;
            out[written++] = characters[bits >> bit_count & 0x3f];
        }
    }
    if (bit_count > 0) {
        out[written++] = characters[bits << (6 - bit_count) & 0x3f];
    }
    return written;
}

int64_t base64url_decode(struct slice input, uint8_t *out)
{
    size_t written = 0;
    uint32_t bits = 0;
    uint32_t bit_count = 0;

    if (input.size % 4 == 1) {
        return -1;
    }
    for (size_t i = 0; i < input.size; i++) {
        uint8_t value = value_of(input.data[i]);

        if (value == INVALID) {
            return -1;
        }
        bits = bits << 6 | value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            out[written++] = (uint8_t)(bits >> bit_count);
        }
    }
    /* Two texts for the same bytes would be two tokens with one signature. */
    if ((bits & ((1u << bit_count) - 1)) != 0) {
        return -1;
    }
    return (int64_t)written;
}
