#include "server/waiting.h"

#include "pubsub/message.h"
#include "server/shard.h"
#include "session/namespace.h"

/* What a message costs beside its bytes (the rest of a block, a node): else 256 KB of empty pongs
 * would take 8 MB. */
#define MESSAGE_COST 48

/* When memory runs short, whoever has more than a record waiting is the cause of it. */
#define QUEUE_BYTES_SHORT TLS_DATA_SIZE_MAX

static struct queue_node *node_at(const struct shard *shard, uint32_t number)
{
    return pool_at(&shard->nodes, number);
}

static uint32_t cost_of(const struct message *message)
{
    return message->size + MESSAGE_COST;
}

/* --- bytes ------------------------------------------------------------------------------------ */

void waiting_count(struct shard *shard, struct conn *conn, uint32_t bytes)
{
    ASSERT(bytes <= UINT32_MAX - conn->queue_bytes);
    conn->queue_bytes += bytes;
    shard->queue_bytes += bytes;
}

void waiting_uncount(struct shard *shard, struct conn *conn, uint32_t bytes)
{
    ASSERT(bytes <= conn->queue_bytes);
    ASSERT(bytes <= shard->queue_bytes);
    conn->queue_bytes -= bytes;
    shard->queue_bytes -= bytes;
}

static bool is_short_of_memory(const struct shard *shard)
{
    return shard->arena.used > shard->arena.size / 4 * 3 ||
           shard->nodes.count > shard->nodes.count_max / 4 * 3;
}

/*
 * Three quarters of what may wait in the shard are for whoever needs it. The last one is shared out
 * evenly: then those who keep up still get their messages, however many do not.
 */
static bool fits_in_shard(const struct shard *shard, uint64_t bytes, uint32_t cost)
{
    uint64_t quarter = shard->server->budget->queue_bytes_max / 4;

    return shard->queue_bytes + cost <= 3 * quarter || bytes <= quarter / shard->conns.count;
}

static bool fits(const struct shard *shard, const struct conn *conn, uint32_t cost)
{
    uint64_t bytes = (uint64_t)conn->queue_bytes + cost;

    if (conn->queue_bytes > QUEUE_BYTES_SHORT && is_short_of_memory(shard)) {
        return false;
    }
    return bytes <= shard->options->limits.queue_bytes_max && fits_in_shard(shard, bytes, cost);
}

/* --- the queue: a circle, whose last node leads to the first ---------------------------------- */

static void append(struct shard *shard, struct conn *conn, uint32_t number)
{
    struct queue_node *node = node_at(shard, number);

    node->next = number;
    if (conn->queue_tail != NONE) {
        struct queue_node *tail = node_at(shard, conn->queue_tail);
        node->next = tail->next;
        tail->next = number;
    }
    conn->queue_tail = number;
}

/* Takes the node behind previous out, and lets go of its message. */
static void drop_next(struct shard *shard, struct conn *conn, uint32_t previous)
{
    uint32_t number = node_at(shard, previous)->next;
    const struct queue_node *node = node_at(shard, number);

    message_release(&shard->arena, node->message);
    if (number == previous) {
        conn->queue_tail = NONE;
    } else {
        node_at(shard, previous)->next = node->next;
        conn->queue_tail = number == conn->queue_tail ? previous : conn->queue_tail;
    }
    pool_give(&shard->nodes, number);
}

void waiting_drop(struct shard *shard, struct conn *conn)
{
    ASSERT(conn->send == NONE);
    while (conn->queue_tail != NONE) {
        drop_next(shard, conn, conn->queue_tail);
    }
    waiting_uncount(shard, conn, conn->queue_bytes);
}

/* --- slow consumers --------------------------------------------------------------------------- */

static void count_dropped(struct shard *shard, const struct message *message,
                          enum slow_policy policy)
{
    counter_add(&shard->counts.dropped[policy], message->publications);
    counter_add(&shard->counts.namespaces[message->place].dropped, message->publications);
}

/* The connection ends: what it does not get, the new message with it, is counted. */
static void count_all_dropped(struct shard *shard, const struct conn *conn,
                              const struct message *message)
{
    uint32_t number = conn->queue_tail;

    count_dropped(shard, message, SLOW_CLOSE);
    while (number != NONE) {
        const struct queue_node *node = node_at(shard, number);
        count_dropped(shard, message_at(&shard->arena, node->message), SLOW_CLOSE);
        number = node->next == conn->queue_tail ? NONE : node->next;
    }
}

/* Messages of channels that allow it go, the oldest first, until there is room for cost. */
static void drop_oldest(struct shard *shard, struct conn *conn, uint32_t cost)
{
    uint32_t previous = conn->queue_tail;
    bool is_last = conn->queue_tail == NONE;

    while (!is_last && !fits(shard, conn, cost)) {
        uint32_t number = node_at(shard, previous)->next;
        const struct queue_node *node = node_at(shard, number);
        const struct message *message = message_at(&shard->arena, node->message);
        is_last = number == conn->queue_tail;
        if (message->slow == SLOW_DROP_OLDEST && node->offset == 0) {
            count_dropped(shard, message, SLOW_DROP_OLDEST);
            waiting_uncount(shard, conn, cost_of(message));
            drop_next(shard, conn, previous);
        } else {
            previous = number;
        }
    }
}

/* The node before the one whose message is of the same channel and has not begun to go; or NONE. */
static uint32_t before_same_channel(const struct shard *shard, const struct conn *conn,
                                    uint64_t channel)
{
    uint32_t previous = conn->queue_tail;
    bool is_last = conn->queue_tail == NONE;

    while (!is_last) {
        uint32_t number = node_at(shard, previous)->next;
        const struct queue_node *node = node_at(shard, number);
        if (message_at(&shard->arena, node->message)->channel == channel && node->offset == 0) {
            return previous;
        }
        is_last = number == conn->queue_tail;
        previous = number;
    }
    return NONE;
}

/* The new message takes the place of the one of its channel that waits. False when none does, or it
 * had to go because there is no room for the new one in its place. */
static bool replace(struct shard *shard, struct conn *conn, uint32_t number)
{
    const struct message *message = message_at(&shard->arena, number);
    uint32_t previous = before_same_channel(shard, conn, message->channel);

    if (previous == NONE) {
        return false;
    }
    struct queue_node *node = node_at(shard, node_at(shard, previous)->next);
    const struct message *older = message_at(&shard->arena, node->message);
    count_dropped(shard, older, SLOW_KEEP_LATEST);
    waiting_uncount(shard, conn, cost_of(older));
    if (!fits(shard, conn, cost_of(message))) {
        drop_next(shard, conn, previous);
        return false;
    }
    waiting_count(shard, conn, cost_of(message));
    message_hold(&shard->arena, number);
    message_release(&shard->arena, node->message);
    node->message = number;
    return true;
}

enum waiting_outcome waiting_add(struct shard *shard, struct conn *conn, uint32_t message_number)
{
    const struct message *message = message_at(&shard->arena, message_number);
    uint32_t cost = cost_of(message);

    if (message->slow == SLOW_KEEP_LATEST && replace(shard, conn, message_number)) {
        return WAITING_QUEUED;
    }
    drop_oldest(shard, conn, cost);
    if (!fits(shard, conn, cost)) {
        if (message->slow == SLOW_CLOSE) {
            count_all_dropped(shard, conn, message);
            return WAITING_SLOW;
        }
        count_dropped(shard, message, message->slow);
        return WAITING_DROPPED;
    }
    uint32_t number = pool_take(&shard->nodes);
    if (number == NONE) {
        return WAITING_NO_MEMORY;
    }
    *node_at(shard, number) = (struct queue_node){.message = message_number};
    append(shard, conn, number);
    waiting_count(shard, conn, cost);
    message_hold(&shard->arena, message_number);
    return WAITING_QUEUED;
}

/* --- what goes -------------------------------------------------------------------------------- */

uint32_t waiting_size(const struct shard *shard, const struct conn *conn, uint32_t size_max)
{
    uint32_t number = conn->queue_tail;
    uint32_t size = 0;

    if (number == NONE) {
        return 0;
    }
    do {
        number = node_at(shard, number)->next;
        const struct queue_node *node = node_at(shard, number);
        size += message_at(&shard->arena, node->message)->size - node->offset;
    } while (number != conn->queue_tail && size < size_max);
    return size < size_max ? size : size_max;
}

uint32_t waiting_take(struct shard *shard, struct conn *conn, uint8_t *out, size_t size)
{
    uint32_t ended = 0;

    while (size > 0) {
        struct queue_node *first = node_at(shard, node_at(shard, conn->queue_tail)->next);
        const struct message *message = message_at(&shard->arena, first->message);
        size_t left = message->size - first->offset;
        size_t part = left < size ? left : size;

        memcpy(out, message->bytes + first->offset, part);
        out += part;
        size -= part;
        first->offset += (uint32_t)part;
        if (part == left) {
            ended += cost_of(message);
            drop_next(shard, conn, conn->queue_tail);
        }
    }
    return ended;
}

uint32_t waiting_check(const struct shard *shard, const struct conn *conn, uint32_t *bytes)
{
    uint32_t count = 0;
    uint32_t number = conn->queue_tail;

    while (number != NONE) {
        ASSERT(pool_is_taken(&shard->nodes, number));
        const struct queue_node *node = node_at(shard, number);
        const struct message *message = message_at(&shard->arena, node->message);
        ASSERT(message->references > 0);
        ASSERT(node->offset < message->size);
        count++;
        *bytes += cost_of(message);
        number = node->next == conn->queue_tail ? NONE : node->next;
    }
    return count;
}
