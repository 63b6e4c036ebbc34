#include "broker/memory.h"

#include "broker/history.h"
#include "broker/keys.h"
#include "broker/presence.h"

#include <stdlib.h>

#define REQUESTS_MAX      1024u
#define SWEEP_INTERVAL_MS 1000u

enum request_kind {
    REQUEST_PUBLISH,
    REQUEST_HISTORY,
    REQUEST_HISTORY_REMOVE,
    REQUEST_PRESENCE,
};

/* What was asked, in one block with its bytes: done when memory_next takes it, in order. */
struct request {
    struct request *next;
    enum request_kind kind;
    uint64_t ticket;
    struct broker_publication publication; /* channel: of the others too */
    struct broker_history_query query;
    struct broker_position position; /* that the publication got */
    bool is_published;               /* its event went out, the answer is due */
    uint8_t bytes[];
};

struct memory {
    struct broker broker;
    struct history *history;
    struct presence *presence;
    struct keys *keys;
    struct request *first;
    struct request *last;
    struct request *answered; /* its bytes are lent until the next call */
    uint32_t request_count;
    uint64_t joins_refused;
    uint64_t now_ms;
    uint64_t sweep_at_ms;
};

static struct memory *memory_of(struct broker *broker)
{
    return (struct memory *)broker;
}

/* --- requests --------------------------------------------------------------------------------- */

/* Moves the bytes of *slice to *to, which moves on. */
static void keep(struct slice *slice, uint8_t **to)
{
    if (slice->size > 0) {
        memcpy(*to, slice->data, slice->size);
    }
    slice->data = *to;
    *to += slice->size;
}

/* Copies the request with its slices and puts it last. */
static enum broker_outcome push(struct memory *memory, const struct request *from)
{
    const struct broker_publication *publication = &from->publication;
    size_t size = publication->channel.size + publication->payload.size + publication->user.size +
                  publication->conn_id.size + publication->idempotency_key.size;

    if (memory->request_count >= REQUESTS_MAX) {
        return BROKER_FULL;
    }
    struct request *request = malloc(sizeof(*request) + size);
    if (!request) {
        return BROKER_FULL;
    }
    *request = *from;
    uint8_t *to = request->bytes;
    keep(&request->publication.channel, &to);
    keep(&request->publication.payload, &to);
    keep(&request->publication.user, &to);
    keep(&request->publication.conn_id, &to);
    keep(&request->publication.idempotency_key, &to);
    if (memory->last) {
        memory->last->next = request;
    } else {
        memory->first = request;
    }
    memory->last = request;
    memory->request_count++;
    return BROKER_DONE;
}

/* The first request has been answered: its bytes stay for as long as they are lent. */
static void pop(struct memory *memory)
{
    free(memory->answered);
    memory->answered = memory->first;
    memory->first = memory->first->next;
    if (!memory->first) {
        memory->last = NULL;
    }
    memory->request_count--;
}

static enum broker_outcome memory_publish(struct broker *broker, uint64_t ticket,
                                          const struct broker_publication *publication)
{
    return push(
        memory_of(broker),
        &(struct request){.kind = REQUEST_PUBLISH, .ticket = ticket, .publication = *publication});
}

/* There is no backend that could read it. */
static enum broker_outcome memory_forward(struct broker *broker, uint64_t ticket,
                                          const struct broker_publication *publication)
{
    (void)broker;
    (void)ticket;
    (void)publication;
    return BROKER_UNAVAILABLE;
}

static enum broker_outcome memory_history(struct broker *broker, uint64_t ticket,
                                          struct slice channel,
                                          const struct broker_history_query *query)
{
    return push(memory_of(broker), &(struct request){.kind = REQUEST_HISTORY,
                                                     .ticket = ticket,
                                                     .publication = {.channel = channel},
                                                     .query = *query});
}

static enum broker_outcome memory_history_remove(struct broker *broker, uint64_t ticket,
                                                 struct slice channel)
{
    return push(memory_of(broker), &(struct request){.kind = REQUEST_HISTORY_REMOVE,
                                                     .ticket = ticket,
                                                     .publication = {.channel = channel}});
}

static enum broker_outcome memory_presence(struct broker *broker, uint64_t ticket,
                                           struct slice channel)
{
    return push(memory_of(broker), &(struct request){.kind = REQUEST_PRESENCE,
                                                     .ticket = ticket,
                                                     .publication = {.channel = channel}});
}

/* --- what comes of them ----------------------------------------------------------------------- */

static struct broker_event answer_to(const struct request *request, enum broker_event_kind kind)
{
    return (struct broker_event){.kind = kind, .ticket = request->ticket, .outcome = BROKER_DONE};
}

/* True when the publication got its position: it goes to subscribers before the answer is given.
 * Else *event is the answer. */
static bool publish(struct memory *memory, struct request *request, struct broker_event *event)
{
    struct broker_publication *publication = &request->publication;
    const bool has_key = publication->idempotency_key.size > 0;
    const struct broker_position *before =
        has_key ? keys_find(memory->keys, publication->channel, publication->idempotency_key,
                            memory->now_ms)
                : NULL;

    *event = answer_to(request, BROKER_PUBLISHED);
    if (before) {
        event->position = *before;
        return false;
    }
    if (publication->history.size > 0) {
        event->outcome =
            history_add(memory->history, publication, memory->now_ms, &request->position);
    }
    if (event->outcome != BROKER_DONE) {
        return false;
    }
    if (has_key) {
        keys_add(memory->keys, publication->channel, publication->idempotency_key,
                 &request->position, memory->now_ms);
    }
    publication->offset = request->position.offset;
    publication->epoch = request->position.epoch;
    return true;
}

static void next_of_publish(struct memory *memory, struct request *request,
                            struct broker_event *event)
{
    if (request->is_published) {
        *event = answer_to(request, BROKER_PUBLISHED);
        event->position = request->position;
    } else if (publish(memory, request, event)) {
        *event =
            (struct broker_event){.kind = BROKER_PUBLICATION, .publication = request->publication};
        request->is_published = true;
        return;
    }
    pop(memory);
}

static void read_presence(struct memory *memory, const struct request *request,
                          struct broker_event *event)
{
    *event = answer_to(request, BROKER_PRESENCE);
    event->members =
        presence_read(memory->presence, request->publication.channel, &event->member_count);
    if (!event->members) {
        event->outcome = BROKER_FULL;
        event->member_count = 0;
    }
}

static bool memory_next(struct broker *broker, struct broker_event *event)
{
    struct memory *memory = memory_of(broker);
    struct request *request = memory->first;

    if (!request) {
        return false;
    }
    switch (request->kind) {
    case REQUEST_PUBLISH:
        next_of_publish(memory, request, event);
        return true;
    case REQUEST_HISTORY:
        *event = answer_to(request, BROKER_HISTORY);
        history_read(memory->history, request->publication.channel, &request->query, memory->now_ms,
                     event);
        break;
    case REQUEST_HISTORY_REMOVE:
        *event = answer_to(request, BROKER_REMOVED);
        history_remove(memory->history, request->publication.channel);
        break;
    case REQUEST_PRESENCE:
        read_presence(memory, request, event);
        break;
    }
    pop(memory);
    return true;
}

/* --- the rest --------------------------------------------------------------------------------- */

static uint32_t memory_poll(struct broker *broker, struct pollfd *fds, uint64_t now_ms,
                            uint64_t *wake_ms)
{
    struct memory *memory = memory_of(broker);
    struct history_counts counts;

    (void)fds;
    memory->now_ms = now_ms;
    history_read_counts(memory->history, &counts);
    *wake_ms = memory->first ? now_ms : UINT64_MAX;
    if (counts.items > 0 && memory->sweep_at_ms < *wake_ms) {
        *wake_ms = memory->sweep_at_ms;
    }
    return 0;
}

static void memory_turn(struct broker *broker, const struct pollfd *fds, uint32_t count,
                        uint64_t now_ms)
{
    struct memory *memory = memory_of(broker);

    (void)fds;
    (void)count;
    memory->now_ms = now_ms;
    if (now_ms >= memory->sweep_at_ms) {
        memory->sweep_at_ms = now_ms + SWEEP_INTERVAL_MS;
        history_sweep(memory->history, now_ms);
    }
}

/* Everything is delivered: there is nothing to follow. */
static void memory_follow(struct broker *broker, struct slice name, bool is_pattern,
                          const struct broker_history *history)
{
    (void)broker;
    (void)name;
    (void)is_pattern;
    (void)history;
}

static void memory_unfollow(struct broker *broker, struct slice name, bool is_pattern)
{
    (void)broker;
    (void)name;
    (void)is_pattern;
}

static void memory_join(struct broker *broker, struct slice channel,
                        const struct broker_member *member)
{
    struct memory *memory = memory_of(broker);

    if (!presence_join(memory->presence, channel, member)) {
        memory->joins_refused++;
    }
}

static void memory_leave(struct broker *broker, struct slice channel, struct slice conn_id)
{
    presence_leave(memory_of(broker)->presence, channel, conn_id);
}

static void memory_health(struct broker *broker, struct broker_health *health, uint64_t now_ms)
{
    const struct memory *memory = memory_of(broker);

    (void)now_ms;
    *health = (struct broker_health){
        .is_up = true, .joins_refused = memory->joins_refused, .requests = memory->request_count};
}

static void memory_close(struct broker *broker)
{
    struct memory *memory = memory_of(broker);

    while (memory->first) {
        pop(memory);
    }
    free(memory->answered);
    history_close(memory->history);
    presence_close(memory->presence);
    keys_close(memory->keys);
    free(memory);
}

static const struct broker_kind memory_kind = {
    .name = "memory",
    .follows = false,
    .close = memory_close,
    .poll = memory_poll,
    .turn = memory_turn,
    .next = memory_next,
    .publish = memory_publish,
    .forward = memory_forward,
    .history = memory_history,
    .history_remove = memory_history_remove,
    .presence = memory_presence,
    .follow = memory_follow,
    .unfollow = memory_unfollow,
    .join = memory_join,
    .leave = memory_leave,
    .health = memory_health,
};

struct broker *memory_open(const struct memory_options *options, uint64_t now_ms)
{
    const struct history_limits limits = {.streams_max = options->channels_max,
                                          .bytes_max = options->history_bytes_max};
    struct memory *memory = calloc(1, sizeof(*memory));

    if (!memory) {
        return NULL;
    }
    memory->broker.kind = &memory_kind;
    memory->now_ms = now_ms;
    memory->sweep_at_ms = now_ms + SWEEP_INTERVAL_MS;
    memory->history = history_open(&limits);
    memory->presence = presence_open(options->members_max);
    memory->keys = keys_open(options->idempotency_keys_max);
    if (!memory->history || !memory->presence || !memory->keys) {
        memory_close(&memory->broker);
        return NULL;
    }
    return &memory->broker;
}
