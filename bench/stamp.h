/*
 * stamp.h - what a message of the load tool says: its channel, who sent it, its number, and when.
 *
 * A message is the JSON object {"bench":"..."}: 36 hexadecimal digits, then filling up to its size.
 * So it passes through what takes only text, and through what takes only JSON.
 */
#pragma once

#include "base/bytes.h"

#define STAMP_SIZE       46 /* what must be seen of a message to read it */
#define MESSAGE_SIZE_MIN 48
#define MESSAGE_SIZE_MAX 16000 /* one record and its frame header */

struct stamp {
    uint32_t channel;
    uint16_t publisher;
    uint32_t sequence; /* of this publisher in this channel, from 1 on */
    uint64_t time_ns;  /* CLOCK_MONOTONIC when it was due */
};

/* Writes a message of size bytes, MESSAGE_SIZE_MIN at least. */
void stamp_write(const struct stamp *stamp, uint8_t *out, size_t size);

/* Reads a message's first STAMP_SIZE bytes. False: not one of ours. */
MUST_CHECK bool stamp_read(struct slice head, struct stamp *stamp);
