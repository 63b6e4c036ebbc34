#include "server/serve.h"

#include "io/address.h"
#include "io/listener.h"
#include "server/api.h"
#include "server/banner.h"
#include "server/parcels.h"
#include "server/relay_counts.h"
#include "server/relay_thread.h"
#include "server/reload.h"
#include "server/shard.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_SIZE 1024
#define STOP_MS_MIN  200 /* for what the broker has not answered yet */

/* Where the main thread and the shards' threads meet, at the start and at the end. */
struct start {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint32_t ready_count;
    bool failed;
    bool go; /* listen, or when failed is set: end */
    uint32_t stopped_count;
    bool end; /* nobody reads the shards' counters any more */
    char message[MESSAGE_SIZE];
};

struct runner {
    struct server *server;
    struct start *start;
    uint32_t number;
    int listener_fds[OPTIONS_LISTEN_MAX];
    bool is_ipv6[OPTIONS_LISTEN_MAX];
    uint32_t listener_count;
    pthread_t thread;
    bool is_started;
    struct shard *shard;
};

/* Everything that a running server holds. */
struct service {
    struct budget budget;
    struct server server;
    struct certificate_set *certificates;
    struct token_keys *token_keys;
    struct api_keys *api_keys; /* NULL: no HTTP API */
    struct api *api;           /* the admin port; NULL: none */
    struct admin_state admin_state;
    struct start start;
    struct runner runners[SHARDS_MAX];
    const void *blocks[SHARDS_MAX];
    struct metrics metrics;
    struct metrics relay_metrics;
    const void *relay_block;
    struct relay_thread *relay;
    uint64_t stop_by_ms;
    struct ring *ring; /* the main thread's, to wake shards with */
    uint16_t port;
};

static int fail(const char *message)
{
    (void)fprintf(stderr, "limpet: %s\n", message);
    return -1;
}

static int open_certificates(struct service *service, const struct options *options)
{
    struct certificate_files files[OPTIONS_CERTIFICATES_MAX];
    char message[MESSAGE_SIZE];

    for (uint32_t i = 0; i < options->tls.certificate_count; i++) {
        files[i] =
            (struct certificate_files){.certificate_path = options->tls.certificates[i].certificate,
                                       .key_path = options->tls.certificates[i].key};
    }
    service->certificates =
        certificate_set_open(files, options->tls.certificate_count, message, sizeof(message));
    if (!service->certificates) {
        return fail(message);
    }
    service->server.certificates = service->certificates;
    if (options->tls.tickets) {
        service->server.tickets = ticket_keys_open(
            options->tls.ticket_key_file, options->tls.ticket_rotate_s, message, sizeof(message));
        if (!service->server.tickets) {
            return fail(message);
        }
    }
    return 0;
}

static int open_token_keys(struct service *service, const struct options *options)
{
    struct token_key_options keys[OPTIONS_KEYS_MAX];
    struct token_options token_options;
    char message[MESSAGE_SIZE];

    if (!options->token.required) {
        return 0;
    }
    arguments_token_options(options, keys, &token_options);
    service->token_keys = token_keys_open(&token_options, message, sizeof(message));
    if (!service->token_keys) {
        return fail(message);
    }
    service->server.token_keys = service->token_keys;
    return 0;
}

static int open_api_keys(struct service *service, const struct options *options)
{
    char message[MESSAGE_SIZE];

    if (!options->admin.api_key_file) {
        return 0;
    }
    service->api_keys = api_keys_open(options->admin.api_key_file, message, sizeof(message));
    return service->api_keys ? 0 : fail(message);
}

/* The counts that all shards share; one that no limit needs is left out. */
static int open_tallies(struct service *service, const struct options *options)
{
    struct server *server = &service->server;
    uint32_t sockets = service->budget.sockets_max * service->budget.shard_count;

    server->open = tally_open(64);
    if (options->limits.connections_per_address_max > 0) {
        server->addresses = tally_open(sockets);
    }
    if (options->limits.connections_per_user_max > 0) {
        server->users = tally_open(sockets);
    }
    if (!server->open || (options->limits.connections_per_address_max > 0 && !server->addresses) ||
        (options->limits.connections_per_user_max > 0 && !server->users)) {
        return fail("no memory for the counts per address and user");
    }
    for (uint32_t i = 0; i < server->shard_count; i++) {
        server->mailboxes[i] = mailbox_open(options->limits.mailbox_size);
        if (!server->mailboxes[i]) {
            return fail("no memory for the shards' mailboxes: lower limits.mailbox_size");
        }
    }
    return 0;
}

/* Everything but rings, listeners and threads. */
static int open_shared(struct service *service, const struct options *options)
{
    char message[MESSAGE_SIZE];

    if (budget_make(options, &service->budget, message, sizeof(message)) != 0) {
        return fail(message);
    }
    service->server.options = options;
    service->server.budget = &service->budget;
    service->server.shard_count = service->budget.shard_count;
    listener_warn_of_backlog(options->listen_backlog);
    if (open_certificates(service, options) != 0 || open_token_keys(service, options) != 0 ||
        open_api_keys(service, options) != 0) {
        return -1;
    }
    return open_tallies(service, options);
}

/* All that `limpet check` looks at, on to the end: every problem is told, not the first alone. */
static int check_shared(struct service *service, const struct options *options)
{
    char message[MESSAGE_SIZE];
    int result = 0;

    if (budget_make(options, &service->budget, message, sizeof(message)) != 0) {
        result = fail(message);
    }
    if (open_certificates(service, options) != 0) {
        result = -1;
    }
    if (open_token_keys(service, options) != 0) {
        result = -1;
    }
    if (open_api_keys(service, options) != 0) {
        result = -1;
    }
    listener_warn_of_backlog(options->listen_backlog);
    return result;
}

static void close_shared(struct service *service)
{
    struct server *server = &service->server;

    for (uint32_t i = 0; i < server->shard_count; i++) {
        if (server->mailboxes[i]) {
            mailbox_close(server->mailboxes[i]);
        }
    }
    struct tally *tallies[] = {server->open, server->addresses, server->users};
    for (size_t i = 0; i < sizeof(tallies) / sizeof(tallies[0]); i++) {
        if (tallies[i]) {
            tally_close(tallies[i]);
        }
    }
    api_keys_close(service->api_keys);
    if (service->token_keys) {
        token_keys_close(service->token_keys);
    }
    if (server->tickets) {
        ticket_keys_close(server->tickets);
    }
    if (service->certificates) {
        certificate_set_close(service->certificates);
    }
}

/* One listening socket a shard for one address; a port of 0 is chosen by the first. */
static int listen_on(struct service *service, const struct options *options, const char *text)
{
    struct listener_options listener = {
        .backlog = options->listen_backlog,
        .user_timeout_ms = options->tcp_user_timeout_ms,
        .receive_buffer_size = options->socket_receive_size,
        .send_buffer_size = options->socket_send_size,
    };
    char message[MESSAGE_SIZE];

    if (address_parse(slice_text(text), &listener.address) != 0) {
        (void)snprintf(message, sizeof(message), "listen: %s is no address", text);
        return fail(message);
    }
    if (listener_probe(&listener, message, sizeof(message)) != 0) {
        return fail(message);
    }
    for (uint32_t i = 0; i < service->server.shard_count; i++) {
        struct runner *runner = &service->runners[i];
        int fd = listener_open(&listener, message, sizeof(message));
        if (fd < 0) {
            return fail(message);
        }
        runner->listener_fds[runner->listener_count] = fd;
        runner->is_ipv6[runner->listener_count] = listener.address.sin6_family == AF_INET6;
        runner->listener_count++;
        listener.address.sin6_port = htons(listener_port(fd));
    }
    if (service->port == 0) {
        service->port = ntohs(listener.address.sin6_port);
    }
    return 0;
}

static void say_started(struct start *start, const char *message)
{
    pthread_mutex_lock(&start->mutex);
    if (message) {
        if (!start->failed) {
            (void)snprintf(start->message, sizeof(start->message), "%s", message);
        }
        start->failed = true;
    }
    start->ready_count++;
    pthread_cond_broadcast(&start->changed);
    while (!start->go) {
        pthread_cond_wait(&start->changed, &start->mutex);
    }
    pthread_mutex_unlock(&start->mutex);
}

static void say_stopped(struct start *start)
{
    pthread_mutex_lock(&start->mutex);
    start->stopped_count++;
    pthread_cond_broadcast(&start->changed);
    while (!start->end) {
        pthread_cond_wait(&start->changed, &start->mutex);
    }
    pthread_mutex_unlock(&start->mutex);
}

/* A shard's thread: its memory is touched first here, on the core where it runs. */
static void *run_shard(void *argument)
{
    struct runner *runner = argument;
    char message[MESSAGE_SIZE];
    char name[16];

    (void)snprintf(name, sizeof(name), "shard-%u", runner->number);
    pthread_setname_np(pthread_self(), name);
    runner->shard = shard_open(runner->server, runner->number, message, sizeof(message));
    bool opened = runner->shard && shard_open_ring(runner->shard, message, sizeof(message)) == 0;
    if (opened) {
        runner->server->ring_fds[runner->number] = ring_fd(runner->shard->ring);
    }
    say_started(runner->start, opened ? NULL : message);
    if (runner->start->failed) {
        for (uint32_t i = 0; i < runner->listener_count; i++) {
            close(runner->listener_fds[i]);
        }
    } else {
        for (uint32_t i = 0; i < runner->listener_count; i++) {
            shard_listen(runner->shard, runner->listener_fds[i], runner->is_ipv6[i]);
        }
        while (shard_tick(runner->shard)) {
        }
    }
    say_stopped(runner->start);
    if (runner->shard) {
        shard_close(runner->shard);
    }
    return NULL;
}

static int start_shards(struct service *service)
{
    struct start *start = &service->start;
    uint32_t count = service->server.shard_count;
    uint32_t started = 0;

    for (; started < count; started++) {
        struct runner *runner = &service->runners[started];
        runner->server = &service->server;
        runner->start = start;
        runner->number = started;
        int error = pthread_create(&runner->thread, NULL, run_shard, runner);
        if (error != 0) {
            (void)snprintf(start->message, sizeof(start->message), "thread %u of %u: %s", started,
                           count, strerrordesc_np(error));
            start->failed = true;
            break;
        }
        runner->is_started = true;
    }
    pthread_mutex_lock(&start->mutex);
    while (start->ready_count < started) {
        pthread_cond_wait(&start->changed, &start->mutex);
    }
    for (uint32_t i = 0; i < started; i++) {
        service->blocks[i] = service->runners[i].shard ? &service->runners[i].shard->counts : NULL;
    }
    pthread_mutex_unlock(&start->mutex);
    return start->failed ? fail(start->message) : 0;
}

/* Lets the shards' threads go on: to listen, or to end when the start failed. */
static void release_shards(struct service *service, bool failed)
{
    struct start *start = &service->start;

    pthread_mutex_lock(&start->mutex);
    start->failed = start->failed || failed;
    start->go = true;
    pthread_cond_broadcast(&start->changed);
    pthread_mutex_unlock(&start->mutex);
}

static uint64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* What is left of the time to stop in; a moment at least. */
static uint32_t stop_ms_left(const struct service *service)
{
    const uint64_t now_ms = monotonic_ms();

    return service->stop_by_ms > now_ms + STOP_MS_MIN ? (uint32_t)(service->stop_by_ms - now_ms)
                                                      : STOP_MS_MIN;
}

/* Waits until all have stopped, closes the admin port (it reads their counters, and asks the
 * relay), stops the relay, and lets them end. */
static void join_shards(struct service *service)
{
    struct start *start = &service->start;
    uint32_t started = 0;

    for (uint32_t i = 0; i < service->server.shard_count; i++) {
        started += service->runners[i].is_started ? 1 : 0;
    }
    pthread_mutex_lock(&start->mutex);
    while (start->stopped_count < started) {
        pthread_cond_wait(&start->changed, &start->mutex);
    }
    api_stop(service->api);
    relay_thread_stop(service->relay, stop_ms_left(service));
    start->end = true;
    pthread_cond_broadcast(&start->changed);
    pthread_mutex_unlock(&start->mutex);
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(service->runners[i].thread, NULL);
    }
    relay_thread_close(service->relay);
    api_close(service->api); /* when nobody answers any more */
}

static int open_admin(struct service *service, const struct options *options)
{
    char message[MESSAGE_SIZE];

    service->metrics = (struct metrics){
        .table = counts_metrics,
        .table_size = counts_metrics_size,
        .blocks = service->blocks,
        .block_count = service->server.shard_count,
        .next = &service->relay_metrics,
    };
    service->relay_block = relay_counts(service->server.relay);
    service->relay_metrics = (struct metrics){
        .table = relay_metrics,
        .table_size = relay_metrics_size,
        .blocks = &service->relay_block,
        .block_count = 1,
        .is_shared = true,
    };
    if (options->admin.listen[0] == '\0') {
        return 0;
    }
    const struct api_sources sources = {
        .options = options,
        .namespaces = &options->namespaces,
        .relay = service->server.relay,
        .keys = service->api_keys,
        .metrics = &service->metrics,
        .state = &service->admin_state,
    };
    service->api = api_open(&sources, message, sizeof(message));
    return service->api ? 0 : fail(message);
}

/*
 * Checking tokens is done in glibc's heap, which keeps what was freed. So it goes back to the
 * system after every second in which someone was answered. What was answered counts, not what was
 * accepted: a crowd that had not spoken yet would be forgotten.
 */
static void trim_heap(const struct service *service, uint64_t *answered_before)
{
    uint64_t answered = 0;

    for (uint32_t i = 0; i < service->server.shard_count; i++) {
        const struct counts *counts = service->blocks[i];
        for (uint32_t reason = 0; reason < UPGRADE_REASONS; reason++) {
            answered += counter_read(&counts->upgrades[reason]);
        }
    }
    if (answered != *answered_before) {
        malloc_trim(0);
        *answered_before = answered;
    }
}

/* Once a second turns ticket keys and trims the heap, until a signal to stop comes. */
static int wait_for_signal(struct service *service, const sigset_t *signals)
{
    struct timespec second = {.tv_sec = 1};
    uint64_t answered_before = 0;

    for (;;) {
        int signal_number = sigtimedwait(signals, NULL, &second);
        if (signal_number == SIGTERM || signal_number == SIGINT) {
            return signal_number;
        }
        if (signal_number == SIGHUP) {
            reload_keys(&service->server, service->api_keys);
        }
        if (service->server.tickets) {
            ticket_keys_rotate(service->server.tickets, monotonic_ms());
        }
        trim_heap(service, &answered_before);
    }
}

static void stop_shards(struct service *service, const struct options *options)
{
    uint64_t now_ns;
    struct ring_event event;

    counter_set(&service->admin_state.ready, 0);
    service->stop_by_ms = monotonic_ms() + options->deadlines.shutdown_ms;
    parcels_stop(&service->server, options->deadlines.shutdown_ms, service->ring);
    uint32_t count = ring_wait(service->ring, 0, &event, 1, &now_ns);
    (void)count; /* only sends the wake-ups on their way */
}

static int open_listeners(struct service *service, const struct options *options)
{
    for (uint32_t i = 0; i < options->listen.count; i++) {
        if (listen_on(service, options, options->listen.names[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

static int open_main_ring(struct service *service)
{
    struct ring_options ring_options = {.sockets_max = 1,
                                        .buffer_count = 1,
                                        .buffer_size = 64,
                                        .submit_max = 64,
                                        .complete_max = 64};
    char message[MESSAGE_SIZE];
    int error = 0;

    service->ring = ring_open(&ring_options, &error, message, sizeof(message));
    return service->ring ? 0 : fail(message);
}

static int start_relay(struct service *service)
{
    char message[MESSAGE_SIZE];

    identity_key_make(&service->server.identity_key);
    service->relay = relay_thread_start(&service->server, message, sizeof(message));
    return service->relay ? 0 : fail(message);
}

static int run(struct service *service, const struct arguments *arguments, const sigset_t *signals)
{
    const struct options *options = &arguments->options;
    int result = -1;

    if (open_main_ring(service) == 0 && open_listeners(service, options) == 0 &&
        start_relay(service) == 0 && start_shards(service) == 0 &&
        open_admin(service, options) == 0) {
        release_shards(service, false);
        counter_set(&service->admin_state.ready, 1);
        banner_print(arguments, &service->budget, service->port,
                     service->api ? api_port(service->api) : 0);
        int signal_number = wait_for_signal(service, signals);
        LOG(LOG_INFO, "stopping", log_number("signal", signal_number),
            log_number("within_ms", options->deadlines.shutdown_ms));
        stop_shards(service, options);
        result = 0;
    } else {
        release_shards(service, true);
    }
    join_shards(service);
    if (service->ring) {
        ring_close(service->ring);
    }
    return result;
}

int serve(const struct arguments *arguments)
{
    struct service *service = calloc(1, sizeof(*service));
    sigset_t signals;
    int result = -1;

    ASSERT(service != NULL);
    pthread_mutex_init(&service->start.mutex, NULL);
    pthread_cond_init(&service->start.changed, NULL);
    log_setup(arguments->options.log.format, arguments->options.log.level);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    ASSERT(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* a log whose reader has gone ends no server */
    if (open_shared(service, &arguments->options) == 0) {
        result = run(service, arguments, &signals);
    }
    close_shared(service);
    free(service);
    if (result == 0) {
        LOG(LOG_INFO, "stopped", log_number("status", 0));
    }
    return result == 0 ? 0 : 1;
}

int serve_check(const struct arguments *arguments)
{
    struct service *service = calloc(1, sizeof(*service));

    ASSERT(service != NULL);
    int result = check_shared(service, &arguments->options);
    if (result == 0) {
        budget_print(&service->budget, &arguments->options, stdout);
        options_describe_namespaces(&arguments->options, stdout);
        (void)printf("%s: ok\n", arguments->options_path ? arguments->options_path : "dev mode");
    }
    close_shared(service);
    free(service);
    return result == 0 ? 0 : 1;
}
