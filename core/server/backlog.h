/*
 * backlog.h - publications that wait for a broker that is away: copies, in order, up to a bound.
 */
#pragma once

#include "broker/broker.h"

struct relay_ask;

/* Who wants to know what became of a request. */
struct relay_origin {
    struct relay_ask *ask; /* of the HTTP API; NULL: a connection */
    uint16_t shard;
    uint32_t number;
    uint32_t generation;
    uint64_t start_ns; /* when the broker was asked */
};

/* What waits, or is to wait. */
struct backlog_item {
    struct backlog_item *next;
    struct relay_origin origin;
    bool is_forward; /* for backends, not for subscribers */
    struct broker_publication publication;
    size_t size;
};

struct backlog {
    struct backlog_item *first;
    struct backlog_item *last;
    size_t bytes;
    size_t bytes_max;
    uint64_t queued; /* a running count */
};

/* Copies the item with its slices and puts it last; false when it does not fit. */
MUST_CHECK bool backlog_push(struct backlog *backlog, const struct backlog_item *item);

/* Takes the first out, which must be there. */
void backlog_pop(struct backlog *backlog);
