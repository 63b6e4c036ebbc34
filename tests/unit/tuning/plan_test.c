/*
 * Goal: the plan tells right from low from risky at every boundary, what cannot be read and what is
 * not there apart, never wants less than the host has where more is better, and hands to apply
 * exactly what is to be written.
 */
#include "tuning/plan.h"

#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct scratch scratch;
static struct machine machine;
static struct plan plan;
static struct change changes[FINDINGS_MAX];
static uint32_t change_count;

static int open_host(void **state)
{
    (void)state;
    scratch_open(&scratch);
    scratch_host(&scratch);
    return 0;
}

static int close_host(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

static void make(uint64_t connections)
{
    const struct target_options options = {.user_timeout_ms = 30000};
    struct target target;
    char message[512];

    assert_int_equal(machine_read(&machine, scratch.root, NULL, 0, message, sizeof(message)), 0);
    machine_target(&machine, &options, connections, 0, &target);
    plan_make(&plan, &machine, &target);
    change_count = plan_changes(&plan, changes, FINDINGS_MAX);
}

static const struct finding *find(const char *key)
{
    for (uint32_t i = 0; i < plan.count; i++) {
        if (strcmp(plan.findings[i].setting->key, key) == 0) {
            return &plan.findings[i];
        }
    }
    fail_msg("%s is not in the plan", key);
    return NULL;
}

static const struct change *change_of(const char *key)
{
    for (uint32_t i = 0; i < change_count; i++) {
        if (strcmp(changes[i].key, key) == 0) {
            return &changes[i];
        }
    }
    return NULL;
}

static enum verdict with(const char *key, const char *value)
{
    scratch_sysctl(&scratch, key, value);
    make(1000000);
    return find(key)->verdict;
}

static void test_boundaries(void **state)
{
    (void)state;
    assert_int_equal(with("net.core.somaxconn", "16383"), VERDICT_LOW);
    assert_int_equal(with("net.core.somaxconn", "16384"), VERDICT_OK);
    assert_int_equal(with("net.core.somaxconn", "65535"), VERDICT_OK);
    assert_int_equal(with("net.core.somaxconn", "65536"), VERDICT_RISKY);
    assert_int_equal(with("net.ipv4.tcp_syncookies", "0"), VERDICT_RISKY);
    assert_int_equal(with("net.ipv4.tcp_syncookies", "1"), VERDICT_OK);
    assert_int_equal(with("net.ipv4.tcp_syncookies", "2"), VERDICT_RISKY);
    assert_int_equal(with("net.ipv4.tcp_retries2", "7"), VERDICT_RISKY);
    assert_int_equal(with("net.ipv4.tcp_retries2", "8"), VERDICT_OK);
    assert_int_equal(with("vm.overcommit_memory", "1"), VERDICT_OK);
    assert_int_equal(with("vm.overcommit_memory", "2"), VERDICT_RISKY);
    assert_int_equal(with("fs.nr_open", "1048575"), VERDICT_LOW);
    assert_int_equal(with("fs.nr_open", "1048576"), VERDICT_OK);
    assert_int_equal(with("fs.nr_open", "1073741816"), VERDICT_OK);
    assert_int_equal(with("kernel.io_uring_disabled", "2"), VERDICT_LOW);
    assert_int_equal(with("net.core.busy_read", "50"), VERDICT_RISKY);
    assert_int_equal(with("net.core.busy_read", "0"), VERDICT_OK);
    assert_int_equal(with("net.core.rps_sock_flow_entries", "32768"), VERDICT_LOW);
    assert_int_equal(with("net.core.rps_sock_flow_entries", "0"), VERDICT_OK);
}

/* What will do stays, what will not is set to the kernel's own. */
static void test_enough_stays(void **state)
{
    (void)state;
    assert_int_equal(with("net.ipv4.tcp_synack_retries", "2"), VERDICT_RISKY);
    assert_string_equal(change_of("net.ipv4.tcp_synack_retries")->wanted, "5");
    assert_int_equal(with("net.ipv4.tcp_synack_retries", "3"), VERDICT_OK);
    assert_null(change_of("net.ipv4.tcp_synack_retries"));
    assert_int_equal(with("net.ipv4.tcp_synack_retries", "6"), VERDICT_OK);
    assert_int_equal(with("net.ipv4.tcp_ecn", "0"), VERDICT_LOW);
    assert_string_equal(change_of("net.ipv4.tcp_ecn")->wanted, "2");
    assert_int_equal(with("net.ipv4.tcp_ecn", "1"), VERDICT_OK);
    assert_int_equal(with("net.ipv4.tcp_ecn", "5"), VERDICT_OK);
    assert_null(change_of("net.ipv4.tcp_ecn"));
}

/* Shown as they are, never judged, never written. */
static void test_what_is_left_alone(void **state)
{
    static const char *const values[][2] = {
        {"kernel.core_pattern", "|/usr/lib/systemd/systemd-coredump %P %u %g %s %t %c %h"},
        {"net.ipv4.tcp_congestion_control", "bbr"},
        {"net.core.default_qdisc", "fq"},
        {"net.ipv4.tcp_notsent_lowat", "16384"},
        {"net.ipv4.tcp_fastopen", "3"},
        {"net.core.optmem_max", "26214400"},
        {"net.core.netdev_budget", "50000"},
        {"kernel.numa_balancing", "1"},
        {"vm.swappiness", "1"},
    };
    char text[HOST_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_int_equal(with(values[i][0], values[i][1]), VERDICT_OK);
        assert_string_equal(find(values[i][0])->now.text, values[i][1]);
        assert_null(change_of(values[i][0]));
    }
    scratch_write(&scratch, "/sys/class/net/eth0/queues/tx-0/xps_cpus", "00000000,00000003\n");
    make(1000000);
    assert_int_equal(find("transmit packet steering")->verdict, VERDICT_OK);
    plan_now(find("transmit packet steering"), text, sizeof(text));
    assert_string_equal(text, "00000000,00000003");
}

static void test_vectors(void **state)
{
    (void)state;
    assert_int_equal(with("net.ipv4.tcp_mem", "625000\t833333\t1250000"), VERDICT_OK);
    assert_int_equal(with("net.ipv4.tcp_mem", "625000\t833333\t1249999"), VERDICT_LOW);
    /* What is higher already stays; the rest is raised. */
    assert_int_equal(with("net.ipv4.tcp_mem", "700000\t1\t1250000"), VERDICT_LOW);
    assert_string_equal(change_of("net.ipv4.tcp_mem")->wanted, "700000 833333 1250000");
    assert_string_equal(change_of("net.ipv4.tcp_mem")->now, "700000 1 1250000");
    /* Above half of memory (16 GB are 4194304 pages), and without a stage of pressure. */
    assert_int_equal(with("net.ipv4.tcp_mem", "1250000\t1250000\t2097153"), VERDICT_RISKY);
    assert_int_equal(with("net.ipv4.tcp_mem", "1250000\t1250000\t1250000"), VERDICT_RISKY);
    /* Down to the third number only: the others are somebody's choice. */
    assert_int_equal(with("net.ipv4.tcp_rmem", "8192\t65536\t33554432"), VERDICT_RISKY);
    assert_string_equal(change_of("net.ipv4.tcp_rmem")->wanted, "8192 65536 4194304");
    assert_int_equal(with("net.ipv4.tcp_rmem", "4096\t131072\t1048576"), VERDICT_OK);
    assert_null(change_of("net.ipv4.tcp_rmem"));
}

static void test_garbage(void **state)
{
    static const char *const values[] = {
        "", "abc", "-5", "40 96", "4096x", "0x1000", "99999999999999999999999", "1 2 3 4"};

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_int_equal(with("net.core.somaxconn", values[i]), VERDICT_UNKNOWN);
        assert_non_null(strstr(find("net.core.somaxconn")->now.text, "is not a number"));
        assert_null(change_of("net.core.somaxconn"));
    }
    assert_int_equal(with("net.ipv4.tcp_mem", "1 2"), VERDICT_UNKNOWN);
    assert_int_equal(with("net.ipv4.tcp_mem", "1 2 3 4"), VERDICT_UNKNOWN);
}

static void test_absent_and_unreadable(void **state)
{
    (void)state;
    scratch_remove(&scratch, "/proc/sys/net/ipv4/tcp_mem");
    scratch_remove(&scratch, "/proc/sys/net/core/somaxconn");
    scratch_write(&scratch, "/proc/sys/net/core/somaxconn/folder", ""); /* reading gives EISDIR */
    make(1000000);
    assert_int_equal(find("net.ipv4.tcp_mem")->verdict, VERDICT_ABSENT);
    assert_null(change_of("net.ipv4.tcp_mem"));
    assert_int_equal(find("net.core.somaxconn")->verdict, VERDICT_UNKNOWN);
    assert_null(change_of("net.core.somaxconn"));
}

/* The host's own table of sockets, seen from a network namespace. */
static void test_a_shared_hash(void **state)
{
    (void)state;
    scratch_sysctl(&scratch, "net.ipv4.tcp_ehash_entries", "-2097152");
    make(1000000);
    assert_int_equal(find("thash_entries")->verdict, VERDICT_OK);
    scratch_sysctl(&scratch, "net.ipv4.tcp_ehash_entries", "-131072");
    make(1000000);
    assert_int_equal(find("thash_entries")->verdict, VERDICT_LOW);
    assert_null(change_of("thash_entries")); /* nobody can write it */
}

static void test_the_servers_limits(void **state)
{
    (void)state;
    make(1000000);
    assert_int_equal(find("LimitNOFILE")->verdict, VERDICT_ABSENT);
    assert_string_equal(change_of("LimitNOFILE")->wanted, "1048576");
    assert_string_equal(change_of("LimitNOFILE")->now, "");
    assert_int_equal(change_of("LimitNOFILE")->kind, CHANGE_UNIT_LIMIT);
    assert_string_equal(change_of("LimitMEMLOCK")->wanted, "infinity");

    scratch_write(&scratch, "/proc/812/comm", "limpet\n");
    scratch_write(
        &scratch, "/proc/812/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max core file size        0                    unlimited            bytes     \n"
        "Max open files            1024                 524288               files     \n"
        "Max locked memory         unlimited            unlimited            bytes     \n");
    scratch_write(&scratch, "/proc/812/cgroup", "0::/system.slice/limpet.service\n");
    scratch_write(&scratch, "/sys/fs/cgroup/system.slice/limpet.service/memory.max",
                  "4294967296\n");
    scratch_write(&scratch, "/sys/fs/cgroup/system.slice/limpet.service/memory.high", "max\n");
    make(1000000);
    assert_int_equal(find("LimitNOFILE")->verdict, VERDICT_LOW);
    assert_string_equal(change_of("LimitNOFILE")->now, "1024");
    assert_int_equal(find("LimitMEMLOCK")->verdict, VERDICT_OK);
    assert_null(change_of("LimitMEMLOCK"));
    assert_int_equal(find("LimitCORE")->verdict, VERDICT_OK);
    assert_int_equal(find("MemoryMax")->verdict, VERDICT_LOW);
    assert_int_equal(find("MemoryHigh")->verdict, VERDICT_OK);
    assert_int_equal(find("MemorySwapMax")->verdict, VERDICT_ABSENT);
    assert_null(change_of("MemorySwapMax"));
}

static enum verdict with_nofile(const char *limit)
{
    char text[256];

    (void)snprintf(text, sizeof(text), "Max open files %s %s files\n", limit, limit);
    scratch_write(&scratch, "/proc/812/comm", "limpet\n");
    scratch_write(&scratch, "/proc/812/limits", text);
    make(1000000);
    return find("LimitNOFILE")->verdict;
}

/* 250,000 a ring, six times 500 for uneven spread, 1,024 in handshake, 64 to refuse with. */
static void test_less_than_is_written_may_do(void **state)
{
    (void)state;
    assert_int_equal(with_nofile("254087"), VERDICT_LOW);
    assert_string_equal(change_of("LimitNOFILE")->wanted, "1048576");
    assert_int_equal(with_nofile("254088"), VERDICT_OK);
    assert_null(change_of("LimitNOFILE"));
    assert_int_equal(with_nofile("16777216"), VERDICT_OK);
    assert_int_equal(with_nofile("16777217"), VERDICT_RISKY);
    assert_int_equal(with_nofile("unlimited"), VERDICT_RISKY);
}

static void test_a_million_on_defaults(void **state)
{
    static const char *const keys[] = {
        "net.core.somaxconn",
        "net.ipv4.tcp_migrate_req",
        "net.ipv4.tcp_max_orphans",
        "net.ipv4.tcp_mem",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
        "LimitNOFILE",
        "net.ipv4.tcp_no_metrics_save",
        "LimitMEMLOCK",
        "LimitCORE",
        "vm.min_free_kbytes",
    };

    (void)state;
    make(1000000);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_non_null(change_of(keys[i]));
        assert_true(change_of(keys[i])->why[0] != '\0');
    }
    assert_int_equal(change_count, sizeof(keys) / sizeof(keys[0]));
}

/* Once written, there is nothing left to change. */
static void test_what_was_applied_is_right(void **state)
{
    (void)state;
    make(1000000);
    const uint32_t count = change_count;
    for (uint32_t i = 0; i < count; i++) {
        if (changes[i].kind == CHANGE_SYSCTL) {
            scratch_sysctl(&scratch, changes[i].key, changes[i].wanted);
        }
    }
    make(1000000);
    for (uint32_t i = 0; i < change_count; i++) {
        assert_int_not_equal(changes[i].kind, CHANGE_SYSCTL);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    make(1000000);
    assert_string_equal(plan.bounds.rows[plan.bounds.first].name, "memory");
    assert_true(plan.bounds.rows[plan.bounds.first].holds > 1900000);

    scratch_sysctl(&scratch, "net.netfilter.nf_conntrack_count", "17");
    scratch_sysctl(&scratch, "net.netfilter.nf_conntrack_max", "262144");
    make(1000000);
    assert_string_equal(plan.bounds.rows[plan.bounds.first].name, "connection tracking");
    assert_true(plan.bounds.rows[plan.bounds.first].holds < 262144);

    scratch_sysctl(&scratch, "fs.file-max", "100000");
    make(1000000);
    assert_string_equal(plan.bounds.rows[plan.bounds.first].name, "open files");

    scratch_write(&scratch, "/sys/fs/cgroup/memory.max", "134217728\n");
    make(1000000);
    assert_string_equal(plan.bounds.rows[plan.bounds.first].name, "the cgroup's memory.max");
    assert_in_range(plan.bounds.rows[plan.bounds.first].holds, 20000, 20200);

    scratch_write(&scratch, "/proc/meminfo", "MemTotal: 1048576 kB\n");
    scratch_sysctl(&scratch, "fs.file-max", "10");
    make(1);
    assert_int_equal(plan.bounds.rows[plan.bounds.first].holds, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_host, close_host)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_boundaries),
        TEST(test_enough_stays),
        TEST(test_what_is_left_alone),
        TEST(test_vectors),
        TEST(test_garbage),
        TEST(test_absent_and_unreadable),
        TEST(test_a_shared_hash),
        TEST(test_the_servers_limits),
        TEST(test_less_than_is_written_may_do),
        TEST(test_a_million_on_defaults),
        TEST(test_what_was_applied_is_right),
        TEST(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
