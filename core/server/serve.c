#include "server/serve.h"

#include "admin/fetch.h"
#include "base/clock.h"
#include "server/alive.h"
#include "server/banner.h"
#include "server/controls.h"
#include "server/drain.h"
#include "server/relay_counts.h"
#include "server/reload.h"
#include "server/run.h"
#include "server/supervisor.h"

#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define MESSAGE_SIZE 1024
#define STOP_MS_MIN  200 /* for what the broker has not answered yet */
#define WAIT_MS_MAX  1000

/* At the stop: how often signals are looked for, and what a second one leaves of the time. */
#define SIGNAL_LOOK_MS 100
#define HURRY_MS       1000

/* What is left of the time to stop in; a moment at least. */
static uint32_t stop_ms_left(const struct run *run)
{
    const uint64_t now_ms = clock_now_ms();

    return run->stop_by_ms > now_ms + STOP_MS_MIN ? (uint32_t)(run->stop_by_ms - now_ms)
                                                  : STOP_MS_MIN;
}

/* All shards stop within the time that is left for it. */
static void stop_shards(struct run *run, uint32_t within_ms)
{
    uint64_t now_ns;
    struct ring_event event;

    drain_give_order(&run->service.server, ORDER_STOP, within_ms, run->ring);
    uint32_t count = ring_wait(run->ring, 0, &event, 1, &now_ns);
    (void)count; /* only sends the wake-ups on their way */
}

/* The next signal that has come; 0: none. */
static int take_signal(const struct run *run)
{
    struct signalfd_siginfo info;

    return read(run->signal_fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

static bool is_stop(int signal_number)
{
    return signal_number == SIGTERM || signal_number == SIGINT;
}

/* Whoever sends a second signal to stop is in a hurry: goodbyes are said, but not at a pace. */
static void await_shards(struct run *run)
{
    while (!runners_await_stop(&run->runners, SIGNAL_LOOK_MS)) {
        if (is_stop(take_signal(run)) && run->stop_by_ms > clock_now_ms() + HURRY_MS) {
            LOG(LOG_INFO, "stopping at once: a second signal", log_number("within_ms", HURRY_MS));
            run->stop_by_ms = clock_now_ms() + HURRY_MS;
            stop_shards(run, HURRY_MS);
        }
    }
}

/* Waits until all have stopped, closes the admin port (it reads their counters, and asks the
 * relay), stops the relay, and lets them end. */
static void end_threads(struct run *run)
{
    await_shards(run);
    api_stop(run->api);
    relay_thread_stop(run->relay, stop_ms_left(run));
    runners_join(&run->runners);
    relay_thread_close(run->relay);
    api_close(run->api); /* when nobody answers any more */
}

/* What /metrics shows: blocks of counters, one behind the other. */
static void chain_metrics(struct run *run)
{
    run->metrics = (struct metrics){
        .table = counts_metrics,
        .table_size = counts_metrics_size,
        .blocks = run->runners.blocks,
        .block_count = run->service.server.shard_count,
        .next = &run->relay_metrics,
    };
    run->relay_block = relay_counts(run->service.server.relay);
    run->relay_metrics = (struct metrics){
        .table = relay_metrics,
        .table_size = relay_metrics_size,
        .blocks = &run->relay_block,
        .block_count = 1,
        .is_shared = true,
        .next = &run->reload_metrics,
    };
    run->reload_block = &run->reload_counts;
    run->reload_metrics = (struct metrics){
        .table = reload_metrics,
        .table_size = reload_metrics_size,
        .blocks = &run->reload_block,
        .block_count = 1,
        .is_shared = true,
        .next = &run->bound_metrics,
    };
    counter_set(&run->bound_value, 1);
    run->bound_block = &run->bound_value;
    run->bound_metric = (struct metric){
        .name = "limpet_connections_bound_by_info",
        .help = "What bounds limpet_connections_capacity, as told at the start.",
        .type = METRIC_GAUGE,
        .label = "reason",
        .label_value = run->service.budget.bound_by,
    };
    run->bound_metrics = (struct metrics){
        .table = &run->bound_metric,
        .table_size = 1,
        .blocks = &run->bound_block,
        .block_count = 1,
        .is_shared = true,
        .next = &run->key_metrics,
    };
    run->key_block = key_sources_counts(run->service.key_sources);
    run->key_metrics = (struct metrics){
        .table = key_source_metrics,
        .table_size = key_source_metrics_size,
        .blocks = &run->key_block,
        .block_count = 1,
        .is_shared = true,
    };
}

static int open_admin(struct run *run, const struct options *options)
{
    char message[MESSAGE_SIZE];

    chain_metrics(run);
    reload_note_expiry(run);
    if (options->admin.listen[0] == '\0') {
        return 0;
    }
    const struct api_sources sources = {
        .options = options,
        .desk = run->service.server.desk,
        .relay = run->service.server.relay,
        .users = run->service.server.users,
        .keys = run->service.api_keys,
        .metrics = &run->metrics,
        .state = &run->admin_state,
        .listeners = run->listeners,
        .listener_count = runners_list_listeners(&run->runners, run->listeners),
        .capacity = run->service.budget.connections_max,
    };
    run->api = api_open(&sources, message, sizeof(message));
    return run->api ? 0 : service_fail(message);
}

/*
 * Checking tokens is done in glibc's heap, which keeps what was freed. So it goes back to the
 * system after every second in which someone was answered. What was answered counts, not what was
 * accepted: a crowd that had not spoken yet would be forgotten.
 */
static void trim_heap(const struct run *run, uint64_t *answered_before)
{
    uint64_t answered = 0;

    for (uint32_t i = 0; i < run->service.server.shard_count; i++) {
        const struct counts *counts = run->runners.blocks[i];
        for (uint32_t reason = 0; reason < UPGRADE_REASONS; reason++) {
            answered += counter_read(&counts->upgrades[reason]);
        }
    }
    if (answered != *answered_before) {
        malloc_trim(0);
        *answered_before = answered;
    }
}

/* What is to be done now and then: the watchdog, new ticket keys, the heap. */
static void look_after(struct run *run, uint64_t *answered_before)
{
    if (supervisor_watches() &&
        shards_are_alive(run->runners.blocks, run->service.server.shard_count, clock_now_ms())) {
        supervisor_alive();
    }
    if (run->service.server.tickets) {
        ticket_keys_rotate(run->service.server.tickets, clock_now_ms());
    }
    drain_control_look(run);
    trim_heap(run, answered_before);
}

/* The main thread's life: signals, requests of the control socket, and once a second the rest;
 * until a signal to stop comes. */
static int wait_for_signal(struct run *run)
{
    struct pollfd waits[] = {{.fd = run->signal_fd, .events = POLLIN},
                             {.fd = run->control ? control_fd(run->control) : -1, .events = POLLIN},
                             {.fd = key_sources_fd(run->service.key_sources), .events = POLLIN}};
    uint64_t answered_before = 0;
    uint64_t look_next_ms = 0;

    for (;;) {
        (void)poll(waits, sizeof(waits) / sizeof(waits[0]), WAIT_MS_MAX);
        int signal_number = take_signal(run);
        if (is_stop(signal_number)) {
            return signal_number;
        }
        if (signal_number == SIGHUP) {
            reload_signal(run);
        }
        controls_answer(run);
        reload_token_keys(run);
        if (clock_now_ms() >= look_next_ms) {
            look_after(run, &answered_before);
            look_next_ms = clock_now_ms() + WAIT_MS_MAX;
        }
    }
}

static int open_main_ring(struct run *run)
{
    struct ring_options ring_options = {.sockets_max = 1,
                                        .buffer_count = 1,
                                        .buffer_size = 64,
                                        .submit_max = 64,
                                        .complete_max = 64};
    char message[MESSAGE_SIZE];
    int error = 0;

    run->ring = ring_open(&ring_options, &error, message, sizeof(message));
    return run->ring ? 0 : service_fail(message);
}

static int start_relay(struct run *run)
{
    char message[MESSAGE_SIZE];

    identity_key_make(&run->service.server.identity_key);
    run->relay = relay_thread_start(&run->service.server, message, sizeof(message));
    return run->relay ? 0 : service_fail(message);
}

static int run_server(struct run *run)
{
    const struct options *options = &run->arguments->options;
    int result = -1;

    if (open_main_ring(run) == 0 && controls_open(run) == 0 &&
        runners_listen(&run->runners, options) == 0 && start_relay(run) == 0 &&
        runners_start(&run->runners) == 0 && open_admin(run, options) == 0) {
        runners_release(&run->runners, false);
        counter_set(&run->admin_state.ready, 1);
        banner_print(run->arguments, &run->service.budget, run->runners.port,
                     run->api ? api_port(run->api) : 0);
        supervisor_ready("accepts connections");
        key_sources_use(run->service.key_sources, options);
        int signal_number = wait_for_signal(run);
        options = run->service.desk.newest->options;
        LOG(LOG_INFO, "stopping", log_number("signal", signal_number),
            log_number("within_ms", options->deadlines.shutdown_ms));
        supervisor_stopping(options->deadlines.shutdown_ms);
        counter_set(&run->admin_state.ready, 0);
        run->stop_by_ms = clock_now_ms() + options->deadlines.shutdown_ms;
        stop_shards(run, options->deadlines.shutdown_ms);
        result = 0;
    } else {
        runners_release(&run->runners, true);
    }
    control_stop(run->control);
    end_threads(run);
    control_close(run->control);
    if (run->ring) {
        ring_close(run->ring);
    }
    return result;
}

/* Before any other thread starts, so that none of them gets one. */
static void block_signals(struct run *run)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    run->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    ASSERT(run->signal_fd >= 0);
}

static void warn(const struct options *options)
{
    char message[MESSAGE_SIZE];

    for (size_t next = 0; options_warning(options, &next, message, sizeof(message));) {
        LOG(LOG_WARN, "questionable option", log_text("option", message));
    }
}

int serve(const struct arguments *arguments)
{
    struct run *run = calloc(1, sizeof(*run));
    int result = -1;

    ASSERT(run != NULL);
    run->arguments = arguments;
    runners_init(&run->runners, &run->service.server);
    log_setup(arguments->options.log.format, arguments->options.log.level);
    fetch_setup();
    block_signals(run);
    ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* a log whose reader has gone ends no server */
    warn(&arguments->options);
    if (service_open(&run->service, &arguments->options) == 0) {
        result = run_server(run);
    }
    service_close(&run->service);
    (void)close(run->signal_fd);
    free(run);
    if (result == 0) {
        LOG(LOG_INFO, "stopped", log_number("status", 0));
    }
    return result == 0 ? 0 : 1;
}

int serve_check(const struct arguments *arguments)
{
    struct service *service = calloc(1, sizeof(*service));

    ASSERT(service != NULL);
    int result = service_check(service, &arguments->options);
    char message[MESSAGE_SIZE];

    for (size_t next = 0; options_warning(&arguments->options, &next, message, sizeof(message));) {
        (void)fprintf(stderr, "warning: %s\n", message);
    }
    if (result == 0) {
        budget_print(&service->budget, &arguments->options, stdout);
        options_describe_namespaces(&arguments->options, stdout);
        (void)printf("%s: ok\n", arguments->options_path ? arguments->options_path : "dev mode");
    }
    service_close(service);
    free(service);
    return result == 0 ? 0 : 1;
}
