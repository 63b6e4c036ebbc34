/*
 * Memory, and what connections keep in it.
 */
#include "tuning/settings_parts.h"

#define RECEIVE_MAX     4194304u
#define CROWD_MIN       500000u    /* below it the kernel's own windows are no matter */
#define STUCK_BYTES     (1u << 30) /* that one client in a thousand may hold, all together */
#define SEND_MAX_MIN    65536u
#define METRICS_CROWD   100000u
#define CHAIN_MAX       4u  /* sockets in a bucket that cost too little to boot for */
#define SLOW_DEATH_S    100 /* RFC 1122: a connection is not given up before */
#define SOCKET_BYTES    4096u
#define RESERVE_FAST_KB 262144u
#define RESERVE_KB      131072u
#define ACCEPTS_FAST    150000u
#define ACCEPTS_MANY    25000u
#define ECN_ALWAYS      1u
#define ECN_WHEN_ASKED  2u

static void want_tcp_mem(const struct target *target, struct want *want)
{
    const uint64_t standard = target_tcp_mem_default(target);
    const uint64_t most = target->memory_bytes / PAGE_BYTES * 2 / 5;
    uint64_t pages = target->connections * 5 / 4;

    if (pages <= standard) {
        want_nothing(want,
                     "a message to all of %s queues a page each, %s; a host with %s of memory has "
                     "%s pages by itself",
                     COUNT(target->connections), BYTES(target->connections * PAGE_BYTES),
                     BYTES(target->memory_bytes), COUNT(standard));
        return;
    }
    if (pages > most) {
        pages = most;
        want_number(want, pages / 2,
                    "one page a connection and a quarter more would be %s: cut to 40 %% of memory, "
                    "%s; pace messages to all",
                    BYTES(target->connections * PAGE_BYTES * 5 / 4), BYTES(pages * PAGE_BYTES));
    } else {
        want_number(want, pages / 2,
                    "a message to all queues a page a connection: %s x 1.25 = %s pages, %s; "
                    "pressure from 2/3, relaxed below 1/2",
                    COUNT(target->connections), COUNT(pages), BYTES(pages * PAGE_BYTES));
    }
    want_more(want, pages * 2 / 3);
    want_more(want, pages);
    want_cost(want, "none while idle; at most %s while data waits", BYTES(pages * PAGE_BYTES));
}

/* More than half of memory, or no room between pressure and refusal. */
static bool is_risky_tcp_mem(const struct target *target, const uint64_t *numbers)
{
    return numbers[2] > target->memory_bytes / PAGE_BYTES / 2 || numbers[1] >= numbers[2];
}

static void want_tcp_rmem(const struct target *target, struct want *want)
{
    if (target->connections < CROWD_MIN) {
        want_nothing(want, "nothing is allocated ahead, an idle socket costs the same with any "
                           "value");
        return;
    }
    want_number(want, 4096,
                "the third bounds a client that sends faster than it is read: %s such clients hold "
                "%s. The second, the first window, takes a ClientHello in one go",
                COUNT(target->connections / 1000), BYTES(target->connections * RECEIVE_MAX / 1000));
    want_more(want, 131072);
    want_more(want, RECEIVE_MAX);
}

/* The power of two that is nearest on a scale of powers. */
static uint64_t nearest_power(uint64_t value)
{
    const uint64_t above = power_of_two_above(value);

    return above / 2 * above > value * value ? above / 2 : above;
}

static void want_tcp_wmem(const struct target *target, struct want *want)
{
    uint64_t most = 0;

    if (target->connections < CROWD_MIN) {
        want_nothing(want, "nothing is allocated ahead; what a slow client may hold is bounded by "
                           "limits.queue_bytes_max");
        return;
    }
    most = nearest_power(STUCK_BYTES / (target->connections / 1000));
    if (most < SEND_MAX_MIN) {
        most = SEND_MAX_MIN;
    }
    want_number(want, 4096,
                "the third bounds a client that does not read: one in a thousand, %s x %s, is to "
                "hold about 1 GB",
                COUNT(target->connections / 1000), BYTES(most));
    want_more(want, 16384);
    want_more(want, most);
    want_cost(want, "one connection sends %.1f MB/s at most at 100 ms round trip",
              (double)most * 10 / 1e6);
}

static void want_switched_on(const struct target *target, struct want *want)
{
    want_number(want, 1, "round trips, windows and loss of %s connections are measured with it",
                COUNT(target->connections));
}

static void want_ecn(const struct target *target, struct want *want)
{
    want_number(want, ECN_WHEN_ASKED,
                "marks instead of losses for those of %s clients that ask for it; 1 asks, too, and "
                "more are the marks of newer kernels",
                COUNT(target->connections));
    want->enough = ECN_ALWAYS;
}

static void want_no_metrics(const struct target *target, struct want *want)
{
    if (target->connections <= METRICS_CROWD) {
        want_nothing(want, "%s connections close without a crowd at the lock of its cache",
                     COUNT(target->connections));
        return;
    }
    want_number(want, 1,
                "every close takes one lock of the host to note the client's round trip, in 16,384 "
                "places for %s clients",
                COUNT(target->connections));
}

static void want_hash(const struct target *target, struct want *want)
{
    const uint64_t buckets = power_of_two_above(target->connections * 5 / 4);
    const uint64_t standard = target_hash_default(target);

    if (target->connections <= standard * CHAIN_MAX) {
        want_nothing(want,
                     "%s connections in the kernel's own %s buckets: %.1f in each, cheap to walk",
                     COUNT(target->connections), COUNT(standard),
                     (double)target->connections / (double)standard);
        return;
    }
    want_number(want, buckets,
                "%s x 1.25 as a power of two; the kernel's own %s buckets would hold %.1f each, "
                "0.08 us a packet for every one that is walked",
                COUNT(target->connections), COUNT(standard),
                (double)target->connections / (double)standard);
    want_cost(want, "%s x 8 B = %s", COUNT(buckets), BYTES(buckets * 8));
}

static void want_min_free(const struct target *target, struct want *want)
{
    const uint64_t rate = target_accept_rate(target);
    const uint64_t reserve = rate >= ACCEPTS_FAST ? RESERVE_FAST_KB : RESERVE_KB;

    if (rate < ACCEPTS_MANY || reserve > target->memory_bytes / 100 / 1024) {
        want_nothing(want,
                     "%s accepts a second x 4 KB are %s/s; the kernel's own reserve is enough",
                     COUNT(rate), BYTES(rate * SOCKET_BYTES));
        return;
    }
    want_number(want, reserve,
                "%s accepts a second x 4 KB take %s/s from where nobody may wait: %.1f s of it, "
                "below 1 %% of memory",
                COUNT(rate), BYTES(rate * SOCKET_BYTES),
                (double)reserve * 1024 / (double)(rate * SOCKET_BYTES));
    want_cost(want, "%s that only the kernel uses", BYTES(reserve * 1024));
}

static void want_overcommit(const struct target *target, struct want *want)
{
    want_number(want, 1,
                "the pools for %s connections are reserved at the start and used when touched",
                COUNT(target->connections));
}

static void want_madvise(const struct target *target, struct want *want)
{
    want_text(want, "madvise",
              "pools for %s connections are touched here and there; huge pages on all of it would "
              "fill them",
              COUNT(target->connections));
}

static void want_retries(const struct target *target, struct want *want)
{
    (void)target;
    want_number(want, 8,
                "8 are %d s, the least of RFC 1122; dead clients are ended by TCP_USER_TIMEOUT and "
                "heartbeats instead",
                SLOW_DEATH_S);
}

static void want_memory_max(const struct target *target, struct want *want)
{
    want_number(want, target_charged_bytes(target),
                "%s x 4.7 KB x 1.3, and a page for each tenth connection: newer kernels charge "
                "accepted sockets to the service. Best: none on a dedicated host",
                COUNT(target->connections));
}

static void want_memory_high(const struct target *target, struct want *want)
{
    (void)target;
    want_number(want, WANT_INFINITE,
                "sockets cannot be reclaimed, so it stalls the shards until heartbeats fail");
}

static void want_no_swap(const struct target *target, struct want *want)
{
    want_number(want, 0,
                "a shard that waits for its pages to come back answers none of its %s connections",
                COUNT(target->connections / target->threads));
}

const struct setting settings_memory[] = {
    {
        .key = "net.ipv4.tcp_mem",
        .kind = SETTING_SYSCTL,
        .compare = ">>>",
        .unit = "pages",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_PROFILE | SETTING_AT_START | SETTING_OPTIONAL,
        .formula = want_tcp_mem,
        .is_risky = is_risky_tcp_mem,
        .standard = "4.7 / 6.25 / 9.4 % of memory",
        .risk = "pages, not bytes. Too high: the kernel runs out of memory instead of slowing TCP "
                "down. Too low: windows collapse, TCPMemoryPressures",
    },
    {
        .key = "net.ipv4.tcp_rmem",
        .kind = SETTING_SYSCTL,
        .compare = "..<",
        .unit = "bytes",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_SERVER | SETTING_PROFILE | SETTING_RISKY,
        .formula = want_tcp_rmem,
        .standard = "4096 131072 and 6 MB, 32 MB on newer kernels",
        .cost = "one client uploads 40 MB/s at most at 100 ms round trip",
        .risk = "a small second number costs round trips at each handshake and saves nothing",
    },
    {
        .key = "net.ipv4.tcp_wmem",
        .kind = SETTING_SYSCTL,
        .compare = "..<",
        .unit = "bytes",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_SERVER | SETTING_PROFILE | SETTING_RISKY,
        .formula = want_tcp_wmem,
        .standard = "4096 16384 4194304",
        .risk = "too low: large messages go slowly to far clients",
    },
    {
        .key = "net.ipv4.tcp_moderate_rcvbuf",
        .kind = SETTING_SYSCTL,
        .compare = "=",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_RISKY,
        .formula = want_switched_on,
        .standard = "1",
        .cost = "none",
        .risk = "0: windows stay at 64 KB",
    },
    {
        .key = "net.ipv4.tcp_timestamps",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NEW_SOCKETS,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_RISKY,
        .formula = want_switched_on,
        .standard = "1",
        .cost = "12 bytes a packet",
        .risk = "0: connections by SYN cookie lose their options, tcp_tw_reuse does not work",
    },
    {
        .key = "net.ipv4.tcp_sack",
        .kind = SETTING_SYSCTL,
        .compare = "=",
        .effect = EFFECT_NEW_SOCKETS,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_RISKY,
        .formula = want_switched_on,
        .standard = "1",
        .cost = "none",
        .risk = "0: mobile clients crawl after each loss",
    },
    {
        .key = "net.ipv4.tcp_ecn",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NEW_SOCKETS,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH,
        .formula = want_ecn,
        .standard = "2",
        .cost = "none",
        .risk = "0: a full queue on the way tells of itself by loss alone",
    },
    {
        .key = "net.ipv4.tcp_retries2",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_RISKY,
        .formula = want_retries,
        .standard = "15 (924 s)",
        .cost = "a dead peer's data waits longer, where nothing else ends it",
        .risk = "lower: phones in tunnels are cut off, on this host's every connection",
    },
    {
        .key = "net.ipv4.tcp_no_metrics_save",
        .kind = SETTING_SYSCTL,
        .compare = "=",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_PROFILE,
        .formula = want_no_metrics,
        .standard = "0",
        .cost = "a client that comes back starts without its last round trip",
        .risk = "0: closes of a crowd queue at one lock",
    },
    {
        .key = "thash_entries",
        .kind = SETTING_BOOT,
        .source = SOURCE_SYSCTL,
        .place = "net.ipv4.tcp_ehash_entries",
        .compare = ">",
        .unit = "buckets",
        .effect = EFFECT_REBOOT,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_OPTIONAL | SETTING_PROFILE,
        .formula = want_hash,
        .standard = "a bucket for 128 KB of memory, 524288 at most",
        .risk = "too low: every packet walks a longer chain, up to 0.5 us at 5M; useful, no must",
    },
    {
        .key = "vm.min_free_kbytes",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .unit = "KB",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_SERVER | SETTING_PROFILE,
        .formula = want_min_free,
        .standard = "4 x the root of memory in KB, 67584 with huge pages",
        .risk = "too high: out of memory early. Too low: SYNs dropped in storms, ListenDrops "
                "without ListenOverflows",
    },
    {
        .key = "vm.overcommit_memory",
        .kind = SETTING_SYSCTL,
        .compare = "<",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_SERVER | SETTING_RISKY,
        .formula = want_overcommit,
        .standard = "0",
        .cost = "none",
        .risk = "2: the reservation is refused at the start",
    },
    {
        .key = "MemoryMax",
        .kind = SETTING_UNIT,
        .source = SOURCE_CGROUP,
        .place = "memory.max",
        .compare = ">",
        .unit = "bytes",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_SERVER | SETTING_OPTIONAL | SETTING_AT_START,
        .formula = want_memory_max,
        .standard = "infinity",
        .cost = "none: a limit, not memory",
        .risk = "too low: the service is killed at its peak, or after a kernel upgrade",
    },
    {
        .key = "MemoryHigh",
        .kind = SETTING_UNIT,
        .source = SOURCE_CGROUP,
        .place = "memory.high",
        .compare = ">",
        .unit = "bytes",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_SERVER | SETTING_OPTIONAL | SETTING_RISKY | SETTING_AT_START,
        .formula = want_memory_high,
        .standard = "infinity",
        .cost = "none",
        .risk = "near the working set the server stalls without an error",
    },
    {
        .key = "MemorySwapMax",
        .kind = SETTING_UNIT,
        .source = SOURCE_CGROUP,
        .place = "memory.swap.max",
        .compare = "<",
        .unit = "bytes",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .formula = want_no_swap,
        .standard = "infinity",
        .cost = "none",
        .risk = "with swap: keys on disk, and heartbeats that fail",
    },
    {
        .key = "transparent huge pages",
        .kind = SETTING_ADVICE,
        .source = SOURCE_FILE,
        .place = "/sys/kernel/mm/transparent_hugepage/enabled",
        .compare = "",
        .effect = EFFECT_RESTART,
        .group = GROUP_MEMORY,
        .flags = SETTING_SERVER | SETTING_OPTIONAL | SETTING_RISKY,
        .formula = want_madvise,
        .standard = "madvise or always, by distribution",
        .cost = "none",
        .risk = "always: sparse pools grow to their full size. Set it in /sys, or at boot with "
                "transparent_hugepage=madvise",
    },
    {
        .key = "net.core.rmem_max",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .unit = "bytes",
        .effect = EFFECT_NEW_SOCKETS,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "with wmem_max on top of every list; bounds SO_RCVBUF alone, and not the kernel's "
               "own tuning of windows",
        .standard = "212992, 4194304 on newer kernels",
    },
    {
        .key = "net.ipv4.tcp_slow_start_after_idle",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH,
        .why = "messages below 14 KB fit the first window anyway; so neither BBR nor fq change "
               "anything for them",
        .standard = "1",
    },
    {
        .key = "vm.max_map_count",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH,
        .why = "from guides for databases; a ring is three mappings, a pool is one",
        .standard = "65530",
    },
    {
        .key = "net.core.wmem_max",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .unit = "bytes",
        .effect = EFFECT_NEW_SOCKETS,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "bounds SO_SNDBUF alone, and not the kernel's own tuning of buffers",
        .standard = "212992, 4194304 on newer kernels",
    },
    {
        .key = "net.core.optmem_max",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .unit = "bytes",
        .effect = EFFECT_NEW_SOCKETS,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "for control messages and MSG_ZEROCOPY of a socket: a connection has neither",
        .standard = "20480, 131072 on newer kernels",
    },
    {
        .key = "net.ipv4.tcp_notsent_lowat",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH,
        .why = "each listener has TCP_NOTSENT_LOWAT, and its connections with it; here it "
               "would hit other services at once",
        .standard = "4294967295",
    },
    {
        .key = "net.ipv4.tcp_child_ehash_entries",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "0: new network namespaces share the host's hash (thash_entries). Without a "
               "reboot: set it, then make the service's namespace; at most 2^24",
        .standard = "0",
    },
    {
        .key = "vm.swappiness",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "MemorySwapMax=0 keeps the service out of swap, and the kernel's sockets are "
               "never swapped",
        .standard = "60",
    },
    {
        .key = "vm.nr_hugepages",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "pools take none of them: what is set aside here is lost to sockets and pools",
        .standard = "0",
    },
    {
        .key = "kernel.numa_balancing",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_MEMORY,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .why = "0 pays with more than one NUMA node and threads that are pinned to CPUs; "
               "shards are not pinned",
        .standard = "1 with more than one node",
    },
};

const size_t settings_memory_count = sizeof(settings_memory) / sizeof(settings_memory[0]);
