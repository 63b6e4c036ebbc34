/*
 * relay.h - the thread between shards, the HTTP API and the broker.
 *
 * Shards and the API post requests to its mailbox; the broker's events become parcels to shards and
 * answers to the API. A shard's full mailbox is waited for: the relay takes nothing more until
 * there is room, so that a publication is never lost here. A full mailbox of the relay refuses at
 * once, and whoever published is told: a shard never waits.
 *
 * While the broker is away publications are refused, or wait in a backlog (broker.when_away).
 */
#pragma once

#include "broker/broker.h"

struct server;
struct shard;
struct relay;
struct relay_counts;

/* On the relay's own thread: opens the broker that the options name. NULL with a message. */
MUST_CHECK struct relay *relay_open(const struct server *server, char *message,
                                    size_t message_size);
void relay_close(struct relay *relay); /* NULL: no-op */

/* Any thread: there are newer settings to take. */
void relay_wake(const struct relay *relay);

/* The broker wants to know which channels have subscribers: relay_follow is to be called. */
MUST_CHECK bool relay_follows(const struct relay *relay);

/* One turn: waits for at most wait_ms, then requests, the broker, deliveries. The thread's loop,
 * and the simulator, call it. False after relay_stop when nothing is left, or time is up. */
MUST_CHECK bool relay_turn(struct relay *relay, uint32_t wait_ms);

/* Any thread, when no shard and no API asks any more: what is in flight ends within within_ms. */
void relay_stop(struct relay *relay, uint32_t within_ms);

/* Any thread. For the metrics: the table is in relay_counts.h. */
MUST_CHECK const struct relay_counts *relay_counts(const struct relay *relay);

/* Any thread. Why nothing can be published, or NULL: for readiness. now_ms: the monotonic clock. */
MUST_CHECK const char *relay_problem(const struct relay *relay, uint64_t now_ms);

/* Any thread. */
void relay_read_health(const struct relay *relay, struct broker_health *health);

/* --- from a shard: false when the relay's mailbox has no room (try again in a later tick) --- */

/* What a client sent; an empty channel: for backends alone. A refusal comes back as a parcel that
 * closes the connection with 1013. */
MUST_CHECK bool relay_publish(struct shard *shard, uint32_t number, struct slice channel,
                              bool is_binary, struct slice payload);
MUST_CHECK bool relay_follow(struct shard *shard, struct slice name, bool is_pattern,
                             bool has_subscribers);
MUST_CHECK bool relay_join(struct shard *shard, uint32_t number, struct slice channel);
MUST_CHECK bool relay_leave(struct shard *shard, uint32_t number, struct slice channel);

/* A piece of the shard's answer to PARCEL_REPORT: see errands.c. */
MUST_CHECK bool relay_report(struct shard *shard, uint32_t report, struct slice piece,
                             bool is_last);

/* The shard has stopped: nobody empties its mailbox any more. */
void relay_shard_ended(struct shard *shard);

/* --- from the HTTP API's threads --- */

enum relay_question {
    RELAY_PUBLISH,
    RELAY_PRESENCE,
    RELAY_HISTORY,
    RELAY_HISTORY_REMOVE,
    RELAY_CHANNELS, /* names that match the pattern, with how many subscribers on this host */
};

struct relay_request {
    enum relay_question question;
    struct broker_publication publication; /* RELAY_PUBLISH; channel, for the others too */
    struct broker_history_query history;   /* RELAY_HISTORY */
    struct slice pattern;                  /* RELAY_CHANNELS: a glob with '*' and '?' */
};

struct relay_channel {
    struct slice name;
    uint32_t subscribers;
};

/* Lent to answered() for the time of its call. */
struct relay_answer {
    enum broker_outcome outcome;
    const struct broker_event *event; /* of the broker's; NULL for RELAY_CHANNELS */
    const struct relay_channel *channels;
    uint32_t channel_count;
};

/* Asks; the request is copied. answered is called once, on the relay's thread, unless this returns
 * anything else than BROKER_DONE: FULL, or REFUSED for a channel's name or a payload that no
 * channel can have. The one callback: who asks is a thread of the HTTP library. */
MUST_CHECK enum broker_outcome
relay_ask(struct relay *relay, const struct relay_request *request,
          void (*answered)(void *context, const struct relay_answer *answer), void *context);
