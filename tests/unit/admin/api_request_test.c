/*
 * Goal: every member of every method is read, and every wrong shape is an error of the right kind:
 * malformed as a whole, or one command's own. Data keeps every digit, its members' order and their
 * doubles; every limit has both sides.
 */
#include "admin/api_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BODY_SIZE_MAX (1024 * 1024)

static uint8_t body[BODY_SIZE_MAX]; /* read in place */
static char message[128];

static enum api_request_outcome read_text(struct api_request *request, enum api_method method,
                                          const char *text)
{
    assert_true(strlen(text) <= sizeof(body));
    memcpy(body, text, strlen(text));
    return api_request_read(request, method, body, strlen(text), message, sizeof(message));
}

static struct api_request read_good(enum api_method method, const char *text)
{
    struct api_request request;

    if (read_text(&request, method, text) != API_REQUEST_READY) {
        fail_msg("%s: %s", text, message);
    }
    return request;
}

static void assert_malformed(enum api_method method, const char *text, const char *part)
{
    struct api_request request;

    if (read_text(&request, method, text) != API_REQUEST_MALFORMED) {
        fail_msg("%s: taken", text);
    }
    if (!strstr(message, part)) {
        fail_msg("%s: %s is not in: %s", text, part, message);
    }
}

static void assert_error(enum api_method method, const char *text, enum api_code code)
{
    struct api_request request = read_good(method, text);

    if (request.commands[0].error.code != code) {
        fail_msg("%s: code %d", text, (int)request.commands[0].error.code);
    }
    if (code != API_DONE) {
        assert_non_null(request.commands[0].error.message);
    }
    api_request_free(&request);
}

static void assert_slice(struct slice slice, const char *expected)
{
    assert_int_equal(slice.size, strlen(expected));
    assert_memory_equal(slice.data, expected, slice.size);
}

/* --- names ------------------------------------------------------------------------------------ */

static void test_methods(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < API_METHODS; i++) {
        const char *name = api_method_name((enum api_method)i);
        assert_int_equal(api_method_find(slice_text(name)), i);
    }
    assert_int_equal(api_method_find(slice_text("subscribe")), API_METHODS);
    assert_int_equal(api_method_find(slice_text("Publish")), API_METHODS);
    assert_int_equal(api_method_find(slice_text("publish/")), API_METHODS);
    assert_int_equal(api_method_find(slice_text("")), API_METHODS);
}

static void test_channels_have_1_to_255_bytes(void **state)
{
    char text[400];
    char name[257];

    (void)state;
    memset(name, 'c', 255);
    name[255] = '\0';
    (void)snprintf(text, sizeof(text), "{\"channel\":\"%s\",\"data\":1}", name);
    assert_error(API_PUBLISH, text, API_DONE);
    memcpy(name + 255, "c", 2);
    (void)snprintf(text, sizeof(text), "{\"channel\":\"%s\",\"data\":1}", name);
    assert_error(API_PUBLISH, text, API_BAD_REQUEST);
    assert_error(API_PUBLISH, "{\"channel\":\"\",\"data\":1}", API_BAD_REQUEST);
    assert_error(API_PUBLISH, "{\"channel\":null,\"data\":1}", API_BAD_REQUEST);
    assert_error(API_PUBLISH, "{\"data\":1}", API_BAD_REQUEST);
    assert_error(API_PUBLISH, "{\"channel\":\"a\\u0000b\",\"data\":1}", API_BAD_REQUEST);
    assert_error(API_PUBLISH, "{\"channel\":\"a\\u00e4\",\"data\":1}", API_DONE);
    static const enum api_method methods[] = {API_PRESENCE, API_PRESENCE_STATS, API_HISTORY,
                                              API_HISTORY_REMOVE};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        assert_error(methods[i], "{}", API_BAD_REQUEST);
        assert_error(methods[i], "{\"channel\":\"x\"}", API_DONE);
        assert_malformed(methods[i], "{\"channel\":1}", "channel: a string");
    }
}

/* --- publish ---------------------------------------------------------------------------------- */

static void test_publish_has_every_member(void **state)
{
    struct api_request request =
        read_good(API_PUBLISH, "{\"channel\":\"n:1\",\"data\":{\"a\":1},\"skip_history\":true,"
                               "\"tags\":{\"a\":\"b\"},\"idempotency_key\":\"k-1\",\"delta\":true,"
                               "\"version\":0,\"version_epoch\":\"\",\"unknown\":[{}]}");
    const struct api_command *command = request.commands;

    (void)state;
    assert_int_equal(request.command_count, 1);
    assert_int_equal(command->method, API_PUBLISH);
    assert_int_equal(command->error.code, API_DONE);
    assert_slice(command->channel, "n:1");
    assert_slice(command->data, "{\"a\":1}");
    assert_slice(command->idempotency_key, "k-1");
    assert_true(command->skip_history);
    assert_false(command->is_binary);
    api_request_free(&request);
    request = read_good(API_PUBLISH, "{\"data\":2,\"channel\":\"a\",\"skip_history\":null}");
    assert_false(request.commands[0].skip_history);
    assert_int_equal(request.commands[0].idempotency_key.size, 0);
    api_request_free(&request);
}

static void assert_data(const char *value, const char *expected)
{
    char text[512];

    (void)snprintf(text, sizeof(text), "{\"data\" : %s , \"channel\":\"a\"}", value);
    struct api_request request = read_good(API_PUBLISH, text);
    assert_int_equal(request.commands[0].error.code, API_DONE);
    assert_slice(request.commands[0].data, expected);
    assert_slice(request.commands[0].channel, "a");
    api_request_free(&request);
}

static void test_data_is_kept_as_it_stands(void **state)
{
    (void)state;
    assert_data("1.10", "1.10");
    assert_data("1e400", "1e400");
    assert_data("123456789012345678901234567890.50", "123456789012345678901234567890.50");
    assert_data("{ \"z\" : 1, \"a\" : [ 1, 2 ] , \"z\" : 2 }", "{\"z\":1,\"a\":[1,2],\"z\":2}");
    assert_data("\"text\"", "\"text\"");
    assert_data("\"two  spaces \\n \\u00e4\"", "\"two  spaces \\n \\u00e4\"");
    assert_data("null", "null");
    assert_data("false", "false");
    assert_data("{\n}", "{}");
    assert_data("\"\"", "\"\"");
}

static void test_bytes_are_strict_base64(void **state)
{
    struct api_request request = read_good(API_PUBLISH, "{\"channel\":\"a\",\"b64data\":\"AP8B\"}");

    (void)state;
    assert_true(request.commands[0].is_binary);
    assert_int_equal(request.commands[0].data.size, 3);
    assert_memory_equal(request.commands[0].data.data, "\0\xff\x01", 3);
    api_request_free(&request);
    request = read_good(API_PUBLISH, "{\"channel\":\"a\",\"data\":1,\"b64data\":\"\\u0041Q==\"}");
    assert_true(request.commands[0].is_binary); /* goes before data */
    assert_slice(request.commands[0].data, "\x01");
    api_request_free(&request);
    request = read_good(API_PUBLISH, "{\"channel\":\"a\",\"b64data\":\"\",\"data\":1}");
    assert_false(request.commands[0].is_binary);
    api_request_free(&request);
    static const char *const bad[] = {
        "AQ", "AQ=", "AR==", "A Q=", "AQ==\\n", "A-_/", "=", "AQ==AQ=="};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "{\"channel\":\"a\",\"b64data\":\"%s\"}", bad[i]);
        assert_error(API_PUBLISH, text, API_BAD_REQUEST);
    }
    assert_malformed(API_PUBLISH, "{\"channel\":\"a\",\"b64data\":1}", "b64data: a string");
}

static void test_wrong_publications(void **state)
{
    char text[512];
    char key[257];

    (void)state;
    assert_error(API_PUBLISH, "{\"channel\":\"a\"}", API_BAD_REQUEST);
    assert_error(API_PUBLISH, "{}", API_BAD_REQUEST);
    assert_error(API_PUBLISH, "{\"channel\":\"a\",\"data\":1,\"version\":1}", API_NOT_AVAILABLE);
    memset(key, 'k', 255);
    key[255] = '\0';
    (void)snprintf(text, sizeof(text), "{\"channel\":\"a\",\"data\":1,\"idempotency_key\":\"%s\"}",
                   key);
    assert_error(API_PUBLISH, text, API_DONE);
    memcpy(key + 255, "k", 2);
    (void)snprintf(text, sizeof(text), "{\"channel\":\"a\",\"data\":1,\"idempotency_key\":\"%s\"}",
                   key);
    assert_error(API_PUBLISH, text, API_BAD_REQUEST);
    assert_malformed(API_PUBLISH, "{\"channel\":5,\"data\":1}", "channel: a string");
    assert_malformed(API_PUBLISH, "{\"channel\":\"\\ud800\",\"data\":1}", "channel: half");
    assert_malformed(API_PUBLISH, "{\"skip_history\":1}", "skip_history: true or false");
    assert_malformed(API_PUBLISH, "{\"tags\":[]}", "tags: an object");
    assert_malformed(API_PUBLISH, "{\"tags\":{\"a\":1}}", "tags: values");
    assert_malformed(API_PUBLISH, "{\"idempotency_key\":{}}", "idempotency_key: a string");
    assert_malformed(API_PUBLISH, "{\"delta\":\"x\"}", "delta: true or false");
    assert_malformed(API_PUBLISH, "{\"version\":-1}", "version: a whole");
    assert_malformed(API_PUBLISH, "{\"version\":1.5}", "version: a whole");
    assert_malformed(API_PUBLISH, "[]", "publish: an object");
    assert_malformed(API_PUBLISH, "\"x\"", "publish: an object");
    assert_malformed(API_PUBLISH, "", "no JSON from byte 0");
    assert_malformed(API_PUBLISH, "{\"channel\":\"a\",}", "no JSON from byte 15");
    assert_malformed(API_PUBLISH, " {} x", "no JSON from byte 4");
    assert_malformed(API_PUBLISH, "{\"channel\":\"\xff\"}", "no JSON from byte 12");
}

/* --- broadcast -------------------------------------------------------------------------------- */

static void test_broadcast(void **state)
{
    struct api_request request =
        read_good(API_BROADCAST, "{\"channels\":[\"a\", \"\\u0062\",\"\"],\"data\":[ 1 ]}");
    const struct api_command *command = request.commands;

    (void)state;
    assert_int_equal(command->error.code, API_DONE);
    assert_int_equal(command->channel_count, 3);
    assert_slice(command->channels[0], "a");
    assert_slice(command->channels[1], "b");
    assert_false(api_channel_is_good(command->channels[2])); /* that one's own error */
    assert_slice(command->data, "[1]");
    api_request_free(&request);
    assert_error(API_BROADCAST, "{\"data\":1}", API_BAD_REQUEST);
    assert_error(API_BROADCAST, "{\"channels\":[],\"data\":1}", API_BAD_REQUEST);
    assert_error(API_BROADCAST, "{\"channels\":null,\"data\":1}", API_BAD_REQUEST);
    assert_error(API_BROADCAST, "{\"channels\":[\"a\"]}", API_BAD_REQUEST);
    assert_malformed(API_BROADCAST, "{\"channels\":\"a\",\"data\":1}", "channels: an array");
    assert_malformed(API_BROADCAST, "{\"channels\":[1],\"data\":1}", "channels: a string");
}

/* A broadcast of count channels, in a batch or by itself. */
static char *broadcast_of(uint32_t count)
{
    static char text[BODY_SIZE_MAX];
    size_t size = (size_t)snprintf(text, sizeof(text), "{\"data\":1,\"channels\":[");

    for (uint32_t i = 0; i < count; i++) {
        static const char item[] = ",\"c\"";
        memcpy(text + size, &item[i == 0 ? 1 : 0], i == 0 ? 3 : 4);
        size += i == 0 ? 3 : 4;
    }
    memcpy(text + size, "]}", 3);
    return text;
}

static void test_channels_are_bounded(void **state)
{
    (void)state;
    assert_error(API_BROADCAST, broadcast_of(API_CHANNELS_MAX), API_DONE);
    assert_error(API_BROADCAST, broadcast_of(API_CHANNELS_MAX + 1), API_BAD_REQUEST);
}

/* --- history, channels, info ------------------------------------------------------------------ */

static void test_history(void **state)
{
    struct api_request request =
        read_good(API_HISTORY, "{\"channel\":\"a\",\"limit\":10,\"reverse\":true,"
                               "\"since\":{\"offset\":9007199254740993,\"epoch\":\"e\\u0031\"}}");
    const struct api_command *command = request.commands;

    (void)state;
    assert_int_equal(command->error.code, API_DONE);
    assert_int_equal(command->limit, 10);
    assert_true(command->is_reverse);
    assert_true(command->has_since);
    assert_true(command->since_offset == 9007199254740993);
    assert_slice(command->since_epoch, "e1");
    api_request_free(&request);
    request = read_good(API_HISTORY, "{\"channel\":\"a\",\"limit\":-1,\"since\":null}");
    assert_int_equal(request.commands[0].limit, -1);
    assert_false(request.commands[0].has_since);
    assert_false(request.commands[0].is_reverse);
    api_request_free(&request);
    request = read_good(API_HISTORY, "{\"channel\":\"a\",\"since\":{}}");
    assert_int_equal(request.commands[0].limit, 0);
    assert_true(request.commands[0].has_since);
    assert_int_equal(request.commands[0].since_offset, 0);
    api_request_free(&request);
    assert_error(API_HISTORY, "{\"channel\":\"a\",\"reverse\":true,\"since\":{\"offset\":0}}",
                 API_BAD_REQUEST);
    assert_malformed(API_HISTORY, "{\"limit\":\"1\"}", "limit: a whole");
    assert_malformed(API_HISTORY, "{\"limit\":1.0}", "limit: a whole");
    assert_malformed(API_HISTORY, "{\"limit\":-2147483649}", "limit: a whole");
    assert_malformed(API_HISTORY, "{\"reverse\":0}", "reverse: true or false");
    assert_malformed(API_HISTORY, "{\"since\":[]}", "since: an object");
    assert_malformed(API_HISTORY, "{\"since\":{\"offset\":-1}}", "offset: a whole");
    assert_malformed(API_HISTORY, "{\"since\":{\"offset\":18446744073709551615}}",
                     "offset: a whole");
    assert_malformed(API_HISTORY, "{\"since\":{\"epoch\":1}}", "epoch: a string");
}

static void test_channels_and_info(void **state)
{
    struct api_request request = read_good(API_CHANNELS, "{\"pattern\":\"n*\"}");

    (void)state;
    assert_slice(request.commands[0].pattern, "n*");
    api_request_free(&request);
    assert_error(API_CHANNELS, "", API_DONE);
    assert_error(API_CHANNELS, "{}", API_DONE);
    assert_malformed(API_CHANNELS, "{\"pattern\":1}", "pattern: a string");
    assert_error(API_INFO, "", API_DONE);
    assert_error(API_INFO, " \n", API_DONE);
    assert_error(API_INFO, "{\"channel\":\"ignored\"}", API_DONE);
    assert_malformed(API_INFO, "x", "no JSON");
}

/* --- batch ------------------------------------------------------------------------------------ */

static void test_batch(void **state)
{
    struct api_request request =
        read_good(API_BATCH, "{\"parallel\":true,\"commands\":["
                             "{\"publish\":{\"channel\":\"a\",\"data\": {} }},"
                             "{\"id\":1,\"history\":{\"channel\":\"b\",\"limit\":1}},"
                             "{\"broadcast\":{\"channels\":[\"c\",\"d\"],\"data\":2}},"
                             "{\"publish\":null,\"info\":{}},"
                             "{\"rpc\":{}},"
                             "{\"batch\":{\"commands\":[]}},"
                             "{},"
                             "{\"broadcast\":{\"channels\":[\"e\"],\"data\":3}},"
                             "{\"publish\":{\"channel\":\"\",\"data\":1}}]}");
    static const enum api_method methods[] = {API_PUBLISH, API_HISTORY,   API_BROADCAST,
                                              API_INFO,    API_BATCH,     API_BATCH,
                                              API_BATCH,   API_BROADCAST, API_PUBLISH};
    static const enum api_code codes[] = {API_DONE,      API_DONE,      API_DONE,
                                          API_DONE,      API_NOT_FOUND, API_NOT_FOUND,
                                          API_NOT_FOUND, API_DONE,      API_BAD_REQUEST};

    (void)state;
    assert_true(request.is_parallel);
    assert_int_equal(request.command_count, 9);
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(request.commands[i].method, methods[i]);
        assert_int_equal(request.commands[i].error.code, codes[i]);
    }
    assert_slice(request.commands[0].data, "{}");
    assert_slice(request.commands[2].channels[1], "d");
    assert_slice(request.commands[7].channels[0], "e");
    api_request_free(&request);
    request = read_good(API_BATCH, "{\"commands\":[]}");
    assert_int_equal(request.command_count, 0);
    assert_false(request.is_parallel);
    api_request_free(&request);
    request = read_good(API_BATCH, "{\"commands\":[{\"info\":{}}],\"commands\":[]}");
    assert_int_equal(request.command_count, 0); /* the last of a name holds */
    api_request_free(&request);
    request = read_good(API_BATCH, "{}");
    assert_int_equal(request.command_count, 0);
    api_request_free(&request);
    assert_malformed(API_BATCH, "[]", "batch: an object");
    assert_malformed(API_BATCH, "", "no JSON");
    assert_malformed(API_BATCH, "{\"commands\":{}}", "commands: an array");
    assert_malformed(API_BATCH, "{\"commands\":[1]}", "commands: objects");
    assert_malformed(API_BATCH, "{\"commands\":[{\"publish\":[]}]}", "publish: an object");
    assert_malformed(API_BATCH, "{\"commands\":[{\"publish\":{\"channel\":1}}]}",
                     "channel: a string");
    assert_malformed(API_BATCH, "{\"parallel\":1}", "parallel: true or false");
}

static enum api_request_outcome read_commands(uint32_t count)
{
    static char text[BODY_SIZE_MAX];
    size_t size = (size_t)snprintf(text, sizeof(text), "{\"commands\":[");
    struct api_request request;

    for (uint32_t i = 0; i < count; i++) {
        size += (size_t)snprintf(text + size, 32, "%s{\"info\":{}}", i > 0 ? "," : "");
    }
    (void)snprintf(text + size, 8, "]}");
    enum api_request_outcome outcome = read_text(&request, API_BATCH, text);
    if (outcome == API_REQUEST_READY) {
        assert_int_equal(request.command_count, count);
        api_request_free(&request);
    }
    return outcome;
}

static void test_commands_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(read_commands(API_COMMANDS_MAX), API_REQUEST_READY);
    assert_int_equal(read_commands(API_COMMANDS_MAX + 1), API_REQUEST_MALFORMED);
    assert_string_equal(message, "commands: too many");
}

/* The bound on channels is the whole request's. */
static void test_channels_of_a_batch_are_bounded(void **state)
{
    static char text[BODY_SIZE_MAX];
    struct api_request request;

    (void)state;
    int size = snprintf(text, sizeof(text), "{\"commands\":[{\"broadcast\":%s},",
                        broadcast_of(API_CHANNELS_MAX - 1));
    (void)snprintf(text + size, sizeof(text) - (size_t)size,
                   "{\"broadcast\":{\"channels\":[\"a\",\"b\"],\"data\":1}},"
                   "{\"broadcast\":{\"channels\":[\"a\"],\"data\":1}}]}");
    assert_int_equal(read_text(&request, API_BATCH, text), API_REQUEST_READY);
    assert_int_equal(request.commands[0].error.code, API_DONE);
    assert_int_equal(request.commands[1].error.code, API_BAD_REQUEST);
    assert_int_equal(request.commands[2].error.code, API_DONE);
    assert_slice(request.commands[2].channels[0], "a");
    api_request_free(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_channels_have_1_to_255_bytes),
        cmocka_unit_test(test_publish_has_every_member),
        cmocka_unit_test(test_data_is_kept_as_it_stands),
        cmocka_unit_test(test_bytes_are_strict_base64),
        cmocka_unit_test(test_wrong_publications),
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_channels_are_bounded),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_channels_and_info),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_commands_are_bounded),
        cmocka_unit_test(test_channels_of_a_batch_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
