/*
 * Goal: a feed gives its messages by the rate or by the window and no others, numbers them for each
 * publisher and channel, and says what is to be delivered of them.
 */
#include "bench/feed.h"
#include "bench/stamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND 1000000000u
#define START  77777777u

static const struct audience audience = {.subscribers = 25, .channels = 10, .channels_each = 1};

static struct feed_options make_options(void)
{
    return (struct feed_options){.audience = &audience,
                                 .publishers = 2,
                                 .messages_max = 100,
                                 .window = 4,
                                 .size = MESSAGE_SIZE_MIN,
                                 .seed = 1};
}

static void open_feed(struct feed *feed, const struct feed_options *options)
{
    assert_int_equal(feed_open(feed, options), 0);
    feed_start(feed, START);
}

static struct stamp next(struct feed *feed, uint64_t now_ns, uint32_t publisher, uint32_t channel)
{
    uint8_t message[MESSAGE_SIZE_MIN];
    struct stamp stamp;

    feed_next(feed, now_ns, publisher, channel, message);
    assert_true(stamp_read(slice_from(message, sizeof(message)), &stamp));
    assert_int_equal(stamp.channel, channel);
    assert_int_equal(stamp.publisher, publisher);
    return stamp;
}

static void test_by_rate(void **state)
{
    struct feed_options options = make_options();
    struct feed feed;

    (void)state;
    options.rate = 10;
    open_feed(&feed, &options);
    assert_int_equal(feed_due(&feed, START, 0), 1);
    assert_true(next(&feed, START + 5, 0, 0).time_ns == START);
    assert_int_equal(feed_due(&feed, START + SECOND / 10 - 1000, 0), 0);
    assert_int_equal(feed_wait_ns(&feed, START + SECOND / 10 - 1000), 1000);
    assert_int_equal(feed_wait_ns(&feed, START + SECOND), 0);
    /* Held up for half a second: all that is due, stamped with its time. */
    assert_int_equal(feed_due(&feed, START + SECOND / 2 + 1000, 0), 5);
    assert_true(next(&feed, START + SECOND / 2, 0, 0).time_ns == START + SECOND / 10);
    assert_int_equal(counter_read(&feed.is_done), 0);
    feed_close(&feed);
}

static void test_numbers_and_expected_deliveries(void **state)
{
    const struct feed_options options = make_options();
    struct feed feed;

    (void)state;
    open_feed(&feed, &options);
    assert_int_equal(next(&feed, START, 0, 3).sequence, 1);
    assert_int_equal(next(&feed, START, 0, 3).sequence, 2);
    assert_int_equal(next(&feed, START, 1, 3).sequence, 1);
    assert_int_equal(next(&feed, START, 0, 7).sequence, 1);
    /* 25 subscribers on 10 channels: three on the first five, two on the others. */
    assert_int_equal(counter_read(&feed.expected), 3 + 3 + 3 + 2);
    feed_refuse(&feed, 7);
    assert_int_equal(counter_read(&feed.expected), 9);
    assert_int_equal(counter_read(&feed.refused), 1);
    assert_int_equal(counter_read(&feed.published), 4);
    feed_close(&feed);
}

static void test_flat_out_waits_for_the_window(void **state)
{
    const struct feed_options options = make_options();
    struct feed feed;

    (void)state;
    open_feed(&feed, &options);
    assert_int_equal(feed_due(&feed, START, 0), 4);
    for (uint32_t i = 0; i < 4; i++) {
        (void)next(&feed, START, 0, 0); /* three deliveries each */
    }
    assert_int_equal(feed_due(&feed, START, 0), 0);
    assert_int_equal(feed_due(&feed, START, 2), 0); /* one is not everywhere yet */
    assert_int_equal(feed_due(&feed, START, 3), 1);
    assert_int_equal(feed_due(&feed, START, 11), 3);
    assert_int_equal(feed_due(&feed, START, 12), 4);
    feed_close(&feed);
}

/* A loss does not stop it for ever. */
static void test_flat_out_forgives(void **state)
{
    const struct feed_options options = make_options();
    struct feed feed;

    (void)state;
    open_feed(&feed, &options);
    for (uint32_t i = 0; i < 4; i++) {
        (void)next(&feed, START, 0, 0);
    }
    assert_int_equal(feed_due(&feed, START + SECOND, 2), 0); /* something came just now */
    assert_int_equal(feed_due(&feed, START + 2ull * SECOND, 2), 0);
    assert_int_equal(feed_due(&feed, START + 2ull * SECOND + 1, 2), 4);
    feed_close(&feed);
}

static void test_it_ends_with_the_last_message(void **state)
{
    struct feed_options options = make_options();
    struct feed feed;

    (void)state;
    options.window = 1000;
    options.messages_max = 7;
    open_feed(&feed, &options);
    assert_int_equal(feed_due(&feed, START, 0), 7);
    for (uint32_t i = 0; i < 7; i++) {
        (void)next(&feed, START, 0, feed_channel(&feed));
    }
    assert_int_equal(counter_read(&feed.is_done), 0);
    assert_int_equal(feed_due(&feed, START, 0), 0);
    assert_int_equal(counter_read(&feed.is_done), 1);
    feed_close(&feed);
}

static void test_it_ends_with_the_duration(void **state)
{
    struct feed_options options = make_options();
    struct feed feed;

    (void)state;
    options.messages_max = 0;
    options.duration_ns = SECOND;
    options.rate = 1000;
    open_feed(&feed, &options);
    assert_int_equal(feed_due(&feed, START + SECOND - 1, 0), 1000);
    assert_int_equal(feed_due(&feed, START + SECOND, 0), 0);
    assert_int_equal(counter_read(&feed.is_done), 1);
    feed_close(&feed);
}

static void test_channels_are_spread(void **state)
{
    const struct feed_options options = make_options();
    uint32_t counts[10] = {0};
    struct feed feed;

    (void)state;
    open_feed(&feed, &options);
    for (uint32_t i = 0; i < 10000; i++) {
        counts[feed_channel(&feed)]++;
    }
    for (uint32_t i = 0; i < 10; i++) {
        assert_in_range(counts[i], 850, 1150);
    }
    feed_close(&feed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_rate),
        cmocka_unit_test(test_numbers_and_expected_deliveries),
        cmocka_unit_test(test_flat_out_waits_for_the_window),
        cmocka_unit_test(test_flat_out_forgives),
        cmocka_unit_test(test_it_ends_with_the_last_message),
        cmocka_unit_test(test_it_ends_with_the_duration),
        cmocka_unit_test(test_channels_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
