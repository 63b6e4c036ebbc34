#include "server/options_value.h"

#include <stdlib.h>

/* Options whose names begin so have no effect then. */
struct useless {
    const char *begin;
    bool (*holds)(const struct options *options);
    const char *reason;
};

static bool does_not_deflate(const struct options *options)
{
    return !options->upgrade.deflate;
}

static bool needs_no_token(const struct options *options)
{
    return !options->token.required;
}

static bool is_memory(const struct options *options)
{
    return options->broker.kind == BROKER_KIND_MEMORY;
}

static bool is_redis(const struct options *options)
{
    return options->broker.kind == BROKER_KIND_REDIS;
}

static bool refuses_when_away(const struct options *options)
{
    return options->broker.when_away == WHEN_AWAY_REFUSE;
}

static bool is_single(const struct options *options)
{
    return options->redis.topology == REDIS_SINGLE;
}

static bool is_cluster(const struct options *options)
{
    return options->redis.topology == REDIS_CLUSTER;
}

static bool does_not_forward(const struct options *options)
{
    return !options->broker.forward;
}

static bool forwards_to_a_channel(const struct options *options)
{
    return options->redis.forward == REDIS_FORWARD_CHANNEL;
}

static const struct useless useless[] = {
    {"upgrade.deflate_", does_not_deflate, "upgrade.deflate is false"},
    {"token.in_", needs_no_token, "token.required is false"},
    {"token.keys", needs_no_token, "token.required is false"},
    {"token.issuer", needs_no_token, "token.required is false"},
    {"token.audience", needs_no_token, "token.required is false"},
    {"token.jwks_", needs_no_token, "token.required is false"},
    {"limits.connections_per_user_max", needs_no_token,
     "token.required is false: no user is known"},
    {"redis.", is_memory, "broker.kind is memory"},
    {"memory.", is_redis, "broker.kind is redis"},
    {"broker.when_away", is_memory, "broker.kind is memory, which is never away"},
    {"broker.queue_bytes_max", is_memory, "broker.kind is memory, which is never away"},
    {"broker.queue_bytes_max", refuses_when_away, "broker.when_away is refuse"},
    {"redis.master_name", is_single, "redis.topology is single"},
    {"redis.master_name", is_cluster, "redis.topology is cluster"},
    {"redis.sentinel_", is_single, "redis.topology is single"},
    {"redis.sentinel_", is_cluster, "redis.topology is cluster"},
    {"redis.forward", does_not_forward, "broker.forward is false"},
    {"redis.forward_length_max", forwards_to_a_channel, "redis.forward is channel"},
};

static char *text_of(const struct options *options, const struct option_row *row)
{
    struct options copy = *options; /* shallow, to be read like one that can be set */
    char *text = NULL;
    size_t text_size = 0;
    FILE *stream = open_memstream(&text, &text_size);

    ASSERT(stream);
    option_print(&copy, row, stream);
    const int closed = fclose(stream);
    ASSERT(closed == 0);
    return text;
}

/* Not what it is without being given. */
static bool is_given(const struct options *options, const struct option_row *row)
{
    struct options standard;

    options_init(&standard);
    char *text = text_of(options, row);
    char *standard_text = text_of(&standard, row);
    const bool is = strcmp(text, standard_text) != 0;

    free(text);
    free(standard_text);
    options_free(&standard);
    return is;
}

static const char *reason_of(const struct options *options, const struct option_row *row)
{
    for (size_t i = 0; i < sizeof(useless) / sizeof(useless[0]); i++) {
        if (strncmp(row->info.name, useless[i].begin, strlen(useless[i].begin)) == 0 &&
            useless[i].holds(options)) {
            return useless[i].reason;
        }
    }
    return NULL;
}

/* The channel that backends read from is one that clients may have, too. */
static bool forwards_to_clients(const struct options *options)
{
    const char *prefix = options->redis.prefix;

    return is_redis(options) && options->broker.forward && forwards_to_a_channel(options) &&
           strncmp(options->redis.forward_name, prefix, strlen(prefix)) == 0;
}

bool options_warning(const struct options *options, size_t *next, char *message,
                     size_t message_size)
{
    const struct option_row *row;

    while ((row = option_row_at(*next))) {
        const char *reason = reason_of(options, row);
        (*next)++;
        if (reason && is_given(options, row)) {
            (void)snprintf(message, message_size, "%s: has no effect, for %s", row->info.name,
                           reason);
            return true;
        }
        if (strcmp(row->info.name, "redis.forward_name") == 0 && forwards_to_clients(options)) {
            (void)snprintf(message, message_size,
                           "redis.forward_name: begins with redis.prefix: subscribers of the "
                           "channel \"%s\" read what all clients send",
                           options->redis.forward_name + strlen(options->redis.prefix));
            return true;
        }
    }
    return false;
}
