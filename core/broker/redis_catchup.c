#include "broker/redis_state.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE_SIZE         256u        /* publications in one answer */
#define FETCHING_MAX      64u         /* channels at a time */
#define HELD_BYTES_MAX    (64u << 20) /* of all channels; what is dropped above it is fetched */
#define STUCK_MAX         3u
#define LINES_INTERVAL_MS 1000u
#define LINES_MAX         10u /* with a channel of its own */

static struct slice name_of(const struct redis_subscription *subscription)
{
    return slice_from(subscription->name, subscription->name_size);
}

/* --- gaps ------------------------------------------------------------------------------------- */

static void gather(struct redis *redis, struct slice name)
{
    const size_t room = sizeof(redis->untold_names) - redis->untold_size;

    redis->untold_gaps++;
    if (name.size + 1 < room) {
        redis->untold_size += (size_t)snprintf(redis->untold_names + redis->untold_size, room,
                                               "%s%.*s", redis->untold_size > 0 ? " " : "",
                                               (int)name.size, (const char *)name.data);
    }
}

/* One line each for the first of a second; the others have a line together at its end. */
static void count_gap(struct redis *redis, const struct redis_subscription *subscription,
                      const char *reason)
{
    uint64_t suppressed;

    redis->gaps++;
    if (redis->untold_gaps > 0 || !log_limit_pass_some(&redis->gap_lines, redis->now_ms,
                                                       LINES_INTERVAL_MS, LINES_MAX, &suppressed)) {
        gather(redis, name_of(subscription));
        return;
    }
    LOG(LOG_WARN, "publications of a channel are lost", log_slice("channel", name_of(subscription)),
        log_text("reason", reason));
}

uint64_t redis_gaps_turn(struct redis *redis)
{
    if (redis->untold_gaps == 0) {
        return UINT64_MAX;
    }
    if (redis->now_ms < redis->gap_lines.next_ms) {
        return redis->gap_lines.next_ms;
    }
    LOG(LOG_WARN, "publications of more channels are lost",
        log_number("gaps", (int64_t)redis->untold_gaps),
        log_slice("channels", slice_from(redis->untold_names, redis->untold_size)));
    redis->untold_gaps = 0;
    redis->untold_size = 0;
    redis->gap_lines = (struct log_limit){.next_ms = redis->now_ms + LINES_INTERVAL_MS};
    return UINT64_MAX;
}

/* --- held messages ---------------------------------------------------------------------------- */

static struct slice keep(struct slice from, uint8_t **to)
{
    const struct slice kept = slice_from(*to, from.size);

    if (from.size > 0) {
        memcpy(*to, from.data, from.size);
    }
    *to += from.size;
    return kept;
}

static void hold(struct redis *redis, struct redis_subscription *subscription,
                 const struct redis_message *message)
{
    const size_t size = sizeof(struct redis_held) + message->payload.size + message->user.size +
                        message->conn_id.size;
    struct redis_held *held = redis->held_bytes + size > HELD_BYTES_MAX ? NULL : malloc(size);

    if (!held) {
        subscription->is_missing = true; /* it is in the stream */
        return;
    }
    uint8_t *to = held->bytes;
    held->next = NULL;
    held->size = size;
    held->message = *message;
    held->message.payload = keep(message->payload, &to);
    held->message.user = keep(message->user, &to);
    held->message.conn_id = keep(message->conn_id, &to);
    redis->held_bytes += size;
    if (subscription->held_last) {
        subscription->held_last->next = held;
    } else {
        subscription->held_first = held;
    }
    subscription->held_last = held;
}

static struct redis_held *take_held(struct redis *redis, struct redis_subscription *subscription)
{
    struct redis_held *held = subscription->held_first;

    subscription->held_first = held->next;
    if (!held->next) {
        subscription->held_last = NULL;
    }
    redis->held_bytes -= held->size;
    return held;
}

static void drop_held(struct redis *redis, struct redis_subscription *subscription)
{
    while (subscription->held_first) {
        free(take_held(redis, subscription));
    }
}

void redis_catch_up_drop(struct redis *redis, struct redis_subscription *subscription)
{
    drop_held(redis, subscription);
    subscription->has_position = false;
    subscription->was_asked_from = false;
}

/* --- behind ----------------------------------------------------------------------------------- */

static void push_behind(struct redis *redis, struct redis_subscription *subscription)
{
    subscription->catch_up = REDIS_BEHIND;
    subscription->next_behind = NULL;
    if (redis->behind.last) {
        redis->behind.last->next_behind = subscription;
    } else {
        redis->behind.first = subscription;
    }
    redis->behind.last = subscription;
}

static void pop_behind(struct redis *redis)
{
    redis->behind.first = redis->behind.first->next_behind;
    if (!redis->behind.first) {
        redis->behind.last = NULL;
    }
}

void redis_catch_up(struct redis *redis, struct redis_subscription *subscription)
{
    if (subscription->history.size == 0 || subscription->kind != REDIS_SUBSCRIPTION_CHANNEL) {
        return;
    }
    if (subscription->catch_up == REDIS_CAUGHT_UP) {
        push_behind(redis, subscription);
    } else {
        subscription->is_missing = true; /* what is on its way was read before this gap */
    }
}

static bool same_epoch(const struct broker_position *position, const char *epoch)
{
    return strcmp(position->epoch, epoch) == 0;
}

static void move_to(struct redis_subscription *subscription, uint64_t offset, const char *epoch)
{
    subscription->has_position = true;
    subscription->position.offset = offset;
    memcpy(subscription->position.epoch, epoch, sizeof(subscription->position.epoch));
}

static void deliver_up_to(struct redis_subscription *subscription,
                          const struct redis_message *message)
{
    move_to(subscription, message->offset, message->epoch);
    subscription->is_proven = true;
}

/*
 * A position that a stream told says where gaps begin, not what has been delivered: Redis writes to
 * its clients in any order, so that its answer may overtake a message that it counts.
 */
static bool is_old(const struct redis_subscription *subscription,
                   const struct redis_message *message)
{
    return subscription->is_proven && same_epoch(&subscription->position, message->epoch) &&
           message->offset <= subscription->position.offset;
}

/* It follows what was delivered. The first of a new stream does, too: where no connection has ended
 * in between, the old stream's last one came before it. */
static bool is_next(const struct redis_subscription *subscription,
                    const struct redis_message *message)
{
    const uint64_t offset = subscription->position.offset;

    if (!same_epoch(&subscription->position, message->epoch)) {
        return message->offset == 1;
    }
    return subscription->is_proven ? message->offset == offset + 1 : message->offset <= offset + 1;
}

bool redis_catch_up_admit(struct redis *redis, struct redis_subscription *subscription,
                          const struct redis_message *message)
{
    if (subscription->history.size == 0 || message->offset == 0) {
        return true;
    }
    if (subscription->has_position) {
        if (subscription->catch_up != REDIS_CAUGHT_UP) {
            hold(redis, subscription, message);
            return false;
        }
        if (is_old(subscription, message)) {
            return false;
        }
        if (!is_next(subscription, message)) {
            hold(redis, subscription, message);
            push_behind(redis, subscription);
            return false;
        }
    }
    deliver_up_to(subscription, message);
    return true;
}

static bool is_kept(const struct redis_subscription *subscription)
{
    return subscription->is_wanted || subscription->is_heard;
}

static void finish(struct redis *redis, struct redis_subscription *subscription)
{
    subscription->catch_up = REDIS_CAUGHT_UP;
    if (!is_kept(subscription)) {
        drop_held(redis, subscription);
        redis_subscription_settle(redis, subscription);
    } else if (subscription->is_missing) {
        subscription->is_missing = false;
        push_behind(redis, subscription);
    } else {
        subscription->stuck = 0;
    }
}

/* --- fetching --------------------------------------------------------------------------------- */

static enum broker_outcome fetch(struct redis *redis, struct redis_subscription *subscription)
{
    const struct slice channel = name_of(subscription);
    const struct redis_request head = {.kind = REDIS_REQUEST_CATCH_UP,
                                       .script = REDIS_HISTORY,
                                       .argument_count = 6,
                                       .slot = redis_channel_slot(redis, channel),
                                       .subscription = subscription};
    const struct broker_history_query query = {.limit = subscription->has_position ? PAGE_SIZE : 0,
                                               .has_since = subscription->has_position,
                                               .since = subscription->position};

    subscription->was_asked_from = subscription->has_position;
    return redis_ask_history(redis, &head, channel, &query);
}

void redis_catch_up_turn(struct redis *redis)
{
    while (redis->behind.first && redis->fetching < FETCHING_MAX) {
        struct redis_subscription *subscription = redis->behind.first;
        if (!is_kept(subscription)) {
            pop_behind(redis);
            finish(redis, subscription);
            continue;
        }
        if (fetch(redis, subscription) != BROKER_DONE) {
            return; /* later */
        }
        pop_behind(redis);
        subscription->catch_up = REDIS_FETCHING;
        redis->fetching++;
    }
}

/* Where the stream stands against what was delivered. False: it must be asked again. */
static bool compare(struct redis *redis, struct redis_subscription *subscription,
                    const struct redis_stream *stream)
{
    struct broker_position *position = &subscription->position;
    struct redis_message first;

    if (!subscription->has_position) {
        move_to(subscription, stream->position.offset, stream->position.epoch);
        subscription->is_proven = false;
        return true;
    }
    if (!subscription->was_asked_from) {
        return true; /* a message has come since, which tells more */
    }
    if (!same_epoch(position, stream->position.epoch)) {
        count_gap(redis, subscription, "its stream began anew");
        move_to(subscription, 0, stream->position.epoch);
        return stream->position.offset == 0;
    }
    if (stream->position.offset < position->offset) {
        count_gap(redis, subscription, "its stream has lost its newest publications");
        position->offset = stream->position.offset;
    } else if (stream->count == 0 && stream->position.offset > position->offset) {
        count_gap(redis, subscription, "its stream keeps none of them any more");
        position->offset = stream->position.offset;
        subscription->is_proven = false; /* the newest may be on their way */
    } else if (stream->count > 0 && redis_item_read(stream->items[0], &first) &&
               first.offset > position->offset + 1) {
        count_gap(redis, subscription, "its stream does not reach back so far");
    }
    return true;
}

void redis_catch_up_answered(struct redis *redis, struct redis_subscription *subscription,
                             redisReply *reply)
{
    struct redis_stream stream;

    redis->fetching--;
    if (!is_kept(subscription)) {
        finish(redis, subscription);
    } else if (!reply) {
        push_behind(redis, subscription);
        return;
    } else if (!redis_stream_read(reply, &stream)) {
        redis_complain(redis, "an answer of the history");
        redis_catch_up_drop(redis, subscription);
        finish(redis, subscription);
    } else if (!compare(redis, subscription, &stream)) {
        push_behind(redis, subscription);
    } else {
        ASSERT(!redis->delivering);
        subscription->catch_up = REDIS_DELIVERING;
        redis->delivering = subscription;
        redis->delivered_reply = reply;
        redis->delivered_next = 0;
        return;
    }
    freeReplyObject(reply);
}

/* --- delivering ------------------------------------------------------------------------------- */

static bool next_item(struct redis *redis, struct redis_subscription *subscription,
                      const struct redis_stream *stream)
{
    while (redis->delivered_next < stream->count) {
        struct redis_message *message = &redis->lent_message;
        if (!redis_item_read(stream->items[redis->delivered_next++], message)) {
            redis_complain(redis, "an entry of a stream");
        } else if (message->offset > subscription->position.offset) {
            memcpy(message->epoch, stream->position.epoch, sizeof(message->epoch));
            deliver_up_to(subscription, message);
            subscription->stuck = 0;
            redis->caught_up++;
            return true;
        }
    }
    return false;
}

/* The next held one that is due. Ones that do not follow are fetched, unless that does not help. */
static bool next_held(struct redis *redis, struct redis_subscription *subscription)
{
    while (subscription->held_first) {
        const struct redis_message *message = &subscription->held_first->message;
        const bool comes_twice = is_old(subscription, message);
        if (subscription->is_missing && !same_epoch(&subscription->position, message->epoch)) {
            return false; /* the old stream's end may be what is missing */
        }
        if (!comes_twice && !is_next(subscription, message)) {
            if (subscription->stuck++ < STUCK_MAX) {
                subscription->is_missing = true;
                return false;
            }
            count_gap(redis, subscription, "its stream does not have them");
        }
        struct redis_held *held = take_held(redis, subscription);
        if (comes_twice) {
            free(held);
            continue;
        }
        redis->lent_held = held;
        redis->lent_message = held->message;
        deliver_up_to(subscription, &held->message);
        return true;
    }
    return false;
}

static void deliver(struct redis *redis, const struct redis_subscription *subscription,
                    struct broker_event *event)
{
    *event = (struct broker_event){.kind = BROKER_PUBLICATION};
    redis_publication_of(&redis->lent_message, name_of(subscription), &event->publication);
}

bool redis_catch_up_next(struct redis *redis, struct broker_event *event)
{
    struct redis_subscription *subscription = redis->delivering;
    struct redis_stream stream;

    if (!subscription) {
        return false;
    }
    const bool is_well = redis_stream_read(redis->delivered_reply, &stream);
    ASSERT(is_well);
    if (next_item(redis, subscription, &stream)) {
        deliver(redis, subscription, event);
        return true;
    }
    if (stream.count == PAGE_SIZE) {
        subscription->is_missing = true; /* there may be more */
    } else if (next_held(redis, subscription)) {
        deliver(redis, subscription, event);
        return true;
    }
    freeReplyObject(redis->delivered_reply);
    redis->delivered_reply = NULL;
    redis->delivering = NULL;
    finish(redis, subscription);
    return false;
}
