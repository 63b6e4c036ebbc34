#include "io/ring.h"
#include "server/conn.h"
#include "server/relay_state.h"

#include <stdlib.h>

#define REQUESTS_PER_TURN_MAX 256u

enum request_kind {
    REQUEST_PUBLISH,
    REQUEST_FOLLOW,
    REQUEST_UNFOLLOW,
    REQUEST_JOIN,
    REQUEST_LEAVE,
    REQUEST_REPORT,
    REQUEST_ASK,
};

/* The head of a request; then the channel's name, the user, and what a client sent. */
struct request {
    uint8_t kind;
    uint8_t channel_size;
    uint8_t user_size;
    bool is_binary;
    bool is_pattern;
    bool is_last; /* piece of a report */
    uint16_t shard;
    uint32_t number;
    uint32_t generation;
    struct relay_ask *ask;
    uint64_t time_ms;
};

static_assert(TOKEN_SUBJECT_MAX <= UINT8_MAX, "a user's name fits");
static_assert(CHANNEL_NAME_MAX <= UINT8_MAX, "a channel's name fits");

/* --- from a shard ----------------------------------------------------------------------------- */

static bool post(struct shard *shard, struct request request, struct slice channel,
                 struct slice user, struct slice payload)
{
    const struct relay *relay = shard->server->relay;
    uint8_t head[sizeof(request) + CHANNEL_NAME_MAX + TOKEN_SUBJECT_MAX];
    size_t size = sizeof(request);
    bool wake = false;

    ASSERT(channel.size <= CHANNEL_NAME_MAX);
    ASSERT(user.size <= TOKEN_SUBJECT_MAX);
    request.channel_size = (uint8_t)channel.size;
    request.user_size = (uint8_t)user.size;
    request.shard = (uint16_t)shard->number;
    memcpy(head, &request, sizeof(request));
    if (channel.size > 0) {
        memcpy(head + size, channel.data, channel.size);
        size += channel.size;
    }
    if (user.size > 0) {
        memcpy(head + size, user.data, user.size);
        size += user.size;
    }
    if (!mailbox_post(relay->mailbox, slice_from(head, size), payload, &wake)) {
        counter_add(&shard->counts.mailbox_full, 1);
        return false;
    }
    if (wake) {
        bell_ring(&relay->bell);
    }
    return true;
}

static struct request of_conn(struct shard *shard, enum request_kind kind, uint32_t number)
{
    return (struct request){.kind = (uint8_t)kind,
                            .number = number,
                            .generation = conn_at(shard, number)->generation,
                            .time_ms = ring_unix_ms(shard->ring)};
}

bool relay_publish(struct shard *shard, uint32_t number, struct slice channel, bool is_binary,
                   struct slice payload)
{
    struct request request = of_conn(shard, REQUEST_PUBLISH, number);

    request.is_binary = is_binary;
    return post(shard, request, channel, identities_user(&shard->identities, number), payload);
}

bool relay_follow(struct shard *shard, struct slice name, bool is_pattern, bool has_subscribers)
{
    const struct request request = {.kind = has_subscribers ? REQUEST_FOLLOW : REQUEST_UNFOLLOW,
                                    .is_pattern = is_pattern};

    return post(shard, request, name, (struct slice){0}, (struct slice){0});
}

bool relay_join(struct shard *shard, uint32_t number, struct slice channel)
{
    return post(shard, of_conn(shard, REQUEST_JOIN, number), channel,
                identities_user(&shard->identities, number), (struct slice){0});
}

bool relay_leave(struct shard *shard, uint32_t number, struct slice channel)
{
    return post(shard, of_conn(shard, REQUEST_LEAVE, number), channel, (struct slice){0},
                (struct slice){0});
}

bool relay_report(struct shard *shard, uint32_t report, struct slice piece, bool is_last)
{
    const struct request request = {.kind = REQUEST_REPORT, .number = report, .is_last = is_last};

    return post(shard, request, (struct slice){0}, (struct slice){0}, piece);
}

void relay_shard_ended(struct shard *shard)
{
    counter_set(&shard->server->relay->ended[shard->number], 1);
}

/* --- from the API ----------------------------------------------------------------------------- */

/* Moves the bytes of *slice to *to, which moves on. */
static void keep(struct slice *slice, uint8_t **to)
{
    if (slice->size > 0) {
        memcpy(*to, slice->data, slice->size);
    }
    slice->data = *to;
    *to += slice->size;
}

/* A copy in one block, or NULL. */
static struct relay_ask *make_ask(const struct relay_request *request)
{
    const struct broker_publication *from = &request->publication;
    struct relay_ask *ask =
        malloc(sizeof(*ask) + from->channel.size + from->payload.size + from->user.size +
               from->conn_id.size + from->idempotency_key.size + request->pattern.size);

    if (ask) {
        uint8_t *to = (uint8_t *)(ask + 1);
        ask->request = *request;
        keep(&ask->request.publication.channel, &to);
        keep(&ask->request.publication.payload, &to);
        keep(&ask->request.publication.user, &to);
        keep(&ask->request.publication.conn_id, &to);
        keep(&ask->request.publication.idempotency_key, &to);
        keep(&ask->request.pattern, &to);
    }
    return ask;
}

/* Nobody could be given it, or it names no channel. */
static bool is_out_of_bounds(const struct relay *relay, const struct relay_request *request)
{
    const size_t channel_size = request->publication.channel.size;

    if (request->question == RELAY_CHANNELS) {
        return request->pattern.size > CHANNEL_NAME_MAX;
    }
    return channel_size == 0 || channel_size > CHANNEL_NAME_MAX ||
           request->publication.payload.size > relay_payload_max(relay);
}

enum broker_outcome relay_ask(struct relay *relay, const struct relay_request *request,
                              void (*answered)(void *context, const struct relay_answer *answer),
                              void *context)
{
    struct request head = {.kind = REQUEST_ASK};
    bool wake = false;

    if (is_out_of_bounds(relay, request)) {
        return BROKER_REFUSED;
    }
    head.ask = make_ask(request);
    if (!head.ask) {
        return BROKER_FULL;
    }
    head.ask->answered = answered;
    head.ask->context = context;
    if (!mailbox_post(relay->mailbox, slice_from(&head, sizeof(head)), (struct slice){0}, &wake)) {
        free(head.ask);
        return BROKER_FULL;
    }
    if (wake) {
        bell_ring(&relay->bell);
    }
    return BROKER_DONE;
}

/* --- on the relay's thread -------------------------------------------------------------------- */

/* Whoever asked waits for the ticket's answer from now on. */
static void await(struct relay *relay, uint32_t ticket, const struct relay_origin *origin)
{
    struct relay_origin *pending = pool_at(&relay->pending, ticket);

    *pending = *origin;
    pending->start_ns = ring_clock_ns(relay->ring);
}

/* Starts what waits for an answer; anything else than BROKER_DONE: it did not start. */
static enum broker_outcome start(struct relay *relay, const struct backlog_item *item)
{
    const struct broker_kind *kind = relay->broker->kind;
    const uint32_t ticket = pool_take(&relay->pending);

    ASSERT(ticket != NONE); /* nothing is taken without a place for it */
    enum broker_outcome outcome = item->is_forward
                                      ? kind->forward(relay->broker, ticket, &item->publication)
                                      : kind->publish(relay->broker, ticket, &item->publication);
    if (outcome == BROKER_DONE) {
        await(relay, ticket, &item->origin);
    } else {
        pool_give(&relay->pending, ticket);
    }
    return outcome;
}

static bool queues(const struct relay *relay)
{
    return relay->options->broker.when_away == WHEN_AWAY_QUEUE;
}

/* Publishes or forwards it, in the order of those that wait. Returns whether that was refused. */
static bool hand_over(struct relay *relay, const struct backlog_item *item)
{
    enum broker_outcome outcome = relay->backlog.first ? BROKER_AWAY : start(relay, item);

    if (outcome == BROKER_AWAY && queues(relay) && backlog_push(&relay->backlog, item)) {
        outcome = BROKER_DONE;
    }
    if (outcome != BROKER_DONE) {
        relay_refuse(relay, &item->origin, outcome);
    }
    return outcome != BROKER_DONE;
}

void relay_drain_backlog(struct relay *relay)
{
    while (relay->backlog.first && relay->delivery.left_count == 0 &&
           relay->pending.count < relay->pending.count_max) {
        const struct backlog_item *item = relay->backlog.first;
        const struct relay_origin origin = item->origin;
        const enum broker_outcome outcome = start(relay, item);
        if (outcome == BROKER_AWAY || outcome == BROKER_FULL) {
            return; /* later */
        }
        backlog_pop(&relay->backlog);
        if (outcome != BROKER_DONE) {
            relay_refuse(relay, &origin, outcome);
        }
    }
}

/* A request of the mailbox, taken apart. */
struct parts {
    struct request request;
    struct slice channel;
    struct slice user;
    struct slice payload;
};

static struct parts take_apart(struct slice parcel)
{
    struct parts parts;
    const uint8_t *bytes = parcel.data + sizeof(parts.request);

    ASSERT(parcel.size >= sizeof(parts.request));
    memcpy(&parts.request, parcel.data, sizeof(parts.request));
    const size_t names_size = (size_t)parts.request.channel_size + parts.request.user_size;
    ASSERT(parcel.size >= sizeof(parts.request) + names_size);
    parts.channel = slice_from(bytes, parts.request.channel_size);
    parts.user = slice_from(bytes + parts.request.channel_size, parts.request.user_size);
    parts.payload =
        slice_from(bytes + names_size, parcel.size - sizeof(parts.request) - names_size);
    return parts;
}

static struct broker_history history_of(const struct relay *relay, struct slice channel)
{
    const struct namespace *space = namespace_of(&relay->options->namespaces, channel);

    return (struct broker_history){.size = space->history_size, .age_s = space->history_age_s};
}

static void publish(struct relay *relay, const struct parts *parts)
{
    const struct request *request = &parts->request;
    char conn_id[IDENTITY_SIZE];
    struct backlog_item item = {
        .origin = {.shard = request->shard,
                   .number = request->number,
                   .generation = request->generation},
        .publication = {.channel = parts->channel,
                        .payload = parts->payload,
                        .is_binary = request->is_binary,
                        .epoch = "",
                        .user = parts->user,
                        .conn_id = slice_from(conn_id, sizeof(conn_id)),
                        .time_ms = request->time_ms},
    };

    identity_write(&relay->server->identity_key, request->shard, request->number,
                   request->generation, conn_id);
    if (relay->options->broker.forward) {
        item.is_forward = true;
        if (hand_over(relay, &item)) {
            return;
        }
        item.is_forward = false;
    }
    if (parts->channel.size > 0) {
        item.publication.history = history_of(relay, parts->channel);
        (void)hand_over(relay, &item);
    }
}

static void follow(struct relay *relay, const struct parts *parts)
{
    const struct broker_history history = history_of(relay, parts->channel);
    const struct request *request = &parts->request;

    switch (followers_add(&relay->followers, parts->channel, request->is_pattern, request->shard)) {
    case FOLLOWERS_CHANGED:
        relay->broker->kind->follow(relay->broker, parts->channel, request->is_pattern, &history);
        return;
    case FOLLOWERS_SAME:
        return;
    case FOLLOWERS_FULL:
        LOG(LOG_ERROR, "no memory to follow a channel: its subscribers get nothing",
            log_slice("channel", parts->channel));
        return;
    }
}

static void unfollow(struct relay *relay, const struct parts *parts)
{
    if (followers_remove(&relay->followers, parts->channel, parts->request.is_pattern,
                         parts->request.shard) == FOLLOWERS_CHANGED) {
        relay->broker->kind->unfollow(relay->broker, parts->channel, parts->request.is_pattern);
    }
}

static void join_or_leave(struct relay *relay, const struct parts *parts)
{
    const struct request *request = &parts->request;
    char text[IDENTITY_SIZE];
    const struct broker_member member = {.conn_id = slice_from(text, sizeof(text)),
                                         .user = parts->user};

    identity_write(&relay->server->identity_key, request->shard, request->number,
                   request->generation, text);
    if (request->kind == REQUEST_JOIN) {
        relay->broker->kind->join(relay->broker, parts->channel, &member);
    } else {
        relay->broker->kind->leave(relay->broker, parts->channel, member.conn_id);
    }
}

static enum broker_outcome start_question(struct relay *relay, uint32_t ticket,
                                          const struct relay_request *request)
{
    const struct broker_kind *kind = relay->broker->kind;
    const struct slice channel = request->publication.channel;

    switch (request->question) {
    case RELAY_HISTORY:
        return kind->history(relay->broker, ticket, channel, &request->history);
    case RELAY_HISTORY_REMOVE:
        return kind->history_remove(relay->broker, ticket, channel);
    case RELAY_PRESENCE:
        return kind->presence(relay->broker, ticket, channel);
    case RELAY_PUBLISH:
    case RELAY_CHANNELS:
        break;
    }
    ASSERT(!"a question to the broker");
    return BROKER_REFUSED;
}

static void ask(struct relay *relay, struct relay_ask *asked)
{
    const struct relay_origin origin = {.ask = asked};
    const struct backlog_item item = {.origin = origin, .publication = asked->request.publication};

    if (asked->request.question == RELAY_PUBLISH) {
        (void)hand_over(relay, &item);
        return;
    }
    if (asked->request.question == RELAY_CHANNELS) {
        if (!census_ask(&relay->census, asked)) {
            relay_refuse(relay, &origin, BROKER_FULL);
        }
        return;
    }
    const uint32_t ticket = pool_take(&relay->pending);
    ASSERT(ticket != NONE);
    await(relay, ticket, &origin);
    const enum broker_outcome outcome = start_question(relay, ticket, &asked->request);
    if (outcome != BROKER_DONE) {
        pool_give(&relay->pending, ticket);
        relay_refuse(relay, &origin, outcome);
    }
}

static void act(struct relay *relay, struct slice parcel)
{
    const struct parts parts = take_apart(parcel);

    switch ((enum request_kind)parts.request.kind) {
    case REQUEST_PUBLISH:
        publish(relay, &parts);
        return;
    case REQUEST_FOLLOW:
        follow(relay, &parts);
        return;
    case REQUEST_UNFOLLOW:
        unfollow(relay, &parts);
        return;
    case REQUEST_JOIN:
    case REQUEST_LEAVE:
        join_or_leave(relay, &parts);
        return;
    case REQUEST_REPORT:
        census_add(&relay->census, parts.request.number, parts.request.shard, parts.payload,
                   parts.request.is_last);
        return;
    case REQUEST_ASK:
        ask(relay, parts.request.ask);
        return;
    }
    ASSERT(!"a request of no kind");
}

/* Every request finds a place for what it starts: two, when it is forwarded and published. */
static bool has_places(const struct relay *relay)
{
    return relay->pending.count + 2 <= relay->pending.count_max;
}

bool relay_take_requests(struct relay *relay)
{
    mailbox_attend(relay->mailbox);
    for (uint32_t i = 0; i < REQUESTS_PER_TURN_MAX; i++) {
        if (relay->delivery.left_count > 0 || !has_places(relay)) {
            return false; /* a stall, or the broker's answer, ends with another turn */
        }
        struct slice parcel = mailbox_next(relay->mailbox);
        if (!parcel.data) {
            return false;
        }
        act(relay, parcel);
        mailbox_release(relay->mailbox, parcel);
        /* The memory broker has answered: in order, and without a queue in between. */
        if (relay->delivery.left_count == 0 && relay_take_events(relay)) {
            return true;
        }
    }
    return true;
}
