#include "bench/storm.h"

#include "bench/run.h"

#include <inttypes.h>
#include <math.h>
#include <time.h>

#define TURN_MS    20
#define SAMPLE_S   0.02
#define BETWEEN_MS 2000 /* the server lets go of the last ones, and rests */

static uint64_t sum(const struct run *run, uint32_t number, size_t place)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < run->worker_count; i++) {
        const void *counts = worker_returns(run->workers[i], number);
        total += counter_read((const struct counter *)((const uint8_t *)counts + place));
    }
    return total;
}

#define SUM(run, number, field) sum((run), (number), offsetof(struct return_counts, field))

static void add_ended(const struct run *run, uint64_t ended[OUTCOMES])
{
    for (uint32_t i = 0; i < run->worker_count; i++) {
        for (enum outcome outcome = 0; outcome < OUTCOMES; outcome++) {
            ended[outcome] += counter_read(&worker_counts(run->workers[i])->ended[outcome]);
        }
    }
}

static double last_try_s(const struct run *run, uint32_t number)
{
    uint64_t latest_ns = 0;

    for (uint32_t i = 0; i < run->worker_count; i++) {
        const uint64_t tried_ns = counter_read(&worker_returns(run->workers[i], number)->tried_ns);
        latest_ns = tried_ns > latest_ns ? tried_ns : latest_ns;
    }
    return (double)latest_ns / 1e9;
}

/* Begins it; all workers know who is to come back. 0, or -1 with a message. */
static int cut(struct run *run, uint32_t number, struct run_totals *totals)
{
    const struct bench_options *options = run->options;

    counter_set(&run->load.cut_ns, client_clock());
    counter_set(&run->load.storm, number + 1);
    counter_set(&run->load.phase, LOAD_STORM);
    while (!run_is_stopped() && SUM(run, number, begun) < run->worker_count) {
        run_watch(run, "cut", 1, totals);
    }
    if (!options->storm.by_server) {
        return 0;
    }
    counter_set(&run->load.cut_ns, client_clock());
    if (spawn_restart(&run->spawn, options, run->message, RUN_MESSAGE_SIZE) != 0) {
        return -1;
    }
    run->result->server_pid = run->spawn.pid;
    return process_tree(&run->measure.process, run->spawn.pid);
}

/* Until all are back, or time is up. */
static void watch(struct run *run, uint32_t number, struct storm *storm)
{
    const uint64_t start_ns = counter_read(&run->load.cut_ns);
    struct run_totals totals;

    storm->samples.interval_s = SAMPLE_S;
    do {
        run_watch(run, "storm", TURN_MS, &totals);
        storm->returned = SUM(run, number, returned);
        storm->seconds = (double)(client_clock() - start_ns) / 1e9;
        const struct sample sample = {.seconds = storm->seconds,
                                      .opened = storm->returned,
                                      .open = totals.open,
                                      .failed = totals.failed};
        samples_add(&storm->samples, &sample);
    } while (!run_is_stopped() && storm->returned < storm->wanted &&
             storm->seconds < run->options->storm.give_up_s);
}

static int storm_once(struct run *run, uint32_t number, struct storm *storm)
{
    struct run_totals totals;
    struct reading before;
    struct reading after;
    uint64_t ended[OUTCOMES] = {0};

    run_watch(run, "rest", BETWEEN_MS, &totals);
    add_ended(run, ended);
    const uint64_t started = totals.started;
    measure_mark(&run->measure, &before, totals.open, 0);
    storm->with_tickets = run->load.storm_tickets[number];
    if (cut(run, number, &totals) != 0) {
        return -1;
    }
    storm->wanted = SUM(run, number, wanted);
    watch(run, number, storm);
    run_watch(run, "storm", 0, &totals);
    measure_mark(&run->measure, &after, totals.open, 0);
    storm->tries = totals.started - started;
    storm->tried_s = last_try_s(run, number);
    storm->resumed = SUM(run, number, resumed);
    add_ended(run, storm->ended);
    for (enum outcome outcome = 0; outcome < OUTCOMES; outcome++) {
        storm->ended[outcome] -= ended[outcome];
    }
    const uint64_t cpu_before_ns = run->options->storm.by_server ? 0 : before.cpu_ns;
    if (run->measure.process.count > 0 && storm->returned > 0) {
        storm->cpu_us = (double)(after.cpu_ns - cpu_before_ns) / 1e3 / (double)storm->returned;
    }
    counter_set(&run->load.phase, LOAD_HOLD);
    return 0;
}

static void choose(struct run *run)
{
    const struct bench_storm *wish = &run->options->storm;

    if (wish->with_tickets) {
        run->load.storm_tickets[run->result->storm_count++] = true;
    }
    run->result->storm_count += wish->with_full ? 1 : 0;
}

static bool is_complete(const struct result *result)
{
    bool complete = true;

    for (uint32_t i = 0; i < result->storm_count; i++) {
        const struct storm *storm = &result->storms[i];
        complete = complete && storm->wanted == result->options->connections &&
                   storm->returned == storm->wanted;
    }
    return complete;
}

int storm_run(const struct bench_options *options)
{
    static struct run run;
    bool has_result = false;

    if (run_prepare(&run, options) == 0) {
        struct run_totals totals = {0};
        choose(&run);
        has_result = run_ramp(&run) == 0;
        if (has_result) {
            run_hold(&run);
        }
        for (uint32_t i = 0; i < run.result->storm_count && has_result && !run_is_stopped(); i++) {
            run.result->storms[i].cpu_us = NAN;
            has_result = storm_once(&run, i, &run.result->storms[i]) == 0;
        }
        if (has_result) {
            run_watch(&run, "rest", 0, &totals);
            run.result->open = totals.open;
        }
        run_let_go(&run);
    }
    return run_end(&run, has_result, has_result && is_complete(run.result));
}
