/* Each host publishes a message to itself on every node, through the same two connections that
 * everything takes: when it does not come back, what looks connected is not. */
#include "base/clock.h"
#include "broker/redis_state.h"

#include <stdio.h>

#define MARK     "__canary:"
#define TAGS_MAX 200000u

void redis_canary_name(const struct redis *redis, const struct redis_node *node,
                       struct redis_name *name)
{
    const char *tag = node->canary_tag;
    const int size =
        snprintf((char *)name->bytes, sizeof(name->bytes), "%s" MARK "%s%s%s%s",
                 redis->options.prefix, redis->host_id, *tag ? ":{" : "", tag, *tag ? "}" : "");

    ASSERT(size > 0);
    ASSERT((size_t)size < sizeof(name->bytes));
    name->size = (size_t)size;
}

bool redis_is_canary(const struct redis *redis, struct slice name)
{
    const size_t brace = redis->options.topology == REDIS_CLUSTER &&
                                 name.size > redis->prefix.size &&
                                 name.data[redis->prefix.size] == '{'
                             ? 1
                             : 0;
    const size_t from = redis->prefix.size + brace;

    return name.size >= from + strlen(MARK) && memcmp(name.data + from, MARK, strlen(MARK)) == 0;
}

/* In a cluster the canary's name must have a slot of the node. */
bool redis_canary_choose(struct redis *redis, struct redis_node *node)
{
    const uint8_t number = (uint8_t)(node - redis->nodes);

    if (redis->options.topology != REDIS_CLUSTER) {
        return true;
    }
    for (uint32_t tag = 0; node->canary_tag[0] == '\0' && tag < TAGS_MAX; tag++) {
        char text[sizeof(node->canary_tag)];
        (void)snprintf(text, sizeof(text), "%u", tag);
        if (redis->slots[redis_slot(slice_text(text))] == number) {
            memcpy(node->canary_tag, text, sizeof(text));
        }
    }
    return node->canary_tag[0] != '\0';
}

static void send_canary(struct redis *redis, struct redis_node *node)
{
    const bool is_cluster = redis->options.topology == REDIS_CLUSTER;
    struct redis_bytes bytes = {0};
    struct redis_name name;

    redis_canary_name(redis, node, &name);
    const struct redis_request head = {
        .kind = REDIS_REQUEST_CANARY,
        .script = REDIS_NO_SCRIPT,
        .slot = is_cluster ? redis_slot(slice_from(name.bytes, name.size)) : 0};
    redis_bytes_command(&bytes, 3);
    redis_bytes_text(&bytes, is_cluster ? "SPUBLISH" : "PUBLISH");
    redis_bytes_argument(&bytes, slice_from(name.bytes, name.size));
    redis_bytes_number(&bytes, ++node->canary_number);
    if (redis_request(redis, &head, &bytes) == BROKER_DONE) {
        node->canary_ms = redis->now_ms;
        node->canary_us = clock_now_ns() / 1000;
    }
}

void redis_canary_turn(struct redis *redis, struct redis_node *node, uint64_t *wake_ms)
{
    uint64_t at_ms = node->next_canary_ms;

    if (node->subscriber.state != REDIS_LINK_UP) {
        node->canary_ms = 0;
        return;
    }
    if (node->canary_ms != 0) {
        at_ms = node->canary_ms + redis->options.timeout_ms;
        if (redis->now_ms >= at_ms && redis->was_polled && node->subscriber.is_drained) {
            redis_link_end(&node->subscriber, "a message published to ourselves did not arrive",
                           redis->now_ms);
            node->canary_ms = 0;
            return;
        }
    } else if (redis->now_ms >= at_ms && node->canary.state == REDIS_SUBSCRIPTION_ON) {
        node->next_canary_ms = redis->now_ms + redis->options.canary_interval_ms;
        send_canary(redis, node);
        at_ms = node->next_canary_ms;
    }
    if (at_ms > redis->now_ms && at_ms < *wake_ms) {
        *wake_ms = at_ms;
    }
}

void redis_canary_came(struct redis *redis, struct redis_node *node, struct slice payload)
{
    uint64_t number;

    if (redis_number_read(payload, &number) && number == node->canary_number &&
        node->canary_ms != 0) {
        redis->round_trip_us = clock_now_ns() / 1000 - node->canary_us;
        node->canary_at_ms = redis->now_ms;
        node->canary_ms = 0;
    }
}
