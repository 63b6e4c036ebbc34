/*
 * Goal: apply and revert, killed before each system call that changes anything, leave what the next
 * revert brings back to exactly what was: names, bytes, modes, owners. The kill comes from outside,
 * by ptrace; the program has no hook for it.
 */
#include "base/bytes.h"
#include "tests/unit/tuning/killer.h"
#include "tuning/drop_in.h"
#include "tuning/revert.h"
#include "tuning/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define STRIDE 7 /* where a kill is followed by another one, not each pair is tried */

/* Another target: one value changes again, one limit too. */
static int apply_more(struct replica *replica)
{
    struct change changes[] = {replica_changes[0], replica_changes[4]};

    (void)snprintf(changes[0].wanted, sizeof(changes[0].wanted), "16384");
    (void)snprintf(changes[1].wanted, sizeof(changes[1].wanted), "2097152");
    replica->options.inputs = "more connections";
    int result = apply_run(&replica->options, changes, 2);
    replica->options.inputs = "1,000,000 connections, a test";
    return result;
}

static void expect_good(struct replica *replica, int result, const char *what, unsigned step)
{
    if (result != 0) {
        fail_msg("%s at step %u: %s", what, step, replica_said(replica));
    }
}

static void must(struct replica *replica, killer_action *act, const char *what, unsigned step)
{
    expect_good(replica, act(replica), what, step);
}

/* A host with somebody's files under all our names, with odd modes and owners. */
static int set_up_occupied(void **state)
{
    struct replica *replica;

    (void)replica_set_up(state);
    replica = *state;
    replica_write(replica, DROP_IN_SYSCTL, "net.core.somaxconn = 4096 # mine\n");
    replica_write(replica, DROP_IN_UNIT, "[Service]\nLimitNOFILE=1024\n");
    replica_write(replica, DROP_IN_LOGIN, "* hard nofile 4096");
    assert_int_equal(chmod(replica_path(replica, DROP_IN_SYSCTL), 0600), 0);
    assert_int_equal(chmod(replica_path(replica, DROP_IN_UNIT), 0444), 0);
    assert_int_equal(chmod(replica_path(replica, "/proc/sys/net/core/somaxconn"), 0640), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(replica_path(replica, DROP_IN_SYSCTL), 1234, 4321), 0);
    }
    replica_write(replica, STORE_FOLDER "/notes", "somebody's\n");
    return 0;
}

static void test_apply(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);
    unsigned step = 1;

    while (killer_run(replica, replica_apply, step)) {
        must(replica, replica_revert, "revert after a killed apply", step);
        replica_expect_snapshot(replica, before, "after a killed apply and revert");
        assert_true(++step < KILLER_STEPS_MAX);
    }
    assert_true(step > 50);
    must(replica, replica_revert, "revert", step);
    replica_expect_snapshot(replica, before, "after apply and revert");
    print_message("apply: killed at each of %u steps\n", step - 1);
    free(before);
}

static void test_revert(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);
    unsigned step = 0;
    bool was_killed;

    do {
        must(replica, replica_apply, "apply", step);
        was_killed = killer_run(replica, replica_revert, ++step);
        must(replica, replica_revert, "revert after a killed revert", step);
        replica_expect_snapshot(replica, before, "after a killed revert and revert");
        assert_true(step < KILLER_STEPS_MAX);
    } while (was_killed);
    assert_true(step > 20);
    print_message("revert: killed at each of %u steps\n", step - 1);
    free(before);
}

/* What the kill left is taken back by apply, too, which then does all of its work. */
static void test_apply_again(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);
    unsigned step = 1;

    while (killer_run(replica, replica_apply, step)) {
        must(replica, replica_apply, "apply after a killed apply", step);
        replica_expect(replica, "/proc/sys/net/core/somaxconn", "8192");
        must(replica, replica_revert, "revert", step);
        replica_expect_snapshot(replica, before, "after a killed apply, apply and revert");
        assert_true(++step < KILLER_STEPS_MAX);
    }
    must(replica, replica_revert, "revert", step);
    free(before);
}

/* Over an earlier apply: what a kill left goes back to that, and revert to what was before it. */
static void test_apply_over(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);
    unsigned step = 0;
    unsigned taken_back = 0;
    bool was_killed;

    do {
        must(replica, replica_apply, "apply", step);
        char *applied = replica_snapshot(replica);
        was_killed = killer_run(replica, apply_more, ++step);
        expect_good(replica, apply_recover(&replica->options), "recover", step);
        if (access(replica_path(replica, STORE_JOURNAL), F_OK) == 0) {
            fail_msg("a journal is left after step %u", step);
        }
        char *now = replica_snapshot(replica);
        if (strstr(now, "more connections") == NULL) {
            assert_string_equal(now, applied);
            taken_back++;
        }
        must(replica, replica_revert, "revert after a killed second apply", step);
        replica_expect_snapshot(replica, before, "after a killed second apply and revert");
        free(now);
        free(applied);
        assert_true(step < KILLER_STEPS_MAX);
    } while (was_killed);
    assert_true(taken_back > 20);
    print_message("apply over apply: killed at each of %u steps, %u taken back\n", step - 1,
                  taken_back);
    free(before);
}

/* The run that mends is killed, too. */
static void test_twice(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);
    unsigned count = 0;

    for (unsigned first = 2; first < KILLER_STEPS_MAX && killer_run(replica, replica_apply, first);
         first += STRIDE) {
        unsigned second = 1;
        while (killer_run(replica, replica_revert, second)) {
            must(replica, replica_revert, "revert after two kills", first);
            replica_expect_snapshot(replica, before, "after two kills and revert");
            assert_true(killer_run(replica, replica_apply, first));
            second += STRIDE;
            count++;
        }
        replica_expect_snapshot(replica, before, "after a kill and revert");
    }
    must(replica, replica_revert, "revert", 0);
    replica_expect_snapshot(replica, before, "in the end");
    assert_true(count > 20);
    print_message("both: %u pairs of kills\n", count);
    free(before);
}

#define ON(test, set_up)                                                                           \
    {                                                                                              \
#test " " #set_up, test, set_up, replica_tear_down, NULL                                   \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(test_apply, replica_set_up),       ON(test_apply, set_up_occupied),
        ON(test_revert, replica_set_up),      ON(test_revert, set_up_occupied),
        ON(test_apply_over, replica_set_up),  ON(test_apply_over, set_up_occupied),
        ON(test_apply_again, replica_set_up), ON(test_twice, set_up_occupied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
