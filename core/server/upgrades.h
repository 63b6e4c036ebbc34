/*
 * upgrades.h - from TLS keys to an open connection: the request, the token, the limits, the answer.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct shard;

/* Data of a connection in CONN_UPGRADE. What follows the request is read as frames; changed in
 * place. */
void upgrades_received(struct shard *shard, uint32_t number, uint8_t *bytes, size_t size);
