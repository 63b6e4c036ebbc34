/*
 * output.h - what a client says: the upgrade request and frames, sealed behind what waits to be
 * sent.
 */
#pragma once

#include "bench/place.h"

/* A frame of that payload fits behind what waits. */
MUST_CHECK bool output_has_room(const struct work *work, size_t payload_size);

/* False when there is no room, or the keys are used up. */
bool output_frame(const struct place *at, enum ws_opcode opcode, struct slice payload);

void output_request(const struct place *at, struct work *work);
