/*
 * messages.h - what an open connection says: pieces of frames become control frames and messages,
 * and those are acted on.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct shard;

/* Data out of a record, changed in place (unmasked). */
void messages_received(struct shard *shard, uint32_t number, uint8_t *bytes, size_t size);
