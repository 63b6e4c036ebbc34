/*
 * Goal: a connection is present in a channel from its join to its leave, once, with its newest
 * user; the limit counts over all channels; nothing stays of a channel that all have left.
 */
#include "broker/presence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct presence *presence;

static int setup(void **state)
{
    (void)state;
    presence = presence_open(4);
    return presence ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    presence_check(presence);
    presence_close(presence);
    return 0;
}

static bool join(const char *channel, const char *conn_id, const char *user)
{
    const struct broker_member member = {.conn_id = slice_text(conn_id), .user = slice_text(user)};
    const bool joined = presence_join(presence, slice_text(channel), &member);

    presence_check(presence);
    return joined;
}

static void leave(const char *channel, const char *conn_id)
{
    presence_leave(presence, slice_text(channel), slice_text(conn_id));
    presence_check(presence);
}

static void assert_members(const char *channel, const char *const *members, uint32_t count)
{
    uint32_t found = 0;
    const struct broker_member *read = presence_read(presence, slice_text(channel), &found);

    assert_non_null(read);
    assert_int_equal(found, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(slice_equal(read[i].conn_id, slice_text(members[2 * (size_t)i])));
        assert_true(slice_equal(read[i].user, slice_text(members[2 * (size_t)i + 1])));
    }
}

static void test_join_and_leave(void **state)
{
    (void)state;
    assert_members("a", NULL, 0);
    assert_true(join("a", "1", "ann"));
    assert_true(join("a", "2", "bob"));
    assert_true(join("b", "1", "ann"));
    assert_members("a", (const char *[]){"2", "bob", "1", "ann"}, 2);
    assert_members("b", (const char *[]){"1", "ann"}, 1);
    leave("a", "1");
    assert_members("a", (const char *[]){"2", "bob"}, 1);
    assert_members("b", (const char *[]){"1", "ann"}, 1);
    leave("a", "1"); /* twice, of a stranger, in a channel of nobody: no-ops */
    leave("a", "9");
    leave("c", "1");
    leave("a", "2");
    leave("b", "1");
    assert_members("a", NULL, 0);
    assert_int_equal(presence_count(presence), 0);
}

static void test_leave_in_the_middle(void **state)
{
    (void)state;
    assert_true(join("a", "1", ""));
    assert_true(join("a", "2", ""));
    assert_true(join("a", "3", ""));
    leave("a", "2");
    assert_members("a", (const char *[]){"3", "", "1", ""}, 2);
    leave("a", "3");
    assert_members("a", (const char *[]){"1", ""}, 1);
}

static void test_join_again(void **state)
{
    (void)state;
    assert_true(join("a", "1", "ann"));
    assert_true(join("a", "1", "bob"));
    assert_members("a", (const char *[]){"1", "bob"}, 1);
    assert_int_equal(presence_count(presence), 1);
    leave("a", "1");
    assert_members("a", NULL, 0);
}

static void test_limit(void **state)
{
    (void)state;
    assert_true(join("a", "1", "x"));
    assert_true(join("a", "2", "x"));
    assert_true(join("b", "1", "x"));
    assert_true(join("b", "2", "x"));
    assert_false(join("a", "3", "x"));
    assert_false(join("c", "1", "x"));
    assert_true(join("a", "1", "y")); /* is counted already */
    leave("b", "2");
    assert_true(join("c", "1", "x"));
    assert_int_equal(presence_count(presence), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_join_and_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leave_in_the_middle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_join_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
