/*
 * run.h - one run of a scenario: the server, the plan, the clients, their ramp and their end.
 *
 * What every scenario does; what it does with the open connections is its own. All calls from the
 * main thread, in the order in which they stand here.
 */
#pragma once

#include "bench/audience.h"
#include "bench/measure.h"
#include "bench/spawn.h"
#include "bench/worker.h"

#define RUN_WORKERS_MAX  64
#define RUN_MESSAGE_SIZE 2048

struct run {
    const struct bench_options *options;
    struct audience audience; /* who is subscribed to what */
    struct plan_limits limits;
    struct plan_wish wish;
    struct plan plan;
    struct target target;
    struct tokens tokens;
    struct spawn spawn;
    struct load load;
    struct worker *workers[RUN_WORKERS_MAX];
    uint32_t worker_count;
    struct measure measure;
    struct result *result;
    uint64_t start_ns;
    double progress_s; /* of the last line */
    char message[RUN_MESSAGE_SIZE];
};

/* Of all workers, now. */
struct run_totals {
    uint64_t started;
    uint64_t opened;
    uint64_t open;
    uint64_t in_flight;
    uint64_t failed;
    uint64_t lost;
    uint64_t pings_answered;
    uint64_t received; /* messages of ours, each once */
    uint64_t sent;
};

/* Plans, starts or finds the server, measures the reference. 0, or -1: run_end says why. */
MUST_CHECK int run_prepare(struct run *run, const struct bench_options *options);

/* Starts the workers and waits until every connection is open or has failed; what run->load says of
 * messages is set before. 0, or -1; run_let_go in any case. */
MUST_CHECK int run_ramp(struct run *run);

/* Keeps all of them for hold_s, and takes the figures of what one costs. */
void run_hold(struct run *run);

/* Waits, then adds up, takes a sample and shows progress. */
void run_watch(struct run *run, const char *phase, uint32_t duration_ms, struct run_totals *totals);

/* Closes every connection and gathers what the workers counted. */
void run_let_go(struct run *run);

/* Writes the reports if the run got that far, stops the server. Returns the exit status:
 * is_complete says whether everything was as it was asked for. */
MUST_CHECK int run_end(struct run *run, bool has_result, bool is_complete);

MUST_CHECK bool run_is_stopped(void); /* a signal came */
