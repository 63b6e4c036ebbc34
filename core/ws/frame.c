#include "ws/frame.h"
#include "ws/utf8.h"

#define BIT_FIN        0x80u
#define BITS_RESERVED  0x70u
#define BITS_OPCODE    0x0fu
#define BIT_MASKED     0x80u
#define BITS_LENGTH    0x7fu
#define OPCODE_CONTROL 0x8u /* this bit set: a control frame */

#define LENGTH_16 126u /* 16 bits of length follow */
#define LENGTH_64 127u /* 64 bits follow */

#define HEAD_SIZE 2u

/* reader->state: what outlives a frame. */
#define STATE_MESSAGE    0x03u /* 0: between messages, else WS_TEXT or WS_BINARY */
#define STATE_STARTED    0x04u /* a piece of this message was handed out */
#define STATE_COMPRESSED 0x08u
#define STATE_UTF8_SHIFT 4

static bool is_control(const struct ws_reader *reader)
{
    return (reader->head[0] & OPCODE_CONTROL) != 0;
}

static bool is_text(const struct ws_reader *reader)
{
    return (reader->state & STATE_MESSAGE) == WS_TEXT;
}

static unsigned length_end(uint8_t second)
{
    unsigned length = second & BITS_LENGTH;
    return HEAD_SIZE + (length == LENGTH_16 ? 2u : 0u) + (length == LENGTH_64 ? 8u : 0u);
}

static unsigned header_end(uint8_t second)
{
    return length_end(second) + ((second & BIT_MASKED) != 0 ? 4u : 0u);
}

static bool header_is_whole(const struct ws_reader *reader)
{
    return reader->header_size >= HEAD_SIZE && reader->header_size == header_end(reader->head[1]);
}

/* Reserved bits and opcodes (section 5.2), and the order of fragments (5.4, 5.5). */
static bool first_byte_is_valid(const struct ws_reader *reader, bool deflate, uint8_t byte)
{
    bool in_message = (reader->state & STATE_MESSAGE) != 0;
    unsigned reserved = byte & BITS_RESERVED;
    unsigned opcode = byte & BITS_OPCODE;

    /* RFC 7692, section 6.1: only a message's first frame may say that it is compressed. */
    if (reserved == WS_COMPRESSED && deflate && (opcode == WS_TEXT || opcode == WS_BINARY)) {
        reserved = 0;
    }
    if (reserved != 0) {
        return false;
    }
    switch (opcode) {
    case WS_CONTINUATION:
        return in_message;
    case WS_TEXT:
    case WS_BINARY:
        return !in_message;
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG:
        return (byte & BIT_FIN) != 0;
    default:
        return false;
    }
}

static bool second_byte_is_valid(const struct ws_reader *reader, enum ws_role role, uint8_t byte)
{
    bool is_masked = (byte & BIT_MASKED) != 0;

    if (is_masked != (role == WS_SERVER)) {
        return false;
    }
    return !is_control(reader) || (byte & BITS_LENGTH) <= WS_CONTROL_SIZE_MAX;
}

/* A byte of the extended length. The upper half of 64 bits must be zero: no message is that large.
 */
static uint16_t push_length_byte(struct ws_reader *reader, uint8_t byte)
{
    bool is_upper_half =
        (reader->head[1] & BITS_LENGTH) == LENGTH_64 && reader->header_size < HEAD_SIZE + 4;

    if (is_upper_half && reader->header_size == HEAD_SIZE && (byte & 0x80u) != 0) {
        return WS_CLOSE_PROTOCOL_ERROR;
    }
    if (is_upper_half && byte != 0) {
        return WS_CLOSE_TOO_BIG;
    }
    reader->payload_left = reader->payload_left << 8 | byte;
    return 0;
}

/* The length is known: minimal form (section 5.2), and the limit over all fragments. */
static uint16_t judge_length(struct ws_reader *reader, const struct ws_limits *limits)
{
    unsigned form = reader->head[1] & BITS_LENGTH;
    uint32_t size = reader->payload_left;
    bool is_first = (reader->head[0] & BITS_OPCODE) != WS_CONTINUATION;
    bool is_compressed =
        is_first ? (reader->head[0] & WS_COMPRESSED) != 0 : (reader->state & STATE_COMPRESSED) != 0;
    uint32_t message_size_max =
        is_compressed ? limits->deflated_size_max : limits->message_size_max;

    if ((form == LENGTH_16 && size < LENGTH_16) || (form == LENGTH_64 && size <= UINT16_MAX)) {
        return WS_CLOSE_PROTOCOL_ERROR;
    }
    if (is_control(reader)) {
        return 0;
    }
    if (reader->message_size > message_size_max || size > message_size_max - reader->message_size) {
        return WS_CLOSE_TOO_BIG;
    }
    reader->message_size += size;
    if (is_first) {
        reader->state =
            (uint8_t)((reader->head[0] & BITS_OPCODE) | (is_compressed ? STATE_COMPRESSED : 0));
    }
    return 0;
}

/* Takes one byte of the header. Returns 0 or the code to close with. */
static uint16_t push_header_byte(struct ws_reader *reader, const struct ws_limits *limits,
                                 uint8_t byte)
{
    unsigned at = reader->header_size;
    uint16_t error = 0;

    if (at == 0) {
        error = first_byte_is_valid(reader, limits->deflate, byte) ? 0 : WS_CLOSE_PROTOCOL_ERROR;
        reader->head[0] = byte;
    } else if (at == 1) {
        error = second_byte_is_valid(reader, limits->role, byte) ? 0 : WS_CLOSE_PROTOCOL_ERROR;
        reader->head[1] = byte;
        reader->payload_left = (byte & BITS_LENGTH) < LENGTH_16 ? byte & BITS_LENGTH : 0;
    } else if (at < length_end(reader->head[1])) {
        error = push_length_byte(reader, byte);
    } else {
        reader->mask[at - length_end(reader->head[1])] = byte;
    }
    reader->header_size++;
    if (error == 0 && at >= 1 && at + 1 == length_end(reader->head[1])) {
        error = judge_length(reader, limits);
    }
    return error;
}

/* 16 bytes that a vector register of every 64-bit machine holds. */
struct block {
    uint64_t __attribute__((vector_size(16))) bits;
};

/* XORs data with the masking key and turns the key, so that it fits the byte after data. */
static void apply_mask(uint8_t mask[4], uint8_t *data, size_t size)
{
    uint8_t turned[4];
    struct block key = {0};
    struct block block;
    size_t at = 0;

    for (size_t i = 0; i < sizeof(key); i += 4) {
        memcpy((uint8_t *)&key + i, mask, 4);
    }
    for (; size - at >= sizeof(block); at += sizeof(block)) {
        memcpy(&block, data + at, sizeof(block));
        block.bits ^= key.bits;
        memcpy(data + at, &block, sizeof(block));
    }
    for (; at < size; at++) {
        data[at] ^= mask[at % 4];
    }
    for (size_t i = 0; i < 4; i++) {
        turned[i] = mask[(size + i) % 4];
    }
    memcpy(mask, turned, 4);
}

/* False: this text can no longer be UTF-8, or ends inside a code point. */
static bool check_text(struct ws_reader *reader, const struct ws_piece *piece)
{
    uint32_t utf8 = utf8_advance(reader->state >> STATE_UTF8_SHIFT, piece->payload);

    reader->state =
        (uint8_t)((reader->state & (STATE_MESSAGE | STATE_STARTED)) | utf8 << STATE_UTF8_SHIFT);
    return utf8 != UTF8_REJECT && (utf8 == UTF8_ACCEPT || !piece->is_last);
}

/* Fills piece with what the input holds of the current frame's payload. */
static void take_piece(struct ws_reader *reader, uint8_t *input, size_t size,
                       struct ws_piece *piece)
{
    uint32_t before = reader->payload_left;
    size_t taken = size < before ? size : before;
    bool is_end = taken == before;

    if (taken > 0 && (reader->head[1] & BIT_MASKED) != 0) {
        apply_mask(reader->mask, input, taken);
    }
    reader->payload_left = before - (uint32_t)taken;
    piece->payload = slice_from(input, taken);
    if (is_control(reader)) {
        piece->opcode = (enum ws_opcode)(reader->head[0] & BITS_OPCODE);
        piece->is_first = before == (reader->head[1] & BITS_LENGTH);
        piece->is_last = is_end;
        piece->is_compressed = false; /* an empty fragment before it may have been */
    } else {
        piece->opcode = (enum ws_opcode)(reader->state & STATE_MESSAGE);
        piece->is_first = (reader->state & STATE_STARTED) == 0;
        piece->is_last = is_end && (reader->head[0] & BIT_FIN) != 0;
        piece->is_compressed = (reader->state & STATE_COMPRESSED) != 0;
    }
}

/* The piece is handed out: what the reader keeps for the next one. */
static void settle(struct ws_reader *reader, const struct ws_piece *piece)
{
    if (reader->payload_left == 0) {
        reader->header_size = 0;
    }
    if (is_control(reader)) {
        return;
    }
    if (piece->is_last) {
        reader->state = 0;
        reader->message_size = 0;
    } else if (piece->payload.size > 0) {
        reader->state |= STATE_STARTED;
    }
}

/* A zeroed reader is sound, whatever broke it. */
static enum ws_status fail(struct ws_reader *reader, struct ws_piece *piece, uint16_t close_code)
{
    *reader = (struct ws_reader){0};
    *piece = (struct ws_piece){.close_code = close_code};
    return WS_ERROR;
}

enum ws_status ws_read(struct ws_reader *reader, const struct ws_limits *limits, uint8_t *input,
                       size_t size, struct ws_piece *piece)
{
    size_t at = 0;

    *piece = (struct ws_piece){0};
    for (;;) {
        while (!header_is_whole(reader)) {
            if (at == size) {
                piece->consumed = at;
                return WS_MORE;
            }
            uint16_t error = push_header_byte(reader, limits, input[at++]);
            if (error != 0) {
                return fail(reader, piece, error);
            }
        }
        if (at == size && reader->payload_left > 0) {
            piece->consumed = at;
            return WS_MORE;
        }
        take_piece(reader, input + at, size - at, piece);
        at += piece->payload.size;
        piece->consumed = at;
        bool is_checked = !is_control(reader) && is_text(reader) && !piece->is_compressed;
        if (is_checked && !check_text(reader, piece)) {
            return fail(reader, piece, WS_CLOSE_INVALID_PAYLOAD);
        }
        settle(reader, piece);
        /* An empty fragment that ends nothing is no piece: go on to the next frame. */
        if (piece->payload.size > 0 || piece->is_last) {
            return WS_PIECE;
        }
    }
}

enum ws_status ws_read_close(struct slice payload, uint16_t *code)
{
    ASSERT(payload.size <= WS_CONTROL_SIZE_MAX);
    if (payload.size == 0) {
        *code = WS_CLOSE_NO_STATUS;
        return WS_PIECE;
    }
    if (payload.size == 1 || !ws_close_code_is_valid(load_be16(payload.data))) {
        *code = WS_CLOSE_PROTOCOL_ERROR;
        return WS_ERROR;
    }
    if (utf8_advance(UTF8_ACCEPT, slice_from(payload.data + 2, payload.size - 2)) != UTF8_ACCEPT) {
        *code = WS_CLOSE_INVALID_PAYLOAD;
        return WS_ERROR;
    }
    *code = load_be16(payload.data);
    return WS_PIECE;
}

size_t ws_write_header(enum ws_opcode opcode, uint64_t payload_size,
                       uint8_t out[WS_HEADER_SIZE_MAX])
{
    ASSERT(payload_size <= INT64_MAX);
    if (((unsigned)opcode & OPCODE_CONTROL) != 0) {
        ASSERT(payload_size <= WS_CONTROL_SIZE_MAX);
    }
    out[0] = (uint8_t)(BIT_FIN | opcode);
    if (payload_size < LENGTH_16) {
        out[1] = (uint8_t)payload_size;
        return HEAD_SIZE;
    }
    if (payload_size <= UINT16_MAX) {
        out[1] = LENGTH_16;
        store_be16(out + HEAD_SIZE, (uint16_t)payload_size);
        return HEAD_SIZE + 2;
    }
    out[1] = LENGTH_64;
    store_be64(out + HEAD_SIZE, payload_size);
    return HEAD_SIZE + 8;
}

size_t ws_write_masked_header(enum ws_opcode opcode, uint8_t *payload, uint64_t payload_size,
                              const uint8_t mask[4], uint8_t out[WS_HEADER_SIZE_MAX])
{
    size_t size = ws_write_header(opcode, payload_size, out);
    uint8_t key[4];

    out[1] |= BIT_MASKED;
    memcpy(out + size, mask, sizeof(key));
    memcpy(key, mask, sizeof(key));
    apply_mask(key, payload, payload_size);
    return size + sizeof(key);
}

void ws_reader_check(const struct ws_reader *reader)
{
    unsigned message = reader->state & STATE_MESSAGE;
    unsigned utf8 = reader->state >> STATE_UTF8_SHIFT;

    ASSERT(message <= WS_BINARY);
    if (reader->state & STATE_COMPRESSED) {
        ASSERT(utf8 == UTF8_ACCEPT); /* not checked here */
    }
    ASSERT(reader->header_size <= WS_HEADER_SIZE_MAX);
    if (reader->header_size >= HEAD_SIZE) {
        ASSERT(reader->header_size <= header_end(reader->head[1]));
    } else {
        ASSERT(reader->payload_left == 0);
    }
    if (message != WS_TEXT) {
        ASSERT(utf8 == UTF8_ACCEPT);
    }
    if (message == 0) {
        ASSERT(reader->state == 0);
        ASSERT(reader->message_size == 0);
    }
    ASSERT(utf8 != UTF8_REJECT);
}
