/*
 * Goal: a publication reaches exactly those who are subscribed when its run starts and still are
 * when their turn comes, each once, in the order of its channel; a tick's work is bounded, no
 * channel waits behind another one's crowd, and what has no room is not taken, or is counted.
 */
#include "tests/sim/handmade.h"

#include "server/outbound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define PER_TICK HANDMADE_PER_TICK
#define LETTERS  "abcdefghijklmnopqrstuvwxyz"

static struct shard *shard;

static int setup(void **state)
{
    (void)state;
    handmade_open(NULL);
    shard = handmade.shard;
    return 0;
}

static void open_subscribed(uint32_t first, uint32_t count, const char *channel)
{
    for (uint32_t i = first; i < first + count; i++) {
        handmade_conn(i);
        handmade_subscribe(i, channel);
    }
}

static void publish_sized(const char *channel, char letter, size_t size)
{
    static uint8_t payload[TLS_DATA_SIZE_MAX];

    memset(payload, letter, size);
    fanout_publish(shard, slice_text(channel), WS_TEXT, slice_from(payload, size));
    fanout_check(shard);
}

static void publish(const char *channel, char letter)
{
    publish_sized(channel, letter, 1);
}

static bool step(void)
{
    bool more = fanout_step(shard);

    fanout_check(shard);
    return more;
}

/* To the end; returns the number of ticks. */
static uint32_t run(void)
{
    for (uint32_t ticks = 1;; ticks++) {
        bool more = step();
        assert_true(handmade_drain() <= PER_TICK);
        if (!more) {
            return ticks;
        }
    }
}

static void assert_heard(uint32_t first, uint32_t count, const char *letters)
{
    for (uint32_t i = first; i < first + count; i++) {
        assert_string_equal(handmade_heard(i), letters);
    }
}

static void assert_lost(uint64_t count)
{
    assert_int_equal(counter_read(&shard->counts.publications_lost), count);
}

/* --- who gets it ------------------------------------------------------------------------------ */

static void test_nobody(void **state)
{
    (void)state;
    publish("nobody's", 'a');
    assert_int_equal(shard->arena.used, handmade.arena_at_start); /* not even encoded */
    assert_false(step());
    open_subscribed(0, 1, "a");
    publish("a", 'a');
    handmade_conn_ends(0);
    assert_false(step()); /* they have all left */
    assert_lost(0);
}

static void test_everybody_once(void **state)
{
    (void)state;
    open_subscribed(0, 100, "a");
    handmade_subscribe(7, "a*");
    open_subscribed(100, 3, "a*");
    open_subscribed(103, 5, "b");
    publish("a", 'x');
    assert_int_equal(run(), 3);
    assert_heard(0, 103, "x");
    assert_heard(103, 5, "");
    assert_int_equal(counter_read(&shard->counts.messages_sent), 103);
}

/* Who subscribes while a run goes on was not there when it started. */
static void test_newcomers(void **state)
{
    (void)state;
    open_subscribed(0, 100, "a");
    publish("a", 'x');
    assert_true(step());
    open_subscribed(100, 50, "a");
    publish("a", 'y');
    (void)run();
    assert_heard(0, 100, "xy");
    assert_heard(100, 50, "y");
}

/* Nobody is subscribed while some wait: who comes before their turn gets all of them, without a
 * gap. */
static void test_nobody_for_a_while(void **state)
{
    (void)state;
    open_subscribed(0, 1, "a");
    publish("a", 'x');
    handmade_conn_ends(0);
    publish("a", 'y');
    open_subscribed(1, 1, "a");
    publish("a", 'z');
    (void)run();
    assert_heard(1, 1, "xyz");
}

/* A number that has found a new owner: the publication was not for that one. */
static void test_new_owner_of_a_number(void **state)
{
    (void)state;
    open_subscribed(0, 100, "a");
    publish("a", 'x');
    assert_true(step());
    handmade_conn_ends(99);
    open_subscribed(99, 1, "a");
    handmade_conn_ends(98);
    (void)run();
    assert_heard(0, 98, "x");
    assert_heard(98, 2, "");
}

static void test_unsubscribed_meanwhile(void **state)
{
    (void)state;
    open_subscribed(0, 100, "a");
    handmade_subscribe(97, "*");
    publish("a", 'x');
    assert_true(step());
    assert_true(channel_unsubscribe(shard->channels, slice_text("a"), 0)); /* has got it already */
    assert_true(channel_unsubscribe(shard->channels, slice_text("a"), 97));
    assert_true(channel_unsubscribe(shard->channels, slice_text("a"), 98));
    (void)run();
    assert_heard(0, 98, "x"); /* 97 by its pattern */
    assert_heard(98, 1, "");
    assert_heard(99, 1, "x");
}

/* Nothing follows a close frame. */
static void test_closing(void **state)
{
    (void)state;
    open_subscribed(0, 3, "a");
    conn_set_state(shard, conn_at(shard, 1), CONN_CLOSING);
    publish("a", 'x');
    assert_int_equal(run(), 1);
    assert_heard(0, 1, "x");
    assert_heard(1, 1, "");
    assert_heard(2, 1, "x");
}

/* --- order, turns, bounds --------------------------------------------------------------------- */

/* 26 publications, some before and some during the runs of others: all in order, to each. */
static void test_order(void **state)
{
    const char *letters = LETTERS;
    uint32_t sent = 0;

    (void)state;
    open_subscribed(0, 300, "a");
    while (letters[sent] != '\0') {
        publish("a", letters[sent++]);
        if (sent % 5 == 0) {
            (void)step();
            (void)handmade_drain();
        }
    }
    (void)run();
    assert_heard(0, 300, LETTERS);
    assert_lost(0);
}

/* What waits for its channel's turn goes as one message, so it costs one visit. */
static void test_together(void **state)
{
    (void)state;
    open_subscribed(0, PER_TICK, "a");
    for (uint32_t i = 0; i < 26; i++) {
        publish("a", LETTERS[i]);
    }
    assert_int_equal(shard->fanout.waiting, 26);
    assert_false(step());
    assert_int_equal(conn_at(shard, 0)->queue_bytes, 26 * 3 + 48);
    assert_int_equal(handmade_drain(), PER_TICK);
    assert_heard(0, PER_TICK, LETTERS);
    assert_int_equal(counter_read(&shard->counts.messages_sent), 26 * PER_TICK);
}

/* Together they are at most a record, and at most a quarter of what may wait for a connection. */
static void test_together_up_to_a_record(void **state)
{
    (void)state;
    handmade.budget.fanouts_per_tick_max = 10; /* one run a tick */
    open_subscribed(0, 10, "a");
    publish_sized("a", 'a', 8000);
    publish_sized("a", 'b', OUTBOUND_DATA_MAX - 8000 - 8); /* with its head this fills the record */
    publish_sized("a", 'c', 1);
    assert_true(step());
    assert_int_equal(conn_at(shard, 0)->queue_bytes, OUTBOUND_DATA_MAX + 48);
    (void)handmade_drain();
    assert_int_equal(run(), 1);
    assert_heard(0, 10, "abc");
    publish_sized("a", 'd', 8000);
    publish_sized("a", 'e', OUTBOUND_DATA_MAX - 8000 - 8 + 1);
    assert_int_equal(run(), 2);

    handmade.options.limits.queue_bytes_max = 4096;
    publish_sized("a", 'f', 600);
    publish_sized("a", 'g', 600);
    assert_int_equal(run(), 2);
    publish_sized("a", 'h', 500);
    publish_sized("a", 'i', 500);
    assert_int_equal(run(), 1);
    assert_heard(0, 10, "abcdefghi");
}

/* With many members they are less, so that their sends do not take all of the arena. */
static void test_together_in_proportion(void **state)
{
    const uint32_t size_max = HANDMADE_ARENA_SIZE / 4 / 512;

    (void)state;
    open_subscribed(0, 512, "a");
    publish_sized("a", 'a', 256);
    publish_sized("a", 'b', size_max - 2 * 4 - 256);
    publish_sized("a", 'c', 256);
    publish_sized("a", 'd', size_max - 2 * 4 - 256 + 1);
    publish_sized("a", 'e', (size_t)2 * size_max);                /* one may be larger */
    assert_int_equal(run(), (4 * 512 + PER_TICK - 1) / PER_TICK); /* four runs */
    assert_heard(0, 512, "abcde");
}

/* Without memory to put them together they go one by one. */
static void test_together_without_memory(void **state)
{
    (void)state;
    open_subscribed(0, 2, "a");
    publish_sized("a", 'a', 3000);
    publish_sized("a", 'b', 3000);
    handmade_fill_arena(4096);
    assert_int_equal(run(), 1);
    assert_heard(0, 2, "ab");
    assert_int_equal(shard->fanout.waiting, 0);
    handmade_empty_arena();
}

/* A run for which there is no memory waits, and says so; nothing is lost. */
static void test_run_without_memory(void **state)
{
    (void)state;
    open_subscribed(0, PER_TICK, "a");
    publish("a", 'x');
    handmade_fill_arena(64);
    assert_false(step());
    assert_true(shard->starved);
    assert_int_equal(shard->fanout.waiting, 1);
    handmade_empty_arena();
    assert_int_equal(run(), 1);
    assert_heard(0, PER_TICK, "x");
    assert_lost(0);
}

/* A channel of two members gets its messages at once while a crowd of 500 is served. */
static void test_turns(void **state)
{
    (void)state;
    open_subscribed(0, 500, "crowd");
    open_subscribed(500, 2, "pair");
    publish("crowd", 'x');
    assert_true(step());
    (void)handmade_drain();
    for (uint32_t i = 0; i < 5; i++) {
        publish("crowd", 'y');
        publish("pair", LETTERS[i]);
        assert_true(step());
        (void)handmade_drain();
        assert_int_equal(strlen(handmade_heard(500)), i + 1);
    }
    assert_string_equal(handmade_heard(499), "");
    (void)run();
    assert_heard(0, 500, "xyyyyy");
    assert_heard(500, 2, "abcde");
}

/* Two crowds go side by side. */
static void test_crowds_share(void **state)
{
    uint32_t first = 0;
    uint32_t second = 0;

    (void)state;
    open_subscribed(0, 200, "one");
    open_subscribed(200, 200, "two");
    publish("one", 'x');
    publish("two", 'y');
    assert_true(step());
    assert_int_equal(handmade_drain(), PER_TICK);
    for (uint32_t i = 0; i < 200; i++) {
        first += (uint32_t)strlen(handmade_heard(i));
        second += (uint32_t)strlen(handmade_heard(200 + i));
    }
    assert_int_equal(first, PER_TICK / 2);
    assert_int_equal(second, PER_TICK / 2);
    assert_int_equal(run(), 9);
}

/* Most members have not taken the last message: the next run waits, longer each time. */
static void test_held_back(void **state)
{
    (void)state;
    open_subscribed(0, 10, "a");
    open_subscribed(10, 1, "b");
    for (uint32_t i = 0; i < 5; i++) {
        conn_at(shard, i)->in_flight = CONN_SENDING;
    }
    publish("a", 'a');
    assert_int_equal(run(), 1);
    publish("a", 'b'); /* half of them are no majority */
    assert_int_equal(run(), 1);
    conn_at(shard, 5)->in_flight = CONN_SENDING;
    publish_sized("a", 'c', OUTBOUND_DATA_MAX - 4);
    publish("a", 'd');
    publish("b", 'x');
    for (uint32_t hold_ms = 10; hold_ms <= 640; hold_ms *= 2) {
        uint32_t held_ms = hold_ms < 320 ? hold_ms : 320;
        assert_false(step());
        assert_true(shard->fanout.is_holding);
        (void)handmade_drain();
        assert_string_equal(handmade_heard(10), "x"); /* others go on */
        shard->now_ms += held_ms - 1;
        assert_false(step());
        assert_int_equal(handmade_drain(), 0);
        shard->now_ms += 1;
        publish_sized("a", 'd', OUTBOUND_DATA_MAX - 4);
    }
    for (uint32_t i = 0; i < 6; i++) {
        conn_at(shard, i)->in_flight = 0;
    }
    assert_false(step()); /* the crowd has caught up: what waits goes at once */
    assert_false(shard->fanout.is_holding);
    (void)handmade_drain();
    assert_heard(0, 10, "abcdddddddd");
}

/* Half of what may wait in the shard does: a flood goes slower, before anybody has to go. */
static void test_held_back_by_a_full_shard(void **state)
{
    (void)state;
    open_subscribed(0, 10, "a");
    handmade.budget.queue_bytes_max = 2 * (uint64_t)10 * (3 + 48);
    publish("a", 'a');
    assert_false(step());
    assert_false(shard->fanout.is_holding);
    (void)handmade_drain();
    handmade.budget.queue_bytes_max--;
    publish_sized("a", 'b', 1);
    publish_sized("a", 'c', OUTBOUND_DATA_MAX - 4);
    assert_false(step());
    assert_true(shard->fanout.is_holding);
    (void)handmade_drain();
    handmade.budget.queue_bytes_max = 1 << 30;
    shard->now_ms += 10;
    assert_false(step());
    assert_false(shard->fanout.is_holding);
    (void)handmade_drain();
    assert_heard(0, 10, "abc");
}

/* It does not run ahead of the flush. */
static void test_flush_first(void **state)
{
    (void)state;
    open_subscribed(0, 2 * PER_TICK, "a");
    open_subscribed(2 * PER_TICK, PER_TICK, "b");
    for (uint32_t i = 0; i < PER_TICK; i++) {
        outbound_mark(shard, 2 * PER_TICK + i);
    }
    publish("a", 'x');
    assert_true(step());
    assert_int_equal(handmade_drain(), PER_TICK);
    assert_heard(0, 2 * PER_TICK, "");
    assert_int_equal(run(), 2);
    assert_heard(0, 2 * PER_TICK, "x");
}

static void test_room_for_publications(void **state)
{
    (void)state;
    open_subscribed(0, 1, "a");
    for (uint32_t i = 0; i < HANDMADE_PUBLICATIONS; i++) {
        assert_true(fanout_has_room(shard));
        publish("a", 'x');
    }
    assert_false(fanout_has_room(shard));
    assert_lost(0);
    publish("a", 'y'); /* who asks for more than there is room for loses, and it is counted */
    assert_lost(1);
    (void)run();
    assert_true(fanout_has_room(shard));
    assert_int_equal(strlen(handmade_heard(0)), HANDMADE_PUBLICATIONS);
}

static void test_room_for_topics(void **state)
{
    char name[8];

    (void)state;
    for (uint32_t i = 0; i < HANDMADE_TOPICS + 1; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        open_subscribed(i, 1, name);
    }
    for (uint32_t i = 0; i < HANDMADE_TOPICS; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        assert_true(fanout_has_room(shard));
        publish(name, 'x');
    }
    assert_false(fanout_has_room(shard));
    (void)run();
    assert_heard(0, HANDMADE_TOPICS, "x");
    assert_true(fanout_has_room(shard));
}

/* An eighth of the arena. */
static void test_room_for_bytes(void **state)
{
    uint32_t count = 0;

    (void)state;
    open_subscribed(0, 1, "a");
    while (fanout_has_room(shard)) {
        publish_sized("a", 'x', 16000);
        count++;
    }
    assert_int_equal(count, 9);
    assert_true(shard->fanout.waiting_size >= HANDMADE_ARENA_SIZE / 8);
    assert_lost(0);
}

static void test_no_memory_to_encode(void **state)
{
    (void)state;
    open_subscribed(0, 1, "a");
    publish_sized("a", 'x', 100);
    handmade_fill_arena(128);
    publish_sized("a", 'y', 100);
    assert_lost(1);
    handmade_empty_arena();
    (void)run();
    assert_heard(0, 1, "x");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, handmade_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nobody),
        TEST(test_everybody_once),
        TEST(test_newcomers),
        TEST(test_nobody_for_a_while),
        TEST(test_new_owner_of_a_number),
        TEST(test_unsubscribed_meanwhile),
        TEST(test_closing),
        TEST(test_order),
        TEST(test_together),
        TEST(test_together_up_to_a_record),
        TEST(test_together_in_proportion),
        TEST(test_together_without_memory),
        TEST(test_run_without_memory),
        TEST(test_turns),
        TEST(test_crowds_share),
        TEST(test_held_back),
        TEST(test_held_back_by_a_full_shard),
        TEST(test_flush_first),
        TEST(test_room_for_publications),
        TEST(test_room_for_topics),
        TEST(test_room_for_bytes),
        TEST(test_no_memory_to_encode),
    };
    return cmocka_run_group_tests(tests, handmade_prepare, handmade_end);
}
