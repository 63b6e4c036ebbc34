/*
 * Fuzzes the bodies of the HTTP API. The first byte chooses: a method, or JSON alone, which is then
 * compared with Jansson: both take the same texts (but for numbers that do not fit into its own),
 * and what is compacted means the same. A body that was read has commands whose slices lie in it.
 */
#include "admin/api_request.h"
#include "admin/api_response.h"
#include "admin/raw_json.h"

#include <jansson.h>
#include <stdlib.h>

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* --- JSON against Jansson --------------------------------------------------------------------- */

/* What Jansson refuses though it is JSON. */
static bool is_forgiven(const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);

    return code == json_error_numeric_overflow || code == json_error_stack_overflow ||
           code == json_error_null_byte_in_key || code == json_error_null_character ||
           strstr(error->text, "surrogate") || strstr(error->text, "Unicode") ||
           strstr(error->text, "\\u");
}

/* Jansson goes deeper. */
static bool may_be_deep(const uint8_t *data, size_t size)
{
    size_t brackets = 0;

    for (size_t i = 0; i < size; i++) {
        brackets += data[i] == '[' || data[i] == '{' ? 1 : 0;
    }
    return brackets > RAW_JSON_DEPTH_MAX;
}

/* The same texts, the same values, the same order. */
static void check_strings(struct slice value, const json_t *theirs)
{
    uint8_t *text = malloc(value.size);

    require(text != NULL);
    int64_t size = raw_json_decode_string(value, text);
    require(size >= 0 && (size_t)size == json_string_length(theirs));
    require(memcmp(text, json_string_value(theirs), (size_t)size) == 0);
    free(text);
}

static void check_text(const uint8_t *data, size_t size)
{
    json_error_t error = {0};
    size_t bad_at = SIZE_MAX;
    bool is_good = raw_json_check(slice_from(data, size), &bad_at);
    json_t *theirs = json_loadb((const char *)data, size,
                                JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);

    require(is_good || bad_at <= size);
    if (!is_good) {
        /* Theirs takes a zero byte after a number. */
        require(!theirs || may_be_deep(data, size) || memchr(data, 0, size));
        json_decref(theirs);
        return;
    }
    require(theirs || is_forgiven(&error));
    struct slice value = raw_json_trim(slice_from(data, size));
    uint8_t *compact = malloc(value.size);
    require(compact != NULL);
    size_t compact_size = raw_json_compact(value, compact);
    require(raw_json_check(slice_from(compact, compact_size), &bad_at));
    if (theirs) {
        json_t *again =
            json_loadb((const char *)compact, compact_size,
                       JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
        require(again && json_equal(theirs, again));
        json_decref(again);
        if (json_is_string(theirs)) {
            check_strings(value, theirs);
        }
    }
    free(compact);
    json_decref(theirs);
}

/* --- requests --------------------------------------------------------------------------------- */

static void require_within(struct slice slice, const uint8_t *body, size_t size)
{
    require(slice.size == 0 || (slice.data >= body && slice.data + slice.size <= body + size));
}

static void check_command(const struct api_command *command, const uint8_t *body, size_t size)
{
    const struct slice slices[] = {command->channel, command->data, command->idempotency_key,
                                   command->since_epoch, command->pattern};
    size_t bad_at;

    for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++) {
        require_within(slices[i], body, size);
    }
    for (uint32_t i = 0; i < command->channel_count; i++) {
        require_within(command->channels[i], body, size);
    }
    require((command->error.code == API_DONE) == (command->error.message == NULL));
    if (command->error.code == API_DONE &&
        (command->method == API_PUBLISH || command->method == API_BROADCAST)) {
        require(command->is_binary || raw_json_check(command->data, &bad_at));
    }
}

static void check_request(enum api_method method, const uint8_t *data, size_t size)
{
    uint8_t *body = malloc(size > 0 ? size : 1);
    struct api_request request;
    struct json_out out = {.size_max = 1 << 20};
    char message[128] = "";

    require(body != NULL);
    memcpy(body, data, size);
    enum api_request_outcome outcome =
        api_request_read(&request, method, body, size, message, sizeof(message));
    require((outcome == API_REQUEST_MALFORMED) == (message[0] != '\0'));
    if (outcome == API_REQUEST_READY) {
        uint32_t parts = 0;
        for (uint32_t i = 0; i < request.command_count; i++) {
            check_command(&request.commands[i], body, size);
            parts += api_part_count(&request.commands[i]);
        }
        struct api_part *answers = calloc(parts + 1, sizeof(*answers));
        require(answers != NULL);
        for (uint32_t i = 0; i < parts; i++) {
            answers[i].error = (struct api_error){API_INTERNAL, "timeout"};
        }
        api_response_write(&out, &request, answers, size % 2 == 0);
        size_t bad_at;
        require(out.failed || raw_json_check(slice_from(out.data, out.size), &bad_at));
        free(out.data);
        free(answers);
        api_request_free(&request);
    }
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint32_t choice = data[0] % (API_METHODS + 1);
    if (choice == API_METHODS) {
        check_text(data + 1, size - 1);
    } else {
        check_request((enum api_method)choice, data + 1, size - 1);
    }
    return 0;
}
