#include "broker/redis_state.h"

#include <stdlib.h>

#define TRIES_MAX 5

struct redis_node *redis_node_of(struct redis *redis, uint16_t slot)
{
    const uint8_t number = redis->is_cluster ? redis->slots[slot] : 0;

    if (number == REDIS_NO_NODE || redis->nodes[number].commands.state != REDIS_LINK_UP) {
        return NULL;
    }
    return &redis->nodes[number];
}

static void request_free(struct redis *redis, struct redis_request *request)
{
    redis_bytes_free(&request->command);
    free(request);
    redis->request_count--;
}

struct redis_request *redis_request_new(struct redis *redis, enum redis_request_kind kind,
                                        uint64_t ticket, uint16_t slot,
                                        enum broker_outcome *outcome)
{
    if (!redis_node_of(redis, slot)) {
        *outcome = BROKER_AWAY;
        return NULL;
    }
    struct redis_request *request =
        redis->request_count < redis->options->requests_max ? calloc(1, sizeof(*request)) : NULL;
    if (!request) {
        *outcome = BROKER_FULL;
        return NULL;
    }
    redis->request_count++;
    *request = (struct redis_request){
        .kind = kind, .ticket = ticket, .slot = slot, .script = REDIS_NO_SCRIPT};
    return request;
}

/* Appends it to the node's connection, and puts it last of those that wait for an answer. */
static void append(struct redis *redis, struct redis_node *node, struct redis_request *request)
{
    struct redis_bytes *out = redis_link_out(&node->commands);

    if (request->script != REDIS_NO_SCRIPT) {
        redis_script_call(out, request->script, request->tries > 0, request->argument_count);
    }
    redis_bytes_add(out, slice_from(request->command.data, request->command.size));
    request->appended = redis_link_appended(&node->commands);
    request->asked_ms = redis->now_ms;
    request->next = NULL;
    if (node->last) {
        node->last->next = request;
    } else {
        node->first = request;
    }
    node->last = request;
}

enum broker_outcome redis_request_send(struct redis *redis, struct redis_request *request)
{
    struct redis_node *node = redis_node_of(redis, request->slot);

    if (!node || request->command.failed) {
        const enum broker_outcome outcome = node ? BROKER_FULL : BROKER_AWAY;
        request_free(redis, request);
        return outcome;
    }
    append(redis, node, request);
    return BROKER_DONE;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* A script answers with a position: {offset, epoch, ...}; PUBLISH with a number. */
static bool read_published(const redisReply *reply, struct broker_position *position)
{
    *position = (struct broker_position){0};
    if (reply->type == REDIS_REPLY_INTEGER) {
        return true;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER || reply->element[0]->integer < 0 ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        reply->element[1]->len > BROKER_EPOCH_SIZE_MAX) {
        return false;
    }
    position->offset = (uint64_t)reply->element[0]->integer;
    memcpy(position->epoch, reply->element[1]->str, reply->element[1]->len);
    return true;
}

static void answer_published(struct redis *redis, const struct redis_request *request,
                             enum broker_outcome outcome, redisReply *reply)
{
    struct broker_event event = {
        .kind = BROKER_PUBLISHED, .ticket = request->ticket, .outcome = outcome};

    if (outcome == BROKER_DONE && request->kind == REQUEST_PUBLISH &&
        !read_published(reply, &event.position)) {
        redis->health.malformed++;
        event.outcome = BROKER_REFUSED;
    }
    redis_event_add(redis, &event, reply);
}

/* Publications of a history; false: another shape, or no memory. */
static bool read_entries(const redisReply *reply, struct redis_event *at,
                         const struct broker_history_query *query)
{
    const redisReply *entries = reply->element[2];
    struct broker_publication *publications =
        calloc(entries->elements > 0 ? entries->elements : 1, sizeof(*publications));
    uint32_t count = 0;

    at->publications = publications;
    at->event.publications = publications;
    for (size_t i = 0; publications && i < entries->elements; i++) {
        struct broker_publication *to = &publications[count];
        if (!redis_read_entry(entries->element[i], to)) {
            return false;
        }
        to->epoch = at->epoch;
        if (count < query->limit) {
            count++;
        }
    }
    at->event.publication_count = count;
    return publications != NULL;
}

static void answer_history(struct redis *redis, const struct redis_request *request,
                           enum broker_outcome outcome, redisReply *reply)
{
    struct broker_event event = {
        .kind = BROKER_HISTORY, .ticket = request->ticket, .outcome = outcome};
    const bool is_well = outcome == BROKER_DONE && redis_read_position(reply, &event.position);

    if (outcome == BROKER_DONE && !is_well) {
        redis->health.malformed++;
        event.outcome = BROKER_REFUSED;
    }
    if (is_well && request->query.has_since && request->query.since.epoch[0] != '\0' &&
        strcmp(request->query.since.epoch, event.position.epoch) != 0) {
        event.outcome = BROKER_UNRECOVERABLE;
    }
    struct redis_event *added = redis_event_add(redis, &event, reply);
    if (!added || event.outcome != BROKER_DONE) {
        return;
    }
    memcpy(added->epoch, event.position.epoch, sizeof(added->epoch));
    if (!read_entries(reply, added, &request->query)) {
        redis->health.malformed++;
        added->event.outcome = BROKER_REFUSED;
        added->event.publication_count = 0;
    }
}

/* {connection, user, ...} as members, to be freed; NULL: another shape, or no memory. */
static struct broker_member *read_members(const redisReply *reply, uint32_t *count)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 != 0) {
        return NULL;
    }
    struct broker_member *members = calloc(reply->elements / 2 + 1, sizeof(*members));
    for (size_t i = 0; members && i < reply->elements; i += 2) {
        const redisReply *conn_id = reply->element[i];
        const redisReply *user = reply->element[i + 1];
        if (conn_id->type != REDIS_REPLY_STRING || user->type != REDIS_REPLY_STRING) {
            free(members);
            return NULL;
        }
        members[i / 2] = (struct broker_member){.conn_id = slice_from(conn_id->str, conn_id->len),
                                                .user = slice_from(user->str, user->len)};
    }
    *count = (uint32_t)(reply->elements / 2);
    return members;
}

static void answer_presence(struct redis *redis, const struct redis_request *request,
                            enum broker_outcome outcome, redisReply *reply)
{
    struct broker_event event = {
        .kind = BROKER_PRESENCE, .ticket = request->ticket, .outcome = outcome};
    struct broker_member *members =
        outcome == BROKER_DONE ? read_members(reply, &event.member_count) : NULL;

    if (outcome == BROKER_DONE && !members) {
        redis->health.malformed++;
        event.outcome = BROKER_REFUSED;
    }
    event.members = members;
    struct redis_event *added = redis_event_add(redis, &event, reply);
    if (added) {
        added->members = members;
    } else {
        free(members);
    }
}

/* Tells whoever asked; takes the reply, which is NULL when there is none. */
static void answer(struct redis *redis, struct redis_request *request, enum broker_outcome outcome,
                   redisReply *reply)
{
    switch (request->kind) {
    case REQUEST_PUBLISH:
    case REQUEST_FORWARD:
        answer_published(redis, request, outcome, reply);
        break;
    case REQUEST_HISTORY:
        answer_history(redis, request, outcome, reply);
        break;
    case REQUEST_HISTORY_REMOVE:
        redis_event_add(redis,
                        &(struct broker_event){
                            .kind = BROKER_REMOVED, .ticket = request->ticket, .outcome = outcome},
                        reply);
        break;
    case REQUEST_PRESENCE:
        answer_presence(redis, request, outcome, reply);
        break;
    case REQUEST_CATCH_UP:
        redis_catch_up_answer(redis, request->follow, outcome, reply);
        break;
    case REQUEST_CANARY:
    case REQUEST_SILENT:
    case REQUEST_ASKING:
        freeReplyObject(reply);
        break;
    }
    request_free(redis, request);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool may_try_again(struct redis_request *request)
{
    return request->kind != REQUEST_ASKING && ++request->tries < TRIES_MAX;
}

/* Where a cluster says that the slot is; ASK only for this once. True: it is on its way again. */
static bool redirect(struct redis *redis, struct redis_request *request, const char *error)
{
    const bool is_moved = begins(error, "MOVED ");
    struct redis_node *node = NULL;

    if (redis->is_cluster && (is_moved || begins(error, "ASK ")) && may_try_again(request)) {
        node = redis_scout_redirected(redis, strchr(error, ' ') + 1, is_moved);
    }
    if (!node || node->commands.state != REDIS_LINK_UP) {
        return false;
    }
    if (!is_moved) {
        struct redis_request *asking = calloc(1, sizeof(*asking));
        if (!asking) {
            return false;
        }
        redis->request_count++;
        *asking = (struct redis_request){.kind = REQUEST_ASKING, .script = REDIS_NO_SCRIPT};
        redis_bytes_command(&asking->command, 1);
        redis_bytes_text(&asking->command, "ASKING");
        append(redis, node, asking);
    }
    append(redis, node, request);
    return true;
}

/* An error: another way to do it, or the end of it. */
static void handle_error(struct redis *redis, struct redis_node *node,
                         struct redis_request *request, redisReply *reply)
{
    if (begins(reply->str, "NOSCRIPT") && request->script != REDIS_NO_SCRIPT &&
        request->tries == 0 && node->commands.state == REDIS_LINK_UP) {
        request->tries++; /* the text goes with it, and is known from then on */
        append(redis, node, request);
        freeReplyObject(reply);
        return;
    }
    if (redirect(redis, request, reply->str)) {
        freeReplyObject(reply);
        return;
    }
    if (begins(reply->str, "MOVED ") || begins(reply->str, "CLUSTERDOWN")) {
        redis_scout_hurry(redis);
    }
    if (begins(reply->str, "READONLY") || begins(reply->str, "MASTERDOWN")) {
        redis_link_end(&node->commands, reply->str, redis->now_ms); /* it is no master any more */
        redis_scout_hurry(redis);
    }
    redis_complain(redis, "redis refused a request", reply->str);
    answer(redis, request, BROKER_REFUSED, reply);
}

void redis_requests_take(struct redis *redis, struct redis_node *node)
{
    while (redis->event_count < REDIS_EVENTS_MAX) {
        redisReply *reply = redis_link_next(&node->commands, redis->now_ms);
        struct redis_request *request = node->first;
        if (!reply) {
            break;
        }
        if (!request) {
            freeReplyObject(reply);
            redis->health.malformed++;
            redis_link_end(&node->commands, "an answer that nobody had asked for", redis->now_ms);
            break;
        }
        node->first = request->next;
        if (!node->first) {
            node->last = NULL;
        }
        if (reply->type == REDIS_REPLY_ERROR) {
            handle_error(redis, node, request, reply);
        } else {
            answer(redis, request, BROKER_DONE, reply);
        }
    }
    if (node->first && node->commands.state == REDIS_LINK_UP && node->commands.is_drained &&
        redis->now_ms - node->first->asked_ms > redis->options->timeout_ms) {
        redis_link_end(&node->commands, "no answer in time", redis->now_ms);
    }
}

void redis_requests_end(struct redis *redis, struct redis_node *node)
{
    while (node->first) {
        struct redis_request *request = node->first;
        node->first = request->next;
        answer(redis, request,
               request->appended <= node->commands.sent ? BROKER_UNKNOWN : BROKER_AWAY, NULL);
    }
    node->last = NULL;
}
