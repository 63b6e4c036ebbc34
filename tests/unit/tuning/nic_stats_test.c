/*
 * Goal: a figure that a driver does not have, and an interface that is not there, are absent and no
 * error. What a driver has is looked at in a network namespace (veth), when the test may make one.
 */
#include "tuning/nic_stats.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_what_is_not_there(void **state)
{
    uint64_t value = 7;

    (void)state;
    assert_int_equal(nic_stats_read("lo", "rx_missed", &value), HOST_ABSENT);
    assert_int_equal(nic_stats_read("none0", "rx_missed", &value), HOST_ABSENT);
    assert_int_equal(nic_stats_read("a name that is far too long", "x", &value), HOST_ABSENT);
    assert_int_equal(value, 7);
}

/* In a process of its own, which takes the namespace and the interfaces with it. */
static int look_at_veth(void)
{
    uint64_t peer = 0;
    uint64_t packets = 1;

    if (unshare(CLONE_NEWNET) != 0) {
        return errno == EPERM ? 77 : 1;
    }
    if (system("ip link add limpet0 type veth peer name limpet1 2>/dev/null") != 0) {
        return 77;
    }
    return nic_stats_read("limpet0", "peer_ifindex", &peer) == HOST_READ && peer > 0 &&
                   nic_stats_read("limpet0", "rx_queue_0_drops", &packets) == HOST_READ &&
                   packets == 0 && nic_stats_read("limpet0", "peer_ifinde", &packets) == HOST_ABSENT
               ? 0
               : 1;
}

static void test_what_a_driver_has(void **state)
{
    int status = 0;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        _exit(look_at_veth());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_what_a_driver_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
