/*
 * budget.h - every count of the server, computed from the options and the machine's limits once, at
 * the start: the size of each pool, what a connection costs, how many the host can hold and what
 * bounds it.
 */
#pragma once

#include "server/options.h"

#include <stdio.h>

struct budget {
    uint32_t shard_count;
    uint32_t sockets_max;     /* per shard: its table of direct descriptors */
    uint32_t connections_max; /* whole server, open at once */
    const char *bound_by; /* what limits connections_max: "option limits.connections_max", ... */

    uint32_t openings_max; /* per shard */
    uint32_t handshakes_max;
    uint32_t partials_max;
    uint32_t nodes_max; /* queued messages */
    uint32_t subscriptions_max;
    uint32_t channels_max;
    uint32_t fanouts_per_tick_max; /* connections that a tick queues publications for */
    uint32_t topics_max;           /* channels with publications that are not delivered yet */
    uint32_t publications_max;     /* that wait for their fan-out */
    uint64_t queue_bytes_max;      /* that wait for all connections */
    size_t arena_size;
};

/* root: what is put before the files of the cgroups, "" for the host itself. Also raises the soft
 * RLIMIT_NOFILE to what is needed. Returns 0, or -1 with a message that names the limit and the way
 * to change it. */
MUST_CHECK int budget_make(const struct options *options, const char *root, struct budget *budget,
                           char *message, size_t message_size);

/* The table: pool, count, bytes each, total, bytes per connection. */
void budget_print(const struct budget *budget, const struct options *options, FILE *out);
