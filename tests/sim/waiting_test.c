/*
 * Goal: what may wait for a connection and for a shard is bounded, the message in question counted;
 * a slow consumer meets the policy of the message's channel, nothing that has begun to go is cut,
 * and whatever somebody does not get is counted.
 */
#include "tests/sim/handmade.h"

#include "pubsub/message.h"
#include "server/outbound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COST 48 /* of a message, beside its bytes */

static struct shard *shard;

static void choose(struct options *options)
{
    static const char text[] = "oldest:slow=drop_oldest,latest:slow=keep_latest";
    char message[128];
    int error = options_set(options, "namespaces", text, message, sizeof(message));

    ASSERT(error == 0);
}

static int setup(void **state)
{
    (void)state;
    handmade_open(choose);
    shard = handmade.shard;
    for (uint32_t i = 0; i < 4; i++) {
        handmade_conn(i);
        handmade_subscribe(i, "close");
        handmade_subscribe(i, "oldest:*");
        handmade_subscribe(i, "latest:*");
    }
    return 0;
}

/* A publication whose message has size bytes, header included, and is queued at once. */
static void publish(const char *channel, char letter, uint32_t size)
{
    static uint8_t payload[HANDMADE_QUEUE_BYTES];
    uint32_t head = size > 127 ? 4 : 2;

    memset(payload, letter, size);
    fanout_publish(shard, slice_text(channel), WS_TEXT, slice_from(payload, size - head));
    while (fanout_step(shard)) {
    }
}

/* What waits for connection 0 and its limit, in bytes with their cost. */
static void allow(uint32_t bytes)
{
    handmade.options.limits.queue_bytes_max = bytes;
}

static void assert_waiting(uint32_t bytes)
{
    uint64_t sum = 0;

    assert_int_equal(conn_at(shard, 0)->queue_bytes, bytes);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t nodes = outbound_check(shard, conn_at(shard, i));
        assert_true(nodes <= 100);
        sum += conn_at(shard, i)->queue_bytes;
    }
    assert_int_equal(shard->queue_bytes, sum);
}

static uint64_t dropped(enum slow_policy policy)
{
    return counter_read(&shard->counts.dropped[policy]);
}

static uint64_t closed(void)
{
    return counter_read(&shard->counts.closed[CAUSE_SLOW_CONSUMER]);
}

/* Everyone gets the same here; letters in order. */
static void assert_gets(const char *letters)
{
    (void)handmade_drain();
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(handmade_heard(i), letters);
    }
}

/* The first node of connection 0. */
static struct queue_node *first_node(void)
{
    const struct queue_node *tail = pool_at(&shard->nodes, conn_at(shard, 0)->queue_tail);

    return pool_at(&shard->nodes, tail->next);
}

static void test_close(void **state)
{
    (void)state;
    allow(2 * (100 + COST));
    publish("close", 'a', 100);
    publish("close", 'b', 100);
    assert_waiting(2 * (100 + COST)); /* the bound itself is allowed */
    assert_int_equal(closed(), 0);
    publish("close", 'c', 3);
    assert_int_equal(closed(), 4);
    assert_int_equal(conn_at(shard, 0)->state, CONN_DEAD);
    assert_int_equal(dropped(SLOW_CLOSE), 4 * 3);
    assert_int_equal(dropped(SLOW_DROP_OLDEST) + dropped(SLOW_KEEP_LATEST), 0);
}

static void test_close_one_byte_over(void **state)
{
    (void)state;
    allow(2 * (100 + COST) - 1);
    publish("close", 'a', 100);
    publish("close", 'b', 100);
    assert_int_equal(closed(), 4);
}

static void test_drop_oldest(void **state)
{
    (void)state;
    allow(3 * (100 + COST));
    publish("oldest:x", 'a', 100);
    publish("oldest:y", 'b', 100);
    publish("oldest:x", 'c', 100);
    assert_int_equal(dropped(SLOW_DROP_OLDEST), 0);
    publish("oldest:z", 'd', 100);
    assert_int_equal(dropped(SLOW_DROP_OLDEST), 4);
    publish("oldest:x", 'e', 101); /* one byte more: two must go */
    assert_int_equal(dropped(SLOW_DROP_OLDEST), 4 * 3);
    assert_waiting(2 * COST + 201);
    assert_gets("de");
    assert_int_equal(closed(), 0);
}

/* Only messages of such channels go; when there are none, the new one does. */
static void test_drop_oldest_spares_others(void **state)
{
    (void)state;
    allow(3 * (100 + COST));
    publish("close", 'a', 100);
    publish("oldest:x", 'b', 100);
    publish("close", 'c', 100);
    publish("oldest:x", 'd', 100);
    assert_int_equal(dropped(SLOW_DROP_OLDEST), 4);
    publish("close", 'e', 100); /* makes itself room, too */
    assert_int_equal(dropped(SLOW_DROP_OLDEST), 8);
    publish("oldest:x", 'f', 100);
    assert_int_equal(dropped(SLOW_DROP_OLDEST), 12);
    assert_int_equal(closed(), 0);
    assert_gets("ace");
}

/* All of it goes, to the last node, and the queue still works. */
static void test_drop_oldest_drops_all(void **state)
{
    (void)state;
    allow(300 + COST);
    publish("oldest:x", 'a', 100);
    publish("oldest:x", 'b', 100);
    publish("oldest:x", 'c', 300);
    assert_waiting(300 + COST);
    publish("oldest:x", 'd', 301); /* fits never: it goes itself, and those before it */
    assert_waiting(0);
    assert_int_equal(dropped(SLOW_DROP_OLDEST), 4 * 4);
    publish("oldest:x", 'e', 3);
    assert_gets("e");
}

/* A message that has begun to go is not cut. */
static void test_drop_oldest_spares_what_has_begun(void **state)
{
    (void)state;
    allow(2 * (100 + COST));
    publish("oldest:x", 'a', 100);
    first_node()->offset = 1;
    publish("oldest:x", 'b', 100);
    publish("oldest:x", 'c', 100);
    assert_int_equal(first_node()->offset, 1);
    assert_waiting(2 * (100 + COST));
    (void)handmade_drain();
    assert_string_equal(handmade_heard(0), "ac");
    assert_string_equal(handmade_heard(1), "bc");
}

static void test_keep_latest(void **state)
{
    (void)state;
    publish("latest:x", 'a', 100);
    publish("close", 'b', 100);
    publish("latest:y", 'c', 100);
    publish("latest:x", 'd', 50); /* in the place of a */
    assert_waiting(3 * COST + 250);
    publish("latest:y", 'e', 60);
    publish("latest:y", 'f', 70);
    assert_waiting(3 * COST + 220);
    assert_int_equal(dropped(SLOW_KEEP_LATEST), 4 * 3);
    assert_gets("dbf");
    assert_int_equal(closed(), 0);
}

/* Several that wait for the fan-out go one by one, for the latest is one of them. */
static void test_keep_latest_is_one_message(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        fanout_publish(shard, slice_text("latest:x"), WS_TEXT, slice_from(&"abcd"[i], 1));
    }
    while (fanout_step(shard)) {
    }
    assert_waiting(3 + COST);
    assert_int_equal(dropped(SLOW_KEEP_LATEST), 4 * 3);
    assert_gets("d");
}

static void test_keep_latest_spares_what_has_begun(void **state)
{
    (void)state;
    publish("latest:x", 'a', 100);
    first_node()->offset = 1;
    publish("latest:x", 'b', 100);
    publish("latest:x", 'c', 100);
    (void)handmade_drain();
    assert_string_equal(handmade_heard(0), "ac");
    assert_string_equal(handmade_heard(1), "c");
    assert_int_equal(dropped(SLOW_KEEP_LATEST), 1 + 3 * 2);
}

/* A newer one that does not fit in the place of the older: neither stays, both are counted. */
static void test_keep_latest_that_does_not_fit(void **state)
{
    (void)state;
    allow(300);
    publish("close", 'a', 100);
    publish("latest:x", 'b', 100);
    publish("latest:x", 'c', 105);
    assert_int_equal(dropped(SLOW_KEEP_LATEST), 4 * 2);
    assert_waiting(100 + COST);
    publish("latest:x", 'd', 104);
    assert_waiting(300);
    assert_gets("ad");
}

/* A ping finds room where messages may be dropped, and closes where they may not. */
static void test_control_frames(void **state)
{
    (void)state;
    allow(2 * (100 + COST));
    publish("oldest:x", 'a', 100);
    publish("oldest:x", 'b', 100);
    outbound_frame(shard, 0, WS_PING, slice_from(NULL, 0));
    assert_int_equal(dropped(SLOW_DROP_OLDEST), 1);
    assert_waiting(100 + COST + 2 + COST);
    assert_int_equal(closed(), 0);
    (void)handmade_drain();
    publish("close", 'c', 100);
    publish("close", 'd', 100);
    outbound_frame(shard, 0, WS_PING, slice_from(NULL, 0));
    assert_int_equal(closed(), 1);
}

/* Three quarters are for whoever comes, to the byte; of the last one everybody has an equal share,
 * so that who keeps up is served. */
static void test_shard_is_full(void **state)
{
    (void)state;
    handmade.budget.queue_bytes_max = (uint64_t)16 * (100 + COST);
    publish("close", 'a', 100);
    publish("oldest:x", 'b', 100);
    publish("oldest:x", 'c', 100);
    assert_int_equal(shard->queue_bytes, 12 * (100 + COST));
    assert_int_equal(dropped(SLOW_DROP_OLDEST), 0);
    publish("oldest:x", 'd', 100);
    assert_int_equal(dropped(SLOW_DROP_OLDEST), 4);
    assert_int_equal(closed(), 0);
    assert_waiting(3 * (100 + COST));

    handmade_conn(4);
    uint32_t share = 4 * (100 + COST) / 5;
    uint8_t bytes[100] = "z";
    outbound_frame(shard, 4, WS_TEXT, slice_from(bytes, share - COST - 2));
    assert_int_equal(closed(), 0);
    waiting_drop(shard, conn_at(shard, 4));
    outbound_frame(shard, 4, WS_TEXT, slice_from(bytes, share - COST - 2 + 1));
    assert_int_equal(closed(), 1);
    assert_int_equal(shard->queue_bytes, 12 * (100 + COST));
    assert_gets("acd");
    assert_int_equal(shard->queue_bytes, 0);
}

/* The arena three quarters full: those go who have more than a record waiting. */
static void test_memory_is_short(void **state)
{
    uint8_t bytes[9500] = "x";

    (void)state;
    outbound_frame(shard, 0, WS_TEXT, slice_from(bytes, sizeof(bytes)));
    outbound_frame(shard, 0, WS_TEXT, slice_from(bytes, sizeof(bytes)));
    outbound_frame(shard, 1, WS_TEXT, slice_from(bytes, sizeof(bytes)));
    handmade_fill_arena(HANDMADE_ARENA_SIZE / 4);
    outbound_frame(shard, 1, WS_TEXT, slice_from("y", 1));
    assert_int_equal(closed(), 0);
    outbound_frame(shard, 0, WS_TEXT, slice_from("x", 1));
    assert_int_equal(closed(), 1);
    assert_int_equal(conn_at(shard, 0)->state, CONN_DEAD);
    handmade_empty_arena();
}

/* What the kernel holds counts like what waits. */
static void test_kernel_bytes_count(void **state)
{
    (void)state;
    allow(1000);
    waiting_count(shard, conn_at(shard, 0), 2000); /* it may hold more than the limit */
    publish("oldest:x", 'a', 100);
    publish("latest:x", 'b', 100);
    assert_int_equal(closed(), 0);
    assert_int_equal(dropped(SLOW_DROP_OLDEST), 1);
    assert_int_equal(dropped(SLOW_KEEP_LATEST), 1);
    publish("close", 'c', 100);
    assert_int_equal(closed(), 1);
    waiting_uncount(shard, conn_at(shard, 0), 2000);
    assert_int_equal(shard->queue_bytes, 3 * 3 * (100 + COST));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, handmade_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_close),
        TEST(test_close_one_byte_over),
        TEST(test_drop_oldest),
        TEST(test_drop_oldest_spares_others),
        TEST(test_drop_oldest_drops_all),
        TEST(test_drop_oldest_spares_what_has_begun),
        TEST(test_keep_latest),
        TEST(test_keep_latest_is_one_message),
        TEST(test_keep_latest_spares_what_has_begun),
        TEST(test_keep_latest_that_does_not_fit),
        TEST(test_control_frames),
        TEST(test_shard_is_full),
        TEST(test_memory_is_short),
        TEST(test_kernel_bytes_count),
    };
    return cmocka_run_group_tests(tests, handmade_prepare, handmade_end);
}
