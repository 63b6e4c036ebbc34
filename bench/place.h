/*
 * place.h - one client looked up: its work, the operations that it waits for, and how it ends.
 *
 * The lower half of client.c: everything here is the same in every stage of a client's life.
 */
#pragma once

#include "bench/client.h"

#define CLIENT_GENERATION 0 /* nothing of a number is in flight when it is used again */

enum client_operation {
    OPERATION_CONNECT = 1,
    OPERATION_POLL = 2,
    OPERATION_RECEIVE = 4,
    OPERATION_SEND = 8,
    OPERATION_CLOSE = 16,
};

/* One client, looked up. */

/* Borrowed pointers, valid as long as the worker's groups are. */
/* One client, looked up. */
struct place {
    struct clients *all;
    struct group *group;
    struct client *client;
    struct tls_state *state;
    uint32_t number;
};

MUST_CHECK struct place place_at(struct clients *all, uint32_t group_number, uint32_t number);

/* The target is ws://: no TLS. */
static inline bool place_is_plain(const struct place *at)
{
    return at->all->target->is_plain;
}

/* The client's work, or NULL. */
MUST_CHECK struct work *place_work(const struct place *at);

/* The same, a new one if it has none; NULL when all are in use. */
MUST_CHECK struct work *place_work_need(const struct place *at);

/* True when a work is left besides those that receives under way may need. */
MUST_CHECK bool place_has_spare_work(const struct clients *all);

/* Starts a receive if the client has a work or is sure to get one; else place_settle arms the poll.
 */
void place_receive(const struct place *at);

/* After every event: sends what is queued, arms the poll, or goes on closing. */
void place_settle(const struct place *at);

void place_drop_handshake(const struct place *at);

/* From open or under way to closing; the caller has counted why. */
void place_begin_closing(const struct place *at);

/* Counts the outcome and begins closing; nothing when it is closing already. */
void place_end(const struct place *at, enum outcome outcome);

/* The stream ended, or worse: the outcome is the stage's. */
void place_end_by_peer(const struct place *at);
