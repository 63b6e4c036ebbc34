#include "bench/run.h"

#include "base/text.h"
#include "bench/report.h"
#include "io/listener.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define TOKENS_MIN       1000 /* subjects of a spawned server's clients, taken in turn */
#define TICK_MS          100
#define PROGRESS_TTY_S   1.0
#define PROGRESS_LOG_S   5.0
#define QUIET_MS         1000 /* the server without connections */
#define AFTERWARDS_MS    3000 /* it lets go of them, and gives memory back once a second */
#define SAMPLE_RAMP_S    0.2
#define PONG_MISSED_CODE 3008 /* Limpet closes with it */
#define REFERENCE_TRIES  3    /* others' sockets may spoil one */

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

bool run_is_stopped(void)
{
    return stop_requested != 0;
}

static void pause_ms(uint32_t duration_ms)
{
    const struct timespec pause = {.tv_sec = duration_ms / 1000,
                                   .tv_nsec = (long)(duration_ms % 1000) * 1000000};

    (void)nanosleep(&pause, NULL); /* a signal cuts it short, as it should */
}

/* --- before the load -------------------------------------------------------------------------- */

static int make_plan(struct run *run)
{
    const struct bench_options *options = run->options;
    bool on_loopback = options->spawn || run->target.is_loopback;

    plan_read_limits(&run->limits);
    run->result->limits = run->limits;
    run->wish = (struct plan_wish){
        .connections = options->connections,
        .threads = options->threads,
        .in_flight_max = options->in_flight_max,
        .own_bytes = worker_client_size(options),
        .work_bytes = worker_work_size(),
        .server_here = on_loopback,
        .target_loopback_4 =
            on_loopback && (options->spawn || run->target.address.sin6_family == AF_INET),
        .source_count = options->source_count,
    };
    plan_make(&run->plan, &run->limits, &run->wish);
    plan_print(&run->plan, &run->limits, &run->wish, stderr);
    return options->connections > run->plan.connections_max ? -1 : 0;
}

static int read_tokens(struct run *run)
{
    const struct bench_options *options = run->options;
    char *text = NULL;
    size_t room = 0;

    if (options->tokens_path) {
        FILE *file = fopen(options->tokens_path, "re");
        if (!file || getdelim(&text, &room, '\0', file) < 0) {
            (void)snprintf(run->message, RUN_MESSAGE_SIZE, "%s: no tokens can be read (errno %d)",
                           options->tokens_path, errno);
            if (file) {
                (void)fclose(file);
            }
            free(text);
            return -1;
        }
        (void)fclose(file);
    } else if (options->token) {
        text = strdup(options->token);
    }
    if (text && tokens_index(&run->tokens, text) != 0) {
        (void)snprintf(run->message, RUN_MESSAGE_SIZE, "no memory for tokens");
        return -1;
    }
    return 0;
}

/* Enough for many subjects, and for every set of channels. */
static uint32_t token_count(const struct run *run)
{
    uint32_t period = audience_period(&run->audience);
    uint32_t count = (TOKENS_MIN + period - 1) / period * period;

    return count < run->options->connections ? count : run->options->connections;
}

static int start_server(struct run *run)
{
    const struct bench_options *options = run->options;
    uint32_t shards = options->shards;

    if (shards == 0) {
        shards = plan_server_shards(options->connections + options->others_max,
                                    run->limits.descriptors_max, (uint32_t)get_nprocs());
    }
    text_print(stderr, "Starting a server with %" PRIu32 " shards\n", shards);
    if (spawn_start(&run->spawn, options, shards, run->message, RUN_MESSAGE_SIZE) != 0 ||
        target_parse(&run->target, run->spawn.url, run->message, RUN_MESSAGE_SIZE) != 0) {
        return -1;
    }
    if (!options->token && !options->tokens_path) {
        return spawn_tokens(&run->spawn, &run->audience, token_count(run), &run->tokens,
                            run->message, RUN_MESSAGE_SIZE);
    }
    return 0;
}

/* A failure here costs a figure, not the run. */
static void measure_reference(struct run *run)
{
    uint32_t count = run->options->reference;
    uint32_t room = run->limits.descriptors_max > 100 ? run->limits.descriptors_max - 100 : 1;
    int status = -1;

    count = count > room ? room : count;
    if (count > 0) {
        text_print(stderr, "Measuring %" PRIu32 " bare TCP connections for comparison\n", count);
    }
    for (uint32_t i = 0; count > 0 && i < REFERENCE_TRIES && status != 0 && !stop_requested; i++) {
        struct reference *reference = reference_open(run->message, RUN_MESSAGE_SIZE);
        if (reference) {
            status = reference_measure(reference, count, &run->result->reference, run->message,
                                       RUN_MESSAGE_SIZE);
            reference_close(reference);
        }
        if (status != 0) {
            text_print(stderr, "No comparison: %s\n", run->message);
        }
    }
}

static int prepare(struct run *run)
{
    const struct bench_options *options = run->options;

    if (!options->spawn &&
        target_parse(&run->target, options->url, run->message, RUN_MESSAGE_SIZE) != 0) {
        return -1;
    }
    run->message[0] = '\0';
    if (make_plan(run) != 0) {
        return -1; /* said already */
    }
    if (read_tokens(run) != 0 || (options->spawn && start_server(run) != 0)) {
        return -1;
    }
    measure_reference(run);
    int pid = options->server_pid;
    if (pid == 0) {
        pid = options->spawn ? (int)run->spawn.pid : process_of_listener(&run->target.address);
    }
    measure_open(&run->measure, options, pid, options->spawn ? &run->spawn.admin : NULL);
    run->result->server_pid = run->measure.process.count > 0 ? pid : 0;
    run->result->shards = options->spawn ? run->spawn.shards : 0;
    (void)snprintf(run->result->url, sizeof(run->result->url), "%s",
                   options->spawn ? run->spawn.url : options->url);
    return 0;
}

/* --- the load --------------------------------------------------------------------------------- */

static double seconds_since(uint64_t start_ns)
{
    return (double)(client_clock() - start_ns) / 1e9;
}

static struct run_totals total_of(const struct run *run)
{
    struct run_totals totals = {0};

    for (uint32_t i = 0; i < run->worker_count; i++) {
        const struct load_counts *counts = worker_counts(run->workers[i]);
        totals.started += counter_read(&counts->started);
        totals.opened += counter_read(&counts->opened);
        totals.open += counter_read(&counts->open);
        totals.in_flight += counter_read(&counts->in_flight);
        totals.pings_answered += counter_read(&counts->pings_answered);
        totals.sent += counter_read(&counts->sent);
        totals.received += counter_read(&worker_deliveries(run->workers[i])->received);
        for (uint32_t outcome = 0; outcome < OUTCOMES; outcome++) {
            uint64_t count = counter_read(&counts->ended[outcome]);
            if (outcome < OUTCOME_FIRST_LOST) {
                totals.failed += count;
            } else {
                totals.lost += count;
            }
        }
    }
    return totals;
}

static void show_progress(struct run *run, const char *phase, const struct run_totals *totals,
                          bool is_last)
{
    char open[TEXT_SIZE];
    char failed[TEXT_SIZE];
    char rest[2 * TEXT_SIZE];
    bool is_tty = isatty(STDERR_FILENO) == 1;
    double now_s = seconds_since(run->start_ns);

    if (!is_last && now_s - run->progress_s < (is_tty ? PROGRESS_TTY_S : PROGRESS_LOG_S)) {
        return;
    }
    run->progress_s = now_s;
    if (counter_read(&run->load.phase) == LOAD_RAMP) {
        (void)snprintf(rest, sizeof(rest), "%.0f/s  %" PRIu64 " in flight",
                       (double)totals->opened / (now_s > 0 ? now_s : 1), totals->in_flight);
    } else if (totals->received > 0) {
        (void)snprintf(rest, sizeof(rest), "%.40s delivered", text_count(totals->received, open));
    } else {
        (void)snprintf(rest, sizeof(rest), "%.40s pings answered",
                       text_count(totals->pings_answered, open));
    }
    text_print(stderr, "%s  %s %6.1f s  %s open (%.1f %%)  %s  %s failed%s", is_tty ? "\r" : "",
               phase, now_s, text_count(totals->open, open),
               100.0 * (double)totals->open / run->options->connections, rest,
               text_count(totals->failed + totals->lost, failed),
               is_tty && !is_last ? "   " : "\n");
    (void)fflush(stderr);
}

static void take_sample(struct run *run, const struct run_totals *totals)
{
    const struct sample sample = {
        .seconds = seconds_since(run->start_ns),
        .opened = totals->opened,
        .open = totals->open,
        .failed = totals->failed + totals->lost,
        .received = totals->received,
    };
    samples_add(&run->result->samples, &sample);
}

void run_watch(struct run *run, const char *phase, uint32_t duration_ms, struct run_totals *totals)
{
    pause_ms(duration_ms);
    *totals = total_of(run);
    take_sample(run, totals);
    show_progress(run, phase, totals, false);
}

static int start_workers(struct run *run)
{
    counter_set(&run->load.phase, LOAD_RAMP);
    for (uint32_t i = 0; i < run->options->threads; i++) {
        struct worker *worker = worker_start(&run->load, i, run->message, RUN_MESSAGE_SIZE);
        if (!worker) {
            return -1;
        }
        run->workers[run->worker_count++] = worker;
    }
    return 0;
}

int run_ramp(struct run *run)
{
    struct run_totals totals;

    run->result->samples.interval_s = SAMPLE_RAMP_S;
    measure_before(&run->measure, run->result);
    measure_take(&run->measure, &run->measure.idle_start, 0, 0);
    pause_ms(run->measure.process.count > 0 ? QUIET_MS : 0);
    measure_take(&run->measure, &run->measure.idle_end, 0, 0);
    if (stop_requested) {
        (void)snprintf(run->message, RUN_MESSAGE_SIZE, "interrupted before the first connection");
        return -1;
    }
    run->start_ns = client_clock();
    if (start_workers(run) != 0) {
        return -1;
    }
    totals = total_of(run);
    take_sample(run, &totals);
    while (!stop_requested && totals.opened + totals.failed < run->options->connections) {
        run_watch(run, "ramp", TICK_MS, &totals);
    }
    show_progress(run, "ramp", &totals, true);
    run->result->ramp_s = seconds_since(run->start_ns);
    counter_set(&run->load.phase, LOAD_HOLD);
    measure_take(&run->measure, &run->measure.ramp_end, totals.open, totals.pings_answered);
    return 0;
}

void run_hold(struct run *run)
{
    uint64_t hold_start_ns = client_clock();
    struct run_totals totals = total_of(run);

    while (!stop_requested && totals.open > 0 &&
           seconds_since(hold_start_ns) < (double)run->options->hold_s) {
        run_watch(run, "hold", TICK_MS, &totals);
    }
    show_progress(run, "hold", &totals, true);
    measure_take(&run->measure, &run->measure.hold_end, totals.open, totals.pings_answered);
    struct result *result = run->result;
    result->hold_s = seconds_since(hold_start_ns);
    result->started = totals.started;
    result->opened = totals.opened;
    result->open = totals.open;
    result->is_interrupted = stop_requested != 0;
    measure_held(&run->measure, result);
    measure_cpu(&run->measure, result);
}

/* --- after the load
 * ------------------------------------------------------------------------------- */

static uint32_t most_frequent(const uint32_t *counts, uint32_t count)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < count; i++) {
        if (counts[i] > counts[best]) {
            best = i;
        }
    }
    return counts[best] > 0 ? best : 0;
}

static void gather_traffic(struct traffic *traffic, const struct clients *clients)
{
    const struct delivery_counts *counts = &clients->deliveries.counts;

    traffic->deliveries += counter_read(&counts->received);
    traffic->reordered += counter_read(&counts->reordered);
    traffic->duplicated += counter_read(&counts->duplicated);
    traffic->foreign += counter_read(&counts->foreign);
    traffic->pong_deadlines_missed += clients->close_codes[PONG_MISSED_CODE];
    histogram_merge(&traffic->latency, &clients->deliveries.latency);
}

static void gather_returns(struct result *result, const struct returns *returns)
{
    for (uint32_t i = 0; returns && i < result->storm_count; i++) {
        struct storm *storm = &result->storms[i];
        histogram_merge(&storm->back, &returns->counts[i].back);
        histogram_merge(&storm->tls, &returns->counts[i].tls);
        histogram_merge(&storm->total, &returns->counts[i].total);
    }
}

static void gather(struct result *result, const struct clients *clients)
{
    gather_returns(result, clients->returns);
    for (uint32_t step = 0; step < LATENCY_STEPS; step++) {
        histogram_merge(&result->latency[step], &clients->latency[step]);
    }
    for (uint32_t outcome = 0; outcome < OUTCOMES; outcome++) {
        result->ended[outcome] += counter_read(&clients->counts.ended[outcome]);
    }
    result->pings_answered += counter_read(&clients->counts.pings_answered);
    result->pongs_missed += counter_read(&clients->counts.pongs_missed);
    result->messages += counter_read(&clients->counts.messages);
    gather_traffic(&result->traffic, clients);
    uint32_t status = most_frequent(clients->http_statuses, HTTP_STATUS_MAX + 1);
    uint32_t code = most_frequent(clients->close_codes, CLOSE_CODE_MAX + 1);
    result->http_status = status > 0 ? status : result->http_status;
    result->close_code = code > 0 ? code : result->close_code;
    result->tls_error = clients->tls_error != 0 ? clients->tls_error : result->tls_error;
}

/* A SYN is sent again after 1 s, then 2 s, then 4 s. */
static void count_syn_steps(struct result *result)
{
    static const uint64_t steps_ms[SYN_STEPS][2] = {{950, 1900}, {2900, 4500}, {6800, 9000}};

    for (uint32_t i = 0; i < SYN_STEPS; i++) {
        result->syn_steps[i] = histogram_between(
            &result->latency[LATENCY_CONNECT], steps_ms[i][0] * 1000000, steps_ms[i][1] * 1000000);
    }
}

void run_let_go(struct run *run)
{
    counter_set(&run->load.phase, LOAD_CLOSE);
    for (uint32_t i = 0; i < run->worker_count; i++) {
        gather(run->result, worker_join(run->workers[i]));
        worker_free(run->workers[i]);
    }
    run->worker_count = 0;
    count_syn_steps(run->result);
    if (run->measure.process.count > 0 && !stop_requested) {
        pause_ms(AFTERWARDS_MS);
    }
    measure_left(&run->measure, run->result);
}

/* --- the whole -----------------------------------------------------------------------------------
 */

static struct result *make_result(const struct bench_options *options, const struct plan *plan)
{
    struct result *result = calloc(1, sizeof(*result));

    if (result) {
        result->options = options;
        result->plan = plan;
        result->cpu_idle_share = NAN;
        result->cpu_us_per_connection = NAN;
        result->cpu_us_per_connection_raw = NAN;
        result->cpu_us_per_heartbeat = NAN;
        result->own_cpu_us_per_connection = NAN;
        result->user_bytes = NAN;
        result->rss_anon_bytes = NAN;
        result->pss_bytes = NAN;
        result->kernel_bytes = NAN;
        result->baseline_bytes = NAN;
        result->ratio = NAN;
        result->own_user_bytes = worker_client_size(options);
        machine_read(&result->machine);
    }
    return result;
}

int run_prepare(struct run *run, const struct bench_options *options)
{
    const struct sigaction on_stop = {.sa_handler = request_stop};

    ASSERT(sigaction(SIGINT, &on_stop, NULL) == 0);
    ASSERT(sigaction(SIGTERM, &on_stop, NULL) == 0);
    ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    *run = (struct run){
        .options = options,
        .audience = {.subscribers = options->connections,
                     .channels = options->messages.channels,
                     .channels_each = options->messages.channels_each},
        .load = {.options = options,
                 .target = &run->target,
                 .tokens = &run->tokens,
                 .plan = &run->plan},
    };
    run->result = make_result(options, &run->plan);
    if (!run->result) {
        (void)snprintf(run->message, RUN_MESSAGE_SIZE, "out of memory");
        return -1;
    }
    return prepare(run);
}

int run_end(struct run *run, bool has_result, bool is_complete)
{
    int status = EX_UNAVAILABLE;

    if (has_result) {
        status = report_write(run->result) == 0 && is_complete ? 0 : 1;
    } else if (run->message[0] != '\0') {
        text_print(stderr, "limpet-bench: %s\n", run->message);
    }
    spawn_stop(&run->spawn);
    tokens_free(&run->tokens);
    free(run->result);
    return status;
}
