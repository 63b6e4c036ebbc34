#include "bench/idle.h"

#include "bench/measure.h"
#include "bench/report.h"
#include "bench/spawn.h"
#include "bench/text.h"
#include "bench/worker.h"
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

#define WORKERS_MAX     64
#define MESSAGE_SIZE    2048
#define TOKENS_MAX      1000 /* subjects of a spawned server's clients, taken in turn */
#define TICK_MS         100
#define PROGRESS_TTY_S  1.0
#define PROGRESS_LOG_S  5.0
#define QUIET_MS        1000 /* the server without connections */
#define AFTERWARDS_MS   1000 /* it lets go of them */
#define SAMPLE_RAMP_S   0.2
#define REFERENCE_TRIES 3 /* others' sockets may spoil one */

struct idle {
    const struct bench_options *options;
    struct plan_limits limits;
    struct plan_wish wish;
    struct plan plan;
    struct target target;
    struct tokens tokens;
    struct spawn spawn;
    struct load load;
    struct worker *workers[WORKERS_MAX];
    uint32_t worker_count;
    struct measure measure;
    struct result *result;
    uint64_t start_ns;
    double progress_s; /* of the last line */
    char message[MESSAGE_SIZE];
};

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

static void say(const char *text)
{
    text_print(stderr, "%s\n", text);
}

static void pause_ms(uint32_t duration_ms)
{
    const struct timespec pause = {.tv_sec = duration_ms / 1000,
                                   .tv_nsec = (long)(duration_ms % 1000) * 1000000};

    (void)nanosleep(&pause, NULL); /* a signal cuts it short, as it should */
}

/* --- before the load -------------------------------------------------------------------------- */

static int make_plan(struct idle *idle)
{
    const struct bench_options *options = idle->options;
    bool on_loopback = options->spawn || idle->target.is_loopback;

    plan_read_limits(&idle->limits);
    idle->result->limits = idle->limits;
    idle->wish = (struct plan_wish){
        .connections = options->connections,
        .threads = options->threads,
        .in_flight_max = options->in_flight_max,
        .own_bytes = worker_client_size(options),
        .work_bytes = worker_work_size(),
        .server_here = on_loopback,
        .target_loopback_4 =
            on_loopback && (options->spawn || idle->target.address.sin6_family == AF_INET),
        .source_count = options->source_count,
    };
    plan_make(&idle->plan, &idle->limits, &idle->wish);
    plan_print(&idle->plan, &idle->limits, &idle->wish, stderr);
    return options->connections > idle->plan.connections_max ? -1 : 0;
}

static int read_tokens(struct idle *idle)
{
    const struct bench_options *options = idle->options;
    char *text = NULL;
    size_t room = 0;

    if (options->tokens_path) {
        FILE *file = fopen(options->tokens_path, "re");
        if (!file || getdelim(&text, &room, '\0', file) < 0) {
            (void)snprintf(idle->message, MESSAGE_SIZE, "%s: no tokens can be read (errno %d)",
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
    if (text && tokens_index(&idle->tokens, text) != 0) {
        (void)snprintf(idle->message, MESSAGE_SIZE, "no memory for tokens");
        return -1;
    }
    return 0;
}

static int start_server(struct idle *idle)
{
    const struct bench_options *options = idle->options;
    uint32_t count = options->connections < TOKENS_MAX ? options->connections : TOKENS_MAX;
    uint32_t shards = options->shards;

    if (shards == 0) {
        shards = plan_server_shards(options->connections, idle->limits.descriptors_max,
                                    (uint32_t)get_nprocs());
    }
    text_print(stderr, "Starting a server with %" PRIu32 " shards\n", shards);
    if (spawn_start(&idle->spawn, options, shards, idle->message, MESSAGE_SIZE) != 0 ||
        target_parse(&idle->target, idle->spawn.url, idle->message, MESSAGE_SIZE) != 0) {
        return -1;
    }
    if (!options->token && !options->tokens_path) {
        return spawn_tokens(&idle->spawn, count, &idle->tokens, idle->message, MESSAGE_SIZE);
    }
    return 0;
}

/* A failure here costs a figure, not the run. */
static void measure_reference(struct idle *idle)
{
    uint32_t count = idle->options->reference;
    uint32_t room = idle->limits.descriptors_max > 100 ? idle->limits.descriptors_max - 100 : 1;
    int status = -1;

    count = count > room ? room : count;
    if (count > 0) {
        text_print(stderr, "Measuring %" PRIu32 " bare TCP connections for comparison\n", count);
    }
    for (uint32_t i = 0; count > 0 && i < REFERENCE_TRIES && status != 0 && !stop_requested; i++) {
        struct reference *reference = reference_open(idle->message, MESSAGE_SIZE);
        if (reference) {
            status = reference_measure(reference, count, &idle->result->reference, idle->message,
                                       MESSAGE_SIZE);
            reference_close(reference);
        }
        if (status != 0) {
            text_print(stderr, "No comparison: %s\n", idle->message);
        }
    }
}

static int prepare(struct idle *idle)
{
    const struct bench_options *options = idle->options;

    if (!options->spawn &&
        target_parse(&idle->target, options->url, idle->message, MESSAGE_SIZE) != 0) {
        return -1;
    }
    idle->message[0] = '\0';
    if (make_plan(idle) != 0) {
        return -1; /* said already */
    }
    if (read_tokens(idle) != 0 || (options->spawn && start_server(idle) != 0)) {
        return -1;
    }
    measure_reference(idle);
    int pid = options->server_pid;
    if (pid == 0) {
        pid = options->spawn ? (int)idle->spawn.pid : process_of_listener(&idle->target.address);
    }
    measure_open(&idle->measure, options, pid, options->spawn ? &idle->spawn.admin : NULL);
    idle->result->server_pid = idle->measure.process.count > 0 ? pid : 0;
    idle->result->shards = options->spawn ? idle->spawn.shards : 0;
    (void)snprintf(idle->result->url, sizeof(idle->result->url), "%s",
                   options->spawn ? idle->spawn.url : options->url);
    return 0;
}

/* --- the load --------------------------------------------------------------------------------- */

static double seconds_since(uint64_t start_ns)
{
    return (double)(client_clock() - start_ns) / 1e9;
}

struct totals {
    uint64_t started;
    uint64_t opened;
    uint64_t open;
    uint64_t in_flight;
    uint64_t failed;
    uint64_t lost;
    uint64_t pings_answered;
};

static struct totals total(const struct idle *idle)
{
    struct totals totals = {0};

    for (uint32_t i = 0; i < idle->worker_count; i++) {
        const struct load_counts *counts = worker_counts(idle->workers[i]);
        totals.started += counter_read(&counts->started);
        totals.opened += counter_read(&counts->opened);
        totals.open += counter_read(&counts->open);
        totals.in_flight += counter_read(&counts->in_flight);
        totals.pings_answered += counter_read(&counts->pings_answered);
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

static void show_progress(struct idle *idle, const char *phase, const struct totals *totals,
                          bool is_last)
{
    char open[TEXT_SIZE];
    char failed[TEXT_SIZE];
    char rest[2 * TEXT_SIZE];
    bool is_tty = isatty(STDERR_FILENO) == 1;
    double now_s = seconds_since(idle->start_ns);

    if (!is_last && now_s - idle->progress_s < (is_tty ? PROGRESS_TTY_S : PROGRESS_LOG_S)) {
        return;
    }
    idle->progress_s = now_s;
    if (counter_read(&idle->load.phase) == LOAD_RAMP) {
        (void)snprintf(rest, sizeof(rest), "%.0f/s  %" PRIu64 " in flight",
                       (double)totals->opened / (now_s > 0 ? now_s : 1), totals->in_flight);
    } else {
        (void)snprintf(rest, sizeof(rest), "%.40s pings answered",
                       text_count(totals->pings_answered, open));
    }
    text_print(stderr, "%s  %s %6.1f s  %s open (%.1f %%)  %s  %s failed%s", is_tty ? "\r" : "",
               phase, now_s, text_count(totals->open, open),
               100.0 * (double)totals->open / idle->options->connections, rest,
               text_count(totals->failed + totals->lost, failed),
               is_tty && !is_last ? "   " : "\n");
    (void)fflush(stderr);
}

static void take_sample(struct idle *idle, const struct totals *totals)
{
    const struct sample sample = {
        .seconds = seconds_since(idle->start_ns),
        .opened = totals->opened,
        .open = totals->open,
        .failed = totals->failed + totals->lost,
    };
    samples_add(&idle->result->samples, &sample);
}

static int start_workers(struct idle *idle)
{
    idle->load = (struct load){.options = idle->options,
                               .target = &idle->target,
                               .tokens = &idle->tokens,
                               .plan = &idle->plan};
    counter_set(&idle->load.phase, LOAD_RAMP);
    for (uint32_t i = 0; i < idle->options->threads; i++) {
        struct worker *worker = worker_start(&idle->load, i, idle->message, MESSAGE_SIZE);
        if (!worker) {
            return -1;
        }
        idle->workers[idle->worker_count++] = worker;
    }
    return 0;
}

static void ramp(struct idle *idle)
{
    struct totals totals = total(idle);

    take_sample(idle, &totals);
    while (!stop_requested && totals.opened + totals.failed < idle->options->connections) {
        pause_ms(TICK_MS);
        totals = total(idle);
        take_sample(idle, &totals);
        show_progress(idle, "ramp", &totals, false);
    }
    show_progress(idle, "ramp", &totals, true);
    idle->result->ramp_s = seconds_since(idle->start_ns);
    counter_set(&idle->load.phase, LOAD_HOLD);
    measure_take(&idle->measure, &idle->measure.ramp_end, totals.open, totals.pings_answered);
}

static void hold(struct idle *idle)
{
    uint64_t hold_start_ns = client_clock();
    struct totals totals = total(idle);

    while (!stop_requested && totals.open > 0 &&
           seconds_since(hold_start_ns) < (double)idle->options->hold_s) {
        pause_ms(TICK_MS);
        totals = total(idle);
        take_sample(idle, &totals);
        show_progress(idle, "hold", &totals, false);
    }
    show_progress(idle, "hold", &totals, true);
    measure_take(&idle->measure, &idle->measure.hold_end, totals.open, totals.pings_answered);
    struct result *result = idle->result;
    result->hold_s = seconds_since(hold_start_ns);
    result->started = totals.started;
    result->opened = totals.opened;
    result->open = totals.open;
    result->is_interrupted = stop_requested != 0;
    measure_held(&idle->measure, result);
    measure_cpu(&idle->measure, result);
}

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

static void gather(struct result *result, const struct clients *clients)
{
    for (uint32_t step = 0; step < LATENCY_STEPS; step++) {
        histogram_merge(&result->latency[step], &clients->latency[step]);
    }
    for (uint32_t outcome = 0; outcome < OUTCOMES; outcome++) {
        result->ended[outcome] += counter_read(&clients->counts.ended[outcome]);
    }
    result->pings_answered += counter_read(&clients->counts.pings_answered);
    result->pongs_missed += counter_read(&clients->counts.pongs_missed);
    result->messages += counter_read(&clients->counts.messages);
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

static void let_go(struct idle *idle)
{
    counter_set(&idle->load.phase, LOAD_CLOSE);
    for (uint32_t i = 0; i < idle->worker_count; i++) {
        gather(idle->result, worker_join(idle->workers[i]));
        worker_free(idle->workers[i]);
    }
    idle->worker_count = 0;
    count_syn_steps(idle->result);
    if (idle->measure.process.count > 0 && !stop_requested) {
        pause_ms(AFTERWARDS_MS);
    }
    measure_left(&idle->measure, idle->result);
}

static int run_load(struct idle *idle)
{
    idle->result->samples.interval_s = SAMPLE_RAMP_S;
    measure_before(&idle->measure, idle->result);
    measure_take(&idle->measure, &idle->measure.idle_start, 0, 0);
    pause_ms(idle->measure.process.count > 0 ? QUIET_MS : 0);
    measure_take(&idle->measure, &idle->measure.idle_end, 0, 0);
    if (stop_requested) {
        (void)snprintf(idle->message, MESSAGE_SIZE, "interrupted before the first connection");
        return -1;
    }
    idle->start_ns = client_clock();
    int status = start_workers(idle);
    if (status == 0) {
        ramp(idle);
        hold(idle);
    }
    let_go(idle);
    return status;
}

/* --- reports ---------------------------------------------------------------------------------- */

static int close_file(FILE *file, const char *path)
{
    bool failed = ferror(file) != 0;

    if (fclose(file) != 0 || failed) {
        text_print(stderr, "%s: could not be written\n", path);
        return -1;
    }
    return 0;
}

static int write_json(const struct result *result, const char *path)
{
    json_t *object = report_json(result);
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    int status = -1;

    if (object && file) {
        status = json_dumpf(object, file, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        text_print(file, "\n");
    }
    if (file && file != stdout) {
        status = close_file(file, path) == 0 ? status : -1;
    }
    if (!object || !file) {
        text_print(stderr, "%s: could not be written\n", path);
    }
    json_decref(object);
    return status;
}

static int write_reports(const struct result *result)
{
    const struct bench_options *options = result->options;
    int status = 0;

    report_text(result,
                options->json_path && strcmp(options->json_path, "-") == 0 ? stderr : stdout);
    if (options->json_path) {
        status = write_json(result, options->json_path);
    }
    if (options->html_path) {
        FILE *file = fopen(options->html_path, "we");
        if (!file) {
            text_print(stderr, "%s: could not be written\n", options->html_path);
            return -1;
        }
        report_html(result, file);
        status = close_file(file, options->html_path) == 0 ? status : -1;
    }
    return status;
}

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

int idle_run(const struct bench_options *options)
{
    static struct idle idle;
    const struct sigaction on_stop = {.sa_handler = request_stop};
    int status = EX_UNAVAILABLE;

    ASSERT(sigaction(SIGINT, &on_stop, NULL) == 0);
    ASSERT(sigaction(SIGTERM, &on_stop, NULL) == 0);
    ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    idle = (struct idle){.options = options};
    idle.result = make_result(options, &idle.plan);
    if (!idle.result) {
        say("limpet-bench: out of memory");
        return status;
    }
    if (prepare(&idle) == 0 && run_load(&idle) == 0) {
        bool all_open = idle.result->open == options->connections;
        status = write_reports(idle.result) == 0 && all_open ? 0 : 1;
    } else if (idle.message[0] != '\0') {
        text_print(stderr, "limpet-bench: %s\n", idle.message);
    }
    spawn_stop(&idle.spawn);
    tokens_free(&idle.tokens);
    free(idle.result);
    return status;
}
