/*
 * Goal: utf8_advance tells, after every byte, exactly whether the bytes so far are whole code
 * points, the beginning of one, or hopeless. Compared over all code points and all short sequences
 * with a model that knows nothing but how code points are encoded: the set of their prefixes.
 */
#include "ws/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define CODE_POINTS 0x110000u

/* Bit sets over sequences of one to three bytes, read as big-endian numbers. */
static uint8_t whole[4][1u << 21];
static uint8_t prefix[4][1u << 21];
static uint8_t *whole_4; /* over the number of a sequence, from f0000000 on */

static void put(uint8_t *set, uint32_t number)
{
    set[number / 8] |= (uint8_t)(1u << number % 8);
}

static bool has(const uint8_t *set, uint32_t number)
{
    return (set[number / 8] >> number % 8 & 1) != 0;
}

static size_t encode(uint32_t point, uint8_t out[4])
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (uint8_t)(0xc0 | point >> 6);
        out[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (uint8_t)(0xe0 | point >> 12);
        out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | point >> 18);
    out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (point & 0x3f));
    return 4;
}

static bool is_surrogate(uint32_t point)
{
    return point >= 0xd800 && point <= 0xdfff;
}

static int make_model(void **state)
{
    (void)state;
    whole_4 = calloc(1, (0xf5000000u - 0xf0000000u) / 8);
    if (whole_4 == NULL) {
        return -1;
    }
    for (uint32_t point = 0; point < CODE_POINTS; point++) {
        uint8_t bytes[4];
        size_t size = encode(point, bytes);
        uint32_t number = 0;
        for (size_t i = 0; i < size && !is_surrogate(point); i++) {
            number = number << 8 | bytes[i];
            if (i + 1 < size) {
                put(prefix[i + 1], number);
            } else if (size < 4) {
                put(whole[size], number);
            } else {
                put(whole_4, number - 0xf0000000u);
            }
        }
    }
    return 0;
}

static int free_model(void **state)
{
    (void)state;
    free(whole_4);
    return 0;
}

static uint32_t advance(uint32_t state, const uint8_t *bytes, size_t size)
{
    return utf8_advance(state, slice_from(bytes, size));
}

static void test_code_points(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < CODE_POINTS; point++) {
        uint8_t bytes[4];
        size_t size = encode(point, bytes);
        uint32_t utf8 = advance(UTF8_ACCEPT, bytes, size);
        if ((utf8 == UTF8_ACCEPT) == is_surrogate(point)) {
            fail_msg("U+%04X: state %u", point, utf8);
        }
    }
}

/* The model's walk over a sequence: what has been seen of the code point that is under way. */
struct walk {
    uint32_t number;
    size_t size;
    bool is_broken;
};

static void walk_on(struct walk *walk, uint8_t byte)
{
    if (walk->is_broken) {
        return;
    }
    walk->number = walk->number << 8 | byte;
    walk->size++;
    if (has(whole[walk->size], walk->number)) {
        *walk = (struct walk){0};
    } else if (!has(prefix[walk->size], walk->number)) {
        walk->is_broken = true;
    }
}

static bool is_right(const struct walk *walk, uint32_t utf8)
{
    if (walk->is_broken) {
        return utf8 == UTF8_REJECT;
    }
    return utf8 != UTF8_REJECT && (utf8 == UTF8_ACCEPT) == (walk->size == 0);
}

static void check_three_bytes(uint32_t number)
{
    const uint8_t bytes[3] = {(uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    struct walk walk = {0};
    uint32_t utf8 = UTF8_ACCEPT;

    for (size_t i = 0; i < 3; i++) {
        walk_on(&walk, bytes[i]);
        utf8 = advance(utf8, bytes + i, 1);
        if (!is_right(&walk, utf8)) {
            fail_msg("%06x: state %u after byte %zu", number, utf8, i);
        }
    }
    if (advance(UTF8_ACCEPT, bytes, 3) != utf8) {
        fail_msg("%06x: not the same at once", number);
    }
}

static void test_three_bytes(void **state)
{
    (void)state;
    for (uint32_t number = 0; number < 1u << 24; number++) {
        check_three_bytes(number);
    }
}

/* Every fourth byte after three that begin a code point of four. Returns how many end it. */
static size_t check_four_bytes(uint32_t number)
{
    size_t count = 0;

    for (unsigned last = 0; last < 256; last++) {
        const uint8_t bytes[4] = {(uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number,
                                  (uint8_t)last};
        bool is_whole = has(whole_4, (number << 8 | last) - 0xf0000000u);
        uint32_t utf8 = advance(UTF8_ACCEPT, bytes, 4);
        if (utf8 != (is_whole ? UTF8_ACCEPT : UTF8_REJECT)) {
            fail_msg("%06x %02x: state %u", number, last, utf8);
        }
        count += is_whole;
    }
    return count;
}

static void test_four_bytes(void **state)
{
    size_t count = 0;

    (void)state;
    for (uint32_t number = 0xf00000; number < 1u << 24; number++) {
        if (has(prefix[3], number)) {
            count += check_four_bytes(number);
        }
    }
    assert_int_equal(count, CODE_POINTS - 0x10000);
}

static void test_reject_stays(void **state)
{
    const uint8_t good[] = "good again, for more than one block";

    (void)state;
    assert_int_equal(advance(UTF8_REJECT, good, sizeof(good)), UTF8_REJECT);
    assert_int_equal(advance(UTF8_REJECT, good, 0), UTF8_REJECT);
    assert_int_equal(advance(UTF8_ACCEPT, NULL, 0), UTF8_ACCEPT);
}

/* Text that begins ASCII, turns to others at every place around the blocks, and breaks at every
 * place. */
static void test_blocks_and_cuts(void **state)
{
    enum {
        SIZE = 70
    };
    static const uint8_t point[4] = {0xf0, 0x9f, 0x98, 0x80};

    (void)state;
    for (size_t at = 0; at + 4 <= SIZE; at++) {
        for (size_t broken = 0; broken <= SIZE; broken++) {
            uint8_t text[SIZE];
            uint32_t bytewise = UTF8_ACCEPT;
            memset(text, 'a', SIZE);
            memcpy(text + at, point, 4);
            if (broken < SIZE) {
                text[broken] = 0xff;
            }
            for (size_t i = 0; i < SIZE; i++) {
                bytewise = advance(bytewise, text + i, 1);
            }
            assert_int_equal(bytewise, broken < SIZE ? UTF8_REJECT : UTF8_ACCEPT);
            for (size_t cut = 0; cut <= SIZE; cut++) {
                uint32_t utf8 = advance(UTF8_ACCEPT, text, cut);
                assert_int_equal(advance(utf8, text + cut, SIZE - cut), bytewise);
            }
        }
    }
}

/* A code point that is cut off, with whole blocks of ASCII behind it. */
static void test_cut_off(void **state)
{
    uint8_t text[64];

    (void)state;
    for (size_t size = 1; size < 4; size++) {
        memset(text, 'a', sizeof(text));
        memcpy(text + 16 - size, "\xf0\x9f\x98", size);
        assert_int_equal(advance(UTF8_ACCEPT, text, sizeof(text)), UTF8_REJECT);
        uint32_t utf8 = advance(UTF8_ACCEPT, text, 16);
        assert_int_not_equal(utf8, UTF8_ACCEPT);
        assert_int_not_equal(utf8, UTF8_REJECT);
        assert_int_equal(advance(utf8, text + 16, 16), UTF8_REJECT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_points),     cmocka_unit_test(test_three_bytes),
        cmocka_unit_test(test_four_bytes),      cmocka_unit_test(test_reject_stays),
        cmocka_unit_test(test_blocks_and_cuts), cmocka_unit_test(test_cut_off),
    };
    return cmocka_run_group_tests(tests, make_model, free_model);
}
