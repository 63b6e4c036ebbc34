#define ZLIB_CONST /* input is const */
#include "ws/deflate.h"

#include <stdlib.h>
#include <zlib.h>

/* With the small window a hash of 12 bits is enough: 8 KB to wipe for each message, not 64. */
#define MEMORY_LEVEL 5

/* A message may consist of several DEFLATE streams, each with a final block. Senders that flush so
 * have one or two; to start one costs more than the two bytes that it takes to ask for it. */
#define STREAMS_MAX 16

#define TAIL_SIZE 4

/* What the end of a flush looks like: stripped by who sends, put back by who receives. */
static const uint8_t tail[TAIL_SIZE] = {0x00, 0x00, 0xff, 0xff};

struct deflater {
    z_stream inflater;
    z_stream compressor;
    bool sealed; /* zlib has all the memory that it will get */
    uint32_t message_size_max;
    uint8_t *inflated;   /* message_size_max and 1 */
    uint8_t *compressed; /* message_size_max and TAIL_SIZE */
};

static void *take(void *context, unsigned count, unsigned size)
{
    const struct deflater *deflater = context;

    ASSERT(!deflater->sealed);
    return calloc(count, size);
}

static void give(void *context, void *block)
{
    (void)context;
    free(block);
}

/* --- in --------------------------------------------------------------------------------------- */

/* Inflates a part of the payload. *ended: it ended exactly with a stream's final block. */
static enum inflate_outcome inflate_part(struct deflater *deflater, struct slice part,
                                         uint32_t *streams, bool *ended)
{
    z_stream *stream = &deflater->inflater;

    *ended = false;
    stream->next_in = part.data;
    stream->avail_in = (uInt)part.size;
    while (stream->avail_in > 0) {
        int result = inflate(stream, Z_NO_FLUSH);

        ASSERT(result != Z_STREAM_ERROR);
        ASSERT(result != Z_MEM_ERROR);
        if (stream->avail_out == 0) {
            return INFLATE_TOO_BIG;
        }
        *ended = result == Z_STREAM_END;
        if (*ended) {
            *streams += 1;
            result = inflateReset(stream);
            ASSERT(result == Z_OK);
        }
        if (result != Z_OK || *streams > STREAMS_MAX) {
            return INFLATE_BAD;
        }
    }
    return INFLATE_GOOD;
}

/* Between two blocks, where the tail leads when nothing was cut off (zlib.h: 128 is set there). */
static bool is_at_boundary(const z_stream *stream)
{
    return (stream->data_type & 128) != 0;
}

enum inflate_outcome deflate_decode(struct deflater *deflater, struct slice payload,
                                    struct slice *message)
{
    z_stream *stream = &deflater->inflater;
    uint32_t streams = 0;
    bool ended;
    int result = inflateReset(stream);

    ASSERT(result == Z_OK);
    stream->next_out = deflater->inflated;
    stream->avail_out = deflater->message_size_max + 1;
    enum inflate_outcome outcome = inflate_part(deflater, payload, &streams, &ended);
    /* After a final block a byte 0x00 begins another (section 7.2.3.4), and it is all that an empty
     * message has (7.2.3.6). Some senders leave it out: then the tail fits nowhere. */
    if (outcome == INFLATE_GOOD && !ended && payload.size > 0) {
        outcome = inflate_part(deflater, slice_from(tail, TAIL_SIZE), &streams, &ended);
        if (outcome == INFLATE_GOOD && (ended || !is_at_boundary(stream))) {
            outcome = INFLATE_BAD;
        }
    }
    *message = slice_from(deflater->inflated, (size_t)(stream->next_out - deflater->inflated));
    return outcome;
}

/* --- out -------------------------------------------------------------------------------------- */

bool deflate_encode(struct deflater *deflater, struct slice message, struct slice *payload)
{
    z_stream *stream = &deflater->compressor;
    size_t room = (size_t)deflater->message_size_max + TAIL_SIZE;
    int result = deflateReset(stream);

    ASSERT(result == Z_OK);
    if (message.size == 0 || message.size > UINT32_MAX - TAIL_SIZE) {
        return false;
    }
    if (message.size + TAIL_SIZE < room) {
        room = message.size + TAIL_SIZE;
    }
    stream->next_in = message.data;
    stream->avail_in = (uInt)message.size;
    stream->next_out = deflater->compressed;
    stream->avail_out = (uInt)room;
    result = deflate(stream, Z_SYNC_FLUSH);
    ASSERT(result == Z_OK);
    if (stream->avail_out == 0) {
        return false; /* perhaps not all of it */
    }
    size_t size = room - stream->avail_out;
    ASSERT(size > TAIL_SIZE);
    ASSERT(memcmp(deflater->compressed + size - TAIL_SIZE, tail, TAIL_SIZE) == 0);
    *payload = slice_from(deflater->compressed, size - TAIL_SIZE);
    return true;
}

/* --- life ------------------------------------------------------------------------------------- */

size_t deflate_memory_size(uint32_t message_size_max)
{
    /* zconf.h's formulas, and the state itself. */
    const size_t compressor = (1u << (DEFLATE_WINDOW_BITS + 2)) + (1u << (MEMORY_LEVEL + 9)) + 6144;
    const size_t inflater = (1u << MAX_WBITS) + 10240;

    return compressor + inflater + sizeof(struct deflater) + 2 * (size_t)message_size_max + 64;
}

uint32_t deflate_wire_size_max(uint32_t message_size_max)
{
    /* 9 bits for a byte is the worst of the fixed code. */
    return message_size_max + message_size_max / 8 + 64;
}

/* The window is taken when something is inflated for the first time: now. */
static bool try_out(struct deflater *deflater)
{
    static const uint8_t sample[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    struct slice message;

    return deflate_decode(deflater, slice_from(sample, sizeof(sample)), &message) == INFLATE_GOOD;
}

struct deflater *deflate_open(int level, uint32_t message_size_max)
{
    struct deflater *deflater = calloc(1, sizeof(*deflater));

    ASSERT(level >= 1);
    ASSERT(level <= 9);
    ASSERT(message_size_max >= 5); /* the sample's */
    if (!deflater) {
        return NULL;
    }
    deflater->message_size_max = message_size_max;
    deflater->inflater = (z_stream){.zalloc = take, .zfree = give, .opaque = deflater};
    deflater->compressor = deflater->inflater;
    deflater->inflated = malloc((size_t)message_size_max + 1);
    deflater->compressed = malloc((size_t)message_size_max + TAIL_SIZE);
    /* Negative: without zlib's header. What clients send may use the largest window. */
    bool good = inflateInit2(&deflater->inflater, -MAX_WBITS) == Z_OK;
    good = deflateInit2(&deflater->compressor, level, Z_DEFLATED, -DEFLATE_WINDOW_BITS,
                        MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK &&
           good;
    if (!good || !deflater->inflated || !deflater->compressed || !try_out(deflater)) {
        deflate_close(deflater);
        return NULL;
    }
    deflater->sealed = true;
    return deflater;
}

void deflate_close(struct deflater *deflater)
{
    if (!deflater) {
        return;
    }
    (void)inflateEnd(&deflater->inflater);
    (void)deflateEnd(&deflater->compressor);
    free(deflater->inflated);
    free(deflater->compressed);
    free(deflater);
}
