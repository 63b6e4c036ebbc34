#include "bench/measure.h"

#include "bench/scrape.h"
#include "io/listener.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define PINGS_METRIC   "limpet_pings_sent_total"
#define HEARTBEATS_MIN 100 /* fewer say nothing about the cost of one */
#define REFERENCE_MIN  1000
#define HELD_NS_MIN    1e9 /* a shorter hold says nothing about what holding costs */

void measure_open(struct measure *measure, const struct bench_options *options, int server_pid,
                  const struct sockaddr_in6 *admin)
{
    *measure = (struct measure){.cgroup_path = options->cgroup_path};
    if (process_tree(&measure->process, server_pid) != 0) {
        measure->process.count = 0;
    }
    if (admin) {
        measure->admin = *admin;
        measure->has_admin = true;
    } else if (options->admin) {
        measure->has_admin = address_parse(slice_text(options->admin), &measure->admin) == 0;
    }
    char *body;
    if (measure->has_admin) {
        measure->has_admin = scrape_get(&measure->admin, "/metrics", &body) == 200;
        free(body);
    }
    measure->has_slabs = slabs_read(&measure->slabs_before) == 0;
}

static uint64_t own_cpu_ns(void)
{
    struct timespec used = {0};

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static double pings_sent(const struct measure *measure)
{
    char *body;
    double pings = NAN;

    if (measure->has_admin) {
        if (scrape_get(&measure->admin, "/metrics", &body) == 200 && body) {
            pings = scrape_sum(body, PINGS_METRIC);
        }
        free(body);
    }
    return pings;
}

void measure_mark(const struct measure *measure, struct reading *reading, uint64_t open,
                  uint64_t pings_answered)
{
    *reading = (struct reading){.open = open, .pings_answered = pings_answered, .pings = NAN};
    reading->time_ns = client_clock();
    reading->cpu_ns = process_cpu_ns(&measure->process);
    reading->own_cpu_ns = own_cpu_ns();
}

void measure_take(const struct measure *measure, struct reading *reading, uint64_t open,
                  uint64_t pings_answered)
{
    double pings = pings_sent(measure); /* first: what it costs is none of what follows */

    measure_mark(measure, reading, open, pings_answered);
    reading->pings = pings;
}

/* --- this machine ----------------------------------------------------------------------------- */

/* A counter of /proc/net/netstat: a line of names, then a line of values, each with the same
 * prefix. */
static double netstat(const char *name)
{
    static char names[8192];
    static char values[8192];
    double found = NAN;
    FILE *file = fopen("/proc/net/netstat", "re");

    if (!file) {
        return NAN;
    }
    while (fgets(names, sizeof(names), file) && fgets(values, sizeof(values), file)) {
        char *names_rest = names;
        char *values_rest = values;
        char *one;
        while ((one = strsep(&names_rest, " \n")) != NULL && values_rest) {
            const char *value = strsep(&values_rest, " \n");
            if (strcmp(one, name) == 0) {
                found = strtod(value, NULL);
            }
        }
    }
    (void)fclose(file);
    return found;
}

/* Kernel memory of a cgroup (v2): "kernel" of memory.stat, and "sock". */
static double cgroup_kernel(const char *folder)
{
    char path[4096];
    char line[128];
    double sum = NAN;

    (void)snprintf(path, sizeof(path), "%s/memory.stat", folder);
    FILE *file = fopen(path, "re");
    if (!file) {
        return NAN;
    }
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, "kernel ", 7) == 0) {
            sum = (isnan(sum) ? 0 : sum) + strtod(line + 7, NULL);
        } else if (strncmp(line, "sock ", 5) == 0) {
            sum = (isnan(sum) ? 0 : sum) + strtod(line + 5, NULL);
        }
    }
    (void)fclose(file);
    return sum;
}

/* --- memory ----------------------------------------------------------------------------------- */

void measure_before(struct measure *measure, struct result *result)
{
    if (process_memory_read(&measure->process, &result->memory_before) != 0) {
        result->memory_before = (struct process_memory){0};
    }
    measure->listen_overflows = netstat("ListenOverflows");
    measure->listen_drops = netstat("ListenDrops");
    measure->cgroup_before = measure->cgroup_path ? cgroup_kernel(measure->cgroup_path) : NAN;
    if (measure->has_slabs) {
        measure->has_slabs = slabs_read_settled(&measure->slabs_before) == 0;
    }
}

static double growth(uint64_t before, uint64_t after, uint64_t connections)
{
    return ((double)after - (double)before) / (double)connections;
}

static void kernel_by_cgroup(const struct measure *measure, struct result *result)
{
    double now = cgroup_kernel(measure->cgroup_path);

    result->kernel_bytes = (now - measure->cgroup_before) / (double)result->open;
    if (isnan(result->kernel_bytes)) {
        result->kernel_reason = "memory.stat of --cgroup could not be read";
    } else {
        result->kernel_method = "kernel and sock of memory.stat of the server's cgroup";
    }
}

/* A client's end in this run: as in the reference, but for the bind buckets of ports. */
static double client_bytes(const struct result *result)
{
    uint32_t count = result->reference.count;
    uint32_t connections = (uint32_t)result->open;
    double ports = plan_ports_used(connections, result->plan->source_count, &result->limits);
    double reference_ports = plan_ports_used(count, reference_sources(count), &result->limits);

    return result->reference.client_bytes +
           PLAN_BIND_BUCKET_BYTES * (ports / connections - reference_ports / count);
}

static void kernel_by_slabs(struct measure *measure, struct result *result)
{
    static struct slabs held;
    const struct reference_result *reference = &result->reference;

    if (!measure->has_slabs || slabs_read(&held) != 0) {
        result->kernel_reason = "/proc/slabinfo cannot be read: run as root";
        return;
    }
    slabs_compare(&result->growths, &measure->slabs_before, &held, (uint32_t)result->open);
    if (measure->process.count == 0) {
        result->kernel_reason = "the server is not on this machine, or was not found";
    } else if (reference->count < REFERENCE_MIN) {
        result->kernel_reason = "what the clients' ends cost was not measured (--reference)";
    } else if (slabs_are_disturbed(&result->growths, 2)) {
        result->kernel_reason = "other programs opened or closed sockets meanwhile";
    } else {
        double page_tables = growth(result->memory_before.page_tables,
                                    result->memory_held.page_tables, result->open);
        result->kernel_bytes = result->growths.bytes + page_tables - client_bytes(result);
        result->kernel_method = "slab pages of both ends and the server's page tables, less the "
                                "clients' ends as measured with bare TCP connections";
    }
}

void measure_held(struct measure *measure, struct result *result)
{
    result->listen_overflows = netstat("ListenOverflows") - measure->listen_overflows;
    result->listen_drops = netstat("ListenDrops") - measure->listen_drops;
    result->baseline_bytes = result->reference.count > 0 ? result->reference.server_bytes : NAN;
    if (result->open == 0) {
        result->kernel_reason = "no connection was open";
        return;
    }
    if (measure->process.count > 0 && result->memory_before.rss > 0 &&
        process_memory_read(&measure->process, &result->memory_held) == 0) {
        const struct process_memory *before = &result->memory_before;
        const struct process_memory *held = &result->memory_held;
        result->user_bytes = growth(before->rss, held->rss, result->open);
        result->rss_anon_bytes = growth(before->rss_anon, held->rss_anon, result->open);
        result->pss_bytes = growth(before->pss, held->pss, result->open);
    }
    if (measure->cgroup_path) {
        kernel_by_cgroup(measure, result);
    } else {
        kernel_by_slabs(measure, result);
    }
    result->ratio = (result->user_bytes + result->kernel_bytes) / result->baseline_bytes;
}

void measure_left(const struct measure *measure, struct result *result)
{
    if (process_memory_read(&measure->process, &result->memory_left) != 0) {
        result->memory_left = (struct process_memory){0};
    }
}

/* --- CPU -------------------------------------------------------------------------------------- */

/* Pings between two readings: the server's own count, else what our clients answered. */
static double pings_between(const struct reading *from, const struct reading *to)
{
    double sent = to->pings - from->pings;

    return isnan(sent) ? (double)(to->pings_answered - from->pings_answered) : sent;
}

void measure_cpu(const struct measure *measure, struct result *result)
{
    const struct reading *start = &measure->idle_end;
    const struct reading *ramp = &measure->ramp_end;
    const struct reading *hold = &measure->hold_end;
    double idle_ns = (double)(start->time_ns - measure->idle_start.time_ns);
    double ramp_ns = (double)(ramp->time_ns - start->time_ns);
    double hold_ns = (double)(hold->time_ns - ramp->time_ns);

    result->is_limpet = !isnan(hold->pings);
    result->heartbeats_ramp = (uint64_t)pings_between(start, ramp);
    result->heartbeats_hold = (uint64_t)pings_between(ramp, hold);
    if (result->opened > 0) {
        result->own_cpu_us_per_connection =
            (double)(ramp->own_cpu_ns - start->own_cpu_ns) / 1e3 / (double)result->opened;
    }
    if (measure->process.count == 0 || idle_ns <= 0) {
        return;
    }
    result->cpu_idle_share = (double)(start->cpu_ns - measure->idle_start.cpu_ns) / idle_ns;
    if (result->heartbeats_hold >= HEARTBEATS_MIN) {
        result->cpu_us_per_heartbeat =
            ((double)(hold->cpu_ns - ramp->cpu_ns) - result->cpu_idle_share * hold_ns) / 1e3 /
            (double)result->heartbeats_hold;
    }
    if (result->opened > 0) {
        double used_us = (double)(ramp->cpu_ns - start->cpu_ns) / 1e3;
        double other_us = result->cpu_idle_share * ramp_ns / 1e3;
        if (!isnan(result->cpu_us_per_heartbeat)) {
            other_us += (double)result->heartbeats_ramp * result->cpu_us_per_heartbeat;
        }
        result->cpu_us_per_connection_raw = used_us / (double)result->opened;
        result->cpu_us_per_connection = (used_us - other_us) / (double)result->opened;
    }
}

void measure_traffic(const struct measure *measure, struct result *result)
{
    const struct reading *held = &measure->ramp_end;
    const struct reading *start = &measure->traffic_start;
    const struct reading *end = &measure->traffic_end;
    struct traffic *traffic = &result->traffic;
    double held_ns = (double)(measure->hold_end.time_ns - held->time_ns);
    double window_ns = (double)(end->time_ns - start->time_ns);
    double used_ns = (double)(end->cpu_ns - start->cpu_ns);
    double deliveries = (double)traffic->deliveries;

    traffic->pings_answered = end->pings_answered - start->pings_answered;
    traffic->cpu_us_per_delivery = NAN;
    traffic->cpu_us_per_delivery_net = NAN;
    traffic->cpu_held_share = NAN;
    traffic->cpu_share = NAN;
    traffic->own_cpu_us_per_delivery = NAN;
    if (traffic->deliveries == 0 || window_ns <= 0) {
        return;
    }
    traffic->own_cpu_us_per_delivery =
        (double)(end->own_cpu_ns - start->own_cpu_ns) / 1e3 / deliveries;
    if (measure->process.count == 0) {
        return;
    }
    traffic->cpu_us_per_delivery = used_ns / 1e3 / deliveries;
    traffic->cpu_share = used_ns / window_ns;
    if (held_ns >= HELD_NS_MIN) {
        traffic->cpu_held_share = (double)(measure->hold_end.cpu_ns - held->cpu_ns) / held_ns;
        traffic->cpu_us_per_delivery_net =
            (used_ns - traffic->cpu_held_share * window_ns) / 1e3 / deliveries;
    }
}
