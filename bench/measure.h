/*
 * measure.h - readings of the server and of this machine at the run's turning points, and what one
 * connection cost by their differences.
 */
#pragma once

#include "bench/result.h"
#include "bench/slabs.h"

/* One reading. What could not be read is NAN or marked. */
struct reading {
    uint64_t time_ns;
    uint64_t cpu_ns;     /* the server's */
    uint64_t own_cpu_ns; /* ours */
    double pings;        /* sent by the server: its own counter, NAN without */
    uint64_t pings_answered;
    uint64_t open;
};

struct measure {
    struct process process; /* count 0: no server process */
    struct sockaddr_in6 admin;
    bool has_admin;
    bool has_slabs;
    const char *cgroup_path;
    double cgroup_before;
    struct slabs slabs_before;
    double listen_overflows;
    double listen_drops;
    struct reading idle_start;
    struct reading idle_end; /* = start of the ramp */
    struct reading ramp_end;
    struct reading hold_end;
    struct reading traffic_start;
    struct reading traffic_end;
};

/* Once, before the first connection: finds out what can be read. */
void measure_open(struct measure *measure, const struct bench_options *options, int server_pid,
                  const struct sockaddr_in6 *admin);

void measure_take(const struct measure *measure, struct reading *reading, uint64_t open,
                  uint64_t pings_answered);

/* The same without asking the server for anything. */
void measure_mark(const struct measure *measure, struct reading *reading, uint64_t open,
                  uint64_t pings_answered);

/* Memory before the first connection. */
void measure_before(struct measure *measure, struct result *result);

/* Memory while all of them are held; result->open, ->reference, ->plan are set. */
void measure_held(struct measure *measure, struct result *result);

/* Memory after they have gone. */
void measure_left(const struct measure *measure, struct result *result);

/* CPU figures from the readings. Pure. */
void measure_cpu(const struct measure *measure, struct result *result);

/* The same of messages; result->traffic has its counts. Pure. */
void measure_traffic(const struct measure *measure, struct result *result);
