#include "scratch.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH_SIZE 512

void scratch_open(struct scratch *scratch)
{
    (void)snprintf(scratch->root, sizeof(scratch->root), "/tmp/limpet-tuning-XXXXXX");
    assert_non_null(mkdtemp(scratch->root));
}

void scratch_write(const struct scratch *scratch, const char *path, const char *text)
{
    char full[PATH_SIZE];

    (void)snprintf(full, sizeof(full), "%s%s", scratch->root, path);
    for (char *p = full + strlen(scratch->root) + 1; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(full, 0755);
            *p = '/';
        }
    }
    FILE *file = fopen(full, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

void scratch_sysctl(const struct scratch *scratch, const char *key, const char *value)
{
    char path[PATH_SIZE];
    char line[PATH_SIZE];

    (void)snprintf(path, sizeof(path), "/proc/sys/%s", key);
    for (char *p = path; *p != '\0'; p++) {
        if (*p == '.') {
            *p = '/';
        }
    }
    (void)snprintf(line, sizeof(line), "%s\n", value);
    scratch_write(scratch, path, line);
}

void scratch_remove(const struct scratch *scratch, const char *path)
{
    char full[PATH_SIZE];

    (void)snprintf(full, sizeof(full), "%s%s", scratch->root, path);
    assert_int_equal(unlink(full), 0);
}

/* What a host starts with. */
static const char *const defaults[][2] = {
    {"kernel.osrelease", "6.12.0-test"},
    {"kernel.io_uring_disabled", "0"},
    {"fs.file-max", "9223372036854775807"},
    {"fs.file-nr", "1024\t0\t9223372036854775807"},
    {"fs.nr_open", "1048576"},
    {"net.core.somaxconn", "4096"},
    {"net.core.busy_poll", "0"},
    {"net.core.rmem_max", "212992"},
    {"net.core.netdev_max_backlog", "1000"},
    {"net.ipv4.tcp_syncookies", "1"},
    {"net.ipv4.tcp_abort_on_overflow", "0"},
    {"net.ipv4.tcp_migrate_req", "0"},
    {"net.ipv4.tcp_max_orphans", "65536"},
    {"net.ipv4.ip_local_port_range", "32768\t60999"},
    {"net.ipv4.tcp_tw_reuse", "2"},
    {"net.ipv4.tcp_max_tw_buckets", "65536"},
    {"net.ipv4.tcp_max_syn_backlog", "1024"},
    {"net.ipv4.tcp_fin_timeout", "60"},
    {"net.ipv4.tcp_mem", "189000\t252000\t378000"},
    {"net.ipv4.tcp_rmem", "4096\t131072\t6291456"},
    {"net.ipv4.tcp_wmem", "4096\t16384\t4194304"},
    {"net.ipv4.tcp_moderate_rcvbuf", "1"},
    {"net.ipv4.tcp_timestamps", "1"},
    {"net.ipv4.tcp_sack", "1"},
    {"net.ipv4.tcp_retries2", "15"},
    {"net.ipv4.tcp_no_metrics_save", "0"},
    {"net.ipv4.tcp_ehash_entries", "131072"},
    {"net.ipv4.tcp_keepalive_time", "7200"},
    {"net.ipv4.tcp_slow_start_after_idle", "1"},
    {"net.ipv4.neigh.default.gc_thresh1", "128"},
    {"net.ipv4.neigh.default.gc_thresh2", "512"},
    {"net.ipv4.neigh.default.gc_thresh3", "1024"},
    {"vm.min_free_kbytes", "67584"},
    {"vm.overcommit_memory", "0"},
    {"vm.max_map_count", "65530"},
    {"kernel.core_pattern", "core"},
    {"kernel.threads-max", "127000"},
    {"kernel.pid_max", "4194304"},
    {"kernel.numa_balancing", "0"},
    {"net.ipv4.tcp_synack_retries", "5"},
    {"net.ipv4.tcp_fastopen", "1"},
    {"net.ipv4.tcp_ecn", "2"},
    {"net.core.wmem_max", "212992"},
    {"net.core.optmem_max", "20480"},
    {"net.ipv4.tcp_notsent_lowat", "4294967295"},
    {"net.ipv4.tcp_congestion_control", "cubic"},
    {"net.core.default_qdisc", "fq_codel"},
    {"net.ipv4.tcp_child_ehash_entries", "0"},
    {"vm.swappiness", "60"},
    {"vm.nr_hugepages", "0"},
    {"net.core.busy_read", "0"},
    {"net.core.rps_sock_flow_entries", "0"},
    {"net.core.netdev_budget", "300"},
    {"net.core.netdev_budget_usecs", "8000"},
};

void scratch_host(const struct scratch *scratch)
{
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
        scratch_sysctl(scratch, defaults[i][0], defaults[i][1]);
    }
    scratch_write(scratch, "/proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n");
    scratch_write(scratch, "/sys/devices/system/cpu/online", "0-3\n");
    scratch_write(
        scratch, "/proc/net/route",
        "Iface\tDestination\tGateway\nlo\t0000007F\t00000000\neth0\t00000000\t0100A8C0\n");
    scratch_write(scratch, "/sys/class/net/eth0/speed", "10000\n");
    for (int queue = 0; queue < 4; queue++) {
        char path[PATH_SIZE];
        (void)snprintf(path, sizeof(path), "/sys/class/net/eth0/queues/rx-%d/rps_cpus", queue);
        scratch_write(scratch, path, "00000000,00000000\n");
    }
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *place)
{
    (void)status;
    (void)flag;
    (void)place;
    return remove(path);
}

void scratch_close(const struct scratch *scratch)
{
    assert_int_equal(nftw(scratch->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}
