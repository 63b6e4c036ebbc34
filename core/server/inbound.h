/*
 * inbound.h - the whole way up: bytes from the socket -> record -> frame -> message -> action.
 */
#pragma once

#include "io/ring.h"

struct shard;

/* RING_POLL and RING_RECEIVE completed. */
void inbound_polled(struct shard *shard, const struct ring_event *event);
void inbound_received(struct shard *shard, const struct ring_event *event);

/* Raw bytes of a connection after its handshake; changed in place. */
void inbound_bytes(struct shard *shard, uint32_t number, uint8_t *bytes, size_t size);

/* A block of the arena for input that is incomplete, or NONE (counted). What is said to others has
 * the last quarter for itself; who is not open yet finds room only as long as half of it is free.
 */
MUST_CHECK uint32_t inbound_block(struct shard *shard, bool is_open, size_t size);

/* Waits for the connection's next bytes, unless it is waiting already or reads no more. more: there
 * are bytes in the socket now, so receive without a poll. */
void inbound_wait(struct shard *shard, uint32_t number, bool more);

/* The peer has gone without a goodbye: end of stream or reset. */
void inbound_lost(struct shard *shard, uint32_t number);
