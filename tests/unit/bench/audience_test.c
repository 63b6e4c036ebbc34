/*
 * Goal: what is said of channels, subscribers and sizes is one and the same picture, counted out
 * for many shapes.
 */
#include "bench/audience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_shape(const struct audience *audience)
{
    uint32_t *sizes = calloc(audience->channels, sizeof(uint32_t));

    assert_non_null(sizes);
    for (uint32_t i = 0; i < audience->subscribers; i++) {
        for (uint32_t place = 0; place < audience->channels_each; place++) {
            uint32_t channel = audience_channel(audience, i, place);
            assert_true(channel < audience->channels);
            assert_int_equal(audience_place(audience, i, channel), place);
            assert_int_equal(audience_channel(audience, i + audience_period(audience), place),
                             channel);
            sizes[channel]++;
        }
    }
    for (uint32_t channel = 0; channel < audience->channels; channel++) {
        assert_int_equal(audience_size(audience, channel), sizes[channel]);
    }
    free(sizes);
}

static void test_shapes(void **state)
{
    (void)state;
    for (uint32_t channels = 1; channels <= 24; channels++) {
        for (uint32_t each = 1; each <= channels; each++) {
            const struct audience audience = {
                .subscribers = 50, .channels = channels, .channels_each = each};
            check_shape(&audience);
        }
    }
}

static void test_a_channel_that_is_not_the_subscribers(void **state)
{
    const struct audience audience = {.subscribers = 10, .channels = 10, .channels_each = 2};

    (void)state;
    assert_int_equal(audience_place(&audience, 4, 8), 0);
    assert_int_equal(audience_place(&audience, 4, 9), 1);
    assert_int_equal(audience_place(&audience, 4, 0), NONE);
    assert_int_equal(audience_place(&audience, 4, 7), NONE);
    assert_int_equal(audience_place(&audience, 4, 10), NONE);
}

static void test_large_numbers(void **state)
{
    const struct audience audience = {
        .subscribers = 10000000, .channels = 9999999, .channels_each = 128};

    (void)state;
    assert_int_equal(audience_size(&audience, 0), 129);
    assert_int_equal(audience_place(&audience, 9999998, audience_channel(&audience, 9999998, 127)),
                     127);
}

static void test_names(void **state)
{
    const struct audience one = {.subscribers = 1, .channels = 1, .channels_each = 1};
    const struct audience many = {.subscribers = 1, .channels = 20, .channels_each = 1};
    char out[AUDIENCE_NAME_SIZE];

    (void)state;
    assert_string_equal(audience_name(&one, "news", 0, out), "news");
    assert_string_equal(audience_name(&many, "news", 17, out), "news-17");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_a_channel_that_is_not_the_subscribers),
        cmocka_unit_test(test_large_numbers),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
