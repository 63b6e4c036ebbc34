/*
 * worker.h - a thread with several rings full of clients: opens them at its pace, holds them, lets
 * go.
 */
#pragma once

#include "bench/client.h"
#include "bench/feed.h"
#include "bench/options.h"
#include "bench/plan.h"

enum load_phase {
    LOAD_RAMP,
    LOAD_HOLD,
    LOAD_SEND,  /* the clients send what the feed gives */
    LOAD_STORM, /* they are cut off, and come back */
    LOAD_CLOSE
};

/* What all workers share; phase is set by the main thread alone. */
struct load {
    const struct bench_options *options;
    const struct target *target;
    const struct tokens *tokens;
    const struct plan *plan;
    const struct audience *audience; /* NULL: messages are only counted */
    uint32_t publishers;             /* of what the audience hears */
    struct feed *feeds;              /* one a worker, for LOAD_SEND; NULL: nothing is sent */
    bool is_echo; /* a client sends on its own channel, flat out when the last came back */
    const struct delivery_counts *const *heard; /* of the subscribers, whom publishers wait for */
    uint32_t heard_count;
    struct counter phase; /* enum load_phase */
    bool storm_tickets[STORMS_MAX];
    struct counter storm;  /* of LOAD_STORM: its number, from 1 on */
    struct counter cut_ns; /* when it began */
};

struct worker;

/* User memory of one idle client, and of one under way, for the plan. */
MUST_CHECK uint32_t worker_client_size(const struct bench_options *options);
MUST_CHECK uint32_t worker_work_size(void);

/* Starts worker `index` of options->threads; it begins at once. NULL with a message. */
MUST_CHECK struct worker *worker_start(struct load *load, uint32_t index, char *message,
                                       size_t message_size);

/* Any time. */
MUST_CHECK const struct load_counts *worker_counts(const struct worker *worker);
MUST_CHECK const struct delivery_counts *worker_deliveries(const struct worker *worker);

/* The storms', any time but the histograms: these when the worker was joined. */
MUST_CHECK const struct return_counts *worker_returns(const struct worker *worker, uint32_t storm);

/* Waits for the worker's end (LOAD_CLOSE must be set); its clients' figures stay until worker_free.
 */
MUST_CHECK const struct clients *worker_join(struct worker *worker);
void worker_free(struct worker *worker);
