/*
 * queue.h - a bounded queue of numbers, in reserved memory: first in, first out, unless asked
 * otherwise.
 *
 * Whoever pushes must know that there is room (a number stands in a queue at most once, and the
 * queue has a place for every number): a full queue is a bug of ours.
 */
#pragma once

#include "base/bytes.h"

struct queue {
    uint32_t *numbers;
    uint32_t size; /* a power of two */
    uint32_t head; /* running counts: head - tail is the number of entries */
    uint32_t tail;
    bool may_hold; /* memory: something was pushed since the last trim */
};

/* Room for count_max numbers. Returns 0 or -errno. */
MUST_CHECK int queue_open(struct queue *queue, uint32_t count_max);
void queue_close(struct queue *queue);

static inline uint32_t queue_count(const struct queue *queue)
{
    return queue->head - queue->tail;
}

void queue_push(struct queue *queue, uint32_t number);

/* The oldest number, which stays, or NONE. */
MUST_CHECK uint32_t queue_peek(const struct queue *queue);

/* Takes the oldest number, or NONE. */
MUST_CHECK uint32_t queue_pop(struct queue *queue);

/* Takes the number that was pushed last, or NONE. */
MUST_CHECK uint32_t queue_pop_newest(struct queue *queue);

/* Gives the memory back when the queue is empty. */
void queue_trim(struct queue *queue);
