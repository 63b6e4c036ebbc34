/*
 * service.h - what all shards of a running server share, opened from the options before a thread
 * starts: the budget, certificates, keys, counts per address and user, mailboxes.
 */
#pragma once

#include "admin/api_key.h"
#include "server/key_sources.h"
#include "server/namespace_counts.h"
#include "server/settings.h"
#include "server/shard.h"

struct service {
    struct budget budget;
    struct server server;
    struct settings_desk desk;       /* certificates, token keys, and the options that can change */
    struct key_sources *key_sources; /* of token.keys, by URL */
    struct namespace_places places;
    struct api_keys *api_keys; /* NULL: no HTTP API */
};

/* Says on stderr what is wrong. Returns -1. */
int service_fail(const char *message);

/* Opens everything but rings, listeners and threads; the options must outlive it. Returns 0, or -1
 * when it has said what is wrong. The service is closed in either case. */
MUST_CHECK int service_open(struct service *service, const struct options *options);

/* The same for `limpet check`: goes on to the end, so that every problem is told, not the first
 * alone; opens nothing that is only memory. */
MUST_CHECK int service_check(struct service *service, const struct options *options);

void service_close(struct service *service);
