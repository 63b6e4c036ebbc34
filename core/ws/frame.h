/*
 * frame.h - WebSocket frames (RFC 6455, section 5): bytes in, pieces of payload out, and back.
 *
 * Pure: no I/O, no allocation, no clock. The caller owns every buffer and keeps one struct
 * ws_reader per connection: 16 bytes of plain data, valid in whatever place the input is cut.
 * Payload is unmasked in place and handed out as borrowed slices of the input.
 */
#pragma once

#include "base/bytes.h"
#include "ws/close.h"

enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xa,
};

#define WS_HEADER_SIZE_MAX  14 /* 2, 8 of length, 4 of masking key */
#define WS_CONTROL_SIZE_MAX 125

/* Zeroed: at the start of a connection. Fields are frame.c's own. */
struct ws_reader {
    uint32_t payload_left; /* of the current frame */
    uint32_t message_size; /* what the headers of this message announced so far */
    uint8_t mask[4];       /* turned as payload is read: mask[0] fits the next byte */
    uint8_t header_size; /* bytes of the header read; kept to the payload's end, 0 between frames */
    uint8_t head[2];     /* the frame's first two bytes */
    uint8_t state;       /* opcode (2 bits) of the message, a piece was given (1), it is compressed
                            (1), UTF-8 (4) */
};
static_assert(sizeof(struct ws_reader) == 16, "one per connection");

enum ws_role {
    WS_SERVER, /* frames must be masked */
    WS_CLIENT, /* frames must not be masked */
};

struct ws_limits {
    enum ws_role role;
    uint32_t message_size_max; /* bytes; larger: 1009 */
    bool deflate; /* permessage-deflate was agreed on: RSV1 of a first frame says "compressed" */
    uint32_t deflated_size_max; /* then: bytes of a compressed message as it comes */
};

enum ws_status {
    WS_PIECE, /* part of a data message or of a control frame */
    WS_MORE,  /* all input was consumed */
    WS_ERROR, /* the peer broke the protocol: close with piece.close_code and read no more */
};

struct ws_piece {
    size_t consumed;       /* bytes of input taken by this call; also set with WS_MORE */
    enum ws_opcode opcode; /* of the message (never WS_CONTINUATION) or of the control frame */
    bool is_first;         /* first piece of its message or control frame */
    bool is_last;          /* last piece of its message or control frame (may be empty) */
    bool is_compressed;    /* to be inflated; then its text is to be checked, too */
    struct slice payload;  /* unmasked, in place */
    uint16_t close_code;
};

/* Reads the next piece from input, unmasking in place. A control frame may come in several pieces:
 * the caller gathers at most WS_CONTROL_SIZE_MAX bytes. Text is checked as UTF-8, piece by piece.
 * A frame's header is judged byte by byte as it comes: 1002, or 1009 before any payload that is
 * over the limit. An empty piece is given only where a message or control frame ends.
 * WS_ERROR leaves a zeroed reader. */
MUST_CHECK enum ws_status ws_read(struct ws_reader *reader, const struct ws_limits *limits,
                                  uint8_t *input, size_t size, struct ws_piece *piece);

/* Checks the gathered payload of a close frame. WS_PIECE: *code is the peer's (WS_CLOSE_NO_STATUS
 * when there is none). WS_ERROR: *code is the one to close with. */
MUST_CHECK enum ws_status ws_read_close(struct slice payload, uint16_t *code);

/* RSV1, for the first byte of a header: the message is compressed (RFC 7692, section 6). */
#define WS_COMPRESSED 0x40u

/* Writes an unmasked frame header (a server's); FIN set. Returns its size: 2, 4 or 10. */
MUST_CHECK size_t ws_write_header(enum ws_opcode opcode, uint64_t payload_size,
                                  uint8_t out[WS_HEADER_SIZE_MAX]);

/* Writes a masked frame header (a client's) and masks payload in place. */
MUST_CHECK size_t ws_write_masked_header(enum ws_opcode opcode, uint8_t *payload,
                                         uint64_t payload_size, const uint8_t mask[4],
                                         uint8_t out[WS_HEADER_SIZE_MAX]);

/* Asserts the reader's invariant. */
void ws_reader_check(const struct ws_reader *reader);
