#include "server/handshakes.h"

#include "io/address.h"
#include "server/deadlines.h"
#include "server/inbound.h"
#include "server/opening.h"
#include "server/outbound.h"
#include "server/shard.h"
#include "tls/alert.h"

#define LOG_INTERVAL_MS      60000
#define OVERDUE_PER_TICK_MAX 256

void handshakes_lost(struct shard *shard, uint32_t number, enum handshake_outcome outcome)
{
    const struct opening *opening = opening_of(shard, conn_at(shard, number));
    bool is_silent = opening->handshake == NONE && opening->input_size == 0;

    counter_add(&shard->counts.handshakes[is_silent ? HANDSHAKE_OUTCOME_SILENT : outcome], 1);
}

bool handshakes_gave_way(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);
    const struct opening *opening = opening_of(shard, conn);

    if (opening->handshake == NONE || conn->in_flight & CONN_STEPPING ||
        !admission_is_crowded(shard, opening->class)) {
        return false;
    }
    handshakes_lost(shard, number, HANDSHAKE_OUTCOME_GAVE_WAY);
    opening_end(shard, conn); /* now, so that the next to be looked at is not counted as full */
    conn_kill(shard, number);
    return true;
}

/* Its bytes wait for the step of the tick. */
static void go_on(struct shard *shard, uint32_t number)
{
    conn_at(shard, number)->in_flight |= CONN_STEPPING;
    queue_push(&shard->continuing, number);
}

/* Ends a handshake: what is to be said goes out in clear, then the peer may leave. */
static void fail(struct shard *shard, uint32_t number, enum handshake_failure failure,
                 struct slice last_words)
{
    counter_add(&shard->counts.handshakes[HANDSHAKE_OUTCOME_FAILED], 1);
    counter_add(&shard->counts.handshake_failures[failure], 1);
    if (last_words.size > 0) {
        outbound_flight(shard, number, last_words);
    }
    outbound_finish(shard, number, true);
    opening_end(shard, conn_at(shard, number));
}

static enum handshake_failure failure_of(uint8_t alert)
{
    switch (alert) {
    case ALERT_UNEXPECTED_MESSAGE:
        return FAILURE_UNEXPECTED_MESSAGE;
    case ALERT_HANDSHAKE_FAILURE:
        return FAILURE_HANDSHAKE_FAILURE;
    case ALERT_ILLEGAL_PARAMETER:
        return FAILURE_ILLEGAL_PARAMETER;
    case ALERT_DECODE_ERROR:
        return FAILURE_DECODE_ERROR;
    case ALERT_PROTOCOL_VERSION:
        return FAILURE_PROTOCOL_VERSION;
    default:
        return FAILURE_OTHER;
    }
}

static void fail_with_alert(struct shard *shard, uint32_t number, uint8_t description)
{
    uint8_t alert[PLAIN_ALERT_SIZE];

    plain_alert(description, alert);
    fail(shard, number, failure_of(description), slice_from(alert, sizeof(alert)));
}

static void answer_plain_http(struct shard *shard, uint32_t number)
{
    struct upgrade upgrade = {0};
    uint8_t answer[UPGRADE_ANSWER_MAX];

    upgrade_decide(&upgrade, UPGRADE_PLAIN_HTTP);
    counter_add(&shard->counts.upgrades[UPGRADE_PLAIN_HTTP], 1);
    fail(shard, number, FAILURE_PLAIN_HTTP, slice_from(answer, upgrade_answer(&upgrade, answer)));
}

/* Whether the client comes with a ticket of ours. */
static enum admission_class class_of(const struct shard *shard, const struct hello *hello)
{
    struct ticket_keys *tickets = shard->server->tickets;

    return tickets && hello->offers_ticket && ticket_is_known(tickets, hello->ticket_name)
               ? ADMISSION_RETURNING
               : ADMISSION_NEW;
}

/* Looks at a ClientHello as it comes in: whole, it queues for a handshake; hopeless, it is refused.
 */
static void look_at_hello(struct shard *shard, uint32_t number)
{
    const struct opening *opening = opening_of(shard, conn_at(shard, number));
    struct hello hello;

    switch (
        hello_read(arena_at(&shard->arena, opening->input), opening->input_size, &hello, NULL)) {
    case HELLO_MORE:
        return;
    case HELLO_WHOLE:
        admission_wait(shard, number, class_of(shard, &hello));
        return;
    case HELLO_REFUSED:
        fail_with_alert(shard, number, hello.alert);
        return;
    case HELLO_PLAIN_HTTP:
        answer_plain_http(shard, number);
        return;
    case HELLO_PEER_ALERT:
        fail(shard, number, FAILURE_PEER_ALERT, (struct slice){0});
        return;
    }
}

void handshakes_received(struct shard *shard, uint32_t number, struct slice bytes)
{
    struct conn *conn = conn_at(shard, number);
    struct opening *opening = opening_of(shard, conn);

    /* The gate bounds a ClientHello, and of what follows less than a record waits for its rest. */
    ASSERT(opening->input_size <= HELLO_INPUT_MAX);
    if (!opening_collect(shard, opening, bytes)) {
        fail_with_alert(shard, number, ALERT_INTERNAL_ERROR);
        return;
    }
    if (opening->awaits_header) {
        accepting_header(shard, number);
    } else if (opening->handshake == NONE) {
        look_at_hello(shard, number);
    } else {
        go_on(shard, number);
    }
}

void handshakes_look(struct shard *shard, uint32_t number)
{
    if (opening_of(shard, conn_at(shard, number))->input_size > 0) {
        look_at_hello(shard, number);
    }
}

/* There are keys, or none are wanted. What came behind the last byte of the handshake belongs to
 * the record layer, or to the request. */
static void await_request(struct shard *shard, uint32_t number)
{
    struct opening *opening = opening_of(shard, conn_at(shard, number));
    uint32_t block = opening->input;
    uint32_t size = opening->input_size;

    conn_set_state(shard, conn_at(shard, number), CONN_UPGRADE);
    deadlines_handshake_done(shard, number);
    opening->input = NONE;
    opening->input_size = 0;
    if (size > 0) {
        inbound_bytes(shard, number, arena_at(&shard->arena, block), size);
    }
    if (block != NONE) {
        arena_give(&shard->arena, block);
    }
}

void handshakes_skip(struct shard *shard, uint32_t number)
{
    await_request(shard, number);
}

static void done(struct shard *shard, uint32_t number, const struct handshake_result *result)
{
    struct conn *conn = conn_at(shard, number);
    struct opening *opening = opening_of(shard, conn);
    struct tls_keys keys;

    counter_add(&shard->counts.handshakes[result->resumed ? HANDSHAKE_OUTCOME_RESUMED
                                                          : HANDSHAKE_OUTCOME_FULL],
                1);
    histogram_add(&shard->counts.handshake_time,
                  (shard->now_ms - opening->accepted_ms) * COUNTS_MS_NS, COUNTS_MS_NS);
    handshake_keys(shard->tls_server, opening->handshake, &keys);
    opening_end_handshake(shard, opening);
    admission_done(shard);
    bool kept = conn_keep_keys(shard, conn, &keys);
    secret_wipe(&keys, sizeof(keys));
    if (!kept) {
        accepting_refuse(shard, number, REFUSED_MEMORY);
        return;
    }
    await_request(shard, number);
}

/* Lets the library work on what has come in; its answer goes out. */
static void feed(struct shard *shard, uint32_t number, bool is_first)
{
    struct conn *conn = conn_at(shard, number);
    struct opening *opening = opening_of(shard, conn);
    struct handshake_result result;
    const uint8_t *input = opening->input == NONE ? NULL : arena_at(&shard->arena, opening->input);
    enum handshake_status status = handshake_feed(shard->tls_server, opening->handshake, input,
                                                  is_first ? 0 : opening->input_size, &result);

    opening_consume(shard, opening, result.consumed);
    if (status == HANDSHAKE_FAILED) {
        LOG(LOG_DEBUG, "handshake failed", log_number("alert", result.alert),
            log_number("received", result.alert_received), log_number("error", result.error));
        fail(shard, number, result.alert_received ? FAILURE_PEER_ALERT : failure_of(result.alert),
             result.output);
        return;
    }
    if (result.output.size > 0) {
        outbound_flight(shard, number, result.output);
    }
    if (conn->state != CONN_HANDSHAKE) {
        return; /* no room to send it: killed */
    }
    if (status == HANDSHAKE_DONE) {
        done(shard, number, &result);
    }
    if (conn->state == CONN_HANDSHAKE && conn->in_flight & CONN_SENDING) {
        return; /* handshakes_sent goes on */
    }
    if (conn->state == CONN_HANDSHAKE && is_first && opening->input_size > 0) {
        go_on(shard, number); /* bytes behind the hello: early data, or a burst */
    } else {
        inbound_wait(shard, number, false);
    }
}

void handshakes_sent(struct shard *shard, uint32_t number)
{
    const struct conn *conn = conn_at(shard, number);

    ASSERT(!(conn->in_flight & CONN_STEPPING));
    if (opening_of(shard, conn)->input_size > 0) {
        go_on(shard, number);
    } else {
        inbound_wait(shard, number, false);
    }
}

/* Starts the handshake of a connection whose ClientHello is whole. */
static void start(struct shard *shard, uint32_t number)
{
    struct opening *opening = opening_of(shard, conn_at(shard, number));
    static _Thread_local uint8_t joined[HELLO_SIZE_MAX + 5];
    struct hello hello;
    enum hello_status status =
        hello_read(arena_at(&shard->arena, opening->input), opening->input_size, &hello, joined);

    ASSERT(status == HELLO_WHOLE);
    if (hello.offers_hybrid) {
        counter_add(&shard->counts.hellos_hybrid, 1);
    }
    if (hello.only_h2) {
        uint64_t suppressed = 0;
        counter_add(&shard->counts.hellos_only_h2, 1);
        if (log_limit_pass(&shard->only_h2_lines, shard->now_ms, LOG_INTERVAL_MS, &suppressed)) {
            char peer[ADDRESS_TEXT_SIZE];
            address_format(&opening->peer, peer);
            LOG(LOG_WARN, "client offers only h2: WebSocket here needs http/1.1",
                log_text("peer", peer), log_number("suppressed", (int64_t)suppressed));
        }
    }
    opening->handshake = handshake_start(shard->tls_server, &hello, joined);
    if (opening->handshake == NONE) { /* no memory for the library: the pool had room */
        accepting_refuse(shard, number, REFUSED_MEMORY);
        return;
    }
    admission_hold(shard, opening->class, true);
    deadlines_handshake_started(shard, number);
    opening_consume(shard, opening, hello.consumed);
    feed(shard, number, true);
}

/*
 * Those for whom there is no time. They are closed without a word, as a full server does it: every
 * client takes an end of stream for trouble of the network and tries again later, but an alert
 * of TLS is for many a fault that stays. And it costs nothing.
 */
static void turn_away_overdue(struct shard *shard)
{
    uint64_t suppressed = 0;

    for (uint32_t i = 0; i < OVERDUE_PER_TICK_MAX; i++) {
        const uint32_t number = admission_overdue(shard);
        if (number == NONE) {
            return;
        }
        if (log_limit_pass(&shard->overdue_lines, shard->now_ms, LOG_INTERVAL_MS, &suppressed)) {
            LOG(LOG_WARN, "more clients come than can be admitted: some are turned away",
                log_number("waiting", handshakes_waiting(shard)),
                log_number("suppressed", (int64_t)suppressed));
        }
        accepting_refuse(shard, number, REFUSED_ADMISSION);
    }
}

bool handshakes_step(struct shard *shard)
{
    uint32_t left = shard->options->limits.handshakes_per_tick_max;
    uint32_t number;

    while (left > 0 && (number = queue_pop(&shard->continuing)) != NONE) {
        conn_completed(shard, number, CONN_STEPPING);
        if (conn_at(shard, number)->state == CONN_HANDSHAKE) {
            feed(shard, number, false);
            left--;
        }
    }
    while (left > 0 && (number = admission_next(shard)) != NONE) {
        start(shard, number);
        left--;
    }
    turn_away_overdue(shard);
    return queue_count(&shard->continuing) > 0;
}

uint32_t handshakes_waiting(const struct shard *shard)
{
    uint32_t count = 0;

    for (uint32_t class = 0; class < ADMISSION_CLASSES; class ++) {
        count += queue_count(&shard->admission.waiting[class]);
    }
    return count;
}
