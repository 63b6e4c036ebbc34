#include "pubsub/channel_state.h"

static void add_match(const struct channel_table *table, struct slice name,
                      struct channel_matches *matches)
{
    uint32_t number = channel_named(table, name, channel_hash(table, name));

    if (number != NONE && channel_at(table, number)->count > 0) {
        matches->numbers[matches->count++] = number;
        matches->members += channel_at(table, number)->count;
    }
}

/* The pattern of each length that there is whose text the name begins with. */
static void add_patterns(const struct channel_table *table, struct slice name,
                         struct channel_matches *matches)
{
    uint8_t pattern[CHANNEL_NAME_MAX + 1];

    memcpy(pattern, name.data, name.size);
    for (uint32_t word = 0; (size_t)word * 64 <= name.size; word++) {
        uint64_t lengths = table->pattern_lengths[word];
        while (lengths != 0) {
            uint32_t length = word * 64 + (uint32_t)__builtin_ctzll(lengths);
            lengths &= lengths - 1;
            if (length > name.size) {
                return;
            }
            uint8_t covered = pattern[length];
            pattern[length] = PATTERN_SIGN;
            add_match(table, slice_from(pattern, length + 1), matches);
            pattern[length] = covered;
        }
    }
}

void channel_match(const struct channel_table *table, struct slice name,
                   struct channel_matches *matches)
{
    matches->count = 0;
    matches->members = 0;
    if (name.size == 0 || name.size > CHANNEL_NAME_MAX) {
        return;
    }
    if (!channel_is_pattern(
            name)) { /* else the channel of this name is a pattern, and comes as one */
        add_match(table, name, matches);
    }
    add_patterns(table, name, matches);
}

static bool is_member_of_any(const struct channel_table *table, const uint32_t *channels,
                             uint32_t count, uint32_t conn_number)
{
    for (uint32_t i = 0; i < count; i++) {
        if (channel_subscription(table, conn_number, channels[i]) != NONE) {
            return true;
        }
    }
    return false;
}

static void copy_members(const struct channel_table *table, struct channel *channel, uint32_t *out)
{
    for (uint32_t at = 0; at < channel->count; at += CHUNK_MEMBERS) {
        const uint32_t left = channel->count - at;
        const uint32_t count = left < CHUNK_MEMBERS ? left : CHUNK_MEMBERS;
        memcpy(out + at, member_at(table, channel, at), count * sizeof(uint32_t));
    }
}

uint32_t channel_collect(const struct channel_table *table, const struct channel_matches *matches,
                         uint32_t *conn_numbers)
{
    uint32_t count = 0;

    for (uint32_t match = 0; match < matches->count; match++) {
        struct channel *channel = channel_at(table, matches->numbers[match]);
        if (match == 0) {
            copy_members(table, channel, conn_numbers);
            count = channel->count;
            continue;
        }
        for (uint32_t i = 0; i < channel->count; i++) {
            const uint32_t member = *member_at(table, channel, i);
            if (!is_member_of_any(table, matches->numbers, match, member)) {
                conn_numbers[count++] = member;
            }
        }
    }
    return count;
}

bool channel_reaches(const struct channel_table *table, struct slice name, uint32_t conn_number)
{
    struct channel_matches matches;

    channel_match(table, name, &matches);
    return is_member_of_any(table, matches.numbers, matches.count, conn_number);
}

/* Every member has a subscription that leads back. */
static void check_members(const struct channel_table *table, uint32_t channel_number)
{
    struct channel *channel = channel_at(table, channel_number);

    ASSERT(channel->count <= channel->capacity);
    for (uint32_t index = 0; index < channel->count; index++) {
        const uint32_t member = *member_at(table, channel, index);
        uint32_t number = channel_subscription(table, member, channel_number);
        ASSERT(number != NONE);
        ASSERT(pool_is_taken(&table->subscriptions, number));
        ASSERT(subscription_at(table, number)->index == index);
    }
}

static void check_blocks(const struct channel_table *table, const struct channel *channel)
{
    const size_t size = (size_t)channel->capacity * sizeof(uint32_t);
    const size_t chunk_size = CHUNK_MEMBERS * sizeof(uint32_t);

    if (channel->capacity == MEMBERS_INLINE) {
        return;
    }
    if (channel->capacity <= CHUNK_MEMBERS) {
        ASSERT(arena_block_size(table->arena, channel->members.block) == size);
        return;
    }
    const uint32_t *chunks = arena_at(table->arena, channel->members.block);
    const uint32_t count = channel->capacity / CHUNK_MEMBERS;
    ASSERT(channel->capacity % CHUNK_MEMBERS == 0);
    ASSERT(arena_block_size(table->arena, channel->members.block) >= count * sizeof(uint32_t));
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(arena_block_size(table->arena, chunks[i]) == chunk_size);
    }
}

static void check_channel(const struct channel_table *table, uint32_t number, uint32_t bucket)
{
    ASSERT(pool_is_taken(&table->channels, number));

    const struct channel *channel = channel_at(table, number);
    struct slice name = name_of(table, channel);
    ASSERT(name.size > 0);
    ASSERT((channel->hash & table->bucket_mask) == bucket);
    ASSERT(channel->hash == channel_hash(table, name));
    ASSERT(channel->is_pattern == channel_is_pattern(name));
    ASSERT(channel_named(table, name, channel->hash) == number); /* else there is a second one */
    if (channel->name_size > NAME_INLINE) {
        ASSERT(arena_block_size(table->arena, channel->name.block) >= channel->name_size);
    }
    check_blocks(table, channel);
    if (table->tracks) {
        ASSERT(channel->is_changed || channel->has_members == (channel->count > 0));
    }
    ASSERT(channel->count > 0 || channel->is_changed);
    check_members(table, number);
}

static void check_changes(const struct channel_table *table, uint32_t expected)
{
    uint32_t count = 0;

    for (uint32_t link = table->first_change; link != 0;) {
        ASSERT(channel_at(table, link - 1)->is_changed);
        count++;
        link = channel_at(table, link - 1)->next_change;
    }
    ASSERT(count == expected);
}

void channel_check(const struct channel_table *table)
{
    uint32_t channels = 0;
    uint32_t subscriptions = 0;
    uint32_t empty = 0;
    uint32_t changes = 0;
    uint32_t patterns = 0;

    for (uint32_t bucket = 0; bucket <= table->bucket_mask; bucket++) {
        uint32_t link = table->buckets[bucket];
        while (link != 0) {
            const struct channel *channel = channel_at(table, link - 1);
            check_channel(table, link - 1, bucket);
            channels++;
            subscriptions += channel->count;
            empty += channel->count == 0 ? 1 : 0;
            changes += channel->is_changed ? 1 : 0;
            patterns += channel->is_pattern ? 1 : 0;
            link = channel->next;
        }
    }
    ASSERT(channels == table->channels.count);
    ASSERT(subscriptions == table->subscriptions.count);
    ASSERT(empty == table->empty_count);
    check_changes(table, changes);
    for (uint32_t length = 0; length < CHANNEL_NAME_MAX; length++) {
        patterns -= table->pattern_counts[length];
    }
    ASSERT(patterns == 0);
}
