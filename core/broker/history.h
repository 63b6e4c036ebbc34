/*
 * history.h - the streams of the memory broker: of each channel its newest publications.
 *
 * A stream has an epoch, offsets that count from 1, and a ring of items, bounded by the history's
 * size and age, and over all streams by bytes: the oldest item of all goes first. Its epoch and top
 * stay when its items have gone, until another channel needs the place: the stream without items
 * that rested longest goes first, and only for a publication one with items.
 */
#pragma once

#include "broker/broker.h"

struct history;

struct history_limits {
    uint32_t streams_max;
    size_t bytes_max; /* of items, with what they cost beside their bytes */
};

/* NULL when there is no memory. */
MUST_CHECK struct history *history_open(const struct history_limits *limits);
void history_close(struct history *history); /* NULL: no-op */

/* Gives the publication the next offset of its channel, whose history has a size, and keeps it. The
 * position is the new top. BROKER_FULL: it alone is larger than bytes_max, or there is no memory;
 * then it has no offset. */
MUST_CHECK enum broker_outcome history_add(struct history *history,
                                           const struct broker_publication *publication,
                                           uint64_t now_ms, struct broker_position *position);

/*
 * Fills in event's outcome, position and publications, which are lent until the next call. A
 * channel that has no stream gets one; BROKER_FULL when every place has items.
 */
void history_read(struct history *history, struct slice channel,
                  const struct broker_history_query *query, uint64_t now_ms,
                  struct broker_event *event);

/* The items go, epoch and top stay. */
void history_remove(struct history *history, struct slice channel);

/* Frees what has grown too old, in a part of the streams each time. */
void history_sweep(struct history *history, uint64_t now_ms);

struct history_counts {
    uint32_t streams;
    uint32_t items;
    size_t bytes;
};
void history_read_counts(const struct history *history, struct history_counts *counts);

/* Asserts every invariant: for tests. */
void history_check(const struct history *history);
