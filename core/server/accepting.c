#include "server/accepting.h"

#include "io/address.h"
#include "io/listener_pause.h"
#include "io/proxy_header.h"
#include "server/deadlines.h"
#include "server/handshakes.h"
#include "server/inbound.h"
#include "server/opening.h"
#include "server/settings.h"
#include "server/shard.h"

#include <errno.h>
#include <unistd.h>

#define RETRY_MS         10    /* after an accept that failed */
#define NETWORK_LINES_MS 60000 /* whoever is banned comes all day */
#define LISTEN_RETRY_MS  1000  /* after a drain, when the system refuses */

static void arm(struct shard *shard, uint32_t number)
{
    struct listener *listener = &shard->accepting.listeners[number];

    listener->is_armed = true;
    if (listener->kind == LISTENER_UNIX) {
        ring_accept_one(shard->ring, listener->fd, number);
    } else {
        ring_accept(shard->ring, listener->fd, number);
    }
}

void accepting_listen(struct shard *shard, const struct listener *listener)
{
    uint32_t number = shard->accepting.count++;

    ASSERT(number < OPTIONS_LISTEN_MAX);
    shard->accepting.listeners[number] = *listener;
    arm(shard, number);
}

void accepting_refuse(struct shard *shard, uint32_t number, enum refusal refusal)
{
    counter_add(&shard->counts.refused[refusal], 1);
    conn_kill(shard, number);
}

/* Its peer may speak: for a proxy first. */
static void begin(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);
    const struct listener *listener = opening_listener(shard, number);

    conn_set_state(shard, conn, CONN_HANDSHAKE);
    opening_of(shard, conn)->awaits_header = listener->proxy != 0;
    if (listener->is_plain && listener->proxy == 0) {
        handshakes_skip(shard, number);
    }
    inbound_wait(shard, number, false);
}

void accepting_accepted(struct shard *shard, const struct ring_event *event)
{
    struct listener *listener = &shard->accepting.listeners[event->number];

    if (!event->more) {
        listener->is_armed = false; /* armed again at the end of the tick */
    }
    if (event->result < 0) {
        if (event->result != -ECANCELED) {
            /* The system's table of files is full, or its memory: asking at once would only spin.
             */
            counter_add(&shard->counts.accept_errors, 1);
            shard->accepting.again_at_ms = shard->now_ms + RETRY_MS;
        }
        return;
    }
    uint32_t number = (uint32_t)event->result;
    struct conn *conn = conn_init(shard, number);
    counter_add(&shard->counts.accepted, 1);
    struct opening *opening = drain_is_on(shard) ? NULL : opening_start(shard, conn);
    if (!opening) {
        accepting_refuse(shard, number, REFUSED_CONNECTIONS);
        return;
    }
    opening->listener = event->number;
    deadlines_accepted(shard, number);
    if (listener->kind == LISTENER_UNIX) {
        opening->peer.sin6_family = AF_UNIX;
        begin(shard, number);
        return;
    }
    conn->in_flight |= CONN_NAMING;
    ring_peer_name(shard->ring, number, conn->generation, listener->kind == LISTENER_IPV6,
                   &opening->peer);
}

/* Whoever is refused for good comes all day. */
static void log_refused(const struct shard *shard, struct log_limit *limit,
                        const struct sockaddr_in6 *peer, const char *event, const char *option)
{
    char text[ADDRESS_TEXT_SIZE] = "unix";
    uint64_t suppressed;

    if (log_limit_pass(limit, shard->now_ms, NETWORK_LINES_MS, &suppressed)) {
        if (peer->sin6_family != AF_UNIX) {
            address_format(peer, text);
        }
        LOG(LOG_INFO, event, log_text("peer", text), log_text("option", option),
            log_number("suppressed", (int64_t)suppressed));
    }
}

/* The address may come in, as for the lists of networks and the limit for each; else the
 * connection has been refused. */
static bool is_let_in(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);
    const struct sockaddr_in6 *peer = &opening_of(shard, conn)->peer;
    const struct settings *settings = shard->settings;
    struct tally *addresses = shard->server->addresses;
    const uint32_t address_max = shard->options->limits.connections_per_address_max;
    uint8_t key[16];

    address_key(peer, key);
    if (settings && networks_have(&settings->banned, key)) {
        log_refused(shard, &shard->network_lines, peer, "connection refused by its network",
                    "limits.banned");
        accepting_refuse(shard, number, REFUSED_BANNED);
        return false;
    }
    if (settings && !settings->allows_all && !networks_have(&settings->allowed, key)) {
        log_refused(shard, &shard->network_lines, peer, "connection refused by its network",
                    "limits.allowed");
        accepting_refuse(shard, number, REFUSED_NOT_ALLOWED);
        return false;
    }
    if (addresses && address_max > 0 &&
        tally_enter(addresses, slice_from(key, sizeof(key)), address_max, &conn->address) !=
            TALLY_COUNTED) {
        conn->address = NONE;
        accepting_refuse(shard, number, REFUSED_ADDRESS);
        return false;
    }
    return true;
}

/* The peer is a proxy whose word on its clients counts; its own address is limited by nothing. */
static bool is_trusted(struct shard *shard, uint32_t number)
{
    const struct sockaddr_in6 *peer = &opening_of(shard, conn_at(shard, number))->peer;
    uint8_t key[16];

    address_key(peer, key);
    if (shard->settings && networks_have(&shard->settings->trusted, key)) {
        return true;
    }
    log_refused(shard, &shard->proxy_lines, peer, "a proxy that is not trusted", "proxy.trusted");
    accepting_refuse(shard, number, REFUSED_PROXY);
    return false;
}

void accepting_header(struct shard *shard, uint32_t number)
{
    struct opening *opening = opening_of(shard, conn_at(shard, number));
    const struct listener *listener = opening_listener(shard, number);
    const struct slice input =
        slice_from(arena_at(&shard->arena, opening->input), opening->input_size);
    struct proxy_header header;

    switch (proxy_header_read(input, listener->proxy, &header)) {
    case PROXY_MORE:
        return;
    case PROXY_BAD:
        log_refused(shard, &shard->header_lines, &opening->peer,
                    "no good header of the PROXY protocol", "listen");
        accepting_refuse(shard, number, REFUSED_PROXY_HEADER);
        return;
    case PROXY_DONE:
        break;
    }
    opening_consume(shard, opening, header.size);
    opening->awaits_header = false;
    if (header.has_source) {
        opening->peer = header.source;
    }
    /* A client that the proxy does not know comes by the proxy's own address. */
    const bool is_known = !header.is_local && opening->peer.sin6_family != AF_UNIX;
    if (is_known && !is_let_in(shard, number)) {
        return;
    }
    if (listener->is_plain) {
        handshakes_skip(shard, number);
    } else {
        handshakes_look(shard, number);
    }
}

void accepting_named(struct shard *shard, const struct ring_event *event)
{
    uint32_t number = event->number;
    struct conn *conn = conn_at(shard, number);

    conn_completed(shard, number, CONN_NAMING);
    if (conn->state == CONN_DEAD) {
        return;
    }
    if (event->result < 0) { /* -ENOTCONN: reset before we looked */
        counter_add(&shard->counts.handshakes[HANDSHAKE_OUTCOME_SILENT], 1);
        conn_kill(shard, number);
        return;
    }
    if (opening_listener(shard, number)->proxy != 0 ? is_trusted(shard, number)
                                                    : is_let_in(shard, number)) {
        begin(shard, number);
    }
}

/* The listener has no accept armed, and wants one. */
static bool is_due(const struct shard *shard, const struct listener *listener)
{
    return !listener->is_armed && (!drain_is_on(shard) || listener->kind == LISTENER_UNIX) &&
           shard->conns.count < shard->server->budget->sockets_max;
}

/* Listens again after a drain; false when it cannot now. */
static bool resume(struct shard *shard, uint32_t number)
{
    struct listener *listener = &shard->accepting.listeners[number];
    const int error = listener_resume(listener->fd, shard->server->options->listen_backlog);

    if (error != 0) {
        LOG(LOG_ERROR, "cannot listen again after a drain, and tries on",
            log_number("shard", shard->number), log_errno("error", -error));
        shard->accepting.again_at_ms = shard->now_ms + LISTEN_RETRY_MS;
        return false;
    }
    listener->is_paused = false;
    return true;
}

/*
 * An accept ends when the table was full or the completion queue overflowed: arms it again. Before
 * this tick's closes go out: an accept behind them in the batch may take a number whose close has
 * not been reported yet (kernels before 6.15 report the accept first).
 */
void accepting_rearm(struct shard *shard)
{
    const struct accepting *accepting = &shard->accepting;

    for (uint32_t i = 0; i < accepting->count; i++) {
        const struct listener *listener = &accepting->listeners[i];
        if (is_due(shard, listener) && shard->now_ms >= accepting->again_at_ms &&
            (!listener->is_paused || resume(shard, i))) {
            arm(shard, i);
        }
    }
}

uint64_t accepting_wait_ms(const struct shard *shard)
{
    for (uint32_t i = 0; i < shard->accepting.count; i++) {
        if (is_due(shard, &shard->accepting.listeners[i])) {
            return RETRY_MS;
        }
    }
    return UINT64_MAX;
}

void accepting_cancel(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->accepting.count; i++) {
        const struct listener *listener = &shard->accepting.listeners[i];
        if (listener->is_armed && listener->kind != LISTENER_UNIX) {
            ring_cancel_accept(shard->ring, i);
        }
    }
}

bool accepting_end(struct shard *shard)
{
    bool has_ended = true;

    for (uint32_t i = 0; i < shard->accepting.count; i++) {
        struct listener *listener = &shard->accepting.listeners[i];
        if (listener->kind == LISTENER_UNIX) {
            continue;
        }
        if (!listener->is_armed && !listener->is_paused) {
            listener_pause(listener->fd);
            listener->is_paused = true;
        }
        has_ended = has_ended && listener->is_paused;
    }
    return has_ended;
}

void accepting_close(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->accepting.count; i++) {
        close(shard->accepting.listeners[i].fd);
    }
}
