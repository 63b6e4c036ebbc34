/*
 * Goal: each deadline passes when it is due, not a millisecond before and at most one tick of the
 * wheel after, does what its name says, and gives way to what was reported meanwhile.
 *
 * A shard without a ring: what the deadlines queue is looked at instead of sent, and time is what
 * the test says. Only a token's expiry goes by the wall clock; there a second is left on each side.
 */
#include "server/deadlines.h"

#include "child.h"
#include "io/ring.h"
#include "pubsub/message.h"
#include "server/opening.h"
#include "server/relay.h"
#include "server/shard.h"
#include "server/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define CROWD    300
#define START_MS 1000000

static struct child_folder folder;
static struct options options;
static struct budget budget;
static struct server server;
static struct shard *shard;
static struct certificate_set *certificates;

static int open_server(void **unused)
{
    struct state made;
    char message[512];

    (void)unused;
    child_folder_open(&folder);
    options_init(&options);
    if (state_open(&made, folder.path, message, sizeof(message)) != 0) {
        return -1;
    }
    state_set_options(&made, &options);
    options.shards = 1;
    options.limits.arena_size = 16 << 20;
    options.limits.connections_max = 5000;
    const struct certificate_files files = {made.certificate_path, made.key_path};
    certificates = certificate_set_open(&files, 1, message, sizeof(message));
    return certificates ? budget_make(&options, "", &budget, message, sizeof(message)) : -1;
}

static int close_server(void **unused)
{
    (void)unused;
    certificate_set_close(certificates);
    options_free(&options);
    child_folder_close(&folder);
    return 0;
}

static int open_shard(void **unused)
{
    char message[512];

    (void)unused;
    options.deadlines.handshake_ms = 10000;
    options.deadlines.upgrade_ms = 7000;
    options.deadlines.close_ms = 5000;
    options.deadlines.token_grace_ms = 0;
    options.deadlines.age_max_ms = 0;
    options.deadlines.age_jitter_percent = 10;
    options.heartbeat.ping_interval_ms = 25000;
    options.heartbeat.pong_timeout_ms = 8000;
    options.token.leeway_s = 0;
    server = (struct server){.options = &options,
                             .budget = &budget,
                             .certificates = certificates,
                             .open = tally_open(64),
                             .shard_count = 1};
    server.relay = relay_open(&server, message, sizeof(message));
    assert_non_null(server.relay);
    shard = shard_open(&server, 0, message, sizeof(message));
    if (!shard || wheel_open(&shard->wheel, budget.sockets_max, START_MS) != 0) {
        return -1;
    }
    shard->start_ms = START_MS;
    shard->now_ms = START_MS;
    return 0;
}

/* What is open ends with the shard's memory. */
static int close_shard(void **unused)
{
    (void)unused;
    wheel_check(&shard->wheel);
    shard_close(shard);
    relay_close(server.relay);
    tally_close(server.open);
    return 0;
}

static void expire_at(uint64_t now_ms)
{
    assert_true(now_ms >= shard->now_ms);
    shard->now_ms = now_ms;
    do {
        deadlines_expire(shard);
    } while (wheel_next_ms(&shard->wheel, now_ms) == 0);
}

static enum conn_state state_of(uint32_t number)
{
    return (enum conn_state)conn_at(shard, number)->state;
}

/* Just accepted, with its opening. */
static struct opening *accepted(uint32_t number)
{
    struct conn *conn = conn_init(shard, number);
    struct opening *opening = opening_start(shard, conn);

    assert_non_null(opening);
    deadlines_accepted(shard, number);
    return opening;
}

/* Open for its clients: from here on heartbeats run. */
static void opened(uint32_t number, double expires_unix_s)
{
    conn_set_state(shard, conn_init(shard, number), CONN_OPEN);
    deadlines_opened(shard, number, expires_unix_s);
}

/* At due_ms - 1 nothing has happened; at most one tick after due_ms the state is the new one. */
static void assert_due(uint32_t number, uint64_t due_ms, enum conn_state state)
{
    const enum conn_state before = state_of(number);

    expire_at(due_ms - 1);
    assert_int_equal(state_of(number), before);
    expire_at(due_ms + WHEEL_TICK_MS);
    assert_int_equal(state_of(number), state);
}

/* Of the close frame that was queued last. */
static uint16_t close_code(uint32_t number)
{
    const struct conn *conn = conn_at(shard, number);

    assert_int_not_equal(conn->queue_tail, NONE);
    const struct queue_node *node = pool_at(&shard->nodes, conn->queue_tail);
    const struct message *message = message_at(&shard->arena, node->message);
    assert_int_equal(message->size, 4);
    assert_int_equal(message->bytes[0], 0x88);
    return load_be16(message->bytes + 2);
}

static uint64_t closed(enum close_cause cause)
{
    return counter_read(&shard->counts.closed[cause]);
}

/* --- until it is open ------------------------------------------------------------------------- */

static void a_handshake_has_its_time(void **unused)
{
    (void)unused;
    accepted(3)->input_size = 1; /* it said something */
    accepted(4);
    assert_due(3, START_MS + 10000, CONN_DEAD);
    assert_int_equal(state_of(4), CONN_DEAD);
    assert_int_equal(counter_read(&shard->counts.handshakes[HANDSHAKE_OUTCOME_TIMEOUT]), 1);
    assert_int_equal(counter_read(&shard->counts.handshakes[HANDSHAKE_OUTCOME_SILENT]), 1);
    assert_int_equal(shard->wheel.count, 0);
}

/* Nobody waits for its place: it keeps it, and its deadline is still the accept's. */
static void a_handshake_that_has_begun_keeps_its_time(void **unused)
{
    (void)unused;
    accepted(3)->input_size = 1;
    expire_at(START_MS + 1500);
    deadlines_handshake_started(shard, 3);
    assert_due(3, START_MS + 10000, CONN_DEAD);
    assert_int_equal(counter_read(&shard->counts.handshakes[HANDSHAKE_OUTCOME_TIMEOUT]), 1);
    assert_int_equal(counter_read(&shard->counts.handshakes[HANDSHAKE_OUTCOME_GAVE_WAY]), 0);
}

static void an_upgrade_has_its_own(void **unused)
{
    (void)unused;
    accepted(3);
    expire_at(START_MS + 9999);
    deadlines_handshake_done(shard, 3);
    assert_due(3, START_MS + 9999 + 7000, CONN_DEAD);
    assert_int_equal(counter_read(&shard->counts.upgrade_timeouts), 1);
    assert_int_equal(counter_read(&shard->counts.handshakes[HANDSHAKE_OUTCOME_TIMEOUT]), 0);
}

static void a_cleared_one_does_not_pass(void **unused)
{
    (void)unused;
    accepted(3);
    deadlines_clear(shard, 3);
    deadlines_clear(shard, 3);
    expire_at(START_MS + 100000);
    assert_int_equal(state_of(3), CONN_ACCEPTED);
}

/* --- heartbeats ------------------------------------------------------------------------------- */

static void first_pings_are_spread_over_half_an_interval(void **unused)
{
    const uint64_t first_ms = START_MS + 25000 / 2;
    const uint64_t last_ms = START_MS + 25000 + 100; /* on the grid of pings */
    uint64_t halfway = 0;

    (void)unused;
    for (uint32_t number = 0; number < CROWD; number++) {
        opened(number, 0);
    }
    expire_at(first_ms - 1);
    assert_int_equal(counter_read(&shard->counts.pings_sent), 0);
    for (uint64_t now_ms = first_ms / 10 * 10; now_ms <= last_ms; now_ms += 10) {
        const uint64_t before = counter_read(&shard->counts.pings_sent);
        expire_at(now_ms > shard->now_ms ? now_ms : shard->now_ms);
        if (counter_read(&shard->counts.pings_sent) > before) {
            assert_true(now_ms % 100 <= WHEEL_TICK_MS); /* they share wake-ups */
        }
        if (now_ms <= first_ms + 25000 / 4) {
            halfway = counter_read(&shard->counts.pings_sent);
        }
        for (uint32_t number = 0; number < CROWD; number++) {
            if (conn_at(shard, number)->deadline == DEADLINE_PONG) {
                deadlines_heard(shard, number);
            }
        }
    }
    expire_at(last_ms + WHEEL_TICK_MS);
    assert_int_equal(counter_read(&shard->counts.pings_sent), CROWD);
    assert_true(halfway > CROWD / 4); /* of fair coins: once in 10^17 */
    assert_true(halfway < CROWD * 3 / 4);
}

/* Runs to the moment of the connection's ping. */
static void run_to_ping(uint32_t number)
{
    while (conn_at(shard, number)->deadline == DEADLINE_PING) {
        expire_at(shard->now_ms + 1);
    }
    assert_int_equal(conn_at(shard, number)->deadline, DEADLINE_PONG);
}

static void a_ping_goes_out_one_interval_after_each_answer(void **unused)
{
    (void)unused;
    opened(3, 0);
    for (uint64_t pings = 1; pings <= 3; pings++) {
        run_to_ping(3);
        assert_int_equal(counter_read(&shard->counts.pings_sent), pings);
        expire_at(shard->now_ms + 7999); /* the last moment */
        assert_int_equal(state_of(3), CONN_OPEN);
        deadlines_heard(shard, 3);
        const uint64_t due_ms = shard->now_ms + 25000;
        expire_at(due_ms - 1);
        assert_int_equal(counter_read(&shard->counts.pings_sent), pings);
        run_to_ping(3);
        assert_true(shard->now_ms <= due_ms + 100 + WHEEL_TICK_MS);
        deadlines_heard(shard, 3);
        counter_set(&shard->counts.pings_sent, pings);
    }
}

static void what_is_heard_before_a_ping_does_not_put_it_off(void **unused)
{
    (void)unused;
    opened(3, 0);
    while (conn_at(shard, 3)->deadline == DEADLINE_PING) {
        expire_at(shard->now_ms + 10);
        if (conn_at(shard, 3)->deadline == DEADLINE_PING) {
            deadlines_heard(shard, 3);
        }
        assert_true(shard->now_ms <= START_MS + 25000 + 100 + 2 * WHEEL_TICK_MS);
    }
    assert_int_equal(counter_read(&shard->counts.pings_sent), 1);
}

static void silence_after_a_ping_closes(void **unused)
{
    (void)unused;
    opened(3, 0);
    run_to_ping(3);
    assert_due(3, shard->now_ms + 8000, CONN_CLOSING);
    assert_int_equal(close_code(3), 3008);
    assert_int_equal(closed(CAUSE_PONG_TIMEOUT), 1);
    deadlines_heard(shard, 3); /* too late */
    assert_int_equal(conn_at(shard, 3)->deadline, DEADLINE_CLOSE);
}

/* --- its end ---------------------------------------------------------------------------------- */

static double unix_s(double from_now_s)
{
    return (double)ring_unix_ms(NULL) / 1000 + from_now_s;
}

static void assert_token_ends(double expires_in_s, uint64_t end_ms)
{
    opened(3, unix_s(expires_in_s));
    expire_at(START_MS + end_ms - 1000);
    assert_int_equal(state_of(3), CONN_OPEN);
    expire_at(START_MS + end_ms + 2000);
    assert_int_equal(state_of(3), CONN_CLOSING);
    assert_int_equal(close_code(3), 3000);
    assert_int_equal(closed(CAUSE_TOKEN_EXPIRED), 1);
    assert_int_equal(closed(CAUSE_AGE), 0);
}

static void a_token_ends_the_connection(void **unused)
{
    (void)unused;
    assert_token_ends(10, 10000);
    assert_int_equal(counter_read(&shard->counts.pings_sent), 0); /* the end came first */
}

static void grace_and_leeway_put_its_end_off(void **unused)
{
    (void)unused;
    options.deadlines.token_grace_ms = 3000;
    options.token.leeway_s = 2;
    assert_token_ends(5, 10000);
}

static void an_expired_token_ends_it_soon(void **unused)
{
    (void)unused;
    opened(3, unix_s(-100000));
    expire_at(START_MS);
    assert_int_equal(state_of(3), CONN_OPEN); /* a 101 goes before */
    expire_at(START_MS + 1000 + WHEEL_TICK_MS);
    assert_int_equal(close_code(3), 3000);
}

static void a_far_one_does_not_overflow(void **unused)
{
    (void)unused;
    options.heartbeat.ping_interval_ms = 86400000;
    opened(3, 1e12); /* in 30,000 years */
    opened(4, unix_s(3600));
    assert_true(conn_at(shard, 3)->ends_s > 2000000000);
    assert_false(conn_at(shard, 3)->ends_s & CONN_ENDS_BY_AGE);
    expire_at(START_MS + 3602000);
    assert_int_equal(state_of(3), CONN_OPEN);
    assert_int_equal(state_of(4), CONN_CLOSING);
}

static void without_token_and_age_it_never_ends(void **unused)
{
    (void)unused;
    opened(3, 0);
    assert_int_equal(conn_at(shard, 3)->ends_s, 0);
    for (unsigned pings = 0; pings < 1000; pings++) {
        run_to_ping(3);
        deadlines_heard(shard, 3);
    }
    assert_int_equal(state_of(3), CONN_OPEN);
}

static void age_ends_it_with_jitter(void **unused)
{
    uint64_t early = 0;

    (void)unused;
    options.deadlines.age_max_ms = 100000;
    options.heartbeat.ping_interval_ms = 86400000;
    for (uint32_t number = 0; number < CROWD; number++) {
        opened(number, 0);
    }
    expire_at(START_MS + 90000 - 1);
    assert_int_equal(closed(CAUSE_AGE), 0);
    expire_at(START_MS + 100000);
    early = closed(CAUSE_AGE);
    expire_at(START_MS + 111000 + WHEEL_TICK_MS);
    assert_int_equal(closed(CAUSE_AGE), CROWD);
    assert_int_equal(close_code(0), 1012);
    assert_int_equal(close_code(CROWD - 1), 1012);
    assert_true(early > CROWD / 4);
    assert_true(early < CROWD * 3 / 4);
}

static void age_without_jitter_is_exact(void **unused)
{
    (void)unused;
    options.deadlines.age_max_ms = 100000;
    options.deadlines.age_jitter_percent = 0;
    options.heartbeat.ping_interval_ms = 86400000;
    opened(3, 0);
    assert_due(3, START_MS + 100000, CONN_CLOSING);
    assert_int_equal(close_code(3), 1012);
}

static void the_earlier_of_token_and_age_counts(void **unused)
{
    (void)unused;
    options.deadlines.age_max_ms = 100000;
    options.deadlines.age_jitter_percent = 0;
    options.heartbeat.ping_interval_ms = 86400000;
    opened(3, unix_s(95));
    opened(4, unix_s(105));
    expire_at(START_MS + 110000);
    assert_int_equal(close_code(3), 3000);
    assert_int_equal(close_code(4), 1012);
}

static void an_end_does_not_wait_for_a_pong(void **unused)
{
    (void)unused;
    options.deadlines.age_max_ms = 30000;
    options.deadlines.age_jitter_percent = 0;
    options.heartbeat.pong_timeout_ms = 60000;
    opened(3, 0);
    while (counter_read(&shard->counts.pings_sent) == 0) {
        expire_at(shard->now_ms + 10);
    }
    assert_due(3, START_MS + 30000, CONN_CLOSING);
    assert_int_equal(close_code(3), 1012);
    assert_int_equal(closed(CAUSE_PONG_TIMEOUT), 0);
}

/* --- the last words --------------------------------------------------------------------------- */

static void a_close_is_awaited_for_its_time(void **unused)
{
    (void)unused;
    opened(3, 0);
    expire_at(START_MS + 500);
    conn_set_state(shard, conn_at(shard, 3), CONN_CLOSING);
    deadlines_close_sent(shard, 3);
    assert_due(3, START_MS + 500 + 5000, CONN_DEAD);
    assert_int_equal(counter_read(&shard->counts.close_timeouts), 1);
}

static void a_fin_is_awaited_for_a_second(void **unused)
{
    (void)unused;
    opened(3, 0);
    conn_set_state(shard, conn_at(shard, 3), CONN_LINGER);
    deadlines_close_sent(shard, 3);
    expire_at(START_MS + 4990);
    deadlines_last_byte_sent(shard, 3);
    assert_due(3, START_MS + 4990 + 1000, CONN_DEAD);
    assert_int_equal(counter_read(&shard->counts.close_timeouts), 0);
}

/* --- many at once ----------------------------------------------------------------------------- */

static uint32_t dead_count(uint32_t count)
{
    uint32_t dead = 0;

    for (uint32_t number = 0; number < count; number++) {
        dead += state_of(number) == CONN_DEAD;
    }
    return dead;
}

static void a_wave_is_spread_over_ticks(void **unused)
{
    const uint32_t count = 4096 + 1;

    (void)unused;
    for (uint32_t number = 0; number < count; number++) {
        accepted(number);
    }
    expire_at(START_MS + 9999); /* the slot has come down to its last level */
    shard->now_ms = START_MS + 10000 + WHEEL_TICK_MS;
    deadlines_expire(shard);
    assert_int_equal(dead_count(count), 4096);
    assert_int_equal(wheel_next_ms(&shard->wheel, shard->now_ms), 0); /* no sleep meanwhile */
    deadlines_expire(shard);
    assert_int_equal(dead_count(count), count);
    assert_true(wheel_next_ms(&shard->wheel, shard->now_ms) == UINT64_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_shard, close_shard)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_handshake_has_its_time),
        TEST(a_handshake_that_has_begun_keeps_its_time),
        TEST(an_upgrade_has_its_own),
        TEST(a_cleared_one_does_not_pass),
        TEST(first_pings_are_spread_over_half_an_interval),
        TEST(a_ping_goes_out_one_interval_after_each_answer),
        TEST(what_is_heard_before_a_ping_does_not_put_it_off),
        TEST(silence_after_a_ping_closes),
        TEST(a_token_ends_the_connection),
        TEST(grace_and_leeway_put_its_end_off),
        TEST(an_expired_token_ends_it_soon),
        TEST(a_far_one_does_not_overflow),
        TEST(without_token_and_age_it_never_ends),
        TEST(age_ends_it_with_jitter),
        TEST(age_without_jitter_is_exact),
        TEST(the_earlier_of_token_and_age_counts),
        TEST(an_end_does_not_wait_for_a_pong),
        TEST(a_close_is_awaited_for_its_time),
        TEST(a_fin_is_awaited_for_a_second),
        TEST(a_wave_is_spread_over_ticks),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
