#include "server/api.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/tally.h"
#include "io/address.h"
#include "server/alive.h"
#include "server/api_call.h"
#include "server/counts.h"
#include "server/readiness.h"
#include "server/settings.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define MESSAGE_SIZE 256
#define STALLED_MS   1 /* until the relay is tried again */
#define WAIT_MS_MAX  1000

struct api {
    struct api_sources sources;
    const struct settings *settings; /* held; NULL without a desk */
    struct admin *admin;
    struct api_inbox inbox;
    struct api_counts counts;
    const void *blocks[1];
    struct metrics metrics;       /* the API's own, before the others */
    struct metrics space_metrics; /* the shards' by namespace, as the options have them now */
    struct metric space_table[NAMESPACE_METRICS_MAX];
    struct api_call *first; /* those that wait, in the order of their deadlines */
    struct api_call *last;
    uint64_t start_ns;
    char id[33];
    char name[API_NAME_SIZE_MAX + 1];
    struct readiness readiness;
    struct counter stopping;
    bool is_stopped;
    pthread_t thread;
};

/* --- answers ---------------------------------------------------------------------------------- */

static uint64_t sum_of(const struct metrics *shards, size_t offset)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < shards->block_count; i++) {
        const uint8_t *block = shards->blocks[i];
        const struct counter *counter = (const void *)(block + offset);
        sum += counter_read(counter);
    }
    return sum;
}

/* What info tells beside the relay's count of channels. */
static void fill_node(const struct api *api, struct api_part *part, struct api_node *node)
{
    const struct metrics *shards = api->sources.metrics;

    *node = (struct api_node){
        .clients = sum_of(shards, offsetof(struct counts, connections_open)),
        .users = api->sources.users ? tally_count(api->sources.users) : 0,
        .channels = part->count,
        .subscriptions = sum_of(shards, offsetof(struct counts, subscriptions)),
        .uptime_s = (clock_now_ns() - api->start_ns) / 1000000000,
    };
    memcpy(node->id, api->id, sizeof(node->id));
    memcpy(node->name, api->name, sizeof(node->name));
    part->node = node;
}

static void fill_nodes(const struct api *api, struct api_call *call, struct api_node *node)
{
    for (uint32_t i = 0; i < call->step_count; i++) {
        if (call->steps[i].command->method == API_INFO && call->parts[i].error.code == API_DONE) {
            fill_node(api, &call->parts[i], node); /* the same for all of a batch's */
        }
    }
}

static void count_answer(struct api *api, const struct api_call *call, bool is_error)
{
    enum api_outcome outcome = is_error ? API_OUTCOME_ERROR : API_OUTCOME_OK;

    if (call->has_timed_out) {
        outcome = API_OUTCOME_TIMEOUT;
    }
    counter_add(&api->counts.requests[call->request.method][outcome], 1);
    histogram_add(&api->counts.time, clock_now_ns() - call->start_ns, API_TIME_BASE_NS);
}

static void forget(struct api *api, struct api_call *call)
{
    if (call->previous) {
        call->previous->following = call->following;
    } else {
        api->first = call->following;
    }
    if (call->following) {
        call->following->previous = call->previous;
    } else {
        api->last = call->previous;
    }
    counter_set(&api->counts.waiting, counter_read(&api->counts.waiting) - 1);
    api_call_close(call);
}

/* Written out, it is larger than its parts. */
static const struct api_error no_room = {API_INTERNAL, "the answer is too large: ask for less"};

static void finish(struct api *api, struct api_call *call)
{
    struct json_out out = {.size_max = API_ANSWER_SIZE_MAX};
    struct api_node node;

    fill_nodes(api, call, &node);
    const struct api_error *error = api_response_error(&call->request, call->parts);
    bool is_bare = call->http->is_bare;
    api_response_write(&out, &call->request, call->parts, is_bare);
    if (out.failed) {
        error = &no_room;
        out.failed = false;
        out.size = 0;
        api_response_write_error(&out, error, is_bare);
    }
    count_answer(api, call, error != NULL);
    admin_answer(api->admin, call->http, error && is_bare ? api_error_status(error->code) : 200,
                 &out);
    forget(api, call);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void go_on(struct api *api, struct api_call *call)
{
    if (api_call_go_on(call, &api->inbox, api->sources.options)) {
        finish(api, call);
    }
}

static void refuse_memory(struct api *api, struct admin_call *http)
{
    struct json_out out = {.failed = true};

    admin_answer(api->admin, http, 503, &out);
}

static void start(struct api *api, struct admin_call *http, uint64_t now_ns)
{
    struct api_request request;
    char message[MESSAGE_SIZE];
    enum api_request_outcome outcome = api_request_read(&request, http->method, http->body,
                                                        http->body_size, message, sizeof(message));

    if (outcome == API_REQUEST_MALFORMED) {
        admin_refuse(api->admin, http, message);
        return;
    }
    struct api_call *call =
        outcome == API_REQUEST_READY ? api_call_open(&request, http, now_ns) : NULL;
    if (!call) {
        refuse_memory(api, http);
        return;
    }
    call->previous = api->last;
    if (api->last) {
        api->last->following = call;
    } else {
        api->first = call;
    }
    api->last = call;
    counter_add(&api->counts.waiting, 1);
    go_on(api, call);
}

static void take_answers(struct api *api)
{
    struct api_ask *ask;

    while ((ask = api_inbox_next(&api->inbox))) {
        struct api_call *call = ask->call;
        if (!call) {
            counter_add(&api->counts.late, 1);
            api_ask_free(ask);
            continue;
        }
        api_call_answered(call, ask);
        go_on(api, call);
    }
}

/* Deadlines, and calls that the relay had no room for. Returns for how long to wait. */
static uint32_t look_after_calls(struct api *api, uint64_t now_ns)
{
    uint64_t timeout_ns = (uint64_t)api->sources.options->admin.answer_timeout_ms * 1000000;
    uint32_t wait_ms = WAIT_MS_MAX;
    struct api_call *following;

    for (struct api_call *call = api->first; call; call = following) {
        following = call->following;
        if (now_ns - call->start_ns >= timeout_ns) {
            api_call_expire(call);
            finish(api, call);
            continue;
        }
        if (call->is_stalled) {
            wait_ms = STALLED_MS;
            go_on(api, call);
            continue;
        }
        uint64_t left_ms = (timeout_ns - (now_ns - call->start_ns)) / 1000000 + 1;
        wait_ms = left_ms < wait_ms ? (uint32_t)left_ms : wait_ms;
    }
    return wait_ms;
}

/* As of now, when somebody may have asked. */
static void set_health(struct api *api, uint64_t now_ms)
{
    const struct metrics *shards = api->sources.metrics;
    const struct readiness_facts facts = {
        .open = sum_of(shards, offsetof(struct counts, connections_open)),
        .capacity = api->sources.capacity,
        .high_percent = api->sources.options->admin.ready_high_water_percent,
        .missing_count = api->settings ? api->settings->missing_count : 0,
        .missing_url = api->settings ? api->settings->missing_url : NULL,
        .broker_problem = relay_problem(api->sources.relay, now_ms),
        .silent_shard = shards_first_silent(shards->blocks, shards->block_count, now_ms),
    };
    struct admin_health health;

    readiness_look(&api->readiness, &facts, &health);
    admin_set_health(api->admin, &health);
}

static void use(struct api *api, const struct options *options)
{
    api->sources.options = options;
    api->space_metrics.table_size = namespace_metrics_make(
        &options->namespaces, offsetof(struct counts, namespaces), api->space_table);
}

/* Changes over to newer settings, if there are any. */
static void renew(struct api *api)
{
    struct settings_desk *desk = api->sources.desk;
    const struct settings *before = api->settings;

    if (desk && settings_are_old(desk, before)) {
        api->settings = settings_take(desk);
        use(api, api->settings->options);
        settings_let_go(desk, before);
    }
}

static void *run(void *argument)
{
    struct api *api = argument;
    struct admin_call *http;
    uint32_t wait_ms = WAIT_MS_MAX;

    pthread_setname_np(pthread_self(), "admin");
    while (counter_read(&api->stopping) == 0) {
        renew(api);
        admin_wait(api->admin, wait_ms);
        set_health(api, clock_now_ns() / 1000000);
        admin_turn(api->admin);
        uint64_t now_ns = clock_now_ns();
        while ((http = admin_next(api->admin))) {
            start(api, http, now_ns);
        }
        take_answers(api);
        wait_ms = look_after_calls(api, now_ns);
    }
    return NULL;
}

/* --- open and close --------------------------------------------------------------------------- */

/* Telling nodes apart is all that it is for. */
static void make_id(struct api *api)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[(sizeof(api->id) - 1) / 2];

    random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        api->id[2 * i] = digits[bytes[i] >> 4];
        api->id[2 * i + 1] = digits[bytes[i] & 0xf];
    }
    if (gethostname(api->name, sizeof(api->name) - 1) != 0) {
        api->name[0] = '\0';
    }
}

/* 127.0.0.0/8, ::1 */
static bool is_loopback(const struct sockaddr_in6 *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t one[16] = {[15] = 1};
    uint8_t key[16];

    address_key(address, key);
    return memcmp(key, one, sizeof(one)) == 0 ||
           (memcmp(key, mapped, sizeof(mapped)) == 0 && key[12] == 127);
}

static bool open_port(struct api *api, char *message, size_t message_size)
{
    const struct api_sources *sources = &api->sources;
    struct sockaddr_in6 address;

    if (address_parse(slice_text(sources->options->admin.listen), &address) != 0) {
        (void)snprintf(message, message_size, "admin.listen is no address");
        return false;
    }
    if (sources->keys && !is_loopback(&address)) {
        LOG(LOG_WARN, "the HTTP API is not on loopback: its keys go over the wire as they are",
            log_text("admin_listen", sources->options->admin.listen),
            log_text("fix", "set admin.listen to a loopback address, behind something with TLS"));
    }
    const struct admin_options options = {
        .address = &address,
        .metrics = sources->keys ? &api->metrics : &api->space_metrics,
        .state = sources->state,
        .listeners = sources->listeners,
        .listener_count = sources->listener_count,
        .keys = sources->keys,
        .key_in_query = sources->options->admin.api_key_in_query,
        .body_size_max = sources->options->admin.body_size_max,
        .counts = &api->counts,
    };
    api->admin = admin_open(&options, message, message_size);
    return api->admin != NULL;
}

static void discard(struct api *api)
{
    if (api->settings) {
        settings_let_go(api->sources.desk, api->settings);
    }
    free(api);
}

static void chain_metrics(struct api *api)
{
    const struct metrics *shards = api->sources.metrics;

    api->space_metrics = (struct metrics){.table = api->space_table,
                                          .blocks = shards->blocks,
                                          .block_count = shards->block_count,
                                          .next = shards};
    api->blocks[0] = &api->counts;
    api->metrics = (struct metrics){.table = api_metrics,
                                    .table_size = api_metrics_size,
                                    .blocks = api->blocks,
                                    .block_count = 1,
                                    .is_shared = true,
                                    .next = &api->space_metrics};
}

struct api *api_open(const struct api_sources *sources, char *message, size_t message_size)
{
    struct api *api = calloc(1, sizeof(*api));

    if (!api) {
        (void)snprintf(message, message_size, "admin port: out of memory");
        return NULL;
    }
    api->sources = *sources;
    if (sources->desk) {
        api->settings = settings_take(sources->desk);
    }
    chain_metrics(api);
    use(api, api->settings ? api->settings->options : sources->options);
    api->start_ns = clock_now_ns();
    make_id(api);
    if (!open_port(api, message, message_size)) {
        discard(api);
        return NULL;
    }
    api_inbox_init(&api->inbox, sources->relay, api->admin);
    int error = pthread_create(&api->thread, NULL, run, api);
    if (error != 0) {
        (void)snprintf(message, message_size, "admin port: thread: %s", strerrordesc_np(error));
        admin_close(api->admin);
        api_inbox_close(&api->inbox);
        discard(api);
        return NULL;
    }
    return api;
}

uint16_t api_port(const struct api *api)
{
    return admin_port(api->admin);
}

void api_wake(struct api *api)
{
    if (api) {
        admin_wake(api->admin);
    }
}

void api_stop(struct api *api)
{
    if (!api || api->is_stopped) {
        return;
    }
    counter_set(&api->stopping, 1);
    admin_wake(api->admin);
    ASSERT(pthread_join(api->thread, NULL) == 0);
    while (api->first) {
        forget(api, api->first);
    }
    api_inbox_stop(&api->inbox);
    admin_close(api->admin);
    api->is_stopped = true;
}

void api_close(struct api *api)
{
    if (!api) {
        return;
    }
    api_stop(api);
    api_inbox_close(&api->inbox);
    discard(api);
}
