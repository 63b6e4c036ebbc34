#include "broker/redis_state.h"

#include <stdlib.h>

#define READ_MAX     100000u /* members in one answer */
#define BATCH_MAX    64u     /* members in one join */
#define PER_TURN_MAX 64u     /* channels refreshed in one turn */
#define REFRESHES    3u      /* within the expiry */
#define BUCKETS_MAX  65536u

/* A member of this host. */
struct member {
    struct member *next;
    uint8_t conn_id_size;
    uint8_t user_size;
    uint8_t bytes[];
};

/* A channel with members of this host. */
struct crowd {
    struct table_entry entry; /* the first member */
    struct member *first;
    uint32_t name_size;
    uint8_t name[];
};

struct redis_members {
    struct table crowds;
    uint32_t count;
    uint32_t bucket;   /* the next one to be refreshed */
    uint64_t round_ms; /* when the next round begins */
    uint64_t refused;
};

static struct slice name_of(const struct crowd *crowd)
{
    return slice_from(crowd->name, crowd->name_size);
}

static struct slice conn_of(const struct member *member)
{
    return slice_from(member->bytes, member->conn_id_size);
}

static struct slice user_of(const struct member *member)
{
    return slice_from(member->bytes + member->conn_id_size, member->user_size);
}

struct redis_members *redis_members_open(const struct redis *redis)
{
    struct redis_members *members = calloc(1, sizeof(*members));
    const uint32_t buckets =
        redis->options.members_max < BUCKETS_MAX ? redis->options.members_max : BUCKETS_MAX;

    if (members && table_open(&members->crowds, buckets) != 0) {
        free(members);
        members = NULL;
    }
    return members;
}

static void free_crowd(struct redis_members *members, struct crowd *crowd)
{
    struct member *member = crowd->first;

    while (member) {
        struct member *next = member->next;
        free(member);
        member = next;
    }
    table_remove(&members->crowds, &crowd->entry);
    free(crowd);
}

void redis_members_close(struct redis_members *members)
{
    if (!members) {
        return;
    }
    for (uint32_t i = 0; i <= members->crowds.bucket_mask; i++) {
        while (table_bucket(&members->crowds, i)) {
            free_crowd(members, (struct crowd *)table_bucket(&members->crowds, i));
        }
    }
    table_close(&members->crowds);
    free(members);
}

static struct crowd *find_crowd(struct redis_members *members, struct slice channel)
{
    struct table_entry *entry = table_find(&members->crowds, table_hash(&members->crowds, channel));

    while (entry && !slice_equal(name_of((struct crowd *)entry), channel)) {
        entry = table_find_next(entry);
    }
    return (struct crowd *)entry;
}

static struct crowd *add_crowd(struct redis_members *members, struct slice channel)
{
    struct crowd *crowd = malloc(sizeof(*crowd) + channel.size);

    if (crowd) {
        crowd->first = NULL;
        crowd->name_size = (uint32_t)channel.size;
        memcpy(crowd->name, channel.data, channel.size);
        table_add(&members->crowds, &crowd->entry, table_hash(&members->crowds, channel));
    }
    return crowd;
}

/* Where the pointer to the member is, or would be. */
static struct member **place_of(struct crowd *crowd, struct slice conn_id)
{
    struct member **place = &crowd->first;

    while (*place && !slice_equal(conn_of(*place), conn_id)) {
        place = &(*place)->next;
    }
    return place;
}

/* --- commands --------------------------------------------------------------------------------- */

/* When there is no connection, who came is joined as soon as there is one, and who left expires. */
static void request(struct redis *redis, const struct redis_request *head,
                    struct redis_bytes *bytes)
{
    const enum broker_outcome outcome = redis_request(redis, head, bytes);

    (void)outcome;
}

/* Joins up to count_max members from *member on, which moves on. */
static void send_join(struct redis *redis, struct slice channel, const struct member **member,
                      uint32_t count_max)
{
    struct redis_bytes bytes = {0};
    uint32_t count = 0;

    for (const struct member *each = *member; each && count < count_max; each = each->next) {
        count++;
    }
    const struct redis_request head = {.kind = REDIS_REQUEST_MEMBERS,
                                       .script = REDIS_PRESENCE,
                                       .argument_count = 5 + 2 * count,
                                       .slot = redis_channel_slot(redis, channel)};
    redis_add_keys(redis, &bytes, channel, ":members", ":expiry");
    redis_bytes_text(&bytes, "join");
    redis_bytes_number(&bytes, redis->options.presence_expiry_s);
    for (; count > 0; count--) {
        redis_bytes_argument(&bytes, conn_of(*member));
        redis_bytes_argument(&bytes, user_of(*member));
        *member = (*member)->next;
    }
    request(redis, &head, &bytes);
}

static bool keep(struct redis_members *members, struct slice channel,
                 const struct broker_member *from)
{
    struct crowd *crowd = find_crowd(members, channel);
    struct member *member = malloc(sizeof(*member) + from->conn_id.size + from->user.size);

    if (member && !crowd) {
        crowd = add_crowd(members, channel);
    }
    if (!member || !crowd) {
        free(member);
        return false;
    }
    struct member **place = place_of(crowd, from->conn_id);
    if (*place) {
        struct member *before = *place;
        *place = before->next;
        free(before);
        members->count--;
    }
    member->conn_id_size = (uint8_t)from->conn_id.size;
    member->user_size = (uint8_t)from->user.size;
    memcpy(member->bytes, from->conn_id.data, from->conn_id.size);
    if (from->user.size > 0) {
        memcpy(member->bytes + from->conn_id.size, from->user.data, from->user.size);
    }
    member->next = crowd->first;
    crowd->first = member;
    members->count++;
    return true;
}

void redis_join(struct broker *broker, struct slice channel, const struct broker_member *member)
{
    struct redis *redis = redis_of(broker);
    struct redis_members *members = redis->members;

    if (members->count >= redis->options.members_max || member->conn_id.size > UINT8_MAX ||
        member->user.size > UINT8_MAX || channel.size > REDIS_CHANNEL_SIZE_MAX ||
        !keep(members, channel, member)) {
        members->refused++;
        return;
    }
    const struct member *newest = find_crowd(members, channel)->first;
    send_join(redis, channel, &newest, 1);
}

void redis_leave(struct broker *broker, struct slice channel, struct slice conn_id)
{
    struct redis *redis = redis_of(broker);
    struct crowd *crowd = find_crowd(redis->members, channel);
    struct member **place = crowd ? place_of(crowd, conn_id) : NULL;
    struct redis_bytes bytes = {0};

    if (!place || !*place) {
        return;
    }
    struct member *member = *place;
    *place = member->next;
    free(member);
    redis->members->count--;
    if (!crowd->first) {
        free_crowd(redis->members, crowd);
    }
    const struct redis_request head = {.kind = REDIS_REQUEST_MEMBERS,
                                       .script = REDIS_PRESENCE,
                                       .argument_count = 5,
                                       .slot = redis_channel_slot(redis, channel)};
    redis_add_keys(redis, &bytes, channel, ":members", ":expiry");
    redis_bytes_text(&bytes, "leave");
    redis_bytes_argument(&bytes, conn_id);
    request(redis, &head, &bytes);
}

enum broker_outcome redis_presence(struct broker *broker, uint64_t ticket, struct slice channel)
{
    struct redis *redis = redis_of(broker);
    struct redis_bytes bytes = {0};

    if (channel.size > REDIS_CHANNEL_SIZE_MAX) {
        return BROKER_UNAVAILABLE;
    }
    const struct redis_request head = {.kind = REDIS_REQUEST_PRESENCE,
                                       .ticket = ticket,
                                       .script = REDIS_PRESENCE,
                                       .argument_count = 5,
                                       .slot = redis_channel_slot(redis, channel)};
    redis_add_keys(redis, &bytes, channel, ":members", ":expiry");
    redis_bytes_text(&bytes, "read");
    redis_bytes_number(&bytes, READ_MAX);
    return redis_request(redis, &head, &bytes);
}

/* --- refreshing ------------------------------------------------------------------------------- */

void redis_members_refresh_all(struct redis *redis)
{
    redis->members->bucket = 0;
    redis->members->round_ms = redis->now_ms;
}

static uint32_t refresh_bucket(struct redis *redis, uint32_t bucket)
{
    uint32_t count = 0;

    for (const struct table_entry *entry = table_bucket(&redis->members->crowds, bucket); entry;
         entry = entry->next) {
        const struct crowd *crowd = (const struct crowd *)entry;
        const struct member *member = crowd->first;
        while (member) {
            send_join(redis, name_of(crowd), &member, BATCH_MAX);
            count++;
        }
    }
    return count;
}

/* A round over all channels, in parts: no more while Redis has much to do. */
uint64_t redis_members_turn(struct redis *redis)
{
    struct redis_members *members = redis->members;
    const uint64_t round_ms = redis->options.presence_expiry_s * UINT64_C(1000) / REFRESHES;

    if (members->count == 0) {
        members->bucket = 0;
        members->round_ms = redis->now_ms + round_ms;
        return UINT64_MAX;
    }
    if (redis->now_ms < members->round_ms) {
        return members->round_ms;
    }
    for (uint32_t sent = 0; sent < PER_TURN_MAX; members->bucket++) {
        if (members->bucket > members->crowds.bucket_mask) {
            members->bucket = 0;
            members->round_ms = redis->now_ms + round_ms;
            return members->round_ms;
        }
        if (redis->request_count >= redis->options.requests_max / 2) {
            break;
        }
        sent += refresh_bucket(redis, members->bucket);
    }
    return redis->now_ms + 1;
}

uint64_t redis_members_refused(const struct redis_members *members)
{
    return members->refused;
}
