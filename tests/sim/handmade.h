/*
 * handmade.h - a whole shard on a simulated ring whose connections are made by hand: without keys
 * and clients. What stands in their queues is what they would get.
 */
#pragma once

#include "server/shard.h"
#include "tests/sim/ring_sim.h"

#define HANDMADE_CONNS        600U
#define HANDMADE_PER_TICK     40U
#define HANDMADE_TOPICS       8U
#define HANDMADE_PUBLICATIONS 32U
#define HANDMADE_ARENA_SIZE   (1U << 20)
#define HANDMADE_QUEUE_BYTES  (64U * 1024)

struct handmade {
    struct options options; /* may be changed meanwhile */
    struct budget budget;
    struct server server;
    struct shard *shard;
    size_t arena_at_start;
};

/* There is one at a time. */
extern struct handmade handmade;

/* Before the first test of a program, and after its last: what all need. As cmocka wants them. */
int handmade_prepare(void **state);
int handmade_end(void **state);

/* choose: sets options of its own; NULL: none. */
void handmade_open(void (*choose)(struct options *options));

/* After a test: ends all connections; asserts that nothing is left. */
int handmade_close(void **state);

/* An open connection of this number, and its end. */
void handmade_conn(uint32_t number);
void handmade_conn_ends(uint32_t number);
void handmade_subscribe(uint32_t number, const char *channel);

/* In place of the flush: empties the queues of those that are marked. Returns their number. */
uint32_t handmade_drain(void);

/* The relay's next turn, which is not its last. */
void handmade_turn_relay(void);

/* The first letter of each publication that a connection was given so far, in order. */
MUST_CHECK const char *handmade_heard(uint32_t number);

/* Fills the arena with blocks of at least size_min; gives them back. */
void handmade_fill_arena(size_t size_min);
void handmade_empty_arena(void);
