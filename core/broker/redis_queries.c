#include "base/digest.h"
#include "broker/redis_state.h"

#include <stdio.h>
#include <stdlib.h>

#define HISTORY_LIMIT_MAX 100000u /* publications in one answer */

/* --- names ------------------------------------------------------------------------------------ */

static bool is_cluster(const struct redis *redis)
{
    return redis->options.topology == REDIS_CLUSTER;
}

/* P{C}, and what follows it: the braces keep all keys of a channel in one slot. */
static void add_key(const struct redis *redis, struct redis_bytes *bytes, struct slice channel,
                    const char *suffix, struct slice tail)
{
    redis_bytes_begin(bytes, redis->prefix.size + channel.size + 2 + strlen(suffix) + tail.size);
    redis_bytes_add(bytes, redis->prefix);
    redis_bytes_add(bytes, slice_text("{"));
    redis_bytes_add(bytes, channel);
    redis_bytes_add(bytes, slice_text("}"));
    redis_bytes_add(bytes, slice_text(suffix));
    redis_bytes_add(bytes, tail);
    redis_bytes_end(bytes);
}

void redis_add_keys(const struct redis *redis, struct redis_bytes *bytes, struct slice channel,
                    const char *first, const char *second)
{
    redis_bytes_number(bytes, 2);
    add_key(redis, bytes, channel, first, (struct slice){0});
    add_key(redis, bytes, channel, second, (struct slice){0});
}

static void put(struct redis_name *name, struct slice bytes)
{
    ASSERT(bytes.size <= sizeof(name->bytes) - name->size);
    memcpy(name->bytes + name->size, bytes.data, bytes.size);
    name->size += bytes.size;
}

void redis_channel_name(const struct redis *redis, struct slice channel, struct redis_name *name)
{
    name->size = 0;
    put(name, redis->prefix);
    if (is_cluster(redis)) {
        put(name, slice_text("{"));
    }
    put(name, channel);
    if (is_cluster(redis)) {
        put(name, slice_text("}"));
    }
}

struct slice redis_channel_of(const struct redis *redis, struct slice name)
{
    const size_t brace = is_cluster(redis) ? 1 : 0;
    const size_t around = redis->prefix.size + 2 * brace;

    if (name.size <= around || name.size - around > REDIS_CHANNEL_SIZE_MAX ||
        memcmp(name.data, redis->prefix.data, redis->prefix.size) != 0 ||
        (brace > 0 && (name.data[redis->prefix.size] != '{' || name.data[name.size - 1] != '}'))) {
        return (struct slice){0};
    }
    return slice_from(name.data + redis->prefix.size + brace, name.size - around);
}

uint16_t redis_channel_slot(const struct redis *redis, struct slice channel)
{
    struct redis_name name;

    if (!is_cluster(redis)) {
        return 0;
    }
    redis_channel_name(redis, channel, &name);
    return redis_slot(slice_from(name.bytes, name.size));
}

/* An empty hash tag is none: the keys would lie in different slots. Nor may a channel pass for the
 * canary's. */
static bool is_possible(const struct redis *redis, struct slice channel)
{
    struct redis_name name;

    if (channel.size == 0 || channel.size > REDIS_CHANNEL_SIZE_MAX ||
        (is_cluster(redis) && channel.data[0] == '}')) {
        return false;
    }
    redis_channel_name(redis, channel, &name);
    return !redis_is_canary(redis, slice_from(name.bytes, name.size));
}

/* --- publish ---------------------------------------------------------------------------------- */

static const char *mark_of(const struct broker_publication *publication)
{
    if (publication->is_unmarked) {
        return "";
    }
    return publication->is_binary ? "b" : "t";
}

static const char *publish_command(const struct redis *redis)
{
    return is_cluster(redis) ? "SPUBLISH" : "PUBLISH";
}

/* Nothing is kept of it: one plain command. */
static enum broker_outcome publish_live(struct redis *redis, struct redis_request *head,
                                        const struct broker_publication *publication)
{
    const struct redis_message message = {.mark = mark_of(publication)[0],
                                          .user = publication->user,
                                          .conn_id = publication->conn_id};
    struct redis_bytes bytes = {0};
    struct redis_name name;
    char header[REDIS_HEADER_SIZE_MAX];
    const size_t header_size = redis_header_write(header, &message);

    head->kind = REDIS_REQUEST_LIVE;
    redis_channel_name(redis, publication->channel, &name);
    redis_bytes_command(&bytes, 3);
    redis_bytes_text(&bytes, publish_command(redis));
    redis_bytes_argument(&bytes, slice_from(name.bytes, name.size));
    redis_bytes_begin(&bytes, header_size + message.user.size + message.conn_id.size +
                                  publication->payload.size);
    redis_bytes_add(&bytes, slice_from(header, header_size));
    redis_bytes_add(&bytes, message.user);
    redis_bytes_add(&bytes, message.conn_id);
    redis_bytes_add(&bytes, publication->payload);
    redis_bytes_end(&bytes);
    return redis_request(redis, head, &bytes);
}

enum broker_outcome redis_publish(struct broker *broker, uint64_t ticket,
                                  const struct broker_publication *publication)
{
    struct redis *redis = redis_of(broker);
    const bool has_key = publication->idempotency_key.size > 0;
    struct redis_bytes bytes = {0};
    struct redis_name name;

    if (!is_possible(redis, publication->channel)) {
        return BROKER_UNAVAILABLE;
    }
    struct redis_request head = {.kind = REDIS_REQUEST_PUBLISH,
                                 .ticket = ticket,
                                 .script = REDIS_NO_SCRIPT,
                                 .slot = redis_channel_slot(redis, publication->channel)};
    if (publication->history.size == 0 && !has_key) {
        return publish_live(redis, &head, publication);
    }
    head.script = REDIS_PUBLISH;
    head.argument_count = has_key ? 12 : 11;
    redis_bytes_number(&bytes, has_key ? 3 : 2);
    add_key(redis, &bytes, publication->channel, ":stream", (struct slice){0});
    add_key(redis, &bytes, publication->channel, ":meta", (struct slice){0});
    if (has_key) {
        add_key(redis, &bytes, publication->channel, ":key:", publication->idempotency_key);
    }
    redis_channel_name(redis, publication->channel, &name);
    redis_bytes_argument(&bytes, slice_from(name.bytes, name.size));
    redis_bytes_argument(&bytes, publication->payload);
    redis_bytes_number(&bytes, publication->history.size);
    redis_bytes_number(&bytes, publication->history.age_s > 0 ? publication->history.age_s : 1);
    redis_bytes_text(&bytes, mark_of(publication));
    redis_bytes_text(&bytes, publish_command(redis));
    redis_bytes_argument(&bytes, publication->user);
    redis_bytes_argument(&bytes, publication->conn_id);
    return redis_request(redis, &head, &bytes);
}

/* --- forward ---------------------------------------------------------------------------------- */

static void add_field(struct redis_bytes *bytes, const char *name, struct slice value)
{
    redis_bytes_text(bytes, name);
    redis_bytes_argument(bytes, value);
}

static void write_stream_entry(const struct redis *redis, struct redis_bytes *bytes,
                               const struct broker_publication *publication)
{
    redis_bytes_command(bytes, 18);
    redis_bytes_text(bytes, "XADD");
    redis_bytes_text(bytes, redis->options.forward_name);
    redis_bytes_text(bytes, "MAXLEN");
    redis_bytes_text(bytes, "~");
    redis_bytes_number(bytes, redis->options.forward_length_max);
    redis_bytes_text(bytes, "*");
    add_field(bytes, "payload", publication->payload);
    add_field(bytes, "user", publication->user);
    add_field(bytes, "connection", publication->conn_id);
    add_field(bytes, "channel", publication->channel);
    redis_bytes_text(bytes, "time");
    redis_bytes_number(bytes, publication->time_ms);
    add_field(bytes, "frame", slice_text(publication->is_binary ? "binary" : "text"));
}

/* A JSON string. All but binary payloads are UTF-8 here; those go as base64. */
static void add_json(struct redis_bytes *json, struct slice text)
{
    redis_bytes_add(json, slice_text("\""));
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t byte = text.data[i];
        char escaped[8];
        if (byte == '"' || byte == '\\') {
            (void)snprintf(escaped, sizeof(escaped), "\\%c", byte);
        } else if (byte < ' ') {
            (void)snprintf(escaped, sizeof(escaped), "\\u%04x", byte);
        } else {
            redis_bytes_add(json, slice_from(&byte, 1));
            continue;
        }
        redis_bytes_add(json, slice_text(escaped));
    }
    redis_bytes_add(json, slice_text("\""));
}

static void add_payload(struct redis_bytes *json, const struct broker_publication *publication)
{
    char *text;

    if (!publication->is_binary) {
        redis_bytes_add(json, slice_text("{\"payload\":"));
        add_json(json, publication->payload);
        return;
    }
    text = malloc(BASE64_SIZE(publication->payload.size) + 1);
    if (!text) {
        json->failed = true;
        return;
    }
    const size_t size = base64_encode(publication->payload, text);
    redis_bytes_add(json, slice_text("{\"payload_base64\":\""));
    redis_bytes_add(json, slice_from(text, size));
    redis_bytes_add(json, slice_text("\""));
    free(text);
}

static void write_json_message(const struct redis *redis, struct redis_bytes *bytes,
                               const struct broker_publication *publication)
{
    struct redis_bytes json = {0};
    char time[48];

    (void)snprintf(time, sizeof(time), ",\"time\":%llu}", (unsigned long long)publication->time_ms);
    add_payload(&json, publication);
    redis_bytes_add(&json, slice_text(",\"user\":"));
    add_json(&json, publication->user);
    redis_bytes_add(&json, slice_text(",\"connection\":"));
    add_json(&json, publication->conn_id);
    redis_bytes_add(&json, slice_text(",\"channel\":"));
    add_json(&json, publication->channel);
    redis_bytes_add(&json, slice_text(time));
    redis_bytes_command(bytes, 3);
    redis_bytes_text(bytes, publish_command(redis));
    redis_bytes_text(bytes, redis->options.forward_name);
    redis_bytes_argument(bytes, slice_from(json.data, json.size));
    bytes->failed |= json.failed;
    redis_bytes_free(&json);
}

enum broker_outcome redis_forward(struct broker *broker, uint64_t ticket,
                                  const struct broker_publication *publication)
{
    struct redis *redis = redis_of(broker);
    struct redis_bytes bytes = {0};

    const struct redis_request head = {
        .kind = REDIS_REQUEST_FORWARD,
        .ticket = ticket,
        .script = REDIS_NO_SCRIPT,
        .slot = is_cluster(redis) ? redis_slot(slice_text(redis->options.forward_name)) : 0};
    if (redis->options.forward == REDIS_FORWARD_STREAM) {
        write_stream_entry(redis, &bytes, publication);
    } else {
        write_json_message(redis, &bytes, publication);
    }
    return redis_request(redis, &head, &bytes);
}

/* --- history ---------------------------------------------------------------------------------- */

enum broker_outcome redis_ask_history(struct redis *redis, const struct redis_request *head,
                                      struct slice channel,
                                      const struct broker_history_query *query)
{
    struct redis_bytes bytes = {0};
    char from[24] = "-";
    uint32_t limit = query->limit < HISTORY_LIMIT_MAX ? query->limit : HISTORY_LIMIT_MAX;

    if (query->is_reverse) {
        memcpy(from, "+", 2);
    }
    if (query->has_since && query->is_reverse) {
        if (query->since.offset <= 1) {
            limit = 0; /* there is nothing before it */
        }
        (void)snprintf(from, sizeof(from), "%llu",
                       (unsigned long long)query->since.offset - (limit > 0 ? 1 : 0));
    } else if (query->has_since) {
        (void)snprintf(from, sizeof(from), "%llu", (unsigned long long)query->since.offset + 1);
    }
    redis_add_keys(redis, &bytes, channel, ":stream", ":meta");
    redis_bytes_number(&bytes, limit);
    redis_bytes_text(&bytes, from);
    redis_bytes_text(&bytes, query->is_reverse ? "reverse" : "");
    return redis_request(redis, head, &bytes);
}

enum broker_outcome redis_history(struct broker *broker, uint64_t ticket, struct slice channel,
                                  const struct broker_history_query *query)
{
    struct redis *redis = redis_of(broker);
    struct redis_request head = {.kind = REDIS_REQUEST_HISTORY,
                                 .ticket = ticket,
                                 .script = REDIS_HISTORY,
                                 .argument_count = 6,
                                 .slot = redis_channel_slot(redis, channel)};

    if (!is_possible(redis, channel)) {
        return BROKER_UNAVAILABLE;
    }
    if (query->has_since) {
        head.since = query->since;
    }
    return redis_ask_history(redis, &head, channel, query);
}

enum broker_outcome redis_history_remove(struct broker *broker, uint64_t ticket,
                                         struct slice channel)
{
    struct redis *redis = redis_of(broker);
    struct redis_bytes bytes = {0};
    const struct redis_request head = {.kind = REDIS_REQUEST_REMOVE,
                                       .ticket = ticket,
                                       .script = REDIS_NO_SCRIPT,
                                       .slot = redis_channel_slot(redis, channel)};

    if (!is_possible(redis, channel)) {
        return BROKER_UNAVAILABLE;
    }
    redis_bytes_command(&bytes, 2);
    redis_bytes_text(&bytes, "DEL");
    add_key(redis, &bytes, channel, ":stream", (struct slice){0});
    return redis_request(redis, &head, &bytes);
}

/* --- replies ---------------------------------------------------------------------------------- */

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

static struct slice text_of(const redisReply *reply)
{
    return slice_from(reply->str, reply->len);
}

static bool read_position(const redisReply *epoch, const redisReply *offset,
                          struct broker_position *position)
{
    if (!is_text(epoch) || epoch->len > BROKER_EPOCH_SIZE_MAX ||
        offset->type != REDIS_REPLY_INTEGER || offset->integer < 0) {
        return false;
    }
    *position = (struct broker_position){.offset = (uint64_t)offset->integer};
    memcpy(position->epoch, epoch->str, epoch->len);
    return true;
}

bool redis_stream_read(const redisReply *reply, struct redis_stream *stream)
{
    *stream = (struct redis_stream){0};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[2]->type != REDIS_REPLY_ARRAY ||
        !read_position(reply->element[0], reply->element[1], &stream->position)) {
        return false;
    }
    stream->items = reply->element[2]->element;
    stream->count = reply->element[2]->elements;
    return true;
}

/* { "<offset>-0", { "d", payload, "m", mark, "u", user, "c", connection } }; other fields may be
 * there, too. */
bool redis_item_read(const redisReply *item, struct redis_message *message)
{
    *message = (struct redis_message){0};
    if (item->type != REDIS_REPLY_ARRAY || item->elements != 2 || !is_text(item->element[0]) ||
        item->element[1]->type != REDIS_REPLY_ARRAY || item->element[1]->elements % 2 != 0) {
        return false;
    }
    const struct slice id = text_of(item->element[0]);
    const uint8_t *dash = id.size > 0 ? memchr(id.data, '-', id.size) : NULL;
    if (!dash ||
        !redis_number_read(slice_from(id.data, (size_t)(dash - id.data)), &message->offset)) {
        return false;
    }
    const redisReply *fields = item->element[1];
    for (size_t i = 0; i < fields->elements; i += 2) {
        const redisReply *name = fields->element[i];
        const redisReply *value = fields->element[i + 1];
        if (!is_text(name) || !is_text(value)) {
            return false;
        }
        if (strcmp(name->str, "d") == 0) {
            message->payload = text_of(value);
        } else if (strcmp(name->str, "m") == 0) {
            message->mark = value->str[0];
        } else if (strcmp(name->str, "u") == 0) {
            message->user = text_of(value);
        } else if (strcmp(name->str, "c") == 0) {
            message->conn_id = text_of(value);
        }
    }
    return message->payload.data != NULL;
}

void redis_publication_of(const struct redis_message *message, struct slice channel,
                          struct broker_publication *publication)
{
    *publication =
        (struct broker_publication){.channel = channel,
                                    .payload = message->payload,
                                    .is_binary = message->mark == 'b',
                                    .is_unmarked = message->mark != 'b' && message->mark != 't',
                                    .offset = message->offset,
                                    .epoch = message->epoch,
                                    .user = message->user,
                                    .conn_id = message->conn_id};
}

static bool lend_items(struct redis *redis, const struct redis_stream *stream, const char *epoch,
                       struct broker_event *event)
{
    redis->publications =
        calloc(stream->count > 0 ? stream->count : 1, sizeof(*redis->publications));
    if (!redis->publications) {
        event->outcome = BROKER_FULL;
        return true;
    }
    for (size_t i = 0; i < stream->count; i++) {
        struct redis_message message;
        if (!redis_item_read(stream->items[i], &message)) {
            return false;
        }
        redis_publication_of(&message, (struct slice){0}, &redis->publications[i]);
        redis->publications[i].epoch = epoch;
    }
    event->publications = redis->publications;
    event->publication_count = (uint32_t)stream->count;
    return true;
}

static bool answer_history(struct redis *redis, const struct redis_request *request,
                           redisReply *reply, struct broker_event *event)
{
    struct redis_stream stream;

    if (!redis_stream_read(reply, &stream)) {
        return false;
    }
    event->position = stream.position;
    if (request->since.epoch[0] != '\0' &&
        strcmp(request->since.epoch, stream.position.epoch) != 0) {
        event->outcome = BROKER_UNRECOVERABLE;
        return true;
    }
    return lend_items(redis, &stream, reply->element[0]->str, event);
}

/* HGETALL: connection and user in turn. */
static bool answer_presence(struct redis *redis, const redisReply *reply,
                            struct broker_event *event)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 != 0) {
        return false;
    }
    redis->present = calloc(reply->elements / 2 + 1, sizeof(*redis->present));
    if (!redis->present) {
        event->outcome = BROKER_FULL;
        return true;
    }
    for (size_t i = 0; i < reply->elements; i += 2) {
        if (!is_text(reply->element[i]) || !is_text(reply->element[i + 1])) {
            return false;
        }
        redis->present[i / 2] = (struct broker_member){.conn_id = text_of(reply->element[i]),
                                                       .user = text_of(reply->element[i + 1])};
    }
    event->members = redis->present;
    event->member_count = (uint32_t)(reply->elements / 2);
    return true;
}

static bool answer_publish(const redisReply *reply, struct broker_event *event)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
           read_position(reply->element[1], reply->element[0], &event->position);
}

void redis_answer(struct redis *redis, const struct redis_request *request, redisReply *reply,
                  struct broker_event *event)
{
    bool is_well = true;

    switch (request->kind) {
    case REDIS_REQUEST_PUBLISH:
        is_well = answer_publish(reply, event);
        break;
    case REDIS_REQUEST_LIVE:
    case REDIS_REQUEST_REMOVE:
        is_well = reply->type == REDIS_REPLY_INTEGER;
        break;
    case REDIS_REQUEST_FORWARD:
        is_well = is_text(reply) || reply->type == REDIS_REPLY_INTEGER;
        break;
    case REDIS_REQUEST_HISTORY:
        is_well = answer_history(redis, request, reply, event);
        break;
    case REDIS_REQUEST_PRESENCE:
        is_well = answer_presence(redis, reply, event);
        break;
    case REDIS_REQUEST_CATCH_UP:
    case REDIS_REQUEST_MEMBERS:
    case REDIS_REQUEST_CANARY:
    case REDIS_REQUEST_ASKING:
        ASSERT(!"a request of a caller");
        break;
    }
    if (!is_well) {
        *event = (struct broker_event){
            .kind = event->kind, .ticket = event->ticket, .outcome = BROKER_REFUSED};
        redis_complain(redis, "an answer to a request");
    }
}
