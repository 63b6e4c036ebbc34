/*
 * Goal: with a broker that comes and goes, refuses and stays silent, everything that was handed to
 * the relay ends in one way that somebody is told: delivered to those who follow, once and in
 * order, or refused. What waits for the broker or for a shard's mailbox keeps its order and its
 * bound. Readiness tells when nothing can be published.
 */
#include "tests/sim/fake_broker.h"
#include "tests/sim/handmade.h"

#include "pubsub/message.h"
#include "server/outbound.h"
#include "server/relay_state.h"
#include "server/waiting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct shard *shard;
static struct relay *relay;

static void assert_told(const char *log)
{
    assert_string_equal(fake.log, log);
    fake.log[0] = '\0';
}

/* --- setting up ------------------------------------------------------------------------------- */

static void choose(struct options *options)
{
    char message[256];

    const int error =
        options_set(options, "namespaces", "h:history_size=7,t:frame=text,b:frame=binary", message,
                    sizeof(message));
    assert_int_equal(error, 0);
    options->limits.message_size_max = 1000;
    options->limits.mailbox_size = 4096;
}

static int setup(void **state)
{
    (void)state;
    handmade_open(choose);
    shard = handmade.shard;
    relay = handmade.server.relay;
    fake_broker_init(relay->broker);
    relay->broker = &fake.broker;
    handmade_conn(0);
    handmade_subscribe(0, "a");
    return 0;
}

static int teardown(void **state)
{
    fake.outcome = BROKER_DONE;
    fake.is_silent = false;
    return handmade_close(state);
}

static void turn_shard(void)
{
    while (parcels_take(shard) || fanout_step(shard)) {
    }
    while (fanout_step(shard)) {
    }
}

static bool say(const char *payload)
{
    return relay_publish(shard, 0, slice_text("a"), false, slice_text(payload));
}

static void follow(const char *name)
{
    assert_true(relay_follow(shard, slice_text(name), name[strlen(name) - 1] == '*', true));
    handmade_turn_relay();
    fake.log[0] = '\0';
}

static uint64_t failed(enum broker_outcome outcome)
{
    return counter_read(&shard->counts.publications_failed[outcome]);
}

/* The first byte of the first frame that waits for the connection, 0 when none does; drains it. */
static uint8_t first_frame(uint32_t number)
{
    const struct conn *conn = conn_at(shard, number);
    uint8_t byte = 0;

    if (conn->queue_tail != NONE) {
        const struct queue_node *tail = pool_at(&shard->nodes, conn->queue_tail);
        const struct queue_node *node = pool_at(&shard->nodes, tail->next);
        byte = message_at(&shard->arena, node->message)->bytes[0];
    }
    waiting_drop(shard, conn_at(shard, number));
    return byte;
}

/* --- refusals --------------------------------------------------------------------------------- */

static void assert_closed_by(enum broker_outcome outcome)
{
    handmade_turn_relay();
    turn_shard();
    assert_int_equal(failed(outcome), 1);
    assert_int_equal(conn_at(shard, 0)->state, CONN_CLOSING);
    assert_int_equal(counter_read(&shard->counts.closed[CAUSE_FULL]), 1);
    assert_int_equal(first_frame(0), 0x80 | WS_CLOSE);
}

static void test_refused_at_once(void **state)
{
    (void)state;
    fake.outcome = BROKER_AWAY;
    assert_true(say("x"));
    assert_closed_by(BROKER_AWAY);
}

static void test_refused_by_the_answer(void **state)
{
    (void)state;
    fake.answer = BROKER_UNKNOWN;
    assert_true(say("x"));
    assert_closed_by(BROKER_UNKNOWN);
    assert_int_equal(counter_read(&relay->counts.settled[BROKER_UNKNOWN]), 1);
}

/* The sender has gone, and its number is another's. */
static void test_refusal_of_one_that_has_gone(void **state)
{
    (void)state;
    fake.outcome = BROKER_REFUSED;
    assert_true(say("x"));
    handmade_conn_ends(0);
    handmade_conn(0);
    handmade_turn_relay();
    turn_shard();
    assert_int_equal(failed(BROKER_REFUSED), 1);
    assert_int_equal(conn_at(shard, 0)->state, CONN_OPEN);
    handmade_conn_ends(0);
    fake.outcome = BROKER_REFUSED;
    handmade_conn(0);
    assert_true(say("y"));
    handmade_conn_ends(0);
    handmade_turn_relay();
    turn_shard();
    assert_int_equal(failed(BROKER_REFUSED), 2); /* nobody has the number */
}

static void test_relay_without_room(void **state)
{
    uint64_t taken = 0;

    (void)state;
    while (say("x")) {
        taken++;
    }
    assert_true(taken > 1000);
    assert_int_equal(counter_read(&shard->counts.mailbox_full), 1);
    handmade_turn_relay();
    assert_true(say("x"));
}

/* --- a broker that is away -------------------------------------------------------------------- */

static void test_queued_while_away(void **state)
{
    (void)state;
    handmade.options.broker.when_away = WHEN_AWAY_QUEUE;
    fake.outcome = BROKER_AWAY;
    assert_true(say("one"));
    assert_true(say("two"));
    handmade_turn_relay();
    assert_told("");
    assert_true(counter_read(&relay->counts.backlog_bytes) > 0);
    fake.outcome = BROKER_DONE;
    fake.away_left = 1;        /* it comes back in the middle of the turn */
    assert_true(say("three")); /* not before those that wait */
    handmade_turn_relay();
    assert_told("");
    handmade_turn_relay();
    assert_told("publish(one) publish(two) publish(three) ");
    assert_int_equal(counter_read(&relay->counts.backlog_bytes), 0);
    assert_int_equal(counter_read(&relay->counts.queued), 3);
    handmade_turn_relay();
    assert_int_equal(counter_read(&relay->counts.settled[BROKER_DONE]), 3);
    assert_int_equal(conn_at(shard, 0)->state, CONN_OPEN);
}

static void test_bound_of_the_queue(void **state)
{
    (void)state;
    handmade.options.broker.when_away = WHEN_AWAY_QUEUE;
    relay->backlog.bytes_max = sizeof(struct backlog_item) +
                               strlen("a"
                                      "one") +
                               IDENTITY_SIZE;
    fake.outcome = BROKER_AWAY;
    assert_true(say("one"));
    handmade_turn_relay();
    turn_shard();
    assert_int_equal(conn_at(shard, 0)->state, CONN_OPEN);
    assert_true(say("two"));
    assert_closed_by(BROKER_AWAY);
    fake.outcome = BROKER_DONE;
    handmade_turn_relay();
    assert_told("publish(one) ");
}

static void test_full_while_catching_up(void **state)
{
    (void)state;
    handmade.options.broker.when_away = WHEN_AWAY_QUEUE;
    fake.outcome = BROKER_AWAY;
    assert_true(say("one"));
    handmade_turn_relay();
    fake.outcome = BROKER_FULL; /* it is back, and busy: later */
    handmade_turn_relay();
    turn_shard();
    assert_int_equal(failed(BROKER_FULL), 0);
    fake.outcome = BROKER_DONE;
    handmade_turn_relay();
    assert_told("publish(one) ");
}

/* --- deliveries ------------------------------------------------------------------------------- */

static void test_only_to_followers(void **state)
{
    (void)state;
    fake_broker_publish("a", "x");
    handmade_turn_relay();
    assert_null(mailbox_next(handmade.server.mailboxes[0]).data);
    follow("a");
    fake_broker_publish("a", "y");
    fake_broker_publish("b", "z");
    handmade_turn_relay();
    turn_shard();
    (void)handmade_drain();
    assert_string_equal(handmade_heard(0), "y");
    assert_true(relay_follow(shard, slice_text("a"), false, false));
    handmade_turn_relay();
    fake_broker_publish("a", "x");
    handmade_turn_relay();
    assert_null(mailbox_next(handmade.server.mailboxes[0]).data);
}

static void test_broker_is_told_of_follows(void **state)
{
    (void)state;
    assert_true(relay_follow(shard, slice_text("a"), false, true));
    assert_true(relay_follow(shard, slice_text("h:a"), false, true));
    assert_true(relay_follow(shard, slice_text("n.*"), true, true));
    assert_true(relay_follow(shard, slice_text("a"), false, false));
    assert_true(relay_follow(shard, slice_text("n.*"), true, false));
    handmade_turn_relay();
    assert_told("follow(a) follow(h:a) follow-pattern(n.*) unfollow(a) unfollow-pattern(n.*) ");
}

/* The relay waits, and leaves the broker alone, which has lent what is on its way. */
static void test_full_mailbox_of_a_shard(void **state)
{
    static char payloads[FAKE_EVENTS_MAX][512];
    char expected[FAKE_EVENTS_MAX + 1] = "";

    (void)state;
    follow("a");
    for (uint32_t i = 0; i < 20; i++) {
        memset(payloads[i], 'a' + (int)i, sizeof(payloads[i]) - 1);
        expected[i] = (char)('a' + i);
        fake_broker_publish("a", payloads[i]);
    }
    handmade_turn_relay();
    const uint32_t taken = fake.first;
    assert_true(taken > 2);
    assert_true(taken < 10);
    assert_true(say("later"));
    const uint32_t turns = fake.turns;
    handmade_turn_relay();
    handmade_turn_relay();
    assert_int_equal(fake.first, taken);
    assert_int_equal(fake.turns, turns);
    assert_told("");
    assert_int_equal(counter_read(&relay->counts.stalls), 2);
    for (uint32_t i = 0; fake.first < fake.last; i++) {
        assert_true(i < 20);
        turn_shard();
        handmade_turn_relay();
    }
    handmade_turn_relay();
    turn_shard();
    (void)handmade_drain();
    assert_string_equal(handmade_heard(0), expected);
    assert_told("publish(later) ");
}

static void test_a_refusal_waits_for_room(void **state)
{
    static char payload[1500];

    (void)state;
    memset(payload, 'p', sizeof(payload) - 1);
    follow("a");
    fake_broker_publish("a", payload);
    fake_broker_publish("a", payload);
    handmade_turn_relay(); /* the mailbox has room for two */
    fake.outcome = BROKER_REFUSED;
    for (uint32_t i = 0; i < 100; i++) {
        assert_true(say("x"));
    }
    handmade_turn_relay();
    for (uint32_t i = 0; i < 100; i++) {
        turn_shard();
        handmade_turn_relay();
    }
    turn_shard();
    assert_int_equal(failed(BROKER_REFUSED), 100);
}

static void test_an_ended_shard_is_not_waited_for(void **state)
{
    static char payload[1500];

    (void)state;
    memset(payload, 'p', sizeof(payload) - 1);
    follow("a");
    for (uint32_t i = 0; i < 10; i++) {
        fake_broker_publish("a", payload);
    }
    handmade_turn_relay();
    assert_true(fake.first < fake.last);
    relay_shard_ended(shard);
    handmade_turn_relay();
    assert_int_equal(fake.first, fake.last);
}

/* --- forms ------------------------------------------------------------------------------------ */

static void test_forms(void **state)
{
    const struct {
        const char *channel;
        const char *payload;
        bool is_binary;
        bool is_unmarked;
        uint8_t frame; /* 0: not delivered */
    } cases[] = {
        {"a", "text", false, false, 0x80 | WS_TEXT},
        {"a", "text", true, false, 0x80 | WS_BINARY},
        {"a", "\xff", true, false, 0x80 | WS_BINARY},
        {"a", "\xff", false, false, 0},
        {"a", "t\xc3\xa9xt", false, true, 0x80 | WS_TEXT},
        {"a", "t\xc3", false, true, 0x80 | WS_BINARY}, /* cut in a letter */
        {"t:a", "text", false, true, 0x80 | WS_TEXT},
        {"t:a", "\xff", false, true, 0},
        {"b:a", "text", false, true, 0x80 | WS_BINARY},
        {"b:a", "text", false, false, 0x80 | WS_TEXT}, /* who says it decides */
    };
    uint64_t lost = 0;

    (void)state;
    handmade_subscribe(0, "*");
    follow("*");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct broker_publication *publication =
            fake_broker_publish(cases[i].channel, cases[i].payload);
        publication->is_binary = cases[i].is_binary;
        publication->is_unmarked = cases[i].is_unmarked;
        handmade_turn_relay();
        turn_shard();
        assert_int_equal(first_frame(0), cases[i].frame);
        lost += cases[i].frame == 0 ? 1 : 0;
        assert_int_equal(counter_read(&relay->counts.undeliverable[UNDELIVERABLE_NOT_UTF8]), lost);
    }
}

static void test_larger_than_a_mailbox_takes(void **state)
{
    static char payload[4096];
    const size_t largest = mailbox_parcel_max(handmade.server.mailboxes[0]) - PARCEL_HEAD_MAX;

    (void)state;
    memset(payload, 'p', largest + 1);
    follow("a");
    fake_broker_publish("a", payload);
    handmade_turn_relay();
    assert_int_equal(counter_read(&relay->counts.undeliverable[UNDELIVERABLE_TOO_LARGE]), 1);
    payload[largest] = '\0';
    fake_broker_publish("a", payload);
    handmade_turn_relay();
    turn_shard();
    assert_int_equal(first_frame(0), 0x80 | WS_TEXT);
    assert_int_equal(counter_read(&relay->counts.undeliverable[UNDELIVERABLE_TOO_LARGE]), 1);
}

/* --- forwarding ------------------------------------------------------------------------------- */

static void test_forwarded_and_published(void **state)
{
    (void)state;
    handmade.options.broker.forward = true;
    assert_true(say("one"));
    assert_true(relay_publish(shard, 0, slice_text(""), false, slice_text("two"))); /* that alone */
    handmade_turn_relay();
    assert_told("forward(one) publish(one) forward(two) ");
    fake.forward_outcome = BROKER_REFUSED;
    assert_true(say("three"));
    assert_closed_by(BROKER_REFUSED);
    assert_told(""); /* what no backend got is not published either */
}

/* --- questions and the end -------------------------------------------------------------------- */

static enum broker_outcome last_answer;
static uint32_t answers;

static void answered(void *context, const struct relay_answer *answer)
{
    (void)context;
    last_answer = answer->outcome;
    answers++;
}

static enum broker_outcome ask(const char *channel, size_t payload_size)
{
    static char payload[8192];
    const struct relay_request request = {
        .question = RELAY_PUBLISH,
        .publication = {.channel = slice_text(channel),
                        .payload = slice_from(payload, payload_size),
                        .user = slice_text("api"),
                        .epoch = ""}};

    return relay_ask(relay, &request, answered, NULL);
}

static void test_questions(void **state)
{
    char name[CHANNEL_NAME_MAX + 2] = "";
    const size_t largest = mailbox_parcel_max(handmade.server.mailboxes[0]) - PARCEL_HEAD_MAX;

    (void)state;
    answers = 0;
    memset(name, 'n', CHANNEL_NAME_MAX + 1);
    assert_int_equal(ask("", 1), BROKER_REFUSED);
    assert_int_equal(ask(name, 1), BROKER_REFUSED);
    assert_int_equal(ask("a", largest + 1), BROKER_REFUSED);
    assert_int_equal(answers, 0);
    name[CHANNEL_NAME_MAX] = '\0';
    assert_int_equal(ask(name, largest), BROKER_DONE);
    handmade_turn_relay();
    assert_int_equal(answers, 1);
    assert_int_equal(last_answer, BROKER_DONE);
    fake.outcome = BROKER_AWAY;
    assert_int_equal(ask("a", 1), BROKER_DONE);
    handmade_turn_relay();
    assert_int_equal(answers, 2);
    assert_int_equal(last_answer, BROKER_AWAY);
}

/* A broker that never answers: who asked is told so when time is up. */
static void test_end_without_an_answer(void **state)
{
    (void)state;
    answers = 0;
    fake.is_silent = true;
    handmade.options.broker.when_away = WHEN_AWAY_QUEUE;
    assert_int_equal(ask("a", 1), BROKER_DONE);
    handmade_turn_relay();
    fake.outcome = BROKER_AWAY;
    assert_int_equal(ask("a", 1), BROKER_DONE);
    handmade_turn_relay();
    relay_shard_ended(shard);
    relay_stop(relay, 5000);
    handmade_turn_relay();
    ring_sim_advance(4000000000);
    handmade_turn_relay();
    assert_int_equal(answers, 0);
    ring_sim_advance(2000000000);
    assert_false(relay_turn(relay, 0));
    assert_int_equal(answers, 2);
    assert_int_equal(last_answer, BROKER_UNKNOWN);
    assert_int_equal(counter_read(&relay->counts.settled[BROKER_AWAY]), 1);
    fake.ticket_count = 0;
}

/* --- readiness -------------------------------------------------------------------------------- */

static const char *problem(void)
{
    handmade_turn_relay();
    return relay_problem(relay, relay->now_ms);
}

static void test_readiness(void **state)
{
    (void)state;
    handmade.options.broker.canary_interval_ms = 1000;
    assert_null(problem());
    fake.health.canary_age_ms = 3000;
    assert_null(problem());
    fake.health.canary_age_ms = 3001;
    assert_non_null(strstr(problem(), "silent"));
    fake.health.is_up = false;
    assert_non_null(strstr(problem(), "away"));
    fake.health = (struct broker_health){.is_up = true};
    assert_null(problem());
    assert_null(relay_problem(relay, relay->now_ms + 4000));
    assert_non_null(strstr(relay_problem(relay, relay->now_ms + 4001), "stuck"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refused_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_by_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusal_of_one_that_has_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relay_without_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queued_while_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bound_of_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_while_catching_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_to_followers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broker_is_told_of_follows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_mailbox_of_a_shard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_refusal_waits_for_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_ended_shard_is_not_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_larger_than_a_mailbox_takes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forwarded_and_published, setup, teardown),
        cmocka_unit_test_setup_teardown(test_questions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_without_an_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readiness, setup, teardown),
    };

    return cmocka_run_group_tests(tests, handmade_prepare, handmade_end);
}
