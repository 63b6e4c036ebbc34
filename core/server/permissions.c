#include "server/permissions.h"

#include "server/inbound.h"

/* Nobody needs a rule, or a second claim, for what the token subscribes to in any case. */
static bool may_subscribe(const struct namespaces *namespaces, const struct token_claims *claims,
                          struct slice channel)
{
    return name_list_matches(&claims->channels, channel) ||
           namespace_allows(namespaces, NAMESPACE_SUBSCRIBE, &claims->allowed[NAMESPACE_SUBSCRIBE],
                            channel, false);
}

enum upgrade_reason permissions_read(struct shard *shard, struct slice query,
                                     const struct token_claims *claims,
                                     struct wanted_channels *wanted)
{
    const struct options *options = shard->options;

    *wanted = (struct wanted_channels){.block = NONE};
    if (query.size == 0 || options->plain.channels_query[0] == '\0') {
        return UPGRADE_OK;
    }
    wanted->block = inbound_block(shard, false, query.size + 1);
    if (wanted->block == NONE) {
        return UPGRADE_FULL;
    }
    char *text = arena_at(&shard->arena, wanted->block);
    int64_t size = query_value(query, options->plain.channels_query, (uint8_t *)text);
    if (size == QUERY_ABSENT) {
        return UPGRADE_OK;
    }
    if (size == QUERY_MALFORMED ||
        !name_list_split(text, (size_t)size, options->token.channel_size_max,
                         options->token.channels_max, &wanted->names)) {
        return UPGRADE_BAD_CHANNELS;
    }
    const char *name = wanted->names.names;
    for (uint32_t i = 0; i < wanted->names.count; i++) {
        struct slice channel = slice_text(name);

        if (!may_subscribe(&options->namespaces, claims, channel)) {
            wanted->refused = channel;
            return UPGRADE_CHANNEL_REFUSED;
        }
        name += channel.size + 1;
    }
    return UPGRADE_OK;
}

void permissions_end(struct shard *shard, const struct wanted_channels *wanted)
{
    if (wanted->block != NONE) {
        arena_give(&shard->arena, wanted->block);
    }
}

bool permissions_may_publish(const struct shard *shard, uint32_t number,
                             const struct token_claims *claims)
{
    const struct options *options = shard->options;
    const char *name = options->plain.publish_channel;

    if (!name || name[0] == '\0') {
        return name || options->broker.forward; /* "": it goes back to its sender */
    }
    struct slice channel = slice_text(name);
    if (!namespace_of(&options->namespaces, channel)->name) {
        return true; /* no rule but the option itself */
    }
    return namespace_allows(&options->namespaces, NAMESPACE_PUBLISH,
                            &claims->allowed[NAMESPACE_PUBLISH], channel,
                            channel_reaches(shard->channels, channel, number));
}
