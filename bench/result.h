/*
 * result.h - everything a run found. What was not measured is NAN.
 */
#pragma once

#include "bench/client.h"
#include "bench/options.h"
#include "bench/plan.h"
#include "bench/process.h"
#include "bench/reference.h"

#define SAMPLES_MAX 2048

/* The state of the load at a moment. */
struct sample {
    double seconds; /* since the first connection */
    uint64_t opened;
    uint64_t open;
    uint64_t failed;
    uint64_t received; /* messages, each of each subscriber once */
};

struct samples {
    struct sample items[SAMPLES_MAX];
    uint32_t count;
    double interval_s; /* doubled, and every second one dropped, when they are full */
};

/* Takes the sample when the interval has passed since the last one. */
void samples_add(struct samples *samples, const struct sample *sample);

struct machine {
    char cpu[128];
    uint32_t cores;
    uint64_t memory;
    char kernel[128];
    char time[32]; /* ISO 8601, UTC */
};

void machine_read(struct machine *machine);

/* What moving messages cost: fanout and echo. */
struct traffic {
    uint64_t publications;
    uint64_t refused;     /* of them, by the server or the broker; they are not expected */
    bool publishers_lost; /* before all was published */
    uint64_t expected;    /* deliveries */
    uint64_t deliveries;
    uint64_t lost;
    uint64_t reordered;
    uint64_t duplicated;
    uint64_t foreign;
    double start_s; /* since the first connection */
    double seconds; /* first publication to last delivery */
    double cpu_us_per_delivery;
    double cpu_us_per_delivery_net; /* less what the held connections cost in that time */
    double cpu_held_share;          /* CPUs used while they were held, before */
    double cpu_share;               /* CPUs used while messages moved */
    double own_cpu_us_per_delivery;
    struct histogram latency;

    /* meanwhile */
    uint64_t pings_answered;
    uint64_t pong_deadlines_missed; /* closed with 3008 */
    uint32_t arrivals_wanted;
    uint64_t arrivals_opened;
    uint64_t arrivals_failed;
    struct histogram arrivals_latency; /* connect to upgrade */
};

/* Clients that were cut off, and came back. */
struct storm {
    bool with_tickets;
    uint64_t wanted;
    uint64_t returned;
    uint64_t resumed;
    uint64_t tries;
    uint64_t ended[OUTCOMES]; /* of tries that failed, and of those lost again */
    double seconds;           /* from the cut to the end of the storm */
    double tried_s;           /* to the last one's first try: what this program could do at once */
    double cpu_us;            /* server CPU for one that is back; NAN: not measured */
    struct histogram back;    /* as in struct return_counts */
    struct histogram tls;
    struct histogram total;
    struct samples samples; /* since the cut; opened: those that are back */
};

#define SYN_STEPS 3 /* 1, 3 and 7 s after the first SYN */

struct result {
    const struct bench_options *options;
    const struct plan *plan;
    struct plan_limits limits;
    char url[512];
    struct machine machine;
    bool is_limpet; /* its admin port was read */
    bool is_interrupted;
    uint32_t shards; /* 0: not known */
    int server_pid;  /* 0: not on this machine, or not found */

    /* load */
    double ramp_s;
    double hold_s;
    uint64_t started;
    uint64_t opened;
    uint64_t open; /* at the end of the hold */
    uint64_t ended[OUTCOMES];
    uint64_t pings_answered;
    uint64_t pongs_missed;
    uint64_t messages;
    uint32_t http_status; /* the most frequent refusal; 0: none */
    uint32_t close_code;  /* the most frequent one from the server; 0: none */
    int tls_error;
    struct histogram latency[LATENCY_STEPS];
    uint64_t
        syn_steps[SYN_STEPS]; /* connects that waited for a SYN's first, second, third repeat */
    double listen_overflows;  /* this machine's counters, over the run */
    double listen_drops;
    struct samples samples;

    struct traffic traffic; /* of messages */
    struct storm storms[STORMS_MAX];
    uint32_t storm_count;

    /* server: CPU */
    double cpu_idle_share; /* CPUs it used before the first connection */
    double cpu_us_per_connection;
    double cpu_us_per_connection_raw; /* heartbeats and idle turns of the ramp not taken off */
    double cpu_us_per_heartbeat;
    uint64_t heartbeats_ramp;
    uint64_t heartbeats_hold;
    double own_cpu_us_per_connection; /* the load tool's */

    /* server: memory, bytes per connection */
    struct process_memory memory_before;
    struct process_memory memory_held;
    struct process_memory memory_left; /* after every connection had gone */
    double user_bytes;                 /* RSS growth */
    double rss_anon_bytes;
    double pss_bytes;
    double kernel_bytes; /* of the server's ends */
    double baseline_bytes;
    double ratio;                /* (user + kernel) / baseline */
    double own_user_bytes;       /* one idle client, by design */
    const char *kernel_method;   /* how it was found; NULL: it was not */
    const char *kernel_reason;   /* why it was not */
    struct slab_growths growths; /* both ends, per connection */
    struct reference_result reference;
};

MUST_CHECK uint64_t result_failed(const struct result *result);      /* before being open */
MUST_CHECK uint64_t result_failed_here(const struct result *result); /* of them our own */
MUST_CHECK uint64_t result_lost(const struct result *result);        /* after it */
MUST_CHECK double result_per_second(const struct traffic *traffic, uint64_t count);
