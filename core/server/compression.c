#include "server/compression.h"

#include "pubsub/message.h"
#include "server/shard.h"
#include "ws/deflate.h"

/* A frame as we write them ourselves. */
struct frame {
    struct slice whole;
    struct slice payload;
};

static struct frame frame_at(struct slice bytes)
{
    unsigned form = bytes.data[1];
    size_t header_size = form == 126 ? 4 : form == 127 ? 10 : 2;
    uint64_t size = form == 126   ? load_be16(bytes.data + 2)
                    : form == 127 ? load_be64(bytes.data + 2)
                                  : form;

    ASSERT(bytes.data[0] == (0x80 | WS_TEXT) || bytes.data[0] == (0x80 | WS_BINARY));
    ASSERT(header_size + size <= bytes.size);
    return (struct frame){.whole = slice_from(bytes.data, header_size + size),
                          .payload = slice_from(bytes.data + header_size, size)};
}

static size_t append(uint8_t *out, struct slice bytes)
{
    memcpy(out, bytes.data, bytes.size);
    return bytes.size;
}

/* Appends the frame, compressed if it pays; returns the bytes. */
static size_t append_frame(struct shard *shard, const struct frame *frame, uint8_t *out)
{
    struct slice payload;

    if (frame->payload.size < shard->options->upgrade.deflate_size_min ||
        !deflate_encode(shard->deflater, frame->payload, &payload)) {
        return append(out, frame->whole);
    }
    enum ws_opcode opcode = (enum ws_opcode)(frame->whole.data[0] & 0x0f);
    size_t header_size = ws_write_header(opcode, payload.size, out);
    out[0] |= WS_COMPRESSED;
    counter_add(&shard->counts.frames_deflated, 1);
    return header_size + append(out + header_size, payload);
}

/* A message of the given size with the other's head. */
static uint32_t make_like(struct shard *shard, uint32_t other, uint32_t size)
{
    uint32_t number = message_new(&shard->arena, size);

    if (number != NONE) {
        struct message *made = message_at(&shard->arena, number);
        const struct message *like = message_at(&shard->arena, other);
        made->channel = like->channel;
        made->publications = like->publications;
        made->slow = like->slow;
        made->place = like->place;
    }
    return number;
}

/* Moves what was made in a block of the plain form's size to one that fits: it may wait for long.
 */
static uint32_t fit(struct shard *shard, uint32_t number, uint32_t size)
{
    struct message *message = message_at(&shard->arena, number);
    uint32_t fitting = make_like(shard, number, size);

    if (fitting == NONE) {
        message->size = size;
        return number;
    }
    memcpy(message_at(&shard->arena, fitting)->bytes, message->bytes, size);
    message_release(&shard->arena, number);
    return fitting;
}

uint32_t compression_of(struct shard *shard, uint32_t number)
{
    const struct message *plain = message_at(&shard->arena, number);
    uint32_t made = make_like(shard, number, plain->size);
    size_t at = 0;
    size_t size = 0;

    ASSERT(shard->deflater);
    if (made != NONE) {
        uint8_t *out = message_at(&shard->arena, made)->bytes;
        while (at < plain->size) {
            struct frame frame = frame_at(slice_from(plain->bytes + at, plain->size - at));
            size += append_frame(shard, &frame, out + size);
            at += frame.whole.size;
        }
        if (size < plain->size) {
            return fit(shard, made, (uint32_t)size);
        }
        message_release(&shard->arena, made);
    }
    message_hold(&shard->arena, number);
    return number;
}
