/*
 * The network: heartbeats against the boxes in between, the interface, the provider.
 */
#include "tuning/settings_parts.h"

#define HEARTBEAT_MAX_MS   60000u
#define GOOGLE_FLOWS       130000u /* for each virtual CPU, up to eight of them */
#define AZURE_CONNECTIONS  500000u
#define QUEUE_INTERVAL_MIN 1000u
#define COALESCING_PACKETS 20000u /* a second and queue */

static void want_heartbeat(const struct target *target, struct want *want)
{
    const uint64_t seconds = (target->options.ping_interval_ms + QUEUE_INTERVAL_MIN - 1) / 1000;

    want_number(want, HEARTBEAT_MAX_MS,
                "below every idle limit in between: 240 s Azure, 270 to 350 s other balancers, "
                "some mobile NATs 1 to 2 min; %s / %llu s = %s heartbeats a second",
                COUNT(target->connections), (unsigned long long)seconds,
                COUNT(target->connections / seconds));
}

static void want_user_timeout(const struct target *target, struct want *want)
{
    want_number(want, target->options.ping_interval_ms,
                "a dead client has an unanswered ping after one heartbeat (%.0f s); without it the "
                "kernel sends again for 924 s",
                (double)target->options.ping_interval_ms / 1000);
}

static void want_neighbours(const struct target *target, struct want *want, uint64_t number)
{
    if (!target->is_load_host && !target->is_in_lab) {
        want_nothing(want, "clients come through a router: one neighbour");
        return;
    }
    want_number(want, number,
                "in a lab all source addresses of a load test are neighbours: %s for %s "
                "connections",
                COUNT(target->connections / 64512 + 1), COUNT(target->connections));
}

static void want_neighbours_1(const struct target *target, struct want *want)
{
    want_neighbours(target, want, 1024);
}

static void want_neighbours_2(const struct target *target, struct want *want)
{
    want_neighbours(target, want, 4096);
}

static void want_neighbours_3(const struct target *target, struct want *want)
{
    want_neighbours(target, want, 8192);
}

static void want_queues(const struct target *target, struct want *want)
{
    if (target->is_steered) {
        want_nothing(want, "packets are steered to all cores by software");
        return;
    }
    want_number(want, target->threads,
                "one receive queue for each of %u threads: else a packet changes its CPU on the "
                "way. ethtool -L IF combined %u, or by software: rps_cpus",
                target->threads, target->threads);
}

static void want_no_rps(const struct target *target, struct want *want)
{
    if (target->rx_queues < target->threads) {
        want_nothing(want, "fewer queues (%u) than threads (%u): steering by software helps",
                     target->rx_queues, target->threads);
        return;
    }
    want_text(want, "0", "%u queues for %u threads: the interface spreads packets by itself",
              target->rx_queues, target->threads);
}

static void want_interrupts(const struct target *target, struct want *want)
{
    const uint32_t cpus = target->rx_queues < target->cores ? target->rx_queues : target->cores;

    if (cpus == 0) {
        want_nothing(want, "the interface has no queues that are known");
        return;
    }
    want_number(want, cpus,
                "%u queues on %u cores: queue i interrupts CPU i. Write i to its "
                "/proc/irq/N/smp_affinity_list, at every boot",
                target->rx_queues, target->cores);
}

/* Three packets a heartbeat: ping, pong, acknowledgement. */
static void want_coalescing(const struct target *target, struct want *want)
{
    const uint64_t queues = target->rx_queues > 0 ? target->rx_queues : 1;
    const uint64_t packets = target->connections * 3000 / target->options.ping_interval_ms / queues;

    if (packets < COALESCING_PACKETS) {
        want_nothing(want,
                     "%s heartbeats x 3 / %.0f s / %llu queues = %s packets a second: below %s it "
                     "changes nothing",
                     COUNT(target->connections), (double)target->options.ping_interval_ms / 1000,
                     (unsigned long long)queues, COUNT(packets), COUNT(COALESCING_PACKETS));
        return;
    }
    want_text(want, "adaptive-rx on, or rx-usecs 30 to 100",
              "%s heartbeats x 3 / %.0f s / %llu queues = %s packets a second. ethtool -c IF shows "
              "it; by software: napi_defer_hard_irqs with gro_flush_timeout",
              COUNT(target->connections), (double)target->options.ping_interval_ms / 1000,
              (unsigned long long)queues, COUNT(packets));
}

static void want_no_irqbalance(const struct target *target, struct want *want)
{
    want_text(want, "not running",
              "interrupts stay where they were put, for %u shards; it would move them about",
              target->threads);
}

static void want_no_busy_poll(const struct target *target, struct want *want)
{
    want_number(want, 0,
                "%s connections are silent nearly always: a core a queue would be burnt to save "
                "10 us that nobody sees",
                COUNT(target->connections));
}

static void want_no_flow_table(const struct target *target, struct want *want)
{
    if (target->rx_queues < target->threads) {
        want_nothing(want, "fewer queues (%u) than threads (%u): steering by software may use it",
                     target->rx_queues, target->threads);
        return;
    }
    want_number(want, 0,
                "%u queues for %u threads spread packets by themselves; %s flows only churn the "
                "table of RFS",
                target->rx_queues, target->threads, COUNT(target->connections));
}

static void want_performance(const struct target *target, struct want *want)
{
    want_text(
        want, "performance",
        "shards sleep between heartbeats (%.0f a millisecond): a slow clock is late each time",
        (double)target->connections / target->options.ping_interval_ms);
}

static void want_provider(const struct target *target, struct want *want)
{
    const uint64_t vcpus = target->cores < 8 ? target->cores : 8;

    switch (target->provider) {
    case PROVIDER_AWS:
        want_text(want, "untracked rules",
                  "a security group tracks connections unless it allows 0.0.0.0/0 on the port both "
                  "ways; watch conntrack_allowance_exceeded in ethtool -S for %s of them",
                  COUNT(target->connections));
        return;
    case PROVIDER_AZURE:
        want_text(want, target->connections > AZURE_CONNECTIONS ? "several hosts" : "one host",
                  "a virtual machine has 500,000 flows each way here; the target is %s",
                  COUNT(target->connections));
        return;
    case PROVIDER_GOOGLE:
        want_text(want, target->connections > vcpus * GOOGLE_FLOWS ? "several hosts" : "one host",
                  "the firewall tracks 130,000 x %llu virtual CPUs = %s; the target is %s",
                  (unsigned long long)vcpus, COUNT(vcpus * GOOGLE_FLOWS),
                  COUNT(target->connections));
        return;
    case PROVIDER_NONE:
        break;
    }
    want_nothing(want, "no provider is known of; firewalls in front must hold %s flows",
                 COUNT(target->connections));
}

const struct setting settings_network[] = {
    {
        .key = "heartbeat.ping_interval",
        .kind = SETTING_OPTION,
        .source = SOURCE_PING_INTERVAL,
        .compare = "<",
        .unit = "ms",
        .effect = EFFECT_RESTART,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER,
        .formula = want_heartbeat,
        .standard = "25 s",
        .cost = "324 bytes on the wire and about 8 us of a core each",
        .risk = "too long: a box in between forgets the connection, both ends learn it late",
    },
    {
        .key = "tcp_user_timeout",
        .kind = SETTING_OPTION,
        .source = SOURCE_USER_TIMEOUT,
        .compare = ">",
        .unit = "ms",
        .effect = EFFECT_RESTART,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER,
        .formula = want_user_timeout,
        .standard = "30 s",
        .cost = "none",
        .risk = "too short: phones in tunnels are cut off; TCPAbortOnTimeout",
    },
    {
        .key = "net.ipv4.neigh.default.gc_thresh3",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_PROFILE | SETTING_OPTIONAL,
        .formula = want_neighbours_3,
        .standard = "1024",
        .cost = "0.5 KB a neighbour",
        .risk = "too low: dmesg \"neighbour table overflow\"",
    },
    {
        .key = "net.ipv4.neigh.default.gc_thresh2",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_PROFILE | SETTING_OPTIONAL,
        .formula = want_neighbours_2,
        .standard = "512",
        .cost = "none by itself",
        .risk = "too low: neighbours are thrown out after five seconds",
    },
    {
        .key = "net.ipv4.neigh.default.gc_thresh1",
        .kind = SETTING_SYSCTL,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_PROFILE | SETTING_OPTIONAL,
        .formula = want_neighbours_1,
        .standard = "128",
        .cost = "none by itself",
        .risk = "too low: neighbours are asked for again and again",
    },
    {
        .key = "net.core.busy_poll",
        .kind = SETTING_SYSCTL,
        .compare = "=",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER | SETTING_OPTIONAL | SETTING_RISKY,
        .formula = want_no_busy_poll,
        .standard = "0",
        .cost = "none",
        .risk = "above 0: idle cores spin",
    },
    {
        .key = "net.core.busy_read",
        .kind = SETTING_SYSCTL,
        .compare = "=",
        .effect = EFFECT_NEW_SOCKETS,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER | SETTING_OPTIONAL | SETTING_RISKY,
        .formula = want_no_busy_poll,
        .standard = "0",
        .cost = "none",
        .risk = "above 0: cores spin where they would sleep",
    },
    {
        .key = "net.core.rps_sock_flow_entries",
        .kind = SETTING_SYSCTL,
        .compare = "=",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .formula = want_no_flow_table,
        .standard = "0",
        .cost = "none",
        .risk = "above 0: a table of flows that each packet looks at, and a crowd only churns",
    },
    {
        .key = "receive queues",
        .kind = SETTING_ADVICE,
        .source = SOURCE_QUEUES,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .formula = want_queues,
        .standard = "by driver",
        .cost = "256 MB at 32 queues of 4,096 entries; leave the ring sizes",
        .risk = "too few: one core takes the interrupts for all shards",
    },
    {
        .key = "receive packet steering",
        .kind = SETTING_ADVICE,
        .source = SOURCE_RPS,
        .compare = "",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .formula = want_no_rps,
        .standard = "0",
        .cost = "none",
        .risk = "on: packets are handed from one core to another",
    },
    {
        .key = "CPUs with interrupts",
        .kind = SETTING_ADVICE,
        .source = SOURCE_INTERRUPTS,
        .compare = ">",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .formula = want_interrupts,
        .standard = "by driver, spread",
        .cost = "none",
        .risk = "fewer: one core takes the packets of many shards",
    },
    {
        .key = "interrupt coalescing",
        .kind = SETTING_ADVICE,
        .source = SOURCE_NOTHING,
        .compare = "",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER,
        .formula = want_coalescing,
        .standard = "by driver",
        .cost = "a packet waits for up to 0.1 ms",
        .risk = "off: an interrupt for nearly every packet",
    },
    {
        .key = "irqbalance",
        .kind = SETTING_ADVICE,
        .source = SOURCE_IRQBALANCE,
        .compare = "",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER,
        .formula = want_no_irqbalance,
        .standard = "by distribution",
        .cost = "none on a dedicated host",
        .risk = "running: packets arrive on one core and are handled on another",
    },
    {
        .key = "frequency governor",
        .kind = SETTING_ADVICE,
        .source = SOURCE_FILE,
        .place = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        .compare = "",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .formula = want_performance,
        .standard = "schedutil or powersave",
        .cost = "power",
        .risk = "others: the clock is low whenever a shard wakes",
    },
    {
        .key = "provider",
        .kind = SETTING_ADVICE,
        .source = SOURCE_NOTHING,
        .compare = "",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .formula = want_provider,
        .cost = "none",
        .risk = "connections are dropped outside of this host, where it counts nothing",
    },
    {
        .key = "net.core.netdev_max_backlog",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "only loopback, veth and RPS use that queue, no interface with NAPI",
        .standard = "1000",
    },
    {
        .key = "net.ipv4.tcp_keepalive_time",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .unit = "s",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH,
        .why = "only for sockets with SO_KEEPALIVE, which ours are not: heartbeats do its work",
        .standard = "7200",
    },
    {
        .key = "net.core.netdev_budget",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .unit = "packets",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "of one turn of the network, for all queues of a core; it is too small when "
               "softnet squeezed grows fast",
        .standard = "300",
    },
    {
        .key = "net.core.netdev_budget_usecs",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .unit = "us",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "two ticks, the time of one turn of the network; it is too small when softnet "
               "squeezed grows fast",
        .standard = "2 ticks: 8000 at 250 Hz",
    },
    {
        .key = "ring sizes",
        .kind = SETTING_LEAVE,
        .source = SOURCE_NOTHING,
        .compare = "",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH,
        .why = "512 to 1024 entries (ethtool -g IF) are enough; 4,096 x 32 queues x 2 KB would "
               "be 256 MB, for when rx_missed, no_buf or out_of_buffer of ethtool -S grow",
        .standard = "by driver",
    },
    {
        .key = "offloads",
        .kind = SETTING_LEAVE,
        .source = SOURCE_NOTHING,
        .compare = "",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH,
        .why = "GRO and TSO on, LRO off (ethtool -k IF), as drivers have them: for messages to "
               "all; heartbeats do not notice",
        .standard = "by driver",
    },
    {
        .key = "transmit packet steering",
        .kind = SETTING_LEAVE,
        .source = SOURCE_XPS,
        .compare = "",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .why = "the driver knows its queues; with one for each thread it is right (xps_cpus)",
        .standard = "by driver",
    },
    {
        .key = "isolcpus",
        .kind = SETTING_LEAVE,
        .source = SOURCE_FILE,
        .place = "/sys/devices/system/cpu/isolated",
        .compare = "",
        .effect = EFFECT_REBOOT,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .why = "nor nohz_full: system calls get dearer, and the network's interrupts land "
               "there all the same",
        .standard = "none",
    },
    {
        .key = "net.ipv4.tcp_congestion_control",
        .kind = SETTING_LEAVE,
        .compare = "",
        .effect = EFFECT_NEW_SOCKETS,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH,
        .why = "cubic or bbr take no memory of their own, and heartbeats of 30 bytes gain "
               "nothing from either",
        .standard = "cubic",
    },
    {
        .key = "net.core.default_qdisc",
        .kind = SETTING_LEAVE,
        .compare = "",
        .effect = EFFECT_REBOOT,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "for new interfaces alone; fq paces what bbr sends, heartbeats need no pace",
        .standard = "fq_codel or pfifo_fast, by distribution",
    },
    {
        .key = "net.ipv4.tcp_low_latency",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "has no effect any more",
        .standard = "0",
    },
    {
        .key = "net.ipv4.tcp_fack",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "has no effect any more",
        .standard = "0",
    },
    {
        .key = "net.ipv4.route.max_size",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "IPv4 has had no cache of routes since Linux 3.6",
        .standard = "2147483647",
    },
    {
        .key = "net.ipv6.route.max_size",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "without a bound on the kernels of Debian 12 and 13",
        .standard = "2147483647",
    },
    {
        .key = "net.ipv6.bindv6only",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NEW_SOCKETS,
        .group = GROUP_NETWORK,
        .flags = SETTING_SERVER | SETTING_OPTIONAL,
        .why = "the server sets IPV6_V6ONLY on its sockets, whatever this says",
        .standard = "0",
    },
    {
        .key = "net.ipv4.inet_peer_threshold",
        .kind = SETTING_LEAVE,
        .compare = ".",
        .effect = EFFECT_NOW,
        .group = GROUP_NETWORK,
        .flags = SETTING_BOTH | SETTING_OPTIONAL,
        .why = "for limits on ICMP and for fragments, not for connections",
        .standard = "by memory",
    },
};

const size_t settings_network_count = sizeof(settings_network) / sizeof(settings_network[0]);
