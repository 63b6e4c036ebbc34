#include "broker/redis_state.h"

#include <stdlib.h>

#define RETRY_REFUSED_MS 10000u /* until those that Redis refused are asked for again */

/* --- confirmations ---------------------------------------------------------------------------- */

static void confirmed_one(struct redis *redis, struct redis_subscription *subscription)
{
    if (subscription->is_wanted && subscription->state == REDIS_SUBSCRIPTION_OFF) {
        subscription->state = REDIS_SUBSCRIPTION_ON;
        redis_catch_up(redis, subscription);
    }
}

static void confirm(struct redis *redis, struct redis_subscription *subscription)
{
    if (subscription->state == REDIS_SUBSCRIPTION_LEAVING) {
        subscription->state = REDIS_SUBSCRIPTION_OFF;
    } else {
        subscription->state = REDIS_SUBSCRIPTION_ON;
        if (subscription->kind == REDIS_SUBSCRIPTION_CHANNEL) {
            redis_catch_up(redis, subscription);
        } else if (subscription->kind == REDIS_SUBSCRIPTION_ALL) {
            redis_subscriptions_each(redis, confirmed_one);
        }
        redis->heard_is_due |= subscription->kind != REDIS_SUBSCRIPTION_CHANNEL;
    }
    redis_subscription_queue(redis, subscription);
    redis_subscription_settle(redis, subscription);
}

static void take_confirmation(struct redis *redis, struct redis_node *node, const redisReply *reply)
{
    struct redis_subscription *subscription = node->asked.first;
    const redisReply *channel = reply->element[1];
    struct redis_name name;

    if (subscription && channel->type == REDIS_REPLY_STRING) {
        redis_subscription_name(redis, subscription, &name);
        if (slice_equal(slice_from(name.bytes, name.size),
                        slice_from(channel->str, channel->len))) {
            (void)redis_subscription_answered(node);
            confirm(redis, subscription);
            return;
        }
    }
    redis_complain(redis, "a confirmation of what was not asked for");
    redis_link_end(&node->subscriber, "a confirmation of what was not asked for", redis->now_ms);
}

/* The slot has moved away, and the subscription with it: not an answer to us, unless we asked. */
static bool take_eviction(struct redis *redis, struct redis_node *node, const redisReply *reply)
{
    const struct slice name = slice_from(reply->element[1]->str, reply->element[1]->len);
    const struct slice channel = redis_channel_of(redis, name);
    struct redis_subscription *subscription =
        channel.data ? redis_subscription_find(redis, channel, false) : NULL;

    if (redis_is_canary(redis, name)) {
        subscription = &node->canary;
    }
    if (!subscription || subscription->node != node ||
        subscription->state != REDIS_SUBSCRIPTION_ON) {
        return false;
    }
    subscription->state = REDIS_SUBSCRIPTION_OFF;
    redis->is_stale = true;
    if (subscription == &node->canary) {
        node->canary_tag[0] = '\0'; /* another one, when it is known which slots are left */
    }
    return true; /* queued when the slot's new node is known */
}

/* An error is the answer to the oldest command, with all its names. */
static void take_refusal(struct redis *redis, struct redis_node *node, const redisReply *reply)
{
    const uint32_t count = node->asked.first ? node->asked.first->batch : 0;
    const bool is_moved = strncmp(reply->str, "MOVED ", 6) == 0;

    for (uint32_t i = 0; i < count; i++) {
        struct redis_subscription *subscription = redis_subscription_answered(node);
        ASSERT(subscription != NULL);
        const bool was_leaving = subscription->state == REDIS_SUBSCRIPTION_LEAVING;
        subscription->state = was_leaving ? REDIS_SUBSCRIPTION_ON : REDIS_SUBSCRIPTION_OFF;
        if (count > 1) {
            subscription->is_alone = true; /* one of them may be to blame */
            redis_subscription_queue(redis, subscription);
        }
        redis_subscription_settle(redis, subscription);
    }
    if (is_moved) {
        redis->is_stale = true; /* queued when the slot's node is known */
    } else if (count <= 1) {
        redis_tell_error(redis, "subscribe", reply);
    }
    if (count == 0) {
        redis_link_end(&node->subscriber, reply->str, redis->now_ms);
    } else if (redis->retry_refused_ms == 0) {
        redis->retry_refused_ms = redis->now_ms + RETRY_REFUSED_MS;
    }
}

/* --- messages --------------------------------------------------------------------------------- */

/*
 * Redis sends a message once for each subscription that it matches. One of them is listened to: the
 * channel's own, else the longest pattern's. Confirmations and messages come in one order, so that
 * what is confirmed here is what Redis went by.
 */
static bool is_chosen(struct redis *redis, const struct redis_subscription *subscription,
                      struct slice channel, const redisReply *pattern)
{
    struct redis_name name;
    const struct redis_subscription *all = &redis->nodes[0].all;

    if (redis->options.one_pattern) {
        redis_subscription_name(redis, all, &name);
        return pattern && slice_equal(slice_from(name.bytes, name.size),
                                      slice_from(pattern->str, pattern->len));
    }
    if (subscription && redis_is_confirmed(subscription)) {
        return !pattern;
    }
    const struct redis_subscription *longest =
        redis_pattern_reaching(redis, channel, redis_is_confirmed);
    if (!pattern || !longest) {
        return false;
    }
    redis_subscription_name(redis, longest, &name);
    return slice_equal(slice_from(name.bytes, name.size), slice_from(pattern->str, pattern->len));
}

static bool admit(struct redis *redis, struct redis_subscription *subscription,
                  const struct redis_message *message)
{
    redis_heard_mend(redis, subscription);
    return redis_catch_up_admit(redis, subscription, message);
}

/* True with an event. The event's slices lie in the reply, which is lent. */
static bool take_message(struct redis *redis, struct redis_node *node, redisReply *reply,
                         struct broker_event *event)
{
    struct redis_message *message = &redis->lent_message;
    const redisReply *pattern = reply->elements == 4 ? reply->element[1] : NULL;
    const redisReply *name = reply->element[reply->elements - 2];
    const redisReply *payload = reply->element[reply->elements - 1];
    const struct slice wire = slice_from(name->str, name->len);

    if (redis_is_canary(redis, wire)) {
        if (!pattern) {
            redis_canary_came(redis, node, slice_from(payload->str, payload->len));
        }
        return false;
    }
    const struct slice channel = redis_channel_of(redis, wire);
    if (!channel.data) {
        return false;
    }
    struct redis_subscription *subscription = redis_subscription_find(redis, channel, false);
    if (!is_chosen(redis, subscription, channel, pattern)) {
        return false;
    }
    redis_message_read(slice_from(payload->str, payload->len), message);
    if (pattern && message->offset > 0 &&
        redis_pattern_reaching(redis, channel, redis_is_confirmed)) {
        subscription = redis_heard_add(redis, channel, subscription);
    }
    if (subscription && !admit(redis, subscription, message)) {
        return false;
    }
    *event = (struct broker_event){.kind = BROKER_PUBLICATION};
    redis_publication_of(message, channel, &event->publication);
    return true;
}

enum push {
    PUSH_MESSAGE,
    PUSH_CONFIRMATION,
    PUSH_EVICTION, /* or the confirmation that we left */
    PUSH_UNKNOWN,
};

/* A kind, then texts; of a confirmation the last is a number. */
static enum push kind_of(const redisReply *reply)
{
    static const struct {
        const char *name;
        size_t elements;
        enum push push;
    } kinds[] = {
        {"message", 3, PUSH_MESSAGE},          {"pmessage", 4, PUSH_MESSAGE},
        {"smessage", 3, PUSH_MESSAGE},         {"subscribe", 3, PUSH_CONFIRMATION},
        {"psubscribe", 3, PUSH_CONFIRMATION},  {"ssubscribe", 3, PUSH_CONFIRMATION},
        {"unsubscribe", 3, PUSH_CONFIRMATION}, {"punsubscribe", 3, PUSH_CONFIRMATION},
        {"sunsubscribe", 3, PUSH_EVICTION},
    };

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3) {
        return PUSH_UNKNOWN;
    }
    for (size_t i = 0; i + 1 < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            return PUSH_UNKNOWN;
        }
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(reply->element[0]->str, kinds[i].name) == 0 &&
            reply->elements == kinds[i].elements &&
            reply->element[reply->elements - 1]->type ==
                (kinds[i].push == PUSH_MESSAGE ? REDIS_REPLY_STRING : REDIS_REPLY_INTEGER)) {
            return kinds[i].push;
        }
    }
    return PUSH_UNKNOWN;
}

bool redis_pushes_take(struct redis *redis, struct redis_node *node, redisReply *reply,
                       struct broker_event *event)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        take_refusal(redis, node, reply);
        freeReplyObject(reply);
        return false;
    }
    switch (kind_of(reply)) {
    case PUSH_MESSAGE:
        if (take_message(redis, node, reply, event)) {
            redis->lent_reply = reply;
            return true;
        }
        break;
    case PUSH_EVICTION:
        if (take_eviction(redis, node, reply)) {
            break;
        }
        take_confirmation(redis, node, reply);
        break;
    case PUSH_CONFIRMATION:
        take_confirmation(redis, node, reply);
        break;
    case PUSH_UNKNOWN:
        redis_complain(redis, "not a message of a subscription");
        redis_link_end(&node->subscriber, "not a message of a subscription", redis->now_ms);
        break;
    }
    freeReplyObject(reply);
    return false;
}
