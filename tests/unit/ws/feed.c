#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char letter(enum ws_opcode opcode)
{
    switch (opcode) {
    case WS_TEXT:
        return 'T';
    case WS_BINARY:
        return 'B';
    case WS_CLOSE:
        return 'C';
    case WS_PING:
        return 'P';
    case WS_PONG:
        return 'O';
    case WS_CONTINUATION:
    default:
        fail_msg("a piece of opcode %d", (int)opcode);
        return '?';
    }
}

static size_t add_piece(const struct ws_piece *piece, char *text, size_t at)
{
    assert_true(!piece->is_compressed || piece->opcode < WS_CLOSE);
    assert_true(at + piece->payload.size + 4 < FEED_TEXT_MAX);
    assert_true(piece->payload.size > 0 || piece->is_last);
    if (piece->is_first) {
        text[at++] = (char)(letter(piece->opcode) + (piece->is_compressed ? 'a' - 'A' : 0));
        text[at++] = '[';
    }
    if (piece->payload.size > 0) {
        memcpy(text + at, piece->payload.data, piece->payload.size);
        at += piece->payload.size;
    }
    if (piece->is_last) {
        text[at++] = ']';
    }
    return at;
}

static size_t segment_end(size_t cut, size_t at, size_t size)
{
    size_t end = size;

    if (cut == FEED_BYTES) {
        end = at + 1;
    } else if (cut == FEED_RANDOM) {
        end = at + 1 + (at * 2654435761u >> 8) % 37;
    } else if (cut >= FEED_CUT_AT && at < cut - FEED_CUT_AT) {
        end = cut - FEED_CUT_AT;
    }
    return end < size ? end : size;
}

/* Reads one segment. Returns the close code, or 0. */
static uint16_t feed_segment(struct ws_reader *reader, const struct ws_limits *limits,
                             struct slice segment, char *text, size_t *text_size)
{
    uint8_t *bytes = malloc(segment.size);
    struct ws_piece piece = {0};
    enum ws_status status;
    size_t at = 0;

    assert_non_null(bytes);
    memcpy(bytes, segment.data, segment.size);
    while ((status = ws_read(reader, limits, bytes + at, segment.size - at, &piece)) == WS_PIECE) {
        ws_reader_check(reader);
        at += piece.consumed;
        assert_true(at <= segment.size);
        *text_size = add_piece(&piece, text, *text_size);
    }
    ws_reader_check(reader);
    if (status == WS_MORE) {
        assert_int_equal(at + piece.consumed, segment.size);
        assert_int_equal(piece.close_code, 0);
    }
    free(bytes);
    return piece.close_code;
}

uint16_t feed(const struct ws_limits *limits, struct slice input, size_t cut, char *text)
{
    struct ws_reader reader = {0};
    uint16_t close_code = 0;
    size_t text_size = 0;
    size_t at = 0;

    while (at < input.size && close_code == 0) {
        size_t end = segment_end(cut, at, input.size);
        struct slice segment = slice_from(input.data + at, end - at);
        close_code = feed_segment(&reader, limits, segment, text, &text_size);
        at = end;
    }
    text[text_size] = '\0';
    if (close_code != 0) {
        (void)snprintf(text + text_size, 8, " %u", close_code);
    }
    return close_code;
}

size_t feed_from_hex(const char *hex, uint8_t *out)
{
    size_t size = 0;

    for (; *hex != '\0'; hex++) {
        if (*hex != ' ') {
            const char digits[3] = {hex[0], hex[1], '\0'};
            out[size++] = (uint8_t)strtoul(digits, NULL, 16);
            hex++;
        }
    }
    return size;
}
