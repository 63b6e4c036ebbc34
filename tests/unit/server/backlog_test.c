/*
 * Goal: what waits comes out as it went in and in that order, never more than the bound, and the
 * bytes of what has gone are free again.
 */
#include "server/backlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static bool push(struct backlog *backlog, const char *payload, uint32_t number)
{
    char copy[64];
    const size_t size = (size_t)snprintf(copy, sizeof(copy), "%s", payload);
    const struct backlog_item item = {
        .origin = {.number = number},
        .is_forward = number % 2 == 1,
        .publication = {.channel = slice_text("a"),
                        .payload = slice_from(copy, size),
                        .user = slice_text("ann"),
                        .conn_id = slice_text("c"),
                        .idempotency_key = slice_text("k"),
                        .time_ms = 7},
    };
    const bool fits = backlog_push(backlog, &item);

    memset(copy, '#', sizeof(copy)); /* it must not be needed any more */
    return fits;
}

static void test_order_and_content(void **state)
{
    struct backlog backlog = {.bytes_max = 4096};

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(push(&backlog, i == 1 ? "one" : "other", i));
    }
    assert_int_equal(backlog.queued, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct backlog_item *item = backlog.first;
        assert_int_equal(item->origin.number, i);
        assert_int_equal(item->is_forward, i % 2 == 1);
        assert_true(slice_equal(item->publication.channel, slice_text("a")));
        assert_true(slice_equal(item->publication.payload, slice_text(i == 1 ? "one" : "other")));
        assert_true(slice_equal(item->publication.user, slice_text("ann")));
        assert_true(slice_equal(item->publication.conn_id, slice_text("c")));
        assert_true(slice_equal(item->publication.idempotency_key, slice_text("k")));
        assert_int_equal(item->publication.time_ms, 7);
        backlog_pop(&backlog);
    }
    assert_null(backlog.first);
    assert_null(backlog.last);
    assert_int_equal(backlog.bytes, 0);
}

static void test_bound(void **state)
{
    const size_t size = sizeof(struct backlog_item) + strlen("a"
                                                             "1234"
                                                             "ann"
                                                             "c"
                                                             "k");
    struct backlog backlog = {.bytes_max = 2 * size};

    (void)state;
    assert_true(push(&backlog, "1234", 0));
    assert_false(push(&backlog, "12345", 1));
    assert_true(push(&backlog, "1234", 2)); /* fills it to the byte */
    assert_int_equal(backlog.bytes, backlog.bytes_max);
    assert_false(push(&backlog, "", 3));
    backlog_pop(&backlog);
    assert_true(push(&backlog, "1234", 4));
    assert_int_equal(backlog.first->origin.number, 2);
    backlog_pop(&backlog);
    backlog_pop(&backlog);
    assert_int_equal(backlog.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_content),
        cmocka_unit_test(test_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
