/*
 * Goal: commands are byte for byte what Redis and the HTTP API read, and answers are understood
 * however they are cut.
 */
#include "bench/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void assert_text(const uint8_t *out, size_t size, const char *expected)
{
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(out, expected, size);
}

static void test_redis_publish(void **state)
{
    uint8_t out[200];
    static const char expected[] = "*3\r\n$7\r\nPUBLISH\r\n$8\r\nlimpet:a\r\n$5\r\nhello\r\n";
    size_t size =
        redis_write_publish(slice_text("limpet:a"), slice_text("hello"), out, sizeof(out));

    (void)state;
    assert_text(out, size, expected);
    for (size_t room = 0; room < size; room++) {
        assert_int_equal(
            redis_write_publish(slice_text("limpet:a"), slice_text("hello"), out, room), 0);
    }
}

static void test_redis_replies(void **state)
{
    static const char two[] = ":12\r\n-NOPERM no\r\n";
    size_t consumed = 0;

    (void)state;
    for (size_t size = 0; size < 5; size++) {
        assert_int_equal(redis_read_reply(slice_from(two, size), &consumed), REPLY_MORE);
    }
    assert_int_equal(redis_read_reply(slice_text(two), &consumed), REPLY_ACCEPTED);
    assert_int_equal(consumed, 5);
    assert_int_equal(redis_read_reply(slice_text(two + 5), &consumed), REPLY_REFUSED);
    assert_int_equal(consumed, strlen(two + 5));
    assert_int_equal(redis_read_reply(slice_text("+OK\r\n"), &consumed), REPLY_ACCEPTED);
    assert_int_equal(redis_read_reply(slice_text("HTTP/1.1 400 Bad Request\r\n"), &consumed),
                     REPLY_BAD);
}

static void test_api_publish(void **state)
{
    uint8_t out[400];
    struct api_request request = {.host = "127.0.0.1:9464",
                                  .key = "secret",
                                  .channel = slice_text("a-1"),
                                  .payload = slice_text("{\"x\":1}")};
    static const char with_key[] =
        "POST /api/publish HTTP/1.1\r\nHost: 127.0.0.1:9464\r\nX-API-Key: secret\r\n"
        "Content-Type: application/json\r\nContent-Length: 32\r\n\r\n"
        "{\"channel\":\"a-1\",\"data\":{\"x\":1}}";
    static const char without[] = "POST /api/publish HTTP/1.1\r\nHost: 127.0.0.1:9464\r\n"
                                  "Content-Type: application/json\r\nContent-Length: 32\r\n\r\n"
                                  "{\"channel\":\"a-1\",\"data\":{\"x\":1}}";

    (void)state;
    size_t size = api_write_publish(&request, out, sizeof(out));
    assert_text(out, size, with_key);
    for (size_t room = 0; room < size; room++) {
        assert_int_equal(api_write_publish(&request, out, room), 0);
    }
    request.key = NULL;
    assert_text(out, api_write_publish(&request, out, sizeof(out)), without);
}

static void check_api(const char *text, enum reply expected)
{
    size_t consumed = 0;
    char joined[512];

    (void)snprintf(joined, sizeof(joined), "%sHTTP", text); /* the next one's beginning */
    for (size_t size = 0; size < strlen(text); size++) {
        assert_int_equal(api_read_reply(slice_from(text, size), &consumed), REPLY_MORE);
    }
    assert_int_equal(api_read_reply(slice_text(joined), &consumed), expected);
    assert_int_equal(consumed, strlen(text));
}

static void test_api_replies(void **state)
{
    size_t consumed = 0;

    (void)state;
    check_api("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"result\":{}}", REPLY_ACCEPTED);
    check_api("HTTP/1.1 200 OK\r\nX: y\r\ncontent-length:13\r\n\r\n{\"result\":{}}",
              REPLY_ACCEPTED);
    check_api("HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{\"error\":{\"code\":102,\"message\":",
              REPLY_REFUSED);
    check_api("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", REPLY_REFUSED);
    check_api("HTTP/1.1 503 Service Unavailable\r\n\r\n", REPLY_REFUSED);
    assert_int_equal(api_read_reply(slice_text("-ERR unknown command\r\n\r\n"), &consumed),
                     REPLY_BAD);
    assert_int_equal(
        api_read_reply(slice_text("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"),
                       &consumed),
        REPLY_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_publish),
        cmocka_unit_test(test_redis_replies),
        cmocka_unit_test(test_api_publish),
        cmocka_unit_test(test_api_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
