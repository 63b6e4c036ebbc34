#include "admin/api_request.h"

#include "admin/raw_json.h"
#include "base/digest.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const method_names[API_METHODS] = {
    [API_PUBLISH] = "publish",   [API_BROADCAST] = "broadcast",
    [API_PRESENCE] = "presence", [API_PRESENCE_STATS] = "presence_stats",
    [API_HISTORY] = "history",   [API_HISTORY_REMOVE] = "history_remove",
    [API_CHANNELS] = "channels", [API_INFO] = "info",
    [API_BATCH] = "batch",
};

const char *api_method_name(enum api_method method)
{
    ASSERT(method < API_METHODS);
    return method_names[method];
}

enum api_method api_method_find(struct slice name)
{
    uint32_t method = 0;

    while (method < API_METHODS && !slice_equal(name, slice_text(method_names[method]))) {
        method++;
    }
    return (enum api_method)method;
}

bool api_channel_is_good(struct slice channel)
{
    for (size_t i = 0; i < channel.size; i++) {
        if (channel.data[i] < ' ' || channel.data[i] == 0x7f) {
            return false; /* no token and no query could name it */
        }
    }
    return channel.size > 0 && channel.size <= API_CHANNEL_SIZE_MAX;
}

/* What a body is read into, and the first thing that is wrong with it. */
struct reader {
    struct api_request *request;
    uint8_t *body; /* ours to write in */
    char *message;
    size_t message_size;
    bool no_memory;
};

/* Of the values of a publication that came as they are, until all members are known. */
struct payload {
    bool has_data;
    bool has_bytes;
    struct slice data;
    struct slice bytes; /* still base64 */
};

static bool fail(struct reader *reader, struct slice name, const char *what)
{
    (void)snprintf(reader->message, reader->message_size, "%.*s: %s", (int)name.size,
                   (const char *)name.data, what);
    return false;
}

static void refuse(struct api_command *command, enum api_code code, const char *message)
{
    if (command->error.code == API_DONE) {
        command->error = (struct api_error){.code = code, .message = message};
    }
}

/* The place in the body of what was read from it. */
static uint8_t *writable(const struct reader *reader, const uint8_t *data)
{
    return reader->body + (data - reader->body);
}

/* --- values: null leaves what is there, another kind is wrong --------------------------------- */

static bool read_string(struct reader *reader, struct slice name, struct slice value,
                        struct slice *string)
{
    if (raw_json_kind_of(value) == RAW_JSON_NULL) {
        return true;
    }
    if (raw_json_kind_of(value) != RAW_JSON_STRING) {
        return fail(reader, name, "a string is expected");
    }
    uint8_t *place = writable(reader, value.data);
    int64_t size = raw_json_decode_string(value, place);
    if (size < 0) {
        return fail(reader, name, "half of a surrogate pair");
    }
    *string = slice_from(place, (size_t)size);
    return true;
}

static bool read_bool(struct reader *reader, struct slice name, struct slice value, bool *flag)
{
    enum raw_json_kind kind = raw_json_kind_of(value);

    if (kind == RAW_JSON_NULL) {
        return true;
    }
    if (kind != RAW_JSON_TRUE && kind != RAW_JSON_FALSE) {
        return fail(reader, name, "true or false is expected");
    }
    *flag = kind == RAW_JSON_TRUE;
    return true;
}

static bool read_integer(struct reader *reader, struct slice name, struct slice value, int64_t min,
                         int64_t *number)
{
    int64_t read;

    if (raw_json_kind_of(value) == RAW_JSON_NULL) {
        return true;
    }
    if (raw_json_kind_of(value) != RAW_JSON_NUMBER || !raw_json_decode_integer(value, &read) ||
        read < min) {
        return fail(reader, name, "a whole number is expected");
    }
    *number = read;
    return true;
}

/* Of an object that nothing becomes of: its values have to be strings. */
static bool read_tags(struct reader *reader, struct slice name, struct slice value)
{
    struct slice tag;
    struct slice text;

    if (raw_json_kind_of(value) == RAW_JSON_NULL) {
        return true;
    }
    if (raw_json_kind_of(value) != RAW_JSON_OBJECT) {
        return fail(reader, name, "an object is expected");
    }
    while (raw_json_next_member(&value, &tag, &text)) {
        if (raw_json_kind_of(text) != RAW_JSON_STRING) {
            return fail(reader, name, "values have to be strings");
        }
    }
    return true;
}

/* The next member of an object, its name decoded; a name that cannot be is one that is not known.
 */
static bool next_member(const struct reader *reader, struct slice *rest, struct slice *name,
                        struct slice *value)
{
    if (!raw_json_next_member(rest, name, value)) {
        return false;
    }
    uint8_t *place = writable(reader, name->data);
    int64_t size = raw_json_decode_string(*name, place);
    *name = slice_from(place, size > 0 ? (size_t)size : 0);
    return true;
}

static bool is_named(struct slice name, const char *text)
{
    return slice_equal(name, slice_text(text));
}

/* --- publish, broadcast ----------------------------------------------------------------------- */

static bool read_channels(struct reader *reader, struct api_command *command, struct slice name,
                          struct slice value)
{
    struct api_request *request = reader->request;
    struct slice rest = value;
    struct slice item;
    uint32_t count = 0;

    if (raw_json_kind_of(value) == RAW_JSON_NULL) {
        return true;
    }
    if (raw_json_kind_of(value) != RAW_JSON_ARRAY) {
        return fail(reader, name, "an array is expected");
    }
    while (raw_json_next_item(&rest, &item)) {
        count++;
    }
    if (count > API_CHANNELS_MAX - request->channel_count) {
        refuse(command, API_BAD_REQUEST, "bad request: too many channels");
        return true;
    }
    command->channels = request->channels + request->channel_count;
    command->channel_count = count;
    while (raw_json_next_item(&value, &item)) {
        struct slice *channel = &request->channels[request->channel_count++];
        *channel = slice_from(NULL, 0);
        if (!read_string(reader, name, item, channel)) {
            return false;
        }
    }
    return true;
}

/* A publication has its data once every member was seen: base64, when there is some, goes first. */
static void finish_payload(const struct reader *reader, struct api_command *command,
                           const struct payload *payload)
{
    if (payload->has_bytes) {
        uint8_t *place = writable(reader, payload->bytes.data);
        int64_t size = base64_decode(payload->bytes, place); /* what it reads is ahead */
        if (size < 0) {
            refuse(command, API_BAD_REQUEST, "bad request: b64data is no base64");
        } else {
            command->data = slice_from(place, (size_t)size);
            command->is_binary = true;
        }
    } else if (payload->has_data) {
        uint8_t *place = writable(reader, payload->data.data);
        command->data = slice_from(place, raw_json_compact(payload->data, place));
    } else {
        refuse(command, API_BAD_REQUEST, "bad request: data is missing");
    }
}

/* A member of both; false when it is wrong, *known false when it is none of theirs. */
static bool read_publication_member(struct reader *reader, struct api_command *command,
                                    struct payload *payload, struct slice name, struct slice value)
{
    int64_t version = 0;
    bool ignored = false;

    if (is_named(name, "data")) {
        payload->has_data = true;
        payload->data = value;
        return true;
    }
    if (is_named(name, "b64data")) {
        bool is_read = read_string(reader, name, value, &payload->bytes);
        payload->has_bytes = payload->bytes.size > 0;
        return is_read;
    }
    if (is_named(name, "skip_history")) {
        return read_bool(reader, name, value, &command->skip_history);
    }
    if (is_named(name, "idempotency_key")) {
        return read_string(reader, name, value, &command->idempotency_key);
    }
    if (is_named(name, "tags")) {
        return read_tags(reader, name, value);
    }
    if (is_named(name, "delta")) {
        return read_bool(reader, name, value, &ignored);
    }
    if (is_named(name, "version")) {
        bool is_read = read_integer(reader, name, value, 0, &version);
        if (version > 0) {
            refuse(command, API_NOT_AVAILABLE, "not available: versions");
        }
        return is_read;
    }
    return true;
}

static bool read_publication(struct reader *reader, struct api_command *command, struct slice rest)
{
    struct payload payload = {0};
    struct slice name;
    struct slice value;

    while (next_member(reader, &rest, &name, &value)) {
        bool is_good;
        if (command->method == API_PUBLISH && is_named(name, "channel")) {
            is_good = read_string(reader, name, value, &command->channel);
        } else if (command->method == API_BROADCAST && is_named(name, "channels")) {
            is_good = read_channels(reader, command, name, value);
        } else {
            is_good = read_publication_member(reader, command, &payload, name, value);
        }
        if (!is_good) {
            return false;
        }
    }
    if (command->method == API_BROADCAST && command->channel_count == 0) {
        refuse(command, API_BAD_REQUEST, "bad request: channels are missing");
    }
    if (command->idempotency_key.size > API_KEY_SIZE_MAX) {
        refuse(command, API_BAD_REQUEST, "bad request: the idempotency key is too long");
    }
    finish_payload(reader, command, &payload);
    return true;
}

/* --- the others ------------------------------------------------------------------------------- */

static bool read_since(struct reader *reader, struct api_command *command, struct slice name,
                       struct slice rest)
{
    struct slice member;
    struct slice value;
    int64_t offset = 0;

    if (raw_json_kind_of(rest) == RAW_JSON_NULL) {
        return true;
    }
    if (raw_json_kind_of(rest) != RAW_JSON_OBJECT) {
        return fail(reader, name, "an object is expected");
    }
    command->has_since = true;
    while (next_member(reader, &rest, &member, &value)) {
        if (is_named(member, "offset")) {
            if (!read_integer(reader, member, value, 0, &offset)) {
                return false;
            }
        } else if (is_named(member, "epoch") &&
                   !read_string(reader, member, value, &command->since_epoch)) {
            return false;
        }
    }
    command->since_offset = (uint64_t)offset;
    return true;
}

static bool read_query(struct reader *reader, struct api_command *command, struct slice rest)
{
    bool is_history = command->method == API_HISTORY;
    struct slice name;
    struct slice value;

    while (next_member(reader, &rest, &name, &value)) {
        bool is_good = true;
        if (is_named(name, "channel")) {
            is_good = read_string(reader, name, value, &command->channel);
        } else if (is_history && is_named(name, "limit")) {
            is_good = read_integer(reader, name, value, INT32_MIN, &command->limit);
        } else if (is_history && is_named(name, "reverse")) {
            is_good = read_bool(reader, name, value, &command->is_reverse);
        } else if (is_history && is_named(name, "since")) {
            is_good = read_since(reader, command, name, value);
        } else if (command->method == API_CHANNELS && is_named(name, "pattern")) {
            is_good = read_string(reader, name, value, &command->pattern);
        }
        if (!is_good) {
            return false;
        }
    }
    if (command->is_reverse && command->has_since && command->since_offset == 0) {
        refuse(command, API_BAD_REQUEST, "bad request: nothing is before offset 0");
    }
    return true;
}

static bool needs_channel(enum api_method method)
{
    return method == API_PUBLISH || method == API_PRESENCE || method == API_PRESENCE_STATS ||
           method == API_HISTORY || method == API_HISTORY_REMOVE;
}

/* One command that is no batch. */
static bool read_command(struct reader *reader, struct api_command *command, enum api_method method,
                         struct slice parameters)
{
    command->method = method;
    if (raw_json_kind_of(parameters) != RAW_JSON_OBJECT) {
        return fail(reader, slice_text(api_method_name(method)), "an object is expected");
    }
    if (!(method == API_PUBLISH || method == API_BROADCAST
              ? read_publication(reader, command, parameters)
              : read_query(reader, command, parameters))) {
        return false;
    }
    if (needs_channel(method) && !api_channel_is_good(command->channel)) {
        command->error = (struct api_error){
            .code = API_BAD_REQUEST,
            .message = "bad request: a channel has 1 to 255 bytes, none a control character"};
    }
    return true;
}

/* --- batch ------------------------------------------------------------------------------------ */

/* {"publish":{...}}: the first member that is a method counts. */
static bool read_entry(struct reader *reader, struct api_command *command, struct slice rest)
{
    struct slice name;
    struct slice value;

    if (raw_json_kind_of(rest) != RAW_JSON_OBJECT) {
        return fail(reader, slice_text("commands"), "objects are expected");
    }
    while (next_member(reader, &rest, &name, &value)) {
        enum api_method method = api_method_find(name);
        if (method < API_BATCH && raw_json_kind_of(value) != RAW_JSON_NULL) {
            return read_command(reader, command, method, value);
        }
    }
    command->method = API_BATCH; /* that is: none */
    refuse(command, API_NOT_FOUND, "method not found");
    return true;
}

static bool read_entries(struct reader *reader, struct slice name, struct slice value)
{
    struct api_request *request = reader->request;
    struct slice rest = value;
    struct slice item;
    uint32_t count = 0;

    if (raw_json_kind_of(value) != RAW_JSON_ARRAY) {
        return fail(reader, name, "an array is expected");
    }
    while (raw_json_next_item(&rest, &item)) {
        count++;
    }
    if (count > API_COMMANDS_MAX) {
        return fail(reader, name, "too many");
    }
    free(request->commands); /* of a member of the same name before */
    request->command_count = 0;
    request->commands = calloc(count > 0 ? count : 1, sizeof(request->commands[0]));
    if (!request->commands) {
        reader->no_memory = true;
        return false;
    }
    while (raw_json_next_item(&value, &item)) {
        if (!read_entry(reader, &request->commands[request->command_count++], item)) {
            return false;
        }
    }
    return true;
}

static bool read_batch(struct reader *reader, struct slice rest)
{
    struct slice name;
    struct slice value;

    if (raw_json_kind_of(rest) != RAW_JSON_OBJECT) {
        return fail(reader, slice_text("batch"), "an object is expected");
    }
    while (next_member(reader, &rest, &name, &value)) {
        bool is_good = true;
        if (is_named(name, "commands")) {
            is_good = read_entries(reader, name, value);
        } else if (is_named(name, "parallel")) {
            is_good = read_bool(reader, name, value, &reader->request->is_parallel);
        }
        if (!is_good) {
            return false;
        }
    }
    return true;
}

/* --- the whole -------------------------------------------------------------------------------- */

static bool read_body(struct reader *reader, struct slice body)
{
    struct api_request *request = reader->request;

    if (request->method == API_BROADCAST || request->method == API_BATCH) {
        /* Room for as many as there may be, touched as far as there are. */
        request->channels = malloc(API_CHANNELS_MAX * sizeof(request->channels[0]));
        reader->no_memory = !request->channels;
    }
    if (request->method == API_BATCH) {
        return !reader->no_memory && read_batch(reader, body);
    }
    request->commands = calloc(1, sizeof(request->commands[0]));
    reader->no_memory = reader->no_memory || !request->commands;
    request->command_count = 1;
    return !reader->no_memory && read_command(reader, request->commands, request->method, body);
}

enum api_request_outcome api_request_read(struct api_request *request, enum api_method method,
                                          uint8_t *body, size_t body_size, char *message,
                                          size_t message_size)
{
    struct reader reader = {
        .request = request, .body = body, .message = message, .message_size = message_size};
    struct slice text = raw_json_trim(slice_from(body, body_size));
    size_t bad_at;

    ASSERT(method < API_METHODS);
    *request = (struct api_request){.method = method};
    if (text.size == 0 && (method == API_INFO || method == API_CHANNELS)) {
        text = slice_text("{}");
    }
    if (!raw_json_check(text, &bad_at)) {
        (void)snprintf(message, message_size, "the body is no JSON from byte %zu on",
                       text.size == 0 ? 0 : (size_t)(text.data - body) + bad_at);
        return API_REQUEST_MALFORMED;
    }
    if (read_body(&reader, text)) {
        return API_REQUEST_READY;
    }
    api_request_free(request);
    return reader.no_memory ? API_REQUEST_NO_MEMORY : API_REQUEST_MALFORMED;
}

void api_request_free(struct api_request *request)
{
    free(request->commands);
    free(request->channels);
    *request = (struct api_request){.method = request->method};
}
