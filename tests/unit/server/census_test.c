/*
 * Goal: questions are answered one after the other, oldest first, each with what all shards said,
 * merged by name; pieces of a question that was given up change nothing; too many questions, and
 * too many names, are told; nothing is left of a question that has ended or was given up.
 */
#include "server/census.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NAMES_SIZE_MAX (64u << 20) /* bytes that the names of an answer may take */

/* A question is only handed on, never looked into. */
static char questions[CENSUS_WAITING_MAX + 2];

static struct relay_ask *question(uint32_t number)
{
    return (struct relay_ask *)(void *)&questions[number];
}

static size_t put(uint8_t *out, uint32_t subscribers, struct slice name)
{
    memcpy(out, &subscribers, sizeof(subscribers));
    out[sizeof(subscribers)] = (uint8_t)name.size;
    memcpy(out + sizeof(subscribers) + 1, name.data, name.size);
    return sizeof(subscribers) + 1 + name.size;
}

/* A piece with one name. */
static void add(struct census *census, uint32_t shard, const char *name, uint32_t subscribers,
                bool is_last)
{
    uint8_t piece[300];
    const size_t size = put(piece, subscribers, slice_text(name));

    census_add(census, census->number, shard, slice_from(piece, size), is_last);
}

static void end_shard(struct census *census, uint32_t shard)
{
    census_add(census, census->number, shard, (struct slice){0}, true);
}

static void start(struct census *census, uint32_t shard_count)
{
    assert_true(census_ask(census, question(0)));
    assert_int_not_equal(census_start(census, shard_count), 0);
}

static void assert_no_result(struct census *census)
{
    struct relay_answer answer;

    assert_null(census_result(census, &answer));
}

static uint32_t subscribers_of(const struct relay_answer *answer, const char *name)
{
    for (uint32_t i = 0; i < answer->channel_count; i++) {
        if (slice_equal(answer->channels[i].name, slice_text(name))) {
            return answer->channels[i].subscribers;
        }
    }
    return NONE;
}

static void test_shards_are_merged_by_name(void **state)
{
    static struct census census;
    struct relay_answer answer;
    uint8_t piece[600];
    uint8_t longest[UINT8_MAX];

    (void)state;
    start(&census, 3);
    memset(longest, 0xff, sizeof(longest));
    size_t size = put(piece, 1, slice_text("a"));
    size += put(piece + size, 2, slice_from(longest, sizeof(longest)));
    size += put(piece + size, 4, slice_text("b"));
    census_add(&census, census.number, 1, slice_from(piece, size), false);
    add(&census, 1, "c", 8, true);
    assert_no_result(&census);
    add(&census, 0, "a", 16, true);
    assert_no_result(&census);
    census_add(&census, census.number, 2, slice_from(piece, size), true);
    assert_ptr_equal(census_result(&census, &answer), question(0));
    assert_int_equal(answer.outcome, BROKER_DONE);
    assert_null(answer.event);
    assert_int_equal(answer.channel_count, 4);
    assert_int_equal(subscribers_of(&answer, "a"), 18);
    assert_int_equal(subscribers_of(&answer, "b"), 8);
    assert_int_equal(subscribers_of(&answer, "c"), 8);
    census_end(&census);
    assert_no_result(&census);
    assert_int_equal(census_start(&census, 3), 0); /* no other waits */
}

static void test_no_channels(void **state)
{
    static struct census census;
    struct relay_answer answer;

    (void)state;
    start(&census, CENSUS_SHARDS_MAX);
    for (uint32_t i = 0; i < CENSUS_SHARDS_MAX; i++) {
        assert_no_result(&census);
        end_shard(&census, i);
    }
    assert_ptr_equal(census_result(&census, &answer), question(0));
    assert_int_equal(answer.outcome, BROKER_DONE);
    assert_non_null(answer.channels);
    assert_int_equal(answer.channel_count, 0);
    census_end(&census);
}

static void test_questions_wait_in_their_order(void **state)
{
    static struct census census;
    struct relay_answer answer;
    uint32_t last = 0;

    (void)state;
    assert_int_equal(census_start(&census, 1), 0);
    for (uint32_t i = 0; i < CENSUS_WAITING_MAX; i++) {
        assert_true(census_ask(&census, question(i)));
    }
    assert_false(census_ask(&census, question(CENSUS_WAITING_MAX)));
    for (uint32_t i = 0; i <= CENSUS_WAITING_MAX; i++) {
        const uint32_t number = census_start(&census, 1);
        assert_true(number > last);
        assert_int_equal(census_start(&census, 1), 0); /* one runs */
        if (i == 0) {                                  /* which makes room for one more */
            assert_true(census_ask(&census, question(CENSUS_WAITING_MAX)));
            assert_false(census_ask(&census, question(CENSUS_WAITING_MAX + 1)));
        }
        end_shard(&census, 0);
        assert_ptr_equal(census_result(&census, &answer), question(i));
        census_end(&census);
        last = number;
    }
    assert_int_equal(census_start(&census, 1), 0);
}

static void test_numbers_wrap_without_0(void **state)
{
    static struct census census = {.last_number = UINT32_MAX - 1};

    (void)state;
    assert_true(census_ask(&census, question(0)));
    assert_int_equal(census_start(&census, 1), UINT32_MAX);
    census_end(&census);
    assert_true(census_ask(&census, question(0)));
    assert_int_equal(census_start(&census, 1), 1);
    census_end(&census);
}

static void test_pieces_of_other_questions_change_nothing(void **state)
{
    static struct census census;
    struct relay_answer answer;
    uint8_t piece[64];
    const size_t size = put(piece, 5, slice_text("old"));

    (void)state;
    census_add(&census, 1, 0, slice_from(piece, size), true); /* none runs */
    start(&census, 1);
    const uint32_t given_up = census.number;
    assert_ptr_equal(census_drop(&census), question(0));
    start(&census, 1);
    census_add(&census, given_up, 0, slice_from(piece, size), true);
    assert_no_result(&census);
    add(&census, 0, "new", 1, true);
    assert_ptr_equal(census_result(&census, &answer), question(0));
    assert_int_equal(answer.channel_count, 1);
    assert_int_equal(subscribers_of(&answer, "new"), 1);
    census_end(&census);
}

static void test_shards_that_end_are_not_awaited(void **state)
{
    static struct census census;
    struct relay_answer answer;

    (void)state;
    census_forget(&census, 0); /* none runs */
    start(&census, 3);
    add(&census, 1, "kept", 2, false); /* what it has said stays */
    census_forget(&census, 1);
    census_forget(&census, 1); /* each counts once */
    census_forget(&census, 200);
    end_shard(&census, 0);
    end_shard(&census, 0);
    assert_no_result(&census);
    end_shard(&census, 2);
    assert_ptr_equal(census_result(&census, &answer), question(0));
    assert_int_equal(subscribers_of(&answer, "kept"), 2);
    census_end(&census);
}

static void test_whoever_gives_up_gets_all(void **state)
{
    static struct census census;

    (void)state;
    assert_null(census_drop(&census));
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(census_ask(&census, question(i)));
    }
    assert_int_not_equal(census_start(&census, 2), 0);
    add(&census, 0, "gone", 1, true);
    for (uint32_t i = 0; i < 3; i++) {
        assert_ptr_equal(census_drop(&census), question(i));
    }
    assert_null(census_drop(&census));
    assert_no_result(&census);
}

/* Names until there is no room for one more: the answer says so, and the next one is whole. */
static void test_too_many_names(void **state)
{
    static struct census census;
    struct relay_answer answer;
    char name[UINT8_MAX + 1];

    (void)state;
    start(&census, 1);
    for (uint32_t i = 0; i <= NAMES_SIZE_MAX / UINT8_MAX; i++) {
        (void)snprintf(name, sizeof(name), "%0255u", i);
        add(&census, 0, name, 1, false);
    }
    assert_true(census.names_size <= NAMES_SIZE_MAX);
    assert_true(census.names_size > NAMES_SIZE_MAX - 2 * sizeof(name));
    end_shard(&census, 0);
    assert_ptr_equal(census_result(&census, &answer), question(0));
    assert_int_equal(answer.outcome, BROKER_FULL);
    assert_int_equal(answer.channel_count, 0);
    census_end(&census);

    start(&census, 1);
    add(&census, 0, "few", 1, true);
    assert_ptr_equal(census_result(&census, &answer), question(0));
    assert_int_equal(answer.outcome, BROKER_DONE);
    assert_int_equal(answer.channel_count, 1);
    census_end(&census);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shards_are_merged_by_name),
        cmocka_unit_test(test_no_channels),
        cmocka_unit_test(test_questions_wait_in_their_order),
        cmocka_unit_test(test_numbers_wrap_without_0),
        cmocka_unit_test(test_pieces_of_other_questions_change_nothing),
        cmocka_unit_test(test_shards_that_end_are_not_awaited),
        cmocka_unit_test(test_whoever_gives_up_gets_all),
        cmocka_unit_test(test_too_many_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
