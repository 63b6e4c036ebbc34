/*
 * runners.h - the shards' threads, from their start to their end, and the listening sockets that
 * each is given. All calls are the main thread's.
 *
 * The order: runners_init, runners_listen, runners_start, runners_release, ..., runners_await_stop,
 * runners_join. When one of them fails, release with failed set, and go on from there.
 */
#pragma once

#include "io/listener.h"
#include "server/shard.h"

#include <pthread.h>

#define RUNNERS_MESSAGE_SIZE 1024

struct runners;

struct runner {
    struct runners *all;
    uint32_t number;
    struct listener listeners[OPTIONS_LISTEN_MAX];
    uint32_t listener_count;
    pthread_t thread;
    bool is_started;
    struct shard *shard;
};

struct runners {
    struct server *server;
    struct runner list[SHARDS_MAX];
    const void *blocks[SHARDS_MAX]; /* each shard's struct counts, once started */
    uint16_t port;                  /* of the first address, host order; 0: only Unix sockets */
    struct listener_file files[OPTIONS_LISTEN_MAX];
    uint32_t file_count;

    /* Where the threads meet. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint32_t ready_count;
    bool failed;
    bool go; /* listen, or when failed is set: end */
    uint32_t stopped_count;
    bool end; /* nobody reads the shards' counters any more */
    char message[RUNNERS_MESSAGE_SIZE];
};

/* On zeroed memory. */
void runners_init(struct runners *runners, struct server *server);

/* A listening socket for each shard and address of the options. 0, or -1 when it has said why. */
MUST_CHECK int runners_listen(struct runners *runners, const struct options *options);

/* Writes them all into listeners, for whoever wants to see their queues; returns their number. */
MUST_CHECK size_t runners_list_listeners(const struct runners *runners,
                                         struct kernel_listener *listeners);

/* Starts the threads and waits until each has its memory and its ring. 0, or -1 as above. */
MUST_CHECK int runners_start(struct runners *runners);

/* Lets the threads go on: to accept, or to end when the start failed. */
void runners_release(struct runners *runners, bool failed);

/* Waits at most so long until all shards have stopped; true when they have. Their counters can
 * still be read. */
MUST_CHECK bool runners_await_stop(struct runners *runners, uint32_t wait_ms);

/* Lets the threads end: from here on their counters are gone. */
void runners_join(struct runners *runners);
