/*
 * relay_state.h - what the relay is made of. Only for relay*.c.
 *
 *   relay.c           its life: open, turn, stop
 *   relay_broker.c    the broker that the options name
 *   relay_requests.c  what shards and the API want: posted to its mailbox, taken and given to the
 *                     broker
 *   relay_events.c    what the broker says: deliveries to shards, refusals, answers
 */
#pragma once

#include "base/counter.h"
#include "base/log.h"
#include "base/pool.h"
#include "io/bell.h"
#include "io/mailbox.h"
#include "server/backlog.h"
#include "server/census.h"
#include "server/followers.h"
#include "server/parcels.h"
#include "server/relay.h"
#include "server/relay_counts.h"
#include "server/settings.h"
#include "server/shard.h"

#define RELAY_PENDING_MAX 4096u /* requests that the broker has not answered */

/* A question of the API, until it is answered. In one block with its bytes. */
struct relay_ask {
    struct relay_request request;
    void (*answered)(void *context, const struct relay_answer *answer);
    void *context;
};

/* The one parcel that is on its way to shards. */
struct delivery {
    bool left[SHARDS_MAX]; /* who has not got it yet */
    uint32_t left_count;
    uint8_t head[PARCEL_HEAD_MAX];
    size_t head_size;
    struct slice body; /* lent by the broker: nothing is asked of it meanwhile */
};

struct relay {
    const struct server *server;
    const struct settings *settings; /* held; NULL without a desk */
    const struct options *options;   /* the settings', as of this turn: for this thread alone */
    struct mailbox *mailbox;
    struct bell bell;
    struct ring *ring; /* to wake shards with */
    struct broker *broker;
    struct pool pending; /* struct relay_origin, by ticket */
    struct followers followers;
    struct backlog backlog;
    struct delivery delivery;
    struct census census;
    struct relay_counts counts;
    struct counter queue_bytes_max;   /* limits.queue_bytes_max as of this turn, for any thread */
    struct counter ended[SHARDS_MAX]; /* 1: the shard takes no parcels any more */
    struct counter turned_ms;         /* when the last turn was, by the monotonic clock */
    struct counter stop_ms;           /* not 0: relay_stop was called */
    struct log_limit undeliverable_lines;
    uint64_t now_ms;
    uint64_t stop_by_ms;
    bool stopping;
    bool work_left; /* a bounded step of the last turn did not finish */
};

/* --- relay_broker.c --- */

/* Opens the broker that the options name. Returns 0, or -1 with a message. */
MUST_CHECK int relay_open_broker(struct relay *relay, uint64_t now_ms, char *message,
                                 size_t message_size);
void relay_close_broker(struct relay *relay); /* no-op when there is none */

/* --- relay_requests.c --- */

/* Takes requests from the mailbox, up to a bound, as long as the last one's events are out. True
 * when more may wait. */
MUST_CHECK bool relay_take_requests(struct relay *relay);

/* Publishes what waits in the backlog, as far as the broker takes it. */
void relay_drain_backlog(struct relay *relay);

/* --- relay_events.c --- */

/* Any thread. The largest payload that can be handed to a shard, and wait there for a client. */
MUST_CHECK size_t relay_payload_max(const struct relay *relay);

/* Goes on with the delivery; true when nothing is left of it. */
bool relay_deliver(struct relay *relay);

/* Takes events, up to a bound, as long as they can be delivered. True when more may wait. */
MUST_CHECK bool relay_take_events(struct relay *relay);

/* Asks the shards which channels they have, or answers whoever wanted to know, when it is time. */
void relay_take_census(struct relay *relay);

/* Tells whoever asked what became of it. No delivery may be under way. */
void relay_settle(struct relay *relay, const struct relay_origin *origin,
                  const struct broker_event *event);
void relay_refuse(struct relay *relay, const struct relay_origin *origin,
                  enum broker_outcome outcome);
