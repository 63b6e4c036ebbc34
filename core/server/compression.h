/*
 * compression.h - the second wire form of messages, for connections with permessage-deflate
 * (CONN_DEFLATE).
 */
#pragma once

#include "server/conn.h"

/*
 * The message with its frames compressed: those of upgrade.deflate_size_min bytes and more that get
 * smaller by it, while the others stay as they are. Returns a message of which the caller holds one
 * reference: a new one, or the same when nothing got smaller or there is no memory. All of its
 * frames are data, one behind the other.
 */
MUST_CHECK uint32_t compression_of(struct shard *shard, uint32_t number);
