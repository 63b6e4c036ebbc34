/*
 * channel.h - a shard's channels and who is subscribed to them; deals in connection numbers.
 *
 * A channel's members are one array of connection numbers, so a fan-out walks memory in order. A
 * subscription costs 12 bytes, its 4 in that array, and 4 more that lead back from there: so it
 * ends in constant time, wherever it stands. A channel costs 64 bytes, and a block of the arena
 * when its name is longer than 24 bytes, and one when it has more than two members. A connection
 * keeps only the number of its first subscription. A channel lives as long as it has a member.
 */
#pragma once

#include "base/arena.h"
#include "base/pool.h"

#define CHANNEL_NAME_MAX 255

struct channel_table;

struct channel_limits {
    uint32_t channels_max;
    uint32_t subscriptions_max;
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

/* *list: the connection's first subscription (NONE at first), changed here. */
MUST_CHECK enum channel_outcome channel_subscribe(struct channel_table *table, struct slice name,
                                                  uint32_t conn_number, uint32_t *list);

/* Ends all of a connection's subscriptions; *list becomes NONE. */
void channel_unsubscribe_all(struct channel_table *table, uint32_t conn_number, uint32_t *list);

/* The members of the channel, in no order; count 0 when it has none. Borrowed until a subscribe or
 * unsubscribe. */
struct channel_members {
    const uint32_t *conn_numbers;
    uint32_t count;
};
MUST_CHECK struct channel_members channel_find(const struct channel_table *table,
                                               struct slice name);

struct channel_counts {
    uint32_t channels;
    uint32_t subscriptions;
};
void channel_read_counts(const struct channel_table *table, struct channel_counts *counts);

/* Gives the memory of empty chunks back; returns bytes. */
size_t channel_trim(struct channel_table *table);

/* Asserts every invariant: for tests and the simulator. */
void channel_check(const struct channel_table *table);
