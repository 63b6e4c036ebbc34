#include "tuning/bounds.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#define BEAT_US       8    /* of a core: both packets, the timer, the record */
#define BEAT_BITS     1296 /* one way on the wire: half of 324 bytes */
#define HANDSHAKE_US  150  /* of a core: 110 the handshake, 40 the kernel's accept */
#define SHARE_PERCENT 50   /* of cores and link that heartbeats may take */
#define GOOGLE_FLOWS  130000u
#define AZURE_FLOWS   500000u

static struct bound *add(struct bounds *bounds, const char *name, uint64_t holds, const char *basis)
{
    ASSERT(bounds->count < BOUNDS_MAX);
    struct bound *bound = &bounds->rows[bounds->count];
    *bound = (struct bound){.name = name, .holds = holds, .basis = basis};
    if (holds < bounds->rows[bounds->first].holds) {
        bounds->first = bounds->count;
    }
    bounds->count++;
    return bound;
}

static PRINTF_LIKE(2, 3) void set_has(struct bound *bound, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(bound->has, sizeof(bound->has), format, arguments);
    va_end(arguments);
}

static PRINTF_LIKE(2, 3) void set_takes(struct bound *bound, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(bound->takes, sizeof(bound->takes), format, arguments);
    va_end(arguments);
}

static void add_memory(struct bounds *bounds, const struct target *target)
{
    char text[TEXT_SIZE];
    /* A small host has a smaller system on it. */
    const uint64_t base =
        target->memory_bytes / 4 < BASE_BYTES ? target->memory_bytes / 4 : BASE_BYTES;
    struct bound *bound =
        add(bounds, "memory", (target->memory_bytes - base) / (CONNECTION_BYTES * 16 / 10),
            "4.7 KB each x 1.6; 2 GB for the host");

    set_has(bound, "%s", text_bytes((double)target->memory_bytes, text));
    set_takes(bound, "%s", text_bytes((double)target_memory_bytes(target), text));
}

static void add_cgroup(struct bounds *bounds, const struct cgroup_memory *memory_max,
                       const struct target *target)
{
    char text[TEXT_SIZE];

    if (memory_max->bytes == 0) {
        return;
    }
    struct bound *bound = add(bounds, memory_max->name, memory_max->bytes / CHARGED_BYTES * 10,
                              "4.7 KB each x 1.3, a page for each tenth");
    set_has(bound, "%s", text_bytes((double)memory_max->bytes, text));
    set_takes(bound, "%s", text_bytes((double)target_charged_bytes(target), text));
}

static void add_cores(struct bounds *bounds, const struct target *target)
{
    const uint64_t interval_ms = target->options.ping_interval_ms;
    const uint64_t beats_us = target->connections * 1000 / interval_ms * BEAT_US;
    const uint64_t storm_us = target->connect_rate * HANDSHAKE_US;
    struct bound *bound =
        add(bounds, "cores, heartbeats",
            (uint64_t)target->cores * SHARE_PERCENT * 10000 / BEAT_US * interval_ms / 1000,
            "8 us each; half of the cores");

    set_has(bound, "%u", target->cores);
    set_takes(bound, "%.2f", (double)beats_us / 1e6);
    /* A storm that outruns the cores takes longer; it bounds the rate, not the connections. */
    bound = add(bounds, "cores, coming back", UINT64_MAX, "150 us a handshake, all cores");
    set_has(bound, "%u", target->cores);
    set_takes(bound, "%.1f, else %.0f s", (double)storm_us / 1e6,
              (double)target->connections * HANDSHAKE_US / 1e6 / target->cores);
}

static void add_link(struct bounds *bounds, const struct target *target)
{
    char text[TEXT_SIZE];
    const uint64_t interval_ms = target->options.ping_interval_ms;
    const double mbit = (double)target->connections * 1000 / (double)interval_ms * BEAT_BITS / 1e6;

    if (target->link_mbit == 0) {
        return;
    }
    struct bound *bound =
        add(bounds, "link, heartbeats",
            (uint64_t)target->link_mbit * 10000 * SHARE_PERCENT / BEAT_BITS * interval_ms / 1000,
            "162 bytes each way; half of the link");
    set_has(bound, "%s Mbit/s", text_count(target->link_mbit, text));
    set_takes(bound, "%.1f Mbit/s", mbit);
}

static void add_rings(struct bounds *bounds, const struct target *target)
{
    char text[TEXT_SIZE];
    struct bound *bound = add(bounds, "rings", (uint64_t)target->threads * RING_TABLE_MAX / 13 * 10,
                              "2^20 a ring, 30 % for uneven spread");

    set_has(bound, "%u", target->threads);
    set_takes(bound, "%s sockets a ring", text_count(target_sockets_per_ring(target), text));
}

static void add_files(struct bounds *bounds, const struct machine *machine,
                      const struct target *target)
{
    char value[HOST_TEXT_MAX];
    char text[TEXT_SIZE];

    if (host_read_sysctl(machine->root, "fs.file-max", value) != HOST_READ) {
        return;
    }
    const uint64_t files = strtoull(value, NULL, 10);
    struct bound *bound = add(bounds, "open files", files > 65536 ? (files - 65536) / 11 * 10 : 0,
                              "one each, x 1.1; fs.file-max");
    if (files > INT64_MAX / 2) {
        set_has(bound, "no limit");
    } else {
        set_has(bound, "%s", text_count(files, text));
    }
    set_takes(bound, "%s", text_count(target->connections * 11 / 10, text));
}

static void add_tracking(struct bounds *bounds, const struct machine *machine,
                         const struct target *target)
{
    char value[HOST_TEXT_MAX];
    char text[TEXT_SIZE];

    if (!target->is_tracked ||
        host_read_sysctl(machine->root, "net.netfilter.nf_conntrack_max", value) != HOST_READ) {
        return;
    }
    const uint64_t entries = strtoull(value, NULL, 10);
    struct bound *bound =
        add(bounds, "connection tracking", entries / 131 * 100, "1.31 entries each; see notrack");
    set_has(bound, "%s entries", text_count(entries, text));
    set_takes(bound, "%s", text_count(target->connections / 100 * 131, text));
}

static void add_provider(struct bounds *bounds, const struct target *target)
{
    char text[TEXT_SIZE];
    uint64_t flows = 0;

    if (target->provider == PROVIDER_AZURE) {
        flows = AZURE_FLOWS;
    } else if (target->provider == PROVIDER_GOOGLE) {
        flows = (uint64_t)GOOGLE_FLOWS * (target->cores < 8 ? target->cores : 8);
    }
    if (flows > 0) {
        struct bound *bound = add(bounds, "provider", flows, "flows that it tracks");
        set_has(bound, "%s flows", text_count(flows, text));
        set_takes(bound, "%s", text_count(target->connections, text));
    }
}

void bounds_find(struct bounds *bounds, const struct machine *machine, const struct target *target)
{
    char text[TEXT_SIZE];

    *bounds = (struct bounds){0};
    add_memory(bounds, target);
    if (!target->is_load_host) {
        add_cgroup(bounds, &machine->memory_max, target);
    }
    add_cores(bounds, target);
    add_link(bounds, target);
    if (!target->is_load_host) {
        add_rings(bounds, target);
    }
    add_files(bounds, machine, target);
    if (!target->is_load_host) {
        add_tracking(bounds, machine, target);
        add_provider(bounds, target);
    }
    if (target->options.connections_max > 0) {
        struct bound *bound = add(bounds, "limits.connections_max", target->options.connections_max,
                                  "the option of limpet");
        set_has(bound, "%s", text_count(target->options.connections_max, text));
        set_takes(bound, "%s", text_count(target->connections, text));
    }
}
