#include "io/ring.h"
#include "server/relay_state.h"
#include "ws/utf8.h"

#include <stdlib.h>

#define EVENTS_PER_TURN_MAX 1024u
#define LINES_INTERVAL_MS   10000
#define MESSAGE_EXTRA       64u /* what waits in a queue takes at most this beside its payload */

/* --- deliveries ------------------------------------------------------------------------------- */

static bool has_ended(const struct relay *relay, uint32_t shard)
{
    return counter_read(&relay->ended[shard]) != 0;
}

/* The parcel goes to one shard more. */
static void address_to(struct relay *relay, uint32_t shard)
{
    relay->delivery.left[shard] = true;
    relay->delivery.left_count++;
}

bool relay_deliver(struct relay *relay)
{
    const struct server *server = relay->server;
    struct delivery *delivery = &relay->delivery;

    for (uint32_t i = 0; delivery->left_count > 0 && i < server->shard_count; i++) {
        bool wake = false;
        if (!delivery->left[i]) {
            continue;
        }
        if (!has_ended(relay, i) &&
            !mailbox_post(server->mailboxes[i], slice_from(delivery->head, delivery->head_size),
                          delivery->body, &wake)) {
            continue; /* full: in another turn */
        }
        delivery->left[i] = false;
        delivery->left_count--;
        if (wake) {
            ring_wake(relay->ring, server->ring_fds[i]);
        }
    }
    return delivery->left_count == 0;
}

/* --- publications ----------------------------------------------------------------------------- */

static bool is_utf8(struct slice text)
{
    return utf8_advance(UTF8_ACCEPT, text) == UTF8_ACCEPT;
}

/* False: a text that is not UTF-8, which no client may be sent (RFC 6455, section 8.1). */
static bool choose_opcode(const struct relay *relay, const struct broker_publication *publication,
                          enum ws_opcode *opcode)
{
    const struct namespace *space = namespace_of(&relay->options->namespaces, publication->channel);
    bool is_binary = publication->is_binary;

    if (publication->is_unmarked) {
        is_binary = space->frame == FRAME_BINARY;
    }
    *opcode = is_binary ? WS_BINARY : WS_TEXT;
    if (is_binary || is_utf8(publication->payload)) {
        return true;
    }
    *opcode = WS_BINARY;
    return publication->is_unmarked && space->frame == FRAME_AUTO;
}

/* What does not fit into an empty queue would end every subscriber as a slow one. */
size_t relay_payload_max(const struct relay *relay)
{
    const size_t parcel = mailbox_parcel_max(relay->server->mailboxes[0]) - PARCEL_HEAD_MAX;
    const size_t queue = counter_read(&relay->queue_bytes_max) - MESSAGE_EXTRA;

    return parcel < queue ? parcel : queue;
}

static void complain(struct relay *relay, const struct broker_publication *publication,
                     enum relay_undeliverable reason)
{
    uint64_t suppressed;

    counter_add(&relay->counts.undeliverable[reason], 1);
    if (log_limit_pass(&relay->undeliverable_lines, relay->now_ms, LINES_INTERVAL_MS,
                       &suppressed)) {
        LOG(LOG_WARN, "publication from the broker not delivered",
            log_text("reason", reason == UNDELIVERABLE_NOT_UTF8
                                   ? "a text that is not UTF-8"
                                   : "larger than limits.queue_bytes_max, or half of "
                                     "limits.mailbox_size"),
            log_slice("channel", publication->channel),
            log_number("size", (int64_t)publication->payload.size),
            log_number("suppressed", (int64_t)suppressed));
    }
}

static void deliver_publication(struct relay *relay, const struct broker_publication *publication)
{
    struct delivery *delivery = &relay->delivery;
    const uint64_t shards = relay->broker->kind->follows
                                ? followers_of(&relay->followers, publication->channel)
                                : UINT64_MAX;
    enum ws_opcode opcode;

    ASSERT(delivery->left_count == 0);
    if (!choose_opcode(relay, publication, &opcode)) {
        complain(relay, publication, UNDELIVERABLE_NOT_UTF8);
        return;
    }
    if (publication->payload.size > relay_payload_max(relay)) {
        complain(relay, publication, UNDELIVERABLE_TOO_LARGE);
        return;
    }
    delivery->head_size = parcels_write_publication(delivery->head, publication->channel, opcode);
    delivery->body = publication->payload;
    for (uint32_t i = 0; i < relay->server->shard_count; i++) {
        if (shards & followers_bit(i)) {
            address_to(relay, i);
        }
    }
    counter_add(&relay->counts.delivered, 1);
    relay_deliver(relay); /* what is left goes on in the next turn */
}

/* --- what became of requests ------------------------------------------------------------------ */

static void refuse_conn(struct relay *relay, const struct relay_origin *origin,
                        enum broker_outcome outcome)
{
    struct delivery *delivery = &relay->delivery;

    ASSERT(delivery->left_count == 0);
    delivery->head_size =
        parcels_write_refusal(delivery->head, origin->number, origin->generation, outcome);
    delivery->body = (struct slice){0};
    address_to(relay, origin->shard);
    relay_deliver(relay);
}

void relay_settle(struct relay *relay, const struct relay_origin *origin,
                  const struct broker_event *event)
{
    struct relay_ask *ask = origin->ask;

    if (!ask || ask->request.question == RELAY_PUBLISH) {
        counter_add(&relay->counts.settled[event->outcome], 1);
    }
    if (ask) {
        const struct relay_answer answer = {.outcome = event->outcome, .event = event};
        ask->answered(ask->context, &answer);
        free(ask);
    } else if (event->outcome != BROKER_DONE) {
        refuse_conn(relay, origin, event->outcome);
    }
}

void relay_refuse(struct relay *relay, const struct relay_origin *origin,
                  enum broker_outcome outcome)
{
    static const enum broker_event_kind kinds[] = {[RELAY_PUBLISH] = BROKER_PUBLISHED,
                                                   [RELAY_PRESENCE] = BROKER_PRESENCE,
                                                   [RELAY_HISTORY] = BROKER_HISTORY,
                                                   [RELAY_HISTORY_REMOVE] = BROKER_REMOVED,
                                                   [RELAY_CHANNELS] = BROKER_PUBLISHED};
    const struct broker_event event = {.kind = origin->ask ? kinds[origin->ask->request.question]
                                                           : BROKER_PUBLISHED,
                                       .outcome = outcome};

    ASSERT(outcome != BROKER_DONE);
    relay_settle(relay, origin, &event);
}

void relay_take_census(struct relay *relay)
{
    struct delivery *delivery = &relay->delivery;
    struct relay_answer answer;

    if (delivery->left_count > 0) {
        return;
    }
    for (uint32_t i = 0; i < relay->server->shard_count && relay->census.number != 0; i++) {
        if (has_ended(relay, i)) {
            census_forget(&relay->census, i);
        }
    }
    struct relay_ask *ask = census_result(&relay->census, &answer);
    if (ask) {
        ask->answered(ask->context, &answer);
        census_end(&relay->census);
        free(ask);
    }
    const uint32_t number = census_start(&relay->census, relay->server->shard_count);
    if (number != 0) {
        delivery->head_size =
            parcels_write_report(delivery->head, number, relay->census.asked->request.pattern);
        delivery->body = (struct slice){0};
        for (uint32_t i = 0; i < relay->server->shard_count; i++) {
            address_to(relay, i);
        }
        relay_deliver(relay);
    }
}

static void handle(struct relay *relay, const struct broker_event *event)
{
    if (event->kind == BROKER_PUBLICATION) {
        deliver_publication(relay, &event->publication);
        return;
    }
    const uint32_t ticket = (uint32_t)event->ticket;
    ASSERT(pool_is_taken(&relay->pending, ticket));
    const struct relay_origin origin = *(struct relay_origin *)pool_at(&relay->pending, ticket);
    pool_give(&relay->pending, ticket);
    histogram_add(&relay->counts.request_time, ring_clock_ns(relay->ring) - origin.start_ns,
                  RELAY_US_NS);
    relay_settle(relay, &origin, event);
}

bool relay_take_events(struct relay *relay)
{
    struct broker_event event;

    for (uint32_t i = 0; i < EVENTS_PER_TURN_MAX; i++) {
        if (relay->delivery.left_count > 0 || !relay->broker->kind->next(relay->broker, &event)) {
            return false;
        }
        handle(relay, &event);
    }
    return true;
}
