#include "server/shard.h"

#include "pubsub/message.h"
#include "server/alive.h"
#include "server/deadlines.h"
#include "server/handshakes.h"
#include "server/inbound.h"
#include "server/opening.h"
#include "server/outbound.h"
#include "server/parcels.h"
#include "server/renewal.h"
#include "server/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TRIM_INTERVAL_MS  1000
#define RETRY_MS          10    /* when the arena was full */
#define SEND_SIZE_ASSUMED 16384 /* bytes: the kernel's, before it grows */

bool shard_count_open(struct shard *shard, bool open)
{
    static const char key[] = "open";
    struct tally *tally = shard->server->open;

    if (!open) {
        /* There is one key, so every connection's entry is the same as long as one is counted. */
        tally_leave(tally, shard->open_entry);
        shard->open_count--;
        return true;
    }
    if (tally_enter(tally, slice_text(key), shard->server->budget->connections_max,
                    &shard->open_entry) != TALLY_COUNTED) {
        return false;
    }
    shard->open_count++;
    return true;
}

/* Somebody will ask who a connection is. */
static bool keeps_identities(const struct options *options)
{
    bool is_asked = options->broker.forward;

    for (uint32_t i = 0; i < options->namespaces.count; i++) {
        is_asked = is_asked || options->namespaces.entries[i].has_presence;
    }
    return is_asked;
}

static int open_pools(struct shard *shard)
{
    const struct budget *budget = shard->server->budget;
    int error = 0;

    error |= pool_open(&shard->conns, POOL_PLAIN, sizeof(struct conn), budget->sockets_max);
    for (uint32_t class = 0; class < TLS_CLASSES; class ++) {
        error |=
            pool_open(&shard->tls[class], POOL_SECRET, tls_class_size(class), budget->sockets_max);
    }
    error |= pool_open(&shard->openings, POOL_PLAIN, sizeof(struct opening), budget->openings_max);
    error |= pool_open(&shard->partials, POOL_SECRET, sizeof(struct partial), budget->partials_max);
    error |= pool_open(&shard->nodes, POOL_PLAIN, sizeof(struct queue_node), budget->nodes_max);
    error |= arena_open(&shard->arena, budget->arena_size);
    error |= errands_open(&shard->errands, budget->sockets_max);
    error |= identities_open(&shard->identities, keeps_identities(shard->options),
                             budget->sockets_max, &shard->arena);
    error |= fanout_open(&shard->fanout, budget->topics_max);
    error |= drain_open(&shard->drain, budget->sockets_max);
    error |= queue_open(&shard->dirty, budget->sockets_max);
    error |= queue_open(&shard->reap, budget->sockets_max);
    error |= queue_open(&shard->continuing, budget->sockets_max);
    error |= admission_open(&shard->admission, budget->sockets_max);
    return error;
}

/* Keys in swap outlive the process: tell the operator, once. */
static void warn_when_not_locked(const struct shard *shard)
{
    bool locked = shard->partials.locked;

    for (uint32_t class = 0; class < TLS_CLASSES; class ++) {
        locked = locked && shard->tls[class].locked;
    }
    if (!locked && shard->number == 0) {
        LOG(LOG_INFO, "TLS keys are not locked in memory and may reach swap",
            log_text("fix", "raise RLIMIT_MEMLOCK (LimitMEMLOCK=), or run without swap"));
    }
}

static void set_limits(struct shard *shard)
{
    const struct options *options = shard->options;

    shard->ws_limits = (struct ws_limits){
        .role = WS_SERVER,
        .message_size_max = options->limits.message_size_max,
    };
    shard->ws_limits_deflate = shard->ws_limits;
    shard->ws_limits_deflate.deflate = true;
    shard->ws_limits_deflate.deflated_size_max =
        deflate_wire_size_max(options->limits.message_size_max);
}

/* The ping that all connections share: made once, never released. */
static bool make_ping(struct shard *shard)
{
    uint8_t header[WS_HEADER_SIZE_MAX];
    size_t size = ws_write_header(WS_PING, 0, header);

    shard->ping = message_new(&shard->arena, (uint32_t)size);
    if (shard->ping == NONE) {
        return false;
    }
    memcpy(message_at(&shard->arena, shard->ping)->bytes, header, size);
    return true;
}

static bool open_services(struct shard *shard, char *message, size_t message_size)
{
    const struct server *server = shard->server;
    struct channel_limits channel_limits = {
        .channels_max = server->budget->channels_max,
        .subscriptions_max = server->budget->subscriptions_max,
        .conns_max = server->budget->sockets_max,
        .tracks = relay_follows(server->relay),
        .arena = &shard->arena,
    };
    struct tls_server_options tls_options = {
        .certificates = shard->settings ? shard->settings->certificates : server->certificates,
        .tickets = server->tickets,
        .handshakes_max = server->budget->handshakes_max,
        .tls_1_2 = shard->options->tls.tls_1_2,
    };

    shard->channels = channel_table_open(&channel_limits);
    if (!shard->channels || !make_ping(shard)) {
        (void)snprintf(message, message_size, "shard %u: no memory for its channels",
                       shard->number);
        return false;
    }
    if (shard->options->upgrade.deflate) {
        shard->deflater = deflate_open((int)shard->options->upgrade.deflate_level,
                                       shard->options->limits.message_size_max);
        if (!shard->deflater) {
            (void)snprintf(message, message_size, "shard %u: no memory for upgrade.deflate",
                           shard->number);
            return false;
        }
    }
    shard->tls_server = tls_server_open(&tls_options, message, message_size);
    return shard->tls_server != NULL;
}

/* The shards' shares add up to what the server holds. */
static uint32_t share_of_capacity(const struct server *server, uint32_t number)
{
    const uint32_t all = server->budget->connections_max;

    return all / server->shard_count + (number < all % server->shard_count ? 1 : 0);
}

struct shard *shard_open(const struct server *server, uint32_t number, char *message,
                         size_t message_size)
{
    struct shard *shard = calloc(1, sizeof(*shard));

    if (!shard) {
        (void)snprintf(message, message_size, "shard %u: no memory", number);
        return NULL;
    }
    shard->server = server;
    shard->number = number;
    renewal_begin(shard);
    shard->send_size =
        shard->options->socket_send_size ? 2 * shard->options->socket_send_size : SEND_SIZE_ASSUMED;
    if (open_pools(shard) != 0) {
        (void)snprintf(
            message, message_size,
            "shard %u: its memory cannot be reserved; lower limits.connections_max or "
            "limits.arena_size, or raise vm.max_map_count and the memory limit (ulimit -v)",
            number);
        shard_close(shard);
        return NULL;
    }
    warn_when_not_locked(shard);
    set_limits(shard);
    if (!open_services(shard, message, message_size)) {
        shard_close(shard);
        return NULL;
    }
    counter_set(&shard->counts.connections_capacity, share_of_capacity(server, number));
    counter_set(&shard->counts.sockets_max, server->budget->sockets_max);
    counter_set(&shard->counts.pool_size[COUNTED_TLS], server->budget->sockets_max);
    counter_set(&shard->counts.pool_size[COUNTED_OPENINGS], server->budget->openings_max);
    counter_set(&shard->counts.pool_size[COUNTED_PARTIALS], server->budget->partials_max);
    counter_set(&shard->counts.pool_size[COUNTED_NODES], server->budget->nodes_max);
    counter_set(&shard->counts.arena_size, server->budget->arena_size);
    return shard;
}

int shard_open_ring(struct shard *shard, char *message, size_t message_size)
{
    const struct options *options = shard->options;
    struct ring_options ring_options = {
        .sockets_max = shard->server->budget->sockets_max,
        .buffer_count = options->limits.receive_buffer_count,
        .buffer_size = options->limits.receive_buffer_size,
    };
    int error = 0;

    shard->ring = ring_open(&ring_options, &error, message, message_size);
    if (!shard->ring) {
        return -1;
    }
    /* The first wait, which does not wait, tells the time. */
    uint32_t count = ring_wait(shard->ring, 0, shard->events, 1, &shard->now_ns);
    ASSERT(count == 0);
    shard->now_ms = shard->now_ns / 1000000;
    shard->start_ms = shard->now_ms;
    counter_set(&shard->counts.ticked_ms, shard->now_ms); /* the first tick is due from now on */
    if (wheel_open(&shard->wheel, shard->server->budget->sockets_max, shard->now_ms) != 0) {
        (void)snprintf(message, message_size, "shard %u: no memory for its timers", shard->number);
        return -1;
    }
    shard->trim_next_ms = shard->now_ms + TRIM_INTERVAL_MS;
    return 0;
}

/* A completion of an earlier owner of the number. None should ever come (a number is freed when
 * nothing is in flight), so this only guards. */
static bool is_stale(struct shard *shard, const struct ring_event *event)
{
    return !pool_is_taken(&shard->conns, event->number) ||
           conn_at(shard, event->number)->generation != event->generation;
}

static void handle(struct shard *shard, const struct ring_event *event)
{
    switch (event->operation) {
    case RING_ACCEPT:
        accepting_accepted(shard, event);
        return;
    case RING_WAKE:
    case RING_CANCEL:
        return; /* the mailbox is looked at in every tick; the cancelled operation itself reports */
    case RING_NAME:
    case RING_POLL:
    case RING_RECEIVE:
    case RING_SEND:
    case RING_UNSENT:
    case RING_CLOSE:
        break;
    case RING_CONNECT:
    case RING_OPERATIONS:
        ASSERT(false); /* an operation that the server never starts */
    }
    if (is_stale(shard, event)) {
        if (event->buffer != NONE) {
            ring_buffer_give(shard->ring, event->buffer);
        }
        return;
    }
    if (event->operation == RING_NAME) {
        accepting_named(shard, event);
    } else if (event->operation == RING_POLL) {
        inbound_polled(shard, event);
    } else if (event->operation == RING_RECEIVE) {
        inbound_received(shard, event);
    } else if (event->operation == RING_SEND) {
        outbound_sent(shard, event);
    } else if (event->operation == RING_UNSENT) {
        outbound_asked(shard, event);
    } else {
        conn_free(shard, event->number);
    }
}

static void released(void *context, uint32_t first_number)
{
    struct shard *shard = context;

    wheel_trim(&shard->wheel, first_number);
    channel_trim_conns(shard->channels, first_number);
}

/* Gives back what a crowd that has left had used. */
static void trim(struct shard *shard)
{
    if (shard->now_ms < shard->trim_next_ms) {
        return;
    }
    shard->trim_next_ms = shard->now_ms + TRIM_INTERVAL_MS;
    pool_trim(&shard->conns, released, shard);
    for (uint32_t class = 0; class < TLS_CLASSES; class ++) {
        pool_trim(&shard->tls[class], NULL, NULL);
    }
    pool_trim(&shard->openings, NULL, NULL);
    pool_trim(&shard->partials, NULL, NULL);
    pool_trim(&shard->nodes, NULL, NULL);
    identities_trim(&shard->identities);
    channel_trim(shard->channels);
    pool_trim(&shard->fanout.topics, NULL, NULL);
    arena_trim(&shard->arena);
    handshake_trim(shard->tls_server);
    queue_trim(&shard->errands.joining);
    queue_trim(&shard->dirty);
    queue_trim(&shard->reap);
    queue_trim(&shard->continuing);
    admission_trim(&shard->admission);
}

static uint32_t tls_states(const struct shard *shard)
{
    uint32_t count = 0;

    for (uint32_t class = 0; class < TLS_CLASSES; class ++) {
        count += shard->tls[class].count;
    }
    return count;
}

static void measure(struct shard *shard)
{
    struct ring_counts ring_counts;
    struct channel_counts channel_counts;
    struct counts *counts = &shard->counts;

    ring_read_counts(shard->ring, &ring_counts);
    channel_read_counts(shard->channels, &channel_counts);
    counter_set(&counts->connections_open, shard->open_count);
    counter_set(&counts->connections_held, shard->conns.count);
    counter_set(&counts->handshakes_in_flight, handshake_count(shard->tls_server));
    counter_set(&counts->handshakes_waiting, handshakes_waiting(shard));
    counter_set(&counts->admission_tokens, (uint64_t)shard->admission.bucket.level);
    counter_set(&counts->completion_overflows, ring_counts.completion_overflows);
    counter_set(&counts->ring_enters, ring_counts.enters);
    counter_set(&counts->pool_used[COUNTED_TLS], tls_states(shard));
    counter_set(&counts->pool_used[COUNTED_OPENINGS], shard->openings.count);
    counter_set(&counts->pool_used[COUNTED_PARTIALS], shard->partials.count);
    counter_set(&counts->pool_used[COUNTED_NODES], shard->nodes.count);
    counter_set(&counts->arena_bytes, shard->arena.used);
    counter_set(&counts->queue_bytes, shard->queue_bytes);
    counter_set(&counts->kernel_bytes, shard->kernel_bytes);
    counter_set(&counts->fanouts_waiting, shard->fanout.waiting);
    counter_set(&counts->tls_heap_bytes, handshake_heap());
    counter_set(&counts->channels, channel_counts.channels);
    counter_set(&counts->subscriptions, channel_counts.subscriptions);
    counter_set(&counts->timers, shard->wheel.count);
    counter_set(&counts->drain_state, shard->drain.state);
    counter_set(&shard->drain.followed, shard->drain.order); /* behind its state */
    counter_set(&counts->drain_remaining, drain_is_on(shard) ? shard->serving_count : 0);
    counter_add(&counts->ticks, 1);
    counter_set(&counts->ticked_ms, shard->now_ms);
}

/* It was told to stop, and nothing is left, or the deadline for a friendly end has passed. While a
 * socket listens, clients would wait for nobody. */
static bool has_stopped(struct shard *shard)
{
    if (!drain_is_on(shard)) {
        return false;
    }
    bool is_empty = accepting_end(shard) && shard->conns.count == 0;

    return shard->drain.is_last && (is_empty || drain_is_over(shard));
}

static uint64_t timeout_ns(struct shard *shard, bool work_left)
{
    uint64_t wait_ms = wheel_next_ms(&shard->wheel, shard->now_ms);

    if (work_left || shard->errands.is_late) {
        return 0;
    }
    if (wait_ms > drain_wait_ms(shard)) {
        wait_ms = drain_wait_ms(shard);
    }
    bool tries_again = shard->starved || shard->fanout.is_holding || shard->errands.is_stuck;

    if (tries_again && wait_ms > RETRY_MS) {
        wait_ms = RETRY_MS;
    }
    if (wait_ms > accepting_wait_ms(shard)) {
        wait_ms = accepting_wait_ms(shard);
    }
    const uint64_t admission_ms = admission_wait_ms(shard);
    if (wait_ms > admission_ms) {
        wait_ms = admission_ms;
    }
    if (wait_ms > TRIM_INTERVAL_MS) {
        wait_ms = TRIM_INTERVAL_MS;
    }
    return wait_ms * 1000000;
}

bool shard_tick(struct shard *shard)
{
    uint64_t start_ns = 0;
    uint32_t count = ring_wait(shard->ring, timeout_ns(shard, shard->work_left), shard->events,
                               SHARD_EVENTS_MAX, &shard->now_ns);

    start_ns = shard->now_ns;
    shard->now_ms = shard->now_ns / 1000000;
    shard->buffers_short -= shard->buffers_short > 0 ? 1 : 0;
    for (uint32_t i = 0; i < count; i++) {
        handle(shard, &shard->events[i]);
    }
    renewal_step(shard);
    drain_obey(shard);
    bool parcels_left = parcels_take(shard);
    deadlines_expire(shard);
    shard->work_left = handshakes_step(shard);
    shard->starved = false;
    drain_step(shard);
    bool deliveries_left = fanout_step(shard);
    deliveries_left |= outbound_flush(shard);
    shard->work_left |= parcels_left && fanout_has_room(shard);
    /* Without memory nothing goes on: a send that completes, or some time, makes room. */
    shard->work_left |= deliveries_left && !shard->starved;
    shard->work_left |= errands_step(shard);
    accepting_rearm(shard);
    conn_reap(shard);
    measure(shard);
    trim(shard);
    histogram_add(&shard->counts.tick_time, ring_clock_ns(shard->ring) - start_ns, COUNTS_US_NS);
    if (has_stopped(shard)) {
        counter_set(&shard->counts.ticked_ms, ALIVE_ENDED);
        relay_shard_ended(shard);
        return false;
    }
    return true;
}

void shard_close(struct shard *shard)
{
    if (shard->tls_server) {
        tls_server_close(shard->tls_server);
    }
    channel_table_close(shard->channels);
    deflate_close(shard->deflater);
    accepting_close(shard);
    if (shard->ring) {
        ring_close(shard->ring);
    }
    pool_close(&shard->conns);
    for (uint32_t class = 0; class < TLS_CLASSES; class ++) {
        pool_close(&shard->tls[class]);
    }
    pool_close(&shard->openings);
    pool_close(&shard->partials);
    pool_close(&shard->nodes);
    arena_close(&shard->arena);
    fanout_close(&shard->fanout);
    drain_close(&shard->drain);
    errands_close(&shard->errands);
    identities_close(&shard->identities);
    wheel_close(&shard->wheel);
    queue_close(&shard->dirty);
    queue_close(&shard->reap);
    queue_close(&shard->continuing);
    admission_close(&shard->admission);
    renewal_end(shard);
    free(shard);
}

/* What connections hold, together: all that the pools have given out. */
struct held {
    uint32_t openings;
    uint32_t handshakes;
    uint32_t partials;
    uint32_t tls_states;
    uint32_t nodes;
    uint32_t open;
    uint32_t serving;
    uint64_t queue_bytes;
    uint64_t kernel_bytes;
};

static void add_held(struct shard *shard, const struct conn *conn, struct held *held)
{
    held->tls_states += conn->tls != NONE ? 1 : 0;
    held->partials += conn->partial != NONE ? 1 : 0;
    held->nodes += outbound_check(shard, conn);
    held->queue_bytes += conn->queue_bytes;
    held->kernel_bytes += conn->kernel_bytes;
    held->open += conn->flags & CONN_COUNTED ? 1 : 0;
    held->serving += conn->state == CONN_OPEN ? 1 : 0;
    if (conn->opening != NONE) {
        held->openings++;
        held->handshakes += opening_of(shard, conn)->handshake != NONE ? 1 : 0;
    }
}

void shard_check(struct shard *shard)
{
    struct held held = {0};

    for (uint32_t number = 0; number < shard->conns.count_max; number++) {
        conn_check(shard, number);
        if (pool_is_taken(&shard->conns, number)) {
            add_held(shard, conn_at(shard, number), &held);
        }
    }
    ASSERT(held.open == shard->open_count);
    ASSERT(held.serving == shard->serving_count);
    ASSERT(held.openings == shard->openings.count);
    ASSERT(held.handshakes == handshake_count(shard->tls_server));
    ASSERT(held.partials == shard->partials.count);
    ASSERT(held.tls_states == tls_states(shard));
    ASSERT(held.nodes == shard->nodes.count);
    ASSERT(held.queue_bytes == shard->queue_bytes);
    ASSERT(held.kernel_bytes == shard->kernel_bytes);
    arena_check(&shard->arena);
    wheel_check(&shard->wheel);
    channel_check(shard->channels);
    fanout_check(shard);
    drain_check(shard);
}
