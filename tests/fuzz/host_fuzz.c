/*
 * Fuzzes what is read of a host: one file of /proc or /sys has any content. Whatever it is: there
 * is a plan, what is to be written is what a kernel takes, and no counter is read past its file.
 * The first byte chooses the file.
 */
#include "tuning/counters.h"
#include "tuning/plan.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const files[] = {
    "/proc/meminfo",
    "/sys/devices/system/cpu/online",
    "/proc/net/route",
    "/proc/net/netstat",
    "/proc/net/sockstat",
    "/proc/net/softnet_stat",
    "/proc/net/stat/nf_conntrack",
    "/proc/7/limits",
    "/proc/7/cgroup",
    "/proc/7/comm",
    "/proc/sys/net/core/somaxconn",
    "/proc/sys/net/ipv4/tcp_mem",
    "/proc/sys/net/ipv4/tcp_ehash_entries",
    "/proc/sys/fs/file-nr",
    "/sys/class/net/eth0/speed",
    "/sys/kernel/mm/transparent_hugepage/enabled",
};

#define FILE_COUNT (sizeof(files) / sizeof(files[0]))

static char root[] = "/tmp/limpet-fuzz-XXXXXX";

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *place)
{
    (void)status;
    (void)flag;
    (void)place;
    return remove(path);
}

static void remove_root(void)
{
    (void)nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    char full[256];

    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *p = full + sizeof(root); *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(full, 0755);
            *p = '/';
        }
    }
    FILE *file = fopen(full, "we");
    require(file != NULL);
    require(size == 0 || fwrite(data, 1, size, file) == size);
    require(fclose(file) == 0);
}

static void make_root(void)
{
    static bool is_made;

    if (is_made) {
        return;
    }
    is_made = true;
    require(mkdtemp(root) != NULL);
    require(atexit(remove_root) == 0);
    write_file("/proc/meminfo", (const uint8_t *)"MemTotal: 4194304 kB\n", 21);
    write_file("/proc/7/comm", (const uint8_t *)"limpet\n", 7);
    write_file("/sys/class/net/eth0/queues/rx-0/rps_cpus", (const uint8_t *)"0\n", 2);
}

/* Decimal numbers with single blanks, or a word that is known. */
static void require_writable(const struct change *change)
{
    require(change->key[0] != '\0');
    require(change->why[0] != '\0');
    require(strcmp(change->wanted, "infinity") == 0 ||
            strspn(change->wanted, "0123456789 ") == strlen(change->wanted));
    require(change->wanted[0] != '\0' && change->wanted[0] != ' ');
    require(strchr(change->now, '\n') == NULL);
}

/* NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine machine;
    static struct plan plan;
    static struct counters counters;
    static struct change changes[FINDINGS_MAX];
    const struct target_options options = {0};
    struct target target;
    char message[256];

    make_root();
    if (size == 0) {
        return 0;
    }
    const char *path = files[data[0] % FILE_COUNT];
    char full[256];
    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    write_file(path, data + 1, size - 1);
    if (machine_read(&machine, root, data[0] >= 128 ? "eth0" : NULL, 0, message, sizeof(message)) ==
        0) {
        require(machine.cores > 0);
        require(machine.memory_bytes > 0);
        machine_target(&machine, &options, 1000000, 0, &target);
        plan_make(&plan, &machine, &target);
        const uint32_t count = plan_changes(&plan, changes, FINDINGS_MAX);
        for (uint32_t i = 0; i < count; i++) {
            require_writable(&changes[i]);
        }
        counters_read(&machine, &counters);
    } else {
        require(message[0] != '\0');
    }
    require(unlink(full) == 0); /* the next input has its own */
    if (data[0] % FILE_COUNT == 0) {
        write_file("/proc/meminfo", (const uint8_t *)"MemTotal: 4194304 kB\n", 21);
    }
    return 0;
}
