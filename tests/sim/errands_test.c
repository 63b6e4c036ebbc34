/*
 * Goal: what a shard has to tell the relay gets there, whole and in order, however long the relay's
 * mailbox is full: who is present, who has left, and which channels there are.
 */
#include "tests/sim/handmade.h"

#include "server/parcels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define NAME_SIZE 16

static struct shard *shard;

static void choose(struct options *options)
{
    char message[256];

    options->broker.mailbox_size = 4096; /* 60 joins */
    const int error =
        options_set(options, "namespaces", "p:presence=true", message, sizeof(message));
    assert_int_equal(error, 0);
}

static int setup(void **state)
{
    (void)state;
    handmade_open(choose);
    shard = handmade.shard;
    return 0;
}

/* --- what the API would see ------------------------------------------------------------------- */

struct result {
    bool is_answered;
    enum broker_outcome outcome;
    uint32_t count;       /* members, or channels */
    uint32_t subscribers; /* of all channels */
    char user[NAME_SIZE]; /* of the first member */
};

static void copy(char *to, struct slice text)
{
    assert_true(text.size < NAME_SIZE);
    memcpy(to, text.data, text.size);
    to[text.size] = '\0';
}

static void answered(void *context, const struct relay_answer *answer)
{
    struct result *result = context;

    result->is_answered = true;
    result->outcome = answer->outcome;
    if (answer->event != NULL && answer->outcome == BROKER_DONE) {
        result->count = answer->event->member_count;
        if (result->count > 0) {
            copy(result->user, answer->event->members[0].user);
            assert_int_equal(answer->event->members[0].conn_id.size, IDENTITY_SIZE);
        }
    } else {
        result->count = answer->channel_count;
        for (uint32_t i = 0; i < answer->channel_count; i++) {
            result->subscribers += answer->channels[i].subscribers;
        }
    }
}

static bool step(void)
{
    return errands_step(shard);
}

static void turn_shard(void)
{
    bool more = parcels_take(shard);

    more |= step();
    (void)more; /* it comes to its next turn in any case */
}

/* Asks, and lets shard and relay take turns until the answer is there. */
static struct result ask(struct relay_request request)
{
    struct result result = {0};

    assert_int_equal(relay_ask(handmade.server.relay, &request, answered, &result), BROKER_DONE);
    for (uint32_t turns = 0; !result.is_answered; turns++) {
        assert_true(turns < 1000);
        handmade_turn_relay();
        turn_shard();
    }
    return result;
}

static struct result presence_of(const char *channel)
{
    return ask((struct relay_request){.question = RELAY_PRESENCE,
                                      .publication = {.channel = slice_text(channel)}});
}

static struct result channels_like(const char *glob)
{
    return ask((struct relay_request){.question = RELAY_CHANNELS, .pattern = slice_text(glob)});
}

/* --- presence --------------------------------------------------------------------------------- */

static void open_conn(uint32_t number, const char *channel, const char *user)
{
    handmade_conn(number);
    handmade_subscribe(number, channel);
    assert_true(identities_keep(&shard->identities, number, slice_text(user)));
    errands_opened(shard, number);
}

/* As the reaper does. */
static bool leave(uint32_t number)
{
    conn_set_state(shard, conn_at(shard, number), CONN_DEAD);
    return errands_leave(shard, number);
}

static void fill_mailbox(void)
{
    while (relay_publish(shard, 0, slice_text("p:x"), false, slice_text("x"))) {
    }
}

static void test_comes_and_goes(void **state)
{
    (void)state;
    open_conn(0, "p:a", "ann");
    open_conn(1, "p:*", "bob"); /* a pattern: nobody is present in that */
    open_conn(2, "other", "eve");
    assert_false(step());
    assert_int_equal(queue_count(&shard->errands.joining), 0);
    struct result result = presence_of("p:a");
    assert_int_equal(result.count, 1);
    assert_string_equal(result.user, "ann");
    assert_int_equal(presence_of("p:*").count, 0);
    assert_int_equal(presence_of("other").count, 0);
    assert_true(leave(0));
    assert_int_equal(presence_of("p:a").count, 0);
}

static void test_long_name_of_a_user(void **state)
{
    char user[NAME_SIZE * 4] = "";

    (void)state;
    memset(user, 'u', sizeof(user) - 1);
    handmade_conn(0);
    const size_t before = shard->arena.used;
    assert_true(identities_keep(&shard->identities, 0, slice_text(user)));
    assert_true(slice_equal(identities_user(&shard->identities, 0), slice_text(user)));
    assert_true(shard->arena.used > before);
    identities_end(&shard->identities, 0);
    assert_int_equal(shard->arena.used, before);
    assert_int_equal(identities_user(&shard->identities, 0).size, 0);
    handmade_fill_arena(64);
    assert_false(identities_keep(&shard->identities, 0, slice_text(user)));
    handmade_empty_arena();
}

static void test_joins_wait_for_room(void **state)
{
    (void)state;
    open_conn(0, "p:a", "ann");
    handmade_subscribe(0, "p:b");
    fill_mailbox();
    assert_false(step());
    assert_true(shard->errands.is_stuck);
    assert_int_equal(queue_count(&shard->errands.joining), 1);
    handmade_turn_relay();
    assert_false(step());
    assert_false(shard->errands.is_stuck);
    assert_int_equal(presence_of("p:a").count, 1);
    assert_int_equal(presence_of("p:b").count, 1);
}

/* It stays until its join was posted, and then until its leave was. */
static void test_no_leave_overtakes_its_join(void **state)
{
    (void)state;
    open_conn(0, "p:a", "ann");
    fill_mailbox();
    step();
    assert_false(leave(0));
    handmade_turn_relay(); /* now there is room: a leave would be posted */
    assert_false(leave(0));
    step();
    fill_mailbox();
    assert_false(leave(0));
    assert_true(shard->errands.is_stuck);
    assert_non_null(identities_find(&shard->identities, 0));
    handmade_turn_relay();
    assert_true(leave(0));
    assert_null(identities_find(&shard->identities, 0));
    assert_int_equal(presence_of("p:a").count, 0);
}

/* A mailbox that has room for a part of them at a time. */
static void test_many_channels_of_one(void **state)
{
    char name[NAME_SIZE];

    (void)state;
    open_conn(0, "p:0", "ann");
    for (uint32_t i = 1; i < 500; i++) {
        (void)snprintf(name, sizeof(name), "p:%u", i);
        handmade_subscribe(0, name);
    }
    while (queue_count(&shard->errands.joining) > 0) {
        step();
        handmade_turn_relay();
    }
    for (uint32_t i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof(name), "p:%u", i);
        assert_int_equal(presence_of(name).count, 1);
    }
    uint32_t rounds = 0;
    while (!leave(0)) {
        step();
        handmade_turn_relay();
        rounds++;
    }
    assert_true(rounds > 1);
    for (uint32_t i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof(name), "p:%u", i);
        assert_int_equal(presence_of(name).count, 0);
    }
}

static void test_leaves_of_a_tick_are_bounded(void **state)
{
    uint32_t left = 0;

    (void)handmade_close(state);
    handmade_open(NULL);
    shard = handmade.shard;
    step();
    shard->errands.leaves_left = 1;
    assert_int_equal(identities_open(&shard->identities, true, HANDMADE_CONNS, &shard->arena), 0);
    for (uint32_t i = 0; i < 3; i++) {
        open_conn(i, "p:a", "ann"); /* no namespace: nobody is present, nothing is posted */
        left += leave(i) ? 1 : 0;
    }
    assert_int_equal(left, 3);
    assert_int_equal(shard->errands.leaves_left, 1);
}

/* --- channels --------------------------------------------------------------------------------- */

static void test_channels(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        open_conn(i, i < 3 ? "a:1" : "a:2", "");
    }
    open_conn(5, "b", "");
    open_conn(6, "a:*", "");
    struct result result = channels_like("*");
    assert_int_equal(result.outcome, BROKER_DONE);
    assert_int_equal(result.count, 3);
    assert_int_equal(result.subscribers, 6);
    result = channels_like("a:?");
    assert_int_equal(result.count, 2);
    assert_int_equal(result.subscribers, 5);
    result = channels_like("a:2");
    assert_int_equal(result.count, 1);
    assert_int_equal(result.subscribers, 2);
    assert_int_equal(channels_like("").count, 0);
    assert_int_equal(channels_like("c*").count, 0);
}

/* More than a piece holds, and than the mailbox. */
static void test_many_channels(void **state)
{
    char name[NAME_SIZE];

    (void)state;
    handmade_conn(0);
    for (uint32_t i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "channel-%u", i);
        handmade_subscribe(0, name);
    }
    const struct result result = channels_like("channel-*");
    assert_int_equal(result.count, 1000);
    assert_int_equal(result.subscribers, 1000);
}

static void test_questions_wait_for_each_other(void **state)
{
    const struct relay_request request = {.question = RELAY_CHANNELS, .pattern = slice_text("*")};
    struct result results[20] = {0};
    uint32_t full = 0;
    uint32_t done = 0;

    (void)state;
    open_conn(0, "a", "");
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(relay_ask(handmade.server.relay, &request, answered, &results[i]),
                         BROKER_DONE);
    }
    for (uint32_t i = 0; i < 500; i++) {
        handmade_turn_relay();
        turn_shard();
    }
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(results[i].is_answered);
        full += results[i].outcome == BROKER_FULL ? 1 : 0;
        done += results[i].outcome == BROKER_DONE && results[i].count == 1 ? 1 : 0;
    }
    assert_int_equal(full, 4); /* 16 wait */
    assert_int_equal(done, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_comes_and_goes, setup, handmade_close),
        cmocka_unit_test_setup_teardown(test_long_name_of_a_user, setup, handmade_close),
        cmocka_unit_test_setup_teardown(test_joins_wait_for_room, setup, handmade_close),
        cmocka_unit_test_setup_teardown(test_no_leave_overtakes_its_join, setup, handmade_close),
        cmocka_unit_test_setup_teardown(test_many_channels_of_one, setup, handmade_close),
        cmocka_unit_test_setup_teardown(test_leaves_of_a_tick_are_bounded, setup, handmade_close),
        cmocka_unit_test_setup_teardown(test_channels, setup, handmade_close),
        cmocka_unit_test_setup_teardown(test_many_channels, setup, handmade_close),
        cmocka_unit_test_setup_teardown(test_questions_wait_for_each_other, setup, handmade_close),
    };

    return cmocka_run_group_tests(tests, handmade_prepare, handmade_end);
}
