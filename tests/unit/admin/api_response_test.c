/*
 * Goal: every result and error has the shape that the libraries of this API expect, byte for byte:
 * explicit zeros, what is left out, errors alone or wrapped; texts are escaped, JSON goes out as it
 * came, bytes as base64; and an answer that is too large fails instead of growing.
 */
#include "admin/api_response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_answer(const struct api_request *request, const struct api_part *parts,
                          bool is_bare, const char *expected)
{
    struct json_out out = {.size_max = 65536};

    api_response_write(&out, request, parts, is_bare);
    assert_false(out.failed);
    assert_int_equal(out.size, strlen(expected));
    assert_memory_equal(out.data, expected, out.size);
    free(out.data);
}

static void assert_one(enum api_method method, const struct api_part *part, const char *expected)
{
    struct api_command command = {.method = method};
    const struct api_request request = {.method = method, .commands = &command, .command_count = 1};

    assert_answer(&request, part, false, expected);
}

static void test_publish(void **state)
{
    const struct api_part live = {0};
    const struct api_part kept = {.offset = 42, .epoch = "x\"y"};

    (void)state;
    assert_one(API_PUBLISH, &live, "{\"result\":{}}");
    assert_one(API_PUBLISH, &kept, "{\"result\":{\"offset\":42,\"epoch\":\"x\\\"y\"}}");
}

static void test_history(void **state)
{
    static const struct api_publication publications[] = {
        {.payload = {(const uint8_t *)"{\"a\":1.50}", 10}, .offset = 7},
        {.payload = {(const uint8_t *)"no json", 7}, .offset = 8},
        {.payload = {(const uint8_t *)"1", 1}, .is_binary = true, .offset = 9},
        {.payload = {(const uint8_t *)"2", 1},
         .offset = 10,
         .user = {(const uint8_t *)"ann", 3},
         .conn_id = {(const uint8_t *)"c1", 2}},
    };
    const struct api_part empty = {.epoch = "e"};
    const struct api_part full = {
        .epoch = "e", .offset = 10, .publications = publications, .count = 4};

    (void)state;
    assert_one(API_HISTORY, &empty,
               "{\"result\":{\"publications\":[],\"epoch\":\"e\",\"offset\":0}}");
    assert_one(API_HISTORY, &full,
               "{\"result\":{\"publications\":[{\"data\":{\"a\":1.50},\"offset\":7},"
               "{\"b64data\":\"bm8ganNvbg==\",\"offset\":8},{\"b64data\":\"MQ==\",\"offset\":9},"
               "{\"data\":2,\"info\":{\"user\":\"ann\",\"client\":\"c1\"},\"offset\":10}],"
               "\"epoch\":\"e\",\"offset\":10}}");
    assert_one(API_HISTORY_REMOVE, &empty, "{\"result\":{}}");
}

static void test_presence(void **state)
{
    static const struct api_member members[] = {
        {.conn_id = {(const uint8_t *)"c1", 2}, .user = {(const uint8_t *)"ann", 3}},
        {.conn_id = {(const uint8_t *)"c2", 2}, .user = {(const uint8_t *)"ann", 3}},
        {.conn_id = {(const uint8_t *)"c3", 2}, .user = {(const uint8_t *)"a\n\xff", 3}},
        {.conn_id = {(const uint8_t *)"c4", 2}},
    };
    const struct api_part nobody = {0};
    const struct api_part some = {.members = members, .count = 4};

    (void)state;
    assert_one(API_PRESENCE, &nobody, "{\"result\":{\"presence\":{}}}");
    assert_one(API_PRESENCE, &some,
               "{\"result\":{\"presence\":{\"c1\":{\"user\":\"ann\",\"client\":\"c1\"},"
               "\"c2\":{\"user\":\"ann\",\"client\":\"c2\"},"
               "\"c3\":{\"user\":\"a\\u000a\xef\xbf\xbd\",\"client\":\"c3\"},"
               "\"c4\":{\"user\":\"\",\"client\":\"c4\"}}}}");
    assert_one(API_PRESENCE_STATS, &nobody, "{\"result\":{\"num_clients\":0,\"num_users\":0}}");
    assert_one(API_PRESENCE_STATS, &some, "{\"result\":{\"num_clients\":4,\"num_users\":3}}");
}

static void test_channels_and_info(void **state)
{
    static const struct api_channel channels[] = {
        {.name = {(const uint8_t *)"a", 1}, .subscribers = 2},
        {.name = {(const uint8_t *)"b\\", 2}, .subscribers = 0},
    };
    const struct api_node node = {.id = "ab",
                                  .name = "host",
                                  .clients = 7,
                                  .users = 1,
                                  .channels = 2,
                                  .subscriptions = 3,
                                  .uptime_s = 4};
    const struct api_part none = {0};
    const struct api_part some = {.channels = channels, .count = 2};
    const struct api_part info = {.node = &node};

    (void)state;
    assert_one(API_CHANNELS, &none, "{\"result\":{\"channels\":{}}}");
    assert_one(API_CHANNELS, &some,
               "{\"result\":{\"channels\":{\"a\":{\"num_clients\":2},"
               "\"b\\\\\":{\"num_clients\":0}}}}");
    assert_one(
        API_INFO, &info,
        "{\"result\":{\"nodes\":[{\"uid\":\"ab\",\"name\":\"host\",\"version\":\"" LIMPET_VERSION
        "\",\"num_clients\":7,\"num_users\":1,\"num_channels\":2,\"num_subs\":3,"
        "\"uptime\":4}]}}");
}

static void test_broadcast(void **state)
{
    struct api_command command = {.method = API_BROADCAST, .channel_count = 3};
    const struct api_request request = {
        .method = API_BROADCAST, .commands = &command, .command_count = 1};
    const struct api_part parts[] = {
        {.offset = 1, .epoch = "e"}, {.error = {API_BAD_REQUEST, "bad request"}}, {.offset = 0}};

    (void)state;
    assert_int_equal(api_part_count(&command), 3);
    assert_answer(&request, parts, true, /* its own errors are always wrapped */
                  "{\"result\":{\"responses\":[{\"result\":{\"offset\":1,\"epoch\":\"e\"}},"
                  "{\"error\":{\"code\":107,\"message\":\"bad request\"}},{\"result\":{}}]}}");
    assert_null(api_response_error(&request, parts));
}

static void test_errors(void **state)
{
    struct api_command command = {.method = API_PRESENCE};
    const struct api_request request = {
        .method = API_PRESENCE, .commands = &command, .command_count = 1};
    const struct api_part part = {.error = {API_NOT_AVAILABLE, "not available"}};

    (void)state;
    assert_int_equal(api_part_count(&command), 1);
    assert_answer(&request, &part, false,
                  "{\"error\":{\"code\":108,\"message\":\"not available\"}}");
    assert_answer(&request, &part, true, "{\"code\":108,\"message\":\"not available\"}");
    assert_int_equal(api_response_error(&request, &part)->code, API_NOT_AVAILABLE);
    command.error = (struct api_error){API_BAD_REQUEST, "bad request"};
    assert_int_equal(api_part_count(&command), 0);
    assert_answer(&request, NULL, false, "{\"error\":{\"code\":107,\"message\":\"bad request\"}}");
    static const enum api_code codes[] = {API_DONE,         API_INTERNAL,    API_UNKNOWN_CHANNEL,
                                          API_NOT_FOUND,    API_BAD_REQUEST, API_NOT_AVAILABLE,
                                          API_UNRECOVERABLE};
    static const unsigned statuses[] = {200, 500, 404, 404, 400, 400, 416};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_int_equal(api_error_status(codes[i]), statuses[i]);
    }
}

static void test_batch(void **state)
{
    struct api_command commands[] = {
        {.method = API_PUBLISH},
        {.method = API_PUBLISH, .error = {API_BAD_REQUEST, "bad request"}},
        {.method = API_BROADCAST, .channel_count = 2},
        {.method = API_BATCH, .error = {API_NOT_FOUND, "method not found"}},
        {.method = API_PRESENCE_STATS},
        {.method = API_HISTORY_REMOVE},
    };
    struct api_request request = {.method = API_BATCH, .commands = commands, .command_count = 6};
    const struct api_part parts[] = {{.offset = 1, .epoch = "e"},
                                     {.offset = 2, .epoch = "e"},
                                     {.offset = 3, .epoch = "e"},
                                     {.error = {API_INTERNAL, "timeout"}},
                                     {.offset = 0}};

    (void)state;
    assert_answer(&request, parts, true,
                  "{\"replies\":[{\"publish\":{\"offset\":1,\"epoch\":\"e\"}},"
                  "{\"error\":{\"code\":107,\"message\":\"bad request\"}},"
                  "{\"broadcast\":{\"responses\":[{\"result\":{\"offset\":2,\"epoch\":\"e\"}},"
                  "{\"result\":{\"offset\":3,\"epoch\":\"e\"}}]}},"
                  "{\"error\":{\"code\":104,\"message\":\"method not found\"}},"
                  "{\"error\":{\"code\":100,\"message\":\"timeout\"}},"
                  "{\"history_remove\":{}}]}");
    assert_null(api_response_error(&request, parts));
    request.command_count = 0;
    assert_answer(&request, parts, false, "{\"replies\":[]}");
}

/* --- json_out --------------------------------------------------------------------------------- */

static void test_texts_are_escaped(void **state)
{
    struct json_out out = {.size_max = 4096};

    (void)state;
    json_out_string(&out, slice_from("\"\\/\0\x1f\x7f\xc3\xa4\xc3", 9));
    json_out_string(&out, slice_from(NULL, 0));
    json_out_base64(&out, slice_from("ab", 2));
    json_out_base64(&out, slice_from(NULL, 0));
    json_out_number(&out, UINT64_MAX);
    static const char expected[] = "\"\\\"\\\\/\\u0000\\u001f\x7f\xc3\xa4\xef\xbf\xbd\"\"\""
                                   "\"YWI=\"\"\"18446744073709551615";
    assert_int_equal(out.size, sizeof(expected) - 1);
    assert_memory_equal(out.data, expected, out.size);
    free(out.data);
}

static void test_size_is_bounded(void **state)
{
    struct json_out out = {.size_max = 1000};
    char text[999];

    (void)state;
    memset(text, 'x', sizeof(text));
    json_out_raw(&out, slice_from(text, sizeof(text)));
    json_out_text(&out, "y");
    assert_false(out.failed);
    assert_int_equal(out.size, 1000);
    json_out_text(&out, "z");
    assert_true(out.failed);
    json_out_text(&out, ""); /* stays so */
    assert_true(out.failed);
    assert_int_equal(out.size, 1000);
    free(out.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publish),         cmocka_unit_test(test_history),
        cmocka_unit_test(test_presence),        cmocka_unit_test(test_channels_and_info),
        cmocka_unit_test(test_broadcast),       cmocka_unit_test(test_errors),
        cmocka_unit_test(test_batch),           cmocka_unit_test(test_texts_are_escaped),
        cmocka_unit_test(test_size_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
