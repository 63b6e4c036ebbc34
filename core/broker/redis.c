#include "base/random.h"
#include "broker/redis_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FOLLOWED_ESTIMATE 65536u
#define PATTERNS_ESTIMATE 1024u
#define BURST_MS          100u /* of the pace of subscribing, that is saved up while nothing is */
#define LINES_INTERVAL_MS 10000u

/* --- what goes wrong -------------------------------------------------------------------------- */

void redis_complain(struct redis *redis, const char *what)
{
    uint64_t suppressed;

    redis->malformed++;
    if (log_limit_pass(&redis->malformed_lines, redis->now_ms, LINES_INTERVAL_MS, &suppressed)) {
        LOG(LOG_WARN, "redis answered in a wrong shape", log_text("what", what),
            log_number("suppressed", (int64_t)suppressed));
    }
}

void redis_tell_error(struct redis *redis, const char *what, const redisReply *reply)
{
    uint64_t suppressed;

    redis->errors++;
    if (log_limit_pass(&redis->error_lines, redis->now_ms, LINES_INTERVAL_MS, &suppressed)) {
        LOG(LOG_WARN, "redis refused", log_text("what", what),
            log_text("error", reply ? reply->str : ""),
            log_number("suppressed", (int64_t)suppressed));
    }
}

/* --- the turn --------------------------------------------------------------------------------- */

/* Sees to what connections' ends and beginnings mean for what they carried. */
static void check_node(struct redis *redis, struct redis_node *node)
{
    if (node->commands.has_ended) {
        node->commands.has_ended = false;
        redis_requests_fail(redis, node);
        redis->is_stale = true;
    }
    if (node->subscriber.has_ended) {
        node->subscriber.has_ended = false;
        redis_subscriptions_end(redis, node);
    }
    if (node->commands.has_come_up) {
        node->commands.has_come_up = false;
        redis_members_refresh_all(redis);
    }
    if (node->subscriber.has_come_up) {
        node->subscriber.has_come_up = false;
        redis_subscriptions_begin(redis, node);
    }
}

static void check_nodes(struct redis *redis)
{
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        if (redis->nodes[i].is_used) {
            check_node(redis, &redis->nodes[i]);
        }
    }
}

static void grow_allowance(struct redis *redis, uint64_t now_ms)
{
    const uint64_t pace = redis->options.subscribes_per_s;
    const uint64_t most = pace * BURST_MS > 1000 ? pace * BURST_MS : 1000;

    redis->allowance += (now_ms - redis->now_ms) * pace;
    if (redis->allowance > most) {
        redis->allowance = most;
    }
    redis->now_ms = now_ms;
}

static void sooner(uint64_t *wake_ms, uint64_t at_ms)
{
    if (at_ms < *wake_ms) {
        *wake_ms = at_ms;
    }
}

/* What is to be asked is appended first, so that it leaves before the wait. */
static uint32_t redis_poll(struct broker *broker, struct pollfd *fds, uint64_t now_ms,
                           uint64_t *wake_ms)
{
    struct redis *redis = redis_of(broker);

    *wake_ms = UINT64_MAX;
    grow_allowance(redis, now_ms);
    check_nodes(redis);
    sooner(wake_ms, redis_subscriptions_turn(redis));
    redis_heard_turn(redis);
    redis_catch_up_turn(redis);
    sooner(wake_ms, redis_gaps_turn(redis));
    sooner(wake_ms, redis_members_turn(redis));
    sooner(wake_ms, redis_requests_turn(redis));
    const uint32_t count = redis_topology_poll(redis, fds, wake_ms);
    check_nodes(redis);
    if (redis->failed.first || redis->delivering) {
        *wake_ms = now_ms;
    }
    return count;
}

static void redis_turn(struct broker *broker, const struct pollfd *fds, uint32_t count,
                       uint64_t now_ms)
{
    struct redis *redis = redis_of(broker);

    grow_allowance(redis, now_ms);
    redis->was_polled = count > 0;
    redis_topology_turn(redis, fds, count);
    check_nodes(redis);
}

/* --- events ----------------------------------------------------------------------------------- */

static void give_back_lent(struct redis *redis)
{
    freeReplyObject(redis->lent_reply);
    free(redis->lent_held);
    free(redis->publications);
    free(redis->present);
    redis->lent_reply = NULL;
    redis->lent_held = NULL;
    redis->publications = NULL;
    redis->present = NULL;
}

static bool next_waiting(struct redis *redis, struct broker_event *event)
{
    return redis_requests_next_failed(redis, event) || redis_catch_up_next(redis, event);
}

/* Messages before answers: a publication is delivered before its publisher hears of it, where both
 * have come. */
static bool next_of_node(struct redis *redis, struct redis_node *node, struct broker_event *event)
{
    redisReply *reply;

    while ((reply = redis_link_next(&node->subscriber, redis->now_ms))) {
        if (redis_pushes_take(redis, node, reply, event)) {
            return true;
        }
    }
    while ((reply = redis_link_next(&node->commands, redis->now_ms))) {
        if (redis_requests_take(redis, node, reply, event) || next_waiting(redis, event)) {
            return true;
        }
    }
    return false;
}

static bool redis_next(struct broker *broker, struct broker_event *event)
{
    struct redis *redis = redis_of(broker);

    give_back_lent(redis);
    if (next_waiting(redis, event)) {
        return true;
    }
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        struct redis_node *node = &redis->nodes[redis->turn_node];
        if (node->is_used && next_of_node(redis, node, event)) {
            return true;
        }
        redis->turn_node = (redis->turn_node + 1) % REDIS_MASTERS_MAX;
    }
    check_nodes(redis);
    return next_waiting(redis, event);
}

/* --- life ------------------------------------------------------------------------------------- */

static void redis_health(struct broker *broker, struct broker_health *health, uint64_t now_ms)
{
    const struct redis *redis = redis_of(broker);
    uint64_t oldest_ms = redis->opened_ms;
    bool has_node = false;

    *health = (struct broker_health){
        .is_up = redis_topology_is_up(redis),
        .round_trip_us = redis->round_trip_us,
        .caught_up = redis->caught_up,
        .gaps = redis->gaps,
        .malformed = redis->malformed,
        .errors = redis->errors,
        .joins_refused = redis_members_refused(redis->members),
        .requests = redis->request_count,
        .followed = redis->channels.count - redis->heard_count + redis->patterns.count,
    };
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        const struct redis_node *node = &redis->nodes[i];
        if (node->is_used) {
            oldest_ms =
                !has_node || node->canary_at_ms < oldest_ms ? node->canary_at_ms : oldest_ms;
            has_node = true;
        }
        health->reconnects += node->commands.reconnects + node->subscriber.reconnects;
    }
    health->canary_age_ms = now_ms > oldest_ms ? now_ms - oldest_ms : 0;
}

static void redis_close(struct broker *broker)
{
    struct redis *redis = redis_of(broker);

    give_back_lent(redis);
    redis->gap_lines.next_ms = 0; /* what is not told yet is told now */
    (void)redis_gaps_turn(redis);
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        if (redis->nodes[i].is_used) {
            redis_link_close(&redis->nodes[i].commands);
            redis_link_close(&redis->nodes[i].subscriber);
            redis_requests_free(&redis->nodes[i].sent);
        }
    }
    if (redis->scout.login) {
        redis_link_close(&redis->scout);
    }
    redis_requests_free(&redis->failed);
    redis_requests_free(&redis->again);
    redis_requests_free(&redis->waiting);
    redis_requests_free(&redis->delayed);
    freeReplyObject(redis->delivered_reply);
    redis_subscriptions_close(redis);
    redis_members_close(redis->members);
    redis_tls_close(redis->tls);
    free(redis);
}

static const struct broker_kind redis_kind = {
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

/* Who names such a file expects that the connection is secured. */
static const char *fault_of_tls(const struct redis_options *options)
{
    if (!options->tls && options->tls_ca_file) {
        return "redis.tls_ca_file: without redis.tls; allowed: with redis.tls: true";
    }
    if (!options->tls && options->tls_certificate_file) {
        return "redis.tls_certificate_file: without redis.tls; allowed: with redis.tls: true";
    }
    if (!options->tls && options->tls_key_file) {
        return "redis.tls_key_file: without redis.tls; allowed: with redis.tls: true";
    }
    if (!options->tls && options->tls_name) {
        return "redis.tls_name: without redis.tls; allowed: with redis.tls: true";
    }
    if (!options->tls_certificate_file != !options->tls_key_file) {
        return "redis.tls_certificate_file, redis.tls_key_file: one without the other; allowed: both";
    }
    return NULL;
}

/* The stream would have the name of one of a channel's keys: prefix{channel}:... */
static bool is_own_key(const struct redis_options *options)
{
    const size_t size = strlen(options->prefix);

    return options->forward == REDIS_FORWARD_STREAM &&
           strncmp(options->forward_name, options->prefix, size) == 0 &&
           options->forward_name[size] == '{';
}

static const char *fault_of(const struct redis_options *options)
{
    struct redis_address address;
    const bool is_cluster = options->topology == REDIS_CLUSTER;

    if (options->node_count == 0 || options->node_count > REDIS_NODES_MAX) {
        return "redis.nodes: none; allowed: one address at least";
    }
    for (uint32_t i = 0; i < options->node_count; i++) {
        if (!redis_address_read(options->nodes[i], &address)) {
            return "redis.nodes: not an address; allowed: HOST:PORT, [IPv6]:PORT or the path of a socket";
        }
    }
    if (options->topology == REDIS_SINGLE && options->node_count > 1) {
        return "redis.nodes: several for one Redis; allowed: one, or redis.topology sentinel or cluster";
    }
    if (options->topology == REDIS_SENTINEL && !options->master_name) {
        return "redis.master_name: unset; allowed: what the sentinels call the master";
    }
    if (strlen(options->prefix) > REDIS_PREFIX_SIZE_MAX || strpbrk(options->prefix, "{}")) {
        return "redis.prefix: too long, or with braces; allowed: 64 bytes";
    }
    if (is_cluster && options->one_pattern) {
        return "redis.one_pattern: a cluster has no sharded patterns; allowed: false";
    }
    if (options->user && !options->password_file) {
        return "redis.user: without a password; allowed: with redis.password_file";
    }
    if (options->sentinel_user && !options->sentinel_password_file) {
        return "redis.sentinel_user: without a password; allowed: with redis.sentinel_password_file";
    }
    if (is_own_key(options)) {
        return "redis.forward_name: redis.prefix and a brace, as channels' own keys; allowed: another name";
    }
    return fault_of_tls(options);
}

static bool has_password(const char *option, const char *path, char *message, size_t message_size)
{
    char password[REDIS_PASSWORD_SIZE_MAX];

    if (!path) {
        return true;
    }
    errno = 0;
    const bool has = redis_password_read(path, password) > 0;
    if (!has) {
        (void)snprintf(message, message_size, "%s: %s: no password can be read from it: %s", option,
                       path, errno != 0 ? strerrordesc_np(errno) : "its first line is empty");
    }
    secret_wipe(password, sizeof(password));
    return has;
}

bool redis_check(const struct redis_options *options, char *message, size_t message_size)
{
    const char *fault = fault_of(options);

    if (fault) {
        (void)snprintf(message, message_size, "%s", fault);
        return false;
    }
    if (!has_password("redis.password_file", options->password_file, message, message_size) ||
        !has_password("redis.sentinel_password_file", options->sentinel_password_file, message,
                      message_size)) {
        return false;
    }
    struct redis_tls *tls = options->tls ? redis_tls_open(options, message, message_size) : NULL;
    redis_tls_close(tls);
    return tls || !options->tls;
}

static bool open_parts(struct redis *redis)
{
    uint64_t number;

    random_bytes(&number, sizeof(number));
    (void)snprintf(redis->host_id, sizeof(redis->host_id), "%016llx", (unsigned long long)number);
    redis->members = redis_members_open(redis);
    return redis->members && table_open(&redis->channels, FOLLOWED_ESTIMATE) == 0 &&
           table_open(&redis->patterns, PATTERNS_ESTIMATE) == 0;
}

struct broker *redis_open(const struct redis_options *options, uint64_t now_ms, char *message,
                          size_t message_size)
{
    struct redis *redis = calloc(1, sizeof(*redis));

    if (!redis) {
        (void)snprintf(message, message_size, "no memory for the broker");
        return NULL;
    }
    redis->broker.kind = &redis_kind;
    redis->options = *options;
    redis->now_ms = now_ms;
    redis->opened_ms = now_ms;
    if (!redis_check(options, message, message_size)) {
        redis_close(&redis->broker);
        return NULL;
    }
    redis->prefix = slice_text(options->prefix);
    if (options->tls) {
        redis->tls = redis_tls_open(options, message, message_size);
        if (!redis->tls) {
            redis_close(&redis->broker);
            return NULL;
        }
    }
    if (!open_parts(redis)) {
        (void)snprintf(message, message_size, "no memory for the broker");
        redis_close(&redis->broker);
        return NULL;
    }
    redis->login = (struct redis_login){.user = options->user,
                                        .password_file = options->password_file,
                                        .tls = redis->tls,
                                        .tls_name = options->tls_name,
                                        .timeout_ms = options->timeout_ms};
    redis->scout_login = redis->login;
    if (options->topology == REDIS_SENTINEL) {
        redis->scout_login.user = options->sentinel_user;
        redis->scout_login.password_file = options->sentinel_password_file;
    }
    redis_topology_open(redis);
    return &redis->broker;
}
