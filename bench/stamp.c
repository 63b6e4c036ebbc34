#include "bench/stamp.h"

static const char opening[] = "{\"bench\":\"";
static const char closing[] = "\"}";
#define OPENING_SIZE (sizeof(opening) - 1)
#define CLOSING_SIZE (sizeof(closing) - 1)
#define DIGITS       36
static_assert(STAMP_SIZE == OPENING_SIZE + DIGITS, "the head of a message");
static_assert(MESSAGE_SIZE_MIN == STAMP_SIZE + CLOSING_SIZE, "nothing to fill");

static uint8_t *write_hex(uint8_t *out, uint64_t value, uint32_t digits)
{
    static const char hex[] = "0123456789abcdef";

    for (uint32_t i = 0; i < digits; i++) {
        out[i] = (uint8_t)hex[value >> 4 * (digits - 1 - i) & 0xf];
    }
    return out + digits;
}

void stamp_write(const struct stamp *stamp, uint8_t *out, size_t size)
{
    ASSERT(size >= MESSAGE_SIZE_MIN);
    memcpy(out, opening, OPENING_SIZE);
    uint8_t *at = out + OPENING_SIZE;
    at = write_hex(at, stamp->channel, 8);
    at = write_hex(at, stamp->publisher, 4);
    at = write_hex(at, stamp->sequence, 8);
    at = write_hex(at, stamp->time_ns, 16);
    memset(at, '.', size - MESSAGE_SIZE_MIN);
    memcpy(out + size - CLOSING_SIZE, closing, CLOSING_SIZE);
}

/* Reads digits at *at and moves it; *bad is set when one is none. */
static uint64_t read_hex(const uint8_t **at, uint32_t digits, bool *bad)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < digits; i++) {
        uint8_t digit = *(*at)++;
        if (digit >= '0' && digit <= '9') {
            value = value << 4 | (uint8_t)(digit - '0');
        } else if (digit >= 'a' && digit <= 'f') {
            value = value << 4 | (uint8_t)(digit - 'a' + 10);
        } else {
            *bad = true;
        }
    }
    return value;
}

bool stamp_read(struct slice head, struct stamp *stamp)
{
    bool bad = false;

    if (head.size < STAMP_SIZE || memcmp(head.data, opening, OPENING_SIZE) != 0) {
        return false;
    }
    const uint8_t *at = head.data + OPENING_SIZE;
    stamp->channel = (uint32_t)read_hex(&at, 8, &bad);
    stamp->publisher = (uint16_t)read_hex(&at, 4, &bad);
    stamp->sequence = (uint32_t)read_hex(&at, 8, &bad);
    stamp->time_ns = read_hex(&at, 16, &bad);
    return !bad && stamp->sequence > 0;
}
