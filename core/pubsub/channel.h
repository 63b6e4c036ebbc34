/*
 * channel.h - a shard's channels and who is subscribed to them; deals in connection numbers.
 *
 * A channel's members are connection numbers in arrays, chunks of 256 once there are so many, so a
 * fan-out walks memory in order, and a channel that grows moves nothing. A subscription costs 10
 * bytes and its 4 among the members; it ends in the time that it takes to walk the subscriptions of
 * one connection, which are few. A channel costs 64 bytes, a block of the arena when its name is
 * longer than 24 bytes, and for more than four members what its blocks have room for beyond them.
 * A connection costs 4 bytes: the number of its first subscription.
 *
 * A name that ends in '*' is a pattern: it stands for every channel that begins with the rest.
 *
 * A channel lives as long as it has a member, or there is a change that nobody has taken yet: when
 * the table tracks, channel_next_change tells which channels and patterns got their first member
 * or lost their last.
 */
#pragma once

#include "base/arena.h"
#include "base/pool.h"

#define CHANNEL_NAME_MAX    255
#define CHANNEL_MATCHES_MAX (CHANNEL_NAME_MAX + 1) /* the channel, and a pattern of each length */

struct channel_table;

struct channel_limits {
    uint32_t channels_max; /* and patterns */
    uint32_t subscriptions_max;
    uint32_t conns_max;  /* their numbers are below */
    bool tracks;         /* changes are kept for channel_next_change, and must be taken */
    struct arena *arena; /* names and member arrays; borrowed */
};

/* NULL when there is no memory, or a limit is 0 or above what a pool can hold. */
MUST_CHECK struct channel_table *channel_table_open(const struct channel_limits *limits);
void channel_table_close(struct channel_table *table); /* NULL: no-op. The arena's blocks remain. */

enum channel_outcome {
    CHANNEL_SUBSCRIBED,
    CHANNEL_ALREADY,  /* the connection has it: nothing changed */
    CHANNEL_FULL,     /* no room for channel, subscription or members: nothing changed */
    CHANNEL_BAD_NAME, /* empty, or longer than CHANNEL_NAME_MAX: nothing changed */
};

MUST_CHECK enum channel_outcome channel_subscribe(struct channel_table *table, struct slice name,
                                                  uint32_t conn_number);

/* False when the connection is not subscribed to exactly this name. */
bool channel_unsubscribe(struct channel_table *table, struct slice name, uint32_t conn_number);

/* Ends all of a connection's subscriptions. */
void channel_unsubscribe_all(struct channel_table *table, uint32_t conn_number);

/* --- who gets a publication --- */

/* The channel of this name and the patterns that it matches; only those with members. */
struct channel_matches {
    uint32_t count;
    uint32_t members; /* of all; a connection that has several of them counts for each */
    uint32_t numbers[CHANNEL_MATCHES_MAX];
};
void channel_match(const struct channel_table *table, struct slice name,
                   struct channel_matches *matches);

/* Their members, each connection once, in no order; conn_numbers has room for matches->members.
 * Returns how many. matches is good until a subscribe or unsubscribe. */
MUST_CHECK uint32_t channel_collect(const struct channel_table *table,
                                    const struct channel_matches *matches, uint32_t *conn_numbers);

/* The connection is subscribed to the channel or to a pattern that it matches. */
MUST_CHECK bool channel_reaches(const struct channel_table *table, struct slice name,
                                uint32_t conn_number);

/* --- which channels have members --- */

struct channel_change {
    struct slice name; /* of a pattern: with its '*'; borrowed until the change is done */
    bool is_pattern;
    bool has_members;
};

/* The oldest change that nobody has taken; false when there is none. It stays until it is done, and
 * what came and went meanwhile is no change. */
MUST_CHECK bool channel_next_change(struct channel_table *table, struct channel_change *change);

/* The change that channel_next_change told last was taken; before any other call. */
void channel_change_done(struct channel_table *table);

/* --- what is in the table --- */

/* A connection's subscriptions, one after the other: after NONE comes the first; NONE when there is
 * no more. *name is borrowed; of a pattern: with its '*'. */
MUST_CHECK uint32_t channel_next_of(const struct channel_table *table, uint32_t conn_number,
                                    uint32_t subscription, struct slice *name);

/* Every channel has a number below this one. */
MUST_CHECK uint32_t channel_numbers_max(const struct channel_table *table);

/* The channel of this number, with how many members; false when there is none, or it is a pattern,
 * or nobody is subscribed. */
MUST_CHECK bool channel_look(const struct channel_table *table, uint32_t number, struct slice *name,
                             uint32_t *members);

struct channel_counts {
    uint32_t channels; /* with members */
    uint32_t subscriptions;
    uint32_t unsubscribes; /* calls that ended a subscription, a running count */
};
void channel_read_counts(const struct channel_table *table, struct channel_counts *counts);

/* Gives the memory of empty chunks back; returns bytes. */
size_t channel_trim(struct channel_table *table);

/* The same for what is kept by connection: POOL_CHUNK_ITEMS numbers that have no subscription. */
void channel_trim_conns(struct channel_table *table, uint32_t first_number);

/* Asserts every invariant: for tests and the simulator. */
void channel_check(const struct channel_table *table);
