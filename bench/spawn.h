/*
 * spawn.h - starts and stops a Limpet of its own: free ports, a fresh state folder, shards enough.
 */
#pragma once

#include "bench/audience.h"
#include "bench/options.h"
#include "bench/target.h"

#include <sys/types.h>

struct spawn {
    pid_t pid;
    char folder[64]; /* its state and log; removed by spawn_stop */
    char program[4096];
    char url[64];
    uint16_t port;
    uint32_t shards;
    const char *channel; /* as options have it */
    struct sockaddr_in6 admin;
    char api_key[128]; /* "": none was found */
};

/* Starts the server and waits until it is ready. Returns 0, or -1 with a message that ends with
 * what the server said last. */
MUST_CHECK int spawn_start(struct spawn *spawn, const struct bench_options *options,
                           uint32_t shards, char *message, size_t message_size);

/* Kills it, with all its connections, and starts it again at the same address, with the same keys.
 * As spawn_start. */
MUST_CHECK int spawn_restart(struct spawn *spawn, const struct bench_options *options,
                             char *message, size_t message_size);

/* Makes count tokens for it, with the channels of the first count subscribers, or without any
 * (audience NULL). Returns 0, or -1 with a message. */
MUST_CHECK int spawn_tokens(const struct spawn *spawn, const struct audience *audience,
                            uint32_t count, struct tokens *tokens, char *message,
                            size_t message_size);

/* Ends the server (SIGTERM; SIGKILL after 20 s) and removes its folder. */
void spawn_stop(struct spawn *spawn);
