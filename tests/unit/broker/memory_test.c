/*
 * Goal: the memory broker keeps the contract of every broker: each request that started ends in one
 * event with its ticket, in order; a publication reaches subscribers before its answer is given; a
 * key publishes once; too many requests are refused; what is lent stays while it is lent.
 */
#include "broker/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct broker *broker;

static int setup(void **state)
{
    const struct memory_options options = {.channels_max = 8,
                                           .history_bytes_max = 1 << 16,
                                           .members_max = 2,
                                           .idempotency_keys_max = 8};

    (void)state;
    broker = memory_open(&options, 1000);
    return broker ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    broker->kind->close(broker);
    return 0;
}

static enum broker_outcome publish(uint64_t ticket, const char *payload, uint32_t history_size,
                                   const char *key)
{
    char *copy = strdup(payload); /* the broker must not need it any more */
    assert_non_null(copy);
    const struct broker_publication publication = {
        .channel = slice_text("a"),
        .payload = slice_text(copy),
        .is_binary = true,
        .user = slice_text("ann"),
        .conn_id = slice_text("c1"),
        .idempotency_key = slice_text(key),
        .history = {.size = history_size, .age_s = 60},
    };
    const enum broker_outcome outcome = broker->kind->publish(broker, ticket, &publication);

    memset(copy, '#', strlen(copy));
    free(copy);
    return outcome;
}

static struct broker_event next(enum broker_event_kind kind)
{
    struct broker_event event;

    assert_true(broker->kind->next(broker, &event));
    assert_int_equal(event.kind, kind);
    return event;
}

static void assert_nothing_left(void)
{
    struct broker_event event;

    assert_false(broker->kind->next(broker, &event));
}

static void assert_published(uint64_t ticket, const char *payload, uint64_t offset)
{
    struct broker_event event = next(BROKER_PUBLICATION);
    assert_true(slice_equal(event.publication.channel, slice_text("a")));
    assert_true(slice_equal(event.publication.payload, slice_text(payload)));
    assert_true(slice_equal(event.publication.user, slice_text("ann")));
    assert_true(slice_equal(event.publication.conn_id, slice_text("c1")));
    assert_true(event.publication.is_binary);
    assert_int_equal(event.publication.offset, offset);
    assert_int_equal(event.publication.epoch[0] != '\0', offset > 0);
    event = next(BROKER_PUBLISHED);
    assert_int_equal(event.ticket, ticket);
    assert_int_equal(event.outcome, BROKER_DONE);
    assert_int_equal(event.position.offset, offset);
}

static void test_publish(void **state)
{
    (void)state;
    assert_string_equal(broker->kind->name, "memory");
    assert_nothing_left();
    assert_int_equal(publish(1, "one", 0, ""), BROKER_DONE);
    assert_int_equal(publish(2, "two", 10, ""), BROKER_DONE);
    assert_int_equal(publish(3, "three", 10, ""), BROKER_DONE);
    assert_published(1, "one", 0);
    assert_published(2, "two", 1);
    assert_published(3, "three", 2);
    assert_nothing_left();
}

static void test_key(void **state)
{
    (void)state;
    assert_int_equal(publish(1, "one", 10, "k"), BROKER_DONE);
    assert_int_equal(publish(2, "again", 10, "k"), BROKER_DONE);
    assert_int_equal(publish(3, "other", 10, "l"), BROKER_DONE);
    assert_published(1, "one", 1);
    const struct broker_event event = next(BROKER_PUBLISHED);
    assert_int_equal(event.ticket, 2);
    assert_int_equal(event.position.offset, 1);
    assert_published(3, "other", 2);
    broker->kind->turn(broker, NULL, 0, 1000 + 300000);
    assert_int_equal(publish(4, "later", 10, "k"), BROKER_DONE);
    assert_published(4, "later", 3);
}

static void test_too_large_for_history(void **state)
{
    static char payload[1 << 16];

    (void)state;
    memset(payload, 'x', sizeof(payload) - 1);
    assert_int_equal(publish(1, payload, 10, "k"), BROKER_DONE);
    struct broker_event event = next(BROKER_PUBLISHED);
    assert_int_equal(event.outcome, BROKER_FULL);
    assert_nothing_left();
    assert_int_equal(publish(2, payload, 0, "k"), BROKER_DONE); /* its key is still free */
    assert_published(2, payload, 0);
}

static void test_history(void **state)
{
    const struct broker_history_query query = {.limit = 10};

    (void)state;
    assert_int_equal(publish(1, "one", 10, ""), BROKER_DONE);
    assert_int_equal(broker->kind->history(broker, 2, slice_text("a"), &query), BROKER_DONE);
    assert_int_equal(broker->kind->history_remove(broker, 3, slice_text("a")), BROKER_DONE);
    assert_int_equal(broker->kind->history(broker, 4, slice_text("a"), &query), BROKER_DONE);
    assert_published(1, "one", 1);
    struct broker_event event = next(BROKER_HISTORY);
    assert_int_equal(publish(5, "two", 10, ""), BROKER_DONE); /* what is lent stays */
    assert_int_equal(event.ticket, 2);
    assert_int_equal(event.publication_count, 1);
    assert_true(slice_equal(event.publications[0].payload, slice_text("one")));
    event = next(BROKER_REMOVED);
    assert_int_equal(event.ticket, 3);
    assert_int_equal(event.outcome, BROKER_DONE);
    event = next(BROKER_HISTORY);
    assert_int_equal(event.publication_count, 0);
    assert_int_equal(event.position.offset, 1);
    assert_published(5, "two", 2);
}

static void test_presence(void **state)
{
    const struct broker_member ann = {.conn_id = slice_text("1"), .user = slice_text("ann")};
    const struct broker_member bob = {.conn_id = slice_text("2"), .user = slice_text("bob")};
    const struct broker_member eve = {.conn_id = slice_text("3"), .user = slice_text("eve")};
    struct broker_health health;

    (void)state;
    broker->kind->join(broker, slice_text("a"), &ann);
    broker->kind->join(broker, slice_text("a"), &bob);
    broker->kind->join(broker, slice_text("a"), &eve); /* two is the limit */
    broker->kind->leave(broker, slice_text("a"), slice_text("1"));
    assert_int_equal(broker->kind->presence(broker, 1, slice_text("a")), BROKER_DONE);
    const struct broker_event event = next(BROKER_PRESENCE);
    assert_int_equal(event.ticket, 1);
    assert_int_equal(event.member_count, 1);
    assert_true(slice_equal(event.members[0].user, slice_text("bob")));
    broker->kind->health(broker, &health, 1000);
    assert_true(health.is_up);
    assert_int_equal(health.joins_refused, 1);
}

static void test_full(void **state)
{
    struct broker_health health;
    uint64_t count = 0;

    (void)state;
    while (publish(count, "x", 0, "") == BROKER_DONE) {
        count++;
    }
    assert_int_equal(count, 1024);
    broker->kind->health(broker, &health, 1000);
    assert_int_equal(health.requests, 1024);
    assert_published(0, "x", 0);
    assert_int_equal(publish(count, "x", 0, ""), BROKER_DONE);
    for (uint64_t i = 1; i <= count; i++) {
        assert_published(i, "x", 0);
    }
    assert_nothing_left();
}

static void test_wakes_to_sweep(void **state)
{
    struct pollfd fds[BROKER_FDS_MAX];
    uint64_t wake_ms = 0;

    (void)state;
    assert_int_equal(broker->kind->poll(broker, fds, 1000, &wake_ms), 0);
    assert_true(wake_ms == UINT64_MAX); /* nothing is kept */
    assert_int_equal(publish(1, "one", 10, ""), BROKER_DONE);
    (void)broker->kind->poll(broker, fds, 1000, &wake_ms);
    assert_int_equal(wake_ms, 1000); /* an event waits */
    assert_published(1, "one", 1);
    (void)broker->kind->poll(broker, fds, 1000, &wake_ms);
    assert_int_equal(wake_ms, 2000);
    broker->kind->turn(broker, fds, 0, 61000);
    (void)broker->kind->poll(broker, fds, 61000, &wake_ms);
    assert_true(wake_ms == UINT64_MAX);
}

static void test_what_it_does_not_have(void **state)
{
    const struct broker_publication publication = {.channel = slice_text("a")};
    const struct broker_history history = {0};

    (void)state;
    assert_int_equal(broker->kind->forward(broker, 1, &publication), BROKER_UNAVAILABLE);
    assert_false(broker->kind->follows);
    broker->kind->follow(broker, slice_text("a"), false, &history);
    broker->kind->unfollow(broker, slice_text("a"), false);
    assert_nothing_left();
}

static void test_close_with_requests(void **state)
{
    (void)state;
    assert_int_equal(publish(1, "one", 10, ""), BROKER_DONE);
    (void)next(BROKER_PUBLICATION);
    assert_int_equal(publish(2, "two", 10, ""), BROKER_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_publish, setup, teardown),
        cmocka_unit_test_setup_teardown(test_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large_for_history, setup, teardown),
        cmocka_unit_test_setup_teardown(test_history, setup, teardown),
        cmocka_unit_test_setup_teardown(test_presence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wakes_to_sweep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_it_does_not_have, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_with_requests, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
