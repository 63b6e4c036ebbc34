/*
 * Frames from anyone, for both roles: whatever the bytes, cut as the first byte says they give what
 * they give at once, the reader stays sound, and every piece lies in the input.
 *
 * Byte 0: how the input is cut; byte 1: role (bit 0), message limit (3 bits), and whether messages
 * may be compressed (1 bit); then the input.
 */
#include "ws/frame.h"

#include <stdlib.h>

/* What came out of one run: opcode and brackets around payloads. */
struct run {
    uint8_t *text; /* room for 4 bytes a byte of input */
    size_t size;
    uint16_t close_code;
    uint8_t control[WS_CONTROL_SIZE_MAX];
    size_t control_size;
};

static void add(struct run *run, const void *bytes, size_t size)
{
    if (size > 0) {
        memcpy(run->text + run->size, bytes, size);
    }
    run->size += size;
}

/* Gathers a control frame, as a caller does. */
static void gather(struct run *run, const struct ws_piece *piece)
{
    if (piece->is_first) {
        run->control_size = 0;
    }
    ASSERT(piece->payload.size <= sizeof(run->control) - run->control_size);
    if (piece->payload.size > 0) {
        memcpy(run->control + run->control_size, piece->payload.data, piece->payload.size);
    }
    run->control_size += piece->payload.size;
    if (piece->is_last && piece->opcode == WS_CLOSE) {
        uint16_t code;
        enum ws_status status = ws_read_close(slice_from(run->control, run->control_size), &code);
        ASSERT(status != WS_MORE);
        if (status == WS_ERROR) {
            ASSERT(code == WS_CLOSE_PROTOCOL_ERROR || code == WS_CLOSE_INVALID_PAYLOAD);
        }
    }
}

static void take(struct run *run, const struct ws_piece *piece)
{
    const uint8_t opcode = (uint8_t)(piece->opcode | (piece->is_compressed ? WS_COMPRESSED : 0));

    ASSERT(piece->payload.size > 0 || piece->is_last);
    if (piece->is_first) {
        add(run, &opcode, 1);
    }
    add(run, piece->payload.data, piece->payload.size);
    if (piece->is_last) {
        add(run, "]", 1);
    }
    if (piece->opcode >= WS_CLOSE) {
        ASSERT(!piece->is_compressed);
        gather(run, piece);
    }
}

static void read_segment(struct run *run, struct ws_reader *reader, const struct ws_limits *limits,
                         struct slice segment)
{
    uint8_t *bytes = malloc(segment.size);
    struct ws_piece piece = {0};
    enum ws_status status;
    size_t at = 0;

    memcpy(bytes, segment.data, segment.size);
    while ((status = ws_read(reader, limits, bytes + at, segment.size - at, &piece)) == WS_PIECE) {
        ASSERT(piece.consumed <= segment.size - at);
        ASSERT(piece.payload.data >= bytes + at);
        at += piece.consumed;
        ASSERT(piece.payload.data + piece.payload.size == bytes + at);
        take(run, &piece);
        ws_reader_check(reader);
    }
    ws_reader_check(reader);
    if (status == WS_MORE) {
        ASSERT(at + piece.consumed == segment.size);
    }
    run->close_code = piece.close_code;
    free(bytes);
}

/* cut 0: whole; else segments of 1 to 16 bytes that vary with it. */
static void read_all(struct run *run, const struct ws_limits *limits, struct slice input,
                     uint8_t cut)
{
    struct ws_reader reader = {0};
    uint32_t step = cut;

    run->text = malloc(input.size * 4 + 1);
    for (size_t at = 0; at < input.size && run->close_code == 0;) {
        step = step * 5 + 3;
        size_t size = cut == 0 ? input.size : 1 + (step >> 4) % (1 + cut % 16u);
        size = size < input.size - at ? size : input.size - at;
        read_segment(run, &reader, limits, slice_from(input.data + at, size));
        at += size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t sizes_max[] = {0, 4, 125, 126, 65535, 65536, 1u << 20, UINT32_MAX};
    struct run whole = {0};
    struct run pieces = {0};

    if (size < 3) {
        return 0;
    }
    const struct ws_limits limits = {
        .role = (data[1] & 1) == 0 ? WS_SERVER : WS_CLIENT,
        .message_size_max = sizes_max[data[1] >> 1 & 7],
        .deflate = (data[1] & 16) != 0,
        .deflated_size_max = sizes_max[data[1] >> 2 & 7],
    };
    struct slice input = slice_from(data + 2, size - 2);
    read_all(&whole, &limits, input, 0);
    read_all(&pieces, &limits, input, data[0] == 0 ? 1 : data[0]);

    ASSERT(whole.close_code == pieces.close_code);
    ASSERT(whole.size <= pieces.size);
    ASSERT(memcmp(whole.text, pieces.text, whole.size) == 0);
    /* Text that breaks is handed out as far as it came, which depends on the cuts. */
    if (whole.close_code != WS_CLOSE_INVALID_PAYLOAD) {
        ASSERT(whole.size == pieces.size);
    }
    free(whole.text);
    free(pieces.text);
    return 0;
}
