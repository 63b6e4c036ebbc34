/*
 * Files, limits, io_uring.
 */
#include "tuning/settings_parts.h"

#define NOFILE           1048576u  /* the kernel's own cap of a ring's table: more buys nothing */
#define NOFILE_RISKY     16777216u /* programs that close all descriptors get slow from here on */
#define FILES_SPARE      65536u    /* of the rest of the host */
#define SUBMIT_ENTRY     68u       /* bytes: entry and index */
#define SUBMIT_MAX       512u
#define COMPLETE_MAX     8192u
#define TLS_STATES_BYTES 640u /* 112 + 144 + 176 + 208, by suite */
#define COMPLETE_SIZE    16u

static void want_nofile(const struct target *target, struct want *want)
{
    const uint64_t sockets = target_sockets_per_ring(target);

    if (sockets > RING_TABLE_MAX) {
        want_number(want, NOFILE,
                    "%s / %u shards + spread = %s sockets a ring, but a ring takes %u at most: set "
                    "the option shards to %s or more",
                    COUNT(target->connections), target->threads, COUNT(sockets), RING_TABLE_MAX,
                    COUNT(target->connections * 13 / 10 / RING_TABLE_MAX + 1));
        return;
    }
    want_number(want, NOFILE,
                "each ring's table of sockets is held against it: %s / %u shards + spread = %s; "
                "%u is the most that a ring can use",
                COUNT(target->connections), target->threads, COUNT(sockets), NOFILE);
    want->enough = sockets;
}

static bool is_risky_nofile(const struct target *target, const uint64_t *numbers)
{
    (void)target;
    return numbers[0] > NOFILE_RISKY;
}

/* Never more: sockets are direct descriptors, of which a ring has 2^20 at most. */
static void want_nr_open(const struct target *target, struct want *want)
{
    (void)target;
    want_number(want, NOFILE,
                "no process may have a higher limit on files than this, and the "
                "server's is %s: a unit with LimitNOFILE above it does not start",
                COUNT(NOFILE));
}

/* Of each TLS suite as many states as there are sockets are kept out of swap, used or not. */
static void want_memlock(const struct target *target, struct want *want)
{
    const uint64_t ring = SUBMIT_MAX * SUBMIT_ENTRY + COMPLETE_MAX * COMPLETE_SIZE +
                          target->options.receive_buffer_count * 16ull + PAGE_BYTES;
    const uint64_t sockets = target_sockets_per_ring(target) * target->threads;

    want_number(
        want, WANT_INFINITE,
        "rings, which newer kernels charge to it (%u x %s), and TLS keys that must not reach "
        "swap (%s sockets x %u B = %s): for all processes of a user",
        target->threads, BYTES(ring), COUNT(sockets), TLS_STATES_BYTES,
        BYTES(sockets * TLS_STATES_BYTES));
    want->enough = ring * target->threads + sockets * TLS_STATES_BYTES;
}

static void want_login_nofile(const struct target *target, struct want *want)
{
    if (target->is_load_host) {
        want_number(want, NOFILE,
                    "limpet-bench opens %s sockets from a shell; the sockets of its rings are held "
                    "against it",
                    COUNT(target->connections));
        return;
    }
    want_nothing(want, "services do not go by it (see LimitNOFILE); it matters on load hosts");
}

static void want_no_core(const struct target *target, struct want *want)
{
    want_number(want, 0, "a core file of %s connections would hold their traffic keys",
                COUNT(target->connections));
}

static void want_io_uring(const struct target *target, struct want *want)
{
    want_number(want, 0, "all I/O goes through io_uring: %u rings are opened at the start",
                target->threads);
}

static void want_file_max(const struct target *target, struct want *want)
{
    const uint64_t files = target->connections * 11 / 10 + FILES_SPARE;

    want_number(want, files,
                "%s x 1.1 + %u for the rest of the host; direct descriptors count, too",
                COUNT(target->connections), FILES_SPARE);
}

const struct setting settings_files[] = {
    {
        .key = "LimitNOFILE",
        .kind = SETTING_UNIT,
        .source = SOURCE_LIMIT,
        .place = "Max open files",
        .compare = ">",
        .effect = EFFECT_RESTART,
        .group = GROUP_FILES,
        .flags = SETTING_SERVER,
        .formula = want_nofile,
        .is_risky = is_risky_nofile,
        .standard = "1024, hard 524288",
        .cost = "none: a limit, not memory",
        .risk = "too low: the server refuses to start, EMFILE. Never infinity: with fs.nr_open of "
                "2^30 programs that close all descriptors burn minutes",
    },
    {
        .key = "LimitMEMLOCK",
        .kind = SETTING_UNIT,
        .source = SOURCE_LIMIT,
        .place = "Max locked memory",
        .compare = ">",
        .unit = "bytes",
        .effect = EFFECT_RESTART,
        .group = GROUP_FILES,
        .flags = SETTING_SERVER,
        .formula = want_memlock,
        .standard = "8 MiB",
        .cost = "none: the memory is used either way",
        .risk =
            "too low: keys may reach swap; ENOMEM when a ring is opened, after a kernel upgrade too",
    },
    {
        .key = "LimitCORE",
        .kind = SETTING_UNIT,
        .source = SOURCE_LIMIT,
        .place = "Max core file size",
        .compare = "<",
        .unit = "bytes",
        .effect = EFFECT_RESTART,
        .group = GROUP_FILES,
        .flags = SETTING_SERVER,
        .formula = want_no_core,
        .standard = "0, hard infinity",
        .cost = "no core file after a crash",
        .risk = "a kernel.core_pattern that is a pipe does not go by it: mind who reads there",
    },
    {
        .key = "nofile",
        .kind = SETTING_LOGIN,
        .source = SOURCE_OWN_NOFILE,
        .compare = ">",
        .effect = EFFECT_LOGIN,
        .group = GROUP_FILES,
        .flags = SETTING_BOTH,
        .formula = want_login_nofile,
        .standard = "1024, hard 1048576 or 524288",
        .cost = "none: a limit, not memory",
        .risk = "too low: limpet-bench stops early, EMFILE",
    },
    {
        .key = "kernel.io_uring_disabled",
        .kind = SETTING_SYSCTL,
        .compare = "<",
        .effect = EFFECT_RESTART,
        .group = GROUP_FILES,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .formula = want_io_uring,
        .standard = "0",
        .cost = "every user may open rings; 1 with kernel.io_uring_group keeps it to a group",
        .risk = "2: EPERM at the next start; rings that are open go on",
    },
    {
        .key = "fs.file-max",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_FILES,
        .flags = SETTING_BOTH | SETTING_AT_START,
        .formula = want_file_max,
        .standard = "memory / 10 KB; with systemd without bound",
        .cost = "none: a limit, not memory",
        .risk = "too low: ENFILE at accept; field 1 of /proc/sys/fs/file-nr",
    },
    {
        .key = "fs.nr_open",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_FILES,
        .flags = SETTING_BOTH,
        .profile_above = NOFILE,
        .formula = want_nr_open,
        .standard = "1048576",
        .cost = "none: a limit, not memory",
        .risk = "lowered, units with LimitNOFILE=1048576 fail with 205/LIMITS; raised, "
                "LimitNOFILE=infinity becomes that number and costs minutes",
    },
    {
        .key = "kernel.core_pattern",
        .kind = SETTING_LEAVE,
        .compare = "",
        .effect = EFFECT_NOW,
        .group = GROUP_FILES,
        .flags = SETTING_SERVER,
        .why = "a pipe (|...) does not go by LimitCORE. Keys of connections are kept out of "
               "any dump (MADV_DONTDUMP), keys of certificates and tokens are not: mind who "
               "reads there",
        .standard = "core",
    },
    {
        .key = "kernel.threads-max",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_FILES,
        .flags = SETTING_BOTH,
        .why = "threads are one a shard and io_uring's own, not one a connection",
        .standard = "by memory",
    },
    {
        .key = "kernel.pid_max",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_FILES,
        .flags = SETTING_BOTH,
        .why = "threads are one a shard and io_uring's own, not one a connection",
        .standard = "32768, 4194304 with systemd",
    },
    {
        .key = "TasksMax",
        .kind = SETTING_LEAVE,
        .source = SOURCE_CGROUP,
        .place = "pids.max",
        .compare = ".",
        .effect = EFFECT_RESTART,
        .group = GROUP_FILES,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .why = "threads are one a shard and io_uring's own; the standard is never below 4,915",
        .standard = "15 % of kernel.pid_max",
    },
    {
        .key = "OOMScoreAdjust",
        .kind = SETTING_LEAVE,
        .source = SOURCE_NOTHING,
        .compare = ".",
        .effect = EFFECT_RESTART,
        .group = GROUP_FILES,
        .flags = SETTING_SERVER,
        .why =
            "the shipped unit has -900: on a host that runs short, what is beside the server goes "
            "first",
        .standard = "0",
    },
    {
        .key = "TimeoutStopSec",
        .kind = SETTING_LEAVE,
        .source = SOURCE_NOTHING,
        .compare = ".",
        .effect = EFFECT_RESTART,
        .group = GROUP_FILES,
        .flags = SETTING_SERVER,
        .why =
            "the shipped unit has 300: the kernel takes down millions of sockets after the server "
            "has ended",
        .standard = "90",
    },
    {
        .key = "kernel.unprivileged_bpf_disabled",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_FILES,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "the server loads no programs into the kernel",
        .standard = "2",
    },
};

const size_t settings_files_count = sizeof(settings_files) / sizeof(settings_files[0]);
