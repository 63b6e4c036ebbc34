/*
 * Goal: every frame that RFC 6455 allows is read, every one that it forbids ends in the right close
 * code, and neither depends on where the input is cut: each input is fed whole, byte by byte, and
 * cut at each place.
 */
#include "feed.h"
#include "ws/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char expected[FEED_TEXT_MAX];
static char actual[FEED_TEXT_MAX];

/* The key 00000000 leaves payloads readable; masks have their own test. */
struct frame_case {
    const char *name;
    const char *input;
    const char *output;
};

#define M "00000000"

static const struct frame_case good[] = {
    {"nothing", "", ""},
    {"empty text", "81 80" M, "T[]"},
    {"empty binary", "82 80" M, "B[]"},
    {"text", "81 85" M "68656c6c6f", "T[hello]"},
    {"two frames", "81 81" M "61 82 81" M "62", "T[a]B[b]"},
    {"empty ping", "89 80" M, "P[]"},
    {"pong nobody asked for, empty", "8a 80" M, "O[]"},
    {"pong nobody asked for", "8a 83" M "616263 81 81" M "61", "O[abc]T[a]"},
    {"close without a code", "88 80" M, "C[]"},
    {"close with a code", "88 82" M "4142", "C[AB]"},
    {"fragments", "01 82" M "6162 00 81" M "63 80 81" M "64", "T[abcd]"},
    {"binary fragments", "02 81" M "ff 80 81" M "fe", "B[\xff\xfe]"},
    {"empty fragments", "01 80" M "00 80" M "80 80" M, "T[]"},
    {"an empty first one", "01 80" M "80 81" M "61", "T[a]"},
    {"an empty last one", "02 81" M "61 80 80" M, "B[a]"},
    {"an empty one between", "01 81" M "61 00 80" M "80 81" M "62", "T[ab]"},
    {"a ping between fragments", "01 81" M "61 89 81" M "78 80 81" M "62", "T[aP[x]b]"},
    {"a ping after an empty first", "01 80" M "89 80" M "80 81" M "62", "P[]T[b]"},
    {"all three between", "02 81" M "61 89 80" M "8a 81" M "79 88 80" M "80 80" M,
     "B[aP[]O[y]C[]]"},
    {"one message after another", "01 81" M "61 80 80" M "02 81" M "62 80 81" M "63 81 80" M,
     "T[a]B[bc]T[]"},
    {"a code point over fragments with pings",
     "01 81" M "c3 89 80" M "00 81" M "a9 89 80" M "00 81" M "f0 89 80" M "00 81" M "9f 89 80" M
     "00 81" M "98 89 80" M "80 81" M "80",
     "T[\xc3P[]\xa9P[]\xf0P[]\x9fP[]\x98P[]\x80]"},
    {"binary is not text", "82 89" M "c0aff5eda080f49080",
     "B[\xc0\xaf\xf5\xed\xa0\x80\xf4\x90\x80]"},
    {"a part of a header", "81", ""},
    {"no payload yet", "81 85" M, ""},
    {"a part of a payload", "81 85" M "6865", "T[he"},
    {"a part of a ping", "89 83" M "61", "P[a"},
    {"half a code point so far", "01 82" M "61c3", "T[a\xc3"},
};

static const struct frame_case bad[] = {
    {"first reserved bit", "c1", " 1002"},
    {"second reserved bit", "a1", " 1002"},
    {"third reserved bit", "91", " 1002"},
    {"reserved bit of a control frame", "c9", " 1002"},
    {"reserved bit of a continuation", "01 81" M "61 40", "T[a 1002"},
    {"unknown data opcode", "83", " 1002"},
    {"unknown control opcode", "8b", " 1002"},
    {"no mask", "81 05", " 1002"},
    {"no mask, empty", "81 00", " 1002"},
    {"ping without FIN", "09", " 1002"},
    {"pong without FIN", "0a", " 1002"},
    {"close without FIN", "08", " 1002"},
    {"ping of 126", "89 fe", " 1002"},
    {"ping of 64-bit length", "89 ff", " 1002"},
    {"close of 126", "88 fe", " 1002"},
    {"continuation of nothing", "80", " 1002"},
    {"continuation after a whole message", "81 81" M "61 80", "T[a] 1002"},
    {"continuation after a ping only", "89 80" M "00", "P[] 1002"},
    {"text in a message", "01 81" M "61 81", "T[a 1002"},
    {"binary in a message", "01 81" M "61 02", "T[a 1002"},
    {"text in a message of nothing", "01 80" M "81", " 1002"},
    {"length 125 in 16 bits", "81 fe 007d", " 1002"},
    {"length 0 in 16 bits", "81 fe 0000", " 1002"},
    {"length 65535 in 64 bits", "82 ff 000000000000ffff", " 1002"},
    {"length 0 in 64 bits", "82 ff 0000000000000000", " 1002"},
    {"top bit of the length", "82 ff 80", " 1002"},
    {"every bit of the length", "82 ff ffffffffffffffff", " 1002"},
    {"the largest length", "82 ff 7f", " 1009"},
    {"a length of 33 bits", "82 ff 00000001", " 1009"},
    {"c0", "81 82" M "c0", " 1007"},
    {"a surrogate", "81 82" M "eda0", " 1007"},
    {"over 10ffff", "81 82" M "f490", " 1007"},
    {"f5", "81 81" M "f5", " 1007"},
    {"ends inside a code point", "81 82" M "e282", " 1007"},
    {"last fragment ends inside one", "01 81" M "e2 80 81" M "82", "T[\xe2 1007"},
    {"last fragment empty, inside one", "01 82" M "e282 80 80" M, "T[\xe2\x82 1007"},
    {"broken in the second fragment", "01 81" M "e2 00 81" M "28", "T[\xe2 1007"},
    {"broken after a ping", "01 81" M "e2 89 81" M "78 80 81" M "28", "T[\xe2P[x] 1007"},
    {"state of the last message", "81 81" M "61 82 81" M "e2 81 81" M "82", "T[a]B[\xe2] 1007"},
};

static const struct ws_limits server = {.role = WS_SERVER, .message_size_max = 1u << 20};
static const struct ws_limits client = {.role = WS_CLIENT, .message_size_max = 1u << 20};

/*
 * All ways of cutting give what the whole input gave. With 1007 a cut may hand out more of the
 * message before it fails, never less and nothing else.
 */
static void check_cuts(const char *name, const struct ws_limits *limits, struct slice input)
{
    uint16_t code = feed(limits, input, FEED_WHOLE, expected);
    size_t common = strlen(expected) - (code == 0 ? 0 : 5);

    for (size_t cut = FEED_BYTES; cut <= FEED_CUT_AT + input.size; cut++) {
        uint16_t cut_code = feed(limits, input, cut, actual);
        bool is_same = code == WS_CLOSE_INVALID_PAYLOAD
                           ? cut_code == code && memcmp(actual, expected, common) == 0
                           : strcmp(actual, expected) == 0;
        if (!is_same) {
            fail_msg("%s, cut %zu: %s instead of %s", name, cut, actual, expected);
        }
    }
}

static void check_case(const struct frame_case *item)
{
    uint8_t input[256];
    size_t size = feed_from_hex(item->input, input);

    (void)feed(&server, slice_from(input, size), FEED_WHOLE, actual);
    if (strcmp(actual, item->output) != 0) {
        fail_msg("%s: %s instead of %s", item->name, actual, item->output);
    }
    check_cuts(item->name, &server, slice_from(input, size));
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        check_case(&good[i]);
    }
}

/* Each fails at its last byte, not before and not after. */
static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t input[256];
        size_t size = feed_from_hex(bad[i].input, input);
        check_case(&bad[i]);
        if (strcmp(bad[i].name, "every bit of the length") != 0) {
            assert_int_equal(feed(&server, slice_from(input, size - 1), FEED_WHOLE, actual), 0);
        }
    }
}

/* The first two bytes of a frame: all of them, for both roles, inside and outside of a message. */
static bool is_legal(unsigned first, unsigned second, enum ws_role role, bool in_message)
{
    unsigned opcode = first & 15;
    bool is_control = opcode >= 8;
    bool is_known = opcode <= 2 || (opcode >= 8 && opcode <= 10);
    bool is_expected = is_control || (opcode == 0) == in_message;
    bool is_plain = (first & 0x70) == 0;
    bool fits = !is_control || ((first & 0x80) != 0 && (second & 0x7f) <= 125);

    return is_known && is_expected && is_plain && fits && (second >= 128) == (role == WS_SERVER);
}

static void check_head(unsigned first, unsigned second, enum ws_role role, bool in_message)
{
    const struct ws_limits limits = {.role = role, .message_size_max = UINT32_MAX};
    const uint8_t mask = role == WS_SERVER ? 0x80 : 0;
    uint8_t input[16] = {0x01, mask};
    size_t size = 0;

    if (in_message) {
        size = role == WS_SERVER ? 6 : 2;
    }
    input[size++] = (uint8_t)first;
    input[size++] = (uint8_t)second;
    uint16_t code = feed(&limits, slice_from(input, size), FEED_WHOLE, actual);
    if (code != (is_legal(first, second, role, in_message) ? 0 : WS_CLOSE_PROTOCOL_ERROR)) {
        fail_msg("%02x %02x, role %d, in message %d: %u", first, second, (int)role, in_message,
                 code);
    }
}

static void test_every_head(void **state)
{
    (void)state;
    for (unsigned head = 0; head < 65536; head++) {
        check_head(head >> 8, head & 255, WS_SERVER, false);
        check_head(head >> 8, head & 255, WS_SERVER, true);
        check_head(head >> 8, head & 255, WS_CLIENT, false);
        check_head(head >> 8, head & 255, WS_CLIENT, true);
    }
}

static uint32_t random_state = 1;

static uint8_t random_byte(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (uint8_t)(random_state >> 24);
}

static const uint8_t mask[4] = {0x5a, 0xff, 0x01, 0x80};

/* A frame as the role's peer sends it; its payload's bytes are as random as the mask. */
static size_t make_frame(enum ws_role role, uint8_t first, size_t payload_size, uint8_t *out)
{
    uint8_t header[WS_HEADER_SIZE_MAX];
    enum ws_opcode opcode = (enum ws_opcode)(first & 15);
    uint8_t *payload = out + WS_HEADER_SIZE_MAX;
    size_t header_size;

    for (size_t i = 0; i < payload_size; i++) {
        payload[i] = (random_byte() & (first == 0x81 ? 0x7f : 0xff)) | 1; /* no end of the text */
    }
    header_size = role == WS_SERVER
                      ? ws_write_masked_header(opcode, payload, payload_size, mask, header)
                      : ws_write_header(opcode, payload_size, header);
    header[0] = first;
    memcpy(out, header, header_size);
    memmove(out + header_size, payload, payload_size);
    return header_size + payload_size;
}

/* Everything after the header, unmasked the simple way. */
static void check_payload(enum ws_role role, const uint8_t *frame, size_t size, size_t payload_size)
{
    const uint8_t *wire = frame + size - payload_size;

    assert_int_equal(strcspn(actual, "[") + 1, 2);
    for (size_t i = 0; i < payload_size; i++) {
        uint8_t byte = role == WS_SERVER ? wire[i] ^ mask[i % 4] : wire[i];
        if ((uint8_t)actual[2 + i] != byte) {
            fail_msg("byte %zu of %zu: %02x", i, payload_size, byte);
        }
    }
    assert_int_equal(actual[2 + payload_size], ']');
    assert_int_equal(actual[3 + payload_size], '\0');
}

static void check_size(const struct ws_limits *limits, uint8_t first, size_t payload_size)
{
    uint8_t *frame = malloc(payload_size + (size_t)2 * WS_HEADER_SIZE_MAX);

    assert_non_null(frame);
    size_t size = make_frame(limits->role, first, payload_size, frame);
    size_t header_size = size - payload_size;
    for (size_t cut = 0; cut < FEED_CUT_AT + header_size + 40; cut++) {
        assert_int_equal(feed(limits, slice_from(frame, size), cut, actual), 0);
        check_payload(limits->role, frame, size, payload_size);
    }
    free(frame);
}

static void test_sizes(void **state)
{
    static const size_t sizes[] = {0,  1,  2,   3,   4,   7,   8,     15,    16,    17,
                                   31, 33, 124, 125, 126, 127, 65534, 65535, 65536, 65537};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        check_size(&server, 0x81, sizes[i]);
        check_size(&server, 0x82, sizes[i]);
        check_size(&client, 0x82, sizes[i]);
        if (sizes[i] <= WS_CONTROL_SIZE_MAX) {
            check_size(&server, 0x89, sizes[i]);
            check_size(&client, 0x8a, sizes[i]);
        }
    }
}

/* The limit counts a message's fragments together, is judged at the header, and spares control
 * frames. */
static void test_limit(void **state)
{
    static const struct frame_case cases[] = {
        {"at the limit", "82 84" M "61626364", "B[abcd]"},
        {"one more", "82 85", " 1009"},
        {"16 bits", "82 fe 0080", " 1009"},
        {"64 bits", "82 ff 0000000000010000", " 1009"},
        {"two fragments at the limit", "02 83" M "616263 80 81" M "64", "B[abcd]"},
        {"two fragments, one more", "02 83" M "616263 80 82", "B[abc 1009"},
        {"an empty fragment at the limit", "02 84" M "61626364 80 80" M, "B[abcd]"},
        {"a ping of five", "02 84" M "61626364 89 85" M "3132333435 80 80" M, "B[abcdP[12345]]"},
        {"counted anew", "82 84" M "61626364 81 84" M "61626364 81 85", "B[abcd]T[abcd] 1009"},
    };
    const struct ws_limits four = {.role = WS_SERVER, .message_size_max = 4};
    const struct ws_limits none = {.role = WS_SERVER, .message_size_max = 0};
    uint8_t input[128];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = feed_from_hex(cases[i].input, input);
        (void)feed(&four, slice_from(input, size), FEED_WHOLE, actual);
        assert_string_equal(actual, cases[i].output);
        check_cuts(cases[i].name, &four, slice_from(input, size));
    }
    size_t size = feed_from_hex("81 80" M "89 81" M "61 81 81", input);
    (void)feed(&none, slice_from(input, size), FEED_WHOLE, actual);
    assert_string_equal(actual, "T[]P[a] 1009");
}

/* With permessage-deflate: limits 4 for messages, 8 for compressed ones on the wire. */
static void test_compressed(void **state)
{
    static const struct frame_case cases[] = {
        {"text", "c1 83" M "616263", "t[abc]"},
        {"binary", "c2 81" M "61", "b[a]"},
        {"empty", "c1 80" M, "t[]"},
        {"not compressed", "81 81" M "61", "T[a]"},
        {"fragments", "41 81" M "61 00 81" M "62 80 81" M "63", "t[abc]"},
        {"fragments, then a plain message", "42 81" M "61 80 80" M "81 81" M "62", "b[a]T[b]"},
        {"an empty first one", "41 80" M "80 81" M "61", "t[a]"},
        {"a ping between", "41 81" M "61 89 81" M "78 80 81" M "62", "t[aP[x]b]"},
        {"a ping after an empty first", "41 80" M "89 80" M "80 81" M "62", "P[]t[b]"},
        {"text is not looked at", "c1 82" M "c0ff", "t[\xc0\xff]"},
        {"nor its end", "c1 81" M "e2", "t[\xe2]"},
        {"but that of plain text is", "c1 81" M "e2 81 81" M "e2", "t[\xe2] 1007"},
        {"on a continuation", "41 81" M "61 c0", "t[a 1002"},
        {"on a continuation of a plain message", "01 81" M "61 c0", "T[a 1002"},
        {"on a ping", "c9", " 1002"},
        {"on a close", "c8", " 1002"},
        {"the second bit", "a1", " 1002"},
        {"the third bit too", "d1", " 1002"},
        {"first and second", "e2", " 1002"},
        {"an unknown opcode", "c3", " 1002"},
        {"a second first", "41 81" M "61 c1", "t[a 1002"},
        {"at the wire's limit", "c2 88" M "6162636465666768", "b[abcdefgh]"},
        {"over it", "c2 89", " 1009"},
        {"fragments at it", "42 87" M "61626364656667 80 81" M "68", "b[abcdefgh]"},
        {"fragments over it", "42 87" M "61626364656667 80 82", "b[abcdefg 1009"},
        {"a plain one over its own", "82 85", " 1009"},
    };
    const struct ws_limits limits = {
        .role = WS_SERVER, .message_size_max = 4, .deflate = true, .deflated_size_max = 8};
    uint8_t input[128];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = feed_from_hex(cases[i].input, input);
        (void)feed(&limits, slice_from(input, size), FEED_WHOLE, actual);
        if (strcmp(actual, cases[i].output) != 0) {
            fail_msg("%s: %s instead of %s", cases[i].name, actual, cases[i].output);
        }
        check_cuts(cases[i].name, &limits, slice_from(input, size));
    }
}

/* The sum of the fragments near the end of 32 bits. */
static void test_limit_sum(void **state)
{
    const struct ws_limits limits = {.role = WS_SERVER, .message_size_max = UINT32_MAX};
    struct ws_piece piece;
    uint8_t input[32];

    (void)state;
    size_t size = feed_from_hex("82 ff 00000000ffffffff" M, input);
    assert_int_equal(feed(&limits, slice_from(input, size), FEED_WHOLE, actual), 0);
    size = feed_from_hex("82 ff 0000000100000000" M, input);
    assert_int_equal(feed(&limits, slice_from(input, size), FEED_WHOLE, actual), 1009);

    struct ws_reader reader = {.message_size = UINT32_MAX - 15, .state = WS_BINARY};
    struct ws_reader other = reader;
    ws_reader_check(&reader);
    size = feed_from_hex("80 8f", input);
    assert_int_equal(ws_read(&reader, &limits, input, size, &piece), WS_MORE);
    size = feed_from_hex("80 90", input);
    assert_int_equal(ws_read(&other, &limits, input, size, &piece), WS_ERROR);
    assert_int_equal(piece.close_code, WS_CLOSE_TOO_BIG);
}

/* After an error the reader is zeroed, so that it passes its check wherever it is kept. */
static void test_error_zeroes(void **state)
{
    const struct ws_reader zero = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct ws_reader reader = {0};
        struct ws_piece piece = {0};
        uint8_t input[256];
        size_t size = feed_from_hex(bad[i].input, input);
        size_t at = 0;
        while (ws_read(&reader, &server, input + at, size - at, &piece) == WS_PIECE) {
            at += piece.consumed;
        }
        assert_memory_equal(&reader, &zero, sizeof(zero));
        assert_int_equal(piece.payload.size, 0);
    }
}

/* A long stream of whole and fragmented messages and control frames of many sizes. */
static void test_random_stream(void **state)
{
    static const uint8_t firsts[] = {0x81, 0x82, 0x89, 0x8a, 0x02, 0x89, 0x00, 0x80};
    static uint8_t stream[FEED_TEXT_MAX];
    size_t size = 0;

    (void)state;
    for (size_t i = 0; size < 100000; i++) {
        uint8_t first = firsts[i % sizeof(firsts)];
        size_t payload_size = first == 0x81 || first == 0x02 ? random_byte() : random_byte() % 126u;
        size += make_frame(WS_SERVER, first, payload_size, stream + size);
    }
    assert_int_equal(feed(&server, slice_from(stream, size), FEED_WHOLE, expected), 0);
    assert_int_equal(feed(&server, slice_from(stream, size), FEED_RANDOM, actual), 0);
    assert_string_equal(actual, expected);
    assert_int_equal(feed(&server, slice_from(stream, size), FEED_BYTES, actual), 0);
    assert_string_equal(actual, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),         cmocka_unit_test(test_bad),
        cmocka_unit_test(test_every_head),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_limit),        cmocka_unit_test(test_limit_sum),
        cmocka_unit_test(test_error_zeroes), cmocka_unit_test(test_random_stream),
        cmocka_unit_test(test_compressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
