/*
 * followers.h - which shards want which channels and patterns: what the relay tells a broker that
 * follows, and where it delivers.
 *
 * A set of shards is 64 bits, by shard number % 64. Where several shards share a bit it stays until
 * the last follower of the name has gone: a shard that has no subscriber drops what comes.
 */
#pragma once

#include "base/table.h"

#define FOLLOWERS_NAME_MAX 255

struct followers {
    struct table names;                           /* channels, and patterns without their '*' */
    uint32_t patterns_of[FOLLOWERS_NAME_MAX + 1]; /* how many patterns have a prefix so long */
    uint32_t shard_count;
};

/* Returns 0 or -errno. */
MUST_CHECK int followers_open(struct followers *followers, uint32_t shard_count);
void followers_close(struct followers *followers); /* no-op on zeros */

enum followers_outcome {
    FOLLOWERS_CHANGED, /* the first came, or the last went: the broker must be told */
    FOLLOWERS_SAME,
    FOLLOWERS_FULL, /* no memory: nothing changed */
};

/* name of a pattern: with its '*'. A shard adds a name once and removes it once. */
MUST_CHECK enum followers_outcome followers_add(struct followers *followers, struct slice name,
                                                bool is_pattern, uint32_t shard);
MUST_CHECK enum followers_outcome followers_remove(struct followers *followers, struct slice name,
                                                   bool is_pattern, uint32_t shard);

/* The shards that may have subscribers of the channel. */
MUST_CHECK uint64_t followers_of(const struct followers *followers, struct slice channel);

static inline uint64_t followers_bit(uint32_t shard)
{
    return UINT64_C(1) << shard % 64;
}
