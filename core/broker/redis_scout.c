#include "broker/redis_state.h"

#include <stdio.h>

#define INTERVAL_MS 1000u /* a failover that ends no connection is seen by then */

static struct slice text_of(const redisReply *reply)
{
    return slice_from(reply->str, reply->len);
}

void redis_scout_hurry(struct redis *redis)
{
    const uint64_t soon_ms = redis->now_ms + 50; /* many say the same at once */

    if (redis->scout_at_ms > soon_ms) {
        redis->scout_at_ms = soon_ms;
    }
}

static void ask(struct redis *redis)
{
    struct redis_bytes *out = redis_link_out(&redis->scout);

    if (redis->is_cluster) {
        redis_bytes_command(out, 2);
        redis_bytes_text(out, "CLUSTER");
        redis_bytes_text(out, "SLOTS");
    } else {
        redis_bytes_command(out, 3);
        redis_bytes_text(out, "SENTINEL");
        redis_bytes_text(out, "get-master-addr-by-name");
        redis_bytes_text(out, redis->options->master_name);
    }
    redis->scout_asked = true;
    redis->scout_at_ms = redis->now_ms + INTERVAL_MS;
}

static bool read_address(const redisReply *host, const redisReply *port,
                         struct redis_address *address)
{
    char text[REDIS_HOST_SIZE_MAX + 16];
    long long number = port->type == REDIS_REPLY_INTEGER ? port->integer : 0;
    uint64_t read = 0;

    if (port->type == REDIS_REPLY_STRING && redis_number_read(text_of(port), &read)) {
        number = (long long)read;
    }
    if (host->type != REDIS_REPLY_STRING || host->len > REDIS_HOST_SIZE_MAX || number <= 0) {
        return false;
    }
    (void)snprintf(text, sizeof(text), strchr(host->str, ':') ? "[%s]:%lld" : "%s:%lld", host->str,
                   number);
    return redis_address_read(text, address);
}

static void connect_node(struct redis *redis, struct redis_node *node,
                         const struct redis_address *address)
{
    node->is_used = true;
    redis_link_connect(&node->commands, address, redis->now_ms);
    redis_link_connect(&node->subscriber, address, redis->now_ms);
}

/* The node at the address, made when there is room; NULL: there is none. */
static struct redis_node *node_at(struct redis *redis, const struct redis_address *address)
{
    struct redis_node *unused = NULL;

    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        struct redis_node *node = &redis->nodes[i];
        if (node->is_used && redis_address_equal(&node->commands.address, address)) {
            return node;
        }
        unused = !node->is_used && !unused ? node : unused;
    }
    if (unused) {
        connect_node(redis, unused, address);
    }
    return unused;
}

static void take_master(struct redis *redis, const redisReply *reply)
{
    struct redis_address address;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        !read_address(reply->element[0], reply->element[1], &address)) {
        redis_link_end(&redis->scout, "the sentinel knows no such master", redis->now_ms);
        return;
    }
    connect_node(redis, &redis->nodes[0], &address);
}

/* {first, last, {host, port, ...}, replicas ...} */
static bool take_range(struct redis *redis, const redisReply *range, uint8_t *slots, bool *used)
{
    struct redis_address address;

    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 ||
        range->element[0]->type != REDIS_REPLY_INTEGER ||
        range->element[1]->type != REDIS_REPLY_INTEGER ||
        range->element[2]->type != REDIS_REPLY_ARRAY || range->element[2]->elements < 2) {
        return false;
    }
    const long long first = range->element[0]->integer;
    const long long last = range->element[1]->integer;
    const redisReply *host = range->element[2]->element[0];
    if (first < 0 || last < first || last >= (long long)REDIS_SLOTS) {
        return false;
    }
    if (host->type == REDIS_REPLY_STRING && host->len == 0) {
        return false; /* the node does not know its own address yet */
    }
    if (!read_address(host, range->element[2]->element[1], &address)) {
        return false;
    }
    const struct redis_node *node = node_at(redis, &address);
    if (!node) {
        return false;
    }
    const uint8_t number = (uint8_t)(node - redis->nodes);
    memset(slots + first, number, (size_t)(last - first + 1));
    used[number] = true;
    return true;
}

static void take_slots(struct redis *redis, const redisReply *reply)
{
    uint8_t slots[REDIS_SLOTS];
    bool used[REDIS_MASTERS_MAX] = {false};

    memset(slots, REDIS_NO_NODE, sizeof(slots));
    if (reply->type != REDIS_REPLY_ARRAY) {
        redis_link_end(&redis->scout, "it does not tell the slots", redis->now_ms);
        return;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        if (!take_range(redis, reply->element[i], slots, used)) {
            redis->health.malformed++;
        }
    }
    const bool has_changed = memcmp(slots, redis->slots, sizeof(slots)) != 0;
    memcpy(redis->slots, slots, sizeof(slots));
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        if (redis->nodes[i].is_used && !used[i]) {
            redis->nodes[i].is_used = false;
            redis_link_close(&redis->nodes[i].commands);
            redis_link_close(&redis->nodes[i].subscriber);
        }
    }
    if (has_changed) {
        redis_follows_move(redis);
    }
}

static void take_answer(struct redis *redis)
{
    redisReply *reply = redis_link_next(&redis->scout, redis->now_ms);

    if (!reply) {
        return;
    }
    redis->scout_asked = false;
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_link_end(&redis->scout, reply->str, redis->now_ms);
    } else if (redis->is_cluster) {
        take_slots(redis, reply);
    } else {
        take_master(redis, reply);
    }
    freeReplyObject(reply);
}

void redis_scout_turn(struct redis *redis)
{
    struct redis_link *scout = &redis->scout;

    if (scout->state == REDIS_LINK_DOWN && redis->now_ms >= scout->retry_ms) {
        struct redis_address address;
        const char *text = redis->options->nodes[redis->scout_next++ % redis->options->node_count];
        const bool is_good = redis_address_read(text, &address);
        ASSERT(is_good); /* redis_open looked */
        redis_link_connect(scout, &address, redis->now_ms);
        redis->scout_asked = false;
        redis->scout_at_ms = redis->now_ms;
    }
    if (scout->state != REDIS_LINK_UP) {
        return;
    }
    take_answer(redis);
    if (scout->state == REDIS_LINK_UP && !redis->scout_asked &&
        redis->now_ms >= redis->scout_at_ms) {
        ask(redis);
    } else if (redis->scout_asked && scout->state == REDIS_LINK_UP &&
               redis->now_ms > redis->scout_at_ms + redis->options->timeout_ms) {
        redis_link_end(scout, "no answer in time", redis->now_ms);
    }
}

struct redis_node *redis_scout_redirected(struct redis *redis, const char *text, bool is_moved)
{
    struct redis_address address;
    uint64_t slot;
    const char *space = strchr(text, ' ');

    if (!space || !redis_number_read(slice_from(text, (size_t)(space - text)), &slot) ||
        slot >= REDIS_SLOTS || !redis_address_read(space + 1, &address)) {
        redis->health.malformed++;
        return NULL;
    }
    struct redis_node *node = node_at(redis, &address);
    if (node && is_moved) {
        redis->slots[slot] = (uint8_t)(node - redis->nodes);
        redis_scout_hurry(redis);
    }
    return node;
}
