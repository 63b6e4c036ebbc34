/*
 * Taking connections, and opening them: queues, ports, tracking.
 */
#include "tuning/settings_parts.h"

#define BACKLOG_MIN        4096u
#define BACKLOG_MAX        16384u
#define SOMAXCONN_RISKY    65535u /* ten seconds of a thread's accepts: nobody waits that long */
#define HALF_OPEN_BYTES    320u
#define PORTS_PER_SOURCE   64512u /* 1024 to 65535 */
#define ORPHAN_BYTES       5120u
#define TIME_WAIT_BYTES    256u
#define CONNTRACK_BYTES    320u
#define CONNTRACK_PER_100K 131072u
#define SYNACK_RETRIES     5u
#define SYNACK_RETRIES_MIN 3u

/* The accept queue outlives the longest stall of a thread, one and a half seconds. */
static uint64_t backlog(const struct target *target, uint64_t *rate)
{
    *rate = (target_accept_rate(target) + target->threads - 1) / target->threads;
    uint64_t size = power_of_two_above(*rate * 3 / 2);
    if (size < BACKLOG_MIN) {
        size = BACKLOG_MIN;
    }
    return size > BACKLOG_MAX ? BACKLOG_MAX : size;
}

static void want_backlog(const struct target *target, struct want *want)
{
    uint64_t rate = 0;
    const uint64_t size = backlog(target, &rate);

    want_number(want, size,
                "%s new connections a second / %u threads, %u at most, = %s x 1.5 s of stall = %s, "
                "as a power of two from %u to %u",
                COUNT(target->connect_rate), target->threads, ACCEPTS_PER_S, COUNT(rate),
                COUNT(rate * 3 / 2), BACKLOG_MIN, BACKLOG_MAX);
    want_cost(want, "in a SYN flood %u x %llu x %u B = %s", target->threads,
              (unsigned long long)size, HALF_OPEN_BYTES,
              BYTES(size * target->threads * HALF_OPEN_BYTES));
}

static void want_somaxconn(const struct target *target, struct want *want)
{
    uint64_t rate = 0;

    if (target->options.listen_backlog > backlog(target, &rate)) {
        want_number(want, target->options.listen_backlog,
                    "the option listen_backlog asks for %s; the kernel takes the smaller of both",
                    COUNT(target->options.listen_backlog));
        return;
    }
    want_backlog(target, want);
}

static bool is_risky_somaxconn(const struct target *target, const uint64_t *numbers)
{
    (void)target;
    return numbers[0] > SOMAXCONN_RISKY;
}

static void want_syncookies(const struct target *target, struct want *want)
{
    want_number(want, 1, "when one of %u SYN queues is full, clients still get in by cookie",
                target->threads);
}

/* The kernel itself goes down to two when a queue is half full. */
static void want_synack_retries(const struct target *target, struct want *want)
{
    want_number(want, SYNACK_RETRIES,
                "1 + 2 + 4 + 8 + 16 + 32 s = 63 s to get through to one of %u listeners; %u, 15 s, "
                "will do in a flood",
                target->threads, SYNACK_RETRIES_MIN);
    want->enough = SYNACK_RETRIES_MIN;
}

static void want_no_abort(const struct target *target, struct want *want)
{
    want_number(want, 0,
                "a burst above %s a second waits for a retransmission; with 1 it would be reset, "
                "and come back at once",
                COUNT((uint64_t)target->threads * ACCEPTS_PER_S));
}

static void want_migrate(const struct target *target, struct want *want)
{
    want_number(want, 1,
                "when one of %u listeners is closed (upgrade, drain), its queue moves to another "
                "instead of being reset",
                target->threads);
}

static void want_orphans(const struct target *target, struct want *want)
{
    const uint64_t orphans = power_of_two_above(target->connections / 5);

    if (orphans <= target_hash_default(target) / 2) {
        want_nothing(want, "a fifth of %s leave at once: %s sockets; the kernel's own is enough",
                     COUNT(target->connections), COUNT(target->connections / 5));
        return;
    }
    want_number(want, orphans,
                "a fifth of %s leave at once, and wait closed for their last bytes: %s, as a power "
                "of two",
                COUNT(target->connections), COUNT(target->connections / 5));
    want_cost(want, "when it is full, %s x 5 KB = %s", COUNT(orphans),
              BYTES(orphans * ORPHAN_BYTES));
}

static void want_ports(const struct target *target, struct want *want)
{
    want_number(
        want, 1024,
        "a source address has %u ports to one server instead of 28,232: %llu addresses are "
        "needed for %s",
        PORTS_PER_SOURCE,
        (unsigned long long)((target->connections + PORTS_PER_SOURCE - 1) / PORTS_PER_SOURCE),
        COUNT(target->connections));
    want_more(want, 65535);
}

static void want_time_wait_reuse(const struct target *target, struct want *want)
{
    want_number(want, 1,
                "the next run of %s connections needs the ports that the last one left in "
                "TIME_WAIT for 60 s",
                COUNT(target->connections));
}

static void want_time_wait_buckets(const struct target *target, struct want *want)
{
    want_number(want, 1048576,
                "a run that ends leaves up to %s sockets in TIME_WAIT; above it the state is "
                "skipped",
                COUNT(target->connections));
    want_cost(want, "when it is full, 1048576 x %u B = %s", TIME_WAIT_BYTES,
              BYTES(1048576ull * TIME_WAIT_BYTES));
}

static void want_sources(const struct target *target, struct want *want)
{
    want_text(
        want, "more source addresses",
        "%s / %u ports = %llu addresses on the interface, taken in turn, with "
        "IP_BIND_ADDRESS_NO_PORT (limpet-bench does)",
        COUNT(target->connections), PORTS_PER_SOURCE,
        (unsigned long long)((target->connections + PORTS_PER_SOURCE - 1) / PORTS_PER_SOURCE));
}

static void want_conntrack(const struct target *target, struct want *want)
{
    const uint64_t entries = target->connections * CONNTRACK_PER_100K / 100000;

    if (!target->is_tracked) {
        want_nothing(want, "no connection is tracked on this host; keep it so");
        return;
    }
    want_number(want, entries,
                "%s tracked connections x 1.31: a quarter more that end, and some spare. Better: "
                "no tracking of the port (notrack)",
                COUNT(target->connections));
    want_cost(want, "%s x %u B = %s of kernel memory", COUNT(entries), CONNTRACK_BYTES,
              BYTES(entries * CONNTRACK_BYTES));
}

static void want_notrack(const struct target *target, struct want *want)
{
    if (!target->is_tracked) {
        want_nothing(want, "nothing is tracked here; a stateful firewall rule would start it");
        return;
    }
    want_text(
        want, "notrack",
        "an nftables rule for the server's port in the raw hooks: tcp dport PORT notrack, tcp "
        "sport PORT notrack; then %s connections need no entry",
        COUNT(target->connections));
}

const struct setting settings_accept[] = {
    {
        .key = "listen_backlog",
        .kind = SETTING_OPTION,
        .source = SOURCE_BACKLOG,
        .compare = ">",
        .effect = EFFECT_RESTART,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER | SETTING_AT_START,
        .formula = want_backlog,
        .standard = "4096",
        .risk = "too low: SYNs are dropped in a storm; ListenOverflows, ListenDrops",
    },
    {
        .key = "net.core.somaxconn",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_RESTART,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER | SETTING_PROFILE,
        .formula = want_somaxconn,
        .is_risky = is_risky_somaxconn,
        .standard = "4096",
        .risk = "bounds the SYN queue and the accept queue of each listener. Too high: a queue "
                "longer than clients wait is wasted handshakes",
    },
    {
        .key = "net.ipv4.tcp_syncookies",
        .kind = SETTING_SYSCTL,
        .compare = "=",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER | SETTING_RISKY | SETTING_AT_START,
        .formula = want_syncookies,
        .standard = "1",
        .cost = "none until a queue is full",
        .risk = "0: a flood shuts everyone out. 2: connections lose their TCP options",
    },
    {
        .key = "net.ipv4.tcp_synack_retries",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER | SETTING_RISKY,
        .formula = want_synack_retries,
        .standard = "5 (63 s)",
        .cost = "a place in the SYN queue for as long",
        .risk = "1 or 2: mobile clients that lose packets do not get in; TCPTimeouts",
    },
    {
        .key = "net.ipv4.tcp_abort_on_overflow",
        .kind = SETTING_SYSCTL,
        .compare = "=",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER | SETTING_RISKY | SETTING_AT_START,
        .formula = want_no_abort,
        .standard = "0",
        .cost = "none",
        .risk = "1: bursts become resets, and a storm of clients that come back at once",
    },
    {
        .key = "net.ipv4.tcp_migrate_req",
        .kind = SETTING_SYSCTL,
        .compare = "=",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER | SETTING_PROFILE,
        .formula = want_migrate,
        .standard = "0",
        .cost = "none",
        .risk = "on a port that is shared by unlike servers, clients meet the wrong one",
    },
    {
        .key = "net.ipv4.tcp_max_orphans",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_BOTH | SETTING_PROFILE | SETTING_OPTIONAL,
        .formula = want_orphans,
        .standard = "half the connection hash: 65536 with 16 GB",
        .risk = "too low: resets when many leave; dmesg \"too many orphaned sockets\"",
    },
    {
        .key = "net.ipv4.ip_local_port_range",
        .kind = SETTING_SYSCTL,
        .compare = "<>",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_LOAD | SETTING_PROFILE,
        .formula = want_ports,
        .standard = "32768 60999",
        .cost = "ports of local services may be taken: list them in ip_local_reserved_ports",
        .risk = "too small: EADDRNOTAVAIL at 28,232 connections of an address",
    },
    {
        .key = "net.ipv4.tcp_tw_reuse",
        .kind = SETTING_SYSCTL,
        .compare = "=",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_LOAD | SETTING_PROFILE,
        .formula = want_time_wait_reuse,
        .standard = "2",
        .cost = "none with timestamps on",
        .risk = "0: the second run finds no ports for a minute",
    },
    {
        .key = "net.ipv4.tcp_max_tw_buckets",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_LOAD | SETTING_PROFILE,
        .formula = want_time_wait_buckets,
        .standard = "half the connection hash",
        .risk = "too low: late segments meet new connections; TCPTimeWaitOverflow",
    },
    {
        .key = "source addresses",
        .kind = SETTING_ADVICE,
        .source = SOURCE_NOTHING,
        .compare = "",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_LOAD,
        .formula = want_sources,
        .cost = "none",
        .risk = "too few: EADDRNOTAVAIL when the ports of an address are used up",
    },
    {
        .key = "net.netfilter.nf_conntrack_buckets",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER | SETTING_PROFILE | SETTING_OPTIONAL,
        .formula = want_conntrack,
        .profile_above = 262144,
        .standard = "262144 above 4 GB of memory",
        .risk = "a larger maximum alone: long chains, each packet walks them",
    },
    {
        .key = "net.netfilter.nf_conntrack_max",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER | SETTING_PROFILE | SETTING_OPTIONAL | SETTING_AT_START,
        .formula = want_conntrack,
        .profile_above = 262144,
        .standard = "262144",
        .risk = "too low: new connections are dropped in silence; dmesg \"table full, dropping "
                "packet\"",
    },
    {
        .key = "connection tracking",
        .kind = SETTING_ADVICE,
        .source = SOURCE_NOTHING,
        .compare = "",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER,
        .formula = want_notrack,
        .cost = "stateful rules need `ct state untracked accept`",
        .risk = "tracked, a dead client keeps its entry for five days",
    },
    {
        .key = "net.ipv4.tcp_max_syn_backlog",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER,
        .why = "not looked at while tcp_syncookies is 1; the backlog bounds the SYN queue",
        .standard = "128 to 4096",
    },
    {
        .key = "net.ipv4.tcp_fin_timeout",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .unit = "s",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_BOTH,
        .why = "it is not about TIME_WAIT, which is 60 s whatever it says",
        .standard = "60",
    },
    {
        .key = "net.ipv4.ip_local_port_range",
        .kind = SETTING_LEAVE,
        .compare = "..",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER,
        .why = "a server needs one port for all its clients; this is about connections it opens",
        .standard = "32768 60999",
    },
    {
        .key = "net.ipv4.tcp_tw_reuse",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER,
        .why = "for connections that a host opens; a server's are not affected",
        .standard = "2",
    },
    {
        .key = "net.ipv4.tcp_max_tw_buckets",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER,
        .why = "TIME_WAIT takes no port of a server; above it the state is skipped, no "
               "connection is refused",
        .standard = "half the connection hash",
    },
    {
        .key = "TCP_DEFER_ACCEPT",
        .kind = SETTING_LEAVE,
        .source = SOURCE_NOTHING,
        .compare = ".",
        .effect = EFFECT_RESTART,
        .group = GROUP_ACCEPT,
        .flags = SETTING_SERVER,
        .why = "silent connections would fill the SYN queue instead; deadlines.handshake ends them "
               "in any case",
        .standard = "off",
    },
    {
        .key = "net.ipv4.tcp_fastopen",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_BOTH,
        .why = "for sockets that ask for TCP_FASTOPEN, which ours do not",
        .standard = "1",
    },
    {
        .key = "net.ipv4.tcp_tw_recycle",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_ACCEPT,
        .flags = SETTING_BOTH,
        .why = "gone since Linux 4.12: it dropped clients behind NAT",
        .standard = "0",
    },
};

const size_t settings_accept_count = sizeof(settings_accept) / sizeof(settings_accept[0]);
