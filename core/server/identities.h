/*
 * identities.h - who an open connection is, for those that an option makes say it: the user's name,
 * and how far its presence got. By the connection's number; without such an option there are none,
 * and an idle connection takes no byte more.
 */
#pragma once

#include "base/arena.h"
#include "base/pool.h"

#define IDENTITY_USER_INLINE 26

enum identity_presence {
    PRESENCE_NONE,    /* not announced */
    PRESENCE_JOINING, /* waits for its joins to be posted: stands in the shard's queue */
    PRESENCE_JOINED,  /* joins were posted: each must be followed by a leave */
};

struct identity {
    uint32_t user_block; /* of the arena, when the name is longer than fits */
    uint8_t presence;    /* enum identity_presence */
    uint8_t user_size;
    uint8_t user[IDENTITY_USER_INLINE];
};
static_assert(sizeof(struct identity) == 32, "one a connection, where they are kept");

struct identities {
    struct pool pool; /* not open: none are kept */
    struct arena *arena;
};

/* is_kept: an option needs them. arena is borrowed. Returns 0 or -errno. */
MUST_CHECK int identities_open(struct identities *identities, bool is_kept, uint32_t count_max,
                               struct arena *arena);
void identities_trim(struct identities *identities);
void identities_close(struct identities *identities); /* no-op on zeros */

/* False when there is no memory; true without keeping anything when none are kept. */
MUST_CHECK bool identities_keep(struct identities *identities, uint32_t number, struct slice user);
void identities_end(struct identities *identities, uint32_t number); /* no-op when it has none */

/* NULL when it has none. */
MUST_CHECK struct identity *identities_find(const struct identities *identities, uint32_t number);

/* Empty when it has none. */
MUST_CHECK struct slice identities_user(const struct identities *identities, uint32_t number);
