#include "ws/utf8.h"

/*
 * An automaton whose table is looked up by the byte alone: a row holds, for each of nine states,
 * the next state in 6 bits, and the current state is the shift that brings its own six down. So a
 * byte costs one shift of latency, where a table indexed by state costs a load (5 cycles).
 */
#define STATE_BITS 6u
#define STATE_MASK 63u

enum {
    BOUNDARY, /* UTF8_ACCEPT */
    WANT_1,   /* continuation bytes to come */
    WANT_2,
    WANT_3,
    AFTER_E0, /* next a0..bf: shorter forms exist below */
    AFTER_ED, /* next 80..9f: surrogates above */
    AFTER_F0, /* next 90..bf: shorter forms exist below */
    AFTER_F4, /* next 80..8f: beyond U+10FFFF above */
    BROKEN,
};
static_assert(BOUNDARY == UTF8_ACCEPT, "the caller's zeroed state");
static_assert(AFTER_F4 < UTF8_REJECT, "four bits hold every state");

#define FROM(from, to) ((uint64_t)(to)*STATE_BITS << (from)*STATE_BITS)
#define ROW(boundary, want_1, want_2, want_3, e0, ed, f0, f4)                                      \
    (FROM(BOUNDARY, boundary) | FROM(WANT_1, want_1) | FROM(WANT_2, want_2) |                      \
     FROM(WANT_3, want_3) | FROM(AFTER_E0, e0) | FROM(AFTER_ED, ed) | FROM(AFTER_F0, f0) |         \
     FROM(AFTER_F4, f4) | FROM(BROKEN, BROKEN))
#define LEAD(to)             ROW(to, BROKEN, BROKEN, BROKEN, BROKEN, BROKEN, BROKEN, BROKEN)
#define NEXT(e0, ed, f0, f4) ROW(BROKEN, BOUNDARY, WANT_1, WANT_2, e0, ed, f0, f4)

/* RFC 3629, section 4. */
static const uint64_t rows[256] = {
    [0x00 ... 0x7f] = LEAD(BOUNDARY),
    [0x80 ... 0x8f] = NEXT(BROKEN, WANT_1, BROKEN, WANT_2),
    [0x90 ... 0x9f] = NEXT(BROKEN, WANT_1, WANT_2, BROKEN),
    [0xa0 ... 0xbf] = NEXT(WANT_1, BROKEN, WANT_2, BROKEN),
    [0xc0 ... 0xc1] = LEAD(BROKEN),
    [0xc2 ... 0xdf] = LEAD(WANT_1),
    [0xe0] = LEAD(AFTER_E0),
    [0xe1 ... 0xec] = LEAD(WANT_2),
    [0xed] = LEAD(AFTER_ED),
    [0xee ... 0xef] = LEAD(WANT_2),
    [0xf0] = LEAD(AFTER_F0),
    [0xf1 ... 0xf3] = LEAD(WANT_3),
    [0xf4] = LEAD(AFTER_F4),
    [0xf5 ... 0xff] = LEAD(BROKEN),
};

#define BLOCK_SIZE 16 /* bytes looked at together */
#define HIGH_BITS  0x8080808080808080u

static bool is_ascii_block(const uint8_t *data)
{
    uint64_t words[2];
    memcpy(words, data, sizeof(words));
    return ((words[0] | words[1]) & HIGH_BITS) == 0;
}

/* shift: state * STATE_BITS in the low six bits; what is above is left over from the row. */
static uint64_t step(uint64_t shift, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        shift = rows[data[i]] >> (shift & STATE_MASK);
    }
    return shift;
}

uint32_t utf8_advance(uint32_t state, struct slice data)
{
    ASSERT(state <= AFTER_F4 || state == UTF8_REJECT);
    uint64_t shift = (uint64_t)(state == UTF8_REJECT ? BROKEN : state) * STATE_BITS;
    size_t at = 0;

    for (; data.size - at >= BLOCK_SIZE; at += BLOCK_SIZE) {
        if ((shift & STATE_MASK) != BOUNDARY || !is_ascii_block(data.data + at)) {
            shift = step(shift, data.data + at, BLOCK_SIZE);
        }
    }
    shift = step(shift, data.data + at, data.size - at) & STATE_MASK;
    return shift == (uint64_t)BROKEN * STATE_BITS ? UTF8_REJECT : (uint32_t)(shift / STATE_BITS);
}
