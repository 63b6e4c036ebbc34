/*
 * census.h - which channels have subscribers on this host: asked of every shard, one question after
 * the other, merged by name.
 */
#pragma once

#include "base/table.h"
#include "server/relay.h"

#define CENSUS_SHARDS_MAX  256
#define CENSUS_WAITING_MAX 16 /* questions */

struct relay_ask;

struct census {
    uint32_t number;         /* of the question that runs; 0: none does */
    struct relay_ask *asked; /* the question that runs */
    bool awaited[CENSUS_SHARDS_MAX];
    uint32_t awaited_count;
    struct table names;
    size_t names_size; /* bytes */
    bool is_full;      /* there was no room for a name */
    uint32_t last_number;
    struct relay_channel *lent;                    /* the result */
    struct relay_ask *waiting[CENSUS_WAITING_MAX]; /* oldest first */
    uint32_t waiting_count;
};

/* False: too many wait. */
MUST_CHECK bool census_ask(struct census *census, struct relay_ask *asked);

/* Starts the oldest that waits, when none runs; its number, or 0. Then every shard is asked. */
MUST_CHECK uint32_t census_start(struct census *census, uint32_t shard_count);

/* A piece of a shard's report. */
void census_add(struct census *census, uint32_t number, uint32_t shard, struct slice piece,
                bool is_last);

/* The shard says nothing any more. */
void census_forget(struct census *census, uint32_t shard);

/* The question that all have answered, or NULL; *answer is for it, until census_end. */
MUST_CHECK struct relay_ask *census_result(struct census *census, struct relay_answer *answer);
void census_end(struct census *census);

/* Any question, for whoever gives up; NULL when there is none. */
MUST_CHECK struct relay_ask *census_drop(struct census *census);
