/*
 * Goal: apply makes what is wanted and revert brings back exactly what was, whatever was there
 * before; an apply over an apply keeps what was before the first; what somebody else changed since
 * is left alone and told.
 */
#include "base/bytes.h"
#include "tests/unit/tuning/replica.h"
#include "tuning/drop_in.h"
#include "tuning/revert.h"
#include "tuning/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SOMAXCONN_PATH "/proc/sys/net/core/somaxconn"

static int set_up(void **state)
{
    struct replica *replica = calloc(1, sizeof(*replica));

    assert_non_null(replica);
    replica_open(replica);
    *state = replica;
    return 0;
}

static int tear_down(void **state)
{
    replica_close(*state);
    free(*state);
    return 0;
}

static int apply(struct replica *replica)
{
    return apply_run(&replica->options, replica_changes, replica_change_count);
}

static int revert(struct replica *replica)
{
    return revert_run(&replica->options);
}

static void test_there_and_back(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);

    if (apply(replica) != 0) {
        fail_msg("%s", replica_said(replica));
    }
    replica_expect(replica, SOMAXCONN_PATH, "8192");
    replica_expect(replica, "/proc/sys/net/ipv4/tcp_mem", "625000 833333 1250000");
    replica_expect_said(replica, "absent");
    assert_int_equal(revert(replica), 0);
    replica_expect_snapshot(replica, before, "after revert");
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
