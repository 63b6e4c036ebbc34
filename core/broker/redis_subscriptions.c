#include "broker/redis_state.h"

#include <stdlib.h>

#define BATCH_MAX 64u   /* names in one command */
#define ASKED_MAX 1024u /* without an answer, on one node */
#define COST      1000u /* of asking for one, in the allowance's thousandths */

static bool is_special(const struct redis_subscription *subscription)
{
    return subscription->kind >= REDIS_SUBSCRIPTION_CANARY;
}

static struct slice name_of(const struct redis_subscription *subscription)
{
    return slice_from(subscription->name, subscription->name_size);
}

/* --- the table -------------------------------------------------------------------------------- */

static struct table *table_of(struct redis *redis, bool is_pattern)
{
    return is_pattern ? &redis->patterns : &redis->channels;
}

struct redis_subscription *redis_subscription_find(struct redis *redis, struct slice name,
                                                   bool is_pattern)
{
    const struct table *table = table_of(redis, is_pattern);
    struct table_entry *entry = table_find(table, table_hash(table, name));

    while (entry && !slice_equal(name_of((struct redis_subscription *)entry), name)) {
        entry = table_find_next(entry);
    }
    return (struct redis_subscription *)entry;
}

struct redis_subscription *
redis_pattern_reaching(struct redis *redis, struct slice channel,
                       bool (*is_true)(const struct redis_subscription *pattern))
{
    for (size_t size = channel.size + 1; size-- > 0;) {
        if (redis->patterns_of[size] > 0) {
            struct redis_subscription *pattern =
                redis_subscription_find(redis, slice_from(channel.data, size), true);
            if (pattern && is_true(pattern)) {
                return pattern;
            }
        }
    }
    return NULL;
}

/* Patterns are kept without their '*'. */
struct redis_subscription *redis_subscription_add(struct redis *redis, struct slice name,
                                                  bool is_pattern)
{
    struct table *table = table_of(redis, is_pattern);
    struct redis_subscription *subscription =
        calloc(1, offsetof(struct redis_subscription, name) + name.size + 1);

    if (subscription) {
        subscription->kind = is_pattern ? REDIS_SUBSCRIPTION_PATTERN : REDIS_SUBSCRIPTION_CHANNEL;
        subscription->name_size = (uint32_t)name.size;
        memcpy(subscription->name, name.data, name.size);
        table_add(table, &subscription->entry, table_hash(table, name));
        if (is_pattern) {
            redis->patterns_of[name.size]++;
        }
    }
    return subscription;
}

static void drop(struct redis *redis, struct redis_subscription *subscription)
{
    const bool is_pattern = subscription->kind == REDIS_SUBSCRIPTION_PATTERN;

    redis_catch_up_drop(redis, subscription);
    if (is_pattern) {
        redis->patterns_of[subscription->name_size]--;
    }
    table_remove(table_of(redis, is_pattern), &subscription->entry);
    free(subscription);
}

void redis_subscription_settle(struct redis *redis, struct redis_subscription *subscription)
{
    if (!is_special(subscription) && !subscription->is_wanted && !subscription->is_heard &&
        subscription->state == REDIS_SUBSCRIPTION_OFF && !subscription->is_queued &&
        subscription->catch_up == REDIS_CAUGHT_UP) {
        drop(redis, subscription);
    }
}

/* Calls act for each; act may free the one it is given. */
void redis_subscriptions_each(struct redis *redis,
                              void (*act)(struct redis *redis,
                                          struct redis_subscription *subscription))
{
    struct table *const tables[] = {&redis->channels, &redis->patterns};

    for (size_t i = 0; i < 2; i++) {
        for (uint32_t bucket = 0; bucket <= tables[i]->bucket_mask; bucket++) {
            struct table_entry *entry = table_bucket(tables[i], bucket);
            while (entry) {
                struct table_entry *next = entry->next;
                act(redis, (struct redis_subscription *)entry);
                entry = next;
            }
        }
    }
}

static void free_one(struct redis *redis, struct redis_subscription *subscription)
{
    drop(redis, subscription);
}

void redis_subscriptions_close(struct redis *redis)
{
    if (redis->channels.buckets && redis->patterns.buckets) {
        redis_subscriptions_each(redis, free_one);
    }
    table_close(&redis->channels);
    table_close(&redis->patterns);
}

/* --- queues ----------------------------------------------------------------------------------- */

/* Needs a command of its node: it is wanted and off, or on and not wanted. */
static bool has_business(const struct redis_subscription *subscription)
{
    return subscription->is_wanted ? subscription->state == REDIS_SUBSCRIPTION_OFF
                                   : subscription->state == REDIS_SUBSCRIPTION_ON;
}

static struct redis_node *node_for(struct redis *redis,
                                   const struct redis_subscription *subscription)
{
    if (redis_is_confirmed(subscription) || is_special(subscription)) {
        return subscription->node;
    }
    const uint8_t number = redis->slots[redis_channel_slot(redis, name_of(subscription))];
    return number < REDIS_MASTERS_MAX ? &redis->nodes[number] : NULL;
}

void redis_subscription_queue(struct redis *redis, struct redis_subscription *subscription)
{
    if (subscription->is_queued || !has_business(subscription) ||
        (redis->options.one_pattern && !is_special(subscription))) {
        return;
    }
    struct redis_node *node = node_for(redis, subscription);
    if (!node) {
        return; /* until somebody has its slot */
    }
    subscription->node = node;
    subscription->is_queued = true;
    subscription->next_queued = NULL;
    if (node->queued.last) {
        node->queued.last->next_queued = subscription;
    } else {
        node->queued.first = subscription;
    }
    node->queued.last = subscription;
}

static struct redis_subscription *take_queued(struct redis_node *node)
{
    struct redis_subscription *subscription = node->queued.first;

    if (subscription) {
        node->queued.first = subscription->next_queued;
        if (!node->queued.first) {
            node->queued.last = NULL;
        }
        subscription->is_queued = false;
    }
    return subscription;
}

static void add_asked(struct redis_node *node, struct redis_subscription *subscription)
{
    subscription->next_asked = NULL;
    if (node->asked.last) {
        node->asked.last->next_asked = subscription;
    } else {
        node->asked.first = subscription;
    }
    node->asked.last = subscription;
}

struct redis_subscription *redis_subscription_answered(struct redis_node *node)
{
    struct redis_subscription *subscription = node->asked.first;

    if (subscription) {
        node->asked.first = subscription->next_asked;
        if (!node->asked.first) {
            node->asked.last = NULL;
        }
    }
    return subscription;
}

/* --- commands --------------------------------------------------------------------------------- */

static bool is_pattern_for_redis(const struct redis_subscription *subscription)
{
    return subscription->kind == REDIS_SUBSCRIPTION_PATTERN ||
           subscription->kind == REDIS_SUBSCRIPTION_ALL;
}

/* What Redis is asked for. */
void redis_subscription_name(const struct redis *redis,
                             const struct redis_subscription *subscription, struct redis_name *name)
{
    if (subscription->kind == REDIS_SUBSCRIPTION_CANARY) {
        redis_canary_name(redis, subscription->node, name);
    } else if (is_pattern_for_redis(subscription)) {
        name->size = redis_glob_escape(redis->prefix, name->bytes);
        name->size += redis_glob_escape(name_of(subscription), name->bytes + name->size);
        name->bytes[name->size++] = '*';
    } else {
        redis_channel_name(redis, name_of(subscription), name);
    }
}

static const char *verb_of(const struct redis *redis, const struct redis_subscription *subscription)
{
    const bool starts = subscription->is_wanted;

    if (redis->options.topology == REDIS_CLUSTER) {
        return starts ? "SSUBSCRIBE" : "SUNSUBSCRIBE";
    }
    if (is_pattern_for_redis(subscription)) {
        return starts ? "PSUBSCRIBE" : "PUNSUBSCRIBE";
    }
    return starts ? "SUBSCRIBE" : "UNSUBSCRIBE";
}

/* Of one kind, so that one command can have them all. In a cluster every name has its own slot. */
static bool go_together(const struct redis *redis, const struct redis_subscription *first,
                        const struct redis_subscription *other)
{
    return redis->options.topology != REDIS_CLUSTER && !first->is_alone && !other->is_alone &&
           other->is_wanted == first->is_wanted && has_business(other) &&
           is_pattern_for_redis(first) == is_pattern_for_redis(other);
}

static void ask(struct redis *redis, struct redis_node *node,
                struct redis_subscription *const *batch, uint32_t count)
{
    struct redis_bytes *out = redis_link_out(&node->subscriber);
    struct redis_name name;

    redis_bytes_command(out, count + 1);
    redis_bytes_text(out, verb_of(redis, batch[0]));
    for (uint32_t i = 0; i < count; i++) {
        redis_subscription_name(redis, batch[i], &name);
        redis_bytes_argument(out, slice_from(name.bytes, name.size));
        batch[i]->batch = count - i;
        batch[i]->state =
            batch[i]->is_wanted ? REDIS_SUBSCRIPTION_ASKED : REDIS_SUBSCRIPTION_LEAVING;
        add_asked(node, batch[i]);
    }
}

/* One command with as many of the queued as go together; how many those were. */
static uint32_t ask_some(struct redis *redis, struct redis_node *node, uint32_t count_max)
{
    struct redis_subscription *batch[BATCH_MAX];
    uint32_t count = 0;

    while (count < count_max && count < BATCH_MAX && node->queued.first) {
        struct redis_subscription *first = node->queued.first;
        if (count > 0 && !go_together(redis, batch[0], first)) {
            break;
        }
        (void)take_queued(node);
        if (has_business(first)) {
            batch[count++] = first;
        } else {
            redis_subscription_settle(redis, first);
        }
    }
    if (count > 0) {
        ask(redis, node, batch, count);
    }
    return count;
}

static uint32_t asked_count(const struct redis_node *node)
{
    uint32_t count = 0;

    for (const struct redis_subscription *each = node->asked.first; each && count < ASKED_MAX;
         each = each->next_asked) {
        count++;
    }
    return count;
}

/* The pace is the broker's, over all nodes: a Redis that has just come back has enough to do. */
static bool ask_node(struct redis *redis, struct redis_node *node)
{
    uint32_t room = node->queued.first ? ASKED_MAX - asked_count(node) : 0;

    while (room > 0 && node->queued.first && redis->allowance >= COST) {
        const uint64_t allowed = redis->allowance / COST;
        const uint32_t count = ask_some(redis, node, allowed < room ? (uint32_t)allowed : room);
        redis->allowance -= (uint64_t)count * COST;
        room -= count;
    }
    return node->queued.first && room > 0;
}

static void queue_one(struct redis *redis, struct redis_subscription *subscription)
{
    subscription->is_alone = false;
    redis_subscription_queue(redis, subscription);
}

static void queue_own(struct redis *redis, struct redis_node *node)
{
    if (redis_canary_choose(redis, node)) {
        redis_subscription_queue(redis, &node->canary);
    }
    redis_subscription_queue(redis, &node->all);
}

uint64_t redis_subscriptions_turn(struct redis *redis)
{
    uint64_t wake_ms = UINT64_MAX;

    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        struct redis_node *node = &redis->nodes[i];
        if (node->is_used && node->subscriber.state == REDIS_LINK_UP && ask_node(redis, node)) {
            wake_ms = redis->now_ms + 1; /* the allowance grows */
        }
    }
    if (redis->retry_refused_ms != 0 && redis->now_ms >= redis->retry_refused_ms) {
        redis->retry_refused_ms = 0;
        redis_subscriptions_requeue(redis);
    }
    return redis->retry_refused_ms != 0 && redis->retry_refused_ms < wake_ms
               ? redis->retry_refused_ms
               : wake_ms;
}

void redis_subscriptions_requeue(struct redis *redis)
{
    redis_subscriptions_each(redis, queue_one);
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        if (redis->nodes[i].is_used && redis->nodes[i].subscriber.state == REDIS_LINK_UP) {
            queue_own(redis, &redis->nodes[i]);
        }
    }
}

/* --- follow, unfollow ------------------------------------------------------------------------- */

static struct slice without_star(struct slice name, bool is_pattern)
{
    return is_pattern && name.size > 0 ? slice_from(name.data, name.size - 1) : name;
}

void redis_follow(struct broker *broker, struct slice name, bool is_pattern,
                  const struct broker_history *history)
{
    struct redis *redis = redis_of(broker);
    const struct slice key = without_star(name, is_pattern);
    struct redis_subscription *subscription = redis_subscription_find(redis, key, is_pattern);

    if (is_pattern && redis->options.topology == REDIS_CLUSTER) {
        redis_tell_error(redis, "follow: sharded channels have no patterns", NULL);
        return;
    }
    if (!subscription && key.size <= REDIS_CHANNEL_SIZE_MAX) {
        subscription = redis_subscription_add(redis, key, is_pattern);
    }
    if (!subscription) {
        redis_tell_error(redis, "follow: no memory", NULL);
        return;
    }
    redis_heard_forget(redis, subscription);
    subscription->is_wanted = true;
    subscription->history = *history;
    if (redis->options.one_pattern) {
        struct redis_node *node = &redis->nodes[0];
        subscription->node = node;
        if (redis_is_confirmed(&node->all) && subscription->state == REDIS_SUBSCRIPTION_OFF) {
            subscription->state = REDIS_SUBSCRIPTION_ON;
            redis_catch_up(redis, subscription);
        }
    }
    redis_subscription_queue(redis, subscription);
}

void redis_unfollow(struct broker *broker, struct slice name, bool is_pattern)
{
    struct redis *redis = redis_of(broker);
    struct redis_subscription *subscription =
        redis_subscription_find(redis, without_star(name, is_pattern), is_pattern);

    if (!subscription) {
        return; /* it could not be followed */
    }
    subscription->is_wanted = false;
    redis->heard_is_due |= is_pattern;
    if (!redis_heard_keep(redis, subscription)) {
        redis_catch_up_drop(redis, subscription);
    }
    if (redis->options.one_pattern) {
        subscription->state = REDIS_SUBSCRIPTION_OFF;
    }
    redis_subscription_queue(redis, subscription);
    redis_subscription_settle(redis, subscription);
}

/* --- the subscriber's connection -------------------------------------------------------------- */

void redis_subscriptions_begin(struct redis *redis, struct redis_node *node)
{
    node->canary = (struct redis_subscription){
        .kind = REDIS_SUBSCRIPTION_CANARY, .is_wanted = true, .node = node};
    node->all = (struct redis_subscription){
        .kind = REDIS_SUBSCRIPTION_ALL, .is_wanted = redis->options.one_pattern, .node = node};
    queue_own(redis, node);
    redis_subscriptions_each(redis, queue_one);
}

/* Nothing of it holds any more. */
static void reset(struct redis *redis, struct redis_subscription *subscription)
{
    (void)redis;
    subscription->state = REDIS_SUBSCRIPTION_OFF;
    subscription->batch = 0;
}

static void settle_node(struct redis *redis, struct redis_node *node, struct table *table)
{
    for (uint32_t bucket = 0; bucket <= table->bucket_mask; bucket++) {
        struct table_entry *entry = table_bucket(table, bucket);
        while (entry) {
            struct redis_subscription *subscription = (struct redis_subscription *)entry;
            entry = entry->next;
            redis_heard_cut(subscription);
            if (subscription->node == node) {
                reset(redis, subscription);
                redis_subscription_settle(redis, subscription);
            }
        }
    }
}

void redis_subscriptions_end(struct redis *redis, struct redis_node *node)
{
    while (take_queued(node)) {
        /* what is wanted is queued again when it is back */
    }
    node->asked = (struct redis_subscription_list){0};
    reset(redis, &node->canary);
    reset(redis, &node->all);
    settle_node(redis, node, &redis->channels);
    settle_node(redis, node, &redis->patterns);
}
