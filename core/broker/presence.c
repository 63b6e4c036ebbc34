#include "broker/presence.h"

#include "base/table.h"

#include <stdlib.h>

#define BUCKETS_HINT (1u << 16) /* more members share buckets */

/* A channel with members: it lives as long as it has one. */
struct place {
    struct table_entry entry;
    struct member *newest;
    uint32_t count;
    uint8_t channel_size;
    uint8_t channel[];
};

struct member {
    struct table_entry entry;
    struct place *place;
    struct member *newer; /* of the same place */
    struct member *older;
    uint16_t user_size;
    uint8_t conn_id_size;
    uint8_t bytes[]; /* connection, then user */
};

struct presence {
    struct table places;
    struct table members; /* by connection, of all places: the place is compared */
    uint32_t members_max;
    struct broker_member *lent;
};

struct presence *presence_open(uint32_t members_max)
{
    struct presence *presence = calloc(1, sizeof(*presence));
    const uint32_t buckets = members_max < BUCKETS_HINT ? members_max : BUCKETS_HINT;

    if (!presence) {
        return NULL;
    }
    presence->members_max = members_max;
    if (table_open(&presence->places, buckets) != 0 ||
        table_open(&presence->members, buckets) != 0) {
        presence_close(presence);
        return NULL;
    }
    return presence;
}

static struct slice channel_of(const struct place *place)
{
    return slice_from(place->channel, place->channel_size);
}

static struct slice conn_id_of(const struct member *member)
{
    return slice_from(member->bytes, member->conn_id_size);
}

static struct place *find_place(const struct presence *presence, struct slice channel)
{
    struct table_entry *entry =
        table_find(&presence->places, table_hash(&presence->places, channel));

    while (entry && !slice_equal(channel_of((struct place *)entry), channel)) {
        entry = table_find_next(entry);
    }
    return (struct place *)entry;
}

static struct place *make_place(struct presence *presence, struct slice channel)
{
    struct place *place = malloc(sizeof(*place) + channel.size);

    ASSERT(channel.size <= UINT8_MAX);
    if (!place) {
        return NULL;
    }
    *place = (struct place){.channel_size = (uint8_t)channel.size};
    if (channel.size > 0) {
        memcpy(place->channel, channel.data, channel.size);
    }
    table_add(&presence->places, &place->entry, table_hash(&presence->places, channel));
    return place;
}

/* A connection in many channels has as many entries in one bucket: the place's own hash keeps them
 * apart. */
static uint64_t member_hash(const struct presence *presence, const struct place *place,
                            struct slice conn_id)
{
    return table_hash(&presence->members, conn_id) ^ place->entry.hash;
}

static struct member *find_member(const struct presence *presence, const struct place *place,
                                  struct slice conn_id)
{
    struct table_entry *entry =
        table_find(&presence->members, member_hash(presence, place, conn_id));

    for (; entry; entry = table_find_next(entry)) {
        struct member *member = (struct member *)entry;
        if (member->place == place && slice_equal(conn_id_of(member), conn_id)) {
            return member;
        }
    }
    return NULL;
}

static void remove_member(struct presence *presence, struct member *member)
{
    struct place *place = member->place;

    if (member->newer) {
        member->newer->older = member->older;
    } else {
        place->newest = member->older;
    }
    if (member->older) {
        member->older->newer = member->newer;
    }
    table_remove(&presence->members, &member->entry);
    free(member);
    place->count--;
    if (place->count == 0) {
        table_remove(&presence->places, &place->entry);
        free(place);
    }
}

static struct member *make_member(const struct broker_member *from)
{
    struct member *member = malloc(sizeof(*member) + from->conn_id.size + from->user.size);

    ASSERT(from->conn_id.size > 0);
    ASSERT(from->conn_id.size <= UINT8_MAX);
    ASSERT(from->user.size <= UINT16_MAX);
    if (!member) {
        return NULL;
    }
    *member = (struct member){.user_size = (uint16_t)from->user.size,
                              .conn_id_size = (uint8_t)from->conn_id.size};
    memcpy(member->bytes, from->conn_id.data, from->conn_id.size);
    if (from->user.size > 0) {
        memcpy(member->bytes + from->conn_id.size, from->user.data, from->user.size);
    }
    return member;
}

bool presence_join(struct presence *presence, struct slice channel,
                   const struct broker_member *joining)
{
    struct place *place = find_place(presence, channel);
    struct member *before = place ? find_member(presence, place, joining->conn_id) : NULL;

    if (!before && presence->members.count >= presence->members_max) {
        return false;
    }
    struct member *member = make_member(joining);
    if (!member) {
        return false;
    }
    if (!place) {
        place = make_place(presence, channel);
        if (!place) {
            free(member);
            return false;
        }
    }
    member->place = place;
    member->older = place->newest;
    if (place->newest) {
        place->newest->newer = member;
    }
    place->newest = member;
    place->count++;
    table_add(&presence->members, &member->entry, member_hash(presence, place, joining->conn_id));
    if (before) {
        remove_member(presence, before);
    }
    return true;
}

void presence_leave(struct presence *presence, struct slice channel, struct slice conn_id)
{
    const struct place *place = find_place(presence, channel);
    struct member *member = place ? find_member(presence, place, conn_id) : NULL;

    if (member) {
        remove_member(presence, member);
    }
}

const struct broker_member *presence_read(struct presence *presence, struct slice channel,
                                          uint32_t *count)
{
    const struct place *place = find_place(presence, channel);
    uint32_t index = 0;

    *count = place ? place->count : 0;
    free(presence->lent);
    presence->lent = calloc(*count > 0 ? *count : 1, sizeof(struct broker_member));
    if (!presence->lent) {
        *count = NONE;
        return NULL;
    }
    for (const struct member *member = place ? place->newest : NULL; member;
         member = member->older) {
        presence->lent[index++] = (struct broker_member){
            .conn_id = conn_id_of(member),
            .user = slice_from(member->bytes + member->conn_id_size, member->user_size)};
    }
    ASSERT(index == *count);
    return presence->lent;
}

uint32_t presence_count(const struct presence *presence)
{
    return presence->members.count;
}

void presence_close(struct presence *presence)
{
    if (!presence) {
        return;
    }
    for (uint32_t i = 0; presence->members.count > 0; i++) {
        while (table_bucket(&presence->members, i)) {
            remove_member(presence, (struct member *)table_bucket(&presence->members, i));
        }
    }
    table_close(&presence->places);
    table_close(&presence->members);
    free(presence->lent);
    free(presence);
}

static void check_place(const struct presence *presence, const struct place *place)
{
    const struct member *newer = NULL;
    uint32_t count = 0;

    ASSERT(find_place(presence, channel_of(place)) == place);
    for (const struct member *member = place->newest; member; member = member->older) {
        ASSERT(member->newer == newer);
        ASSERT(member->place == place);
        ASSERT(find_member(presence, place, conn_id_of(member)) == member);
        newer = member;
        count++;
    }
    ASSERT(count > 0);
    ASSERT(count == place->count);
}

void presence_check(const struct presence *presence)
{
    uint32_t members = 0;

    for (uint32_t i = 0; i <= presence->places.bucket_mask; i++) {
        for (struct table_entry *entry = table_bucket(&presence->places, i); entry;
             entry = entry->next) {
            check_place(presence, (struct place *)entry);
            members += ((struct place *)entry)->count;
        }
    }
    ASSERT(members == presence->members.count);
    ASSERT(members <= presence->members_max);
}
