/*
 * channel_state.h - the insides of a table of channels; for channel*.c alone.
 */
#pragma once

#include "base/digest.h"
#include "pubsub/channel.h"

#define MEMBERS_INLINE 4U /* a user's own channel: needs no block */
#define NAME_INLINE    24U
#define BLOCK_MEMBERS  16U /* in the smallest block of the arena */
#define CHUNK_MEMBERS  256U
#define PATTERN_SIGN   '*'

struct channel {
    uint32_t next; /* in its bucket: number + 1, 0 at the end */
    uint32_t hash; /* the low half: most other names of the bucket are told apart by it */
    uint32_t count;
    uint32_t capacity; /* MEMBERS_INLINE, or what the block, or the chunks, have room for */
    union {
        uint32_t conn_numbers[MEMBERS_INLINE];
        uint32_t block; /* of the arena; above CHUNK_MEMBERS: of the list of chunks, each a block */
    } members;
    union {
        uint8_t text[NAME_INLINE];
        uint32_t block; /* of the arena, when name_size > NAME_INLINE */
    } name;
    uint32_t next_change; /* number + 1, 0 at the end */
    uint8_t name_size;
    bool is_pattern;
    bool is_changed;  /* stands in the list of changes */
    bool has_members; /* as the last change that was taken said */
};
static_assert(sizeof(struct channel) == 64, "one cache line");

/* Packed, because it is what there is most of: numbers of a pool are below 2^24. */
struct subscription {
    uint32_t channel : 24;
    uint32_t index : 24; /* its place among the channel's members */
    uint32_t next;       /* of the same connection: number + 1, 0 at the end */
} __attribute__((packed));
static_assert(sizeof(struct subscription) == 10, "one or more per connection");

struct channel_table {
    struct pool channels;
    struct pool subscriptions;
    struct arena *arena;
    uint32_t *buckets; /* channel number + 1, so that untouched memory is an empty table */
    uint32_t bucket_mask;
    uint32_t *firsts; /* by connection: its first subscription + 1, 0 without one */
    uint32_t conns_max;
    uint32_t empty_count; /* channels without members, which wait for their change to be taken */
    uint32_t unsubscribes;
    bool tracks;
    uint32_t first_change; /* channel number + 1, 0 without one */
    uint32_t last_change;
    uint32_t pattern_counts[CHANNEL_NAME_MAX]; /* by the length of what comes before the '*' */
    uint64_t pattern_lengths[(CHANNEL_NAME_MAX + 63) / 64]; /* bit set: the count is not 0 */
    uint64_t hash_key[2];
};

static inline struct channel *channel_at(const struct channel_table *table, uint32_t number)
{
    return pool_at(&table->channels, number);
}

static inline struct subscription *subscription_at(const struct channel_table *table,
                                                   uint32_t number)
{
    return pool_at(&table->subscriptions, number);
}

/* The place of a member; those up to the next multiple of CHUNK_MEMBERS lie behind it. */
static inline uint32_t *member_at(const struct channel_table *table, struct channel *channel,
                                  uint32_t index)
{
    if (channel->capacity == MEMBERS_INLINE) {
        return &channel->members.conn_numbers[index];
    }
    uint32_t *block = arena_at(table->arena, channel->members.block);
    if (channel->capacity > CHUNK_MEMBERS) {
        block = arena_at(table->arena, block[index / CHUNK_MEMBERS]);
    }
    return &block[index % CHUNK_MEMBERS];
}

static inline struct slice name_of(const struct channel_table *table, const struct channel *channel)
{
    if (channel->name_size <= NAME_INLINE) {
        return slice_from(channel->name.text, channel->name_size);
    }
    return slice_from(arena_at(table->arena, channel->name.block), channel->name_size);
}

static inline uint32_t channel_hash(const struct channel_table *table, struct slice name)
{
    return (uint32_t)siphash(table->hash_key, name);
}

static inline bool channel_is_pattern(struct slice name)
{
    return name.size > 0 && name.data[name.size - 1] == PATTERN_SIGN;
}

/* The number of the channel or pattern of exactly this name, or NONE. */
MUST_CHECK uint32_t channel_named(const struct channel_table *table, struct slice name,
                                  uint32_t hash);

/* The connection's subscription to the channel, or NONE. */
MUST_CHECK uint32_t channel_subscription(const struct channel_table *table, uint32_t conn_number,
                                         uint32_t channel_number);
