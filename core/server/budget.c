#include "server/budget.h"

#include "base/log.h"
#include "base/tally.h"
#include "base/wheel.h"
#include "server/fanout.h"
#include "server/opening.h"
#include "server/shard.h"
#include "tuning/cgroup.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * What one connection takes, kernel included, when memory is what bounds the host: 4.2 KB of kernel
 * memory and 256 bytes of ours, plus room for what is in flight.
 */
#define CONNECTION_COST       5120u
#define SOCKETS_PER_SHARD_MAX (1u << 20) /* no table is sized by the descriptor limit itself */
#define NODES_MAX             (1u << 24) /* what a pool can hold */
#define FANOUTS_PER_TICK_MAX  512u       /* 4 ms of sends: pings and handshakes wait no longer */
#define TOPICS_MAX            1024u
#define PUBLICATIONS_MAX      4096u
#define QUEUE_BYTES_MIN       (256u << 20) /* of all shards never above half of the memory */
#define SOCKETS_SPARE         64u /* so that a refused connection can still be accepted and answered */

/* What may be used: the machine's, or what the cgroups leave of it, a container's for one. */
struct memory {
    uint64_t bytes;
    const char *name;
};

static struct memory memory_of(const char *root)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);
    const struct cgroup_memory limit = cgroup_memory(root, 0);
    struct memory memory = {.name = "memory, at 5 KB a connection"};

    if (pages > 0 && page_size > 0) {
        memory.bytes = (uint64_t)pages * (uint64_t)page_size;
    }
    if (limit.bytes > 0 && limit.bytes < memory.bytes) {
        memory = (struct memory){.bytes = limit.bytes, .name = limit.name};
    }
    return memory;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* No process may have a higher limit; the most that there is when it cannot be read. */
static rlim_t nr_open(void)
{
    FILE *file = fopen("/proc/sys/fs/nr_open", "re");
    unsigned long value = 0;

    if (file) {
        if (fscanf(file, "%lu", &value) != 1) {
            value = 0;
        }
        (void)fclose(file);
    }
    return value > 0 ? value : RLIM_INFINITY;
}

/*
 * A hard limit above fs.nr_open, which was lowered after it was given: the kernel then refuses to
 * raise the soft one, too, until the hard one comes down.
 */
static bool lower_to_nr_open(struct rlimit *limit)
{
    const rlim_t most = nr_open();
    const struct rlimit lowered = {.rlim_cur = most, .rlim_max = most};

    if (limit->rlim_max <= most || limit->rlim_cur >= most ||
        setrlimit(RLIMIT_NOFILE, &lowered) != 0) {
        return false;
    }
    LOG(LOG_WARN, "RLIMIT_NOFILE is above fs.nr_open and is lowered to it",
        log_number("nr_open", (int64_t)most),
        log_text("fix", "sysctl -w fs.nr_open=<LimitNOFILE>, before the server starts"));
    *limit = lowered;
    return true;
}

/* Raises the soft limit to the hard one, up to what tables may use; the kernel checks the soft one.
 */
static uint32_t raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    rlim_t wanted = limit.rlim_max < SOCKETS_PER_SHARD_MAX ? limit.rlim_max : SOCKETS_PER_SHARD_MAX;
    if (limit.rlim_cur < wanted) {
        struct rlimit raised = {.rlim_cur = wanted, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            limit = raised;
        } else if (!lower_to_nr_open(&limit)) {
            LOG(LOG_WARN, "RLIMIT_NOFILE cannot be raised",
                log_number("soft", (int64_t)limit.rlim_cur),
                log_text("error", strerrordesc_np(errno)));
        }
    }
    return limit.rlim_cur < SOCKETS_PER_SHARD_MAX ? (uint32_t)limit.rlim_cur
                                                  : SOCKETS_PER_SHARD_MAX;
}

/*
 * SO_REUSEPORT spreads connections by hash: a shard gets its share give or take a few standard
 * deviations (measured: 2 % at 18,500 a shard, 13 % at 400). Room for six sigma, and for
 * handshakes.
 */
static uint32_t sockets_for(uint32_t share, uint32_t handshakes_max)
{
    uint32_t sigma = 1;

    while (sigma * sigma < share) {
        sigma++;
    }
    return share + 6 * sigma + handshakes_max + SOCKETS_SPARE;
}

static uint32_t next_power_of_two(uint32_t value)
{
    uint32_t power = 1;

    while (power < value) {
        power *= 2;
    }
    return power;
}

static int budget_sockets(const struct options *options, const struct memory *memory,
                          struct budget *budget, char *message, size_t message_size)
{
    uint32_t descriptors = raise_descriptors();
    uint64_t by_memory = memory->bytes / CONNECTION_COST;
    uint64_t by_descriptors = (uint64_t)descriptors * budget->shard_count;
    uint64_t wanted = options->limits.connections_max;

    if (descriptors < 256) {
        (void)snprintf(message, message_size,
                       "RLIMIT_NOFILE is %u: too low to serve; raise it (ulimit -n, LimitNOFILE=)",
                       descriptors);
        return -1;
    }
    if (wanted == 0) {
        /* Sockets in handshake need slots beside the open ones. */
        wanted = by_descriptors - by_descriptors / 8;
        budget->bound_by = "RLIMIT_NOFILE x shards (raise LimitNOFILE= or --shards)";
        if (by_memory < wanted) {
            wanted = by_memory;
            budget->bound_by = memory->name;
        }
        budget->sockets_max = descriptors;
    } else {
        uint32_t share = (uint32_t)((wanted + budget->shard_count - 1) / budget->shard_count);
        uint32_t sockets = sockets_for(share, options->limits.handshakes_max);
        budget->bound_by = "option limits.connections_max";
        if (share >= descriptors) {
            (void)snprintf(
                message, message_size,
                "limits.connections_max %llu needs %u sockets in each of %u shards, but "
                "RLIMIT_NOFILE is %u: raise it (ulimit -n, LimitNOFILE=), or run --shards %llu",
                (unsigned long long)wanted, sockets, budget->shard_count, descriptors,
                1 + (unsigned long long)wanted / (descriptors - descriptors / 10));
            return -1;
        }
        budget->sockets_max = min_u32(sockets, descriptors);
    }
    budget->connections_max = wanted > UINT32_MAX ? UINT32_MAX : (uint32_t)wanted;
    return 0;
}

static uint64_t queue_bytes_for(const struct memory *memory, uint32_t shard_count)
{
    const uint64_t share = memory->bytes / 8 / shard_count;
    const uint64_t most = memory->bytes / 2 / shard_count;
    const uint64_t least = most < QUEUE_BYTES_MIN ? most : QUEUE_BYTES_MIN;

    return share > least ? share : least;
}

int budget_make(const struct options *options, const char *root, struct budget *budget,
                char *message, size_t message_size)
{
    const struct memory memory = memory_of(root);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    *budget = (struct budget){0};
    budget->shard_count = options->shards ? options->shards : (uint32_t)(cores > 0 ? cores : 1);
    if (budget->shard_count > SHARDS_MAX) {
        (void)snprintf(message, message_size, "shards: %u is more than %u", budget->shard_count,
                       SHARDS_MAX);
        return -1;
    }
    if (budget_sockets(options, &memory, budget, message, message_size) != 0) {
        return -1;
    }
    budget->openings_max = budget->sockets_max;
    budget->handshakes_max = min_u32(options->limits.handshakes_max, budget->sockets_max);
    budget->partials_max = budget->sockets_max;
    budget->channels_max = options->limits.channels_max;
    budget->subscriptions_max = options->limits.subscriptions_max
                                    ? options->limits.subscriptions_max
                                    : 2 * budget->sockets_max;
    budget->fanouts_per_tick_max = FANOUTS_PER_TICK_MAX;
    budget->topics_max = TOPICS_MAX;
    budget->publications_max = PUBLICATIONS_MAX;
    budget->queue_bytes_max = options->limits.shard_queue_bytes_max;
    if (budget->queue_bytes_max == 0) {
        budget->queue_bytes_max = queue_bytes_for(&memory, budget->shard_count);
    }
    budget->arena_size = next_power_of_two(options->limits.arena_size);
    /* As many as the smallest messages that the arena holds, and four each for shared ones. */
    uint32_t blocks = (uint32_t)(budget->arena_size / ARENA_BLOCK_MIN);
    budget->nodes_max = min_u32(4 * budget->sockets_max + blocks, NODES_MAX);
    return 0;
}

static void print_row(FILE *out, const char *name, uint64_t count, uint64_t size,
                      const char *per_connection)
{
    uint64_t total = count * size;

    (void)fprintf(out, "  %-28s %10llu x %8llu B = %9.1f MB   %s\n", name,
                  (unsigned long long)count, (unsigned long long)size, (double)total / 1048576,
                  per_connection);
}

void budget_print(const struct budget *budget, const struct options *options, FILE *out)
{
    uint32_t buffers = options->limits.receive_buffer_count;

    (void)fprintf(out,
                  "budget of one shard (%u shards; memory is reserved now, used when touched)\n",
                  budget->shard_count);
    print_row(out, "connection", budget->sockets_max, sizeof(struct conn), "64 B idle");
    print_row(out, "TLS state, AES-128-GCM", budget->sockets_max,
              tls_class_size(TLS_CLASS_1_3_AES_128), "144 B idle (64 to 208 by suite)");
    print_row(out, "timer", budget->sockets_max, sizeof(struct wheel_entry), "12 B idle");
    print_row(out, "first subscription", budget->sockets_max, 4, "4 B idle");
    print_row(out, "subscription", budget->subscriptions_max, 14,
              "14 B idle, each, with its place");
    print_row(out, "opening", budget->openings_max, sizeof(struct opening), "until open");
    print_row(out, "handshake (library heap)", budget->handshakes_max, 12288, "in flight");
    print_row(out, "partial input", budget->partials_max, sizeof(struct partial), "when cut");
    print_row(out, "queued message", budget->nodes_max, sizeof(struct queue_node), "waiting");
    print_row(out, "topic", budget->topics_max, FANOUT_TOPIC_SIZE, "during a fan-out");
    print_row(out, "order of age", budget->sockets_max, 8, "during a drain");
    print_row(out, "arena", 1, budget->arena_size, "sends, partial records, messages, names");
    print_row(out, "receive buffers", buffers, options->limits.receive_buffer_size, "shared");
    if (options->upgrade.deflate) {
        print_row(out, "compression", 1, deflate_memory_size(options->limits.message_size_max),
                  "shared");
    }
    print_row(out, "mailbox", 1, options->limits.mailbox_size, "shared");
    (void)fprintf(
        out,
        "an idle connection with one channel: 240 B of ours, and about 4.2 KB of the kernel's\n"
        "holds up to %u connections; bounded by %s\n",
        budget->connections_max, budget->bound_by);
}
