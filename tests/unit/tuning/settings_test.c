/*
 * Goal: the table of settings is complete in each entry, wants the published numbers for 100k, 1M
 * and 5M connections, and has a sentence for every target, from one connection to a hundred
 * million.
 */
#include "tuning/profile.h"
#include "tuning/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define GIGABYTE (1ull << 30)

static struct target target_of(uint64_t connections, uint32_t threads, uint64_t memory_bytes)
{
    return (struct target){
        .connections = connections,
        .connect_rate = (connections + 19) / 20,
        .threads = threads,
        .cores = threads,
        .memory_bytes = memory_bytes,
        .rx_queues = threads,
        .is_tracked = true,
        .options = {.listen_backlog = 4096,
                    .user_timeout_ms = 30000,
                    .ping_interval_ms = 25000,
                    .handshakes_max = 1024,
                    .receive_buffer_count = 256,
                    .receive_buffer_size = 4096},
    };
}

static void test_every_entry_is_complete(void **state)
{
    const struct setting *setting;

    (void)state;
    for (size_t i = 0; (setting = setting_at(i)) != NULL; i++) {
        assert_non_null(setting->key);
        assert_non_null(setting->compare);
        assert_true(strlen(setting->compare) <= WANT_NUMBERS_MAX);
        assert_int_equal(strspn(setting->compare, "<>=."), strlen(setting->compare));
        assert_true((setting->flags & SETTING_BOTH) != 0);
        assert_true((setting->formula != NULL) != (setting->why != NULL));
        assert_true(setting->group < GROUP_COUNT);
        if (setting->kind == SETTING_LEAVE) {
            assert_null(setting->formula);
        } else {
            assert_non_null(setting->risk);
        }
        if (setting->flags & SETTING_PROFILE) {
            assert_non_null(setting->standard);
        }
        /* What is written by its key is read by its key. */
        if (setting->kind == SETTING_SYSCTL) {
            assert_int_equal(setting->source, SOURCE_SYSCTL);
            assert_null(setting->place);
        }
    }
}

static void wants(const struct target *target, const char *key, uint32_t count,
                  const uint64_t *numbers)
{
    struct want want;

    setting_want(setting_find(key), target, &want);
    assert_int_equal(want.count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(want.numbers[i], numbers[i]);
    }
}

#define WANTS(target, key, ...)                                                                    \
    wants((target), (key), sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t),             \
          (const uint64_t[]){__VA_ARGS__})
#define LEAVES(target, key) wants((target), (key), 0, NULL)

static void test_a_hundred_thousand(void **state)
{
    const struct target target = target_of(100000, 8, 8 * GIGABYTE);

    (void)state;
    WANTS(&target, "net.core.somaxconn", 4096);
    WANTS(&target, "net.netfilter.nf_conntrack_max", 131072);
    WANTS(&target, "fs.file-max", 175536);
    LEAVES(&target, "net.ipv4.tcp_mem");
    LEAVES(&target, "net.ipv4.tcp_rmem");
    LEAVES(&target, "net.ipv4.tcp_wmem");
    LEAVES(&target, "net.ipv4.tcp_max_orphans");
    LEAVES(&target, "net.ipv4.tcp_no_metrics_save");
    LEAVES(&target, "vm.min_free_kbytes");
    LEAVES(&target, "thash_entries");
}

static void test_a_million(void **state)
{
    const struct target target = target_of(1000000, 16, 16 * GIGABYTE);

    (void)state;
    WANTS(&target, "net.core.somaxconn", 8192);
    WANTS(&target, "listen_backlog", 8192);
    WANTS(&target, "net.ipv4.tcp_mem", 625000, 833333, 1250000);
    WANTS(&target, "net.ipv4.tcp_rmem", 4096, 131072, 4194304);
    WANTS(&target, "net.ipv4.tcp_wmem", 4096, 16384, 1048576);
    WANTS(&target, "net.ipv4.tcp_max_orphans", 262144);
    WANTS(&target, "net.ipv4.tcp_no_metrics_save", 1);
    WANTS(&target, "vm.min_free_kbytes", 131072);
    WANTS(&target, "net.netfilter.nf_conntrack_max", 1310720);
    WANTS(&target, "thash_entries", 2097152);
    WANTS(&target, "LimitNOFILE", 1048576);
    WANTS(&target, "LimitMEMLOCK", WANT_INFINITE);
    LEAVES(&target, "net.ipv4.neigh.default.gc_thresh3");
}

static void test_five_millions(void **state)
{
    struct target target = target_of(5000000, 32, 64 * GIGABYTE);

    (void)state;
    WANTS(&target, "net.core.somaxconn", 16384);
    WANTS(&target, "net.ipv4.tcp_mem", 3125000, 4166666, 6250000);
    WANTS(&target, "net.ipv4.tcp_wmem", 4096, 16384, 262144);
    WANTS(&target, "net.ipv4.tcp_max_orphans", 1048576);
    WANTS(&target, "vm.min_free_kbytes", 262144);
    WANTS(&target, "net.netfilter.nf_conntrack_max", 6553600);
    WANTS(&target, "thash_entries", 8388608);
    LEAVES(&target, "net.ipv4.neigh.default.gc_thresh3");
    target.is_in_lab = true;
    WANTS(&target, "net.ipv4.neigh.default.gc_thresh3", 8192);
}

/* 8 GB are 2097152 pages, of which the kernel takes 3/32: 196608, for 157286 connections. */
static void test_the_kernels_own_tcp_memory(void **state)
{
    struct target target = target_of(157286, 8, 8 * GIGABYTE);

    (void)state;
    LEAVES(&target, "net.ipv4.tcp_mem");
    target.connections = 157288;
    WANTS(&target, "net.ipv4.tcp_mem", 98305, 131073, 196610);
}

static void test_memory_bounds_tcp(void **state)
{
    struct want want;
    struct target target = target_of(5000000, 32, 8 * GIGABYTE);

    (void)state;
    setting_want(setting_find("net.ipv4.tcp_mem"), &target, &want);
    assert_int_equal(want.count, 3);
    assert_int_equal(want.numbers[2], 8 * GIGABYTE / 4096 * 2 / 5);
    assert_non_null(strstr(want.why, "40 % of memory"));
    /* Not more than a hundredth of memory is kept for the kernel. */
    LEAVES(&target, "vm.min_free_kbytes");
}

static void test_a_larger_backlog_wants_a_larger_somaxconn(void **state)
{
    struct target target = target_of(100000, 8, 8 * GIGABYTE);

    (void)state;
    target.options.listen_backlog = 20000;
    WANTS(&target, "net.core.somaxconn", 20000);
    WANTS(&target, "listen_backlog", 4096);
}

static void test_without_tracking(void **state)
{
    struct target target = target_of(1000000, 16, 16 * GIGABYTE);

    (void)state;
    target.is_tracked = false;
    LEAVES(&target, "net.netfilter.nf_conntrack_max");
    LEAVES(&target, "net.netfilter.nf_conntrack_buckets");
}

/* A million hearts beat 40,000 times in a second, with 3 packets each: 120,000, 20,000 a queue of
 * six. */
static void test_the_interface(void **state)
{
    struct target target = target_of(1000000, 6, 16 * GIGABYTE);
    struct want want;

    (void)state;
    setting_want(setting_find("interrupt coalescing"), &target, &want);
    assert_string_equal(want.text, "adaptive-rx on, or rx-usecs 30 to 100");
    assert_non_null(strstr(want.why, "6 queues = 20,000 packets"));
    target.connections = 999999;
    setting_want(setting_find("interrupt coalescing"), &target, &want);
    assert_null(want.text);
    assert_non_null(strstr(want.why, "19,999 packets"));
    WANTS(&target, "net.core.rps_sock_flow_entries", 0);
    target.rx_queues = 5;
    LEAVES(&target, "net.core.rps_sock_flow_entries");
}

static void ask_all(const struct target *target)
{
    const struct setting *setting;
    struct want want;

    for (size_t i = 0; (setting = setting_at(i)) != NULL; i++) {
        setting_want(setting, target, &want);
        assert_true(want.count == 0 || want.count == strlen(setting->compare));
    }
}

/* The sentences fit and are there, whatever the numbers: setting_want asserts both. */
static void test_every_target_has_its_sentences(void **state)
{
    static const uint64_t connections[] = {1, 2, 999, 64512, 500000, 2500000, 10000000, 100000000};
    static const uint32_t threads[] = {1, 2, 64, 1024};
    static const uint64_t memory[] = {GIGABYTE / 4, GIGABYTE, 24 * GIGABYTE, 4096 * GIGABYTE};

    (void)state;
    for (size_t i = 0; i < sizeof(connections) / sizeof(connections[0]); i++) {
        for (size_t j = 0; j < sizeof(threads) / sizeof(threads[0]); j++) {
            for (size_t k = 0; k < sizeof(memory) / sizeof(memory[0]); k++) {
                struct target target = target_of(connections[i], threads[j], memory[k]);
                target.provider = (enum provider)(k);
                target.is_load_host = k % 2 == 1;
                target.connect_rate = j == 3 ? 10000000 : target.connect_rate;
                ask_all(&target);
            }
        }
    }
}

static void test_the_popular_ones_are_left_alone(void **state)
{
    static const char *const keys[] = {
        "net.ipv4.tcp_max_syn_backlog",
        "net.core.netdev_max_backlog",
        "net.core.rmem_max",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_slow_start_after_idle",
        "vm.max_map_count",
        "net.core.wmem_max",
        "net.core.optmem_max",
        "net.ipv4.tcp_notsent_lowat",
        "net.ipv4.tcp_congestion_control",
        "net.core.default_qdisc",
        "net.ipv4.tcp_child_ehash_entries",
        "net.ipv4.tcp_fastopen",
        "net.core.netdev_budget",
        "net.core.netdev_budget_usecs",
        "vm.swappiness",
        "vm.nr_hugepages",
        "kernel.numa_balancing",
        "kernel.core_pattern",
        "kernel.threads-max",
        "kernel.pid_max",
        "TasksMax",
        "OOMScoreAdjust",
        "TimeoutStopSec",
        "kernel.unprivileged_bpf_disabled",
        "TCP_DEFER_ACCEPT",
        "net.ipv6.route.max_size",
        "net.ipv6.bindv6only",
        "ring sizes",
        "offloads",
        "transmit packet steering",
        "isolcpus",
        "net.ipv4.tcp_tw_recycle",
        "net.ipv4.tcp_low_latency",
        "net.ipv4.tcp_fack",
        "net.ipv4.route.max_size",
        "net.ipv4.inet_peer_threshold",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_non_null(setting_find(keys[i]));
        assert_int_equal(setting_find(keys[i])->kind, SETTING_LEAVE);
    }
}

static void test_profiles_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(profile_find("1m"), profile_find("limpet-1m"));
    assert_int_equal(profile_find("5m")->target.connections, 5000000);
    assert_true(profile_find("load")->target.is_load_host);
    assert_null(profile_find("2m"));
    assert_null(profile_find(""));
    assert_null(profile_find("limpet-"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_entry_is_complete),
        cmocka_unit_test(test_a_hundred_thousand),
        cmocka_unit_test(test_a_million),
        cmocka_unit_test(test_five_millions),
        cmocka_unit_test(test_the_kernels_own_tcp_memory),
        cmocka_unit_test(test_memory_bounds_tcp),
        cmocka_unit_test(test_a_larger_backlog_wants_a_larger_somaxconn),
        cmocka_unit_test(test_without_tracking),
        cmocka_unit_test(test_the_interface),
        cmocka_unit_test(test_every_target_has_its_sentences),
        cmocka_unit_test(test_the_popular_ones_are_left_alone),
        cmocka_unit_test(test_profiles_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
