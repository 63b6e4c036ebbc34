#include "broker/redis_state.h"

#include <stdio.h>
#include <stdlib.h>

#define REQUEST_BYTES_MAX (64u << 20) /* of all in flight */
#define REDIRECTS_MAX     8u
#define DELAY_MS          UINT64_C(50) /* until one is sent again that met a slot on its way */

static void append(struct redis_request_list *list, struct redis_request *request)
{
    request->next = NULL;
    if (list->last) {
        list->last->next = request;
    } else {
        list->first = request;
    }
    list->last = request;
}

static struct redis_request *take_first(struct redis_request_list *list)
{
    struct redis_request *request = list->first;

    if (request) {
        list->first = request->next;
        if (!list->first) {
            list->last = NULL;
        }
    }
    return request;
}

void redis_requests_free(struct redis_request_list *list)
{
    struct redis_request *request;

    while ((request = take_first(list))) {
        free(request);
    }
}

static void forget(struct redis *redis, struct redis_request *request)
{
    redis->request_count--;
    redis->request_bytes -= request->size;
    free(request);
}

/* --- out -------------------------------------------------------------------------------------- */

static bool is_ours(enum redis_request_kind kind)
{
    return kind >= REDIS_REQUEST_CATCH_UP;
}

static void write_asking(struct redis *redis, struct redis_node *node)
{
    struct redis_request *asking = calloc(1, sizeof(*asking));
    struct redis_bytes *out = redis_link_out(&node->commands);

    if (!asking) {
        out->failed = true; /* ends the connection, and with it the request */
        return;
    }
    redis_bytes_command(out, 1);
    redis_bytes_text(out, "ASKING");
    asking->kind = REDIS_REQUEST_ASKING;
    asking->sent_ms = redis->now_ms;
    asking->end = redis_link_appended(&node->commands);
    redis->request_count++;
    append(&node->sent, asking);
}

static void send_on(struct redis *redis, struct redis_node *node, struct redis_request *request)
{
    struct redis_bytes *out = redis_link_out(&node->commands);

    if (request->is_asking) {
        write_asking(redis, node);
    }
    if (request->script != REDIS_NO_SCRIPT) {
        redis_script_call(out, request->script, request->with_text, request->argument_count);
    }
    redis_bytes_add(out, slice_from(request->bytes, request->size));
    request->end = redis_link_appended(&node->commands);
    request->sent_ms = redis->now_ms;
    append(&node->sent, request);
}

static bool is_slot_delayed(const struct redis *redis, uint16_t slot)
{
    const struct redis_request *each = redis->delayed.first;

    while (each && each->slot != slot) {
        each = each->next;
    }
    return each;
}

/* Not before those that came before it. */
static void send_in_turn(struct redis *redis, struct redis_node *node,
                         struct redis_request *request)
{
    if (redis->is_held) {
        append(&redis->waiting, request);
    } else if (is_slot_delayed(redis, request->slot)) {
        request->sent_ms = redis->now_ms;
        append(&redis->delayed, request);
    } else {
        send_on(redis, node, request);
    }
}

enum broker_outcome redis_request(struct redis *redis, const struct redis_request *head,
                                  struct redis_bytes *bytes)
{
    struct redis_node *node = redis_node_of(redis, head->slot);
    struct redis_request *request = NULL;
    enum broker_outcome outcome = BROKER_DONE;

    if (!node) {
        outcome = BROKER_AWAY;
    } else if (bytes->failed ||
               (!is_ours(head->kind) && (redis->request_count >= redis->options.requests_max ||
                                         redis->request_bytes >= REQUEST_BYTES_MAX))) {
        outcome = BROKER_FULL;
    } else {
        request = malloc(sizeof(*request) + bytes->size);
        outcome = request ? BROKER_DONE : BROKER_FULL;
    }
    if (request) {
        *request = *head;
        request->size = bytes->size;
        memcpy(request->bytes, bytes->data, bytes->size);
        redis->request_count++;
        redis->request_bytes += request->size;
        send_in_turn(redis, node, request);
    }
    redis_bytes_free(bytes);
    return outcome;
}

/* --- what becomes of them --------------------------------------------------------------------- */

/* Whoever asked is told when it is next's turn. */
static void fail(struct redis *redis, struct redis_request *request, enum broker_outcome outcome)
{
    if (request->kind == REDIS_REQUEST_CATCH_UP) {
        redis_catch_up_answered(redis, request->subscription, NULL);
    }
    if (is_ours(request->kind)) {
        forget(redis, request);
        return;
    }
    request->outcome = outcome;
    append(&redis->failed, request);
}

/* --- again ------------------------------------------------------------------------------------ */

/*
 * A request that Redis wants to be sent again, for it does not know the script or the slot has
 * moved, must not be overtaken by one that came after it. Those that are on their way may need the
 * same, also when the slots that are known have changed: all of them are waited for. Then they are
 * sent in their order, and what came meanwhile follows.
 *
 * Two cases are out of reach: one that was on its way and that Redis took, while the one before it
 * is to be sent again after a while (TRYAGAIN, CLUSTERDOWN), or because another host loaded the
 * script between the two. It has been published when this is read.
 */
static void queue_again(struct redis *redis, struct redis_node *from, struct redis_request *request,
                        struct redis_node *to)
{
    if (from->again_end == 0) {
        from->again_end = redis_link_appended(&from->commands);
    }
    request->target = to;
    redis->is_held = true;
    append(&redis->again, request);
}

void redis_requests_hold(struct redis *redis)
{
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        struct redis_node *node = &redis->nodes[i];
        if (node->is_used && node->sent.first && node->again_end == 0) {
            node->again_end = redis_link_appended(&node->commands);
            redis->is_held = true;
        }
    }
}

static void delay(struct redis *redis, struct redis_request *request)
{
    request->is_asking = false;
    request->sent_ms = redis->now_ms + DELAY_MS * request->redirects;
    append(&redis->delayed, request);
}

static bool is_waited_for(const struct redis_node *node)
{
    return node->is_used && node->again_end != 0 && node->sent.first &&
           node->sent.first->end <= node->again_end;
}

static void send_one_again(struct redis *redis, struct redis_request *request)
{
    struct redis_node *to = request->target;
    const bool is_up = to->is_used && to->commands.state == REDIS_LINK_UP;

    if (request->has_moved && to->is_used) {
        redis->slots[request->slot] = (uint8_t)(to - redis->nodes);
    }
    request->has_moved = false;
    if (is_up && !is_slot_delayed(redis, request->slot)) {
        send_on(redis, to, request);
    } else if (redis->options.topology == REDIS_CLUSTER) {
        delay(redis, request);
    } else {
        fail(redis, request, BROKER_AWAY);
    }
}

/* When all that were on their way have been answered. */
static void send_again(struct redis *redis)
{
    struct redis_request_list again = redis->again;
    struct redis_request_list waiting = redis->waiting;
    struct redis_request *request;

    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        if (is_waited_for(&redis->nodes[i])) {
            return;
        }
    }
    redis->again = (struct redis_request_list){0};
    redis->waiting = (struct redis_request_list){0};
    redis->is_held = false;
    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        redis->nodes[i].again_end = 0;
    }
    while ((request = take_first(&again))) {
        send_one_again(redis, request);
    }
    while ((request = take_first(&waiting))) {
        struct redis_node *node = redis_node_of(redis, request->slot);
        if (node) {
            send_in_turn(redis, node, request);
        } else {
            fail(redis, request, BROKER_AWAY);
        }
    }
}

void redis_requests_fail(struct redis *redis, struct redis_node *node)
{
    struct redis_request *request;

    while ((request = take_first(&node->sent))) {
        /* A command that did not go out to its last byte was not executed. */
        fail(redis, request, request->end <= node->commands.sent ? BROKER_UNKNOWN : BROKER_AWAY);
    }
    if (redis->is_held) {
        send_again(redis);
    }
}

static struct broker_event event_of(const struct redis_request *request)
{
    static const enum broker_event_kind kinds[] = {
        [REDIS_REQUEST_PUBLISH] = BROKER_PUBLISHED, [REDIS_REQUEST_LIVE] = BROKER_PUBLISHED,
        [REDIS_REQUEST_FORWARD] = BROKER_PUBLISHED, [REDIS_REQUEST_HISTORY] = BROKER_HISTORY,
        [REDIS_REQUEST_REMOVE] = BROKER_REMOVED,    [REDIS_REQUEST_PRESENCE] = BROKER_PRESENCE,
    };

    ASSERT(!is_ours(request->kind));
    return (struct broker_event){
        .kind = kinds[request->kind], .ticket = request->ticket, .outcome = request->outcome};
}

bool redis_requests_next_failed(struct redis *redis, struct broker_event *event)
{
    struct redis_request *request = take_first(&redis->failed);

    if (!request) {
        return false;
    }
    *event = event_of(request);
    forget(redis, request);
    return true;
}

/* --- errors ----------------------------------------------------------------------------------- */

static bool begins(const redisReply *reply, const char *text)
{
    return strncmp(reply->str, text, strlen(text)) == 0;
}

/* The node that "MOVED 3999 127.0.0.1:6381" names; without a host it is the one that answered. */
static struct redis_node *redirected_to(struct redis *redis, const struct redis_node *from,
                                        const redisReply *reply)
{
    const char *place = strrchr(reply->str, ' ');
    char text[REDIS_HOST_SIZE_MAX + 16];
    const char *colon = place ? strrchr(place, ':') : NULL;
    struct redis_address address;

    if (!colon) {
        return NULL;
    }
    const int host_size = (int)(colon - place - 1);
    const bool is_v6 = host_size > 0 && memchr(place + 1, ':', (size_t)host_size);
    const char *host = host_size > 0 ? place + 1 : from->commands.address.host;
    (void)snprintf(text, sizeof(text), is_v6 ? "[%.*s]%s" : "%.*s%s",
                   host_size > 0 ? host_size : REDIS_HOST_SIZE_MAX, host, colon);
    return redis_address_read(text, &address) ? redis_topology_node(redis, &address) : NULL;
}

/* Another node has the slot, or will have: the request goes there, when its connection is up. */
static void redirect(struct redis *redis, struct redis_node *from, struct redis_request *request,
                     const redisReply *reply)
{
    struct redis_node *to = begins(reply, "TRYAGAIN") || begins(reply, "CLUSTERDOWN")
                                ? NULL
                                : redirected_to(redis, from, reply);

    request->is_asking = begins(reply, "ASK ");
    request->has_moved = begins(reply, "MOVED ");
    redis->is_stale |= request->has_moved;
    request->redirects++;
    if (to) {
        queue_again(redis, from, request, to);
    } else {
        delay(redis, request);
    }
}

static bool is_redirection(const redisReply *reply)
{
    return begins(reply, "MOVED ") || begins(reply, "ASK ") || begins(reply, "TRYAGAIN") ||
           begins(reply, "CLUSTERDOWN");
}

/* It could not be done, by this node or at all; nothing was done. */
static enum broker_outcome outcome_of(struct redis *redis, struct redis_node *node,
                                      const redisReply *reply)
{
    if (begins(reply, "READONLY") || begins(reply, "MASTERDOWN") || begins(reply, "LOADING") ||
        begins(reply, "CLUSTERDOWN")) {
        redis_topology_doubt(redis, node);
        return BROKER_AWAY;
    }
    return begins(reply, "FULL") ? BROKER_FULL : BROKER_REFUSED;
}

/* True when the request is on its way again. */
static bool try_again(struct redis *redis, struct redis_node *node, struct redis_request *request,
                      const redisReply *reply)
{
    if (begins(reply, "NOSCRIPT") && !request->with_text && request->script != REDIS_NO_SCRIPT) {
        request->with_text = true;
        queue_again(redis, node, request, node);
        return true;
    }
    if (redis->options.topology == REDIS_CLUSTER && is_redirection(reply) &&
        request->redirects < REDIRECTS_MAX) {
        redirect(redis, node, request, reply);
        return true;
    }
    return false;
}

/* --- in --------------------------------------------------------------------------------------- */

static const char *name_of(enum redis_request_kind kind)
{
    static const char *const names[] = {
        [REDIS_REQUEST_PUBLISH] = "publish",   [REDIS_REQUEST_LIVE] = "publish",
        [REDIS_REQUEST_FORWARD] = "forward",   [REDIS_REQUEST_HISTORY] = "history",
        [REDIS_REQUEST_REMOVE] = "remove",     [REDIS_REQUEST_PRESENCE] = "presence",
        [REDIS_REQUEST_CATCH_UP] = "catch up", [REDIS_REQUEST_MEMBERS] = "join or leave",
        [REDIS_REQUEST_CANARY] = "canary",     [REDIS_REQUEST_ASKING] = "asking"};

    return names[kind];
}

/* Our own requests need no event; what follows of an answer is done here. */
static void take_ours(struct redis *redis, struct redis_request *request, redisReply *reply)
{
    if (request->kind == REDIS_REQUEST_CATCH_UP) {
        redis_catch_up_answered(redis, request->subscription, reply);
    } else {
        if (request->kind != REDIS_REQUEST_ASKING && reply->type != REDIS_REPLY_INTEGER) {
            redis_complain(redis, name_of(request->kind));
        }
        freeReplyObject(reply);
    }
    forget(redis, request);
}

static bool take_error(struct redis *redis, struct redis_node *node, struct redis_request *request,
                       const redisReply *reply, struct broker_event *event)
{
    if (try_again(redis, node, request, reply)) {
        return false;
    }
    redis_tell_error(redis, name_of(request->kind), reply);
    fail(redis, request, outcome_of(redis, node, reply));
    return redis_requests_next_failed(redis, event);
}

static bool take_reply(struct redis *redis, struct redis_node *node, redisReply *reply,
                       struct broker_event *event)
{
    struct redis_request *request = take_first(&node->sent);

    if (!request) {
        redis_complain(redis, "a reply that nobody asked for");
        redis_link_end(&node->commands, "a reply that nobody asked for", redis->now_ms);
        freeReplyObject(reply);
        return false;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        const bool has_event = take_error(redis, node, request, reply, event);
        freeReplyObject(reply);
        return has_event;
    }
    if (is_ours(request->kind)) {
        take_ours(redis, request, reply);
        return false;
    }
    request->outcome = BROKER_DONE;
    *event = event_of(request);
    redis_answer(redis, request, reply, event);
    forget(redis, request);
    redis->lent_reply = reply;
    return true;
}

bool redis_requests_take(struct redis *redis, struct redis_node *node, redisReply *reply,
                         struct broker_event *event)
{
    const bool has_event = take_reply(redis, node, reply, event);

    if (redis->is_held) {
        send_again(redis);
    }
    return has_event;
}

/* Sends what was delayed; when to be called again. None is sent before an earlier one of its slot.
 */
static uint64_t send_delayed(struct redis *redis)
{
    struct redis_request_list due = redis->delayed;
    struct redis_request *request;
    uint8_t blocked[REDIS_SLOTS / 8] = {0};
    uint64_t wake_ms = UINT64_MAX;

    redis->delayed = (struct redis_request_list){0};
    while ((request = take_first(&due))) {
        const uint8_t bit = (uint8_t)(1u << (request->slot % 8));
        if (blocked[request->slot / 8] & bit) {
            append(&redis->delayed, request);
            continue;
        }
        struct redis_node *node = redis_node_of(redis, request->slot);
        if (request->sent_ms <= redis->now_ms && node) {
            send_on(redis, node, request);
            continue;
        }
        if (request->sent_ms > redis->now_ms) {
            append(&redis->delayed, request);
        } else if (request->redirects++ < REDIRECTS_MAX) {
            delay(redis, request);
        } else {
            fail(redis, request, BROKER_AWAY);
            continue;
        }
        blocked[request->slot / 8] |= bit;
        wake_ms = request->sent_ms < wake_ms ? request->sent_ms : wake_ms;
    }
    return wake_ms;
}

/* Ends connections on which answers are overdue, too. */
uint64_t redis_requests_turn(struct redis *redis)
{
    uint64_t wake_ms = redis->delayed.first ? send_delayed(redis) : UINT64_MAX;

    for (uint32_t i = 0; i < REDIS_MASTERS_MAX; i++) {
        struct redis_node *node = &redis->nodes[i];
        if (!node->is_used || !node->sent.first) {
            continue;
        }
        const uint64_t until_ms = node->sent.first->sent_ms + redis->options.timeout_ms;
        if (redis->now_ms < until_ms) {
            wake_ms = until_ms < wake_ms ? until_ms : wake_ms;
        } else if (redis->was_polled && node->commands.is_drained) {
            redis_link_end(&node->commands, "no answer in time", redis->now_ms);
        }
    }
    return wake_ms;
}
