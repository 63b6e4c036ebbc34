/*
 * message.h - what is on its way to connections: encoded once, counted, named by number.
 *
 * A message is one arena block: a small head and the bytes as they go into records (frame header
 * and payload). Its shard alone touches it: the count is a plain integer.
 */
#pragma once

#include "base/arena.h"

struct message {
    uint32_t references;
    uint32_t size;         /* bytes that follow */
    uint64_t channel;      /* of a publication: tells its channel from others, else 0 */
    uint32_t next;         /* for whoever holds the one reference: NONE at first */
    uint16_t publications; /* frames for subscribers; 0: an answer, or a control frame */
    uint8_t slow;          /* of a publication: what a slow consumer means for it */
    uint8_t place;         /* of a publication: where its namespace is counted */
    uint8_t bytes[];
};
static_assert(offsetof(struct message, bytes) == 24, "with 100 bytes it fits into a block of 128");

/* A block with one reference and room for size bytes, or NONE when the arena is full. */
MUST_CHECK uint32_t message_new(struct arena *arena, uint32_t size);

static inline struct message *message_at(const struct arena *arena, uint32_t number)
{
    return arena_at(arena, number);
}

void message_hold(struct arena *arena, uint32_t number);
void message_release(struct arena *arena, uint32_t number);
