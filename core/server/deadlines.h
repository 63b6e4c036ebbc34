/*
 * deadlines.h - what happens when time passes. Others report what happened; only deadlines.c knows
 * what follows and when:
 *
 *   handshake  from the accept, until the TLS handshake is done; while others wait for a place, one
 *              that waits for its client gives way earlier
 *   upgrade    from there, until the request is whole and answered
 *   ping       first at a random point in [interval / 2, interval] after opening (a crowd that came
 *              at once is spread out), then one interval after each answer
 *   pong       from a ping, until any byte is heard; else closed with 3008
 *   end        the token's expiry and its grace (3000), or the connection's age with jitter (1012)
 *   close      from our close frame, until theirs and the last byte sent
 *   linger     from our last byte, until the peer's FIN
 */
#pragma once

#include "base/bytes.h"

struct shard;

void deadlines_accepted(struct shard *shard, uint32_t number);
void deadlines_handshake_started(struct shard *shard, uint32_t number);
void deadlines_handshake_done(struct shard *shard, uint32_t number);

/* expires_unix_s: the token's, 0: never. */
void deadlines_opened(struct shard *shard, uint32_t number, double expires_unix_s);
void deadlines_heard(struct shard *shard, uint32_t number);
void deadlines_close_sent(struct shard *shard, uint32_t number);
void deadlines_last_byte_sent(struct shard *shard, uint32_t number);
void deadlines_clear(struct shard *shard, uint32_t number);

/* Acts on every deadline that has passed, up to a bound per tick. */
void deadlines_expire(struct shard *shard);
