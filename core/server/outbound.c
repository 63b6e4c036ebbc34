#include "server/outbound.h"

#include "pubsub/message.h"
#include "server/compression.h"
#include "server/deadlines.h"
#include "server/handshakes.h"
#include "server/inbound.h"
#include "server/shard.h"
#include "server/waiting.h"

/* Connections that a tick sends to, at most, for each that it may queue publications for: more than
 * one, so that those who got something else go too. */
#define FLUSHES_A_FANOUT 2

/* The same when half of the arena is in use: sends that do not get on hold less of it. */
#define DATA_MAX_SHORT (4096u - 16 - 3 * TLS_OVERHEAD_MAX)

#define MOVED_MS    64
#define STALLED_MAX 16 /* of these: then its peer is taken for one that has stopped reading */

/* A send's block in the arena: this head, then the bytes. */
struct send {
    uint32_t size;        /* bytes after the head */
    uint32_t done;        /* bytes the kernel took */
    uint32_t queue_bytes; /* what the messages that end in it count in the queue */
    bool is_last;         /* ends with close_notify */
    bool was_asked_for;   /* it takes long: the kernel was asked what it holds */
    uint16_t moved;       /* when the kernel last took some of it, in MOVED_MS; wraps */
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

bool outbound_queue(struct shard *shard, uint32_t number, uint32_t message)
{
    struct conn *conn = conn_at(shard, number);

    if (!takes_messages(conn)) {
        return false;
    }
    switch (waiting_add(shard, conn, message)) {
    case WAITING_QUEUED:
        outbound_mark(shard, number);
        return true;
    case WAITING_DROPPED:
        outbound_mark(shard, number); /* older ones may wait, so that the kernel is asked */
        return false;
    case WAITING_SLOW:
        outbound_abandon(shard, number, CAUSE_SLOW_CONSUMER);
        return false;
    case WAITING_NO_MEMORY:
        abandon_for_memory(shard, number);
        return false;
    }
    ASSERT(false); /* no outcome */
    return false;
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
    conn_set_state(shard, conn, CONN_CLOSING);
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
    conn_set_state(shard, conn, CONN_LINGER);
    conn->flags |= lingers ? CONN_FINISHING | CONN_LINGERS : CONN_FINISHING;
    deadlines_close_sent(shard, number);
    outbound_mark(shard, number);
}

static uint16_t moved_now(const struct shard *shard)
{
    return (uint16_t)(shard->now_ms / MOVED_MS);
}

bool outbound_is_stalled(const struct shard *shard, const struct conn *conn)
{
    if (conn->send == NONE) {
        return false;
    }
    const struct send *send = arena_at(&shard->arena, conn->send);
    return (uint16_t)(moved_now(shard) - send->moved) >= STALLED_MAX;
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
    send->moved = moved_now(shard);
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

/* Without TLS the messages go as they are, and there is no closing alert. */
static void gather(struct shard *shard, struct conn *conn, struct send *send, size_t data_size)
{
    send->queue_bytes = waiting_take(shard, conn, send_bytes(send), data_size);
    send->size = (uint32_t)data_size;
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
        send->queue_bytes = waiting_take(shard, conn, out + size + tls_headroom(tls), data_size);
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

/* A send that takes longer than a tick, and more waits behind it: its peer does not read, or not as
 * fast. What the kernel holds for it counts as waiting, too. */
static void ask_kernel(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);
    struct send *send = arena_at(&shard->arena, conn->send);

    if (conn->queue_tail == NONE || send->was_asked_for || conn->in_flight & CONN_ASKING) {
        return;
    }
    send->was_asked_for = true;
    conn->in_flight |= CONN_ASKING;
    ring_unsent(shard->ring, number, conn->generation);
}

void outbound_asked(struct shard *shard, const struct ring_event *event)
{
    struct conn *conn = conn_at(shard, event->number);
    const struct send *send = conn->send != NONE ? arena_at(&shard->arena, conn->send) : NULL;

    conn_completed(shard, event->number, CONN_ASKING);
    if (conn->state == CONN_DEAD || !send || !send->was_asked_for) {
        return; /* the send in question has ended */
    }
    conn->kernel_bytes = event->result >= 0 ? (uint32_t)event->result : shard->send_size;
    waiting_count(shard, conn, conn->kernel_bytes);
    shard->kernel_bytes += conn->kernel_bytes;
}

static uint32_t data_max(const struct shard *shard)
{
    return shard->arena.used > shard->arena.size / 2 ? DATA_MAX_SHORT : OUTBOUND_DATA_MAX;
}

static void flush_conn(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);

    if (conn->state == CONN_DEAD) {
        return;
    }
    if (conn->in_flight & CONN_SENDING) {
        ask_kernel(shard, number);
        return; /* the send's completion marks it again */
    }
    if (conn->alert != 0) {
        waiting_drop(shard, conn); /* a fatal alert is the last thing that is said */
    }
    uint32_t data_size = waiting_size(shard, conn, data_max(shard));
    bool finishing = conn->flags & CONN_FINISHING;
    bool is_plain = conn->tls == NONE;
    if (is_plain && data_size == 0 && finishing) {
        last_byte_sent(shard, number);
        return;
    }
    if (data_size == 0 && !finishing && (is_plain || !tls_update_due(conn_tls(shard, conn)))) {
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
    if (is_plain) {
        gather(shard, conn, send, data_size);
    } else if (!seal(shard, conn, send, data_size)) {
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

    shard->kernel_bytes -= conn->kernel_bytes;
    waiting_uncount(shard, conn, send->queue_bytes + conn->kernel_bytes);
    conn->kernel_bytes = 0;
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
        send->moved = moved_now(shard);
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
        waiting_drop(shard, conn); /* nothing more will get through */
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
    uint32_t bytes = conn->kernel_bytes;
    uint32_t count = waiting_check(shard, conn, &bytes);

    if (conn->send != NONE) {
        const struct send *send = arena_at(&shard->arena, conn->send);
        ASSERT(send->done < send->size);
        bytes += send->queue_bytes;
    }
    ASSERT(bytes == conn->queue_bytes);
    return count;
}
