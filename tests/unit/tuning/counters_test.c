/*
 * Goal: each counter is found by its name wherever the kernel puts it, also with names that are not
 * known; a table that is full, a counter that begins anew and garbage are told apart.
 */
#include "tuning/check.h"

#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct scratch scratch;
static struct machine machine;
static struct counters counters;

static int open_host(void **state)
{
    char message[256];

    (void)state;
    scratch_open(&scratch);
    scratch_host(&scratch);
    assert_int_equal(machine_read(&machine, scratch.root, NULL, 0, message, sizeof(message)), 0);
    return 0;
}

static int close_host(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

static size_t index_of(const char *name)
{
    const struct counter_info *info;

    for (size_t i = 0; (info = counter_info(i)) != NULL; i++) {
        if (strcmp(info->name, name) == 0) {
            return i;
        }
    }
    fail_msg("%s is not counted", name);
    return 0;
}

static void reads(const char *name, uint64_t value)
{
    counters_read(&machine, &counters);
    assert_int_equal(counters.values[index_of(name)].outcome, HOST_READ);
    assert_int_equal(counters.values[index_of(name)].value, value);
}

static void is(const char *name, enum host_reading outcome)
{
    counters_read(&machine, &counters);
    assert_int_equal(counters.values[index_of(name)].outcome, outcome);
}

static void test_netstat(void **state)
{
    (void)state;
    is("ListenOverflows", HOST_ABSENT);
    scratch_write(&scratch, "/proc/net/netstat",
                  "TcpExt: SyncookiesSent ListenOverflows Strange ListenDrops\n"
                  "TcpExt: 1 22 333 4444\n"
                  "IpExt: ListenDrops\nIpExt: 9\n");
    reads("ListenOverflows", 22);
    reads("ListenDrops", 4444);
    is("TCPMemoryPressures", HOST_ABSENT); /* another kernel */
    scratch_write(&scratch, "/proc/net/netstat", "TcpExt: ListenOverflows\nTcpExt: many\n");
    is("ListenOverflows", HOST_UNREADABLE);
    scratch_write(&scratch, "/proc/net/netstat",
                  "TcpExt: ListenDrops ListenOverflows\nTcpExt: 1\n");
    is("ListenOverflows", HOST_UNREADABLE); /* fewer values than names */
}

static void test_sockstat(void **state)
{
    (void)state;
    scratch_write(
        &scratch, "/proc/net/sockstat",
        "sockets: used 9\nTCP: inuse 5 orphan 2 tw 1 alloc 7 mem 378\nUDP: inuse 3 mem 1\n");
    reads("orphaned sockets", 2);
    assert_int_equal(counters.values[index_of("orphaned sockets")].max, 65536);
    reads("TCP memory, pages", 378);
    assert_int_equal(counters.values[index_of("TCP memory, pages")].max, 378000);
    reads("TCP sockets", 5);
}

static void test_columns_of_all_cpus(void **state)
{
    (void)state;
    scratch_write(&scratch, "/proc/net/softnet_stat",
                  "0a8a7e7a 0000000f 00000001 00000000\n0b330ec8 00000010 00000002 00000000\n");
    reads("softnet dropped", 0x1f);
    reads("softnet squeezed", 3);
    scratch_write(&scratch, "/proc/net/stat/nf_conntrack",
                  "entries  searched found drop early_drop\n"
                  "00000011  00000000 00000000 0000000a 00000000\n"
                  "00000011  00000000 00000000 00000001 00000000\n");
    reads("conntrack drop", 11);
    scratch_write(&scratch, "/proc/net/softnet_stat", "0a8a7e7a xyz 00000001\n");
    is("softnet dropped", HOST_UNREADABLE);
    scratch_write(&scratch, "/proc/net/softnet_stat", "0a8a7e7a\n");
    is("softnet dropped", HOST_UNREADABLE);
    scratch_write(&scratch, "/proc/net/softnet_stat", "");
    is("softnet dropped", HOST_ABSENT);
}

static void test_files_and_cgroup(void **state)
{
    char message[256];

    (void)state;
    reads("open files", 1024);
    is("memory.events max", HOST_ABSENT);
    scratch_write(&scratch, "/proc/812/comm", "limpet\n");
    scratch_write(&scratch, "/proc/812/cgroup", "0::/limpet.slice\n");
    scratch_write(&scratch, "/sys/fs/cgroup/limpet.slice/memory.events",
                  "low 0\nhigh 2\nmax 41\noom 0\n");
    assert_int_equal(machine_read(&machine, scratch.root, NULL, 0, message, sizeof(message)), 0);
    reads("memory.events max", 41);
    reads("memory.events high", 2);
}

static void test_the_interface(void **state)
{
    (void)state;
    is("rx_missed_errors", HOST_ABSENT);
    scratch_write(&scratch, "/sys/class/net/eth0/statistics/rx_missed_errors", "12\n");
    reads("rx_missed_errors", 12);
    scratch_write(&scratch, "/sys/class/net/eth0/statistics/rx_missed_errors", "a few\n");
    is("rx_missed_errors", HOST_UNREADABLE);
    is("provider: tracking", HOST_ABSENT); /* not asked for below a scratch root */
}

static void test_growth(void **state)
{
    const size_t index = index_of("ListenOverflows");
    struct counters before = {0};
    struct counters after = {0};

    (void)state;
    before.values[index].value = 5;
    after.values[index].value = 8;
    assert_int_equal(counters_grown(&before, &after, index), 3);
    assert_int_equal(counters_grown(&after, &before, index), 0); /* began anew */
    after.values[index].outcome = HOST_UNREADABLE;
    assert_int_equal(counters_grown(&before, &after, index), 0);
}

static enum verdict verdict_of(const char *name, int *status)
{
    static struct plan plan;
    static struct check check;
    const struct target_options options = {.user_timeout_ms = 30000};
    struct target target;

    machine_target(&machine, &options, 1000, 0, &target);
    plan_make(&plan, &machine, &target);
    check_run(&check, &plan, 1);
    assert_false(check.trial.was_run); /* that is for the host itself */
    *status = check_status(&check);
    return check.counted[index_of(name)];
}

static void test_verdicts(void **state)
{
    static const struct {
        const char *count;
        enum verdict verdict;
        int status;
    } fills[] = {{"0", VERDICT_OK, 0},     {"7999", VERDICT_OK, 0},    {"8000", VERDICT_LOW, 1},
                 {"9499", VERDICT_LOW, 1}, {"9500", VERDICT_RISKY, 1}, {"10000", VERDICT_RISKY, 1}};
    int status = 0;

    (void)state;
    scratch_sysctl(&scratch, "net.ipv4.tcp_migrate_req", "1");
    scratch_sysctl(&scratch, "net.netfilter.nf_conntrack_max", "10000");
    for (size_t i = 0; i < sizeof(fills) / sizeof(fills[0]); i++) {
        scratch_sysctl(&scratch, "net.netfilter.nf_conntrack_count", fills[i].count);
        assert_int_equal(verdict_of("tracked connections", &status), fills[i].verdict);
        assert_int_equal(status, fills[i].status);
    }
    scratch_sysctl(&scratch, "net.netfilter.nf_conntrack_count", "0");
    scratch_sysctl(&scratch, "net.netfilter.nf_conntrack_max", "1");
    assert_int_equal(verdict_of("tracked connections", &status), VERDICT_OK);

    /* What happened before is seen, and no reason for a script to stop. */
    scratch_write(&scratch, "/proc/net/netstat", "TcpExt: ListenOverflows\nTcpExt: 7\n");
    assert_int_equal(verdict_of("ListenOverflows", &status), VERDICT_SEEN);
    assert_int_equal(status, 0);
    scratch_write(&scratch, "/proc/net/netstat", "TcpExt: ListenOverflows\nTcpExt: x\n");
    assert_int_equal(verdict_of("ListenOverflows", &status), VERDICT_UNKNOWN);
    assert_int_equal(status, 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_host, close_host)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_netstat),          TEST(test_sockstat), TEST(test_columns_of_all_cpus),
        TEST(test_files_and_cgroup), TEST(test_growth),   TEST(test_the_interface),
        TEST(test_verdicts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
