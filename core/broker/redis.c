#include "broker/redis.h"

#include "broker/redis_state.h"

#include <stdio.h>
#include <stdlib.h>

#define LINES_INTERVAL_MS 10000u
#define CANARIES_MISSED   3u /* then the subscriber's connection is taken for dead */

/* --- events ----------------------------------------------------------------------------------- */

static void event_free(struct redis_event *event)
{
    if (event) {
        freeReplyObject(event->reply);
        free(event->publications);
        free(event->members);
        free(event);
    }
}

struct redis_event *redis_event_add(struct redis *redis, const struct broker_event *event,
                                    redisReply *reply)
{
    struct redis_event *added = calloc(1, sizeof(*added));

    if (!added) { /* a ticket without its answer: the relay gives up on it when it stops */
        redis_complain(redis, "an event of redis is lost", "no memory");
        freeReplyObject(reply);
        return NULL;
    }
    added->event = *event;
    added->reply = reply;
    if (redis->event_last) {
        redis->event_last->next = added;
    } else {
        redis->event_first = added;
    }
    redis->event_last = added;
    redis->event_count++;
    return added;
}

static bool redis_next(struct broker *broker, struct broker_event *event)
{
    struct redis *redis = redis_of(broker);

    event_free(redis->lent);
    redis->lent = redis->event_first;
    if (!redis->lent) {
        return false;
    }
    redis->event_first = redis->lent->next;
    if (!redis->event_first) {
        redis->event_last = NULL;
    }
    redis->event_count--;
    *event = redis->lent->event;
    return true;
}

void redis_complain(struct redis *redis, const char *event, const char *text)
{
    uint64_t suppressed;

    if (log_limit_pass(&redis->error_lines, redis->now_ms, LINES_INTERVAL_MS, &suppressed)) {
        LOG(LOG_WARN, event, log_text("reason", text),
            log_number("suppressed", (int64_t)suppressed));
    }
}

/* --- the turn --------------------------------------------------------------------------------- */

static bool has_scout(const struct redis *redis)
{
    return redis->options->topology != REDIS_SINGLE;
}

static uint32_t poll_link(struct redis *redis, struct redis_link *link, struct pollfd *fds,
                          uint32_t count, uint64_t *wake_ms)
{
    if (!redis_link_poll(link, &fds[count], redis->now_ms, wake_ms)) {
        return count;
    }
    if (link->state == REDIS_LINK_UP && !link->is_drained) {
        *wake_ms = redis->now_ms; /* replies wait in its reader */
    }
    return count + 1;
}

static uint32_t redis_poll(struct broker *broker, struct pollfd *fds, uint64_t now_ms,
                           uint64_t *wake_ms)
{
    struct redis *redis = redis_of(broker);
    const uint64_t tick_ms = redis->due_first ? 10 : 100;
    uint32_t count = 0;

    redis->now_ms = now_ms;
    *wake_ms = now_ms + tick_ms;
    if (has_scout(redis)) {
        count = poll_link(redis, &redis->scout, fds, count, wake_ms);
    }
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        if (redis->nodes[i].is_used) {
            count = poll_link(redis, &redis->nodes[i].commands, fds, count, wake_ms);
            count = poll_link(redis, &redis->nodes[i].subscriber, fds, count, wake_ms);
        }
    }
    ASSERT(count <= BROKER_FDS_MAX);
    return count;
}

static short events_of(const struct redis_link *link, const struct pollfd *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (link->fd >= 0 && fds[i].fd == link->fd) {
            return fds[i].revents;
        }
    }
    return 0;
}

static void turn_node(struct redis *redis, struct redis_node *node, const struct pollfd *fds,
                      uint32_t count)
{
    redis_link_turn(&node->commands, events_of(&node->commands, fds, count), redis->now_ms);
    redis_link_turn(&node->subscriber, events_of(&node->subscriber, fds, count), redis->now_ms);
    redis_follows_take(redis, node);
    redis_requests_take(redis, node);
    if (node->commands.has_ended) {
        node->commands.has_ended = false;
        redis_requests_end(redis, node);
        redis_scout_hurry(redis);
    }
    if (node->subscriber.has_ended) {
        node->subscriber.has_ended = false;
        redis_follows_end(redis, node);
    }
    if (node->commands.has_come_up && node->commands.state == REDIS_LINK_UP) {
        node->commands.has_come_up = false;
        redis_catch_up_resume(redis);
        redis_members_renew(redis);
    }
    if (node->subscriber.has_come_up && node->subscriber.state == REDIS_LINK_UP) {
        node->subscriber.has_come_up = false;
        redis->canary_back_ms = redis->now_ms;
    }
}

static void turn_canary(struct redis *redis)
{
    const uint32_t interval_ms = redis->options->canary_interval_ms;

    if (redis->canary->state != FOLLOW_ON) {
        return;
    }
    if (redis->now_ms >= redis->canary_at_ms) {
        redis->canary_at_ms = redis->now_ms + interval_ms;
        redis_send_canary(redis);
    }
    if (redis->now_ms - redis->canary_back_ms >
        (uint64_t)CANARIES_MISSED * interval_ms + redis->options->timeout_ms) {
        redis_link_end(&redis->nodes[redis->canary->node].subscriber,
                       "what is published does not come back", redis->now_ms);
    }
}

static void redis_turn(struct broker *broker, const struct pollfd *fds, uint32_t count,
                       uint64_t now_ms)
{
    struct redis *redis = redis_of(broker);

    redis->now_ms = now_ms;
    if (has_scout(redis)) {
        redis_link_turn(&redis->scout, events_of(&redis->scout, fds, count), now_ms);
        redis_scout_turn(redis);
        redis->scout.has_ended = false;
        redis->scout.has_come_up = false;
    }
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        turn_node(redis, &redis->nodes[i], fds, count);
    }
    redis_follows_step(redis);
    redis_members_step(redis);
    turn_canary(redis);
}

/* --- health ----------------------------------------------------------------------------------- */

/* Every slot has a node that can be asked, and one that is listened to. */
static bool is_up(const struct redis *redis)
{
    uint8_t before = REDIS_NO_NODE;

    for (uint32_t slot = 0; slot < (redis->is_cluster ? REDIS_SLOTS : 1); slot++) {
        const uint8_t number = redis->is_cluster ? redis->slots[slot] : 0;
        if (number == before && slot > 0) {
            continue;
        }
        before = number;
        if (number == REDIS_NO_NODE || redis->nodes[number].commands.state != REDIS_LINK_UP ||
            redis->nodes[number].subscriber.state != REDIS_LINK_UP) {
            return false;
        }
    }
    return true;
}

static void redis_health(struct broker *broker, struct broker_health *health, uint64_t now_ms)
{
    const struct redis *redis = redis_of(broker);

    *health = redis->health;
    health->is_up = is_up(redis);
    health->canary_age_ms = now_ms - redis->canary_back_ms;
    health->requests = redis->request_count;
    health->followed = redis->follow_count;
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        health->reconnects +=
            redis->nodes[i].commands.reconnects + redis->nodes[i].subscriber.reconnects;
    }
}

/* --- open and close --------------------------------------------------------------------------- */

static void redis_close(struct broker *broker)
{
    struct redis *redis = redis_of(broker);

    redis_link_close(&redis->scout);
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        redis_link_close(&redis->nodes[i].commands);
        redis_link_close(&redis->nodes[i].subscriber);
        redis_requests_end(redis, &redis->nodes[i]);
        while (redis->nodes[i].order_first) {
            struct redis_order *order = redis->nodes[i].order_first;
            redis->nodes[i].order_first = order->next;
            free(order);
        }
    }
    struct broker_event event;
    while (redis_next(broker, &event)) {
    }
    redis_follows_close(redis);
    redis_members_close(redis);
    redis_tls_close(redis->login.tls);
    free(redis);
}

static const struct broker_kind kind = {
    .name = "redis",
    .follows = true,
    .close = redis_close,
    .poll = redis_poll,
    .turn = redis_turn,
    .next = redis_next,
    .publish = redis_publish,
    .forward = redis_forward,
    .history = redis_history,
    .history_remove = redis_history_remove,
    .presence = redis_presence,
    .follow = redis_follow,
    .unfollow = redis_unfollow,
    .join = redis_join,
    .leave = redis_leave,
    .health = redis_health,
};

static bool check(const struct redis_options *options, char *message, size_t message_size)
{
    struct redis_address address;

    for (uint32_t i = 0; i < options->node_count; i++) {
        if (!redis_address_read(options->nodes[i], &address)) {
            (void)snprintf(message, message_size,
                           "redis.nodes: %s is no host:port, [v6]:port or /path",
                           options->nodes[i]);
            return false;
        }
    }
    return true;
}

static void open_links(struct redis *redis)
{
    struct redis_address address;
    const bool is_first_good = redis_address_read(redis->options->nodes[0], &address);

    ASSERT(is_first_good);
    redis_link_init(&redis->scout, &redis->scout_login, redis->is_cluster ? "map" : "sentinel");
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        struct redis_node *node = &redis->nodes[i];
        redis_link_init(&node->commands, &redis->login, "commands");
        redis_link_init(&node->subscriber, &redis->login, "subscriptions");
        node->commands.loads_scripts = true;
        node->commands.wants_master = redis->options->topology == REDIS_SENTINEL;
        node->subscriber.wants_master = node->commands.wants_master;
    }
    memset(redis->slots, REDIS_NO_NODE, sizeof(redis->slots));
    if (!has_scout(redis)) {
        redis->nodes[0].is_used = true;
        redis_link_connect(&redis->nodes[0].commands, &address, redis->now_ms);
        redis_link_connect(&redis->nodes[0].subscriber, &address, redis->now_ms);
    }
}

struct broker *redis_open(const struct redis_options *options, uint64_t now_ms, char *message,
                          size_t message_size)
{
    if (!check(options, message, message_size)) {
        return NULL;
    }
    struct redis *redis = calloc(1, sizeof(*redis));
    if (!redis) {
        (void)snprintf(message, message_size, "no memory for the broker");
        return NULL;
    }
    redis->broker.kind = &kind;
    redis->options = options;
    redis->is_cluster = options->topology == REDIS_CLUSTER;
    redis->now_ms = now_ms;
    redis->budget_ms = now_ms;
    redis->canary_back_ms = now_ms;
    redis->members.following = &redis->members;
    redis->members.previous = &redis->members;
    redis->login = (struct redis_login){
        .user = options->user, .password = options->password, .timeout_ms = options->timeout_ms};
    if (options->tls) {
        redis->login.tls = redis_tls_open(options, message, message_size);
        if (!redis->login.tls) {
            free(redis);
            return NULL;
        }
    }
    redis->scout_login = redis->login;
    if (options->topology == REDIS_SENTINEL) {
        redis->scout_login.user =
            NULL; /* sentinels have no data to protect, and users of their own */
        redis->scout_login.password = NULL;
    }
    open_links(redis);
    if (!redis_follows_open(redis)) {
        redis_close(&redis->broker);
        (void)snprintf(message, message_size, "no memory for the broker");
        return NULL;
    }
    return &redis->broker;
}
