/*
 * Goal: who waits for a handshake, and whose turn it is. Both classes get their share whatever the
 * other does, of the rate and of the places; who waited too long is told so, to the millisecond; in
 * a crowd the newest goes first; the dead hold nothing up; every outcome is counted.
 *
 * A shard without a ring, and without TLS: what admission gives is looked at.
 */
#include "server/admission.h"

#include "child.h"
#include "server/opening.h"
#include "server/relay.h"
#include "server/shard.h"
#include "server/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define START_MS 1000000
#define PLACES   8

static struct child_folder folder;
static struct options options;
static struct budget budget;
static struct server server;
static struct shard *shard;
static struct certificate_set *certificates;
static uint32_t next_number;

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
    options.limits.handshakes_max = PLACES;
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

static void set_now(uint64_t now_ms)
{
    shard->now_ms = now_ms;
    shard->now_ns = now_ms * 1000000;
}

static int open_shard(void **unused)
{
    char message[512];

    (void)unused;
    options.limits.admissions_per_s = 0;
    options.limits.admission_burst = 0;
    options.deadlines.admission_wait_ms = 5000;
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
    next_number = 0;
    set_now(START_MS);
    return 0;
}

static int close_shard(void **unused)
{
    (void)unused;
    shard_close(shard);
    relay_close(server.relay);
    tally_close(server.open);
    return 0;
}

/* One more connection with a whole ClientHello. */
static uint32_t arrive(enum admission_class class)
{
    const uint32_t number = next_number++;
    struct conn *conn = conn_init(shard, number);

    assert_non_null(opening_start(shard, conn));
    conn->state = CONN_HANDSHAKE;
    admission_wait(shard, number, class);
    return number;
}

static void arrive_many(enum admission_class class, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        (void)arrive(class);
    }
}

static enum admission_class class_of(uint32_t number)
{
    return opening_of(shard, conn_at(shard, number))->class;
}

/* Takes all that may begin now, by class. */
static void take_all(uint32_t taken[ADMISSION_CLASSES])
{
    uint32_t number;

    while ((number = admission_next(shard)) != NONE) {
        taken[class_of(number)]++;
        assert_int_equal(conn_at(shard, number)->in_flight & CONN_STEPPING, 0);
    }
}

static uint64_t counted(enum admission_class class, enum admission_outcome outcome)
{
    return counter_read(&shard->counts.admissions[class][outcome]);
}

/* --- order ------------------------------------------------------------------------------------ */

static void the_oldest_goes_first(void **unused)
{
    (void)unused;
    const uint32_t first = arrive(ADMISSION_NEW);
    const uint32_t second = arrive(ADMISSION_NEW);
    assert_int_equal(admission_wait_ms(shard), 0);
    set_now(START_MS + ADMISSION_PATIENCE_MS); /* not too long yet */
    assert_int_equal(admission_next(shard), first);
    assert_int_equal(admission_next(shard), second);
    assert_int_equal(admission_next(shard), NONE);
    assert_int_equal(admission_wait_ms(shard), UINT64_MAX);
}

static void in_a_crowd_the_newest_goes_first(void **unused)
{
    (void)unused;
    const uint32_t first = arrive(ADMISSION_NEW);
    const uint32_t second = arrive(ADMISSION_NEW);
    set_now(START_MS + ADMISSION_PATIENCE_MS + 1);
    const uint32_t third = arrive(ADMISSION_NEW);
    assert_int_equal(admission_next(shard), third);
    assert_int_equal(admission_next(shard), second);
    assert_int_equal(admission_next(shard), first);
    assert_int_equal(admission_next(shard), NONE);
}

static void the_classes_take_turns(void **unused)
{
    static const enum admission_class order[] = {ADMISSION_NEW, ADMISSION_RETURNING,
                                                 ADMISSION_NEW, ADMISSION_RETURNING,
                                                 ADMISSION_NEW, ADMISSION_NEW};

    (void)unused;
    arrive_many(ADMISSION_NEW, 4);
    arrive_many(ADMISSION_RETURNING, 2);
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        assert_int_equal(class_of(admission_next(shard)), order[i]);
    }
    /* Who had them all has no claim on the next. */
    (void)arrive(ADMISSION_NEW);
    const uint32_t returning = arrive(ADMISSION_RETURNING);
    assert_int_equal(admission_next(shard), returning);
}

static void the_dead_hold_nothing_up(void **unused)
{
    (void)unused;
    for (int late = 0; late < 2; late++) {
        const uint32_t first = arrive(ADMISSION_NEW);
        const uint32_t second = arrive(ADMISSION_NEW);
        const uint32_t third = arrive(ADMISSION_NEW);
        conn_kill(shard, first);
        conn_kill(shard, third);
        assert_int_equal(queue_count(&shard->reap), 0); /* the queue holds them */
        set_now(shard->now_ms + (late ? ADMISSION_PATIENCE_MS + 1 : 1));
        assert_int_equal(admission_next(shard), second);
        assert_int_equal(admission_next(shard), NONE);
        assert_int_equal(queue_count(&shard->reap), 2);
        while (queue_pop(&shard->reap) != NONE) {
        }
    }
}

/* --- rate ------------------------------------------------------------------------------------- */

static void the_rate_is_shared_by_those_who_wait(void **unused)
{
    uint32_t taken[ADMISSION_CLASSES] = {0};

    (void)unused;
    options.limits.admissions_per_s = 100;
    options.limits.admission_burst = 1;
    options.deadlines.admission_wait_ms = 0;
    arrive_many(ADMISSION_NEW, 2000);
    for (uint64_t now_ms = START_MS; now_ms <= START_MS + 2000; now_ms += 10) {
        set_now(now_ms);
        if (now_ms % 100 == 0) {
            arrive_many(ADMISSION_RETURNING, 2); /* 20 a second: less than their half */
        }
        take_all(taken);
    }
    assert_in_range(taken[ADMISSION_NEW] + taken[ADMISSION_RETURNING], 200, 201);
    assert_in_range(taken[ADMISSION_RETURNING], 41, 42); /* all but perhaps the last */
    assert_in_range(admission_wait_ms(shard), 1, 10);

    /* Both flood: half and half. */
    taken[ADMISSION_NEW] = 0;
    taken[ADMISSION_RETURNING] = 0;
    arrive_many(ADMISSION_RETURNING, 200);
    for (uint64_t now_ms = shard->now_ms; now_ms <= START_MS + 4000; now_ms += 10) {
        set_now(now_ms);
        take_all(taken);
    }
    assert_in_range(taken[ADMISSION_NEW], 99, 101);
    assert_in_range(taken[ADMISSION_RETURNING], 99, 101);
}

static void the_rate_is_the_whole_servers(void **unused)
{
    uint32_t taken[ADMISSION_CLASSES] = {0};

    (void)unused;
    server.shard_count = 4;
    options.limits.admissions_per_s = 100;
    arrive_many(ADMISSION_NEW, 200);
    take_all(taken);
    assert_int_equal(taken[ADMISSION_NEW], 25); /* a second's, by default */
    set_now(START_MS + 1000);
    take_all(taken);
    assert_int_equal(taken[ADMISSION_NEW], 50);
    options.limits.admissions_per_s = 0; /* the options were read again */
    take_all(taken);
    assert_int_equal(taken[ADMISSION_NEW], 200);
}

static void requests_without_tls_take_tokens_too(void **unused)
{
    (void)unused;
    options.limits.admissions_per_s = 10;
    options.limits.admission_burst = 2;
    assert_true(admission_pass(shard));
    assert_true(admission_pass(shard));
    assert_false(admission_pass(shard));
    (void)arrive(ADMISSION_RETURNING);
    assert_int_equal(admission_next(shard), NONE);
    assert_int_equal(counted(ADMISSION_NEW, ADMISSION_ADMITTED), 2);
    assert_int_equal(counted(ADMISSION_NEW, ADMISSION_REFUSED), 1);
    options.limits.admissions_per_s = 0;
    assert_true(admission_pass(shard));
}

/* --- places ----------------------------------------------------------------------------------- */

/* Handshakes in flight are the TLS server's; here only what a class holds counts. */
static void a_class_never_holds_all_places(void **unused)
{
    (void)unused;
    arrive_many(ADMISSION_NEW, PLACES);
    for (uint32_t i = 0; i < PLACES - PLACES / 8; i++) {
        assert_false(i < 1 && admission_is_crowded(shard, ADMISSION_RETURNING));
        assert_int_not_equal(admission_next(shard), NONE);
        admission_hold(shard, ADMISSION_NEW, true);
    }
    assert_int_equal(admission_next(shard), NONE);
    assert_true(admission_is_crowded(shard, ADMISSION_NEW));
    const uint32_t returning = arrive(ADMISSION_RETURNING);
    assert_false(admission_is_crowded(shard, ADMISSION_RETURNING));
    assert_int_equal(admission_next(shard), returning);
    assert_int_equal(admission_next(shard), NONE);
    assert_int_equal(admission_wait_ms(shard), 5000); /* until they are overdue */
    admission_hold(shard, ADMISSION_NEW, false);
    assert_int_equal(admission_wait_ms(shard), 0);
    assert_int_equal(class_of(admission_next(shard)), ADMISSION_NEW);
    while (shard->admission.held[ADMISSION_NEW] > 0) {
        admission_hold(shard, ADMISSION_NEW, false);
    }
}

static void places_that_come_free_are_waited_for(void **unused)
{
    (void)unused;
    arrive_many(ADMISSION_NEW, 2 * PLACES);
    assert_true(admission_is_crowded(shard, ADMISSION_NEW));
    for (uint32_t i = 0; i < PLACES / 2; i++) {
        assert_true(admission_is_crowded(shard, ADMISSION_NEW));
        admission_done(shard);
    }
    assert_false(admission_is_crowded(shard, ADMISSION_NEW));
    set_now(START_MS + ADMISSION_WINDOW_MS); /* the last window's count holds for one more */
    assert_false(admission_is_crowded(shard, ADMISSION_NEW));
    set_now(START_MS + UINT64_C(2) * ADMISSION_WINDOW_MS - 1);
    assert_false(admission_is_crowded(shard, ADMISSION_NEW));
    set_now(START_MS + UINT64_C(2) * ADMISSION_WINDOW_MS);
    assert_true(admission_is_crowded(shard, ADMISSION_NEW));
    for (uint32_t i = 0; i < PLACES / 2; i++) {
        admission_done(shard);
    }
    set_now(START_MS + UINT64_C(5) * ADMISSION_WINDOW_MS); /* long ago */
    assert_true(admission_is_crowded(shard, ADMISSION_NEW));
}

/* --- the wait --------------------------------------------------------------------------------- */

static void who_waited_too_long_is_overdue(void **unused)
{
    (void)unused;
    options.limits.admissions_per_s = 1;
    const uint32_t lucky = arrive(ADMISSION_NEW);
    const uint32_t first = arrive(ADMISSION_NEW);
    const uint32_t second = arrive(ADMISSION_RETURNING);
    assert_int_equal(admission_next(shard), lucky);
    options.limits.admissions_per_s = 1;
    set_now(START_MS + 500);
    assert_int_equal(admission_wait_ms(shard), 500); /* for the next token */
    (void)arrive(ADMISSION_NEW);
    options.limits.admissions_per_s = 1;
    shard->admission.bucket.level = -100; /* no token for a long time */
    set_now(START_MS + 4999);
    assert_int_equal(admission_overdue(shard), NONE);
    assert_int_equal(admission_wait_ms(shard), 1);
    set_now(START_MS + 5000);
    assert_int_equal(admission_wait_ms(shard), 0);
    assert_int_equal(admission_overdue(shard), first);
    assert_int_equal(admission_overdue(shard), second);
    assert_int_equal(admission_overdue(shard), NONE);
    assert_int_equal(admission_wait_ms(shard), 500);
    assert_int_equal(counted(ADMISSION_NEW, ADMISSION_REFUSED), 1);
    assert_int_equal(counted(ADMISSION_RETURNING, ADMISSION_REFUSED), 1);
    assert_int_equal(counted(ADMISSION_NEW, ADMISSION_ADMITTED), 1);
}

static void without_a_bound_nobody_is_overdue(void **unused)
{
    (void)unused;
    options.deadlines.admission_wait_ms = 0;
    (void)arrive(ADMISSION_NEW);
    set_now(START_MS + 1000000);
    assert_int_equal(admission_overdue(shard), NONE);
    assert_int_equal(admission_wait_ms(shard), 0); /* it may begin */
}

static void a_long_wait_counts_as_delayed(void **unused)
{
    (void)unused;
    arrive_many(ADMISSION_RETURNING, 2);
    set_now(START_MS + ADMISSION_DELAYED_MS - 1);
    assert_int_not_equal(admission_next(shard), NONE);
    set_now(START_MS + ADMISSION_DELAYED_MS);
    assert_int_not_equal(admission_next(shard), NONE);
    assert_int_equal(counted(ADMISSION_RETURNING, ADMISSION_ADMITTED), 1);
    assert_int_equal(counted(ADMISSION_RETURNING, ADMISSION_DELAYED), 1);
    assert_int_equal(counter_read(&shard->counts.admission_time.sum),
                     (2 * ADMISSION_DELAYED_MS - 1) * 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_oldest_goes_first, open_shard, close_shard),
        cmocka_unit_test_setup_teardown(in_a_crowd_the_newest_goes_first, open_shard, close_shard),
        cmocka_unit_test_setup_teardown(the_classes_take_turns, open_shard, close_shard),
        cmocka_unit_test_setup_teardown(the_dead_hold_nothing_up, open_shard, close_shard),
        cmocka_unit_test_setup_teardown(the_rate_is_shared_by_those_who_wait, open_shard,
                                        close_shard),
        cmocka_unit_test_setup_teardown(the_rate_is_the_whole_servers, open_shard, close_shard),
        cmocka_unit_test_setup_teardown(requests_without_tls_take_tokens_too, open_shard,
                                        close_shard),
        cmocka_unit_test_setup_teardown(a_class_never_holds_all_places, open_shard, close_shard),
        cmocka_unit_test_setup_teardown(places_that_come_free_are_waited_for, open_shard,
                                        close_shard),
        cmocka_unit_test_setup_teardown(who_waited_too_long_is_overdue, open_shard, close_shard),
        cmocka_unit_test_setup_teardown(without_a_bound_nobody_is_overdue, open_shard, close_shard),
        cmocka_unit_test_setup_teardown(a_long_wait_counts_as_delayed, open_shard, close_shard),
    };

    return cmocka_run_group_tests(tests, open_server, close_server);
}
