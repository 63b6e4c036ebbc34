#include "server/options.h"

#include "io/endpoint.h"
#include "pubsub/channel.h"
#include "server/options_table.h"
#include "server/options_value.h"
#include "server/redis_settings.h"

#include <stdlib.h>

/* What a parcel has besides the message: its head, a channel's name. */
#define PARCEL_EXTRA  512
#define REQUEST_EXTRA 1024

void options_init(struct options *options)
{
    const struct option_row *row;
    char message[512];

    *options = (struct options){0};
    for (size_t i = 0; (row = option_row_at(i)); i++) {
        if (row->info.standard) {
            int result =
                options_set(options, row->info.name, row->info.standard, message, sizeof(message));
            ASSERT(result == 0);
        }
    }
}

void options_free(struct options *options)
{
    const struct option_row *row;

    for (size_t i = 0; (row = option_row_at(i)); i++) {
        if (row->kind == OPTION_TEXT) {
            char **place = option_place(options, row);
            free(*place);
            *place = NULL;
        } else if (option_is_list(row)) {
            struct option_list list = option_list_of(options, row);
            option_list_clear(&list);
        }
    }
    free(options->file);
    options->file = NULL;
}

int options_set(struct options *options, const char *name, const char *value, char *message,
                size_t message_size)
{
    const struct option_row *row = option_row_find(slice_text(name));

    if (!row) {
        (void)snprintf(message, message_size, "there is no such option");
        return -1;
    }
    if (!option_is_list(row)) {
        return option_value_set(option_place(options, row), row, value, message, message_size);
    }
    struct option_list list = option_list_of(options, row);
    option_list_clear(&list);
    return option_list_add(options, row, value, message, message_size);
}

const struct option_info *options_info(size_t index)
{
    const struct option_row *row = option_row_at(index);

    return row ? &row->info : NULL;
}

/* --- cross-checks ----------------------------------------------------------------------------- */

/* Writes "name: problem" when the condition does not hold; counts. */
static void expect(FILE *errors, int *problems, bool holds, const char *problem)
{
    if (!holds) {
        (void)fprintf(errors, "%s\n", problem);
        (*problems)++;
    }
}

/* Whether something stands before an @ in front of the host. */
static bool has_user(const char *url)
{
    const char *host = strstr(url, "://");

    return host && host[3 + strcspn(host + 3, "/?#@")] == '@';
}

static void validate_token(const struct options *options, FILE *errors, int *problems)
{
    bool somewhere = options->token.in_authorization || options->token.in_protocol ||
                     options->token.in_cookie || options->token.in_query;

    expect(errors, problems, !options->token.required || options->token.key_count > 0,
           "token.keys: no key to check tokens with; allowed: at least one, unless token.required "
           "is false");
    expect(errors, problems, !options->token.required || somewhere,
           "token: tokens are required but taken from nowhere; allowed: one of in_authorization, "
           "in_protocol, in_cookie, in_query is true");
    for (uint32_t i = 0; i < options->token.key_count; i++) {
        const struct option_token_key *key = &options->token.keys[i];
        size_t size = strlen(key->path);
        bool is_url = strncmp(key->path, "https://", 8) == 0;
        bool is_set = is_url || (size > 5 && strcmp(key->path + size - 5, ".json") == 0);

        if (strncmp(key->path, "http://", 7) == 0) {
            (void)fprintf(errors,
                          "token.keys: %s: whoever stands between could sign tokens; "
                          "allowed: https\n",
                          key->path);
            (*problems)++;
            continue;
        }
        expect(errors, problems, !is_url || !has_user(key->path),
               "token.keys: a URL with a user would stand in logs; allowed: https://HOST/PATH");
        if (!key->algorithm && !is_set) {
            (void)fprintf(
                errors,
                "token.keys: %s: no algorithm; allowed: only a key set (.json, https) may leave "
                "it out\n",
                key->path);
            (*problems)++;
        }
    }
    /* The request line and the other headers need about as much again as a small token. */
    expect(errors, problems,
           !options->token.required ||
               options->upgrade.request_size_max >= options->token.size_max + 512,
           "upgrade.request_size_max: a token of token.size_max does not fit in; allowed: "
           "token.size_max and 512 bytes at least");
}

/* The option itself is the only rule where no namespace has one. */
static bool may_be_published(const struct options *options, const char *channel)
{
    const struct namespace *space = namespace_of(&options->namespaces, slice_text(channel));

    return !space->name || space->who[NAMESPACE_PUBLISH] != WHO_NOBODY;
}

static void validate_channels(const struct options *options, FILE *errors, int *problems)
{
    const char *channel = options->plain.publish_channel;
    size_t size = channel ? strlen(channel) : 0;

    expect(errors, problems, size == 0 || (size <= CHANNEL_NAME_MAX && channel[size - 1] != '*'),
           "plain.publish_channel: a pattern or too long; allowed: one channel, at most 255 bytes");
    expect(errors, problems, size == 0 || may_be_published(options, channel),
           "plain.publish_channel: in its namespace (namespaces) nobody may publish; allowed: "
           "a channel of one with publish=client, claim or subscriber");
    expect(errors, problems,
           !options->token.in_query ||
               strcmp(options->token.query_name, options->plain.channels_query) != 0,
           "plain.channels_query: the token's name, too (token.query_name); allowed: another");
    for (uint32_t i = 0; i < options->namespaces.count; i++) {
        expect(errors, problems,
               !options->namespace_texts[i].history_age ||
                   options->namespaces.entries[i].history_size > 0,
               "namespaces: history_age without history_size; allowed: both, or history_size "
               "alone");
    }
}

static void validate_broker(const struct options *options, FILE *errors, int *problems)
{
    expect(errors, problems, !options->broker.forward || options->broker.kind != BROKER_KIND_MEMORY,
           "broker.forward: no backend reads from the memory broker; allowed: with another "
           "broker.kind");
    if (options->broker.kind == BROKER_KIND_REDIS) {
        const struct redis_options settings = redis_settings(options);
        char message[256];
        if (!redis_check(&settings, message, sizeof(message))) {
            expect(errors, problems, false, message);
        }
    }
}

static void validate_limits(const struct options *options, FILE *errors, int *problems)
{
    /* A block of the arena is a power of two; a message also has a frame's header, a record its
     * own. */
    expect(errors, problems,
           options->limits.queue_bytes_max >= options->limits.message_size_max + 64,
           "limits.queue_bytes_max: the largest message does not fit in; allowed: "
           "limits.message_size_max and 64 bytes at least");
    expect(errors, problems,
           options->limits.shard_queue_bytes_max == 0 ||
               options->limits.shard_queue_bytes_max >= options->limits.queue_bytes_max,
           "limits.shard_queue_bytes_max: less than one full queue; allowed: "
           "limits.queue_bytes_max at least");
    expect(errors, problems, options->limits.arena_size / 4 >= options->limits.message_size_max,
           "limits.arena_size: too small for messages of limits.message_size_max; allowed: four "
           "times as much at least");
    expect(errors, problems, options->limits.arena_size / 2 >= options->limits.queue_bytes_max,
           "limits.arena_size: too small for one full queue of limits.queue_bytes_max; allowed: "
           "twice as much at least");
    expect(errors, problems,
           options->limits.mailbox_size / 2 >= options->limits.message_size_max + PARCEL_EXTRA,
           "limits.mailbox_size: too small for messages of limits.message_size_max; allowed: twice "
           "as much and 1 KB at least");
    expect(errors, problems,
           options->broker.mailbox_size / 2 >= options->limits.message_size_max + REQUEST_EXTRA,
           "broker.mailbox_size: too small for messages of limits.message_size_max; allowed: twice "
           "as much and 2 KB at least");
    expect(errors, problems,
           options->limits.handshakes_per_tick_max <= options->limits.handshakes_max,
           "limits.handshakes_per_tick_max: more than limits.handshakes_max; allowed: as many at "
           "most");
}

static void validate_listeners(const struct options *options, FILE *errors, int *problems)
{
    struct endpoint list[OPTIONS_LISTEN_MAX];
    struct endpoint admin = {.mode = 0};
    bool has_tls = false;

    if (options->admin.listen[0] != '\0') {
        int parsed = address_parse(slice_text(options->admin.listen), &admin.address);
        ASSERT(parsed == 0); /* as it was set */
    }
    for (uint32_t i = 0; i < options->listen.count; i++) {
        int parsed = endpoint_parse(slice_text(options->listen.names[i]), &list[i]);
        ASSERT(parsed == 0);
        for (uint32_t j = 0; j < i; j++) {
            expect(errors, problems, !endpoint_same(&list[i], &list[j]),
                   "listen: the same address twice; allowed: each once");
        }
        expect(errors, problems, !endpoint_same(&list[i], &admin),
               "admin.listen: clients are served there (listen); allowed: another address");
        has_tls = has_tls || !list[i].is_plain;
        expect(errors, problems,
               list[i].proxy == 0 || list[i].path[0] != '\0' || options->proxy.trusted.count > 0,
               "proxy.trusted: nobody, but an address of listen has ?proxy=; allowed: the networks "
               "of the proxies, as 10.0.0.0/24");
    }
    expect(errors, problems, !has_tls || options->tls.certificate_count > 0,
           "tls.certificates: none; allowed: at least one, each with certificate and key, unless "
           "every address of listen is without TLS (ws://)");
}

/* "FILE:LINE: " before what is wrong with an option that stands there, "FILE: " before others. */
static void write_place(const struct options *options, const char *problem, FILE *errors)
{
    const struct option_row *row = option_row_find(slice_from(problem, strcspn(problem, ":")));
    const uint32_t line = row ? options->lines[row - option_row_at(0)] : 0;

    if (options->file && line > 0) {
        (void)fprintf(errors, "%s:%u: ", options->file, line);
    } else if (options->file) {
        (void)fprintf(errors, "%s: ", options->file);
    }
}

int options_validate(const struct options *options, FILE *errors)
{
    char *text = NULL;
    size_t size = 0;
    int problems = 0;
    FILE *lines = open_memstream(&text, &size);

    ASSERT(lines);
    validate_listeners(options, lines, &problems);
    validate_token(options, lines, &problems);
    validate_broker(options, lines, &problems);
    validate_limits(options, lines, &problems);
    validate_channels(options, lines, &problems);
    const int closed = fclose(lines);
    ASSERT(closed == 0);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        write_place(options, line, errors);
        (void)fprintf(errors, "%.*s\n", (int)strcspn(line, "\n"), line);
    }
    free(text);
    return problems == 0 ? 0 : -1;
}
