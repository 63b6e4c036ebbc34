#include "broker/redis_state.h"

#include <stdio.h>

#define NOBODY            255u
#define STALE_INTERVAL_MS 20u    /* between questions while the cluster is known to have changed */
#define DOWN_INTERVAL_MS  500u   /* while a node is not reached: another one may take over */
#define QUIET_INTERVAL_MS 30000u /* even if nobody says that it has changed */

/* --- nodes ------------------------------------------------------------------------------------ */

static void open_node(struct redis *redis, struct redis_node *node,
                      const struct redis_address *address)
{
    *node = (struct redis_node){.is_used = true, .canary_at_ms = redis->now_ms};
    redis_link_init(&node->commands, &redis->login, "commands");
    redis_link_init(&node->subscriber, &redis->login, "subscriptions");
    node->commands.loads_scripts = true;
    node->commands.wants_master = redis->options.topology == REDIS_SENTINEL;
    node->subscriber.wants_master = redis->options.topology == REDIS_SENTINEL;
    redis_link_connect(&node->commands, address, redis->now_ms);
    redis_link_connect(&node->subscriber, address, redis->now_ms);
}

static void close_node(struct redis *redis, struct redis_node *node)
{
    redis_link_close(&node->commands);
    redis_link_close(&node->subscriber);
    redis_requests_fail(redis, node);
    redis_subscriptions_end(redis, node);
    node->is_used = false;
}

struct redis_node *redis_topology_node(struct redis *redis, const struct redis_address *address)
{
    struct redis_node *free_node = NULL;

    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        struct redis_node *node = &redis->nodes[i];
        if (node->is_used && redis_address_equal(&node->commands.address, address)) {
            return node;
        }
        if (!node->is_used && !free_node) {
            free_node = node;
        }
    }
    if (free_node) {
        open_node(redis, free_node, address);
    }
    return free_node;
}

struct redis_node *redis_node_of(struct redis *redis, uint16_t slot)
{
    const uint8_t number = redis->slots[slot];
    struct redis_node *node = number < REDIS_MASTERS_MAX ? &redis->nodes[number] : NULL;

    return node && node->is_used && node->commands.state == REDIS_LINK_UP ? node : NULL;
}

bool redis_topology_is_up(const struct redis *redis)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        const struct redis_node *node = &redis->nodes[i];
        if (node->is_used && node->commands.state != REDIS_LINK_UP) {
            return false;
        }
        used += node->is_used;
    }
    if (redis->options.topology == REDIS_CLUSTER && memchr(redis->slots, NOBODY, REDIS_SLOTS)) {
        return false;
    }
    return used > 0;
}

void redis_topology_doubt(struct redis *redis, struct redis_node *node)
{
    if (redis->options.topology == REDIS_CLUSTER) {
        redis->is_stale = true;
        return;
    }
    /* Whoever took over has another address, or this one will be master again. */
    redis_link_end(&node->commands, "it cannot be written to", redis->now_ms);
    redis_link_end(&node->subscriber, "it cannot be written to", redis->now_ms);
    redis->is_stale = true;
}

/* --- the scout: a sentinel, or any node of the cluster ---------------------------------------- */

/* Nodes that the options name, then those that are known. */
static void next_target(struct redis *redis)
{
    const uint32_t named = redis->options.node_count;
    struct redis_address address = {0};

    for (uint32_t tries = 0; tries < named + REDIS_MASTERS_MAX; tries++) {
        const uint32_t target = redis->scout_target++ % (named + REDIS_MASTERS_MAX);
        if (target < named) {
            const bool is_well = redis_address_read(redis->options.nodes[target], &address);
            ASSERT(is_well); /* redis_check has read it */
            break;
        }
        if (redis->options.topology == REDIS_CLUSTER && redis->nodes[target - named].is_used) {
            address = redis->nodes[target - named].commands.address;
            break;
        }
    }
    const uint32_t failures = redis->scout.failures;
    const uint64_t retry_ms = redis->scout.retry_ms;
    redis_link_connect(&redis->scout, &address, redis->now_ms);
    redis->scout.failures = failures; /* the delay grows over all of them */
    redis->scout.retry_ms = retry_ms;
}

static void ask_scout(struct redis *redis)
{
    struct redis_bytes *out = redis_link_out(&redis->scout);

    redis->scout_asked = true;
    redis->scout_ms = redis->now_ms;
    if (redis->options.topology == REDIS_CLUSTER) {
        redis->is_stale = false;
        redis_bytes_command(out, 2);
        redis_bytes_text(out, "CLUSTER");
        redis_bytes_text(out, "SLOTS");
        return;
    }
    redis_bytes_command(out, 3);
    redis_bytes_text(out, "SENTINEL");
    redis_bytes_text(out, "GET-MASTER-ADDR-BY-NAME");
    redis_bytes_text(out, redis->options.master_name);
}

static bool read_address(const redisReply *host, const redisReply *port, const char *standard,
                         struct redis_address *address)
{
    uint64_t number = 0;

    if (port->type == REDIS_REPLY_INTEGER && port->integer > 0) {
        number = (uint64_t)port->integer;
    } else if (port->type != REDIS_REPLY_STRING ||
               !redis_number_read(slice_from(port->str, port->len), &number)) {
        return false;
    }
    /* A node that does not know its own name is the one that was asked. */
    const char *name = host->type == REDIS_REPLY_STRING && host->len > 0 ? host->str : standard;
    const int size = snprintf(address->host, sizeof(address->host), "%s", name);
    address->port = (uint16_t)number;
    return number > 0 && number <= UINT16_MAX && size > 0 && size <= REDIS_HOST_SIZE_MAX;
}

/* The master that a sentinel names; its links check by ROLE that it is one. */
static bool take_master(struct redis *redis, const redisReply *host, const redisReply *port)
{
    struct redis_node *node = &redis->nodes[0];
    struct redis_address address = {0};

    if (!read_address(host, port, "", &address)) {
        return false;
    }
    if (!node->is_used) {
        open_node(redis, node, &address);
    } else if (!redis_address_equal(&node->commands.address, &address)) {
        LOG(LOG_WARN, "redis master changed", log_text("host", address.host),
            log_number("port", address.port));
        redis_link_connect(&node->commands, &address, redis->now_ms);
        redis_link_connect(&node->subscriber, &address, redis->now_ms);
    }
    return true;
}

/* From here on the sentinel tells when the master changes. */
static void listen_to_sentinel(struct redis *redis)
{
    struct redis_bytes *out = redis_link_out(&redis->scout);

    redis_bytes_command(out, 2);
    redis_bytes_text(out, "SUBSCRIBE");
    redis_bytes_text(out, "+switch-master");
}

static bool take_sentinel(struct redis *redis, const redisReply *reply)
{
    if (redis->scout_asked) {
        redis->scout_asked = false;
        if (reply->type == REDIS_REPLY_NIL) {
            redis_link_end(&redis->scout, "the sentinel knows no master of this name",
                           redis->now_ms);
            return true;
        }
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
            !take_master(redis, reply->element[0], reply->element[1])) {
            return false;
        }
        listen_to_sentinel(redis);
        return true;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        return false;
    }
    if (reply->element[2]->type == REDIS_REPLY_STRING) {
        /* Any master's: ours is asked for anew. */
        redis_link_end(&redis->scout, "a master was switched", redis->now_ms);
        redis->scout.retry_ms = redis->now_ms;
        redis->scout.failures = 0;
    }
    return true;
}

/* { first slot, last slot, { host, port, ... } of the master, replicas }. Returns whether the shape
 * is right; what has no room, or no master, has no node. */
static bool take_range(struct redis *redis, const redisReply *range, uint8_t slots[REDIS_SLOTS])
{
    struct redis_address address = {0};

    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 ||
        range->element[0]->type != REDIS_REPLY_INTEGER ||
        range->element[1]->type != REDIS_REPLY_INTEGER ||
        range->element[2]->type != REDIS_REPLY_ARRAY || range->element[2]->elements < 2) {
        return false;
    }
    const long long from = range->element[0]->integer;
    const long long to = range->element[1]->integer;
    const redisReply *master = range->element[2];
    if (from < 0 || to < from || to >= (long long)REDIS_SLOTS ||
        !read_address(master->element[0], master->element[1], redis->scout.address.host,
                      &address)) {
        return false;
    }
    const struct redis_node *node = redis_topology_node(redis, &address);
    if (!node) {
        redis_tell_error(redis, "the cluster has more masters than there is room for", NULL);
        return true;
    }
    memset(slots + from, (int)(node - redis->nodes), (size_t)(to - from + 1));
    return true;
}

static bool take_slots(struct redis *redis, const redisReply *reply)
{
    uint8_t slots[REDIS_SLOTS];

    if (reply->type != REDIS_REPLY_ARRAY) {
        return false;
    }
    memset(slots, NOBODY, sizeof(slots));
    for (size_t i = 0; i < reply->elements; i++) {
        if (!take_range(redis, reply->element[i], slots)) {
            return false;
        }
    }
    if (memcmp(redis->slots, slots, sizeof(slots)) != 0) {
        redis_requests_hold(redis);
        memcpy(redis->slots, slots, sizeof(slots));
    }
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        if (redis->nodes[i].is_used && !memchr(slots, (int)i, sizeof(slots))) {
            close_node(redis, &redis->nodes[i]);
        }
    }
    redis_subscriptions_requeue(redis);
    return true;
}

static bool take_scouted(struct redis *redis, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_link_end(&redis->scout, reply->str, redis->now_ms);
        return true;
    }
    if (redis->options.topology == REDIS_SENTINEL) {
        return take_sentinel(redis, reply);
    }
    const bool was_asked = redis->scout_asked;
    redis->scout_asked = false;
    return was_asked && take_slots(redis, reply);
}

static void take_replies(struct redis *redis)
{
    redisReply *reply;

    while ((reply = redis_link_next(&redis->scout, redis->now_ms))) {
        if (!take_scouted(redis, reply)) {
            redis_complain(redis, "what a node says of the others");
            redis_link_end(&redis->scout, "its answer has a wrong shape", redis->now_ms);
        }
        freeReplyObject(reply);
    }
}

static uint64_t next_question_ms(const struct redis *redis)
{
    if (redis->is_stale) {
        return redis->scout_ms + STALE_INTERVAL_MS;
    }
    return redis->scout_ms + (redis_topology_is_up(redis) ? QUIET_INTERVAL_MS : DOWN_INTERVAL_MS);
}

static void turn_scout(struct redis *redis)
{
    struct redis_link *scout = &redis->scout;
    const bool is_cluster = redis->options.topology == REDIS_CLUSTER;

    take_replies(redis);
    if (scout->state == REDIS_LINK_UP && redis->scout_asked && redis->was_polled &&
        redis->now_ms >= redis->scout_ms + redis->options.timeout_ms) {
        redis_link_end(scout, "no answer in time", redis->now_ms);
    }
    if (scout->state == REDIS_LINK_DOWN && redis->scout_connected) {
        redis->scout_connected = false;
        redis->scout_asked = false;
        next_target(redis);
    } else if (scout->state != REDIS_LINK_DOWN) {
        redis->scout_connected = true;
    }
    if (scout->state != REDIS_LINK_UP || redis->scout_asked) {
        return;
    }
    if (scout->has_come_up || (is_cluster && redis->now_ms >= next_question_ms(redis))) {
        scout->has_come_up = false;
        ask_scout(redis);
    } else if (!is_cluster && redis->is_stale) {
        redis->is_stale = false;
        redis_link_end(scout, "the master is in doubt", redis->now_ms); /* asked when it is back */
    }
}

/* --- life ------------------------------------------------------------------------------------- */

void redis_topology_open(struct redis *redis)
{
    struct redis_address address;

    memset(redis->slots, redis->options.topology == REDIS_CLUSTER ? NOBODY : 0,
           sizeof(redis->slots));
    redis_link_init(&redis->scout, &redis->scout_login,
                    redis->options.topology == REDIS_CLUSTER ? "cluster" : "sentinel");
    if (redis->options.topology == REDIS_SINGLE) {
        const bool is_well = redis_address_read(redis->options.nodes[0], &address);
        ASSERT(is_well);
        open_node(redis, &redis->nodes[0], &address);
    } else {
        next_target(redis);
    }
}

static void poll_link(struct redis *redis, struct redis_link *link, struct pollfd *fds,
                      uint32_t *count, uint64_t *wake_ms)
{
    link->poll_index = NONE;
    if (redis_link_poll(link, &fds[*count], redis->now_ms, wake_ms)) {
        link->poll_index = (*count)++;
    }
}

uint32_t redis_topology_poll(struct redis *redis, struct pollfd *fds, uint64_t *wake_ms)
{
    uint32_t count = 0;

    static_assert(2 * REDIS_MASTERS_MAX + 1 <= BROKER_FDS_MAX, "all links can be waited for");
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        struct redis_node *node = &redis->nodes[i];
        if (node->is_used) {
            redis_canary_turn(redis, node, wake_ms); /* first: what it asks leaves in this poll */
            poll_link(redis, &node->commands, fds, &count, wake_ms);
            poll_link(redis, &node->subscriber, fds, &count, wake_ms);
        }
    }
    poll_link(redis, &redis->scout, fds, &count, wake_ms);
    if (redis->scout.state == REDIS_LINK_UP && !redis->scout_asked &&
        (redis->options.topology == REDIS_CLUSTER || redis->is_stale)) {
        const uint64_t at_ms = next_question_ms(redis);
        *wake_ms = at_ms < *wake_ms ? at_ms : *wake_ms;
    }
    if (redis->scout_asked && *wake_ms > redis->scout_ms + redis->options.timeout_ms) {
        *wake_ms = redis->scout_ms + redis->options.timeout_ms;
    }
    return count;
}

static void turn_link(struct redis *redis, struct redis_link *link, const struct pollfd *fds,
                      uint32_t count)
{
    const uint32_t index = link->poll_index;

    short revents = 0;

    if (index < count) {
        revents = fds[index].revents;
    }
    redis_link_turn(link, revents, redis->now_ms);
    link->poll_index = NONE;
}

void redis_topology_turn(struct redis *redis, const struct pollfd *fds, uint32_t count)
{
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        struct redis_node *node = &redis->nodes[i];
        if (node->is_used) {
            turn_link(redis, &node->commands, fds, count);
            turn_link(redis, &node->subscriber, fds, count);
        }
    }
    turn_link(redis, &redis->scout, fds, count);
    if (redis->options.topology != REDIS_SINGLE) {
        turn_scout(redis);
    }
}
