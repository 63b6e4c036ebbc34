#include "bench/plan.h"

#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <sys/resource.h>
#include <unistd.h>

/* The kernel looks for a free port of an address from a random start; up to here it finds one at
 * once. */
#define LOOPBACK_SOURCE_FILL 4 /* one port in four is used */
#define LOOPBACK_SOURCES_MAX ((1u << 24) - (1u << 17))
#define NO_BOUND             1000000000u /* shown as none */
#define DESCRIPTORS_OWN      64          /* files of the program itself, besides sockets */
#define MEMORY_SHARE_PERCENT 92          /* of what is available; the rest is for everyone else */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint32_t divide_up(uint64_t value, uint64_t by)
{
    return (uint32_t)((value + by - 1) / by);
}

static void plan_sources(struct plan *plan, const struct plan_limits *limits,
                         const struct plan_wish *wish)
{
    uint64_t ports = limits->port_last - limits->port_first + 1;

    if (wish->source_count > 0) {
        plan->source_count = wish->source_count;
        plan->bounds[BOUND_PORTS] = ports * wish->source_count;
    } else if (wish->target_loopback_4) {
        uint64_t fill = ports < LOOPBACK_SOURCE_FILL ? 1 : ports / LOOPBACK_SOURCE_FILL;
        plan->source_count = divide_up(wish->connections, fill);
        plan->bounds[BOUND_PORTS] = fill * LOOPBACK_SOURCES_MAX;
    } else {
        plan->source_count = 0;
        plan->bounds[BOUND_PORTS] = ports;
    }
}

static void plan_rings(struct plan *plan, const struct plan_limits *limits,
                       const struct plan_wish *wish)
{
    uint32_t rings = divide_up(wish->connections, limits->descriptors_max);

    /* As many for each thread. */
    plan->rings = divide_up(rings, wish->threads) * wish->threads;
    plan->sockets_per_ring = divide_up(wish->connections, plan->rings);
}

void plan_make(struct plan *plan, const struct plan_limits *limits, const struct plan_wish *wish)
{
    uint32_t ends = wish->server_here ? 2 : 1;
    uint64_t kernel_each = (uint64_t)ends * PLAN_KERNEL_BYTES_EACH_END;
    uint64_t user_each = wish->own_bytes + (wish->server_here ? PLAN_SERVER_USER_BYTES : 0);
    uint64_t fixed = (uint64_t)wish->in_flight_max * wish->work_bytes;

    ASSERT(wish->connections > 0);
    ASSERT(wish->threads > 0);
    ASSERT(limits->port_first <= limits->port_last);
    ASSERT(limits->descriptors_max > 0);
    *plan = (struct plan){0};
    plan_sources(plan, limits, wish);
    plan_rings(plan, limits, wish);
    plan->kernel_bytes = wish->connections * kernel_each;
    plan->user_bytes = wish->connections * user_each + fixed;

    uint64_t files_reserved = limits->files_used + DESCRIPTORS_OWN;
    plan->bounds[BOUND_FILES] = UINT64_MAX;
    if (limits->files_max > 0) {
        plan->bounds[BOUND_FILES] =
            limits->files_max > files_reserved ? (limits->files_max - files_reserved) / ends : 0;
    }
    uint64_t memory = limits->memory_available / 100 * MEMORY_SHARE_PERCENT;
    plan->bounds[BOUND_MEMORY] = memory > fixed ? (memory - fixed) / (kernel_each + user_each) : 0;
    plan->bounds[BOUND_CONNTRACK] =
        limits->conntrack_max == 0
            ? UINT64_MAX
            : limits->conntrack_max - min_u64(limits->conntrack_used, limits->conntrack_max);

    plan->tightest = BOUND_PORTS;
    for (enum plan_bound bound = BOUND_PORTS; bound < BOUNDS; bound++) {
        if (plan->bounds[bound] < plan->bounds[plan->tightest]) {
            plan->tightest = bound;
        }
    }
    plan->connections_max = plan->bounds[plan->tightest];
}

void plan_loopback_source(uint32_t index, struct sockaddr_in6 *source)
{
    /* From 127.1.0.1 on, without 0 and 255 at the end: nothing else lives there. */
    uint32_t low = index % 254 + 1;
    uint32_t high = index / 254 + (1u << 8);
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(127u << 24 | (high & 0xffffu) << 8 | low),
    };

    *source = (struct sockaddr_in6){0};
    memcpy(source, &address, sizeof(address));
}

double plan_ports_used(uint32_t connections, uint32_t source_count,
                       const struct plan_limits *limits)
{
    /* connect() takes every second port as long as there are any (inet_hash_connect). */
    double ports = (double)(limits->port_last - limits->port_first + 1);
    double each = (double)connections / (source_count == 0 ? 1 : source_count);
    double half = ports / 2;

    if (each >= half) {
        return each < ports ? each : ports;
    }
    return half * (1 - pow(1 - each / half, source_count == 0 ? 1 : source_count));
}

uint32_t plan_server_shards(uint32_t connections, uint32_t descriptors_max, uint32_t cores)
{
    /* Shards are chosen by a hash: a shard gets mean + a few times sqrt(mean); six and some room
     * for sockets on their way in and out. */
    double room = (double)descriptors_max * 0.99;
    double root = (sqrt(36 + 4 * room) - 6) / 2;
    double mean_max = root * root;
    uint32_t needed = (uint32_t)ceil((double)connections / (mean_max < 1 ? 1 : mean_max));

    return needed > cores ? needed : cores;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Up to two numbers from a file; those that are not there stay as they are. */
static bool read_numbers(const char *path, uint64_t *first, uint64_t *second)
{
    FILE *file = fopen(path, "re");
    uint64_t values[2];

    if (!file) {
        return false;
    }
    int count = fscanf(file, "%" SCNu64 " %" SCNu64, &values[0], &values[1]);
    (void)fclose(file);
    if (count >= 1) {
        *first = values[0];
    }
    if (count >= 2 && second) {
        *second = values[1];
    }
    return count >= 1;
}

static uint64_t memory_available(void)
{
    char line[256];
    uint64_t kib = 0;
    FILE *file = fopen("/proc/meminfo", "re");

    if (!file) {
        return UINT64_MAX / 1024;
    }
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1) {
            break;
        }
    }
    (void)fclose(file);
    return kib * 1024;
}

static uint32_t raise_descriptors(void)
{
    struct rlimit limit;

    ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) { /* above fs.nr_open: keep the soft one */
            ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
        }
    }
    /* The kernel's own bound of a ring's table. */
    return limit.rlim_cur > 1u << 20 ? 1u << 20 : (uint32_t)limit.rlim_cur;
}

void plan_read_limits(struct plan_limits *limits)
{
    uint64_t first = 32768;
    uint64_t last = 60999;
    uint64_t used = 0;

    *limits = (struct plan_limits){.descriptors_max = raise_descriptors(),
                                   .memory_available = memory_available()};
    (void)read_numbers("/proc/sys/net/ipv4/ip_local_port_range", &first, &last);
    limits->port_first = (uint32_t)first;
    limits->port_last = (uint32_t)last;
    if (geteuid() != 0) { /* root may pass fs.file-max */
        (void)read_numbers("/proc/sys/fs/file-max", &limits->files_max, NULL);
        (void)read_numbers("/proc/sys/fs/file-nr", &limits->files_used, NULL);
    }
    /* The module may be loaded and no rule use it: then nothing is counted. */
    if (read_numbers("/proc/sys/net/netfilter/nf_conntrack_count", &used, NULL) && used > 0) {
        limits->conntrack_used = used;
        (void)read_numbers("/proc/sys/net/netfilter/nf_conntrack_max", &limits->conntrack_max,
                           NULL);
    }
}

/* --- printing --------------------------------------------------------------------------------- */

static const char *bound_name(enum plan_bound bound)
{
    static const char *const names[BOUNDS] = {"ports x addresses", "open files", "memory",
                                              "connection tracking"};
    return names[bound];
}

static const char *bound_advice(enum plan_bound bound)
{
    static const char *const advice[BOUNDS] = {
        "give more local addresses with --source, or widen net.ipv4.ip_local_port_range",
        "raise fs.file-max",
        "use a machine with more memory, or put the server on another one",
        "raise net.netfilter.nf_conntrack_max, or leave the server's port untracked (NOTRACK)",
    };
    return advice[bound];
}

void plan_print(const struct plan *plan, const struct plan_limits *limits,
                const struct plan_wish *wish, FILE *out)
{
    char count[TEXT_SIZE];
    char size[TEXT_SIZE];

    text_print(out, "This machine allows%s\n", wish->server_here ? " (both ends are on it)" : "");
    for (enum plan_bound bound = BOUND_PORTS; bound < BOUNDS; bound++) {
        if (plan->bounds[bound] > NO_BOUND) {
            text_print(out, "  %-20s no bound\n", bound_name(bound));
            continue;
        }
        text_print(out, "  %-20s %s connections%s\n", bound_name(bound),
                   text_count(plan->bounds[bound], count),
                   bound == plan->tightest ? "  <- the first to be hit" : "");
    }
    text_print(out, "Plan: %s connections", text_count(wish->connections, count));
    text_print(out, " on %" PRIu32 " ring%s of %s sockets (at most %" PRIu32 " descriptors each)",
               plan->rings, plan->rings == 1 ? "" : "s", text_count(plan->sockets_per_ring, count),
               limits->descriptors_max);
    text_print(
        out, ", from %" PRIu32 " address%s, ports %" PRIu32 "-%" PRIu32 "; about %s of kernel",
        plan->source_count == 0 ? 1 : plan->source_count, plan->source_count <= 1 ? "" : "es",
        limits->port_first, limits->port_last, text_bytes((double)plan->kernel_bytes, size));
    text_print(out, " and %s of user memory\n", text_bytes((double)plan->user_bytes, size));
    if (wish->connections > plan->connections_max) {
        text_print(out, "That is too much for this machine: %s. Either %s, or -n %" PRIu64 ".\n",
                   bound_name(plan->tightest), bound_advice(plan->tightest), plan->connections_max);
    }
}
