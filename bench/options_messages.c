#include "bench/options_messages.h"

#include "bench/stamp.h"

#include <errno.h>
#include <stdlib.h>

/* argp's messages are not made for threads; here is one only. */
// NOLINTBEGIN(concurrency-mt-unsafe)

#define COUNT_NOT_GIVEN    UINT64_MAX
#define COUNT_DEFAULT      100
#define WINDOW_DELIVERIES  10000 /* flat out: about so many under way */
#define WINDOW_BYTES       65536 /* and so much for a subscriber: servers cut off the slow */
#define CHANNELS_EACH_MAX  128   /* of a token */
#define PUBLISHERS_MAX     1000
#define CHANNEL_SIZE_MAX   100
#define API_KEY_SIZE_MAX   512
#define ARRIVALS_SECONDS   60 /* as long as they go on at most, without a duration */
#define ARRIVALS_TOTAL_MAX 20000

enum message_key {
    KEY_VIA = 512,
    KEY_CHANNELS,
    KEY_CHANNELS_EACH,
    KEY_PUBLISHERS,
    KEY_SIZE,
    KEY_MESSAGES,
    KEY_DURATION,
    KEY_MESSAGE_RATE,
    KEY_WINDOW,
    KEY_DRAIN,
    KEY_ARRIVALS,
    KEY_CHANNEL,
    KEY_PUBLISH_URL,
    KEY_PUBLISH_TOKEN,
    KEY_REDIS,
    KEY_REDIS_PREFIX,
    KEY_API,
    KEY_API_KEY,
};

/* The numbers are groups of the help text: after the load's. */
static const struct argp_option echo_table[] = {
    {NULL, 0, NULL, 0, "Messages", 3},
    {"messages", KEY_MESSAGES, "N", 0, "How many to send (default 100, or until --duration)", 3},
    {"duration", KEY_DURATION, "SECONDS", 0, "Send for so long, or until --messages are sent", 3},
    {"message-rate", KEY_MESSAGE_RATE, "N", 0,
     "Messages per second, all together (default 0: flat out)", 3},
    {"size", KEY_SIZE, "BYTES", 0, "Of a message, 48 to 16000 (default 100)", 3},
    {"drain", KEY_DRAIN, "SECONDS", 0,
     "Silence after which what is missing counts as lost (default 5)", 3},
    {0},
};

static const struct argp_option fanout_table[] = {
    {"via", KEY_VIA, "client|redis|http", 0, "How messages are published (default client)", 3},
    {"channels", KEY_CHANNELS, "N", 0, "Channels, each message goes to one at random (default 1)",
     3},
    {"channels-each", KEY_CHANNELS_EACH, "N", 0, "Channels of a subscriber (default 1)", 3},
    {"channel", KEY_CHANNEL, "NAME", 0,
     "The channel, or with several what comes before -0, -1, ... (default bench)", 3},
    {"publishers", KEY_PUBLISHERS, "N", 0, "Who publish in turn (default 1)", 3},
    {"window", KEY_WINDOW, "N", 0,
     "Flat out: messages under way (default: as many as make 10,000 deliveries, or 64 KB for a "
     "subscriber)",
     3},
    {"publish-url", KEY_PUBLISH_URL, "URL", 0, "Where clients publish (default: the same URL)", 3},
    {"publish-token", KEY_PUBLISH_TOKEN, "TOKEN", 0, "With this token (default: the same)", 3},
    {"redis", KEY_REDIS, "HOST:PORT", 0, "The Redis to publish through (default 127.0.0.1:6379)",
     3},
    {"redis-prefix", KEY_REDIS_PREFIX, "TEXT", 0,
     "What comes before the channel's name there (default limpet:)", 3},
    {"api", KEY_API, "HOST:PORT", 0,
     "The HTTP API to publish through (default: the spawned server's)", 3},
    {"api-key", KEY_API_KEY, "KEY", 0, "With this key (default: the spawned server's)", 3},
    {"arrivals", KEY_ARRIVALS, "N", 0, "New connections per second meanwhile (default 0)", 3},
    {0},
};

uint32_t option_number(struct argp_state *state, const char *name, const char *text, uint32_t min,
                       uint32_t max)
{
    char *end;

    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < min || value > max) {
        argp_error(state, "--%s: %s is not a number from %u to %u", name, text, min, max);
    }
    return (uint32_t)value;
}

static void read_via(struct argp_state *state, struct bench_messages *messages, const char *text)
{
    for (enum bench_via via = VIA_CLIENT; via <= VIA_HTTP; via++) {
        if (strcmp(text, bench_via_name(via)) == 0) {
            messages->via = via;
            return;
        }
    }
    argp_error(state, "--via: %s is none of client, redis, http", text);
}

static error_t parse_text(int key, const char *text, struct argp_state *state,
                          struct bench_messages *messages)
{
    switch (key) {
    case KEY_VIA:
        read_via(state, messages, text);
        return 0;
    case KEY_CHANNEL:
        messages->channel = text;
        return 0;
    case KEY_PUBLISH_URL:
        messages->publish_url = text;
        return 0;
    case KEY_PUBLISH_TOKEN:
        messages->publish_token = text;
        return 0;
    case KEY_REDIS:
        messages->redis = text;
        return 0;
    case KEY_REDIS_PREFIX:
        messages->redis_prefix = text;
        return 0;
    case KEY_API:
        messages->api = text;
        return 0;
    case KEY_API_KEY:
        messages->api_key = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct bench_options *options = state->input;
    struct bench_messages *messages = &options->messages;

    switch (key) {
    case ARGP_KEY_INIT:
        if (state->child_inputs) {
            state->child_inputs[0] = options;
        }
        return 0;
    case KEY_CHANNELS:
        messages->channels = option_number(state, "channels", text, 1, 10000000);
        return 0;
    case KEY_CHANNELS_EACH:
        messages->channels_each = option_number(state, "channels-each", text, 1, CHANNELS_EACH_MAX);
        return 0;
    case KEY_PUBLISHERS:
        messages->publishers = option_number(state, "publishers", text, 1, PUBLISHERS_MAX);
        return 0;
    case KEY_SIZE:
        messages->size = option_number(state, "size", text, MESSAGE_SIZE_MIN, MESSAGE_SIZE_MAX);
        return 0;
    case KEY_MESSAGES:
        messages->count = option_number(state, "messages", text, 0, UINT32_MAX);
        return 0;
    case KEY_DURATION:
        messages->duration_s = option_number(state, "duration", text, 1, 604800);
        return 0;
    case KEY_MESSAGE_RATE:
        messages->rate = option_number(state, "message-rate", text, 0, 10000000);
        return 0;
    case KEY_WINDOW:
        messages->window = option_number(state, "window", text, 1, 1000000);
        return 0;
    case KEY_DRAIN:
        messages->drain_s = option_number(state, "drain", text, 1, 3600);
        return 0;
    case KEY_ARRIVALS:
        messages->arrivals = option_number(state, "arrivals", text, 0, 100000);
        return 0;
    default:
        return parse_text(key, text, state, messages);
    }
}

static const struct argp echo_argp = {.options = echo_table, .parser = parse};
static const struct argp_child echo_child[] = {{&echo_argp, 0, NULL, 0}, {0}};
static const struct argp fanout_argp = {
    .options = fanout_table, .parser = parse, .children = echo_child};

const struct argp *messages_options(enum bench_scenario scenario)
{
    return scenario == SCENARIO_ECHO ? &echo_argp : &fanout_argp;
}

void messages_options_init(struct bench_options *options)
{
    options->messages = (struct bench_messages){.publishers = 1,
                                                .channels = 1,
                                                .channels_each = 1,
                                                .size = 100,
                                                .count = COUNT_NOT_GIVEN,
                                                .drain_s = 5,
                                                .channel = "bench",
                                                .redis = "127.0.0.1:6379",
                                                .redis_prefix = "limpet:"};
}

/* Flat out: how many messages may be under way. */
static uint32_t choose_window(const struct bench_options *options)
{
    const struct bench_messages *messages = &options->messages;
    uint64_t each = (uint64_t)options->connections * messages->channels_each / messages->channels;
    uint64_t by_deliveries = WINDOW_DELIVERIES / (each == 0 ? 1 : each);
    uint64_t by_bytes = (uint64_t)WINDOW_BYTES * messages->channels /
                        ((uint64_t)messages->size * messages->channels_each);
    uint64_t window = by_deliveries < by_bytes ? by_deliveries : by_bytes;

    return window == 0 ? 1 : (uint32_t)window;
}

static void fill_in(struct bench_options *options)
{
    struct bench_messages *messages = &options->messages;

    messages->window = messages->window == 0 ? choose_window(options) : messages->window;
    uint32_t seconds = messages->duration_s > 0 ? messages->duration_s : ARRIVALS_SECONDS;
    uint64_t arrivals = (uint64_t)messages->arrivals * seconds;
    options->others_max = arrivals > ARRIVALS_TOTAL_MAX ? ARRIVALS_TOTAL_MAX : (uint32_t)arrivals;
    options->others_max += messages->via == VIA_CLIENT ? messages->publishers : 0;
}

void messages_options_check(struct argp_state *state, struct bench_options *options)
{
    struct bench_messages *messages = &options->messages;

    if (messages->count == COUNT_NOT_GIVEN) {
        messages->count = messages->duration_s > 0 ? 0 : COUNT_DEFAULT;
    }
    if (messages->count == 0 && messages->duration_s == 0) {
        argp_error(state, "--messages 0 needs a --duration");
    }
    if (options->scenario == SCENARIO_ECHO) {
        messages->channels = options->connections; /* each its own */
        return;
    }
    if (messages->channels_each > messages->channels) {
        argp_error(state, "--channels-each: there are only %u channels", messages->channels);
    }
    if (messages->via == VIA_CLIENT && messages->channels > 1) {
        argp_error(state, "--via client: clients publish to one channel only");
    }
    if (messages->via == VIA_HTTP && !messages->api && !options->spawn) {
        argp_error(state, "--via http with --url needs --api HOST:PORT");
    }
    if (strlen(messages->channel) > CHANNEL_SIZE_MAX) {
        argp_error(state, "--channel: more than %d characters", CHANNEL_SIZE_MAX);
    }
    if (messages->api_key && strlen(messages->api_key) > API_KEY_SIZE_MAX) {
        argp_error(state, "--api-key: more than %d characters", API_KEY_SIZE_MAX);
    }
    fill_in(options);
}

// NOLINTEND(concurrency-mt-unsafe)
