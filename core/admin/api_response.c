#include "admin/api_response.h"

#include "admin/raw_json.h"

#include <stdlib.h>

static void put_member(struct json_out *out, const char *name, struct slice text)
{
    json_out_text(out, name);
    json_out_string(out, text);
}

static void put_count(struct json_out *out, const char *name, uint64_t number)
{
    json_out_text(out, name);
    json_out_number(out, number);
}

static void put_error(struct json_out *out, const struct api_error *error)
{
    put_count(out, "{\"code\":", error->code);
    put_member(out, ",\"message\":", slice_text(error->message));
    json_out_text(out, "}");
}

void api_response_write_error(struct json_out *out, const struct api_error *error, bool is_bare)
{
    json_out_text(out, is_bare ? "" : "{\"error\":");
    put_error(out, error);
    json_out_text(out, is_bare ? "" : "}");
}

unsigned api_error_status(enum api_code code)
{
    switch (code) {
    case API_DONE:
        return 200;
    case API_UNKNOWN_CHANNEL:
    case API_NOT_FOUND:
        return 404;
    case API_BAD_REQUEST:
    case API_NOT_AVAILABLE:
        return 400;
    case API_UNRECOVERABLE:
        return 416;
    case API_INTERNAL:
        break;
    }
    return 500;
}

/* --- results ---------------------------------------------------------------------------------- */

/* Where a channel has no history there is no position. */
static void put_published(struct json_out *out, const struct api_part *part)
{
    if (part->offset == 0) {
        json_out_text(out, "{}");
        return;
    }
    put_count(out, "{\"offset\":", part->offset);
    put_member(out, ",\"epoch\":", slice_text(part->epoch));
    json_out_text(out, "}");
}

static void put_info(struct json_out *out, const struct api_member *member)
{
    put_member(out, "{\"user\":", member->user);
    put_member(out, ",\"client\":", member->conn_id);
    json_out_text(out, "}");
}

/* Whoever published the bytes may not have cared for JSON: then they come as base64. */
static void put_publication(struct json_out *out, const struct api_publication *publication)
{
    const struct api_member publisher = {.conn_id = publication->conn_id,
                                         .user = publication->user};
    size_t bad_at;

    if (!publication->is_binary && raw_json_check(publication->payload, &bad_at)) {
        json_out_text(out, "{\"data\":");
        json_out_raw(out, publication->payload);
    } else {
        json_out_text(out, "{\"b64data\":");
        json_out_base64(out, publication->payload);
    }
    if (publication->conn_id.size > 0) {
        json_out_text(out, ",\"info\":");
        put_info(out, &publisher);
    }
    put_count(out, ",\"offset\":", publication->offset);
    json_out_text(out, "}");
}

static void put_history(struct json_out *out, const struct api_part *part)
{
    json_out_text(out, "{\"publications\":[");
    for (uint32_t i = 0; i < part->count; i++) {
        json_out_text(out, i > 0 ? "," : "");
        put_publication(out, &part->publications[i]);
    }
    put_member(out, "],\"epoch\":", slice_text(part->epoch));
    put_count(out, ",\"offset\":", part->offset);
    json_out_text(out, "}");
}

static void put_presence(struct json_out *out, const struct api_part *part)
{
    json_out_text(out, "{\"presence\":{");
    for (uint32_t i = 0; i < part->count; i++) {
        json_out_text(out, i > 0 ? "," : "");
        json_out_string(out, part->members[i].conn_id);
        json_out_text(out, ":");
        put_info(out, &part->members[i]);
    }
    json_out_text(out, "}}");
}

static int compare_users(const void *left, const void *right)
{
    const struct slice *a = left;
    const struct slice *b = right;

    if (a->size != b->size) {
        return a->size < b->size ? -1 : 1;
    }
    return a->size == 0 ? 0 : memcmp(a->data, b->data, a->size);
}

static uint32_t count_users(struct json_out *out, const struct api_part *part)
{
    struct slice *users = calloc(part->count > 0 ? part->count : 1, sizeof(*users));
    uint32_t count = 0;

    if (!users) {
        out->failed = true;
        return 0;
    }
    for (uint32_t i = 0; i < part->count; i++) {
        users[i] = part->members[i].user;
    }
    qsort(users, part->count, sizeof(*users), compare_users);
    for (uint32_t i = 0; i < part->count; i++) {
        count += i == 0 || compare_users(&users[i - 1], &users[i]) != 0 ? 1 : 0;
    }
    free(users);
    return count;
}

static void put_presence_stats(struct json_out *out, const struct api_part *part)
{
    put_count(out, "{\"num_clients\":", part->count);
    put_count(out, ",\"num_users\":", count_users(out, part));
    json_out_text(out, "}");
}

static void put_channels(struct json_out *out, const struct api_part *part)
{
    json_out_text(out, "{\"channels\":{");
    for (uint32_t i = 0; i < part->count; i++) {
        json_out_text(out, i > 0 ? "," : "");
        json_out_string(out, part->channels[i].name);
        put_count(out, ":{\"num_clients\":", part->channels[i].subscribers);
        json_out_text(out, "}");
    }
    json_out_text(out, "}}");
}

static void put_node(struct json_out *out, const struct api_part *part)
{
    const struct api_node *node = part->node;

    put_member(out, "{\"nodes\":[{\"uid\":", slice_text(node->id));
    put_member(out, ",\"name\":", slice_text(node->name));
    put_member(out, ",\"version\":", slice_text(LIMPET_VERSION));
    put_count(out, ",\"num_clients\":", node->clients);
    put_count(out, ",\"num_users\":", node->users);
    put_count(out, ",\"num_channels\":", node->channels);
    put_count(out, ",\"num_subs\":", node->subscriptions);
    put_count(out, ",\"uptime\":", node->uptime_s);
    json_out_text(out, "}]}");
}

static void put_broadcast(struct json_out *out, const struct api_part *parts, uint32_t count)
{
    json_out_text(out, "{\"responses\":[");
    for (uint32_t i = 0; i < count; i++) {
        json_out_text(out, i > 0 ? "," : "");
        if (parts[i].error.code != API_DONE) {
            api_response_write_error(out, &parts[i].error, false);
        } else {
            json_out_text(out, "{\"result\":");
            put_published(out, &parts[i]);
            json_out_text(out, "}");
        }
    }
    json_out_text(out, "]}");
}

static void put_result(struct json_out *out, const struct api_command *command,
                       const struct api_part *parts)
{
    switch (command->method) {
    case API_PUBLISH:
        put_published(out, parts);
        return;
    case API_BROADCAST:
        put_broadcast(out, parts, command->channel_count);
        return;
    case API_PRESENCE:
        put_presence(out, parts);
        return;
    case API_PRESENCE_STATS:
        put_presence_stats(out, parts);
        return;
    case API_HISTORY:
        put_history(out, parts);
        return;
    case API_HISTORY_REMOVE:
        json_out_text(out, "{}");
        return;
    case API_CHANNELS:
        put_channels(out, parts);
        return;
    case API_INFO:
        put_node(out, parts);
        return;
    case API_BATCH:
    case API_METHODS:
        break;
    }
    ASSERT(!"a command is no batch");
}

/* --- answers ---------------------------------------------------------------------------------- */

uint32_t api_part_count(const struct api_command *command)
{
    if (command->error.code != API_DONE) {
        return 0;
    }
    return command->method == API_BROADCAST ? command->channel_count : 1;
}

/* Why the command as a whole has no result; NULL when it has one. */
static const struct api_error *error_of(const struct api_command *command,
                                        const struct api_part *parts)
{
    if (command->error.code != API_DONE) {
        return &command->error;
    }
    bool is_one = command->method != API_BROADCAST;
    return is_one && parts->error.code != API_DONE ? &parts->error : NULL;
}

static void put_reply(struct json_out *out, const struct api_command *command,
                      const struct api_part *parts)
{
    const struct api_error *error = error_of(command, parts);

    if (error) {
        api_response_write_error(out, error, false);
        return;
    }
    json_out_text(out, "{\"");
    json_out_text(out, api_method_name(command->method));
    json_out_text(out, "\":");
    put_result(out, command, parts);
    json_out_text(out, "}");
}

const struct api_error *api_response_error(const struct api_request *request,
                                           const struct api_part *parts)
{
    return request->method == API_BATCH ? NULL : error_of(request->commands, parts);
}

void api_response_write(struct json_out *out, const struct api_request *request,
                        const struct api_part *parts, bool is_bare)
{
    if (request->method == API_BATCH) {
        json_out_text(out, "{\"replies\":[");
        for (uint32_t i = 0; i < request->command_count; i++) {
            json_out_text(out, i > 0 ? "," : "");
            put_reply(out, &request->commands[i], parts);
            parts += api_part_count(&request->commands[i]);
        }
        json_out_text(out, "]}");
        return;
    }
    ASSERT(request->command_count == 1);
    const struct api_error *error = api_response_error(request, parts);
    if (error) {
        api_response_write_error(out, error, is_bare);
        return;
    }
    json_out_text(out, "{\"result\":");
    put_result(out, request->commands, parts);
    json_out_text(out, "}");
}
