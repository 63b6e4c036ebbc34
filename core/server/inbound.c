#include "server/inbound.h"

#include "server/deadlines.h"
#include "server/handshakes.h"
#include "server/messages.h"
#include "server/opening.h"
#include "server/outbound.h"
#include "server/shard.h"
#include "server/upgrades.h"
#include "tls/alert.h"

#include <errno.h>

#define BUFFERS_SHORT_TICKS 2 /* this tick and the next, whose events were under way by then */

uint32_t inbound_block(struct shard *shard, bool is_open, size_t size)
{
    const struct arena *arena = &shard->arena;
    size_t used_max = is_open ? arena->size / 4 * 3 : arena->size / 2;
    uint32_t block = arena->used + size > used_max ? NONE : arena_take(&shard->arena, size);

    if (block == NONE) {
        counter_add(&shard->counts.refused[REFUSED_MEMORY], 1);
    }
    return block;
}

void inbound_wait(struct shard *shard, uint32_t number, bool more)
{
    struct conn *conn = conn_at(shard, number);

    if (conn->state == CONN_DEAD || conn->flags & CONN_STREAM_ENDED ||
        conn->in_flight & (CONN_POLLING | CONN_RECEIVING | CONN_STEPPING)) {
        return;
    }
    if (more) {
        conn->in_flight |= CONN_RECEIVING;
        ring_receive(shard->ring, number, conn->generation);
    } else {
        conn->in_flight |= CONN_POLLING;
        ring_poll(shard->ring, number, conn->generation);
    }
}

void inbound_lost(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);

    conn->flags |= CONN_STREAM_ENDED;
    switch ((enum conn_state)conn->state) {
    case CONN_HANDSHAKE:
        handshakes_lost(shard, number, HANDSHAKE_OUTCOME_RESET);
        conn_kill(shard, number);
        return;
    case CONN_OPEN:
        counter_add(&shard->counts.closed[CAUSE_RESET], 1);
        break;
    case CONN_UPGRADE:
        if (conn->tls == NONE && opening_of(shard, conn)->input == NONE) {
            handshakes_lost(shard, number, HANDSHAKE_OUTCOME_SILENT);
        }
        break;
    case CONN_ACCEPTED:
    case CONN_CLOSING:
    case CONN_LINGER:
        break;
    case CONN_DEAD:
        return;
    case CONN_FREE:
        ASSERT(false); /* an event of a free connection */
    }
    if (conn->queue_tail == NONE && conn->send == NONE) {
        conn_kill(shard, number);
    } else {
        outbound_finish(shard, number, false); /* a half-closed peer still gets its answers */
    }
}

void inbound_polled(struct shard *shard, const struct ring_event *event)
{
    conn_completed(shard, event->number, CONN_POLLING);
    if (conn_at(shard, event->number)->state == CONN_DEAD) {
        return;
    }
    if (event->result < 0) {
        inbound_lost(shard, event->number);
        return;
    }
    /* Whatever the mask says, the receive tells: bytes, end of stream or error, in that order. */
    inbound_wait(shard, event->number, true);
}

/* The peer broke the record protocol, or its own close came. */
static void records_ended(struct shard *shard, uint32_t number, enum tls_status status,
                          uint8_t alert)
{
    struct conn *conn = conn_at(shard, number);

    if (conn->state == CONN_OPEN) {
        counter_add(&shard->counts.closed[status == TLS_ERROR ? CAUSE_TLS : CAUSE_RESET], 1);
    }
    if (status == TLS_CLOSED) {
        conn->flags |= CONN_STREAM_ENDED;
        outbound_finish(shard, number, false);
        return;
    }
    conn->alert = alert;
    outbound_finish(shard, number, true);
}

/* Keeps the start of an incomplete record, in a block that has room for all of it. */
static void keep_record(struct shard *shard, uint32_t number, const uint8_t *bytes, size_t size,
                        size_t wanted)
{
    struct conn *conn = conn_at(shard, number);
    struct partial *partial = conn_partial(shard, conn);
    bool is_open = conn->state != CONN_UPGRADE;
    uint32_t block = partial ? inbound_block(shard, is_open, wanted > size ? wanted : size) : NONE;

    if (block == NONE) {
        outbound_abandon(shard, number, CAUSE_INTERNAL);
        return;
    }
    memcpy(arena_at(&shard->arena, block), bytes, size);
    partial->record = block;
    partial->record_size = (uint32_t)size;
}

static bool reads_records(const struct conn *conn)
{
    return conn->state == CONN_UPGRADE || conn->state == CONN_OPEN || conn->state == CONN_CLOSING;
}

/* What the peer has said, without TLS around it. */
static void take_data(struct shard *shard, uint32_t number, uint8_t *data, size_t size)
{
    if (conn_at(shard, number)->state == CONN_UPGRADE) {
        upgrades_received(shard, number, data, size);
    } else {
        messages_received(shard, number, data, size);
    }
}

/* Opens all whole records of bytes; what is left is kept. */
static void open_records(struct shard *shard, uint32_t number, uint8_t *bytes, size_t size)
{
    struct conn *conn = conn_at(shard, number);
    struct tls_record record;

    while (size > 0 && reads_records(conn)) {
        enum tls_status status = tls_open(conn_tls(shard, conn), bytes, size, &record);
        if (status == TLS_MORE) {
            keep_record(shard, number, bytes, size, record.wanted);
            return;
        }
        if (status != TLS_DATA) {
            records_ended(shard, number, status, record.alert);
            return;
        }
        bytes += record.consumed;
        size -= record.consumed;
        if (tls_update_due(conn_tls(shard, conn))) {
            outbound_mark(shard, number);
        }
        if (record.data.size == 0) {
            continue;
        }
        size_t offset = (size_t)(bytes - record.data.data);
        take_data(shard, number, bytes - offset, record.data.size);
    }
}

/*
 * Completes the kept record from bytes; returns how many of them it took. The kept block has room
 * for the whole record once its header is known; before, it holds less than a header.
 */
static size_t complete_record(struct shard *shard, uint32_t number, const uint8_t *bytes,
                              size_t size)
{
    struct conn *conn = conn_at(shard, number);
    struct partial *partial = pool_at(&shard->partials, conn->partial);
    uint32_t block = partial->record;
    size_t room = arena_block_size(&shard->arena, block) - partial->record_size;
    size_t part = size < room ? size : room;
    uint8_t *kept = arena_at(&shard->arena, block);

    memcpy(kept + partial->record_size, bytes, part);
    size_t kept_size = partial->record_size + part;
    partial->record = NONE;
    partial->record_size = 0;
    open_records(shard, number, kept, kept_size);
    arena_give(&shard->arena, block);
    return part;
}

/* A connection without anything incomplete needs no partial: an idle one is 64 bytes. */
static void drop_empty_partial(struct shard *shard, struct conn *conn)
{
    if (conn->partial == NONE) {
        return;
    }
    const struct partial *partial = pool_at(&shard->partials, conn->partial);
    if (partial->record == NONE && partial->message == NONE && partial->control_size == 0) {
        pool_give(&shard->partials, conn->partial);
        conn->partial = NONE;
    }
}

static void take_records(struct shard *shard, uint32_t number, uint8_t *bytes, size_t size)
{
    struct conn *conn = conn_at(shard, number);

    while (size > 0 && reads_records(conn)) {
        const struct partial *partial =
            conn->partial == NONE ? NULL : pool_at(&shard->partials, conn->partial);
        if (partial && partial->record != NONE) {
            size_t taken = complete_record(shard, number, bytes, size);
            bytes += taken;
            size -= taken;
        } else {
            open_records(shard, number, bytes, size);
            size = 0;
        }
    }
}

void inbound_bytes(struct shard *shard, uint32_t number, uint8_t *bytes, size_t size)
{
    struct conn *conn = conn_at(shard, number);

    if (conn->tls != NONE) {
        take_records(shard, number, bytes, size);
    } else {
        take_data(shard, number, bytes, size);
    }
    if (conn->state != CONN_DEAD) {
        drop_empty_partial(shard, conn);
    }
}

static void received_bytes(struct shard *shard, uint32_t number, uint8_t *bytes, size_t size)
{
    struct conn *conn = conn_at(shard, number);

    counter_add(&shard->counts.bytes_received, size);
    switch ((enum conn_state)conn->state) {
    case CONN_HANDSHAKE:
        handshakes_received(shard, number, slice_from(bytes, size));
        return;
    case CONN_UPGRADE:
    case CONN_OPEN:
    case CONN_CLOSING:
        deadlines_heard(shard, number);
        inbound_bytes(shard, number, bytes, size);
        return;
    case CONN_LINGER:
    case CONN_DEAD:
        return;
    case CONN_ACCEPTED:
    case CONN_FREE:
        break;
    }
    ASSERT(false); /* bytes of a connection that does not read */
}

/*
 * When buffers run short, whoever found none asks again at once, and whoever had one waits by a
 * poll first, more or not: else those with much to say would take every buffer, and the others'
 * pongs would go unheard.
 */
void inbound_received(struct shard *shard, const struct ring_event *event)
{
    uint32_t number = event->number;

    conn_completed(shard, number, CONN_RECEIVING);
    if (event->result > 0) {
        received_bytes(shard, number, ring_buffer_at(shard->ring, event->buffer),
                       (size_t)event->result);
        ring_buffer_give(shard->ring, event->buffer);
    } else if (event->result == -ENOBUFS) {
        counter_add(&shard->counts.receive_no_buffer, 1);
        shard->buffers_short = BUFFERS_SHORT_TICKS;
        inbound_wait(shard, number, true);
        return;
    } else if (event->result != -EAGAIN && event->result != -EINTR) {
        if (conn_at(shard, number)->state != CONN_DEAD) {
            inbound_lost(shard, number);
        }
        return;
    }
    inbound_wait(shard, number, event->nonempty && shard->buffers_short == 0);
}
