#include "server/outbound.h"

#include "pubsub/message.h"
#include "server/compression.h"
#include "server/deadlines.h"
#include "server/handshakes.h"
#include "server/inbound.h"
#include "server/shard.h"

/* What a message costs beside its bytes (the rest of a block, a node): else 256 KB of empty pongs
 * would take 8 MB. */
#define MESSAGE_COST 48

/* Connections that a tick sends to, at most, for each that it may queue publications for: more than
 * one, so that those who got something else go too. */
#define FLUSHES_A_FANOUT 2

/* When memory runs short, whoever has more than a record waiting is the cause of it. */
#define QUEUE_BYTES_SHORT TLS_DATA_SIZE_MAX

/* A send's block in the arena: this head, then the bytes. */
struct send {
    uint32_t size;        /* bytes after the head */
    uint32_t done;        /* bytes the kernel took */
    uint32_t queue_bytes; /* what the messages that end in it count in the queue */
    bool is_last;         /* ends with close_notify */
};
static_assert(sizeof(struct send) == 16, "keeps the bytes aligned");

static uint8_t *send_bytes(struct send *send)
{
    return (uint8_t *)(send + 1);
}

void outbound_mark(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);

    if (!(conn->flags & CONN_DIRTY)) {
        conn->flags |= CONN_DIRTY;
        queue_push(&shard->dirty, number);
    }
}

static bool takes_messages(const struct conn *conn)
{
    return !(conn->flags & CONN_FINISHING) &&
           (conn->state == CONN_UPGRADE || conn->state == CONN_OPEN || conn->state == CONN_CLOSING);
}

void outbound_abandon(struct shard *shard, uint32_t number, enum close_cause cause)
{
    if (conn_at(shard, number)->state == CONN_OPEN) {
        counter_add(&shard->counts.closed[cause], 1);
    }
    conn_kill(shard, number);
}

static void abandon_for_memory(struct shard *shard, uint32_t number)
{
    counter_add(&shard->counts.refused[REFUSED_MEMORY], 1);
    outbound_abandon(shard, number, CAUSE_INTERNAL);
}

static bool is_short_of_memory(const struct shard *shard)
{
    return shard->arena.used > shard->arena.size / 4 * 3 ||
           shard->nodes.count > shard->nodes.count_max / 4 * 3;
}

static bool is_slow(const struct shard *shard, const struct conn *conn, uint32_t cost)
{
    return cost > shard->server->options->limits.queue_bytes_max - conn->queue_bytes ||
           (conn->queue_bytes > QUEUE_BYTES_SHORT && is_short_of_memory(shard));
}

void outbound_queue(struct shard *shard, uint32_t number, uint32_t message)
{
    struct conn *conn = conn_at(shard, number);
    uint32_t cost = message_at(&shard->arena, message)->size + MESSAGE_COST;

    if (!takes_messages(conn)) {
        return;
    }
    if (is_slow(shard, conn, cost)) {
        outbound_abandon(shard, number, CAUSE_SLOW_CONSUMER);
        return;
    }
    uint32_t node_number = pool_take(&shard->nodes);
    if (node_number == NONE) {
        abandon_for_memory(shard, number);
        return;
    }
    struct queue_node *node = pool_at(&shard->nodes, node_number);
    *node = (struct queue_node){.message = message, .next = node_number};
    if (conn->queue_tail != NONE) {
        struct queue_node *tail = pool_at(&shard->nodes, conn->queue_tail);
        node->next = tail->next;
        tail->next = node_number;
    }
    conn->queue_tail = node_number;
    conn->queue_bytes += cost;
    message_hold(&shard->arena, message);
    outbound_mark(shard, number);
}

/* Takes the first node out of the queue. */
static void pop_node(struct shard *shard, struct conn *conn)
{
    const struct queue_node *tail = pool_at(&shard->nodes, conn->queue_tail);
    uint32_t first_number = tail->next;
    struct queue_node *first = pool_at(&shard->nodes, first_number);

    message_release(&shard->arena, first->message);
    if (first_number == conn->queue_tail) {
        conn->queue_tail = NONE;
    } else {
        struct queue_node *last = pool_at(&shard->nodes, conn->queue_tail);
        last->next = first->next;
    }
    pool_give(&shard->nodes, first_number);
}

void outbound_drop_queue(struct shard *shard, struct conn *conn)
{
    while (conn->queue_tail != NONE) {
        pop_node(shard, conn);
    }
    conn->queue_bytes = 0;
}

void outbound_bytes(struct shard *shard, uint32_t number, struct slice bytes)
{
    uint32_t message = message_new(&shard->arena, (uint32_t)bytes.size);

    if (message == NONE) {
        abandon_for_memory(shard, number);
        return;
    }
    memcpy(message_at(&shard->arena, message)->bytes, bytes.data, bytes.size);
    outbound_queue(shard, number, message);
    message_release(&shard->arena, message);
}

uint32_t outbound_encode(struct shard *shard, enum ws_opcode opcode, struct slice payload)
{
    uint8_t header[WS_HEADER_SIZE_MAX];
    size_t header_size = ws_write_header(opcode, payload.size, header);
    uint32_t number = message_new(&shard->arena, (uint32_t)(header_size + payload.size));

    if (number != NONE) {
        struct message *message = message_at(&shard->arena, number);
        memcpy(message->bytes, header, header_size);
        if (payload.size > 0) {
            memcpy(message->bytes + header_size, payload.data, payload.size);
        }
    }
    return number;
}

void outbound_frame(struct shard *shard, uint32_t number, enum ws_opcode opcode,
                    struct slice payload)
{
    uint32_t message = outbound_encode(shard, opcode, payload);

    if (message == NONE) {
        abandon_for_memory(shard, number);
        return;
    }
    bool is_data = opcode == WS_TEXT || opcode == WS_BINARY;
    if (is_data && conn_at(shard, number)->flags & CONN_DEFLATE) {
        uint32_t plain = message;
        message = compression_of(shard, plain);
        message_release(&shard->arena, plain);
    }
    outbound_queue(shard, number, message);
    message_release(&shard->arena, message);
}

void outbound_close(struct shard *shard, uint32_t number, enum ws_close_code code,
                    enum close_cause cause)
{
    struct conn *conn = conn_at(shard, number);
    uint8_t payload[2];

    ASSERT(code != WS_CLOSE_ABNORMAL);
    if (conn->state != CONN_OPEN) {
        return;
    }
    counter_add(&shard->counts.closed[cause], 1);
    conn->state = CONN_CLOSING;
    deadlines_close_sent(shard, number);
    store_be16(payload, (uint16_t)code);
    /* A close frame without a code is answered with one without (RFC 6455, section 5.5.1). */
    outbound_frame(shard, number, WS_CLOSE,
                   slice_from(payload, code == WS_CLOSE_NO_STATUS ? 0 : 2));
}

void outbound_finish(struct shard *shard, uint32_t number, bool lingers)
{
    struct conn *conn = conn_at(shard, number);

    if (conn->state == CONN_DEAD || conn->state == CONN_LINGER) {
        return;
    }
    conn->state = CONN_LINGER;
    conn->flags |= lingers ? CONN_FINISHING | CONN_LINGERS : CONN_FINISHING;
    deadlines_close_sent(shard, number);
    outbound_mark(shard, number);
}

/* Hands a filled block to the ring. */
static void submit(struct shard *shard, uint32_t number, uint32_t block)
{
    struct conn *conn = conn_at(shard, number);
    struct send *send = arena_at(&shard->arena, block);

    ASSERT(conn->send == NONE);
    ASSERT(!(conn->in_flight & CONN_SENDING));
    conn->send = block;
    conn->in_flight |= CONN_SENDING;
    counter_add(&shard->counts.bytes_sent, send->size);
    ring_send(shard->ring, number, conn->generation, send_bytes(send), send->size);
}

void outbound_flight(struct shard *shard, uint32_t number, struct slice bytes)
{
    uint32_t block = arena_take(&shard->arena, sizeof(struct send) + bytes.size);

    if (block == NONE) {
        abandon_for_memory(shard, number);
        return;
    }
    struct send *send = arena_at(&shard->arena, block);
    *send = (struct send){.size = (uint32_t)bytes.size};
    memcpy(send_bytes(send), bytes.data, bytes.size);
    submit(shard, number, block);
}

/* Moves out_size queued bytes to out; the messages that end with them now count as the send's. */
static void gather(struct shard *shard, struct conn *conn, struct send *send, uint8_t *out,
                   size_t out_size)
{
    size_t size = 0;

    while (size < out_size) {
        const struct queue_node *tail = pool_at(&shard->nodes, conn->queue_tail);
        struct queue_node *first = pool_at(&shard->nodes, tail->next);
        const struct message *message = message_at(&shard->arena, first->message);
        size_t left = message->size - first->offset;
        size_t part = left < out_size - size ? left : out_size - size;

        memcpy(out + size, message->bytes + first->offset, part);
        size += part;
        first->offset += (uint32_t)part;
        if (part == left) {
            send->queue_bytes += message->size + MESSAGE_COST;
            pop_node(shard, conn);
        }
    }
}

/* Seals all that is due into the block: a KeyUpdate, one record of data, the closing alert. False
 * when the keys are used up. */
static bool seal(struct shard *shard, struct conn *conn, struct send *send, size_t data_size)
{
    struct tls_state *tls = conn_tls(shard, conn);
    uint8_t *out = send_bytes(send);
    size_t size = 0;

    if (tls_update_due(tls)) {
        size += tls_seal_update(tls, out);
    }
    if (data_size > 0) {
        gather(shard, conn, send, out + size + tls_headroom(tls), data_size);
        size_t record_size = tls_seal(tls, out + size, data_size);
        if (record_size == 0) {
            return false;
        }
        size += record_size;
    }
    if (conn->flags & CONN_FINISHING && conn->queue_tail == NONE) {
        size += tls_seal_alert(tls, (uint8_t)conn->alert, out + size);
        send->is_last = true;
    }
    send->size = (uint32_t)size;
    return true;
}

/* The last byte is out: wait for the peer's FIN if it may still be sending, else end. */
static void last_byte_sent(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);

    if (conn->flags & CONN_LINGERS && !(conn->flags & CONN_STREAM_ENDED)) {
        deadlines_last_byte_sent(shard, number);
        inbound_wait(shard, number, false);
    } else {
        conn_kill(shard, number);
    }
}

/* Bytes to put into the next record: what waits, up to a full one. */
static uint32_t next_data_size(struct shard *shard, const struct conn *conn)
{
    uint32_t size = 0;

    if (conn->queue_tail == NONE) {
        return 0;
    }
    const struct queue_node *tail = pool_at(&shard->nodes, conn->queue_tail);
    const struct queue_node *node = tail;
    do {
        node = pool_at(&shard->nodes, node->next);
        size += message_at(&shard->arena, node->message)->size - node->offset;
    } while (node != tail && size < TLS_DATA_SIZE_MAX);
    return size < TLS_DATA_SIZE_MAX ? size : TLS_DATA_SIZE_MAX;
}

static void flush_conn(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);

    if (conn->state == CONN_DEAD || conn->in_flight & CONN_SENDING) {
        return; /* the send's completion marks it again */
    }
    if (conn->alert != 0) {
        outbound_drop_queue(shard, conn); /* a fatal alert is the last thing that is said */
    }
    uint32_t data_size = next_data_size(shard, conn);
    bool finishing = conn->flags & CONN_FINISHING;
    if (conn->tls == NONE) {
        if (finishing) {
            last_byte_sent(shard, number);
        }
        return;
    }
    if (data_size == 0 && !finishing && !tls_update_due(conn_tls(shard, conn))) {
        return;
    }
    uint32_t block =
        arena_take(&shard->arena, sizeof(struct send) + data_size + 3 * (size_t)TLS_OVERHEAD_MAX);
    if (block == NONE) {
        counter_add(&shard->counts.refused[REFUSED_MEMORY], 1);
        shard->starved = true;
        outbound_mark(shard, number);
        return;
    }
    struct send *send = arena_at(&shard->arena, block);
    *send = (struct send){0};
    if (!seal(shard, conn, send, data_size)) {
        arena_give(&shard->arena, block);
        outbound_abandon(shard, number, CAUSE_TLS);
        return;
    }
    if (send->size == 0) {
        arena_give(&shard->arena, block);
        last_byte_sent(shard, number); /* close_notify had gone out already */
        return;
    }
    submit(shard, number, block);
}

bool outbound_flush(struct shard *shard)
{
    /* What is marked from here on (no room in the arena) waits for the next tick. */
    uint32_t marked = queue_count(&shard->dirty);
    uint32_t count_max = FLUSHES_A_FANOUT * shard->server->budget->fanouts_per_tick_max;
    uint32_t count = marked < count_max ? marked : count_max;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = queue_pop(&shard->dirty);
        conn_at(shard, number)->flags &= (uint8_t)~CONN_DIRTY;
        flush_conn(shard, number);
    }
    return marked > count;
}

static void free_send(struct shard *shard, struct conn *conn)
{
    const struct send *send = arena_at(&shard->arena, conn->send);

    conn->queue_bytes -= send->queue_bytes;
    arena_give(&shard->arena, conn->send);
    conn->send = NONE;
}

void outbound_sent(struct shard *shard, const struct ring_event *event)
{
    uint32_t number = event->number;
    struct conn *conn = conn_at(shard, number);
    struct send *send = arena_at(&shard->arena, conn->send);

    if (event->result > 0) {
        send->done += (uint32_t)event->result;
    }
    if (conn->state != CONN_DEAD && event->result > 0 && send->done < send->size) {
        ring_send(shard->ring, number, conn->generation, send_bytes(send) + send->done,
                  send->size - send->done);
        return;
    }
    bool whole = send->done == send->size;
    bool is_last = send->is_last;
    free_send(shard, conn);
    conn_completed(shard, number, CONN_SENDING);
    if (conn->state == CONN_DEAD) {
        return;
    }
    if (!whole) {
        outbound_drop_queue(shard, conn); /* nothing more will get through */
        inbound_lost(shard, number);
        return;
    }
    if (is_last) {
        last_byte_sent(shard, number);
        return;
    }
    if (conn->queue_tail != NONE || conn->flags & CONN_FINISHING ||
        (conn->tls != NONE && tls_update_due(conn_tls(shard, conn)))) {
        outbound_mark(shard, number);
    }
    if (conn->state == CONN_HANDSHAKE) {
        handshakes_sent(shard, number);
    }
}

uint32_t outbound_check(struct shard *shard, const struct conn *conn)
{
    uint32_t count = 0;
    uint32_t bytes = 0;
    uint32_t number = conn->queue_tail;

    while (number != NONE) {
        ASSERT(pool_is_taken(&shard->nodes, number));
        const struct queue_node *node = pool_at(&shard->nodes, number);
        const struct message *message = message_at(&shard->arena, node->message);
        ASSERT(message->references > 0);
        ASSERT(node->offset < message->size);
        count++;
        bytes += message->size + MESSAGE_COST;
        number = node->next == conn->queue_tail ? NONE : node->next;
    }
    if (conn->send != NONE) {
        const struct send *send = arena_at(&shard->arena, conn->send);
        ASSERT(send->done < send->size);
        bytes += send->queue_bytes;
    }
    ASSERT(bytes == conn->queue_bytes);
    return count;
}
