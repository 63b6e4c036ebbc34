/*
 * outbound.h - the whole way down: message queued by number -> one record a tick -> one send.
 *
 * Everything here only marks; bytes move in outbound_flush, at the end of the tick. At most one
 * send is in flight per connection.
 */
#pragma once

#include "server/counts.h"
#include "tls/record.h"
#include "ws/frame.h"

/* Data of one record: with all that is sealed beside it, the send fills a block of the arena. */
#define OUTBOUND_DATA_MAX (16384u - 16 - 3 * TLS_OVERHEAD_MAX)

struct shard;
struct conn;
struct ring_event;
struct opening;

/* Queues a message (which is held until it was sent) unless the connection takes no more. Over the
 * limits of what may wait (waiting.h) it is a slow consumer, and the message's policy decides:
 * messages are dropped, or the connection is killed. True when the message was queued. */
bool outbound_queue(struct shard *shard, uint32_t number, uint32_t message);

/* One frame to one connection. */
void outbound_frame(struct shard *shard, uint32_t number, enum ws_opcode opcode,
                    struct slice payload);

/* Bytes that are no frame: the answer to the upgrade request. */
void outbound_bytes(struct shard *shard, uint32_t number, struct slice bytes);

/* A frame as a message with one reference; NONE when there is no memory. */
MUST_CHECK uint32_t outbound_encode(struct shard *shard, enum ws_opcode opcode,
                                    struct slice payload);

/* Plain bytes before there are TLS keys: a handshake's flight. Nothing may be in flight. */
void outbound_flight(struct shard *shard, uint32_t number, struct slice bytes);

/* Ends it without a word. Counts the cause if it was open. */
void outbound_abandon(struct shard *shard, uint32_t number, enum close_cause cause);

/* An open connection: sends a close frame and waits for the peer's. Counts the cause. */
void outbound_close(struct shard *shard, uint32_t number, enum ws_close_code code,
                    enum close_cause cause);

/* Sends what is queued, then close_notify, then ends; input is thrown away from here on. lingers:
 * the peer may still be sending, so wait for its FIN (else our last bytes could die with a reset).
 */
void outbound_finish(struct shard *shard, uint32_t number, bool lingers);

/* Puts the connection into the list of those to flush. */
void outbound_mark(struct shard *shard, uint32_t number);

/* A send is under way, and the kernel has taken nothing of it for a second. */
MUST_CHECK bool outbound_is_stalled(const struct shard *shard, const struct conn *conn);

/* RING_SEND and RING_UNSENT completed. */
void outbound_sent(struct shard *shard, const struct ring_event *event);
void outbound_asked(struct shard *shard, const struct ring_event *event);

/* The step of the tick: seals and sends for the connections that were marked first, up to a bound.
 * True when more are marked. */
MUST_CHECK bool outbound_flush(struct shard *shard);

/* Asserts that the queue's bytes add up; returns its nodes. For tests and the simulator. */
MUST_CHECK uint32_t outbound_check(struct shard *shard, const struct conn *conn);
