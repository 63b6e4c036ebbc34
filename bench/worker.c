#include "bench/worker_state.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX       256
#define STARTS_PER_TURN  32 /* so that answers are not kept waiting by new connections */
#define LEAVES_PER_TURN  256
#define RETURNS_PER_TURN 256
#define SENDS_PER_TURN   256
#define EXPIRE_NS        100000000u
#define IDLE_NS          100000000u
#define NS_PER_MS        1000000u
#define LEAVE_NS         5000000000u /* then what still waits is left to the kernel */

uint32_t worker_client_size(const struct bench_options *options)
{
    return (uint32_t)sizeof(struct client) +
           tls_class_size(tls_class_of(options->version, options->suite));
}

uint32_t worker_work_size(void)
{
    return (uint32_t)sizeof(struct work);
}

/* --- starting --------------------------------------------------------------------------------- */

static enum load_phase phase_of(const struct worker *worker)
{
    return (enum load_phase)counter_read(&worker->load->phase);
}

/* Connections that may start now by the rate. */
static uint32_t allowance(const struct worker *worker, uint64_t now)
{
    if (worker->rate == 0) {
        return STARTS_PER_TURN;
    }
    double due = (double)(now - worker->start_ns) / 1e9 * worker->rate;
    if (due <= worker->started) {
        return 0;
    }
    double behind = due - worker->started;
    return behind > STARTS_PER_TURN ? STARTS_PER_TURN : (uint32_t)behind;
}

static void choose_source(const struct worker *worker, uint32_t index, struct sockaddr_in6 *source)
{
    const struct bench_options *options = worker->load->options;
    uint32_t count = worker->load->plan->source_count;

    if (count == 0) {
        *source = (struct sockaddr_in6){0};
    } else if (options->source_count > 0) {
        *source = options->sources[index % count];
    } else {
        /* In each storm other addresses: the ports of the last one are not free yet. */
        plan_loopback_source(index % count + count * worker->returns.storm, source);
    }
}

/* Groups are filled one after the other: the others have only pings to answer. */
static void start_some(struct worker *worker, uint64_t now)
{
    struct clients *clients = &worker->clients;
    uint32_t allowed = allowance(worker, now);

    while (allowed-- > 0 && worker->started < worker->quota &&
           counter_read(&clients->counts.in_flight) < worker->in_flight_max) {
        struct sockaddr_in6 source;
        const struct group *group = &clients->groups[worker->group_next];
        if (group->started == group->client_count) {
            worker->group_next++;
            continue;
        }
        choose_source(worker, worker->first + worker->started, &source);
        if (!client_start(clients, worker->group_next, worker->first + worker->started, &source)) {
            return;
        }
        worker->started++;
    }
}

static void find_client(const struct clients *clients, uint32_t index, uint32_t *group,
                        uint32_t *number)
{
    uint32_t g = 0;

    while (index - clients->groups[g].first >= clients->groups[g].client_count) {
        g++;
    }
    *group = g;
    *number = index - clients->groups[g].first;
}

/* --- sending ---------------------------------------------------------------------------------- */

static uint64_t heard(const struct load *load)
{
    uint64_t received = 0;

    for (uint32_t i = 0; i < load->heard_count; i++) {
        received += counter_read(&load->heard[i]->received);
    }
    return received;
}

/* Whoever is next: in turn, or whose message came back. NONE: nobody. */
static uint32_t choose_sender(const struct worker *worker)
{
    const struct clients *clients = &worker->clients;

    if (clients->ready) {
        return clients->ready_count == 0 ? NONE : clients->ready[clients->ready_head];
    }
    return worker->first + worker->send_next % worker->quota;
}

static void pass_on(struct worker *worker)
{
    struct clients *clients = &worker->clients;

    if (clients->ready) {
        clients->ready_head = (clients->ready_head + 1) % clients->ready_max;
        clients->ready_count--;
    } else {
        worker->send_next++;
    }
}

/* False when the client is gone, or has no room: then it is passed over, and the number of the
 * message is not used up. */
static bool send_one(struct worker *worker, struct feed *feed, uint32_t index, uint64_t now)
{
    static _Thread_local uint8_t message[MESSAGE_SIZE_MAX];
    struct clients *clients = &worker->clients;
    uint32_t g;
    uint32_t number;

    find_client(clients, index, &g, &number);
    if (!client_can_send(clients, g, number, feed->options.size)) {
        return false;
    }
    feed_next(feed, now, worker->load->is_echo ? 0 : index,
              worker->load->is_echo ? index : feed_channel(feed), message);
    return client_send(clients, g, number, slice_from(message, feed->options.size));
}

static void send_some(struct worker *worker, uint64_t now)
{
    struct feed *feed = &worker->load->feeds[worker->index];

    if (feed->start_ns == 0) {
        feed_start(feed, now);
    }
    uint32_t due = feed_due(feed, now, heard(worker->load));
    uint32_t skipped = 0;

    due = due > SENDS_PER_TURN ? SENDS_PER_TURN : due;
    while (due > 0 && skipped < worker->quota) {
        uint32_t index = choose_sender(worker);
        if (index == NONE) {
            return;
        }
        if (send_one(worker, feed, index, now)) {
            due--;
            skipped = 0;
        } else {
            skipped++;
        }
        pass_on(worker);
    }
}

/* --- coming back ------------------------------------------------------------------------------ */

/* All that are open are expected back; when we cut, at once. */
static void begin_storm(struct worker *worker)
{
    struct clients *clients = &worker->clients;
    const struct bench_storm *storm = &worker->load->options->storm;

    returns_begin(&worker->returns, worker->load->storm_tickets[worker->returns.storm],
                  storm->spread_s * 1000);
    clients->cut_ns = counter_read(&worker->load->cut_ns);
    for (uint32_t i = 0; i < worker->quota; i++) {
        uint32_t group;
        uint32_t number;
        find_client(clients, worker->first + i, &group, &number);
        if (clients->groups[group].clients[number].stage == CLIENT_OPEN) {
            returns_expect(&worker->returns, i);
            if (!storm->by_server) {
                (void)client_cut(clients, group, number);
            }
        }
    }
    counter_set(&worker->returns.counts[worker->returns.storm - 1].begun, 1);
}

static void storm_some(struct worker *worker, uint64_t now)
{
    struct clients *clients = &worker->clients;

    if (worker->returns.storm != counter_read(&worker->load->storm)) {
        begin_storm(worker);
    }
    clients->cut_ns = counter_read(&worker->load->cut_ns);
    /* Real clients do not share a CPU: an answer does not wait for others to begin. */
    for (uint32_t i = 0; i < RETURNS_PER_TURN && !worker->is_behind; i++) {
        uint32_t index = returns_next(&worker->returns, now);
        uint32_t group;
        uint32_t number;
        struct sockaddr_in6 source;
        if (index == NONE) {
            return;
        }
        find_client(clients, worker->first + index, &group, &number);
        choose_source(worker, worker->first + index, &source);
        if (client_restart(clients, group, number, &source)) {
            returns_tried(&worker->returns, index, now - clients->cut_ns);
        } else {
            returns_later(&worker->returns, index, now);
        }
    }
}

/* --- turns ------------------------------------------------------------------------------------ */

/* True when every client has been told to go. */
static bool leave_some(struct worker *worker)
{
    struct clients *clients = &worker->clients;

    for (uint32_t i = 0; i < LEAVES_PER_TURN && worker->leave_group < clients->group_count; i++) {
        const struct group *group = &clients->groups[worker->leave_group];
        if (worker->leave_number == group->client_count) {
            worker->leave_group++;
            worker->leave_number = 0;
            continue;
        }
        if (!client_leave(clients, worker->leave_group, worker->leave_number)) {
            return false; /* until some have gone */
        }
        worker->leave_number++;
    }
    return worker->leave_group == clients->group_count;
}

static bool all_gone(const struct clients *clients)
{
    for (uint32_t g = 0; g < clients->group_count; g++) {
        for (uint32_t i = 0; i < clients->groups[g].client_count; i++) {
            if (clients->groups[g].clients[i].stage != CLIENT_GONE) {
                return false;
            }
        }
    }
    return true;
}

static uint64_t wait_ns(const struct worker *worker, uint64_t now)
{
    const struct clients *clients = &worker->clients;
    const struct load *load = worker->load;
    uint64_t still_ns = load->feeds ? NS_PER_MS : IDLE_NS; /* LOAD_SEND is noticed at once */

    switch (phase_of(worker)) {
    case LOAD_RAMP:
        if (worker->started == worker->quota ||
            counter_read(&clients->counts.in_flight) >= worker->in_flight_max) {
            return still_ns;
        }
        return allowance(worker, now) > 0 ? 0 : NS_PER_MS;
    case LOAD_HOLD:
        return still_ns;
    case LOAD_SEND:
        if (counter_read(&load->feeds[worker->index].is_done) == 1) {
            return IDLE_NS;
        }
        return clients->ready && clients->ready_count == 0
                   ? NS_PER_MS
                   : feed_wait_ns(&load->feeds[worker->index], now);
    case LOAD_STORM:
        return wheel_next_ms(&worker->returns.wheel, now / NS_PER_MS) > 0 ? NS_PER_MS : 0;
    case LOAD_CLOSE:
        break;
    }
    return worker->leave_group < clients->group_count ? 0 : NS_PER_MS;
}

/* A ring's descriptor is readable when it has completions, or deferred work that makes some; but
 * such work does not wake a poll that sleeps already: that is what the eventfd is for, which says
 * nothing of work that was left over. */
static void serve(struct worker *worker, uint64_t now)
{
    static _Thread_local struct ring_event events[EVENTS_MAX];
    struct clients *clients = &worker->clients;
    uint64_t duration_ns = wait_ns(worker, now);
    struct timespec timeout = {.tv_nsec = (long)(duration_ns > IDLE_NS ? IDLE_NS : duration_ns)};

    for (uint32_t i = 0; i < clients->group_count; i++) {
        timeout.tv_nsec = clients->groups[i].has_queued ? 0 : timeout.tv_nsec;
    }
    worker->is_behind = false;
    (void)ppoll(worker->waits, 2 * (nfds_t)clients->group_count, &timeout, NULL);
    for (uint32_t g = 0; g < clients->group_count; g++) {
        struct group *group = &clients->groups[g];
        const struct pollfd *waits = &worker->waits[2 * (size_t)g];
        if (!group->has_queued && waits[0].revents == 0 && waits[1].revents == 0) {
            continue;
        }
        if (waits[1].revents != 0) {
            uint64_t times;
            (void)!read(group->event_fd, &times, sizeof(times)); /* it was told */
        }
        uint32_t count = ring_wait(group->ring, 0, events, EVENTS_MAX, &now);
        worker->is_behind |= count == EVENTS_MAX;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t buffer = events[i].buffer;
            client_handle(clients, g, &events[i],
                          buffer == NONE ? NULL : ring_buffer_at(group->ring, buffer));
            if (buffer != NONE) {
                ring_buffer_give(group->ring, buffer);
            }
        }
        group->has_queued = count > 0; /* handlers queue */
    }
}

/* False when the worker is done. */
static bool turn(struct worker *worker)
{
    uint64_t now = client_clock();

    switch (phase_of(worker)) {
    case LOAD_RAMP:
        start_some(worker, now);
        break;
    case LOAD_HOLD:
        break;
    case LOAD_SEND:
        send_some(worker, now);
        break;
    case LOAD_STORM:
        storm_some(worker, now);
        break;
    case LOAD_CLOSE:
        worker->leave_ns = worker->leave_ns == 0 ? now : worker->leave_ns;
        if (leave_some(worker) &&
            (all_gone(&worker->clients) || now - worker->leave_ns > LEAVE_NS)) {
            return false;
        }
        worker->leave_ns =
            worker->leave_group < worker->clients.group_count ? now : worker->leave_ns;
        break;
    }
    if (now - worker->expired_ns > EXPIRE_NS) {
        worker->expired_ns = now;
        client_expire(&worker->clients, now);
    }
    serve(worker, now);
    return true;
}

static void *run(void *argument)
{
    struct worker *worker = argument;

    worker->failed = !worker_open(worker);
    bool failed = worker->failed;
    worker->start_ns = client_clock();
    ASSERT(sem_post(&worker->ready) == 0); /* the message is the starter's again */
    while (!failed && turn(worker)) {
    }
    worker_close(worker);
    return NULL;
}

struct worker *worker_start(struct load *load, uint32_t index, char *message, size_t message_size)
{
    const struct bench_options *options = load->options;
    uint64_t total = options->connections;
    struct worker *worker = calloc(1, sizeof(*worker));

    ASSERT(index < options->threads);
    if (!worker) {
        (void)snprintf(message, message_size, "out of memory");
        return NULL;
    }
    worker->load = load;
    worker->index = index;
    worker->first = (uint32_t)(total * index / options->threads);
    worker->quota = (uint32_t)(total * (index + 1) / options->threads) - worker->first;
    worker->in_flight_max = options->in_flight_max / options->threads;
    worker->rate = (double)options->rate / options->threads;
    worker->message = message;
    worker->message_size = message_size;
    worker->clients = (struct clients){
        .target = load->target,
        .headers = options->headers,
        .header_count = options->header_count,
        .tokens = load->tokens,
        .state_size = tls_class_size(tls_class_of(options->version, options->suite)),
        .timeout_ns = (uint64_t)options->timeout_ms * 1000000u,
    };
    ASSERT(sem_init(&worker->ready, 0, 0) == 0);
    if (pthread_create(&worker->thread, NULL, run, worker) != 0) {
        (void)snprintf(message, message_size, "no thread: raise RLIMIT_NPROC or pid_max");
        free(worker);
        return NULL;
    }
    while (sem_wait(&worker->ready) != 0) {
        ASSERT(errno == EINTR);
    }
    if (worker->failed) {
        ASSERT(pthread_join(worker->thread, NULL) == 0);
        free(worker);
        return NULL;
    }
    return worker;
}

const struct load_counts *worker_counts(const struct worker *worker)
{
    return &worker->clients.counts;
}

const struct delivery_counts *worker_deliveries(const struct worker *worker)
{
    return &worker->clients.deliveries.counts;
}

const struct return_counts *worker_returns(const struct worker *worker, uint32_t storm)
{
    return &worker->returns.counts[storm];
}

const struct clients *worker_join(struct worker *worker)
{
    ASSERT(phase_of(worker) == LOAD_CLOSE);
    ASSERT(pthread_join(worker->thread, NULL) == 0);
    return &worker->clients;
}

void worker_free(struct worker *worker)
{
    (void)sem_destroy(&worker->ready);
    if (worker->clients.returns) {
        returns_close(&worker->returns);
    }
    free(worker);
}
