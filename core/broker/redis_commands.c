#include "base/digest.h"
#include "broker/redis_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CATCH_UP_PAGE 512u
#define MEMBERS_MAX   100000u /* in one answer */
#define FORWARD_HEAD  64u

/* --- names ------------------------------------------------------------------------------------ */

static struct slice add(struct slice to, struct slice from, uint8_t *out)
{
    ASSERT(to.size + from.size <= REDIS_NAME_SIZE_MAX);
    if (from.size > 0) {
        memcpy(out + to.size, from.data, from.size);
    }
    return slice_from(out, to.size + from.size);
}

static struct slice key_name(const struct redis *redis, struct slice channel, const char *suffix,
                             struct slice rest, uint8_t *out)
{
    struct slice name = add(slice_from(out, 0), slice_text(redis->options->prefix), out);

    name = add(name, slice_text("{"), out);
    name = add(name, channel, out);
    name = add(name, slice_text("}"), out);
    name = add(name, slice_text(suffix), out);
    return add(name, rest, out);
}

struct slice redis_channel_name(const struct redis *redis, struct slice channel, uint8_t *out)
{
    if (redis->is_cluster) {
        return key_name(redis, channel, "", (struct slice){0}, out);
    }
    return add(add(slice_from(out, 0), slice_text(redis->options->prefix), out), channel, out);
}

uint16_t redis_slot_of(const struct redis *redis, struct slice channel)
{
    uint8_t name[REDIS_NAME_SIZE_MAX];

    return redis->is_cluster ? redis_slot(key_name(redis, channel, "", (struct slice){0}, name))
                             : 0;
}

static void add_key(const struct redis *redis, struct redis_request *request, struct slice channel,
                    const char *suffix, struct slice rest)
{
    uint8_t name[REDIS_NAME_SIZE_MAX];

    redis_bytes_argument(&request->command, key_name(redis, channel, suffix, rest, name));
}

/* --- publishing ------------------------------------------------------------------------------- */

static const char *publish_command(const struct redis *redis)
{
    return redis->is_cluster ? "SPUBLISH" : "PUBLISH";
}

/* In one step on the server: scripts/publish.lua. */
static void write_script(const struct redis *redis, struct redis_request *request,
                         const struct broker_publication *publication, char mark)
{
    const bool has_key = publication->idempotency_key.size > 0;
    const char mark_text[2] = {mark, '\0'};
    struct redis_bytes *to = &request->command;
    uint8_t name[REDIS_NAME_SIZE_MAX];

    request->script = REDIS_PUBLISH;
    request->argument_count = has_key ? 12 : 11;
    redis_bytes_number(to, has_key ? 3 : 2);
    add_key(redis, request, publication->channel, ":stream", (struct slice){0});
    add_key(redis, request, publication->channel, ":meta", (struct slice){0});
    if (has_key) {
        add_key(redis, request, publication->channel, ":key:", publication->idempotency_key);
    }
    redis_bytes_argument(to, redis_channel_name(redis, publication->channel, name));
    redis_bytes_argument(to, publication->payload);
    redis_bytes_number(to, publication->history.size);
    redis_bytes_number(to, publication->history.age_s);
    redis_bytes_text(to, mark_text);
    redis_bytes_text(to, publish_command(redis));
    redis_bytes_argument(to, publication->user);
    redis_bytes_argument(to, publication->conn_id);
}

static void write_live(const struct redis *redis, struct redis_request *request,
                       const struct broker_publication *publication, char mark)
{
    const struct redis_message message = {.mark = mark,
                                          .user = publication->user,
                                          .conn_id = publication->conn_id,
                                          .payload = publication->payload};
    struct redis_bytes *to = &request->command;
    uint8_t name[REDIS_NAME_SIZE_MAX];
    char header[REDIS_HEADER_SIZE_MAX];
    const size_t header_size = redis_header_write(header, &message);

    redis_bytes_command(to, 3);
    redis_bytes_text(to, publish_command(redis));
    redis_bytes_argument(to, redis_channel_name(redis, publication->channel, name));
    redis_bytes_begin(to, header_size + message.user.size + message.conn_id.size +
                              message.payload.size);
    redis_bytes_add(to, slice_from(header, header_size));
    redis_bytes_add(to, message.user);
    redis_bytes_add(to, message.conn_id);
    redis_bytes_add(to, message.payload);
    redis_bytes_end(to);
}

enum broker_outcome redis_publish(struct broker *broker, uint64_t ticket,
                                  const struct broker_publication *publication)
{
    struct redis *redis = redis_of(broker);
    enum broker_outcome outcome;

    if (publication->idempotency_key.size > 255) {
        return BROKER_REFUSED;
    }
    struct redis_request *request = redis_request_new(
        redis, REQUEST_PUBLISH, ticket, redis_slot_of(redis, publication->channel), &outcome);
    if (!request) {
        return outcome;
    }
    const char mark = redis_mark_of(publication);
    if (publication->history.size > 0 || publication->idempotency_key.size > 0) {
        write_script(redis, request, publication, mark);
    } else {
        write_live(redis, request, publication, mark);
    }
    return redis_request_send(redis, request);
}

/* --- to backends ------------------------------------------------------------------------------ */

static void write_stream(const struct redis *redis, struct redis_bytes *to,
                         const struct broker_publication *publication)
{
    redis_bytes_command(to, 18);
    redis_bytes_text(to, "XADD");
    redis_bytes_text(to, redis->options->forward_name);
    redis_bytes_text(to, "MAXLEN");
    redis_bytes_text(to, "~");
    redis_bytes_number(to, redis->options->forward_length_max);
    redis_bytes_text(to, "*");
    redis_bytes_text(to, "channel");
    redis_bytes_argument(to, publication->channel);
    redis_bytes_text(to, "user");
    redis_bytes_argument(to, publication->user);
    redis_bytes_text(to, "connection");
    redis_bytes_argument(to, publication->conn_id);
    redis_bytes_text(to, "time");
    redis_bytes_number(to, publication->time_ms);
    redis_bytes_text(to, "binary");
    redis_bytes_number(to, publication->is_binary ? 1 : 0);
    redis_bytes_text(to, "payload");
    redis_bytes_argument(to, publication->payload);
}

/* A JSON string (RFC 8259, section 7) at the end of json. */
static void json_string(struct redis_bytes *json, const char *name, struct slice text)
{
    redis_bytes_add(json, slice_text(name));
    redis_bytes_add(json, slice_text("\""));
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t byte = text.data[i];
        char escaped[8];
        if (byte < ' ' || byte == '"' || byte == '\\') {
            (void)snprintf(escaped, sizeof(escaped), "\\u%04x", byte);
            redis_bytes_add(json, slice_text(escaped));
        } else {
            redis_bytes_add(json, slice_from(&byte, 1));
        }
    }
    redis_bytes_add(json, slice_text("\""));
}

static void write_json(struct redis_bytes *json, const struct broker_publication *publication)
{
    char time_text[FORWARD_HEAD];

    (void)snprintf(time_text, sizeof(time_text), ",\"time\":%llu",
                   (unsigned long long)publication->time_ms);
    json_string(json, "{\"channel\":", publication->channel);
    json_string(json, ",\"user\":", publication->user);
    json_string(json, ",\"connection\":", publication->conn_id);
    redis_bytes_add(json, slice_text(time_text));
    if (!publication->is_binary) {
        json_string(json, ",\"text\":", publication->payload);
    } else {
        char *base64 = malloc(BASE64_SIZE(publication->payload.size) + 1);
        json->failed = json->failed || !base64;
        if (base64) {
            const size_t size = base64_encode(publication->payload, base64);
            json_string(json, ",\"binary\":", slice_from(base64, size));
        }
        free(base64);
    }
    redis_bytes_add(json, slice_text("}"));
}

static void write_channel(const struct redis *redis, struct redis_bytes *to,
                          const struct broker_publication *publication)
{
    struct redis_bytes json = {0};

    write_json(&json, publication);
    redis_bytes_command(to, 3);
    redis_bytes_text(to, publish_command(redis));
    redis_bytes_text(to, redis->options->forward_name);
    redis_bytes_argument(to, slice_from(json.data, json.size));
    to->failed = to->failed || json.failed;
    redis_bytes_free(&json);
}

enum broker_outcome redis_forward(struct broker *broker, uint64_t ticket,
                                  const struct broker_publication *publication)
{
    struct redis *redis = redis_of(broker);
    enum broker_outcome outcome;

    if (!redis->options->forwards) {
        return BROKER_UNAVAILABLE;
    }
    struct redis_request *request =
        redis_request_new(redis, REQUEST_FORWARD, ticket,
                          redis_slot(slice_text(redis->options->forward_name)), &outcome);
    if (!request) {
        return outcome;
    }
    if (redis->options->forward == REDIS_FORWARD_STREAM) {
        write_stream(redis, &request->command, publication);
    } else {
        write_channel(redis, &request->command, publication);
    }
    return redis_request_send(redis, request);
}

/* --- history ---------------------------------------------------------------------------------- */

static void write_history(const struct redis *redis, struct redis_request *request,
                          struct slice channel, const struct broker_history_query *query)
{
    struct redis_bytes *to = &request->command;

    request->script = REDIS_HISTORY;
    request->argument_count = query->is_reverse ? 6 : 5;
    request->query = *query;
    redis_bytes_number(to, 2);
    add_key(redis, request, channel, ":stream", (struct slice){0});
    add_key(redis, request, channel, ":meta", (struct slice){0});
    redis_bytes_number(to, query->limit);
    if (!query->has_since) {
        redis_bytes_text(to, query->is_reverse ? "+" : "-");
    } else if (query->is_reverse) {
        redis_bytes_number(to, query->since.offset > 0 ? query->since.offset - 1 : 0);
    } else {
        redis_bytes_number(to, query->since.offset + 1);
    }
    if (query->is_reverse) {
        redis_bytes_text(to, "reverse");
    }
}

enum broker_outcome redis_history(struct broker *broker, uint64_t ticket, struct slice channel,
                                  const struct broker_history_query *query)
{
    struct redis *redis = redis_of(broker);
    enum broker_outcome outcome;
    struct redis_request *request =
        redis_request_new(redis, REQUEST_HISTORY, ticket, redis_slot_of(redis, channel), &outcome);

    if (!request) {
        return outcome;
    }
    write_history(redis, request, channel, query);
    return redis_request_send(redis, request);
}

enum broker_outcome redis_ask_catch_up(struct redis *redis, struct redis_follow *follow)
{
    const struct broker_history_query query = {
        .limit = follow->has_position ? CATCH_UP_PAGE : 0,
        .has_since = follow->has_position,
        .since = follow->position,
    };
    enum broker_outcome outcome;
    struct redis_request *request =
        redis_request_new(redis, REQUEST_CATCH_UP, 0, redis_slot_of(redis, follow->name), &outcome);

    if (!request) {
        return outcome;
    }
    request->follow = follow;
    write_history(redis, request, follow->name, &query);
    return redis_request_send(redis, request);
}

enum broker_outcome redis_history_remove(struct broker *broker, uint64_t ticket,
                                         struct slice channel)
{
    struct redis *redis = redis_of(broker);
    enum broker_outcome outcome;
    struct redis_request *request = redis_request_new(redis, REQUEST_HISTORY_REMOVE, ticket,
                                                      redis_slot_of(redis, channel), &outcome);

    if (!request) {
        return outcome;
    }
    redis_bytes_command(&request->command, 2);
    redis_bytes_text(&request->command, "DEL");
    add_key(redis, request, channel, ":stream", (struct slice){0});
    return redis_request_send(redis, request);
}

/* --- presence --------------------------------------------------------------------------------- */

static void write_presence(const struct redis *redis, struct redis_request *request,
                           struct slice channel, uint32_t more)
{
    request->script = REDIS_PRESENCE;
    request->argument_count = 3 + more;
    redis_bytes_number(&request->command, 2);
    add_key(redis, request, channel, ":members", (struct slice){0});
    add_key(redis, request, channel, ":expiry", (struct slice){0});
}

enum broker_outcome redis_presence(struct broker *broker, uint64_t ticket, struct slice channel)
{
    struct redis *redis = redis_of(broker);
    enum broker_outcome outcome;
    struct redis_request *request =
        redis_request_new(redis, REQUEST_PRESENCE, ticket, redis_slot_of(redis, channel), &outcome);

    if (!request) {
        return outcome;
    }
    write_presence(redis, request, channel, 2);
    redis_bytes_text(&request->command, "read");
    redis_bytes_number(&request->command, MEMBERS_MAX);
    return redis_request_send(redis, request);
}

void redis_send_member(struct redis *redis, const struct redis_member *member, bool joins)
{
    enum broker_outcome outcome;
    struct redis_request *request = redis_request_new(
        redis, REQUEST_SILENT, 0, redis_slot_of(redis, member->channel), &outcome);

    if (!request) {
        return; /* Redis forgets it by itself, or is told again by the next renewal */
    }
    write_presence(redis, request, member->channel, joins ? 4 : 2);
    redis_bytes_text(&request->command, joins ? "join" : "leave");
    if (joins) {
        redis_bytes_number(&request->command, redis->options->presence_expiry_s);
    }
    redis_bytes_argument(&request->command, member->conn_id);
    if (joins) {
        redis_bytes_argument(&request->command, member->user);
    }
    outcome = redis_request_send(redis, request);
    redis->health.joins_refused += joins && outcome != BROKER_DONE ? 1 : 0;
}

/* --- the canary ------------------------------------------------------------------------------- */

static uint64_t clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void redis_send_canary(struct redis *redis)
{
    enum broker_outcome outcome;
    uint8_t name[REDIS_NAME_SIZE_MAX];
    struct redis_request *request = redis_request_new(
        redis, REQUEST_CANARY, 0, redis_slot_of(redis, redis->canary->name), &outcome);

    if (!request) {
        return;
    }
    redis->canary_number++;
    redis->canary_sent_us = clock_us();
    redis_bytes_command(&request->command, 3);
    redis_bytes_text(&request->command, publish_command(redis));
    redis_bytes_argument(&request->command, redis_channel_name(redis, redis->canary->name, name));
    redis_bytes_number(&request->command, redis->canary_number);
    outcome = redis_request_send(redis, request);
    (void)outcome; /* its age tells */
}

void redis_canary_returned(struct redis *redis, struct slice bytes)
{
    uint64_t number;

    if (redis_number_read(bytes, &number) && number == redis->canary_number) {
        redis->health.round_trip_us = clock_us() - redis->canary_sent_us;
        redis->canary_back_ms = redis->now_ms;
    }
}
