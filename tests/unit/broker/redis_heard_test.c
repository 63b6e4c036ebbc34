/*
 * Goal: what a lost connection took from channels that only patterns reach is caught up, in order
 * and once; a pattern that comes back, or another one, never brings what was before it.
 */
#include "scripted_redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct scripted_redis *redis;
static const struct broker_history history = {.size = 100, .age_s = 60};

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

static void expect_asked(const char *lines)
{
    scripted_turn(redis);
    assert_string_equal(scripted_asked(redis), lines);
}

static void expect(const char *lines)
{
    scripted_turn(redis);
    assert_string_equal(scripted_events(redis), lines);
}

static void confirm(const char *kind, const char *name)
{
    char bytes[200];

    (void)snprintf(bytes, sizeof(bytes), "*3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n:1\r\n", strlen(kind),
                   kind, strlen(name), name);
    scripted_say(redis, SCRIPTED_SUBSCRIBER, bytes);
}

static void follow_pattern(const char *pattern, const char *asked)
{
    redis->broker->kind->follow(redis->broker, slice_text(pattern), true, &history);
    expect_asked(asked);
}

static void unfollow_pattern(const char *pattern, const char *asked)
{
    redis->broker->kind->unfollow(redis->broker, slice_text(pattern), true);
    expect_asked(asked);
}

static void message(const char *pattern, const char *channel, unsigned offset)
{
    char payload[12];

    (void)snprintf(payload, sizeof(payload), "%u", offset);
    scripted_pattern_message(redis, pattern, channel, offset, "e", payload);
}

/* Entries from first to last of a stream whose top is last. */
static void answer(unsigned first, unsigned last)
{
    char bytes[4096];
    int size = snprintf(bytes, sizeof(bytes), "*3\r\n$1\r\ne\r\n:%u\r\n*%u\r\n", last,
                        first > 0 ? last - first + 1 : 0);

    for (unsigned i = first; first > 0 && i <= last; i++) {
        size += snprintf(bytes + size, sizeof(bytes) - (size_t)size,
                         "*2\r\n$3\r\n%u-0\r\n*2\r\n$1\r\nd\r\n$1\r\n%u\r\n", i, i);
    }
    scripted_say(redis, SCRIPTED_COMMANDS, bytes);
}

/* A pattern, and a channel that it has brought up to the offset: a fetch begins with the next. */
static void hear(unsigned offset)
{
    char line[12];

    follow_pattern("n:*", "PSUBSCRIBE p:n:*\n");
    confirm("psubscribe", "p:n:*");
    message("p:n:*", "p:n:a", offset);
    (void)snprintf(line, sizeof(line), "%u\n", offset);
    expect(line);
    expect_asked("");
}

static void what_a_lost_connection_took_is_fetched(void **state)
{
    (void)state;
    hear(3);
    scripted_cut(redis, SCRIPTED_SUBSCRIBER);
    expect_asked("PSUBSCRIBE p:n:*\n");
    confirm("psubscribe", "p:n:*");
    message("p:n:*", "p:n:a", 6); /* it waits for those before it */
    expect("");
    expect_asked("EVALSHA 2 p:{n:a}:stream p:{n:a}:meta 256 4 \n");
    answer(4, 6);
    expect("4\n5\n6\n");
    message("p:n:*", "p:n:a", 7);
    expect("7\n");
    assert_int_equal(scripted_gaps(redis), 0);
}

static void each_of_its_channels_is_asked_for(void **state)
{
    (void)state;
    hear(3);
    message("p:n:*", "p:n:b", 1);
    expect("1\n");
    scripted_cut(redis, SCRIPTED_SUBSCRIBER);
    expect_asked("PSUBSCRIBE p:n:*\n");
    confirm("psubscribe", "p:n:*");
    scripted_turn(redis);
    scripted_turn(redis);
    const char *asked = scripted_asked(redis);
    assert_non_null(strstr(asked, "p:{n:a}:meta 256 4 \n"));
    assert_non_null(strstr(asked, "p:{n:b}:meta 256 2 \n"));
}

static void live_messages_of_a_pattern_are_not_kept(void **state)
{
    (void)state;
    follow_pattern("n:*", "PSUBSCRIBE p:n:*\n");
    confirm("psubscribe", "p:n:*");
    message("p:n:*", "p:n:a", 0);
    expect("0\n");
    scripted_cut(redis, SCRIPTED_SUBSCRIBER);
    expect_asked("PSUBSCRIBE p:n:*\n");
    confirm("psubscribe", "p:n:*");
    expect_asked("");
    expect_asked("");
}

static void a_pattern_that_comes_back_begins_anew(void **state)
{
    (void)state;
    hear(3);
    unfollow_pattern("n:*", "PUNSUBSCRIBE p:n:*\n");
    confirm("punsubscribe", "p:n:*");
    expect_asked("");
    follow_pattern("n:*", "PSUBSCRIBE p:n:*\n");
    confirm("psubscribe", "p:n:*");
    message("p:n:*", "p:n:a", 9);
    expect("9\n");
    expect_asked("");
}

static void another_pattern_keeps_it(void **state)
{
    (void)state;
    hear(3);
    follow_pattern("n*", "PSUBSCRIBE p:n*\n");
    confirm("psubscribe", "p:n*");
    unfollow_pattern("n:*", "PUNSUBSCRIBE p:n:*\n");
    confirm("punsubscribe", "p:n:*");
    expect_asked("");
    message("p:n*", "p:n:a", 5); /* the fourth was lost somewhere */
    expect("");
    expect_asked("EVALSHA 2 p:{n:a}:stream p:{n:a}:meta 256 4 \n");
    answer(4, 5);
    expect("4\n5\n");
}

static void followed_by_its_name_it_goes_on_from_there(void **state)
{
    (void)state;
    hear(3);
    redis->broker->kind->follow(redis->broker, slice_text("n:a"), false, &history);
    expect_asked("SUBSCRIBE p:n:a\n");
    message("p:n:*", "p:n:a", 4); /* Redis does not know of it yet */
    expect("4\n");
    confirm("subscribe", "p:n:a");
    message("p:n:*", "p:n:a", 5);
    scripted_message(redis, "p:n:a", 5, "e", "5");
    expect("");
    expect_asked("EVALSHA 2 p:{n:a}:stream p:{n:a}:meta 256 5 \n");
    answer(5, 5);
    expect("5\n");
}

static void left_by_its_name_it_stays_the_patterns(void **state)
{
    (void)state;
    hear(3);
    redis->broker->kind->follow(redis->broker, slice_text("n:a"), false, &history);
    expect_asked("SUBSCRIBE p:n:a\n");
    confirm("subscribe", "p:n:a");
    scripted_turn(redis);
    expect_asked("EVALSHA 2 p:{n:a}:stream p:{n:a}:meta 256 4 \n");
    answer(0, 3);
    expect("");
    redis->broker->kind->unfollow(redis->broker, slice_text("n:a"), false);
    expect_asked("UNSUBSCRIBE p:n:a\n");
    scripted_cut(redis, SCRIPTED_SUBSCRIBER);
    expect_asked("PSUBSCRIBE p:n:*\n");
    confirm("psubscribe", "p:n:*");
    scripted_turn(redis);
    expect_asked("EVALSHA 2 p:{n:a}:stream p:{n:a}:meta 256 4 \n");
    answer(4, 4);
    expect("4\n");
}

static void with_one_pattern_for_all(void **state)
{
    (void)state;
    scripted_close(redis);
    const struct redis_options options = {.one_pattern = true};
    redis = scripted_open(options);
    expect_asked("PSUBSCRIBE p:*\n");
    confirm("psubscribe", "p:*");
    follow_pattern("n:*", "");
    message("p:*", "p:n:a", 1);
    message("p:*", "p:other", 1); /* nobody's */
    expect("1\n1\n");
    scripted_cut(redis, SCRIPTED_SUBSCRIBER);
    expect_asked("PSUBSCRIBE p:*\n");
    confirm("psubscribe", "p:*");
    scripted_turn(redis);
    expect_asked("EVALSHA 2 p:{n:a}:stream p:{n:a}:meta 256 2 \n");
    answer(2, 2);
    expect("2\n");
    expect_asked("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_lost_connection_took_is_fetched, setup, teardown),
        cmocka_unit_test_setup_teardown(each_of_its_channels_is_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(live_messages_of_a_pattern_are_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pattern_that_comes_back_begins_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(another_pattern_keeps_it, setup, teardown),
        cmocka_unit_test_setup_teardown(followed_by_its_name_it_goes_on_from_there, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(left_by_its_name_it_stays_the_patterns, setup, teardown),
        cmocka_unit_test_setup_teardown(with_one_pattern_for_all, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
