/*
 * Goal: a shard does what each kind of parcel says, for names of every length; a refusal meets the
 * one connection that it is for, or nobody; a look takes a bounded number, and leaves what has no
 * room where it is; a parcel that is cut, or of no kind, is a bug that stops the process.
 */
#include "server/parcels.h"

#include "bare_shard.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmocka.h>

#define A_LOOK 256 /* parcels */

static struct bare_shard bare;

static int open_shard(void **unused)
{
    (void)unused;
    bare_shard_open(&bare);
    return 0;
}

static int close_shard(void **unused)
{
    (void)unused;
    fanout_check(bare.shard);
    bare_shard_close(&bare);
    return 0;
}

static void post(struct slice head, struct slice body)
{
    bool wake;

    assert_true(mailbox_post(bare.server.mailboxes[0], head, body, &wake));
}

static void post_publication(struct slice channel, enum ws_opcode opcode, struct slice payload)
{
    uint8_t head[PARCEL_HEAD_MAX];

    post(slice_from(head, parcels_write_publication(head, channel, opcode)), payload);
}

static void post_refusal(uint32_t number, uint32_t generation, enum broker_outcome outcome)
{
    uint8_t head[PARCEL_HEAD_MAX];

    post(slice_from(head, parcels_write_refusal(head, number, generation, outcome)),
         (struct slice){0});
}

static void post_report(uint32_t report, struct slice glob)
{
    uint8_t head[PARCEL_HEAD_MAX];

    post(slice_from(head, parcels_write_report(head, report, glob)), (struct slice){0});
}

static void subscribe(uint32_t number, struct slice channel)
{
    assert_int_equal(channel_subscribe(bare.shard->channels, channel, number), CHANNEL_SUBSCRIBED);
}

static void deliver(void)
{
    assert_false(fanout_step(bare.shard));
    assert_int_equal(bare.shard->fanout.waiting, 0);
}

static bool mailbox_is_empty(void)
{
    return mailbox_next(bare.server.mailboxes[0]).data == NULL;
}

static uint64_t failed(enum broker_outcome outcome)
{
    return counter_read(&bare.shard->counts.publications_failed[outcome]);
}

/* --- publications ----------------------------------------------------------------------------- */

static void assert_queued(uint32_t number, const void *frame, size_t size)
{
    const struct slice queued = bare_shard_queued(&bare, number);

    assert_true(slice_equal(queued, slice_from(frame, size)));
}

static void a_publication_goes_to_the_subscribers(void **unused)
{
    (void)unused;
    for (uint32_t number = 1; number <= 3; number++) {
        (void)!bare_shard_connect(&bare, number);
    }
    subscribe(1, slice_text("news"));
    subscribe(3, slice_text("new*"));
    post_publication(slice_text("news"), WS_TEXT, slice_text("hello"));
    assert_false(parcels_take(bare.shard));
    assert_true(mailbox_is_empty());
    deliver();
    assert_queued(1, "\x81\x05hello", 7);
    assert_int_equal(bare_shard_queued(&bare, 2).size, 0);
    assert_queued(3, "\x81\x05hello", 7);

    post_publication(slice_text("news"), WS_BINARY, (struct slice){0});
    assert_false(parcels_take(bare.shard));
    deliver();
    assert_queued(1, "\x82\x00", 2);
    assert_int_equal(counter_read(&bare.shard->counts.messages_sent), 4);
}

static void names_of_every_length(void **unused)
{
    uint8_t name[CHANNEL_NAME_MAX];
    uint8_t frame[] = {0x82, 1, 0};

    (void)unused;
    (void)!bare_shard_connect(&bare, 7);
    memset(name, 0xff, sizeof(name)); /* nothing is read out of it */
    for (size_t size = 1; size <= sizeof(name); size++) {
        subscribe(7, slice_from(name, size));
        frame[2] = (uint8_t)size;
        post_publication(slice_from(name, size), WS_BINARY, slice_from(&frame[2], 1));
        assert_false(parcels_take(bare.shard));
        deliver();
        assert_queued(7, frame, sizeof(frame));
        assert_true(channel_unsubscribe(bare.shard->channels, slice_from(name, size), 7));
    }
}

static void without_a_subscriber_nothing_is_kept(void **unused)
{
    const size_t used = bare.shard->arena.used;

    (void)unused;
    post_publication(slice_text("news"), WS_TEXT, slice_text("hello"));
    assert_false(parcels_take(bare.shard));
    assert_true(mailbox_is_empty());
    assert_int_equal(bare.shard->fanout.waiting, 0);
    assert_int_equal(bare.shard->arena.used, used);
}

/* --- bounds ----------------------------------------------------------------------------------- */

static void a_look_takes_a_bounded_number(void **unused)
{
    (void)unused;
    for (uint32_t i = 0; i < 2 * A_LOOK - 1; i++) {
        post_publication(slice_text("nobody's"), WS_TEXT, slice_text("x"));
    }
    assert_true(parcels_take(bare.shard));
    assert_false(mailbox_is_empty());
    assert_false(parcels_take(bare.shard)); /* one less than a look */
    assert_true(mailbox_is_empty());
    assert_false(parcels_take(bare.shard));
}

static void what_has_no_room_stays_where_it_is(void **unused)
{
    (void)unused;
    (void)!bare_shard_connect(&bare, 1);
    subscribe(1, slice_text("news"));
    bare.budget.publications_max = 2;
    for (const char *text = "abc"; *text; text++) {
        post_publication(slice_text("news"), WS_TEXT, slice_from(text, 1));
    }
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(parcels_take(bare.shard));
        assert_int_equal(bare.shard->fanout.waiting, 2);
        assert_false(mailbox_is_empty());
    }
    deliver();
    assert_queued(1,
                  "\x81\x01"
                  "a\x81\x01"
                  "b",
                  6);
    assert_false(parcels_take(bare.shard));
    assert_true(mailbox_is_empty());
    deliver();
    assert_queued(1,
                  "\x81\x01"
                  "c",
                  3);
    assert_int_equal(counter_read(&bare.shard->counts.publications_lost), 0);
}

/* A writer that comes after a look wakes again. */
static void each_look_is_a_look_anew(void **unused)
{
    uint8_t head[PARCEL_HEAD_MAX];
    const size_t size = parcels_write_publication(head, slice_text("x"), WS_TEXT);
    bool wake;

    (void)unused;
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(mailbox_post(bare.server.mailboxes[0], slice_from(head, size),
                                 (struct slice){0}, &wake));
        assert_true(wake);
        assert_true(mailbox_post(bare.server.mailboxes[0], slice_from(head, size),
                                 (struct slice){0}, &wake));
        assert_false(wake);
        assert_false(parcels_take(bare.shard));
    }
}

/* --- refusals --------------------------------------------------------------------------------- */

static void a_refusal_closes_its_connection(void **unused)
{
    const uint32_t generation = bare_shard_connect(&bare, 5);

    (void)unused;
    (void)!bare_shard_connect(&bare, 6);
    post_refusal(5, generation, BROKER_AWAY);
    assert_false(parcels_take(bare.shard));
    assert_queued(5, "\x88\x02\x03\xf5", 4); /* 1013 */
    assert_int_equal(conn_at(bare.shard, 5)->state, CONN_CLOSING);
    assert_int_equal(conn_at(bare.shard, 6)->state, CONN_OPEN);
    assert_int_equal(counter_read(&bare.shard->counts.closed[CAUSE_FULL]), 1);
    post_refusal(5, generation, BROKER_AWAY); /* of another message: it is told once */
    assert_false(parcels_take(bare.shard));
    assert_int_equal(counter_read(&bare.shard->counts.closed[CAUSE_FULL]), 1);
    assert_int_equal(failed(BROKER_AWAY), 2);
}

static void a_refusal_of_one_who_has_gone_meets_nobody(void **unused)
{
    const uint32_t generation = bare_shard_connect(&bare, 5);

    (void)unused;
    post_refusal(5, generation - 1, BROKER_FULL); /* the number's last owner */
    post_refusal(5, generation + 1, BROKER_FULL);
    post_refusal(4, generation, BROKER_FULL); /* free */
    post_refusal(bare.budget.sockets_max - 1, 0, BROKER_FULL);
    assert_false(parcels_take(bare.shard));
    assert_int_equal(conn_at(bare.shard, 5)->state, CONN_OPEN);
    assert_int_equal(bare_shard_queued(&bare, 5).size, 0);
    assert_int_equal(counter_read(&bare.shard->counts.closed[CAUSE_FULL]), 0);
    assert_int_equal(failed(BROKER_FULL), 4);
}

static void refusals_are_counted_by_outcome(void **unused)
{
    (void)unused;
    for (uint32_t outcome = 0; outcome < BROKER_OUTCOMES; outcome++) {
        for (uint32_t i = 0; i <= outcome; i++) {
            post_refusal(9, 0, outcome);
        }
    }
    assert_false(parcels_take(bare.shard));
    for (uint32_t outcome = 0; outcome < BROKER_OUTCOMES; outcome++) {
        assert_int_equal(failed(outcome), outcome + 1);
    }
}

/* --- reports ---------------------------------------------------------------------------------- */

static void a_report_is_noted_with_its_glob(void **unused)
{
    static const size_t sizes[] = {0, 1, CHANNEL_NAME_MAX};
    struct errands *errands = &bare.shard->errands;
    uint8_t glob[CHANNEL_NAME_MAX];

    (void)unused;
    memset(glob, '?', sizeof(glob));
    for (size_t i = 0; i < 3; i++) {
        post_report(UINT32_MAX, slice_from(glob, sizes[i]));
        assert_false(parcels_take(bare.shard));
        assert_int_equal(errands->report, UINT32_MAX);
        assert_true(slice_equal(slice_from(errands->report_glob, errands->report_glob_size),
                                slice_from(glob, sizes[i])));
        errands->report = 0; /* it is answered */
    }
}

/* --- bugs ------------------------------------------------------------------------------------- */

/* Runs in a child: the test library has a handler of its own. */
static void expect_abort(void)
{
    const struct rlimit no_core = {0};

    setrlimit(RLIMIT_CORE, &no_core);
    (void)signal(SIGABRT, SIG_DFL);
}

static int take(const void *parcel)
{
    expect_abort();
    post(*(const struct slice *)parcel, (struct slice){0});
    (void)!parcels_take(bare.shard);
    return 0;
}

static int write_name(const void *size)
{
    static const uint8_t name[CHANNEL_NAME_MAX + 1];
    uint8_t head[PARCEL_HEAD_MAX];

    expect_abort();
    (void)!parcels_write_report(head, 1, slice_from(name, *(const size_t *)size));
    return 0;
}

/* An assertion says so. */
static bool stops(int (*act)(const void *context), const void *context)
{
    static struct child child;

    child_run(&child, act, context);
    return child.status == -1 && strstr(child.err, "parcels.c") != NULL;
}

static void a_parcel_that_is_cut_is_a_bug(void **unused)
{
    uint8_t head[PARCEL_HEAD_MAX];
    const size_t size = parcels_write_publication(head, slice_text("news"), WS_TEXT);

    (void)unused;
    for (size_t cut = 0; cut < size; cut++) {
        const struct slice parcel = slice_from(head, cut);
        assert_true(stops(take, &parcel));
    }
    const struct slice whole = slice_from(head, size); /* with an empty payload */
    assert_false(stops(take, &whole));
}

static void a_parcel_of_no_kind_is_a_bug(void **unused)
{
    uint8_t head[PARCEL_HEAD_MAX];
    const size_t size = parcels_write_publication(head, slice_text("news"), WS_TEXT);

    (void)unused;
    const struct slice parcel = slice_from(head, size);
    for (uint32_t kind = 3; kind <= UINT8_MAX; kind += 4) {
        head[0] = (uint8_t)kind;
        assert_true(stops(take, &parcel));
    }
}

static void no_longer_name_is_written(void **unused)
{
    size_t size = CHANNEL_NAME_MAX;

    (void)unused;
    assert_false(stops(write_name, &size));
    size++;
    assert_true(stops(write_name, &size));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_shard, close_shard)
    const struct CMUnitTest tests[] = {
        TEST(a_publication_goes_to_the_subscribers),
        TEST(names_of_every_length),
        TEST(without_a_subscriber_nothing_is_kept),
        TEST(a_look_takes_a_bounded_number),
        TEST(what_has_no_room_stays_where_it_is),
        TEST(each_look_is_a_look_anew),
        TEST(a_refusal_closes_its_connection),
        TEST(a_refusal_of_one_who_has_gone_meets_nobody),
        TEST(refusals_are_counted_by_outcome),
        TEST(a_report_is_noted_with_its_glob),
        TEST(a_parcel_that_is_cut_is_a_bug),
        TEST(a_parcel_of_no_kind_is_a_bug),
        TEST(no_longer_name_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
