/*
 * Goal: a channel with history is delivered in order, once and whole, in whatever order what its
 * subscription brings, the answers to commands and the ends of connections come; a gap is counted
 * when there is one, and only then.
 */
#include "scripted_redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct scripted_redis *redis;

static int setup(void **state)
{
    (void)state;
    redis = scripted_open((struct redis_options){.requests_max = 0});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scripted_close(redis);
    return 0;
}

static void follow(void)
{
    const struct broker_history history = {.size = 100, .age_s = 60};

    redis->broker->kind->follow(redis->broker, slice_text("a"), false, &history);
    scripted_turn(redis);
    assert_string_equal(scripted_asked(redis), "SUBSCRIBE p:a\n");
}

static void confirm(void)
{
    scripted_say(redis, SCRIPTED_SUBSCRIBER, "*3\r\n$9\r\nsubscribe\r\n$3\r\np:a\r\n:2\r\n");
}

/* That the position alone is asked for. */
static void expect_position_asked(void)
{
    assert_string_equal(scripted_asked(redis), "EVALSHA 2 p:{a}:stream p:{a}:meta 0 - \n");
}

static void expect_asked_from(unsigned offset)
{
    char line[100];

    (void)snprintf(line, sizeof(line), "EVALSHA 2 p:{a}:stream p:{a}:meta 256 %u \n", offset);
    assert_string_equal(scripted_asked(redis), line);
}

/* The stream's top, and what it has from first to last (0: nothing). */
static void answer(const char *epoch, unsigned top, unsigned first, unsigned last)
{
    const unsigned count = first > 0 ? last - first + 1 : 0;
    char bytes[4096];
    int size = snprintf(bytes, sizeof(bytes), "*3\r\n$%zu\r\n%s\r\n:%u\r\n*%u\r\n", strlen(epoch),
                        epoch, top, count);

    for (unsigned i = first; i < first + count; i++) {
        size += snprintf(bytes + size, sizeof(bytes) - (size_t)size,
                         "*2\r\n$3\r\n%u-0\r\n*2\r\n$1\r\nd\r\n$1\r\n%u\r\n", i, i);
    }
    scripted_say(redis, SCRIPTED_COMMANDS, bytes);
}

static void message(unsigned offset)
{
    char payload[12];

    (void)snprintf(payload, sizeof(payload), "%u", offset);
    scripted_message(redis, "p:a", offset, "e", payload);
}

static void expect(const char *lines)
{
    scripted_turn(redis);
    assert_string_equal(scripted_events(redis), lines);
}

/* A channel that is followed, and whose position is known. */
static void start_at(unsigned offset)
{
    follow();
    confirm();
    scripted_turn(redis);
    expect_position_asked();
    answer("e", offset, 0, 0);
    expect("");
}

/* --- the beginning
 * --------------------------------------------------------------------------------- */

/* Redis writes to its clients in any order: the answer may overtake the message it counts. */
static void the_position_comes_before_the_message(void **state)
{
    (void)state;
    follow();
    confirm();
    scripted_turn(redis);
    expect_position_asked();
    answer("e", 2, 0, 0); /* two were published since the subscription began */
    expect("");
    message(1);
    message(2);
    message(3);
    expect("1\n2\n3\n");
    message(3);
    expect("");
    assert_int_equal(scripted_gaps(redis), 0);
}

static void the_message_comes_before_an_older_position(void **state)
{
    (void)state;
    follow();
    confirm();
    scripted_turn(redis);
    expect_position_asked();
    message(5);
    expect("5\n");
    answer("e", 4, 0, 0);
    expect("");
    message(5);
    message(6);
    expect("6\n");
    scripted_cut(redis, SCRIPTED_SUBSCRIBER);
    assert_string_equal(scripted_asked(redis), "SUBSCRIBE p:a\n");
    confirm();
    scripted_turn(redis);
    expect_asked_from(7);
    answer("e", 7, 7, 7);
    expect("7\n");
    assert_int_equal(scripted_gaps(redis), 0);
}

static void the_message_comes_before_a_newer_position(void **state)
{
    (void)state;
    follow();
    confirm();
    scripted_turn(redis);
    expect_position_asked();
    message(5);
    expect("5\n");
    message(6);
    expect(""); /* until the answer is there */
    answer("e", 7, 0, 0);
    expect("6\n");
    message(7);
    expect("7\n");
    assert_int_equal(scripted_gaps(redis), 0);
}

static void nobody_published_before_the_connection_ended(void **state)
{
    (void)state;
    start_at(3);
    scripted_cut(redis, SCRIPTED_SUBSCRIBER);
    confirm();
    scripted_turn(redis);
    (void)scripted_asked(redis);
    message(6);
    expect("");
    answer("e", 6, 4, 6);
    expect("4\n5\n6\n");
    assert_int_equal(scripted_gaps(redis), 0);
}

/* The answer to what was asked for subscribers who have left is not about those who came. */
static void followed_again_before_the_answer(void **state)
{
    (void)state;
    start_at(0);
    message(1);
    message(3);
    expect("1\n");
    expect_asked_from(2);
    redis->broker->kind->unfollow(redis->broker, slice_text("a"), false);
    const struct broker_history history = {.size = 100, .age_s = 60};
    redis->broker->kind->follow(redis->broker, slice_text("a"), false, &history);
    scripted_turn(redis);
    message(9);
    expect("9\n");
    answer("e", 3, 2, 3);
    expect("");
    message(10);
    expect("10\n");
    assert_int_equal(scripted_gaps(redis), 0);
}

/* --- gaps
 * ------------------------------------------------------------------------------------------- */

static void a_hole_is_filled(void **state)
{
    (void)state;
    start_at(1);
    message(2);
    message(5);
    message(6);
    expect("2\n");
    expect_asked_from(3);
    answer("e", 6, 3, 6);
    expect("3\n4\n5\n6\n");
    assert_int_equal(scripted_gaps(redis), 0);
}

static void what_the_stream_has_no_more_is_a_gap(void **state)
{
    (void)state;
    start_at(1);
    message(2);
    message(7);
    expect("2\n");
    expect_asked_from(3);
    answer("e", 7, 6, 7);
    expect("6\n7\n");
    assert_int_equal(scripted_gaps(redis), 1);
}

/* FLUSHALL: nothing was missed, the connection has brought all there was. */
static void a_new_stream_on_the_same_connection_is_no_gap(void **state)
{
    (void)state;
    start_at(4);
    message(5);
    expect("5\n");
    scripted_message(redis, "p:a", 1, "new", "first");
    scripted_message(redis, "p:a", 2, "new", "second");
    expect("first\nsecond\n");
    assert_string_equal(scripted_asked(redis), "");
    assert_int_equal(scripted_gaps(redis), 0);
}

/* Somebody else's stream may have had more before. */
static void a_new_stream_that_is_not_at_its_beginning_is_a_gap(void **state)
{
    (void)state;
    start_at(4);
    message(5);
    expect("5\n");
    scripted_message(redis, "p:a", 2, "new", "2");
    expect("");
    expect_asked_from(6);
    answer("new", 2, 0, 0);
    expect("");
    expect_asked_from(1);
    answer("new", 2, 1, 2);
    expect("1\n2\n");
    assert_int_equal(scripted_gaps(redis), 1);
}

static void a_new_stream_after_the_connection_ended_is_a_gap(void **state)
{
    (void)state;
    start_at(4);
    message(5);
    expect("5\n");
    scripted_cut(redis, SCRIPTED_SUBSCRIBER);
    confirm();
    scripted_turn(redis);
    (void)scripted_asked(redis);
    answer("new", 1, 0, 0);
    expect("");
    expect_asked_from(1);
    answer("new", 1, 1, 1);
    expect("1\n");
    assert_int_equal(scripted_gaps(redis), 1);
}

/* A new stream while another gap is filled. */
static void a_new_stream_among_the_held_ones(void **state)
{
    (void)state;
    start_at(1);
    message(3);
    expect("");
    expect_asked_from(2);
    scripted_message(redis, "p:a", 1, "new", "first");
    expect("");
    answer("e", 3, 2, 3);
    expect("2\n3\nfirst\n");
    assert_int_equal(scripted_gaps(redis), 0);
}

/* The connection ended among them: the old stream may have had more. */
static void a_new_stream_after_the_connection_ended_among_the_held_ones(void **state)
{
    (void)state;
    start_at(1);
    message(3);
    expect("");
    expect_asked_from(2);
    scripted_cut(redis, SCRIPTED_SUBSCRIBER);
    confirm();
    scripted_message(redis, "p:a", 1, "new", "1");
    scripted_turn(redis);
    answer("e", 3, 2, 3);
    expect("2\n3\n");
    (void)scripted_asked(redis);
    answer("new", 1, 0, 0);
    expect("");
    expect_asked_from(1);
    answer("new", 1, 1, 1);
    expect("1\n");
    assert_int_equal(scripted_gaps(redis), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_position_comes_before_the_message, setup, teardown),
        cmocka_unit_test_setup_teardown(the_message_comes_before_an_older_position, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_message_comes_before_a_newer_position, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_published_before_the_connection_ended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(followed_again_before_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hole_is_filled, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_stream_has_no_more_is_a_gap, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_stream_on_the_same_connection_is_no_gap, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_new_stream_that_is_not_at_its_beginning_is_a_gap, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_new_stream_after_the_connection_ended_is_a_gap, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_new_stream_among_the_held_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_stream_after_the_connection_ended_among_the_held_ones,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
