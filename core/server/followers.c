#include "server/followers.h"

#include <stdlib.h>

#define NAMES_HINT (1u << 16) /* more names share buckets */

/* Whoever follows one name. */
struct follower {
    struct table_entry entry;
    uint64_t shards;
    uint32_t count;
    bool is_pattern;
    uint8_t name_size; /* of a pattern: of what stands before its '*' */
    uint8_t name[];
};

int followers_open(struct followers *followers, uint32_t shard_count)
{
    *followers = (struct followers){.shard_count = shard_count};
    return table_open(&followers->names, NAMES_HINT);
}

void followers_close(struct followers *followers)
{
    for (uint32_t i = 0; followers->names.count > 0; i++) {
        struct table_entry *entry;
        while ((entry = table_bucket(&followers->names, i))) {
            table_remove(&followers->names, entry);
            free(entry);
        }
    }
    table_close(&followers->names);
}

static struct follower *find(const struct followers *followers, struct slice name, bool is_pattern)
{
    struct table_entry *entry = table_find(&followers->names, table_hash(&followers->names, name));

    for (; entry; entry = table_find_next(entry)) {
        struct follower *follower = (struct follower *)entry;
        if (follower->is_pattern == is_pattern &&
            slice_equal(slice_from(follower->name, follower->name_size), name)) {
            return follower;
        }
    }
    return NULL;
}

static struct slice without_star(struct slice name, bool is_pattern)
{
    ASSERT(name.size > 0);
    ASSERT(name.size <= FOLLOWERS_NAME_MAX);
    return is_pattern ? slice_from(name.data, name.size - 1) : name;
}

enum followers_outcome followers_add(struct followers *followers, struct slice name,
                                     bool is_pattern, uint32_t shard)
{
    const struct slice text = without_star(name, is_pattern);
    struct follower *follower = find(followers, text, is_pattern);

    if (follower) {
        follower->shards |= followers_bit(shard);
        follower->count++;
        return FOLLOWERS_SAME;
    }
    follower = malloc(sizeof(*follower) + text.size);
    if (!follower) {
        return FOLLOWERS_FULL;
    }
    *follower = (struct follower){.shards = followers_bit(shard),
                                  .count = 1,
                                  .is_pattern = is_pattern,
                                  .name_size = (uint8_t)text.size};
    if (text.size > 0) {
        memcpy(follower->name, text.data, text.size);
    }
    table_add(&followers->names, &follower->entry, table_hash(&followers->names, text));
    followers->patterns_of[text.size] += is_pattern ? 1 : 0;
    return FOLLOWERS_CHANGED;
}

enum followers_outcome followers_remove(struct followers *followers, struct slice name,
                                        bool is_pattern, uint32_t shard)
{
    const struct slice text = without_star(name, is_pattern);
    struct follower *follower = find(followers, text, is_pattern);

    if (!follower) {
        return FOLLOWERS_SAME; /* there was no memory to add it */
    }
    follower->count--;
    if (follower->count > 0) {
        if (followers->shard_count <= 64) {
            follower->shards &= ~followers_bit(shard);
        }
        return FOLLOWERS_SAME;
    }
    table_remove(&followers->names, &follower->entry);
    free(follower);
    followers->patterns_of[text.size] -= is_pattern ? 1 : 0;
    return FOLLOWERS_CHANGED;
}

uint64_t followers_of(const struct followers *followers, struct slice channel)
{
    const struct follower *follower = find(followers, channel, false);
    uint64_t shards = follower ? follower->shards : 0;

    for (size_t size = 0; size <= channel.size && size < FOLLOWERS_NAME_MAX; size++) {
        if (followers->patterns_of[size] > 0) {
            follower = find(followers, slice_from(channel.data, size), true);
            shards |= follower ? follower->shards : 0;
        }
    }
    return shards;
}
