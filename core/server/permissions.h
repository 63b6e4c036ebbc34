/*
 * permissions.h - which channels an upgrade request asks for, and what its token and the rules of
 * the namespaces allow.
 *
 * The channels of the token's claim "channels" need no rule: whoever signs tokens subscribes. Rules
 * are for what clients ask for by themselves.
 */
#pragma once

#include "server/shard.h"

/* What the query asks for. */
struct wanted_channels {
    struct name_list names;
    uint32_t block;       /* arena block with the names, or NONE */
    struct slice refused; /* the name that was not allowed; empty: none */
};

/*
 * Reads the query's channels and looks each up: UPGRADE_OK, or why the request is to be refused
 * (UPGRADE_BAD_CHANNELS, UPGRADE_CHANNEL_REFUSED, or UPGRADE_FULL: no memory). In any case what was
 * filled in is good until permissions_end.
 */
MUST_CHECK enum upgrade_reason permissions_read(struct shard *shard, struct slice query,
                                                const struct token_claims *claims,
                                                struct wanted_channels *wanted);
void permissions_end(struct shard *shard, const struct wanted_channels *wanted);

/* Whether what this connection sends may go to plain.publish_channel; its subscriptions are made
 * already. */
MUST_CHECK bool permissions_may_publish(const struct shard *shard, uint32_t number,
                                        const struct token_claims *claims);
