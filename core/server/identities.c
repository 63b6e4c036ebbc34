#include "server/identities.h"

int identities_open(struct identities *identities, bool is_kept, uint32_t count_max,
                    struct arena *arena)
{
    *identities = (struct identities){.arena = arena};
    if (!is_kept) {
        return 0;
    }
    return pool_open(&identities->pool, POOL_PLAIN, sizeof(struct identity), count_max);
}

void identities_trim(struct identities *identities)
{
    if (identities->pool.count_max > 0) {
        (void)pool_trim(&identities->pool, NULL, NULL);
    }
}

void identities_close(struct identities *identities)
{
    pool_close(&identities->pool);
}

bool identities_keep(struct identities *identities, uint32_t number, struct slice user)
{
    ASSERT(user.size <= UINT8_MAX);
    if (identities->pool.count_max == 0) {
        return true;
    }
    struct identity identity = {.user_block = NONE, .user_size = (uint8_t)user.size};
    uint8_t *place = identity.user;
    if (user.size > IDENTITY_USER_INLINE) {
        identity.user_block = arena_take(identities->arena, user.size);
        if (identity.user_block == NONE) {
            return false;
        }
        place = arena_at(identities->arena, identity.user_block);
    }
    if (user.size > 0) {
        memcpy(place, user.data, user.size);
    }
    pool_take_number(&identities->pool, number);
    *(struct identity *)pool_at(&identities->pool, number) = identity;
    return true;
}

struct identity *identities_find(const struct identities *identities, uint32_t number)
{
    if (identities->pool.count_max == 0 || !pool_is_taken(&identities->pool, number)) {
        return NULL;
    }
    return pool_at(&identities->pool, number);
}

void identities_end(struct identities *identities, uint32_t number)
{
    const struct identity *identity = identities_find(identities, number);

    if (!identity) {
        return;
    }
    if (identity->user_block != NONE) {
        arena_give(identities->arena, identity->user_block);
    }
    pool_give(&identities->pool, number);
}

struct slice identities_user(const struct identities *identities, uint32_t number)
{
    const struct identity *identity = identities_find(identities, number);

    if (!identity) {
        return (struct slice){0};
    }
    return slice_from(identity->user_block == NONE
                          ? identity->user
                          : arena_at(identities->arena, identity->user_block),
                      identity->user_size);
}
