#include "broker/redis_state.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>

#define BURST_MS      100u  /* how much of the pace may come at once */
#define REFUSED_MS    5000u /* until a subscription that Redis refused is tried again */
#define PING_PATIENCE 2u    /* timeouts: a large answer may stand before it */

/* --- the table -------------------------------------------------------------------------------- */

static int compare(const void *left, const void *right)
{
    const struct redis_follow *a = left;
    const struct redis_follow *b = right;
    const size_t size = a->name.size < b->name.size ? a->name.size : b->name.size;

    if (a->is_pattern != b->is_pattern) {
        return a->is_pattern ? 1 : -1;
    }
    const int order = size > 0 ? memcmp(a->name.data, b->name.data, size) : 0;
    if (order != 0 || a->name.size == b->name.size) {
        return order;
    }
    return a->name.size < b->name.size ? -1 : 1;
}

static struct redis_follow *find(const struct redis *redis, struct slice name, bool is_pattern)
{
    const struct redis_follow key = {.name = name, .is_pattern = is_pattern};
    void *found = tfind(&key, &redis->follow_tree, compare);

    return found ? *(struct redis_follow **)found : NULL;
}

static struct redis_follow *make(struct redis *redis, struct slice name, bool is_pattern)
{
    struct redis_follow *follow = calloc(1, sizeof(*follow) + name.size);

    if (!follow) {
        return NULL;
    }
    memcpy(follow + 1, name.data, name.size);
    follow->name = slice_from(follow + 1, name.size);
    follow->is_pattern = is_pattern;
    follow->node = REDIS_NO_NODE;
    if (!tsearch(follow, &redis->follow_tree, compare)) {
        free(follow);
        return NULL;
    }
    follow->previous = redis->follows.previous;
    follow->following = &redis->follows;
    follow->previous->following = follow;
    redis->follows.previous = follow;
    redis->follow_count++;
    return follow;
}

static void unmake(struct redis *redis, struct redis_follow *follow)
{
    tdelete(follow, &redis->follow_tree, compare);
    follow->previous->following = follow->following;
    follow->following->previous = follow->previous;
    redis->follow_count--;
    redis_held_free(follow);
    free(follow);
}

static void push_due(struct redis *redis, struct redis_follow *follow)
{
    if (follow->is_due) {
        return;
    }
    follow->is_due = true;
    follow->next_due = NULL;
    if (redis->due_last) {
        redis->due_last->next_due = follow;
    } else {
        redis->due_first = follow;
    }
    redis->due_last = follow;
}

void redis_follow_settle(struct redis *redis, struct redis_follow *follow)
{
    if (follow->is_unwanted && follow->state == FOLLOW_WANTED && follow->orders == 0 &&
        !follow->is_due && !follow->is_catching_up) {
        unmake(redis, follow);
    }
}

static void enter(struct redis *redis, struct redis_follow *follow, enum redis_follow_state state)
{
    if (follow->is_pattern && (follow->state == FOLLOW_ON) != (state == FOLLOW_ON)) {
        redis->pattern_lengths[follow->name.size] += state == FOLLOW_ON ? 1 : UINT32_MAX;
    }
    follow->state = state;
}

/* --- subscribing ------------------------------------------------------------------------------ */

static struct redis_node *node_for(struct redis *redis, const struct redis_follow *follow)
{
    const uint8_t number = redis->is_cluster ? redis->slots[redis_slot_of(redis, follow->name)] : 0;

    return number != REDIS_NO_NODE && redis->nodes[number].subscriber.state == REDIS_LINK_UP
               ? &redis->nodes[number]
               : NULL;
}

static struct slice wire_name(const struct redis *redis, const struct redis_follow *follow,
                              uint8_t *out)
{
    if (!follow->is_pattern) {
        return redis_channel_name(redis, follow->name, out);
    }
    const struct slice prefix = slice_text(redis->options->prefix);
    size_t size = redis_glob_escape(prefix, out);
    size += redis_glob_escape(slice_from(follow->name.data, follow->name.size - 1), out + size);
    out[size++] = '*';
    return slice_from(out, size);
}

static const char *verb(const struct redis *redis, const struct redis_follow *follow, bool is_end)
{
    if (follow->is_pattern) {
        return is_end ? "PUNSUBSCRIBE" : "PSUBSCRIBE";
    }
    if (redis->is_cluster) {
        return is_end ? "SUNSUBSCRIBE" : "SSUBSCRIBE";
    }
    return is_end ? "UNSUBSCRIBE" : "SUBSCRIBE";
}

/* One at a time: an answer is then an answer to one. */
static bool order(struct redis *redis, struct redis_node *node, struct redis_follow *follow,
                  bool is_end)
{
    struct redis_order *order = calloc(1, sizeof(*order));
    uint8_t name[REDIS_NAME_SIZE_MAX];

    if (!order) {
        return false;
    }
    *order = (struct redis_order){.follow = follow, .is_end = is_end};
    if (node->order_last) {
        node->order_last->next = order;
    } else {
        node->order_first = order;
    }
    node->order_last = order;
    follow->orders++;
    follow->node = (uint8_t)(node - redis->nodes);
    struct redis_bytes *out = redis_link_out(&node->subscriber);
    redis_bytes_command(out, 2);
    redis_bytes_text(out, verb(redis, follow, is_end));
    redis_bytes_argument(out, wire_name(redis, follow, name));
    enter(redis, follow, is_end ? FOLLOW_LEAVING : FOLLOW_SENT);
    return true;
}

/* With one pattern for everything nothing is subscribed by itself. */
static bool goes_with_everything(const struct redis *redis, const struct redis_follow *follow)
{
    return redis->everything && follow != redis->everything && !follow->is_canary;
}

static void come_on(struct redis *redis, struct redis_follow *follow)
{
    enter(redis, follow, FOLLOW_ON);
    if (!follow->is_pattern && follow->history.size > 0) {
        redis_catch_up_start(redis, follow);
    }
}

/* True when it has been dealt with, false: later. */
static bool subscribe(struct redis *redis, struct redis_follow *follow)
{
    if (follow->is_unwanted || follow->state != FOLLOW_WANTED) {
        return true;
    }
    if (goes_with_everything(redis, follow)) {
        if (redis->everything->state == FOLLOW_ON) {
            come_on(redis, follow);
        }
        return redis->everything->state == FOLLOW_ON;
    }
    struct redis_node *node = node_for(redis, follow);
    return node && redis->now_ms >= follow->retry_ms && order(redis, node, follow, false);
}

static void earn_budget(struct redis *redis)
{
    const uint64_t pace = redis->options->subscribes_per_s;
    const uint64_t earned = (redis->now_ms - redis->budget_ms) * pace / 1000;
    const uint64_t most = pace * BURST_MS / 1000 + 1;

    if (earned > 0) {
        redis->budget = (uint32_t)(redis->budget + earned < most ? redis->budget + earned : most);
        redis->budget_ms = redis->now_ms;
    }
}

void redis_follows_step(struct redis *redis)
{
    struct redis_follow *last = redis->due_last;
    bool was_last = false;

    earn_budget(redis);
    while (redis->due_first && redis->budget > 0 && !was_last) {
        struct redis_follow *follow = redis->due_first;
        was_last = follow == last;
        redis->due_first = follow->next_due;
        if (!redis->due_first) {
            redis->due_last = NULL;
        }
        follow->is_due = false;
        redis->budget--;
        if (!subscribe(redis, follow)) {
            push_due(redis, follow);
        }
        redis_follow_settle(redis, follow);
    }
}

/* Wanted, and the node that it was subscribed at does not have it any more. */
static void want_again(struct redis *redis, struct redis_follow *follow)
{
    enter(redis, follow, FOLLOW_WANTED);
    if (!follow->is_unwanted) {
        push_due(redis, follow);
    }
}

/* --- what the subscriber's connection says ---------------------------------------------------- */

static struct slice text_of(const redisReply *reply)
{
    return slice_from(reply->str, reply->len);
}

static bool is_word(const redisReply *reply, const char *word)
{
    return reply->type == REDIS_REPLY_STRING && slice_equal(text_of(reply), slice_text(word));
}

/* A name without prefix (and braces); data NULL: not one of ours. */
static struct slice channel_of(const struct redis *redis, struct slice name)
{
    const size_t prefix_size = strlen(redis->options->prefix);
    const size_t around = redis->is_cluster ? 1 : 0;

    if (name.size <= prefix_size + 2 * around ||
        memcmp(name.data, redis->options->prefix, prefix_size) != 0) {
        return (struct slice){0};
    }
    return slice_from(name.data + prefix_size + around, name.size - prefix_size - 2 * around);
}

/* Whether a subscription that is on, other than this pattern, brings the channel's messages too:
 * the channel itself, or a longer pattern. */
static bool comes_twice(const struct redis *redis, const struct redis_follow *exact,
                        struct slice channel, size_t pattern_size)
{
    uint8_t name[CHANNEL_NAME_MAX + 1];

    if (exact && exact->state == FOLLOW_ON) {
        return true;
    }
    for (size_t size = channel.size; size >= pattern_size && size < sizeof(name); size--) {
        if (redis->pattern_lengths[size + 1] > 0) {
            memcpy(name, channel.data, size);
            name[size] = '*';
            const struct redis_follow *longer = find(redis, slice_from(name, size + 1), true);
            if (longer && longer->state == FOLLOW_ON) {
                return true;
            }
        }
    }
    return false;
}

/* The size of our pattern behind the prefix, as Redis repeats it escaped; 0: not ours. */
static size_t pattern_size(const struct redis *redis, struct slice pattern)
{
    size_t size = 0;

    for (size_t i = 0; i < pattern.size; i++) {
        i += pattern.data[i] == '\\' ? 1 : 0;
        size++;
    }
    const size_t prefix_size = strlen(redis->options->prefix);
    return size > prefix_size ? size - prefix_size : 0;
}

static void take_message(struct redis *redis, redisReply *reply, bool is_by_pattern)
{
    const size_t at = is_by_pattern ? 2 : 1;

    if (reply->elements != at + 2 || reply->element[at]->type != REDIS_REPLY_STRING ||
        reply->element[at + 1]->type != REDIS_REPLY_STRING) {
        redis->health.malformed++;
        freeReplyObject(reply);
        return;
    }
    const struct slice channel = channel_of(redis, text_of(reply->element[at]));
    const struct slice bytes = text_of(reply->element[at + 1]);
    struct redis_follow *exact =
        channel.data && channel.size <= CHANNEL_NAME_MAX ? find(redis, channel, false) : NULL;
    if (exact && exact->is_canary) {
        redis_canary_returned(redis, bytes);
        freeReplyObject(reply);
    } else if (!channel.data || channel.size > CHANNEL_NAME_MAX ||
               (is_by_pattern && !redis->everything &&
                comes_twice(redis, exact, channel,
                            pattern_size(redis, text_of(reply->element[1]))))) {
        freeReplyObject(reply);
    } else {
        redis_deliver(redis, channel, bytes, exact, reply);
    }
}

/* The answer to the oldest order. */
static void take_confirmation(struct redis *redis, struct redis_node *node, const redisReply *reply)
{
    struct redis_order *done = node->order_first;

    if (!done) { /* a slot has moved away, and the node ends its subscriptions */
        const struct slice channel =
            reply->elements > 1 && reply->element[1]->type == REDIS_REPLY_STRING
                ? channel_of(redis, text_of(reply->element[1]))
                : (struct slice){0};
        struct redis_follow *follow = channel.data ? find(redis, channel, false) : NULL;
        redis_scout_hurry(redis);
        if (follow) {
            want_again(redis, follow);
        }
        return;
    }
    struct redis_follow *follow = done->follow;
    const bool is_end = done->is_end;
    node->order_first = done->next;
    if (!node->order_first) {
        node->order_last = NULL;
    }
    free(done);
    follow->orders--;
    if (is_end || reply->type == REDIS_REPLY_ERROR) {
        follow->retry_ms = reply->type == REDIS_REPLY_ERROR ? redis->now_ms + REFUSED_MS : 0;
        want_again(redis, follow);
    } else if (follow->is_unwanted) {
        (void)order(redis, node, follow, true); /* else it goes with the connection */
    } else {
        come_on(redis, follow);
    }
    redis_follow_settle(redis, follow);
}

static bool is_unsolicited(const struct redis_node *node, const redisReply *reply)
{
    return is_word(reply->element[0], "sunsubscribe") &&
           (!node->order_first || !node->order_first->is_end);
}

/* A status of its own without any subscription. */
static bool is_pong(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STATUS ||
           (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
            is_word(reply->element[0], "pong"));
}

static void take(struct redis *redis, struct redis_node *node, redisReply *reply)
{
    if (is_pong(reply)) {
        node->pinged_ms = 0;
    } else if (reply->type == REDIS_REPLY_ERROR) {
        redis_complain(redis, "redis refused a subscription", reply->str);
        if (strncmp(reply->str, "MOVED", 5) == 0) {
            redis_scout_hurry(redis);
        }
        if (node->order_first) {
            take_confirmation(redis, node, reply);
        }
    } else if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2) {
        redis->health.malformed++;
    } else if (is_word(reply->element[0], "message") || is_word(reply->element[0], "smessage")) {
        take_message(redis, reply, false);
        return;
    } else if (is_word(reply->element[0], "pmessage")) {
        take_message(redis, reply, true);
        return;
    } else if (is_unsolicited(node, reply)) {
        const struct slice channel = channel_of(redis, text_of(reply->element[1]));
        struct redis_follow *follow = channel.data ? find(redis, channel, false) : NULL;
        redis_scout_hurry(redis);
        if (follow) {
            want_again(redis, follow);
        }
    } else {
        take_confirmation(redis, node, reply);
    }
    freeReplyObject(reply);
}

void redis_follows_take(struct redis *redis, struct redis_node *node)
{
    struct redis_link *link = &node->subscriber;

    while (redis->event_count < REDIS_EVENTS_MAX) {
        redisReply *reply = redis_link_next(link, redis->now_ms);
        if (!reply) {
            break;
        }
        take(redis, node, reply);
    }
    if (link->state != REDIS_LINK_UP || !link->is_drained) {
        return;
    }
    if (node->pinged_ms > 0 &&
        redis->now_ms - node->pinged_ms > (uint64_t)PING_PATIENCE * redis->options->timeout_ms) {
        redis_link_end(link, "no answer to a ping in time", redis->now_ms);
    } else if (node->pinged_ms == 0 && redis->now_ms >= node->ping_at_ms) {
        redis_bytes_command(redis_link_out(link), 1);
        redis_bytes_text(redis_link_out(link), "PING");
        node->pinged_ms = redis->now_ms;
        node->ping_at_ms = redis->now_ms + redis->options->canary_interval_ms;
    }
}

/* --- a connection that ended ------------------------------------------------------------------ */

void redis_follows_end(struct redis *redis, struct redis_node *node)
{
    const uint8_t number = (uint8_t)(node - redis->nodes);

    while (node->order_first) {
        struct redis_order *lost = node->order_first;
        node->order_first = lost->next;
        lost->follow->orders--;
        free(lost);
    }
    node->order_last = NULL;
    node->pinged_ms = 0;
    struct redis_follow *follow = redis->follows.following;
    while (follow != &redis->follows) {
        struct redis_follow *following = follow->following;
        if (follow->state != FOLLOW_WANTED &&
            (follow->node == number || goes_with_everything(redis, follow))) {
            want_again(redis, follow);
        }
        redis_follow_settle(redis, follow);
        follow = following;
    }
}

void redis_follows_move(struct redis *redis)
{
    for (struct redis_follow *follow = redis->follows.following; follow != &redis->follows;
         follow = follow->following) {
        struct redis_node *node = node_for(redis, follow);
        if (follow->state == FOLLOW_ON && node && node != &redis->nodes[follow->node]) {
            want_again(redis, follow); /* the old node ends it by itself */
        }
    }
}

/* --- the interface ---------------------------------------------------------------------------- */

void redis_follow(struct broker *broker, struct slice name, bool is_pattern,
                  const struct broker_history *history)
{
    struct redis *redis = redis_of(broker);
    struct redis_follow *follow = find(redis, name, is_pattern);

    if (is_pattern && redis->is_cluster) {
        redis_complain(redis, "a pattern cannot be followed in a cluster", "no sharded patterns");
        return;
    }
    if (!follow) {
        follow = make(redis, name, is_pattern);
    }
    if (!follow) {
        redis_complain(redis, "a channel cannot be followed", "no memory");
        return;
    }
    follow->is_unwanted = false;
    follow->history = *history;
    if (follow->state == FOLLOW_WANTED) {
        push_due(redis, follow);
    }
}

void redis_unfollow(struct broker *broker, struct slice name, bool is_pattern)
{
    struct redis *redis = redis_of(broker);
    struct redis_follow *follow = find(redis, name, is_pattern);

    if (!follow) {
        return;
    }
    follow->is_unwanted = true;
    follow->has_position = false;
    redis_catch_up_drop(follow);
    if (follow->state == FOLLOW_ON) {
        struct redis_node *node = &redis->nodes[follow->node];
        if (goes_with_everything(redis, follow)) {
            enter(redis, follow, FOLLOW_WANTED);
        } else if (node->subscriber.state == REDIS_LINK_UP) {
            (void)order(redis, node, follow, true);
        }
    }
    redis_follow_settle(redis, follow);
}

bool redis_follows_open(struct redis *redis)
{
    static const struct broker_history none = {0};
    char name[64 + 16];

    redis->follows.following = &redis->follows;
    redis->follows.previous = &redis->follows;
    (void)snprintf(name, sizeof(name), "__canary.%.60s", redis->options->host_id);
    redis_follow(&redis->broker, slice_text(name), false, &none);
    redis->canary = find(redis, slice_text(name), false);
    if (redis->canary) {
        redis->canary->is_canary = true;
    }
    if (redis->options->one_pattern && !redis->is_cluster) {
        redis_follow(&redis->broker, slice_text("*"), true, &none);
        redis->everything = find(redis, slice_text("*"), true);
    }
    return redis->canary &&
           (redis->everything || !redis->options->one_pattern || redis->is_cluster);
}

static void leave(void *follow)
{
    redis_held_free(follow);
    free(follow);
}

void redis_follows_close(struct redis *redis)
{
    tdestroy(redis->follow_tree, leave);
}
