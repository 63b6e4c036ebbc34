/*
 * redis_state.h - what the files of the Redis broker share. Only they include it.
 *
 *   redis.c            the interface; the turn
 *   redis_requests.c   what was asked of a node, in order, and its answers
 *   redis_commands.c   what is asked
 *   redis_follows.c    subscriptions, and what comes through them
 *   redis_catch_up.c   what was missed while a subscription was gone
 *   redis_members.c    who is present on this host
 *   redis_scout.c      which nodes there are: sentinels, clusters
 */
#pragma once

#include "broker/redis.h"
#include "broker/redis_link.h"
#include "broker/redis_scripts.h"
#include "pubsub/channel.h"

#define REDIS_MASTERS_MAX 16
#define REDIS_EVENTS_MAX  1024u /* that wait to be taken: no reply is read beyond */
#define REDIS_NO_NODE     UINT8_MAX

/* --- events ----------------------------------------------------------------------------------- */

struct redis_event {
    struct redis_event *next;
    struct broker_event event;
    redisReply *reply;                       /* whose bytes the event lends; NULL: none */
    struct broker_publication *publications; /* the event's, to be freed with it */
    struct broker_member *members;
    char epoch[BROKER_EPOCH_SIZE_MAX + 1];
};

/* --- requests --------------------------------------------------------------------------------- */

enum redis_request_kind {
    REQUEST_PUBLISH,
    REQUEST_FORWARD,
    REQUEST_HISTORY,
    REQUEST_HISTORY_REMOVE,
    REQUEST_PRESENCE,
    REQUEST_CATCH_UP,
    REQUEST_CANARY, /* and PING: the answer says that the link lives */
    REQUEST_SILENT, /* join, leave: an error is counted, nobody is told */
    REQUEST_ASKING,
};

struct redis_follow;

struct redis_request {
    struct redis_request *next;
    enum redis_request_kind kind;
    uint64_t ticket;
    uint64_t appended; /* bytes on its link up to its end: below link->sent it went out */
    uint64_t asked_ms;
    uint16_t slot;
    uint8_t tries;
    enum redis_script script;
    uint32_t argument_count;     /* of the script */
    struct redis_bytes command;  /* the arguments of a script, or the whole command */
    struct redis_follow *follow; /* REQUEST_CATCH_UP */
    struct broker_history_query query;
    uint32_t size; /* of a channel's history */
};

/* --- follows ---------------------------------------------------------------------------------- */

enum redis_follow_state {
    FOLLOW_WANTED, /* to be subscribed when it is its turn */
    FOLLOW_SENT,   /* the confirmation is awaited */
    FOLLOW_ON,
    FOLLOW_LEAVING, /* the confirmation of the end is awaited */
};

struct redis_held {
    struct redis_held *next;
    redisReply *reply;
    struct redis_message message;
};

struct redis_follow {
    struct redis_follow *previous; /* all of them, a ring with a head in struct redis */
    struct redis_follow *following;
    struct redis_follow *next_due; /* those in FOLLOW_WANTED */
    bool is_due;
    bool is_pattern;
    bool is_unwanted;    /* goes when nothing refers to it any more */
    bool is_canary;      /* ours */
    bool has_position;   /* there was one before: what came since is to be caught up with */
    bool is_catching_up; /* what comes is held */
    bool wants_catch_up; /* and nobody could be asked yet */
    enum redis_follow_state state;
    uint8_t node;
    uint32_t orders; /* subscribe and unsubscribe that are not answered yet */
    uint64_t retry_ms;
    struct broker_history history;
    struct broker_position position; /* of the last one delivered */
    struct redis_held *held_first;   /* came while it catches up */
    struct redis_held *held_last;
    uint32_t held_count;
    struct slice name; /* behind this struct */
};

/* A subscribe or unsubscribe on its way. */
struct redis_order {
    struct redis_order *next;
    struct redis_follow *follow;
    bool is_end;
};

/* --- nodes ------------------------------------------------------------------------------------ */

struct redis_node {
    bool is_used;
    struct redis_link commands;
    struct redis_link subscriber;
    struct redis_request *first; /* asked on commands, not answered */
    struct redis_request *last;
    struct redis_order *order_first; /* on subscriber */
    struct redis_order *order_last;
    uint64_t pinged_ms; /* subscriber: 0 when no answer is awaited */
    uint64_t ping_at_ms;
};

struct redis_member {
    struct redis_member *previous; /* by when they are refreshed, a ring */
    struct redis_member *following;
    uint64_t refresh_ms;
    struct slice channel; /* behind this struct */
    struct slice conn_id;
    struct slice user;
};

struct redis {
    struct broker broker;
    const struct redis_options *options;
    struct redis_login login;
    struct redis_login scout_login; /* without a password: sentinels have their own */
    bool is_cluster;
    uint64_t now_ms;

    struct redis_node nodes[REDIS_MASTERS_MAX];
    uint8_t slots[REDIS_SLOTS]; /* node, or REDIS_NO_NODE */
    struct redis_link scout;    /* sentinel, or the cluster's map */
    uint32_t scout_next;        /* address to try */
    bool scout_asked;
    uint64_t scout_at_ms;

    struct redis_event *event_first;
    struct redis_event *event_last;
    struct redis_event *lent;
    uint32_t event_count;
    uint32_t request_count;

    void *follow_tree;           /* tsearch(3), by name */
    struct redis_follow follows; /* head of the ring */
    struct redis_follow *due_first;
    struct redis_follow *due_last;
    struct redis_follow *everything; /* one_pattern's */
    struct redis_follow *canary;
    uint32_t follow_count;
    uint64_t budget_ms; /* subscribes: as of when */
    uint32_t budget;
    uint32_t pattern_lengths[257]; /* patterns on, by the size of their names */

    void *member_tree;
    struct redis_member members; /* head of the ring */

    uint64_t canary_at_ms;
    uint64_t canary_number;
    uint64_t canary_sent_us;
    uint64_t canary_back_ms;
    struct broker_health health;
    struct log_limit error_lines;
    struct log_limit gap_lines;
};

static inline struct redis *redis_of(struct broker *broker)
{
    return (struct redis *)broker;
}

/* Puts an event last; its reply is freed when it has been taken. NULL: no memory. */
struct redis_event *redis_event_add(struct redis *redis, const struct broker_event *event,
                                    redisReply *reply);

/* One line, of a kind that may come often; text is what Redis said, never what we sent. */
void redis_complain(struct redis *redis, const char *event, const char *text);

/* --- requests --- */

/* The node of a slot, if its connection for commands is up; else NULL. */
MUST_CHECK struct redis_node *redis_node_of(struct redis *redis, uint16_t slot);

/* A request to be filled in, or NULL: BROKER_AWAY or BROKER_FULL in *outcome. */
MUST_CHECK struct redis_request *redis_request_new(struct redis *redis,
                                                   enum redis_request_kind kind, uint64_t ticket,
                                                   uint16_t slot, enum broker_outcome *outcome);

/* Sends it; it belongs to the node from here on. */
MUST_CHECK enum broker_outcome redis_request_send(struct redis *redis,
                                                  struct redis_request *request);

/* Answers that have come; the end of the connection. */
void redis_requests_take(struct redis *redis, struct redis_node *node);
void redis_requests_end(struct redis *redis, struct redis_node *node);

/* --- commands --- */

MUST_CHECK enum broker_outcome redis_ask_catch_up(struct redis *redis, struct redis_follow *follow);
void redis_send_canary(struct redis *redis);
void redis_canary_returned(struct redis *redis, struct slice bytes);
void redis_send_member(struct redis *redis, const struct redis_member *member, bool joins);

enum broker_outcome redis_publish(struct broker *broker, uint64_t ticket,
                                  const struct broker_publication *publication);
enum broker_outcome redis_forward(struct broker *broker, uint64_t ticket,
                                  const struct broker_publication *publication);
enum broker_outcome redis_history(struct broker *broker, uint64_t ticket, struct slice channel,
                                  const struct broker_history_query *query);
enum broker_outcome redis_history_remove(struct broker *broker, uint64_t ticket,
                                         struct slice channel);
enum broker_outcome redis_presence(struct broker *broker, uint64_t ticket, struct slice channel);

/* "<prefix><channel>", in a cluster "<prefix>{<channel>}". out: REDIS_NAME_SIZE_MAX. */
#define REDIS_NAME_SIZE_MAX 1024
MUST_CHECK struct slice redis_channel_name(const struct redis *redis, struct slice channel,
                                           uint8_t *out);
MUST_CHECK uint16_t redis_slot_of(const struct redis *redis, struct slice channel);

/* --- follows --- */

void redis_follow(struct broker *broker, struct slice name, bool is_pattern,
                  const struct broker_history *history);
void redis_unfollow(struct broker *broker, struct slice name, bool is_pattern);
MUST_CHECK bool redis_follows_open(struct redis *redis);
void redis_follows_close(struct redis *redis);
void redis_follows_step(struct redis *redis); /* subscribes to what is due */
void redis_follows_take(struct redis *redis, struct redis_node *node);
void redis_follows_end(struct redis *redis, struct redis_node *node); /* its connection ended */
void redis_follows_move(struct redis *redis);                         /* slots have new nodes */
void redis_follow_settle(struct redis *redis, struct redis_follow *follow); /* may free it */

/* --- catching up --- */

/* A message for a channel; takes the reply. */
void redis_deliver(struct redis *redis, struct slice channel, struct slice bytes,
                   struct redis_follow *follow, redisReply *reply);
void redis_catch_up_start(struct redis *redis, struct redis_follow *follow);
void redis_catch_up_resume(struct redis *redis);       /* there are commands again */
void redis_catch_up_drop(struct redis_follow *follow); /* nobody wants it any more */

/* The answer, or an outcome other than BROKER_DONE without one; takes the reply. */
void redis_catch_up_answer(struct redis *redis, struct redis_follow *follow,
                           enum broker_outcome outcome, redisReply *reply);
void redis_held_free(struct redis_follow *follow);

/* {epoch, top, entries} of scripts/history.lua. False: another shape. */
MUST_CHECK bool redis_read_position(const redisReply *reply, struct broker_position *position);

/* {id, {field, value, ...}}; what it points at is the reply's, but for the epoch. */
MUST_CHECK bool redis_read_entry(const redisReply *entry, struct broker_publication *publication);

/* --- members --- */

void redis_join(struct broker *broker, struct slice channel, const struct broker_member *member);
void redis_leave(struct broker *broker, struct slice channel, struct slice conn_id);
void redis_members_step(struct redis *redis);
void redis_members_renew(struct redis *redis); /* all at once: Redis may have forgotten them */
void redis_members_close(struct redis *redis);

/* --- the scout --- */

void redis_scout_turn(struct redis *redis);
void redis_scout_hurry(struct redis *redis); /* what it knows is out of date */

/* MOVED and ASK: "<slot> <host>:<port>". The node, or NULL. */
MUST_CHECK struct redis_node *redis_scout_redirected(struct redis *redis, const char *text,
                                                     bool is_moved);
