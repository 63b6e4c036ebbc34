/*
 * bare_shard.h - a shard without a ring, for the steps of a tick one by one: what they queue is
 * looked at instead of sent. A header alone: other tests of the folder have parts of a shard of
 * their own.
 */
#pragma once

#include "child.h"
#include "pubsub/message.h"
#include "server/relay.h"
#include "server/shard.h"
#include "server/state.h"

#define BARE_SHARD_START_MS 1000000

struct bare_shard {
    struct child_folder folder;
    struct options options; /* of small limits; may be changed on the way */
    struct budget budget;
    struct certificate_set *certificates;
    struct server server;
    struct shard *shard;
};

static inline void bare_shard_open_files(struct bare_shard *bare)
{
    struct state made;
    char message[512];

    child_folder_open(&bare->folder);
    options_init(&bare->options);
    const int made_error = state_open(&made, bare->folder.path, message, sizeof(message));
    ASSERT(made_error == 0);
    state_set_options(&made, &bare->options);
    const struct certificate_files files = {made.certificate_path, made.key_path};
    bare->certificates = certificate_set_open(&files, 1, message, sizeof(message));
    ASSERT(bare->certificates);
}

/* In static memory: it is borrowed by what is opened. Has a mailbox. */
static inline void bare_shard_open(struct bare_shard *bare)
{
    char message[512];

    *bare = (struct bare_shard){0};
    bare_shard_open_files(bare);
    bare->options.shards = 1;
    bare->options.limits.arena_size = 16 << 20;
    bare->options.limits.connections_max = 5000;
    const int error = budget_make(&bare->options, "", &bare->budget, message, sizeof(message));
    ASSERT(error == 0);
    bare->server = (struct server){.options = &bare->options,
                                   .budget = &bare->budget,
                                   .certificates = bare->certificates,
                                   .open = tally_open(64),
                                   .mailboxes = {mailbox_open(1 << 20)},
                                   .shard_count = 1};
    ASSERT(bare->server.mailboxes[0]);
    bare->server.relay = relay_open(&bare->server, message, sizeof(message));
    ASSERT(bare->server.relay);
    bare->shard = shard_open(&bare->server, 0, message, sizeof(message));
    ASSERT(bare->shard);
    const int wheel =
        wheel_open(&bare->shard->wheel, bare->budget.sockets_max, BARE_SHARD_START_MS);
    ASSERT(wheel == 0);
    bare->shard->start_ms = BARE_SHARD_START_MS;
    bare->shard->now_ms = BARE_SHARD_START_MS;
}

static inline void bare_shard_close(struct bare_shard *bare)
{
    arena_check(&bare->shard->arena);
    shard_close(bare->shard);
    relay_close(bare->server.relay);
    mailbox_close(bare->server.mailboxes[0]);
    tally_close(bare->server.open);
    certificate_set_close(bare->certificates);
    options_free(&bare->options);
    child_folder_close(&bare->folder);
}

/* Sets an option; the name and the value are as in a flag. */
static inline void bare_shard_set(struct bare_shard *bare, const char *name, const char *value)
{
    char message[512];
    const int error = options_set(&bare->options, name, value, message, sizeof(message));

    ASSERT(error == 0);
}

/* A connection that is open; returns its generation. */
static inline uint32_t bare_shard_connect(struct bare_shard *bare, uint32_t number)
{
    struct conn *conn = conn_init(bare->shard, number);

    conn_set_state(bare->shard, conn, CONN_OPEN);
    return conn->generation;
}

/* What is queued for it last, with its frame's header; empty: nothing. Borrowed. */
static inline struct slice bare_shard_queued(const struct bare_shard *bare, uint32_t number)
{
    const struct conn *conn = conn_at(bare->shard, number);

    if (conn->queue_tail == NONE) {
        return (struct slice){0};
    }
    const struct queue_node *node = pool_at(&bare->shard->nodes, conn->queue_tail);
    const struct message *message = message_at(&bare->shard->arena, node->message);
    return slice_from(message->bytes, message->size);
}
