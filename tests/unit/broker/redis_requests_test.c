/*
 * Goal: each request ends in one event, in the order of the channel: also when Redis has forgotten
 * the script while others are on their way, and when the connection ends among them; the bound of
 * requests is exact.
 */
#include "scripted_redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define REQUESTS_MAX 16u

static struct scripted_redis *redis;

static int setup(void **state)
{
    const struct redis_options options = {.requests_max = REQUESTS_MAX};

    (void)state;
    redis = scripted_open(options);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scripted_close(redis);
    return 0;
}

/* Its payload is its ticket. */
static enum broker_outcome publish(unsigned ticket, uint32_t history_size)
{
    char payload[12];

    (void)snprintf(payload, sizeof(payload), "%u", ticket);
    const struct broker_publication publication = {
        .channel = slice_text("a"),
        .payload = slice_text(payload),
        .history = {.size = history_size, .age_s = 60},
    };
    return redis->broker->kind->publish(redis->broker, ticket, &publication);
}

static void publish_well(unsigned ticket)
{
    assert_int_equal(publish(ticket, 100), BROKER_DONE);
}

/* That these were asked, as "EVALSHA 2 EVAL 3". */
static void expect_asked(const char *expected)
{
    char got[1000] = "";
    size_t size = 0;

    scripted_turn(redis);
    char *lines = strdup(scripted_asked(redis));
    assert_non_null(lines);
    for (const char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n")) {
        char verb[10];
        char payload[10] = "-";
        (void)sscanf(line, "%9s 2 p:{a}:stream p:{a}:meta p:a %9s", verb, payload);
        size += (size_t)snprintf(got + size, sizeof(got) - size, "%s%s %s", size > 0 ? " " : "",
                                 verb, payload);
        assert_true(size < sizeof(got));
    }
    free(lines);
    assert_string_equal(got, expected);
}

static void say(const char *bytes)
{
    scripted_say(redis, SCRIPTED_COMMANDS, bytes);
}

static void say_published(unsigned offset)
{
    char bytes[64];

    (void)snprintf(bytes, sizeof(bytes), "*3\r\n:%u\r\n$1\r\ne\r\n:1\r\n", offset);
    say(bytes);
}

static void say_no_script(void)
{
    say("-NOSCRIPT No matching script. Please use EVAL.\r\n");
}

static void expect(const char *events)
{
    scripted_turn(redis);
    assert_string_equal(scripted_events(redis), events);
}

static void answers_in_order(void **state)
{
    (void)state;
    publish_well(1);
    publish_well(2);
    expect_asked("EVALSHA 1 EVALSHA 2");
    say_published(1);
    say("-OOM command not allowed\r\n");
    expect("1 done\n2 refused\n");
}

/* --- a script that Redis has forgotten
 * -------------------------------------------------------------- */

static void a_forgotten_script_is_sent_with_its_text(void **state)
{
    (void)state;
    publish_well(1);
    expect_asked("EVALSHA 1");
    say_no_script();
    expect("");
    expect_asked("EVAL 1");
    publish_well(2);
    expect_asked("EVALSHA 2");
    say_published(1);
    say_published(2);
    expect("1 done\n2 done\n");
}

static void none_overtakes_what_is_sent_again(void **state)
{
    (void)state;
    publish_well(1);
    publish_well(2);
    expect_asked("EVALSHA 1 EVALSHA 2");
    say_no_script();
    expect("");
    publish_well(3); /* 2 has no answer yet: it will have to be sent again, before 3 */
    expect_asked("");
    say_no_script();
    publish_well(4);
    expect_asked("EVAL 1 EVAL 2 EVALSHA 3 EVALSHA 4");
    for (unsigned i = 1; i <= 4; i++) {
        say_published(i);
    }
    expect("1 done\n2 done\n3 done\n4 done\n");
    publish_well(5);
    expect_asked("EVALSHA 5");
}

static void other_answers_among_them(void **state)
{
    (void)state;
    publish_well(1);
    assert_int_equal(publish(2, 0), BROKER_DONE);
    publish_well(3);
    expect_asked("EVALSHA 1 PUBLISH - EVALSHA 3");
    say_no_script();
    say(":1\r\n");
    expect("2 done\n");
    expect_asked("");
    say_no_script();
    expect("");
    expect_asked("EVAL 1 EVAL 3");
}

/* Nothing was done of what would have been sent again. */
static void the_connection_ends_among_them(void **state)
{
    (void)state;
    publish_well(1);
    publish_well(2);
    expect_asked("EVALSHA 1 EVALSHA 2");
    say_no_script();
    expect("");
    publish_well(3);
    scripted_cut(redis, SCRIPTED_COMMANDS);
    assert_string_equal(scripted_events(redis), "2 unknown\n1 away\n3 away\n");
    publish_well(4);
    expect_asked("EVALSHA 4");
}

static void closed_among_them(void **state)
{
    (void)state;
    publish_well(1);
    publish_well(2);
    expect_asked("EVALSHA 1 EVALSHA 2");
    say_no_script();
    expect("");
    publish_well(3); /* freed by the teardown, as the sanitizers see */
}

/* --- the bound
 * --------------------------------------------------------------------------------------- */

static void the_bound_is_exact(void **state)
{
    struct broker_health health;

    (void)state;
    for (unsigned i = 0; i < REQUESTS_MAX; i++) {
        publish_well(i);
    }
    assert_int_equal(publish(99, 100), BROKER_FULL);
    assert_int_equal(publish(99, 0), BROKER_FULL);
    redis->broker->kind->health(redis->broker, &health, redis->now_ms);
    assert_int_equal(health.requests, REQUESTS_MAX);
    scripted_turn(redis);
    say_published(1);
    expect("0 done\n");
    publish_well(99);
    assert_int_equal(publish(100, 100), BROKER_FULL);
}

/* What waits for its turn counts, too. */
static void the_bound_holds_while_others_are_sent_again(void **state)
{
    (void)state;
    publish_well(0);
    publish_well(1);
    scripted_turn(redis);
    say_no_script();
    scripted_turn(redis);
    for (unsigned i = 2; i < REQUESTS_MAX; i++) {
        publish_well(i);
    }
    assert_int_equal(publish(99, 100), BROKER_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_forgotten_script_is_sent_with_its_text, setup, teardown),
        cmocka_unit_test_setup_teardown(none_overtakes_what_is_sent_again, setup, teardown),
        cmocka_unit_test_setup_teardown(other_answers_among_them, setup, teardown),
        cmocka_unit_test_setup_teardown(the_connection_ends_among_them, setup, teardown),
        cmocka_unit_test_setup_teardown(closed_among_them, setup, teardown),
        cmocka_unit_test_setup_teardown(the_bound_is_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(the_bound_holds_while_others_are_sent_again, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
