/*
 * handshakes.h - from the first byte to TLS keys: connections that arrive, handshakes in flight.
 *
 * Bytes are only collected as they come; the handshakes themselves run in a step of the tick, a
 * bounded number of them, those under way before those that arrive. So a storm of new clients never
 * starves open connections. Who goes first, and who is turned away, server/admission.h says.
 */
#pragma once

#include "base/bytes.h"
#include "server/counts.h"

struct shard;

/* Goes on with what came behind a header of the PROXY protocol. */
void handshakes_look(struct shard *shard, uint32_t number);

/* A connection without TLS: its request is next. */
void handshakes_skip(struct shard *shard, uint32_t number);

/* Bytes of a connection in CONN_HANDSHAKE. */
void handshakes_received(struct shard *shard, uint32_t number, struct slice bytes);

/* A flight of a connection in CONN_HANDSHAKE has gone out. Until then nothing more is read from the
 * peer: so there is never a second flight in flight, whatever the peer sends. */
void handshakes_sent(struct shard *shard, uint32_t number);

/* A connection's handshake ended without a word of ours: counts it, as silent when the peer has not
 * said a word either. */
void handshakes_lost(struct shard *shard, uint32_t number, enum handshake_outcome outcome);

/* Ends a handshake that waits for its client when more of its class wait for a place than there
 * are. False when it keeps its place. */
MUST_CHECK bool handshakes_gave_way(struct shard *shard, uint32_t number);

/* The step of the tick. True when more work waits that could go on now; when those that wait for
 * their handshake could, admission_wait_ms says. */
MUST_CHECK bool handshakes_step(struct shard *shard);

/* Connections that wait for their handshake to begin. */
MUST_CHECK uint32_t handshakes_waiting(const struct shard *shard);
