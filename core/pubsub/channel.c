#include "pubsub/channel.h"

#include "base/digest.h"
#include "base/random.h"

#include <stdlib.h>
#include <sys/mman.h>

#define MEMBERS_INLINE 2U /* a user's own channel: needs no block */
#define NAME_INLINE    24U
#define BLOCK_MEMBERS  8U /* in the smallest block of the arena */

struct channel {
    uint32_t next; /* in its bucket: number + 1, 0 at the end */
    uint32_t hash; /* the low half: most other names of the bucket are told apart by it */
    uint32_t count;
    uint32_t capacity; /* MEMBERS_INLINE, or what the block has room for */
    uint32_t block;    /* of the arena, when not inline: two arrays, see struct members */
    uint32_t conn_numbers[MEMBERS_INLINE];
    uint32_t subscriptions[MEMBERS_INLINE];
    union {
        uint8_t text[NAME_INLINE];
        uint32_t block; /* of the arena, when name_size > NAME_INLINE */
    } name;
    uint8_t name_size;
};
static_assert(sizeof(struct channel) == 64, "one cache line");

struct subscription {
    uint32_t channel;
    uint32_t index; /* its place among the channel's members */
    uint32_t next;  /* of the same connection, or NONE */
};
static_assert(sizeof(struct subscription) == 12, "one or more per connection");

struct channel_table {
    struct pool channels;
    struct pool subscriptions;
    struct arena *arena;
    uint32_t *buckets; /* channel number + 1, so that untouched memory is an empty table */
    uint32_t bucket_mask;
    uint64_t hash_key[2];
};

/*
 * The two arrays of a channel, side by side in its block: the connection numbers, which a fan-out
 * reads, and for each the subscription that put it there. The latter is what makes a member that
 * moves findable: without it, ending a subscription would search the list of another connection.
 */
struct members {
    uint32_t *conn_numbers;
    uint32_t *subscriptions;
};

static struct members block_members(const struct arena *arena, uint32_t block, uint32_t capacity)
{
    uint32_t *numbers = arena_at(arena, block);

    return (struct members){.conn_numbers = numbers, .subscriptions = numbers + capacity};
}

static struct channel *channel_at(const struct channel_table *table, uint32_t number)
{
    return pool_at(&table->channels, number);
}

static struct subscription *subscription_at(const struct channel_table *table, uint32_t number)
{
    return pool_at(&table->subscriptions, number);
}

static struct members members_of(const struct channel_table *table, struct channel *channel)
{
    if (channel->capacity == MEMBERS_INLINE) {
        return (struct members){.conn_numbers = channel->conn_numbers,
                                .subscriptions = channel->subscriptions};
    }
    return block_members(table->arena, channel->block, channel->capacity);
}

static struct slice name_of(const struct channel_table *table, const struct channel *channel)
{
    if (channel->name_size <= NAME_INLINE) {
        return slice_from(channel->name.text, channel->name_size);
    }
    return slice_from(arena_at(table->arena, channel->name.block), channel->name_size);
}

static size_t buckets_size(const struct channel_table *table)
{
    return ((size_t)table->bucket_mask + 1) * sizeof(*table->buckets);
}

static int open_buckets(struct channel_table *table, uint32_t channels_max)
{
    uint32_t count = 1;

    while (count < channels_max) {
        count *= 2;
    }
    table->bucket_mask = count - 1;
    void *memory = mmap(NULL, buckets_size(table), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return -1;
    }
    table->buckets = memory;
    return 0;
}

struct channel_table *channel_table_open(const struct channel_limits *limits)
{
    struct channel_table *table = calloc(1, sizeof(*table));

    if (table == NULL) {
        return NULL;
    }
    table->arena = limits->arena;
    random_bytes(table->hash_key, sizeof(table->hash_key));
    if (pool_open(&table->channels, POOL_PLAIN, sizeof(struct channel), limits->channels_max) !=
            0 ||
        pool_open(&table->subscriptions, POOL_PLAIN, sizeof(struct subscription),
                  limits->subscriptions_max) != 0 ||
        open_buckets(table, limits->channels_max) != 0) {
        channel_table_close(table);
        return NULL;
    }
    return table;
}

void channel_table_close(struct channel_table *table)
{
    if (table == NULL) {
        return;
    }
    if (table->buckets != NULL) {
        munmap(table->buckets, buckets_size(table));
    }
    pool_close(&table->channels);
    pool_close(&table->subscriptions);
    free(table);
}

static uint32_t hash_name(const struct channel_table *table, struct slice name)
{
    return (uint32_t)siphash(table->hash_key, name);
}

/* The channel's number, or NONE. */
static uint32_t find_channel(const struct channel_table *table, struct slice name, uint32_t hash)
{
    uint32_t link = table->buckets[hash & table->bucket_mask];

    while (link != 0) {
        const struct channel *channel = channel_at(table, link - 1);
        if (channel->hash == hash && slice_equal(name_of(table, channel), name)) {
            return link - 1;
        }
        link = channel->next;
    }
    return NONE;
}

/* A channel without members, or NONE when there is no room. */
static uint32_t make_channel(struct channel_table *table, struct slice name, uint32_t hash)
{
    uint32_t number = pool_take(&table->channels);

    if (number == NONE) {
        return NONE;
    }
    struct channel *channel = channel_at(table, number);
    *channel =
        (struct channel){.hash = hash, .capacity = MEMBERS_INLINE, .name_size = (uint8_t)name.size};
    if (name.size <= NAME_INLINE) {
        memcpy(channel->name.text, name.data, name.size);
    } else {
        channel->name.block = arena_take(table->arena, name.size);
        if (channel->name.block == NONE) {
            pool_give(&table->channels, number);
            return NONE;
        }
        memcpy(arena_at(table->arena, channel->name.block), name.data, name.size);
    }

    uint32_t *bucket = &table->buckets[hash & table->bucket_mask];
    channel->next = *bucket;
    *bucket = number + 1;
    return number;
}

static void remove_channel(struct channel_table *table, uint32_t number)
{
    struct channel *channel = channel_at(table, number);
    uint32_t *link = &table->buckets[channel->hash & table->bucket_mask];

    ASSERT(channel->count == 0);
    while (*link != number + 1) {
        ASSERT(*link != 0);
        link = &channel_at(table, *link - 1)->next;
    }
    *link = channel->next;
    if (channel->name_size > NAME_INLINE) {
        arena_give(table->arena, channel->name.block);
    }
    if (channel->capacity > MEMBERS_INLINE) {
        arena_give(table->arena, channel->block);
    }
    pool_give(&table->channels, number);
}

/* Moves the members to where there is room for capacity of them. False when the arena is full. */
static bool resize(struct channel_table *table, struct channel *channel, uint32_t capacity)
{
    struct channel moved = *channel;

    ASSERT(channel->count <= capacity);
    moved.capacity = capacity;
    if (capacity > MEMBERS_INLINE) {
        moved.block = arena_take(table->arena, (size_t)capacity * 2 * sizeof(uint32_t));
        if (moved.block == NONE) {
            return false;
        }
    }
    struct members from = members_of(table, channel);
    struct members to = members_of(table, &moved);
    memcpy(to.conn_numbers, from.conn_numbers, channel->count * sizeof(uint32_t));
    memcpy(to.subscriptions, from.subscriptions, channel->count * sizeof(uint32_t));
    if (channel->capacity > MEMBERS_INLINE) {
        arena_give(table->arena, channel->block);
    }
    *channel = moved;
    return true;
}

static bool make_room(struct channel_table *table, struct channel *channel)
{
    if (channel->count < channel->capacity) {
        return true;
    }
    uint32_t capacity = channel->capacity == MEMBERS_INLINE ? BLOCK_MEMBERS : channel->capacity * 2;
    return resize(table, channel, capacity);
}

/* A quarter full is halved: a channel whose size goes to and fro does not move each time. */
static void give_room(struct channel_table *table, struct channel *channel)
{
    if (channel->capacity == MEMBERS_INLINE || channel->count > channel->capacity / 4) {
        return;
    }
    uint32_t capacity = channel->capacity == BLOCK_MEMBERS ? MEMBERS_INLINE : channel->capacity / 2;
    (void)resize(table, channel, capacity); /* without room for both, it stays where it is */
}

static bool is_subscribed(const struct channel_table *table, uint32_t channel_number, uint32_t list)
{
    while (list != NONE) {
        const struct subscription *subscription = subscription_at(table, list);
        if (subscription->channel == channel_number) {
            return true;
        }
        list = subscription->next;
    }
    return false;
}

static bool add_member(struct channel_table *table, uint32_t channel_number, uint32_t conn_number,
                       uint32_t *list)
{
    struct channel *channel = channel_at(table, channel_number);
    uint32_t number = pool_take(&table->subscriptions);

    if (number == NONE) {
        return false;
    }
    if (!make_room(table, channel)) {
        pool_give(&table->subscriptions, number);
        return false;
    }
    struct members members = members_of(table, channel);
    uint32_t index = channel->count++;
    members.conn_numbers[index] = conn_number;
    members.subscriptions[index] = number;
    *subscription_at(table, number) =
        (struct subscription){.channel = channel_number, .index = index, .next = *list};
    *list = number;
    return true;
}

enum channel_outcome channel_subscribe(struct channel_table *table, struct slice name,
                                       uint32_t conn_number, uint32_t *list)
{
    if (name.size == 0 || name.size > CHANNEL_NAME_MAX) {
        return CHANNEL_BAD_NAME;
    }

    uint32_t hash = hash_name(table, name);
    uint32_t number = find_channel(table, name, hash);
    if (number == NONE) {
        number = make_channel(table, name, hash);
        if (number == NONE) {
            return CHANNEL_FULL;
        }
    } else if (is_subscribed(table, number, *list)) {
        return CHANNEL_ALREADY;
    }
    if (!add_member(table, number, conn_number, list)) {
        if (channel_at(table, number)->count == 0) {
            remove_channel(table, number);
        }
        return CHANNEL_FULL;
    }
    return CHANNEL_SUBSCRIBED;
}

/* The last member takes the place of the one that leaves. */
static void remove_member(struct channel_table *table, uint32_t channel_number, uint32_t index)
{
    struct channel *channel = channel_at(table, channel_number);
    struct members members = members_of(table, channel);

    ASSERT(index < channel->count);
    uint32_t last = --channel->count;
    uint32_t moved = members.subscriptions[last];
    members.conn_numbers[index] = members.conn_numbers[last];
    members.subscriptions[index] = moved;
    subscription_at(table, moved)->index = index;
    if (channel->count == 0) {
        remove_channel(table, channel_number);
    } else {
        give_room(table, channel);
    }
}

void channel_unsubscribe_all(struct channel_table *table, uint32_t conn_number, uint32_t *list)
{
    while (*list != NONE) {
        struct subscription ending = *subscription_at(table, *list);
        struct members members = members_of(table, channel_at(table, ending.channel));
        ASSERT(members.conn_numbers[ending.index] == conn_number);
        ASSERT(members.subscriptions[ending.index] == *list);
        remove_member(table, ending.channel, ending.index);
        pool_give(&table->subscriptions, *list);
        *list = ending.next;
    }
}

struct channel_members channel_find(const struct channel_table *table, struct slice name)
{
    uint32_t number = find_channel(table, name, hash_name(table, name));

    if (number == NONE) {
        return (struct channel_members){0};
    }
    struct channel *channel = channel_at(table, number);
    return (struct channel_members){.conn_numbers = members_of(table, channel).conn_numbers,
                                    .count = channel->count};
}

void channel_read_counts(const struct channel_table *table, struct channel_counts *counts)
{
    *counts = (struct channel_counts){.channels = table->channels.count,
                                      .subscriptions = table->subscriptions.count};
}

size_t channel_trim(struct channel_table *table)
{
    return pool_trim(&table->channels, NULL, NULL) + pool_trim(&table->subscriptions, NULL, NULL);
}

static void check_members(const struct channel_table *table, uint32_t channel_number)
{
    struct channel *channel = channel_at(table, channel_number);
    struct members members = members_of(table, channel);

    ASSERT(channel->count > 0);
    ASSERT(channel->count <= channel->capacity);
    for (uint32_t index = 0; index < channel->count; index++) {
        uint32_t number = members.subscriptions[index];
        ASSERT(pool_is_taken(&table->subscriptions, number));
        const struct subscription *subscription = subscription_at(table, number);
        ASSERT(subscription->channel == channel_number);
        ASSERT(subscription->index == index);
        if (subscription->next != NONE) {
            ASSERT(pool_is_taken(&table->subscriptions, subscription->next));
        }
    }
}

static void check_channel(const struct channel_table *table, uint32_t number, uint32_t bucket)
{
    ASSERT(pool_is_taken(&table->channels, number));

    const struct channel *channel = channel_at(table, number);
    struct slice name = name_of(table, channel);
    ASSERT(name.size > 0);
    ASSERT((channel->hash & table->bucket_mask) == bucket);
    ASSERT(channel->hash == hash_name(table, name));
    ASSERT(find_channel(table, name, channel->hash) == number); /* else there is a second one */
    if (channel->name_size > NAME_INLINE) {
        ASSERT(arena_block_size(table->arena, channel->name.block) >= channel->name_size);
    }
    if (channel->capacity > MEMBERS_INLINE) {
        size_t size = (size_t)channel->capacity * 2 * sizeof(uint32_t);
        ASSERT(arena_block_size(table->arena, channel->block) == size);
    }
    check_members(table, number);
}

void channel_check(const struct channel_table *table)
{
    uint32_t channels = 0;
    uint32_t subscriptions = 0;

    for (uint32_t bucket = 0; bucket <= table->bucket_mask; bucket++) {
        uint32_t link = table->buckets[bucket];
        while (link != 0) {
            check_channel(table, link - 1, bucket);
            channels++;
            subscriptions += channel_at(table, link - 1)->count;
            link = channel_at(table, link - 1)->next;
        }
    }
    ASSERT(channels == table->channels.count);
    ASSERT(subscriptions == table->subscriptions.count);
}
