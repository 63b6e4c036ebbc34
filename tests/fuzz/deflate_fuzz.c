/*
 * Compressed messages from anyone, in frames: each that is whole is inflated. What comes out is no
 * larger than allowed, does not depend on the message before, and what we compress ourselves comes
 * back as it was.
 *
 * Byte 0: the limit of a message (1 bit), masked or as the bytes of one message (1 bit); then the
 * input.
 */
#include "ws/deflate.h"
#include "ws/frame.h"

#include <stdlib.h>

static const uint32_t sizes_max[2] = {125, 70000};
static struct deflater *deflaters[2];

static void check_message(unsigned limit, struct slice payload)
{
    struct deflater *deflater = deflaters[limit];
    struct slice message;
    struct slice again;
    enum inflate_outcome outcome = deflate_decode(deflater, payload, &message);

    ASSERT(message.size <= sizes_max[limit] + 1);
    if (outcome != INFLATE_GOOD) {
        return;
    }
    ASSERT(message.size <= sizes_max[limit]);
    uint8_t *copy = malloc(message.size + 1);
    memcpy(copy, message.data, message.size);
    struct slice kept = slice_from(copy, message.size);
    /* As when a message that came compressed is published. */
    struct slice compressed;
    if (deflate_encode(deflater, message, &compressed)) {
        ASSERT(compressed.size < message.size);
        ASSERT(deflate_decode(deflater, compressed, &again) == INFLATE_GOOD);
        ASSERT(slice_equal(again, kept));
    }
    ASSERT(deflate_decode(deflater, payload, &again) == INFLATE_GOOD);
    ASSERT(slice_equal(again, kept));
    free(copy);
}

/* Gathers the pieces of compressed messages, as the server does. */
static void read_frames(unsigned limit, struct slice input)
{
    const struct ws_limits limits = {.role = WS_SERVER,
                                     .message_size_max = sizes_max[limit],
                                     .deflate = true,
                                     .deflated_size_max = deflate_wire_size_max(sizes_max[limit])};
    uint8_t *bytes = malloc(input.size + 1);
    uint8_t *gathered = malloc(input.size + 1);
    struct ws_reader reader = {0};
    struct ws_piece piece;
    size_t size = 0;
    size_t at = 0;

    memcpy(bytes, input.data, input.size);
    while (ws_read(&reader, &limits, bytes + at, input.size - at, &piece) == WS_PIECE) {
        at += piece.consumed;
        if (!piece.is_compressed) {
            continue;
        }
        size = piece.is_first ? 0 : size;
        if (piece.payload.size > 0) {
            memcpy(gathered + size, piece.payload.data, piece.payload.size);
        }
        size += piece.payload.size;
        ASSERT(size <= limits.deflated_size_max);
        if (piece.is_last) {
            uint8_t *message = malloc(size > 0 ? size : 1); /* exactly: a byte more is found */
            memcpy(message, gathered, size);
            check_message(limit, slice_from(message, size));
            free(message);
        }
    }
    free(bytes);
    free(gathered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!deflaters[0]) {
        deflaters[0] = deflate_open(1, sizes_max[0]);
        deflaters[1] = deflate_open(6, sizes_max[1]);
    }
    if (size < 1) {
        return 0;
    }
    unsigned limit = data[0] & 1;
    struct slice input = slice_from(data + 1, size - 1);
    if ((data[0] & 2) != 0) {
        check_message(limit, input);
    } else {
        read_frames(limit, input);
    }
    return 0;
}
