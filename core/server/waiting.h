/*
 * waiting.h - what waits for one connection: messages by number, and their bytes, which are bounded
 * for the connection and for the shard. Who is slow meets the policy of the messages' channels.
 *
 * Bytes are counted from the moment that a message is queued until the kernel has taken the last of
 * them, with a fixed cost of each message; and what the kernel holds for a connection that does not
 * take what it is sent. A frame is never cut: what has begun to go out stays.
 */
#pragma once

#include "base/bytes.h"

struct shard;
struct conn;

struct queue_node {
    uint32_t message;
    uint32_t next;
    uint32_t offset; /* bytes of the message that went already */
};

enum waiting_outcome {
    WAITING_QUEUED,
    WAITING_DROPPED,   /* the policy says that this message goes: counted */
    WAITING_SLOW,      /* the policy says that the connection ends */
    WAITING_NO_MEMORY, /* for one more node */
};

/* Queues the message, and holds it until it has gone. Messages that are older may be dropped or
 * replaced by it (counted). */
MUST_CHECK enum waiting_outcome waiting_add(struct shard *shard, struct conn *conn,
                                            uint32_t message);

/* Bytes that wait, but size_max at most. */
MUST_CHECK uint32_t waiting_size(const struct shard *shard, const struct conn *conn,
                                 uint32_t size_max);

/* Moves size bytes, which wait, to out. Returns what the messages that end in them count: to be
 * taken off (waiting_uncount) when they have been sent. */
MUST_CHECK uint32_t waiting_take(struct shard *shard, struct conn *conn, uint8_t *out, size_t size);

/* Lets go of all that waits. Nothing may be in the middle of being sent. */
void waiting_drop(struct shard *shard, struct conn *conn);

/* Bytes that the kernel holds, and the end of bytes that were counted. */
void waiting_count(struct shard *shard, struct conn *conn, uint32_t bytes);
void waiting_uncount(struct shard *shard, struct conn *conn, uint32_t bytes);

/* Asserts the queue's links; returns its nodes and adds what they count to *bytes. For tests and
 * the simulator. */
MUST_CHECK uint32_t waiting_check(const struct shard *shard, const struct conn *conn,
                                  uint32_t *bytes);
