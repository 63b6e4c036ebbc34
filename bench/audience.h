/*
 * audience.h - who is subscribed to what: subscriber i has `channels_each` channels of the
 * `channel_count`, one after the other, and the next subscriber goes on where it ended.
 *
 * Pure arithmetic: nothing is stored for a subscriber.
 */
#pragma once

#include "base/bytes.h"

#define AUDIENCE_NAME_SIZE 128

struct audience {
    uint32_t subscribers;
    uint32_t channels;
    uint32_t channels_each; /* at most channels */
};

/* The subscriber's channel at a place, 0 to channels_each - 1. */
MUST_CHECK uint32_t audience_channel(const struct audience *audience, uint32_t subscriber,
                                     uint32_t place);

/* The place of the channel among the subscriber's, or NONE. */
MUST_CHECK uint32_t audience_place(const struct audience *audience, uint32_t subscriber,
                                   uint32_t channel);

/* How many are subscribed to the channel. */
MUST_CHECK uint32_t audience_size(const struct audience *audience, uint32_t channel);

/* Subscriber i + period has the channels of subscriber i. */
MUST_CHECK uint32_t audience_period(const struct audience *audience);

/* Writes the channel's name, with its number if there are several, and returns out. */
const char *audience_name(const struct audience *audience, const char *name, uint32_t channel,
                          char out[AUDIENCE_NAME_SIZE]);
