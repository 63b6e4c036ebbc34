#include "broker/redis_state.h"

#include <stdlib.h>

#define HELD_MAX 10000u

bool redis_read_position(const redisReply *reply, struct broker_position *position)
{
    *position = (struct broker_position){0};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[0]->len > BROKER_EPOCH_SIZE_MAX ||
        reply->element[1]->type != REDIS_REPLY_INTEGER || reply->element[1]->integer < 0 ||
        reply->element[2]->type != REDIS_REPLY_ARRAY) {
        return false;
    }
    memcpy(position->epoch, reply->element[0]->str, reply->element[0]->len);
    position->offset = (uint64_t)reply->element[1]->integer;
    return true;
}

static struct slice text_of(const redisReply *reply)
{
    return slice_from(reply->str, reply->len);
}

bool redis_read_entry(const redisReply *entry, struct broker_publication *publication)
{
    *publication = (struct broker_publication){.epoch = "", .is_unmarked = true};
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[0]->type != REDIS_REPLY_STRING ||
        entry->element[1]->type != REDIS_REPLY_ARRAY || entry->element[1]->elements % 2 != 0) {
        return false;
    }
    struct slice id = text_of(entry->element[0]);
    const uint8_t *dash = memchr(id.data, '-', id.size);
    id.size = dash ? (size_t)(dash - id.data) : 0;
    if (!redis_number_read(id, &publication->offset)) {
        return false;
    }
    for (size_t i = 0; i < entry->element[1]->elements; i += 2) {
        const redisReply *name = entry->element[1]->element[i];
        const redisReply *value = entry->element[1]->element[i + 1];
        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING) {
            return false;
        }
        if (slice_equal(text_of(name), slice_text("d"))) {
            publication->payload = text_of(value);
        } else if (slice_equal(text_of(name), slice_text("u"))) {
            publication->user = text_of(value);
        } else if (slice_equal(text_of(name), slice_text("c"))) {
            publication->conn_id = text_of(value);
        } else if (slice_equal(text_of(name), slice_text("m")) && value->len == 1) {
            publication->is_binary = value->str[0] == 'b';
            publication->is_unmarked = false;
        }
    }
    return publication->payload.data != NULL;
}

/* --- delivering ------------------------------------------------------------------------------- */

static void gap(struct redis *redis, const struct redis_follow *follow, const char *why)
{
    uint64_t suppressed;

    redis->health.gaps++;
    if (log_limit_pass(&redis->gap_lines, redis->now_ms, 10000, &suppressed)) {
        LOG(LOG_WARN, "publications of a channel are lost", log_slice("channel", follow->name),
            log_text("reason", why), log_number("suppressed", (int64_t)suppressed));
    }
}

static void emit(struct redis *redis, struct slice channel, const struct redis_message *message,
                 redisReply *reply)
{
    const struct broker_event event = {
        .kind = BROKER_PUBLICATION,
        .publication = {.channel = channel,
                        .payload = message->payload,
                        .is_binary = message->mark == 'b',
                        .is_unmarked = message->mark == '\0',
                        .offset = message->offset,
                        .user = message->user,
                        .conn_id = message->conn_id},
    };
    struct redis_event *added = redis_event_add(redis, &event, reply);

    if (added) {
        memcpy(added->epoch, message->epoch, sizeof(added->epoch));
        added->event.publication.epoch = added->epoch;
    }
}

static void note(struct redis_follow *follow, const struct redis_message *message)
{
    follow->position.offset = message->offset;
    memcpy(follow->position.epoch, message->epoch, sizeof(follow->position.epoch));
    follow->has_position = true;
}

/* A message of a channel with history whose place is known. Takes the reply. */
static void deliver_in_order(struct redis *redis, struct redis_follow *follow, struct slice channel,
                             const struct redis_message *message, redisReply *reply)
{
    const bool is_same = strcmp(follow->position.epoch, message->epoch) == 0;

    if (follow->has_position && is_same && message->offset <= follow->position.offset) {
        freeReplyObject(reply); /* had by catching up */
        return;
    }
    if (follow->has_position && !is_same) {
        gap(redis, follow, "the stream was begun anew");
    } else if (follow->has_position && message->offset > follow->position.offset + 1) {
        gap(redis, follow, "offsets were skipped");
    }
    note(follow, message);
    emit(redis, channel, message, reply);
}

static void hold(struct redis *redis, struct redis_follow *follow,
                 const struct redis_message *message, redisReply *reply)
{
    struct redis_held *held = follow->held_count < HELD_MAX ? malloc(sizeof(*held)) : NULL;

    if (!held) {
        gap(redis, follow, "too many came while it caught up");
        freeReplyObject(reply);
        return;
    }
    *held = (struct redis_held){.reply = reply, .message = *message};
    if (follow->held_last) {
        follow->held_last->next = held;
    } else {
        follow->held_first = held;
    }
    follow->held_last = held;
    follow->held_count++;
}

/* Publications before it are missing. */
static bool is_ahead(const struct redis_follow *follow, const struct redis_message *message)
{
    return follow->has_position && message->offset > follow->position.offset + 1 &&
           strcmp(follow->position.epoch, message->epoch) == 0;
}

void redis_deliver(struct redis *redis, struct slice channel, struct slice bytes,
                   struct redis_follow *follow, redisReply *reply)
{
    struct redis_message message;

    redis_message_read(bytes, &message);
    if (follow && follow->history.size > 0 && is_ahead(follow, &message)) {
        redis_catch_up_start(redis, follow);
    }
    if (follow && follow->is_catching_up) {
        hold(redis, follow, &message, reply);
    } else if (follow && follow->history.size > 0 && message.offset > 0) {
        deliver_in_order(redis, follow, channel, &message, reply);
    } else {
        emit(redis, channel, &message, reply);
    }
}

void redis_held_free(struct redis_follow *follow)
{
    while (follow->held_first) {
        struct redis_held *held = follow->held_first;
        follow->held_first = held->next;
        freeReplyObject(held->reply);
        free(held);
    }
    follow->held_last = NULL;
    follow->held_count = 0;
}

static void release_held(struct redis *redis, struct redis_follow *follow)
{
    while (follow->held_first) {
        struct redis_held *held = follow->held_first;
        const redisReply *names = held->reply;
        /* the channel's name as the reply has it: the follow may go before the event is taken */
        const redisReply *name = names->element[names->elements - 2];
        const struct slice channel =
            slice_from(name->str + (name->len - follow->name.size - (redis->is_cluster ? 1 : 0)),
                       follow->name.size);
        follow->held_first = held->next;
        if (held->message.offset > 0) {
            deliver_in_order(redis, follow, channel, &held->message, held->reply);
        } else {
            emit(redis, channel, &held->message, held->reply);
        }
        free(held);
    }
    follow->held_last = NULL;
    follow->held_count = 0;
}

/* --- catching up ------------------------------------------------------------------------------ */

static void finish(struct redis *redis, struct redis_follow *follow)
{
    follow->is_catching_up = false;
    release_held(redis, follow);
    redis_follow_settle(redis, follow);
}

/* Asks for the next page; without a connection for commands, when there is one again. */
static void ask(struct redis *redis, struct redis_follow *follow)
{
    follow->is_catching_up = true;
    follow->wants_catch_up = redis_ask_catch_up(redis, follow) != BROKER_DONE;
}

void redis_catch_up_start(struct redis *redis, struct redis_follow *follow)
{
    if (!follow->is_catching_up) {
        ask(redis, follow);
    }
}

void redis_catch_up_resume(struct redis *redis)
{
    for (struct redis_follow *follow = redis->follows.following; follow != &redis->follows;
         follow = follow->following) {
        if (follow->wants_catch_up) {
            ask(redis, follow);
        }
    }
}

void redis_catch_up_drop(struct redis_follow *follow)
{
    if (follow->wants_catch_up) {
        follow->wants_catch_up = false;
        follow->is_catching_up = false;
        redis_held_free(follow);
    }
}

/* An entry of the stream. The event needs memory of its own: the reply has many. */
static void deliver_entry(struct redis *redis, struct redis_follow *follow,
                          const struct broker_publication *entry, const char *epoch)
{
    const size_t size =
        entry->payload.size + entry->user.size + entry->conn_id.size + follow->name.size;
    redisReply *copy = calloc(1, sizeof(*copy));
    char *bytes = malloc(size + 1);

    if (!copy || !bytes) {
        free(copy);
        free(bytes);
        gap(redis, follow, "no memory");
        return;
    }
    const struct slice from[] = {follow->name, entry->payload, entry->user, entry->conn_id};
    struct slice to[4];
    size_t at = 0;
    for (size_t i = 0; i < 4; i++) {
        if (from[i].size > 0) {
            memcpy(bytes + at, from[i].data, from[i].size);
        }
        to[i] = slice_from(bytes + at, from[i].size);
        at += from[i].size;
    }
    *copy = (redisReply){.type = REDIS_REPLY_STRING, .str = bytes, .len = size};
    struct redis_message message = {
        .offset = entry->offset, .payload = to[1], .user = to[2], .conn_id = to[3]};
    message.mark = redis_mark_of(entry);
    memcpy(message.epoch, epoch, sizeof(message.epoch));
    redis->health.caught_up++;
    deliver_in_order(redis, follow, to[0], &message, copy);
}

/* Returns the entries of this page that could be read. */
static size_t deliver_page(struct redis *redis, struct redis_follow *follow,
                           const redisReply *entries, const char *epoch)
{
    size_t count = 0;

    for (; count < entries->elements; count++) {
        struct broker_publication entry;
        if (!redis_read_entry(entries->element[count], &entry)) {
            redis->health.malformed++;
            break;
        }
        deliver_entry(redis, follow, &entry, epoch);
    }
    return count;
}

void redis_catch_up_answer(struct redis *redis, struct redis_follow *follow,
                           enum broker_outcome outcome, redisReply *reply)
{
    struct broker_position top;

    if (outcome == BROKER_AWAY || outcome == BROKER_UNKNOWN) {
        follow->wants_catch_up = true;
        if (follow->is_unwanted) {
            redis_catch_up_drop(follow);
            redis_follow_settle(redis, follow);
        }
        return;
    }
    if (outcome != BROKER_DONE || !redis_read_position(reply, &top)) {
        redis->health.malformed += outcome == BROKER_DONE ? 1 : 0;
        gap(redis, follow, "its history cannot be read");
        freeReplyObject(reply);
        finish(redis, follow);
        return;
    }
    if (!follow->has_position) {
        follow->has_position = follow->history.size > 0 && !follow->is_unwanted;
        follow->position = top;
        /* What came meanwhile is not older than the subscription: none of it is had already. */
        if (follow->held_first && follow->held_first->message.offset > 0 &&
            follow->held_first->message.offset <= top.offset) {
            follow->position.offset = follow->held_first->message.offset - 1;
        }
        freeReplyObject(reply);
        finish(redis, follow);
        return;
    }
    if (strcmp(top.epoch, follow->position.epoch) != 0) {
        gap(redis, follow, "the stream was begun anew");
        follow->position = top;
        follow->position.offset = 0;
        freeReplyObject(reply);
        ask(redis, follow);
        return;
    }
    const size_t read = deliver_page(redis, follow, reply->element[2], top.epoch);
    freeReplyObject(reply);
    if (read > 0 && follow->position.offset < top.offset) {
        ask(redis, follow); /* the next page */
        return;
    }
    if (follow->position.offset < top.offset) {
        gap(redis, follow, "the history did not reach back so far");
        follow->position.offset = top.offset;
    }
    finish(redis, follow);
}
