#include "server/api_ask.h"

#include "admin/http.h"

#include <stdlib.h>

static_assert(BROKER_EPOCH_SIZE_MAX <= API_EPOCH_SIZE_MAX, "an epoch is copied whole");

struct api_error api_error_of(enum broker_outcome outcome)
{
    switch (outcome) {
    case BROKER_DONE:
        return (struct api_error){.code = API_DONE};
    case BROKER_AWAY:
        return (struct api_error){API_INTERNAL, "the broker is away: nothing was done"};
    case BROKER_UNKNOWN:
        return (struct api_error){API_INTERNAL, "the broker was lost: it may have been done"};
    case BROKER_FULL:
        return (struct api_error){API_INTERNAL, "too much at a time: nothing was done"};
    case BROKER_REFUSED:
        return (struct api_error){API_INTERNAL, "the broker refused it"};
    case BROKER_UNAVAILABLE:
        return (struct api_error){API_NOT_AVAILABLE, "not available"};
    case BROKER_UNRECOVERABLE:
        return (struct api_error){API_UNRECOVERABLE, "unrecoverable position"};
    case BROKER_OUTCOMES:
        break;
    }
    ASSERT(!"an outcome");
    return (struct api_error){.code = API_INTERNAL};
}

/* --- the copy of an answer, on the relay's thread --------------------------------------------- */

/* Where the bytes go, behind the array. */
struct copy {
    uint8_t *place;
};

static struct slice copy_slice(struct copy *copy, struct slice from)
{
    if (from.size == 0) {
        return slice_from(NULL, 0);
    }
    memcpy(copy->place, from.data, from.size);
    copy->place += from.size;
    return slice_from(copy->place - from.size, from.size);
}

static const struct api_error too_large = {API_INTERNAL, "the answer is too large: ask for less"};

/* Room for the array of entries and the bytes that they name. False: too much. */
static bool open_copy(struct api_ask *ask, size_t array_size, size_t bytes, struct copy *copy)
{
    if (bytes > API_ANSWER_SIZE_MAX || array_size > API_ANSWER_SIZE_MAX - bytes) {
        ask->part.error = too_large;
        return false;
    }
    ask->block_size = array_size + bytes;
    ask->block = malloc(ask->block_size > 0 ? ask->block_size : 1);
    if (!ask->block) {
        ask->part.error = (struct api_error){API_INTERNAL, "out of memory"};
        return false;
    }
    copy->place = (uint8_t *)ask->block + array_size;
    return true;
}

static void copy_history(struct api_ask *ask, const struct broker_event *event)
{
    ASSERT(event);
    uint32_t count = event->publication_count;
    struct copy copy;
    size_t bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct broker_publication *from = &event->publications[i];
        bytes += from->payload.size + from->user.size + from->conn_id.size;
    }
    if (!open_copy(ask, (size_t)count * sizeof(struct api_publication), bytes, &copy)) {
        return;
    }
    struct api_publication *publications = ask->block;
    for (uint32_t i = 0; i < count; i++) {
        const struct broker_publication *from = &event->publications[i];
        publications[i] = (struct api_publication){.payload = copy_slice(&copy, from->payload),
                                                   .is_binary = from->is_binary,
                                                   .offset = from->offset,
                                                   .user = copy_slice(&copy, from->user),
                                                   .conn_id = copy_slice(&copy, from->conn_id)};
    }
    ask->part.publications = publications;
    ask->part.count = count;
}

static void copy_presence(struct api_ask *ask, const struct broker_event *event)
{
    ASSERT(event);
    uint32_t count = event->member_count;
    struct copy copy;
    size_t bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        bytes += event->members[i].conn_id.size + event->members[i].user.size;
    }
    if (!open_copy(ask, (size_t)count * sizeof(struct api_member), bytes, &copy)) {
        return;
    }
    struct api_member *members = ask->block;
    for (uint32_t i = 0; i < count; i++) {
        members[i] = (struct api_member){.conn_id = copy_slice(&copy, event->members[i].conn_id),
                                         .user = copy_slice(&copy, event->members[i].user)};
    }
    ask->part.members = members;
    ask->part.count = count;
}

static void copy_channels(struct api_ask *ask, const struct relay_answer *answer)
{
    uint32_t count = answer->channel_count;
    struct copy copy;
    size_t bytes = 0;

    ask->part.count = count;
    if (ask->counts_only) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        bytes += answer->channels[i].name.size;
    }
    if (!open_copy(ask, (size_t)count * sizeof(struct api_channel), bytes, &copy)) {
        return;
    }
    struct api_channel *channels = ask->block;
    for (uint32_t i = 0; i < count; i++) {
        channels[i] = (struct api_channel){.name = copy_slice(&copy, answer->channels[i].name),
                                           .subscribers = answer->channels[i].subscribers};
    }
    ask->part.channels = channels;
}

static void copy_answer(struct api_ask *ask, const struct relay_answer *answer)
{
    ask->part.error = api_error_of(answer->outcome);
    if (answer->outcome != BROKER_DONE) {
        return;
    }
    if (answer->event) {
        ask->part.offset = answer->event->position.offset;
        memcpy(ask->part.epoch, answer->event->position.epoch,
               sizeof(answer->event->position.epoch));
    }
    switch (ask->question) {
    case RELAY_PUBLISH:
    case RELAY_HISTORY_REMOVE:
        return;
    case RELAY_PRESENCE:
        copy_presence(ask, answer->event);
        return;
    case RELAY_HISTORY:
        copy_history(ask, answer->event);
        return;
    case RELAY_CHANNELS:
        copy_channels(ask, answer);
        return;
    }
    ASSERT(!"a question");
}

static void answered(void *context, const struct relay_answer *answer)
{
    struct api_ask *ask = context;
    struct api_inbox *inbox = ask->inbox;

    copy_answer(ask, answer);
    pthread_mutex_lock(&inbox->mutex);
    bool was_empty = !inbox->first;
    if (was_empty) {
        inbox->first = ask;
    } else {
        inbox->last->next = ask;
    }
    inbox->last = ask;
    if (was_empty && inbox->admin) {
        admin_wake(inbox->admin);
    }
    pthread_mutex_unlock(&inbox->mutex);
}

/* --- the admin thread ------------------------------------------------------------------------- */

void api_inbox_init(struct api_inbox *inbox, struct relay *relay, struct admin *admin)
{
    *inbox = (struct api_inbox){.relay = relay, .admin = admin};
    ASSERT(pthread_mutex_init(&inbox->mutex, NULL) == 0);
}

void api_inbox_stop(struct api_inbox *inbox)
{
    pthread_mutex_lock(&inbox->mutex);
    inbox->admin = NULL;
    pthread_mutex_unlock(&inbox->mutex);
}

void api_inbox_close(struct api_inbox *inbox)
{
    struct api_ask *ask = inbox->all;
    while (ask) {
        struct api_ask *following = ask->following;
        free(ask->block);
        free(ask);
        ask = following;
    }
    ASSERT(pthread_mutex_destroy(&inbox->mutex) == 0);
}

enum broker_outcome api_ask_start(struct api_inbox *inbox, const struct relay_request *request,
                                  bool counts_only, struct api_ask **started)
{
    size_t bytes = request->publication.payload.size;
    bool is_full = inbox->asked_bytes > 0 && inbox->asked_bytes + bytes > API_ASKED_BYTES_MAX;
    struct api_ask *ask = is_full ? NULL : calloc(1, sizeof(*ask));

    if (!ask) {
        return BROKER_FULL;
    }
    *ask = (struct api_ask){.inbox = inbox,
                            .bytes = bytes,
                            .following = inbox->all,
                            .question = request->question,
                            .counts_only = counts_only};
    if (inbox->all) {
        inbox->all->previous = ask;
    }
    inbox->all = ask;
    enum broker_outcome outcome = relay_ask(inbox->relay, request, answered, ask);
    if (outcome != BROKER_DONE) {
        api_ask_free(ask);
        return outcome;
    }
    inbox->asked_bytes += bytes;
    *started = ask;
    return BROKER_DONE;
}

void api_ask_free(struct api_ask *ask)
{
    if (ask->previous) {
        ask->previous->following = ask->following;
    } else {
        ask->inbox->all = ask->following;
    }
    if (ask->following) {
        ask->following->previous = ask->previous;
    }
    free(ask->block);
    free(ask);
}

void api_ask_drop_answer(struct api_ask *ask)
{
    ask->part = (struct api_part){.error = too_large};
    free(ask->block);
    ask->block = NULL;
    ask->block_size = 0;
}

struct api_ask *api_inbox_next(struct api_inbox *inbox)
{
    pthread_mutex_lock(&inbox->mutex);
    struct api_ask *ask = inbox->first;
    if (ask) {
        inbox->first = ask->next;
    }
    pthread_mutex_unlock(&inbox->mutex);
    if (ask) {
        ask->is_answered = true;
        inbox->asked_bytes -= ask->bytes;
    }
    return ask;
}
