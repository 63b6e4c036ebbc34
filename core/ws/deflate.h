/*
 * deflate.h - the payload of compressed messages (permessage-deflate, RFC 7692, section 7.2): whole
 * messages in, whole messages out, without context takeover either way.
 *
 * The only user of zlib. libdeflate would be faster, but it neither flushes without a final block,
 * as clients expect it, nor keeps to a window that a client asked for.
 *
 * One deflater serves all connections of a shard. All of its memory is taken when it is opened.
 */
#pragma once

#include "base/bytes.h"

/* Of what we send: 4 KB, which loses little with messages of that size and is what clients with
 * little memory ask for. Offers that ask for less are declined. */
#define DEFLATE_WINDOW_BITS 12

struct deflater;

/* level: 1 to 9. message_size_max: of a message when it is not compressed. NULL: no memory. */
MUST_CHECK struct deflater *deflate_open(int level, uint32_t message_size_max);
void deflate_close(struct deflater *deflater); /* NULL: no-op */

/* Bytes that one takes, give or take a few. */
MUST_CHECK size_t deflate_memory_size(uint32_t message_size_max);

/* Bytes on the wire that a message of this size may have: whoever compresses worse stores. */
MUST_CHECK uint32_t deflate_wire_size_max(uint32_t message_size_max);

enum inflate_outcome {
    INFLATE_GOOD,
    INFLATE_BAD,     /* not DEFLATE, cut off, or absurdly many streams in one message */
    INFLATE_TOO_BIG, /* over message_size_max; no more than that was written */
};

/* The message of a compressed payload; good until the next call. */
MUST_CHECK enum inflate_outcome deflate_decode(struct deflater *deflater, struct slice payload,
                                               struct slice *message);

/* The compressed payload of a message; good until the next call. The message may be one that was
 * decoded. False: it would not get smaller. */
MUST_CHECK bool deflate_encode(struct deflater *deflater, struct slice message,
                               struct slice *payload);
