/*
 * presence.h - who is present in which channel, as the memory broker knows it: a connection at most
 * once in each channel.
 */
#pragma once

#include "broker/broker.h"

struct presence;

/* NULL when there is no memory. */
MUST_CHECK struct presence *presence_open(uint32_t members_max);
void presence_close(struct presence *presence); /* NULL: no-op */

/* A connection that is present already gets the new user. False when there is no room. */
MUST_CHECK bool presence_join(struct presence *presence, struct slice channel,
                              const struct broker_member *member);

/* No-op for a connection that is not present. */
void presence_leave(struct presence *presence, struct slice channel, struct slice conn_id);

/* The members, newest first, lent until the next call; NULL with a *count of NONE when there is no
 * memory for the answer. */
MUST_CHECK const struct broker_member *presence_read(struct presence *presence,
                                                     struct slice channel, uint32_t *count);

/* Over all channels. */
MUST_CHECK uint32_t presence_count(const struct presence *presence);

/* Asserts every invariant: for tests. */
void presence_check(const struct presence *presence);
