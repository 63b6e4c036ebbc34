#include "server/api_call.h"

#include <stdlib.h>

/* --- what is to be asked ---------------------------------------------------------------------- */

static struct relay_request publish_request(const struct api_step *step,
                                            const struct namespace *space)
{
    const struct api_command *command = step->command;
    struct broker_history history = {.size = space->history_size, .age_s = space->history_age_s};

    if (command->skip_history) {
        history = (struct broker_history){0};
    }
    return (struct relay_request){.question = RELAY_PUBLISH,
                                  .publication = {.channel = step->channel,
                                                  .payload = command->data,
                                                  .is_binary = command->is_binary,
                                                  .epoch = "",
                                                  .idempotency_key = command->idempotency_key,
                                                  .history = history}};
}

/* All that there is, when the limit is below 0; never more than the channel can have. */
static struct api_error history_request(const struct api_command *command,
                                        const struct namespace *space,
                                        struct relay_request *request)
{
    struct broker_history_query *query = &request->history;
    int64_t limit = command->limit;

    if (limit < 0 || limit > space->history_size) {
        limit = space->history_size;
    }
    *query = (struct broker_history_query){.limit = (uint32_t)limit,
                                           .is_reverse = command->is_reverse,
                                           .has_since = command->has_since,
                                           .since.offset = command->since_offset};
    if (command->since_epoch.size > BROKER_EPOCH_SIZE_MAX) {
        return api_error_of(BROKER_UNRECOVERABLE); /* none of ours */
    }
    if (command->since_epoch.size > 0) {
        memcpy(query->since.epoch, command->since_epoch.data, command->since_epoch.size);
    }
    return api_error_of(BROKER_DONE);
}

/* Of a channel; what it does not have is refused here, in the same words by every broker. */
static struct api_error channel_request(const struct api_step *step, const struct namespace *space,
                                        struct relay_request *request)
{
    enum api_method method = step->command->method;
    bool is_presence = method == API_PRESENCE || method == API_PRESENCE_STATS;

    if (!api_channel_is_good(step->channel)) {
        return (struct api_error){
            API_BAD_REQUEST, "bad request: a channel has 1 to 255 bytes, none a control character"};
    }
    if (method == API_PUBLISH || method == API_BROADCAST) {
        *request = publish_request(step, space);
        return api_error_of(BROKER_DONE);
    }
    if (is_presence ? !space->has_presence : space->history_size == 0) {
        return (struct api_error){API_NOT_AVAILABLE, is_presence
                                                         ? "not available: no presence here"
                                                         : "not available: no history here"};
    }
    request->publication = (struct broker_publication){.channel = step->channel, .epoch = ""};
    request->question = RELAY_PRESENCE;
    if (method == API_HISTORY_REMOVE) {
        request->question = RELAY_HISTORY_REMOVE;
    } else if (method == API_HISTORY) {
        request->question = RELAY_HISTORY;
        return history_request(step->command, space, request);
    }
    return api_error_of(BROKER_DONE);
}

/* A mistake, where every namespace is to have an entry. Channels without a colon belong to none. */
static bool is_unknown(const struct options *options, struct slice channel)
{
    return options->admin.api_namespaces_only && channel.size > 0 &&
           memchr(channel.data, ':', channel.size) &&
           !namespace_of(&options->namespaces, channel)->name;
}

static struct api_error request_of(const struct api_step *step, const struct options *options,
                                   struct relay_request *request)
{
    const struct api_command *command = step->command;

    *request = (struct relay_request){.question = RELAY_CHANNELS, .publication.epoch = ""};
    if (command->method == API_CHANNELS || command->method == API_INFO) {
        request->pattern = command->pattern.size > 0 ? command->pattern : slice_text("*");
        return api_error_of(BROKER_DONE);
    }
    if (is_unknown(options, step->channel)) {
        return (struct api_error){API_UNKNOWN_CHANNEL, "unknown channel: no such namespace"};
    }
    return channel_request(step, namespace_of(&options->namespaces, step->channel), request);
}

/* --- steps ------------------------------------------------------------------------------------ */

/* False when the relay has no room: nothing happened. */
static bool start_step(struct api_call *call, uint32_t number, struct api_inbox *inbox,
                       const struct options *options)
{
    struct api_step *step = &call->steps[number];
    struct relay_request request;

    call->parts[number].error = request_of(step, options, &request);
    if (call->parts[number].error.code != API_DONE) {
        return true;
    }
    enum broker_outcome outcome =
        api_ask_start(inbox, &request, step->command->method == API_INFO, &step->ask);
    if (outcome == BROKER_FULL) {
        return false;
    }
    if (outcome == BROKER_REFUSED) {
        call->parts[number].error =
            (struct api_error){API_BAD_REQUEST, "bad request: larger than a channel can carry"};
    } else if (outcome != BROKER_DONE) {
        call->parts[number].error = api_error_of(outcome);
    } else {
        step->ask->call = call;
        step->ask->step = number;
        call->asked++;
    }
    return true;
}

static bool may_be_large(enum api_method method)
{
    return method == API_HISTORY || method == API_PRESENCE || method == API_CHANNELS;
}

/* Commands follow each other: the next one waits for the one before it. So does, of those that are
 * to be parallel, one whose answer may be large: what the call holds is counted before the next. */
static bool must_wait(const struct api_call *call)
{
    if (call->asked == 0) {
        return false;
    }
    const struct api_command *command = call->steps[call->started].command;
    return call->request.is_parallel ? may_be_large(command->method)
                                     : command != call->steps[call->started - 1].command;
}

bool api_call_go_on(struct api_call *call, struct api_inbox *inbox, const struct options *options)
{
    call->is_stalled = false;
    while (call->started < call->step_count && call->asked < API_ASKED_MAX && !must_wait(call)) {
        if (!start_step(call, call->started, inbox, options)) {
            call->is_stalled = true;
            return false;
        }
        call->started++;
    }
    return call->started == call->step_count && call->asked == 0;
}

void api_call_answered(struct api_call *call, struct api_ask *ask)
{
    ASSERT(call->steps[ask->step].ask == ask);
    ASSERT(call->asked > 0);
    if (ask->block_size > API_ANSWER_SIZE_MAX - call->answer_size) {
        api_ask_drop_answer(ask);
    }
    call->answer_size += ask->block_size;
    call->parts[ask->step] = ask->part;
    call->asked--;
}

void api_call_expire(struct api_call *call)
{
    for (uint32_t i = 0; i < call->step_count; i++) {
        const struct api_ask *ask = call->steps[i].ask;
        if (i >= call->started || (ask && !ask->is_answered)) {
            call->parts[i].error = (struct api_error){API_INTERNAL, "timeout"};
            call->has_timed_out = true;
        }
    }
    call->started = call->step_count;
}

/* --- open and close --------------------------------------------------------------------------- */

static void make_steps(struct api_call *call)
{
    uint32_t number = 0;

    for (uint32_t i = 0; i < call->request.command_count; i++) {
        const struct api_command *command = &call->request.commands[i];
        uint32_t count = api_part_count(command);
        for (uint32_t j = 0; j < count; j++) {
            bool is_broadcast = command->method == API_BROADCAST;
            call->steps[number++] = (struct api_step){.command = command,
                                                      .channel = is_broadcast ? command->channels[j]
                                                                              : command->channel};
        }
    }
    ASSERT(number == call->step_count);
}

struct api_call *api_call_open(struct api_request *request, struct admin_call *http,
                               uint64_t now_ns)
{
    struct api_call *call = calloc(1, sizeof(*call));
    uint32_t count = 0;

    for (uint32_t i = 0; i < request->command_count; i++) {
        count += api_part_count(&request->commands[i]);
    }
    if (call) {
        call->steps = calloc(count > 0 ? count : 1, sizeof(call->steps[0]));
        call->parts = calloc(count > 0 ? count : 1, sizeof(call->parts[0]));
    }
    if (!call || !call->steps || !call->parts) {
        if (call) {
            free(call->steps);
            free(call->parts);
        }
        free(call);
        api_request_free(request);
        return NULL;
    }
    call->http = http;
    call->start_ns = now_ns;
    call->request = *request;
    call->step_count = count;
    make_steps(call);
    return call;
}

void api_call_close(struct api_call *call)
{
    for (uint32_t i = 0; i < call->step_count; i++) {
        struct api_ask *ask = call->steps[i].ask;
        if (ask && ask->is_answered) {
            api_ask_free(ask);
        } else if (ask) {
            ask->call = NULL; /* freed when its answer comes */
        }
    }
    api_request_free(&call->request);
    free(call->steps);
    free(call->parts);
    free(call);
}
