#include "io/ring.h"
#include "server/relay_state.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define WAIT_MS_MAX      1000u /* the health is measured as often */
#define STALL_MS         1     /* until a full mailbox of a shard is tried again */
#define RING_ENTRIES     64
#define CANARIES_MISSING 3 /* then the broker is taken for silent */

/* --- open and close --------------------------------------------------------------------------- */

static uint64_t clock_ms(const struct relay *relay)
{
    return ring_clock_ns(relay->ring) / 1000000;
}

static int open_ring(struct relay *relay, char *message, size_t message_size)
{
    const struct ring_options options = {.sockets_max = 1,
                                         .buffer_count = 1,
                                         .buffer_size = 64,
                                         .submit_max = RING_ENTRIES,
                                         .complete_max = RING_ENTRIES};
    int error = 0;

    relay->ring = ring_open(&options, &error, message, message_size);
    return relay->ring ? 0 : -1;
}

static int open_parts(struct relay *relay)
{
    const struct options *options = relay->server->options;

    relay->mailbox = mailbox_open(options->broker.mailbox_size);
    if (!relay->mailbox || bell_open(&relay->bell) != 0 ||
        pool_open(&relay->pending, POOL_PLAIN, sizeof(struct relay_origin), RELAY_PENDING_MAX) !=
            0 ||
        followers_open(&relay->followers, relay->server->shard_count) != 0) {
        return -1;
    }
    relay->backlog.bytes_max = options->broker.queue_bytes_max;
    return 0;
}

static void measure(struct relay *relay)
{
    struct relay_counts *counts = &relay->counts;
    struct broker_health health = {0};

    relay->broker->kind->health(relay->broker, &health, relay->now_ms);
    counter_set(&counts->up, health.is_up ? 1 : 0);
    counter_set(&counts->round_trip_us, health.round_trip_us);
    counter_set(&counts->canary_age_ms, health.canary_age_ms);
    counter_set(&counts->reconnects, health.reconnects);
    counter_set(&counts->caught_up, health.caught_up);
    counter_set(&counts->gaps, health.gaps);
    counter_set(&counts->malformed, health.malformed);
    counter_set(&counts->errors, health.errors);
    counter_set(&counts->joins_refused, health.joins_refused);
    counter_set(&counts->requests, health.requests);
    counter_set(&counts->followed, health.followed);
    counter_set(&counts->backlog_bytes, relay->backlog.bytes);
    counter_set(&counts->queued, relay->backlog.queued);
    counter_set(&relay->turned_ms, relay->now_ms);
}

static void use(struct relay *relay, const struct options *options)
{
    relay->options = options;
    relay->backlog.bytes_max = options->broker.queue_bytes_max;
    counter_set(&relay->queue_bytes_max, options->limits.queue_bytes_max);
}

/* Changes over to newer settings, if there are any. */
static void renew(struct relay *relay)
{
    struct settings_desk *desk = relay->server->desk;
    const struct settings *before = relay->settings;

    if (desk && settings_are_old(desk, before)) {
        relay->settings = settings_take(desk);
        use(relay, relay->settings->options);
        settings_let_go(desk, before);
    }
}

struct relay *relay_open(const struct server *server, char *message, size_t message_size)
{
    struct relay *relay = calloc(1, sizeof(*relay));

    if (!relay) {
        (void)snprintf(message, message_size, "no memory for the relay");
        return NULL;
    }
    relay->server = server;
    relay->bell.fd = -1;
    if (server->desk) {
        relay->settings = settings_take(server->desk);
    }
    use(relay, relay->settings ? relay->settings->options : server->options);
    if (open_parts(relay) != 0) {
        (void)snprintf(message, message_size,
                       "no memory or descriptor for the relay: lower broker.mailbox_size, or raise "
                       "RLIMIT_NOFILE");
        relay_close(relay);
        return NULL;
    }
    if (open_ring(relay, message, message_size) != 0 ||
        relay_open_broker(relay, clock_ms(relay), message, message_size) != 0) {
        relay_close(relay);
        return NULL;
    }
    relay->now_ms = clock_ms(relay);
    measure(relay); /* readiness is asked for from now on */
    return relay;
}

void relay_close(struct relay *relay)
{
    if (!relay) {
        return;
    }
    ASSERT(!relay->backlog.first);
    relay_close_broker(relay);
    if (relay->ring) {
        ring_close(relay->ring);
    }
    followers_close(&relay->followers);
    pool_close(&relay->pending);
    mailbox_close(relay->mailbox);
    bell_close(&relay->bell);
    if (relay->settings) {
        settings_let_go(relay->server->desk, relay->settings);
    }
    free(relay);
}

/* --- the turn --------------------------------------------------------------------------------- */

/* Waits for the bell, for the broker, or for a moment when a shard's mailbox is full: the broker is
 * left alone then, for it has lent what is being delivered. */
static uint32_t wait(struct relay *relay, struct pollfd *fds, uint32_t wait_ms)
{
    const bool stalled = relay->delivery.left_count > 0;
    uint64_t wake_ms = UINT64_MAX;
    uint32_t count = 0;

    if (stalled) {
        wait_ms = wait_ms < STALL_MS ? wait_ms : STALL_MS;
    } else {
        count = relay->broker->kind->poll(relay->broker, fds, relay->now_ms, &wake_ms);
        ASSERT(count <= BROKER_FDS_MAX);
        fds[count] = (struct pollfd){.fd = relay->bell.fd, .events = POLLIN};
        if (relay->work_left || wake_ms <= relay->now_ms) {
            wait_ms = 0;
        } else if (wake_ms - relay->now_ms < wait_ms) {
            wait_ms = (uint32_t)(wake_ms - relay->now_ms);
        }
    }
    const int ready = poll(fds, stalled ? 0 : count + 1, (int)wait_ms);
    if (ready < 0) {
        ASSERT(errno == EINTR || errno == ENOMEM);
        for (uint32_t i = 0; i <= count; i++) {
            fds[i].revents = 0;
        }
    }
    if (!stalled && fds[count].revents != 0) {
        bell_silence(&relay->bell);
    }
    relay->now_ms = clock_ms(relay);
    return count;
}

/* Sends the wake-ups on their way. */
static void flush(struct relay *relay)
{
    struct ring_event event;
    uint64_t now_ns;
    const uint32_t count = ring_wait(relay->ring, 0, &event, 1, &now_ns);

    ASSERT(count == 0); /* nobody wakes this ring, and a wake-up that goes well says nothing */
}

static bool is_idle(const struct relay *relay)
{
    return !relay->work_left && relay->delivery.left_count == 0 && !relay->backlog.first &&
           relay->pending.count == 0 && relay->census.number == 0 &&
           relay->census.waiting_count == 0;
}

/* Time is up: whoever still waits for an answer is told what is known. */
static void give_up(struct relay *relay)
{
    relay->delivery.left_count = 0;
    memset(relay->delivery.left, 0, sizeof(relay->delivery.left));
    while (relay->backlog.first) {
        const struct relay_origin origin = relay->backlog.first->origin;
        backlog_pop(&relay->backlog);
        relay_refuse(relay, &origin, BROKER_AWAY);
    }
    struct relay_ask *ask;
    while ((ask = census_drop(&relay->census))) {
        const struct relay_origin origin = {.ask = ask};
        relay_refuse(relay, &origin, BROKER_AWAY);
    }
    for (uint32_t ticket = 0; relay->pending.count > 0; ticket++) {
        if (pool_is_taken(&relay->pending, ticket)) {
            const struct relay_origin origin =
                *(struct relay_origin *)pool_at(&relay->pending, ticket);
            pool_give(&relay->pending, ticket);
            relay_refuse(relay, &origin, BROKER_UNKNOWN);
        }
    }
}

/* False when the relay has ended. */
static bool goes_on(struct relay *relay)
{
    const uint64_t stop_ms = counter_read(&relay->stop_ms);

    if (stop_ms == 0) {
        return true;
    }
    if (!relay->stopping) {
        relay->stopping = true; /* and once more around: what was posted before is taken */
        relay->stop_by_ms = relay->now_ms + stop_ms;
        relay->work_left = true;
        return true;
    }
    if (!is_idle(relay) && relay->now_ms < relay->stop_by_ms) {
        return true;
    }
    if (!is_idle(relay)) {
        LOG(LOG_WARN, "stopped before the broker had answered",
            log_number("requests", relay->pending.count),
            log_number("backlog_bytes", (int64_t)relay->backlog.bytes));
    }
    give_up(relay);
    return false;
}

bool relay_turn(struct relay *relay, uint32_t wait_ms)
{
    struct pollfd fds[BROKER_FDS_MAX + 1];
    const uint32_t count = wait(relay, fds, wait_ms < WAIT_MS_MAX ? wait_ms : WAIT_MS_MAX);

    renew(relay);
    relay->work_left = false;
    if (!relay_deliver(relay)) {
        counter_add(&relay->counts.stalls, 1);
    } else {
        relay->broker->kind->turn(relay->broker, fds, count, relay->now_ms);
        relay->work_left = relay_take_events(relay);
        relay_drain_backlog(relay);
        relay->work_left |= relay_take_requests(relay);
        relay->work_left |= relay->delivery.left_count == 0 && relay_take_events(relay);
        relay_take_census(relay);
    }
    measure(relay);
    const bool goes = goes_on(relay);
    flush(relay);
    return goes;
}

void relay_stop(struct relay *relay, uint32_t within_ms)
{
    counter_set(&relay->stop_ms, within_ms > 0 ? within_ms : 1);
    bell_ring(&relay->bell);
}

void relay_wake(const struct relay *relay)
{
    bell_ring(&relay->bell);
}

bool relay_follows(const struct relay *relay)
{
    return relay->broker->kind->follows;
}

const struct relay_counts *relay_counts(const struct relay *relay)
{
    return &relay->counts;
}

/* A failover that leaves the server green and silent is the field's classic outage: so neither the
 * connection's word counts nor the relay's, but what came back through the broker, and when. */
const char *relay_problem(const struct relay *relay, uint64_t now_ms)
{
    const uint64_t interval_ms = relay->server->options->broker.canary_interval_ms;
    const uint64_t patience_ms = CANARIES_MISSING * interval_ms;
    const uint64_t turned_ms = counter_read(&relay->turned_ms);

    if (now_ms > turned_ms + WAIT_MS_MAX + patience_ms) {
        return "the relay is stuck: a thread hangs in the broker's library, or has no time to run";
    }
    if (counter_read(&relay->counts.up) == 0) {
        return "the broker is away: publications are refused or wait (broker.when_away)";
    }
    if (counter_read(&relay->counts.canary_age_ms) > patience_ms) {
        return "the broker is silent: three canaries did not come back (broker.canary_interval)";
    }
    return NULL;
}

void relay_read_health(const struct relay *relay, struct broker_health *health)
{
    const struct relay_counts *counts = &relay->counts;

    *health = (struct broker_health){
        .is_up = counter_read(&counts->up) != 0,
        .round_trip_us = counter_read(&counts->round_trip_us),
        .canary_age_ms = counter_read(&counts->canary_age_ms),
        .reconnects = counter_read(&counts->reconnects),
        .caught_up = counter_read(&counts->caught_up),
        .gaps = counter_read(&counts->gaps),
        .malformed = counter_read(&counts->malformed),
        .errors = counter_read(&counts->errors),
        .joins_refused = counter_read(&counts->joins_refused),
        .requests = (uint32_t)counter_read(&counts->requests),
        .followed = (uint32_t)counter_read(&counts->followed),
    };
}
