#include "base/random.h"
#include "pubsub/channel_state.h"

#include <stdlib.h>
#include <sys/mman.h>

#define NUMBER_MASK 0xffffffU /* of connections, channels and subscriptions: see pool.h */

/* --- open and close --------------------------------------------------------------------------- */

static size_t buckets_size(const struct channel_table *table)
{
    return ((size_t)table->bucket_mask + 1) * sizeof(*table->buckets);
}

static size_t firsts_size(const struct channel_table *table)
{
    return (size_t)table->conns_max * sizeof(*table->firsts);
}

static void *reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static int open_arrays(struct channel_table *table, const struct channel_limits *limits)
{
    uint32_t count = 1;

    if (limits->conns_max == 0 || limits->conns_max > NUMBER_MASK) {
        return -1;
    }
    while (count < limits->channels_max) {
        count *= 2;
    }
    table->bucket_mask = count - 1;
    table->buckets = reserve(buckets_size(table));
    table->conns_max = limits->conns_max;
    table->firsts = reserve(firsts_size(table));
    return table->buckets == NULL || table->firsts == NULL ? -1 : 0;
}

struct channel_table *channel_table_open(const struct channel_limits *limits)
{
    struct channel_table *table = calloc(1, sizeof(*table));

    if (table == NULL) {
        return NULL;
    }
    table->arena = limits->arena;
    table->tracks = limits->tracks;
    random_bytes(table->hash_key, sizeof(table->hash_key));
    if (pool_open(&table->channels, POOL_PLAIN, sizeof(struct channel), limits->channels_max) !=
            0 ||
        pool_open(&table->subscriptions, POOL_PLAIN, sizeof(struct subscription),
                  limits->subscriptions_max) != 0 ||
        open_arrays(table, limits) != 0) {
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
    if (table->firsts != NULL) {
        munmap(table->firsts, firsts_size(table));
    }
    pool_close(&table->channels);
    pool_close(&table->subscriptions);
    free(table);
}

/* --- names ------------------------------------------------------------------------------------ */

uint32_t channel_named(const struct channel_table *table, struct slice name, uint32_t hash)
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

/* Which lengths of patterns there are, so that a publication looks for those alone. */
static void count_pattern(struct channel_table *table, const struct channel *channel, bool more)
{
    uint32_t length = channel->name_size - 1U;

    if (!channel->is_pattern) {
        return;
    }
    table->pattern_counts[length] += more ? 1 : UINT32_MAX;
    if (table->pattern_counts[length] > 0) {
        table->pattern_lengths[length / 64] |= UINT64_C(1) << length % 64;
    } else {
        table->pattern_lengths[length / 64] &= ~(UINT64_C(1) << length % 64);
    }
}

/* A channel without members, or NONE when there is no room. */
static uint32_t make_channel(struct channel_table *table, struct slice name, uint32_t hash)
{
    uint32_t number = pool_take(&table->channels);

    if (number == NONE) {
        return NONE;
    }
    struct channel *channel = channel_at(table, number);
    *channel = (struct channel){.hash = hash,
                                .capacity = MEMBERS_INLINE,
                                .name_size = (uint8_t)name.size,
                                .is_pattern = channel_is_pattern(name)};
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
    table->empty_count++;
    count_pattern(table, channel, true);
    return number;
}

static void drop_chunk(struct channel_table *table, struct channel *channel)
{
    struct arena *arena = table->arena;
    const uint32_t list = channel->members.block;
    const uint32_t *chunks = arena_at(arena, list);

    channel->capacity -= CHUNK_MEMBERS;
    arena_give(arena, chunks[channel->capacity / CHUNK_MEMBERS]);
    if (channel->capacity == CHUNK_MEMBERS) {
        channel->members.block = chunks[0];
        arena_give(arena, list);
    }
}

static void free_members(struct channel_table *table, struct channel *channel)
{
    while (channel->capacity > CHUNK_MEMBERS) {
        drop_chunk(table, channel);
    }
    if (channel->capacity > MEMBERS_INLINE) {
        arena_give(table->arena, channel->members.block);
    }
}

/* A channel without members ends, unless somebody has yet to be told. */
static void end_channel(struct channel_table *table, uint32_t number)
{
    struct channel *channel = channel_at(table, number);
    uint32_t *link = &table->buckets[channel->hash & table->bucket_mask];

    if (channel->count > 0 || channel->is_changed) {
        return;
    }
    ASSERT(!channel->has_members);
    while (*link != number + 1) {
        ASSERT(*link != 0);
        link = &channel_at(table, *link - 1)->next;
    }
    *link = channel->next;
    if (channel->name_size > NAME_INLINE) {
        arena_give(table->arena, channel->name.block);
    }
    free_members(table, channel);
    count_pattern(table, channel, false);
    table->empty_count--;
    pool_give(&table->channels, number);
}

/* --- changes ---------------------------------------------------------------------------------- */

/* The channel has got its first member, or lost its last. */
static void note_change(struct channel_table *table, uint32_t number)
{
    struct channel *channel = channel_at(table, number);

    if (!table->tracks || channel->is_changed) {
        return;
    }
    channel->is_changed = true;
    channel->next_change = 0;
    if (table->first_change == 0) {
        table->first_change = number + 1;
    } else {
        channel_at(table, table->last_change - 1)->next_change = number + 1;
    }
    table->last_change = number + 1;
}

/* Takes the oldest out of the list. */
static void drop_change(struct channel_table *table)
{
    uint32_t number = table->first_change - 1;
    struct channel *channel = channel_at(table, number);

    ASSERT(channel->is_changed);
    channel->is_changed = false;
    table->first_change = channel->next_change;
    end_channel(table, number);
}

bool channel_next_change(struct channel_table *table, struct channel_change *change)
{
    while (table->first_change != 0) {
        const struct channel *channel = channel_at(table, table->first_change - 1);
        if ((channel->count > 0) != channel->has_members) {
            *change = (struct channel_change){.name = name_of(table, channel),
                                              .is_pattern = channel->is_pattern,
                                              .has_members = channel->count > 0};
            return true;
        }
        drop_change(table);
    }
    return false;
}

void channel_change_done(struct channel_table *table)
{
    ASSERT(table->first_change != 0);
    struct channel *channel = channel_at(table, table->first_change - 1);
    channel->has_members = channel->count > 0;
    drop_change(table);
}

/* --- members ---------------------------------------------------------------------------------- */

/* Moves the members of one block to where there is room for capacity of them. False when the arena
 * is full. */
static bool resize(struct channel_table *table, struct channel *channel, uint32_t capacity)
{
    struct channel moved = *channel;

    ASSERT(channel->count <= capacity);
    moved.capacity = capacity;
    if (capacity > MEMBERS_INLINE) {
        moved.members.block = arena_take(table->arena, (size_t)capacity * sizeof(uint32_t));
        if (moved.members.block == NONE) {
            return false;
        }
    }
    memcpy(member_at(table, &moved, 0), member_at(table, channel, 0),
           channel->count * sizeof(uint32_t));
    if (channel->capacity > MEMBERS_INLINE) {
        arena_give(table->arena, channel->members.block);
    }
    *channel = moved;
    return true;
}

/* The block of a list that has room for count chunks: the channel's own, or a larger one with what
 * its own says. NONE when the arena is full. */
static uint32_t list_for(struct channel_table *table, const struct channel *channel, uint32_t count)
{
    struct arena *arena = table->arena;
    const uint32_t block = channel->members.block;
    const bool is_list = channel->capacity > CHUNK_MEMBERS;

    if (is_list && count <= arena_block_size(arena, block) / sizeof(uint32_t)) {
        return block;
    }
    const uint32_t list = arena_take(arena, count * sizeof(uint32_t));
    if (list == NONE) {
        return NONE;
    }
    if (is_list) {
        memcpy(arena_at(arena, list), arena_at(arena, block), (count - 1) * sizeof(uint32_t));
    } else {
        *(uint32_t *)arena_at(arena, list) = block; /* it is the first chunk now */
    }
    return list;
}

/* One chunk more. False when the arena is full. */
static bool add_chunk(struct channel_table *table, struct channel *channel)
{
    struct arena *arena = table->arena;
    const uint32_t count = channel->capacity / CHUNK_MEMBERS;
    const uint32_t block = channel->members.block;
    const uint32_t chunk = arena_take(arena, CHUNK_MEMBERS * sizeof(uint32_t));

    if (chunk == NONE) {
        return false;
    }
    const uint32_t list = list_for(table, channel, count + 1);
    if (list == NONE) {
        arena_give(arena, chunk);
        return false;
    }
    if (list != block && count > 1) {
        arena_give(arena, block);
    }
    ((uint32_t *)arena_at(arena, list))[count] = chunk;
    channel->members.block = list;
    channel->capacity += CHUNK_MEMBERS;
    return true;
}

static bool make_room(struct channel_table *table, struct channel *channel)
{
    if (channel->count < channel->capacity) {
        return true;
    }
    if (channel->capacity >= CHUNK_MEMBERS) {
        return add_chunk(table, channel);
    }
    uint32_t capacity = channel->capacity == MEMBERS_INLINE ? BLOCK_MEMBERS : channel->capacity * 2;
    return resize(table, channel, capacity);
}

/* Two empty chunks are one too many, and a block that is a quarter full is halved: a channel whose
 * size goes to and fro does not move each time. */
static void give_room(struct channel_table *table, struct channel *channel)
{
    if (channel->capacity > CHUNK_MEMBERS) {
        if (channel->count + 2 * CHUNK_MEMBERS <= channel->capacity) {
            drop_chunk(table, channel);
        }
        return;
    }
    if (channel->capacity == MEMBERS_INLINE || channel->count > channel->capacity / 4) {
        return;
    }
    uint32_t capacity = channel->capacity == BLOCK_MEMBERS ? MEMBERS_INLINE : channel->capacity / 2;
    (void)resize(table, channel, capacity); /* without room for both, it stays where it is */
}

uint32_t channel_subscription(const struct channel_table *table, uint32_t conn_number,
                              uint32_t channel_number)
{
    ASSERT(conn_number < table->conns_max);
    uint32_t link = table->firsts[conn_number];
    while (link != 0) {
        const struct subscription *subscription = subscription_at(table, link - 1);
        if (subscription->channel == channel_number) {
            return link - 1;
        }
        link = subscription->next;
    }
    return NONE;
}

static bool add_member(struct channel_table *table, uint32_t channel_number, uint32_t conn_number)
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
    uint32_t index = channel->count++;
    *member_at(table, channel, index) = conn_number;
    struct subscription *subscription = subscription_at(table, number);
    subscription->channel = channel_number & NUMBER_MASK;
    subscription->index = index & NUMBER_MASK;
    subscription->next = table->firsts[conn_number];
    table->firsts[conn_number] = number + 1;
    if (index == 0) {
        table->empty_count--;
        note_change(table, channel_number);
    }
    return true;
}

enum channel_outcome channel_subscribe(struct channel_table *table, struct slice name,
                                       uint32_t conn_number)
{
    if (name.size == 0 || name.size > CHANNEL_NAME_MAX) {
        return CHANNEL_BAD_NAME;
    }

    uint32_t hash = channel_hash(table, name);
    uint32_t number = channel_named(table, name, hash);
    if (number == NONE) {
        number = make_channel(table, name, hash);
        if (number == NONE) {
            return CHANNEL_FULL;
        }
    } else if (channel_subscription(table, conn_number, number) != NONE) {
        return CHANNEL_ALREADY;
    }
    if (!add_member(table, number, conn_number)) {
        end_channel(table, number);
        return CHANNEL_FULL;
    }
    return CHANNEL_SUBSCRIBED;
}

/*
 * The last member takes the place of the one that leaves. Its subscription, which must learn of it,
 * is one of its connection's few: a link to it beside each member would cost every subscription 4
 * bytes.
 */
static void remove_member(struct channel_table *table, uint32_t channel_number, uint32_t index)
{
    struct channel *channel = channel_at(table, channel_number);

    ASSERT(index < channel->count);
    uint32_t last = --channel->count;
    if (index != last) {
        const uint32_t member = *member_at(table, channel, last);
        uint32_t moved = channel_subscription(table, member, channel_number);
        ASSERT(moved != NONE);
        subscription_at(table, moved)->index = index & NUMBER_MASK;
        *member_at(table, channel, index) = member;
    }
    if (channel->count > 0) {
        give_room(table, channel);
        return;
    }
    table->empty_count++;
    note_change(table, channel_number);
    end_channel(table, channel_number);
}

/* previous: the one that leads to it; NONE: it is the connection's first. */
static void end_subscription(struct channel_table *table, uint32_t conn_number, uint32_t previous,
                             uint32_t number)
{
    const struct subscription ending = *subscription_at(table, number);

    ASSERT(*member_at(table, channel_at(table, ending.channel), ending.index) == conn_number);
    if (previous == NONE) {
        table->firsts[conn_number] = ending.next;
    } else {
        subscription_at(table, previous)->next = ending.next;
    }
    pool_give(&table->subscriptions, number);
    remove_member(table, ending.channel, ending.index);
}

bool channel_unsubscribe(struct channel_table *table, struct slice name, uint32_t conn_number)
{
    uint32_t channel_number = channel_named(table, name, channel_hash(table, name));
    uint32_t previous = NONE;

    ASSERT(conn_number < table->conns_max);
    uint32_t link = table->firsts[conn_number];
    while (link != 0) {
        const struct subscription *subscription = subscription_at(table, link - 1);
        if (subscription->channel == channel_number) {
            end_subscription(table, conn_number, previous, link - 1);
            table->unsubscribes++;
            return true;
        }
        previous = link - 1;
        link = subscription->next;
    }
    return false;
}

void channel_unsubscribe_all(struct channel_table *table, uint32_t conn_number)
{
    ASSERT(conn_number < table->conns_max);
    while (table->firsts[conn_number] != 0) {
        end_subscription(table, conn_number, NONE, table->firsts[conn_number] - 1);
    }
}

/* --- upkeep ----------------------------------------------------------------------------------- */

void channel_read_counts(const struct channel_table *table, struct channel_counts *counts)
{
    *counts = (struct channel_counts){.channels = table->channels.count - table->empty_count,
                                      .subscriptions = table->subscriptions.count,
                                      .unsubscribes = table->unsubscribes};
}

size_t channel_trim(struct channel_table *table)
{
    return pool_trim(&table->channels, NULL, NULL) + pool_trim(&table->subscriptions, NULL, NULL);
}

void channel_trim_conns(struct channel_table *table, uint32_t first_number)
{
    uint32_t *firsts = &table->firsts[first_number];

    ASSERT(first_number < table->conns_max);
    ASSERT(first_number % POOL_CHUNK_ITEMS == 0);
    for (uint32_t i = 0; i < POOL_CHUNK_ITEMS && first_number + i < table->conns_max; i++) {
        ASSERT(firsts[i] == 0);
    }
    (void)madvise(firsts, POOL_CHUNK_ITEMS * sizeof(*firsts), MADV_DONTNEED); /* whole pages */
}
