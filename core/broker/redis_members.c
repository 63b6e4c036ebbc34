#include "broker/redis_state.h"

#include <search.h>
#include <stdlib.h>

#define RENEWALS_PER_TURN 256u

static int compare_slices(struct slice a, struct slice b)
{
    const size_t size = a.size < b.size ? a.size : b.size;
    const int order = size > 0 ? memcmp(a.data, b.data, size) : 0;

    if (order != 0 || a.size == b.size) {
        return order;
    }
    return a.size < b.size ? -1 : 1;
}

static int compare(const void *left, const void *right)
{
    const struct redis_member *a = left;
    const struct redis_member *b = right;
    const int order = compare_slices(a->conn_id, b->conn_id);

    return order != 0 ? order : compare_slices(a->channel, b->channel);
}

static struct redis_member *find(const struct redis *redis, struct slice channel,
                                 struct slice conn_id)
{
    const struct redis_member key = {.channel = channel, .conn_id = conn_id};
    void *found = tfind(&key, &redis->member_tree, compare);

    return found ? *(struct redis_member **)found : NULL;
}

static void unlink_member(struct redis_member *member)
{
    member->previous->following = member->following;
    member->following->previous = member->previous;
}

/* Last in the ring: it was told just now. */
static void put_last(struct redis *redis, struct redis_member *member)
{
    member->refresh_ms = redis->now_ms + (uint64_t)redis->options->presence_expiry_s * 1000 / 3;
    member->previous = redis->members.previous;
    member->following = &redis->members;
    member->previous->following = member;
    redis->members.previous = member;
}

static struct redis_member *make(struct slice channel, const struct broker_member *from)
{
    const size_t size = channel.size + from->conn_id.size + from->user.size;
    struct redis_member *member = calloc(1, sizeof(*member) + size);
    uint8_t *to = member ? (uint8_t *)(member + 1) : NULL;

    if (!member) {
        return NULL;
    }
    const struct slice parts[] = {channel, from->conn_id, from->user};
    struct slice *const kept[] = {&member->channel, &member->conn_id, &member->user};
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].size > 0) {
            memcpy(to, parts[i].data, parts[i].size);
        }
        *kept[i] = slice_from(to, parts[i].size);
        to += parts[i].size;
    }
    return member;
}

static void unmake(struct redis *redis, struct redis_member *member)
{
    tdelete(member, &redis->member_tree, compare);
    unlink_member(member);
    free(member);
}

void redis_join(struct broker *broker, struct slice channel, const struct broker_member *from)
{
    struct redis *redis = redis_of(broker);
    struct redis_member *member = find(redis, channel, from->conn_id);

    if (member) {
        unmake(redis, member);
    }
    member = make(channel, from);
    if (!member || !tsearch(member, &redis->member_tree, compare)) {
        free(member);
        redis->health.joins_refused++;
        return;
    }
    put_last(redis, member);
    redis_send_member(redis, member, true);
}

void redis_leave(struct broker *broker, struct slice channel, struct slice conn_id)
{
    struct redis *redis = redis_of(broker);
    struct redis_member *member = find(redis, channel, conn_id);

    if (member) {
        redis_send_member(redis, member, false);
        unmake(redis, member);
    }
}

void redis_members_renew(struct redis *redis)
{
    for (struct redis_member *member = redis->members.following; member != &redis->members;
         member = member->following) {
        member->refresh_ms = redis->now_ms;
    }
}

void redis_members_step(struct redis *redis)
{
    for (uint32_t i = 0; i < RENEWALS_PER_TURN; i++) {
        struct redis_member *member = redis->members.following;
        if (member == &redis->members || member->refresh_ms > redis->now_ms ||
            !redis_node_of(redis, redis_slot_of(redis, member->channel))) {
            return;
        }
        unlink_member(member);
        put_last(redis, member);
        redis_send_member(redis, member, true);
    }
}

void redis_members_close(struct redis *redis)
{
    tdestroy(redis->member_tree, free);
}
