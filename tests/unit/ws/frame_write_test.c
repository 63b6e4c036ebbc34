/*
 * Goal: headers that we write have the minimal length form and are read back as they were meant;
 * the payload of a close frame is judged as section 5.5.1 and 7.4 say; our own mistakes stop the
 * process.
 */
#include "ws/frame.h"
#include "ws/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* In the place of base/assert.c: a failed assertion can be expected. */
_Noreturn void assert_failed(const char *condition, const char *file, int line)
{
    mock_assert(0, condition, file, line);
    abort();
}

static const struct {
    uint64_t payload_size;
    size_t header_size;
    uint8_t header[10];
} headers[] = {
    {0, 2, {0x82, 0}},
    {1, 2, {0x82, 1}},
    {125, 2, {0x82, 125}},
    {126, 4, {0x82, 126, 0, 126}},
    {127, 4, {0x82, 126, 0, 127}},
    {65535, 4, {0x82, 126, 0xff, 0xff}},
    {65536, 10, {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
    {UINT32_MAX, 10, {0x82, 127, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}},
    {INT64_MAX, 10, {0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
};

static void test_header_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        uint8_t out[WS_HEADER_SIZE_MAX];
        size_t size = ws_write_header(WS_BINARY, headers[i].payload_size, out);
        assert_int_equal(size, headers[i].header_size);
        assert_memory_equal(out, headers[i].header, size);
    }
}

static void test_opcodes(void **state)
{
    static const enum ws_opcode opcodes[] = {WS_CONTINUATION, WS_TEXT, WS_BINARY,
                                             WS_CLOSE,        WS_PING, WS_PONG};
    uint8_t out[WS_HEADER_SIZE_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
        assert_int_equal(ws_write_header(opcodes[i], 5, out), 2);
        assert_int_equal(out[0], 0x80u | (unsigned)opcodes[i]);
    }
}

static void test_masked(void **state)
{
    const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t out[WS_HEADER_SIZE_MAX];
    uint8_t *payload = calloc(1, 70000);

    (void)state;
    assert_non_null(payload);
    for (size_t i = 0; i < 7; i++) {
        size_t payload_size = (size_t)headers[i].payload_size;
        memset(payload, 0x10, payload_size);
        size_t size = ws_write_masked_header(WS_BINARY, payload, payload_size, mask, out);
        assert_int_equal(size, headers[i].header_size + 4);
        assert_int_equal(out[0], 0x82);
        assert_int_equal(out[1], headers[i].header[1] | 0x80);
        assert_memory_equal(out + size - 4, mask, 4);
        for (size_t at = 0; at < payload_size; at++) {
            assert_int_equal(payload[at], 0x10 ^ mask[at % 4]);
        }
    }
    free(payload);
}

static void write_header(enum ws_opcode opcode, uint64_t payload_size)
{
    uint8_t out[WS_HEADER_SIZE_MAX];

    assert_in_range(ws_write_header(opcode, payload_size, out), 2, 10);
}

static enum ws_status read_close(const char *payload, size_t size, uint16_t *code)
{
    *code = 0;
    return ws_read_close(slice_from(payload, size), code);
}

static void read_zeros(size_t size)
{
    static const char zeros[WS_CONTROL_SIZE_MAX + 1];
    uint16_t code;

    assert_int_equal(read_close(zeros, size, &code), WS_ERROR);
}

static void test_own_mistakes(void **state)
{
    (void)state;
    write_header(WS_PING, WS_CONTROL_SIZE_MAX);
    expect_assert_failure(write_header(WS_PING, WS_CONTROL_SIZE_MAX + 1));
    expect_assert_failure(write_header(WS_CLOSE, WS_CONTROL_SIZE_MAX + 1));
    write_header(WS_TEXT, INT64_MAX);
    expect_assert_failure(write_header(WS_TEXT, (uint64_t)INT64_MAX + 1));
    read_zeros(WS_CONTROL_SIZE_MAX);
    expect_assert_failure(read_zeros(WS_CONTROL_SIZE_MAX + 1));
}

static void test_close_payload(void **state)
{
    char longest[WS_CONTROL_SIZE_MAX] = "\x03\xe8";
    uint16_t code;

    (void)state;
    assert_int_equal(read_close(NULL, 0, &code), WS_PIECE);
    assert_int_equal(code, WS_CLOSE_NO_STATUS);
    assert_int_equal(read_close("\x03\xe8", 1, &code), WS_ERROR);
    assert_int_equal(code, WS_CLOSE_PROTOCOL_ERROR);
    assert_int_equal(read_close("\x03\xe8", 2, &code), WS_PIECE);
    assert_int_equal(code, WS_CLOSE_NORMAL);
    assert_int_equal(read_close("\x03\xe9 \xc3\xa9", 5, &code), WS_PIECE);
    assert_int_equal(code, WS_CLOSE_GOING_AWAY);
    assert_int_equal(read_close("\x03\xe9 \xc3", 4, &code), WS_ERROR);
    assert_int_equal(code, WS_CLOSE_INVALID_PAYLOAD);
    assert_int_equal(read_close("\x03\xe9 \xff.", 5, &code), WS_ERROR);
    assert_int_equal(code, WS_CLOSE_INVALID_PAYLOAD);
    /* A bad code weighs more than a bad reason. */
    assert_int_equal(read_close("\x03\xed\xff", 3, &code), WS_ERROR);
    assert_int_equal(code, WS_CLOSE_PROTOCOL_ERROR);
    memset(longest + 2, 'a', sizeof(longest) - 2);
    assert_int_equal(read_close(longest, sizeof(longest), &code), WS_PIECE);
    assert_int_equal(code, WS_CLOSE_NORMAL);
}

/* Every code: those of section 7.4.1 that may be sent, the registry's, and the ranges of 7.4.2. */
static void test_close_codes(void **state)
{
    (void)state;
    for (unsigned number = 0; number < 65536; number++) {
        const char payload[2] = {(char)(number >> 8), (char)number};
        bool is_legal = number >= 1000 && number <= 4999 && number != 1004 && number != 1005 &&
                        number != 1006 && (number < 1015 || number > 2999);
        uint16_t code;
        enum ws_status status = read_close(payload, 2, &code);
        assert_int_equal(status, is_legal ? WS_PIECE : WS_ERROR);
        assert_int_equal(code, is_legal ? number : WS_CLOSE_PROTOCOL_ERROR);
    }
}

static void test_reader_check(void **state)
{
    const struct ws_reader good[] = {
        {0},
        {.header_size = 1, .head = {0x81}},
        {.header_size = 6, .head = {0x81, 0x85}, .payload_left = 5, .state = WS_TEXT},
        {.header_size = 14, .head = {0x82, 0xff}, .payload_left = 65536, .state = WS_BINARY},
        {.message_size = 5, .state = WS_TEXT | 4 | 1 << 4},
    };
    const struct ws_reader bad[] = {
        {.state = 3},
        {.header_size = 15, .head = {0x82, 0xff}, .state = WS_BINARY},
        {.header_size = 7, .head = {0x81, 0x85}, .state = WS_TEXT},
        {.payload_left = 1},
        {.state = WS_BINARY | 1 << 4},
        {.state = WS_TEXT | UTF8_REJECT << 4},
        {.state = 4},
        {.message_size = 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ws_reader_check(&good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        expect_assert_failure(ws_reader_check(&bad[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_forms),  cmocka_unit_test(test_opcodes),
        cmocka_unit_test(test_masked),        cmocka_unit_test(test_own_mistakes),
        cmocka_unit_test(test_close_payload), cmocka_unit_test(test_close_codes),
        cmocka_unit_test(test_reader_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
