/*
 * memory.h - the default broker: inside this process, with history and presence, all bounded.
 *
 * What it holds ends with the process: its epochs are new then, so that nobody takes an old
 * position for one of the new stream.
 */
#pragma once

#include "broker/broker.h"

struct memory_options {
    uint32_t channels_max;         /* with history */
    size_t history_bytes_max;      /* over all channels: the oldest publications go first */
    uint32_t members_max;          /* present, over all channels */
    uint32_t idempotency_keys_max; /* remembered for 5 minutes */
};

/* NULL when there is no memory. */
MUST_CHECK struct broker *memory_open(const struct memory_options *options, uint64_t now_ms);
