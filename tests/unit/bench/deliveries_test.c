/*
 * Goal: a message that is missing, repeated, late or somebody else's is counted as what it is, for
 * each subscriber, publisher and channel on its own; against a plain list of what was seen.
 */
#include "bench/deliveries.h"
#include "bench/stamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- one track -------------------------------------------------------------------------------- */

static void test_in_order(void **state)
{
    struct track track = {0};

    (void)state;
    for (uint32_t i = 1; i <= 1000; i++) {
        assert_int_equal(track_take(&track, i), SIGHTING_NEXT);
    }
    assert_int_equal(track_take(&track, 1000), SIGHTING_DUPLICATE);
    assert_int_equal(track_take(&track, 937), SIGHTING_DUPLICATE); /* the last that is known */
    assert_int_equal(track_take(&track, 936), SIGHTING_DUPLICATE); /* too old to know */
}

static void test_a_gap_that_is_filled_later(void **state)
{
    struct track track = {0};

    (void)state;
    assert_int_equal(track_take(&track, 3), SIGHTING_NEXT);
    assert_int_equal(track_take(&track, 1), SIGHTING_REORDERED);
    assert_int_equal(track_take(&track, 1), SIGHTING_DUPLICATE);
    assert_int_equal(track_take(&track, 2), SIGHTING_REORDERED);
    assert_int_equal(track_take(&track, 4), SIGHTING_NEXT);
}

static void test_the_window_ends_where_it_says(void **state)
{
    (void)state;
    for (uint32_t step = 1; step <= 130; step++) {
        struct track track = {0};
        assert_int_equal(track_take(&track, 1), SIGHTING_NEXT);
        assert_int_equal(track_take(&track, 2 + step), SIGHTING_NEXT);
        assert_int_equal(track_take(&track, 2),
                         step < 64 ? SIGHTING_REORDERED : SIGHTING_DUPLICATE);
    }
}

/* Against the truth: near disorder, repetitions and losses at random. */
static void test_random_disorder(void **state)
{
    static bool seen[5001];
    struct track track = {0};
    uint64_t random = 88172645463325252u;
    uint32_t latest = 0;

    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint32_t low = latest > 60 ? latest - 60 : 1;
        uint32_t sequence = low + (uint32_t)(random >> 33) % 64;
        if (sequence > 5000) {
            break;
        }
        enum sighting expected = seen[sequence]      ? SIGHTING_DUPLICATE
                                 : sequence > latest ? SIGHTING_NEXT
                                                     : SIGHTING_REORDERED;
        assert_int_equal(track_take(&track, sequence), expected);
        seen[sequence] = true;
        latest = sequence > latest ? sequence : latest;
    }
    assert_true(latest > 1000);
}

/* --- all of them ------------------------------------------------------------------------------ */

static bool take(struct deliveries *deliveries, uint32_t subscriber, struct stamp stamp)
{
    uint8_t message[MESSAGE_SIZE_MIN];

    stamp_write(&stamp, message, sizeof(message));
    return deliveries_take(deliveries, subscriber, slice_from(message, sizeof(message)), 5000);
}

/* Every publisher's message of that number to every channel of the subscriber. */
static void take_all(struct deliveries *deliveries, uint32_t subscriber, uint32_t sequence)
{
    const struct audience *audience = deliveries->audience;

    for (uint32_t place = 0; place < audience->channels_each; place++) {
        for (uint32_t publisher = 0; publisher < deliveries->publishers; publisher++) {
            const struct stamp stamp = {.channel = audience_channel(audience, subscriber, place),
                                        .publisher = (uint16_t)publisher,
                                        .sequence = sequence,
                                        .time_ns = 4000};
            assert_true(take(deliveries, subscriber, stamp));
        }
    }
}

static void test_each_track_is_its_own(void **state)
{
    const struct audience audience = {.subscribers = 12, .channels = 4, .channels_each = 2};
    struct deliveries *deliveries = malloc(sizeof(*deliveries));

    (void)state;
    assert_non_null(deliveries);
    assert_int_equal(deliveries_open(deliveries, &audience, 3, 6, 6), 0);
    for (uint32_t sequence = 1; sequence <= 2; sequence++) {
        for (uint32_t i = 6; i < 12; i++) {
            take_all(deliveries, i, sequence);
        }
    }
    assert_int_equal(counter_read(&deliveries->counts.received), 6 * 2 * 3 * 2);
    assert_int_equal(counter_read(&deliveries->counts.reordered), 0);
    assert_int_equal(counter_read(&deliveries->counts.duplicated), 0);
    assert_int_equal(deliveries->latency.count, 72);
    assert_int_equal(histogram_percentile(&deliveries->latency, 100), 1000);
    deliveries_close(deliveries);
    free(deliveries);
}

static void test_what_is_wrong_is_told_apart(void **state)
{
    const struct audience audience = {.subscribers = 4, .channels = 4, .channels_each = 1};
    struct deliveries *deliveries = malloc(sizeof(*deliveries));
    const struct delivery_counts *counts = &deliveries->counts;
    struct stamp stamp = {.channel = 1, .sequence = 2, .time_ns = 6000};

    (void)state;
    assert_non_null(deliveries);
    assert_int_equal(deliveries_open(deliveries, &audience, 1, 0, 4), 0);
    assert_true(take(deliveries, 1, stamp));
    assert_false(take(deliveries, 1, stamp));
    assert_int_equal(counter_read(&counts->duplicated), 1);
    stamp.sequence = 1;
    assert_true(take(deliveries, 1, stamp));
    assert_int_equal(counter_read(&counts->reordered), 1);
    assert_int_equal(counter_read(&counts->received), 2);
    assert_int_equal(histogram_percentile(&deliveries->latency, 100),
                     0); /* a clock of the future */

    assert_false(take(deliveries, 2, stamp)); /* not its channel */
    stamp.channel = 9;
    assert_false(take(deliveries, 1, stamp));
    stamp.channel = 1;
    stamp.publisher = 1;
    assert_false(take(deliveries, 1, stamp));
    assert_false(deliveries_take(deliveries, 1, slice_text("hello"), 0));
    assert_int_equal(counter_read(&counts->foreign), 4);
    assert_int_equal(counter_read(&counts->received), 2);
    deliveries_close(deliveries);
    free(deliveries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_a_gap_that_is_filled_later),
        cmocka_unit_test(test_the_window_ends_where_it_says),
        cmocka_unit_test(test_random_disorder),
        cmocka_unit_test(test_each_track_is_its_own),
        cmocka_unit_test(test_what_is_wrong_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
