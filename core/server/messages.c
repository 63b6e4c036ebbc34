#include "server/messages.h"

#include "server/inbound.h"
#include "server/outbound.h"
#include "server/relay.h"
#include "server/shard.h"
#include "ws/utf8.h"

/* Plain mode: a message goes to the channel that the options name, on every host. */
static void publish(struct shard *shard, uint32_t number, enum ws_opcode opcode,
                    struct slice payload)
{
    const struct options *options = shard->options;
    const char *channel = options->plain.publish_channel;

    counter_add(&shard->counts.messages_received, 1);
    if (!(conn_at(shard, number)->flags & CONN_MAY_PUBLISH)) {
        counter_add(&shard->counts.publications_refused, 1);
        outbound_close(shard, number, WS_CLOSE_POLICY_VIOLATION, CAUSE_POLICY);
        return;
    }
    if (channel && channel[0] == '\0') {
        outbound_frame(shard, number, opcode, payload);
        counter_add(&shard->counts.messages_sent, 1);
        return;
    }
    counter_add(&shard->counts.publications, 1);
    if (!relay_publish(shard, number, slice_text(channel ? channel : ""), opcode == WS_BINARY,
                       payload)) {
        counter_add(&shard->counts.publications_failed[BROKER_FULL], 1);
        outbound_close(shard, number, WS_CLOSE_TRY_AGAIN_LATER, CAUSE_FULL);
    }
}

/* A whole message, as it came. */
static void take_message(struct shard *shard, uint32_t number, const struct ws_piece *piece,
                         struct slice payload)
{
    struct slice message;

    if (!piece->is_compressed) {
        publish(shard, number, piece->opcode, payload);
        return;
    }
    counter_add(&shard->counts.messages_inflated, 1);
    switch (deflate_decode(shard->deflater, payload, &message)) {
    case INFLATE_BAD:
        outbound_close(shard, number, WS_CLOSE_INVALID_PAYLOAD, CAUSE_DEFLATE);
        return;
    case INFLATE_TOO_BIG:
        outbound_close(shard, number, WS_CLOSE_TOO_BIG, CAUSE_TOO_BIG);
        return;
    case INFLATE_GOOD:
        break;
    }
    if (piece->opcode == WS_TEXT && utf8_advance(UTF8_ACCEPT, message) != UTF8_ACCEPT) {
        outbound_close(shard, number, WS_CLOSE_INVALID_PAYLOAD, CAUSE_UTF8);
        return;
    }
    publish(shard, number, piece->opcode, message);
}

static enum close_cause cause_of(uint16_t code)
{
    switch (code) {
    case WS_CLOSE_INVALID_PAYLOAD:
        return CAUSE_UTF8;
    case WS_CLOSE_TOO_BIG:
        return CAUSE_TOO_BIG;
    default:
        return CAUSE_PROTOCOL;
    }
}

static void control_frame(struct shard *shard, uint32_t number, enum ws_opcode opcode,
                          struct slice payload)
{
    struct conn *conn = conn_at(shard, number);
    uint16_t code;

    if (opcode == WS_PING) {
        counter_add(&shard->counts.pings_received, 1);
        if (conn->state == CONN_OPEN) {
            outbound_frame(shard, number, WS_PONG, payload);
        }
        return;
    }
    if (opcode == WS_PONG) {
        counter_add(&shard->counts.pongs_received, 1); /* bytes came: that was noted already */
        return;
    }
    bool answered = conn->state == CONN_CLOSING; /* ours went first */
    if (ws_read_close(payload, &code) == WS_ERROR) {
        outbound_close(shard, number, code, cause_of(code));
    } else if (!answered) {
        outbound_close(shard, number, code, CAUSE_CLIENT);
    }
    /* Both close frames are on their way: nothing follows theirs, the server closes first (RFC
     * 6455, section 7.1.1). */
    outbound_finish(shard, number, false);
}

/* Keeps a piece of a control frame; acts when it is whole. */
static void control_piece(struct shard *shard, uint32_t number, const struct ws_piece *piece)
{
    struct conn *conn = conn_at(shard, number);

    if (piece->is_first && piece->is_last) {
        control_frame(shard, number, piece->opcode, piece->payload);
        return;
    }
    struct partial *partial = conn_partial(shard, conn);
    if (!partial) {
        outbound_abandon(shard, number, CAUSE_INTERNAL);
        return;
    }
    if (piece->is_first) {
        partial->control_size = 0;
    }
    ASSERT(piece->payload.size <= sizeof(partial->control) - partial->control_size);
    if (piece->payload.size > 0) {
        memcpy(partial->control + partial->control_size, piece->payload.data, piece->payload.size);
        partial->control_size = (uint8_t)(partial->control_size + piece->payload.size);
    }
    if (piece->is_last) {
        uint8_t control_size = partial->control_size;
        partial->control_size = 0;
        control_frame(shard, number, piece->opcode, slice_from(partial->control, control_size));
    }
}

/* Room for size bytes of a message in the partial's block, which grows by powers of two. */
static bool make_room(struct shard *shard, struct partial *partial, size_t size)
{
    if (partial->message != NONE && arena_block_size(&shard->arena, partial->message) >= size) {
        return true;
    }
    uint32_t block = inbound_block(shard, true, size > 0 ? size : 1);
    if (block == NONE) {
        return false;
    }
    if (partial->message != NONE) {
        memcpy(arena_at(&shard->arena, block), arena_at(&shard->arena, partial->message),
               partial->message_size);
        arena_give(&shard->arena, partial->message);
    }
    partial->message = block;
    return true;
}

static void data_piece(struct shard *shard, uint32_t number, const struct ws_piece *piece)
{
    struct conn *conn = conn_at(shard, number);

    if (conn->state != CONN_OPEN) {
        return; /* closing: only the close frame still matters (RFC 6455, section 1.4) */
    }
    if (piece->is_first && piece->is_last) {
        take_message(shard, number, piece, piece->payload);
        return;
    }
    struct partial *partial = conn_partial(shard, conn);
    if (!partial || !make_room(shard, partial, partial->message_size + piece->payload.size)) {
        outbound_close(shard, number, WS_CLOSE_TRY_AGAIN_LATER, CAUSE_FULL);
        return;
    }
    uint8_t *message = arena_at(&shard->arena, partial->message);
    if (piece->payload.size > 0) {
        memcpy(message + partial->message_size, piece->payload.data, piece->payload.size);
        partial->message_size += (uint32_t)piece->payload.size;
    }
    if (piece->is_last) {
        uint32_t block = partial->message;
        uint32_t message_size = partial->message_size;
        partial->message = NONE;
        partial->message_size = 0;
        take_message(shard, number, piece, slice_from(message, message_size));
        arena_give(&shard->arena, block);
    }
}

void messages_received(struct shard *shard, uint32_t number, uint8_t *bytes, size_t size)
{
    struct conn *conn = conn_at(shard, number);
    const struct ws_limits *limits =
        conn->flags & CONN_DEFLATE ? &shard->ws_limits_deflate : &shard->ws_limits;
    struct ws_piece piece;

    while (conn->state == CONN_OPEN || conn->state == CONN_CLOSING) {
        enum ws_status status = ws_read(&conn->reader, limits, bytes, size, &piece);
        if (status == WS_MORE) {
            return;
        }
        if (status == WS_ERROR) {
            /* What follows cannot be read any more: say why, then wait for the peer to leave. */
            outbound_close(shard, number, piece.close_code, cause_of(piece.close_code));
            outbound_finish(shard, number, true);
            return;
        }
        bytes += piece.consumed;
        size -= piece.consumed;
        if (piece.opcode == WS_TEXT || piece.opcode == WS_BINARY) {
            data_piece(shard, number, &piece);
        } else {
            control_piece(shard, number, &piece);
        }
    }
}
