#include "server/token_command.h"

#include "server/arguments.h"
#include "session/token.h"

#include <argp.h>
#include <stdlib.h>
#include <time.h>

#define CHANNELS_MAX  128
#define COUNT_MAX     10000000
#define LINE_SIZE_MAX 65536

struct wanted {
    const char *options_path;
    const char *state_directory;
    const char *subject;
    char *channels;  /* "a,b" */
    char *subscribe; /* likewise */
    char *publish;
    const char *list_path; /* lines "NAME A,B"; NULL: subject and channels as given */
    uint32_t lifetime_s;
    uint32_t count;
};

/* "90", "90s", "15m", "1h", "7d"; 0 for what is none of these. */
static uint32_t parse_lifetime(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    unsigned long unit = 0;

    switch (*end) {
    case '\0':
    case 's':
        unit = 1;
        break;
    case 'm':
        unit = 60;
        break;
    case 'h':
        unit = 3600;
        break;
    case 'd':
        unit = 86400;
        break;
    default:
        break;
    }
    if (end == text || (*end && end[1]) || unit == 0 || value > 3650ul * 86400 / unit) {
        return 0;
    }
    return (uint32_t)(value * unit);
}

/* 0 for what is no number of tokens. */
static uint32_t parse_count(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    return *end == '\0' && value <= COUNT_MAX ? (uint32_t)value : 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is argp's. */
static error_t gather(int key, char *value, struct argp_state *argp)
{
    struct wanted *wanted = argp->input;

    switch (key) {
    case 'o':
        wanted->options_path = value;
        return 0;
    case 'd':
        wanted->state_directory = value;
        return 0;
    case 's':
        wanted->subject = value;
        return 0;
    case 'c':
        wanted->channels = value;
        return 0;
    case 'S':
        wanted->subscribe = value;
        return 0;
    case 'P':
        wanted->publish = value;
        return 0;
    case 'l':
        wanted->list_path = value;
        return 0;
    case 't':
        wanted->lifetime_s = parse_lifetime(value);
        if (wanted->lifetime_s == 0) {
            /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts. */
            argp_error(argp, "--ttl %s: want 90s, 15m, 1h or 7d, at most 3650d", value);
        }
        return 0;
    case 'n':
        wanted->count = parse_count(value);
        if (wanted->count == 0) {
            /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts. */
            argp_error(argp, "--count %s: want 1 to %d", value, COUNT_MAX);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Cuts "a,b" in place; returns the number of names, or CHANNELS_MAX + 1. */
static size_t split(char *text, const char **names)
{
    size_t count = 0;
    char *rest = NULL;

    for (char *name = text ? strtok_r(text, ",", &rest) : NULL; name;
         name = strtok_r(NULL, ",", &rest)) {
        if (count == CHANNELS_MAX) {
            return CHANNELS_MAX + 1;
        }
        names[count++] = name;
    }
    return count;
}

static int too_many(void)
{
    (void)fprintf(stderr, "limpet token: more than %d channels in a list\n", CHANNELS_MAX);
    return 1;
}

static int print_one(const struct token_options *options, const struct token_request *request)
{
    char message[512];
    char *token = token_make(options, request, message, sizeof(message));

    if (!token) {
        (void)fprintf(stderr, "limpet token: %s\n", message);
        return 1;
    }
    (void)puts(token);
    free(token);
    return 0;
}

/* A token for every line "NAME A,B" of a file; the request has all but those two. */
static int print_list(const struct token_options *options, const struct wanted *wanted,
                      struct token_request request)
{
    static char line[LINE_SIZE_MAX];
    const char *channels[CHANNELS_MAX];
    FILE *file = strcmp(wanted->list_path, "-") == 0 ? stdin : fopen(wanted->list_path, "re");
    int status = 0;

    if (!file) {
        (void)fprintf(stderr, "limpet token: --list %s cannot be opened\n", wanted->list_path);
        return 1;
    }
    request.channels = channels;
    while (status == 0 && fgets(line, sizeof(line), file)) {
        char *rest = NULL;
        request.subject = strtok_r(line, " \t\r\n", &rest);
        if (request.subject) {
            request.channel_count = split(strtok_r(NULL, " \t\r\n", &rest), channels);
            status =
                request.channel_count > CHANNELS_MAX ? too_many() : print_one(options, &request);
        }
    }
    if (file != stdin) {
        (void)fclose(file);
    }
    return status;
}

static int print_tokens(const struct options *options, const struct wanted *wanted)
{
    struct token_key_options keys[OPTIONS_KEYS_MAX];
    struct token_options token_options;
    const char *channels[CHANNELS_MAX];
    const char *subscribe[CHANNELS_MAX];
    const char *publish[CHANNELS_MAX];
    char subject[TOKEN_SUBJECT_MAX + 16];
    struct token_request request = {.subject = subject,
                                    .channels = channels,
                                    .channel_count = split(wanted->channels, channels),
                                    .subscribe = subscribe,
                                    .subscribe_count = split(wanted->subscribe, subscribe),
                                    .publish = publish,
                                    .publish_count = split(wanted->publish, publish),
                                    .now_s = (double)time(NULL),
                                    .lifetime_s = wanted->lifetime_s};
    int status = 0;

    if (request.channel_count > CHANNELS_MAX || request.subscribe_count > CHANNELS_MAX ||
        request.publish_count > CHANNELS_MAX) {
        return too_many();
    }
    arguments_token_options(options, keys, &token_options);
    if (wanted->list_path) {
        return print_list(&token_options, wanted, request);
    }
    for (uint32_t i = 1; status == 0 && i <= wanted->count; i++) {
        if (wanted->count == 1) {
            (void)snprintf(subject, sizeof(subject), "%s", wanted->subject);
        } else {
            (void)snprintf(subject, sizeof(subject), "%s-%u", wanted->subject, i);
        }
        status = print_one(&token_options, &request);
    }
    return status;
}

static int read_options(struct options *options, const struct wanted *wanted)
{
    struct state state;
    char message[1024];

    if (wanted->options_path) {
        return options_read_file(options, wanted->options_path, stderr);
    }
    if (state_open(&state, wanted->state_directory, message, sizeof(message)) != 0) {
        (void)fprintf(stderr, "limpet token: %s\n", message);
        return -1;
    }
    if (state.is_new) {
        (void)fprintf(stderr,
                      "limpet token: %s was made just now: no running server has its secret\n",
                      state.directory);
    }
    state_set_options(&state, options);
    return 0;
}

int token_command(int argc, char **argv)
{
    static const struct argp_option table[] = {
        {"options", 'o', "FILE", 0, "Take the key from this options file", 0},
        {"state", 'd', "DIR", 0, "Take the key from this state folder (dev mode)", 0},
        {"sub", 's', "NAME", 0, "The user (claim sub)", 0},
        {"channels", 'c', "A,B", 0, "Channels to subscribe to (claim channels)", 0},
        {"subscribe", 'S', "A,B*", 0, "Channels it may ask for (claim subscribe)", 0},
        {"publish", 'P', "A,B*", 0, "Channels it may publish to (claim publish)", 0},
        {"ttl", 't', "TIME", 0, "Life: 90s, 15m, 1h (default), 7d", 0},
        {"count", 'n', "N", 0, "Make N tokens, for NAME-1 to NAME-N", 0},
        {"list", 'l', "FILE", 0, "A token for each line `NAME A,B` of FILE (-: standard input)", 0},
        {0}};
    static const struct argp argp = {
        .options = table, .parser = gather, .doc = "Makes tokens, one a line."};
    struct wanted wanted = {.subject = "dev", .lifetime_s = 3600, .count = 1};
    struct options options;
    int status = 1;

    options_init(&options);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts. */
    if (argp_parse(&argp, argc, argv, 0, NULL, &wanted) == 0 &&
        read_options(&options, &wanted) == 0) {
        status = print_tokens(&options, &wanted);
    }
    options_free(&options);
    return status;
}
