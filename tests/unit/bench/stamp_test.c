/*
 * Goal: what is written is read again, a message has the size that was asked for and is JSON, and
 * nothing else is taken for one of ours.
 */
#include "bench/stamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>

static const struct stamp extremes[] = {
    {.channel = 0, .publisher = 0, .sequence = 1, .time_ns = 0},
    {.channel = 10, .publisher = 999, .sequence = 77, .time_ns = 123456789012345},
    {.channel = UINT32_MAX, .publisher = UINT16_MAX, .sequence = UINT32_MAX, .time_ns = UINT64_MAX},
};

static void test_there_and_back(void **state)
{
    static const size_t sizes[] = {MESSAGE_SIZE_MIN, MESSAGE_SIZE_MIN + 1, 100, MESSAGE_SIZE_MAX};
    static uint8_t out[MESSAGE_SIZE_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(extremes) / sizeof(extremes[0]); i++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            struct stamp read = {0};
            out[sizes[s]] = 0x7f;
            stamp_write(&extremes[i], out, sizes[s]);
            assert_int_equal(out[sizes[s]], 0x7f);
            assert_true(stamp_read(slice_from(out, STAMP_SIZE), &read));
            assert_int_equal(read.channel, extremes[i].channel);
            assert_int_equal(read.publisher, extremes[i].publisher);
            assert_int_equal(read.sequence, extremes[i].sequence);
            assert_true(read.time_ns == extremes[i].time_ns);
            json_t *value = json_loadb((const char *)out, sizes[s], 0, NULL);
            assert_non_null(value);
            json_decref(value);
        }
    }
}

static void test_every_cut_and_every_broken_digit_is_refused(void **state)
{
    uint8_t out[MESSAGE_SIZE_MIN];
    struct stamp read;

    (void)state;
    stamp_write(&extremes[1], out, sizeof(out));
    for (size_t size = 0; size < STAMP_SIZE; size++) {
        assert_false(stamp_read(slice_from(out, size), &read));
    }
    for (size_t i = 0; i < STAMP_SIZE; i++) {
        uint8_t kept = out[i];
        out[i] = 'g';
        assert_false(stamp_read(slice_from(out, sizeof(out)), &read));
        out[i] = kept;
    }
    assert_true(stamp_read(slice_from(out, sizeof(out)), &read));
}

static void test_numbers_begin_with_one(void **state)
{
    const struct stamp stamp = {.sequence = 0};
    uint8_t out[MESSAGE_SIZE_MIN];
    struct stamp read;

    (void)state;
    stamp_write(&stamp, out, sizeof(out));
    assert_false(stamp_read(slice_from(out, sizeof(out)), &read));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_every_cut_and_every_broken_digit_is_refused),
        cmocka_unit_test(test_numbers_begin_with_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
