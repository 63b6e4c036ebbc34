/*
 * redis_state.h - what the Redis broker is made of. Only for redis*.c.
 *
 *   redis.c                the interface, its life, events
 *   redis_topology.c       which node has what: single, sentinel, cluster
 *   redis_requests.c       commands in flight on a node, and what becomes of them
 *   redis_queries.c        publish, forward, history: commands out, replies to events
 *   redis_members.c        presence: who is here, kept alive in Redis
 *   redis_subscriptions.c  what is followed, and on which node
 *   redis_pushes.c         what comes of it: confirmations, refusals, messages
 *   redis_catchup.c        positions of followed channels, gaps filled from their streams
 *   redis_canary.c         a message to ourselves on every node
 *   redis_link.c, redis_greeting.c
 *                                 one connection; redis_tls.c, redis_resolver.c below it
 *   redis_format.c, redis_bytes.c, redis_scripts.c  bytes
 */
#pragma once

#include "base/table.h"
#include "broker/redis.h"
#include "broker/redis_link.h"
#include "broker/redis_scripts.h"

#define REDIS_CHANNEL_SIZE_MAX 255
/* Of a channel in Redis: with prefix and braces; of a pattern, escaped. */
#define REDIS_UNTOLD_SIZE   400 /* of what one value in the log holds */
#define REDIS_NAME_SIZE_MAX (2 * (REDIS_PREFIX_SIZE_MAX + REDIS_CHANNEL_SIZE_MAX) + 2)

/* --- requests --------------------------------------------------------------------------------- */

enum redis_request_kind {
    REDIS_REQUEST_PUBLISH, /* the script's answer */
    REDIS_REQUEST_LIVE,    /* of PUBLISH alone: how many got it */
    REDIS_REQUEST_FORWARD,
    REDIS_REQUEST_HISTORY,
    REDIS_REQUEST_REMOVE,
    REDIS_REQUEST_PRESENCE,
    REDIS_REQUEST_CATCH_UP, /* from here on they are our own: no event */
    REDIS_REQUEST_MEMBERS,
    REDIS_REQUEST_CANARY,
    REDIS_REQUEST_ASKING, /* goes before another one */
};

struct redis_request {
    struct redis_request *next;
    enum redis_request_kind kind;
    uint64_t ticket;
    enum redis_script script;
    uint32_t argument_count; /* of the script */
    uint16_t slot;
    uint8_t redirects;
    bool is_reverse;
    bool with_text;
    bool is_asking;                          /* the node is only about to get the slot */
    bool has_moved;                          /* its slot has */
    struct redis_node *target;               /* of one that is to be sent again */
    uint64_t end;                            /* its last byte, in the link's running count */
    uint64_t sent_ms;                        /* or when it is to be sent again */
    struct broker_position since;            /* of a history query */
    struct redis_subscription *subscription; /* REDIS_REQUEST_CATCH_UP */
    enum broker_outcome outcome;             /* when it has failed */
    size_t size;
    uint8_t bytes[]; /* a command, or what follows a script's name in one */
};

struct redis_request_list {
    struct redis_request *first;
    struct redis_request *last;
};

/* --- subscriptions ---------------------------------------------------------------------------- */

enum redis_subscription_kind {
    REDIS_SUBSCRIPTION_CHANNEL,
    REDIS_SUBSCRIPTION_PATTERN,
    REDIS_SUBSCRIPTION_CANARY, /* the node's own: these two are in no table */
    REDIS_SUBSCRIPTION_ALL,    /* one_pattern */
};

enum redis_subscription_state {
    REDIS_SUBSCRIPTION_OFF,
    REDIS_SUBSCRIPTION_ASKED, /* SUBSCRIBE was sent */
    REDIS_SUBSCRIPTION_ON,    /* confirmed, as are all states up to OFF */
    REDIS_SUBSCRIPTION_LEAVING,
};

enum redis_catch_up {
    REDIS_CAUGHT_UP,
    REDIS_BEHIND, /* queued; numbered messages are held from here on */
    REDIS_FETCHING,
    REDIS_DELIVERING,
};

/* A live message that must wait for those before it. */
struct redis_held {
    struct redis_held *next;
    struct redis_message message;
    size_t size;
    uint8_t bytes[];
};

struct redis_subscription {
    struct table_entry entry; /* the first member */
    enum redis_subscription_kind kind;
    enum redis_subscription_state state;
    bool is_wanted;
    bool is_heard; /* patterns alone reach it: see redis_heard.c */
    bool is_cut;   /* heard: a connection has ended since */
    bool is_queued;
    bool is_alone;  /* refused together with others: asked alone next time */
    uint32_t batch; /* how many of its command's names have no answer yet, with it */
    struct redis_node *node;
    struct redis_subscription *next_queued;
    struct redis_subscription *next_asked;
    struct redis_subscription *next_behind;
    struct broker_history history;
    bool has_position;
    bool is_proven;                  /* a message was delivered: what is not newer comes twice */
    bool was_asked_from;             /* what is being fetched, from this position */
    struct broker_position position; /* of the last one that was delivered, or of the stream */
    enum redis_catch_up catch_up;
    bool is_missing; /* there is more to fetch than what is being fetched */
    uint8_t stuck;   /* times that fetching did not bring what comes before a held one */
    struct redis_held *held_first;
    struct redis_held *held_last;
    uint32_t name_size;
    uint8_t name[REDIS_CHANNEL_SIZE_MAX + 1]; /* allocated as long as needed */
};

struct redis_subscription_list {
    struct redis_subscription *first;
    struct redis_subscription *last;
};

/* --- nodes ------------------------------------------------------------------------------------ */

struct redis_node {
    bool is_used;
    struct redis_link commands;
    struct redis_link subscriber;
    struct redis_request_list sent;
    uint64_t again_end; /* all up to here must be answered before any is sent again; 0: none is */
    struct redis_subscription_list queued; /* to be asked for, or left */
    struct redis_subscription_list asked;  /* in the order of their commands */
    struct redis_subscription canary;
    struct redis_subscription all;
    char canary_tag[8]; /* in a cluster: makes the canary's slot one of the node's */
    uint64_t canary_number;
    uint64_t canary_ms; /* when the one on its way was sent; 0: none is */
    uint64_t canary_us;
    uint64_t canary_at_ms; /* when the last one came back, or the node was opened */
    uint64_t next_canary_ms;
};

struct redis {
    struct broker broker;
    struct redis_options options;
    struct slice prefix;
    char host_id[17]; /* of this process, unique: names its canaries */
    struct redis_login login;
    struct redis_login scout_login;
    struct redis_tls *tls;
    uint64_t now_ms;
    uint64_t opened_ms;
    bool was_polled;     /* descriptors were looked at before this turn */
    bool is_held;        /* new requests wait, until those on their way are answered */
    bool heard_is_due;   /* patterns were confirmed, or left: see redis_heard.c */
    bool heard_too_many; /* not all could be kept */

    struct redis_node nodes[REDIS_MASTERS_MAX];
    uint32_t turn_node;         /* whose replies come next */
    uint8_t slots[REDIS_SLOTS]; /* cluster: number of the node, or 255 */
    struct redis_link scout;    /* to a sentinel, or to any node of a cluster */
    uint32_t scout_target;
    bool scout_connected; /* it left REDIS_LINK_DOWN since its target was chosen */
    bool scout_asked;
    bool is_stale;     /* the cluster has changed */
    uint64_t scout_ms; /* the last question */

    struct redis_request_list failed;  /* their events are due */
    struct redis_request_list again;   /* to be sent again, in their order */
    struct redis_request_list waiting; /* not sent yet, until those have been */
    struct redis_request_list delayed; /* to be sent again after a while */
    uint32_t request_count;
    size_t request_bytes;

    struct table channels; /* struct redis_subscription */
    struct table patterns;
    uint32_t patterns_of[REDIS_CHANNEL_SIZE_MAX + 1]; /* how many have so long a prefix */
    uint64_t allowance; /* thousandths of a subscription that may be asked for */
    uint64_t retry_refused_ms;

    struct redis_subscription_list behind;
    uint32_t fetching;
    uint32_t heard_count; /* of channels: reached by patterns alone */
    size_t held_bytes;
    struct redis_subscription *delivering;
    redisReply *delivered_reply;
    uint32_t delivered_next;

    struct redis_members *members;

    redisReply *lent_reply;
    struct redis_held *lent_held;
    struct redis_message lent_message;
    struct broker_publication *publications;
    struct broker_member *present;

    uint64_t round_trip_us;
    uint64_t caught_up;
    uint64_t gaps;
    uint64_t malformed;
    uint64_t errors;
    struct log_limit error_lines;
    struct log_limit malformed_lines;
    struct log_limit gap_lines;
    uint64_t untold_gaps; /* since the last line */
    size_t untold_size;
    char untold_names[REDIS_UNTOLD_SIZE]; /* of as many as fit in, with spaces between */
};

static inline struct redis *redis_of(struct broker *broker)
{
    return (struct redis *)broker;
}

/* Where a channel lives: Redis' name of it, in memory of the caller. */
struct redis_name {
    uint8_t bytes[REDIS_NAME_SIZE_MAX];
    size_t size;
};

/* --- redis.c --- */

/* Counts a reply of a wrong shape, with a line at times. */
void redis_complain(struct redis *redis, const char *what);

/* Counts an error that Redis answered, likewise. */
void redis_tell_error(struct redis *redis, const char *what, const redisReply *reply);

/* --- redis_queries.c: names --- */

/* Adds the two keys P{C}:first and P{C}:second as arguments, after their number. */
void redis_add_keys(const struct redis *redis, struct redis_bytes *bytes, struct slice channel,
                    const char *first, const char *second);
MUST_CHECK uint16_t redis_channel_slot(const struct redis *redis, struct slice channel);

/* The name that a channel is published under. */
void redis_channel_name(const struct redis *redis, struct slice channel, struct redis_name *name);

/* The channel of such a name; data NULL when it is none of ours. */
MUST_CHECK struct slice redis_channel_of(const struct redis *redis, struct slice name);

/* --- redis_topology.c --- */

void redis_topology_open(struct redis *redis);
uint32_t redis_topology_poll(struct redis *redis, struct pollfd *fds, uint64_t *wake_ms);
void redis_topology_turn(struct redis *redis, const struct pollfd *fds, uint32_t count);

/* NULL: nobody has the slot, or its node is not up. */
MUST_CHECK struct redis_node *redis_node_of(struct redis *redis, uint16_t slot);
MUST_CHECK bool redis_topology_is_up(const struct redis *redis);

/* The node at the address that a redirection or a list names; NULL when there is no room. */
MUST_CHECK struct redis_node *redis_topology_node(struct redis *redis,
                                                  const struct redis_address *address);

/* It answers that it is not what it was: ask again. */
void redis_topology_doubt(struct redis *redis, struct redis_node *node);

/* --- redis_requests.c --- */

/* A request with a copy of bytes, which are freed, sent on the channel's node. BROKER_DONE, or why
 * not. */
MUST_CHECK enum broker_outcome redis_request(struct redis *redis, const struct redis_request *head,
                                             struct redis_bytes *bytes);

/* The reply to the node's oldest request. True with an event, for which the reply may be kept in
 * redis->lent_reply, else it is freed here. */
MUST_CHECK bool redis_requests_take(struct redis *redis, struct redis_node *node, redisReply *reply,
                                    struct broker_event *event);

/* The connection has ended: each request ends as far as it had got. */
void redis_requests_fail(struct redis *redis, struct redis_node *node);

/* The event of a request that failed; true when there is one. */
MUST_CHECK bool redis_requests_next_failed(struct redis *redis, struct broker_event *event);

/* Slots have moved: what is on its way is waited for, so that nothing overtakes it elsewhere. */
void redis_requests_hold(struct redis *redis);
uint64_t redis_requests_turn(struct redis *redis); /* when to be called again */
void redis_requests_free(struct redis_request_list *list);

/* --- redis_queries.c --- */

MUST_CHECK enum broker_outcome redis_publish(struct broker *broker, uint64_t ticket,
                                             const struct broker_publication *publication);
MUST_CHECK enum broker_outcome redis_forward(struct broker *broker, uint64_t ticket,
                                             const struct broker_publication *publication);
MUST_CHECK enum broker_outcome redis_history(struct broker *broker, uint64_t ticket,
                                             struct slice channel,
                                             const struct broker_history_query *query);
MUST_CHECK enum broker_outcome redis_history_remove(struct broker *broker, uint64_t ticket,
                                                    struct slice channel);

/* Fills in the event from the reply: outcome REFUSED for a wrong shape. */
void redis_answer(struct redis *redis, const struct redis_request *request, redisReply *reply,
                  struct broker_event *event);

/* What history.lua answered, in parts. */
struct redis_stream {
    struct broker_position position;
    redisReply **items;
    size_t count;
};
MUST_CHECK bool redis_stream_read(const redisReply *reply, struct redis_stream *stream);
MUST_CHECK bool redis_item_read(const redisReply *item, struct redis_message *message);
MUST_CHECK enum broker_outcome redis_ask_history(struct redis *redis,
                                                 const struct redis_request *head,
                                                 struct slice channel,
                                                 const struct broker_history_query *query);

/* As a publication of the channel; all lent. */
void redis_publication_of(const struct redis_message *message, struct slice channel,
                          struct broker_publication *publication);

/* --- redis_members.c --- */

MUST_CHECK struct redis_members *redis_members_open(const struct redis *redis);
void redis_members_close(struct redis_members *members); /* NULL: no-op */
uint64_t redis_members_turn(struct redis *redis);        /* when to be called again */
void redis_members_refresh_all(struct redis *redis);     /* soon: Redis may have forgotten them */
void redis_join(struct broker *broker, struct slice channel, const struct broker_member *member);
void redis_leave(struct broker *broker, struct slice channel, struct slice conn_id);
MUST_CHECK enum broker_outcome redis_presence(struct broker *broker, uint64_t ticket,
                                              struct slice channel);
MUST_CHECK uint64_t redis_members_refused(const struct redis_members *members);

/* --- redis_subscriptions.c --- */

void redis_follow(struct broker *broker, struct slice name, bool is_pattern,
                  const struct broker_history *history);
void redis_unfollow(struct broker *broker, struct slice name, bool is_pattern);
/* The node's subscriber has come up, or ended. */
void redis_subscriptions_begin(struct redis *redis, struct redis_node *node);
void redis_subscriptions_end(struct redis *redis, struct redis_node *node);

/* Those that no node could be asked for: the cluster has changed. */
void redis_subscriptions_requeue(struct redis *redis);
uint64_t redis_subscriptions_turn(struct redis *redis); /* when to be called again */
void redis_subscriptions_close(struct redis *redis);

/* Redis has confirmed it, and not yet that it is over. */
static inline bool redis_is_confirmed(const struct redis_subscription *subscription)
{
    return subscription->state == REDIS_SUBSCRIPTION_ON ||
           subscription->state == REDIS_SUBSCRIPTION_LEAVING;
}

static inline bool redis_is_wanted(const struct redis_subscription *subscription)
{
    return subscription->is_wanted;
}

/* A new entry of the table. NULL: no memory. */
MUST_CHECK struct redis_subscription *redis_subscription_add(struct redis *redis, struct slice name,
                                                             bool is_pattern);

/* The longest pattern of those that match the channel and for which it is true; NULL: none. */
MUST_CHECK struct redis_subscription *
redis_pattern_reaching(struct redis *redis, struct slice channel,
                       bool (*is_true)(const struct redis_subscription *pattern));

/* name of a pattern: without its '*'. NULL: not there. */
MUST_CHECK struct redis_subscription *redis_subscription_find(struct redis *redis,
                                                              struct slice name, bool is_pattern);

/* What Redis is asked for. */
void redis_subscription_name(const struct redis *redis,
                             const struct redis_subscription *subscription,
                             struct redis_name *name);

/* If it needs a command of its node. */
void redis_subscription_queue(struct redis *redis, struct redis_subscription *subscription);

/* Takes the one whose command was sent first; NULL: none waits for an answer. */
struct redis_subscription *redis_subscription_answered(struct redis_node *node);

/* Calls act for each of a table; act may free the one it is given. */
void redis_subscriptions_each(struct redis *redis,
                              void (*act)(struct redis *redis,
                                          struct redis_subscription *subscription));

/* Frees one that nobody needs any more. */
void redis_subscription_settle(struct redis *redis, struct redis_subscription *subscription);

/* --- redis_pushes.c --- */

/* What the subscriber's connection brought. True with an event, whose slices lie in the reply. */
MUST_CHECK bool redis_pushes_take(struct redis *redis, struct redis_node *node, redisReply *reply,
                                  struct broker_event *event);

/* --- redis_catchup.c --- */

/* It is confirmed: what was missed meanwhile is fetched. */
void redis_catch_up(struct redis *redis, struct redis_subscription *subscription);

/* A numbered live message of a channel with history: true when it is to be delivered now. */
MUST_CHECK bool redis_catch_up_admit(struct redis *redis, struct redis_subscription *subscription,
                                     const struct redis_message *message);
void redis_catch_up_turn(struct redis *redis);
uint64_t redis_gaps_turn(struct redis *redis); /* when to be called again */
void redis_catch_up_answered(struct redis *redis, struct redis_subscription *subscription,
                             redisReply *reply); /* takes the reply; NULL: it failed */

/* The next publication of what was fetched or held; true when there is one. */
MUST_CHECK bool redis_catch_up_next(struct redis *redis, struct broker_event *event);

/* Nobody waits any more for what comes after its position. */
void redis_catch_up_drop(struct redis *redis, struct redis_subscription *subscription);

/* --- redis_heard.c --- */

/* A numbered message of the channel has come by a pattern: it is kept track of from now on, unless
 * it is already. subscription: its entry, or NULL. Returns its entry, or NULL. */
MUST_CHECK struct redis_subscription *redis_heard_add(struct redis *redis, struct slice channel,
                                                      struct redis_subscription *subscription);

/* It is no longer followed by its own name: true when it is kept, because a pattern reaches it. */
MUST_CHECK bool redis_heard_keep(struct redis *redis, struct redis_subscription *subscription);

/* It is followed by its own name now. No-op for others. */
void redis_heard_forget(struct redis *redis, struct redis_subscription *subscription);

/* The connection that its pattern was asked on has ended. No-op for others. */
void redis_heard_cut(struct redis_subscription *subscription);

/* A pattern that reaches it holds again: what was missed is fetched, if a connection has ended. */
void redis_heard_mend(struct redis *redis, struct redis_subscription *subscription);
void redis_heard_turn(struct redis *redis);

/* --- redis_canary.c --- */

/* False: the node has no slot for it yet. */
MUST_CHECK bool redis_canary_choose(struct redis *redis, struct redis_node *node);

void redis_canary_turn(struct redis *redis, struct redis_node *node, uint64_t *wake_ms);
void redis_canary_came(struct redis *redis, struct redis_node *node, struct slice payload);
void redis_canary_name(const struct redis *redis, const struct redis_node *node,
                       struct redis_name *name);
MUST_CHECK bool redis_is_canary(const struct redis *redis, struct slice name);
