#include "bench/audience.h"

#include <inttypes.h>
#include <stdio.h>

uint32_t audience_channel(const struct audience *audience, uint32_t subscriber, uint32_t place)
{
    ASSERT(place < audience->channels_each);
    uint64_t number = (uint64_t)subscriber * audience->channels_each + place;
    return (uint32_t)(number % audience->channels);
}

uint32_t audience_place(const struct audience *audience, uint32_t subscriber, uint32_t channel)
{
    if (channel >= audience->channels) {
        return NONE;
    }
    uint32_t first = audience_channel(audience, subscriber, 0);
    uint32_t place = channel >= first ? channel - first : channel + audience->channels - first;

    return place < audience->channels_each ? place : NONE;
}

uint32_t audience_size(const struct audience *audience, uint32_t channel)
{
    uint64_t all = (uint64_t)audience->subscribers * audience->channels_each;

    ASSERT(channel < audience->channels);
    return (uint32_t)(all / audience->channels) + (channel < all % audience->channels ? 1 : 0);
}

static uint32_t greatest_divisor(uint32_t a, uint32_t b)
{
    while (b > 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

uint32_t audience_period(const struct audience *audience)
{
    return audience->channels / greatest_divisor(audience->channels, audience->channels_each);
}

const char *audience_name(const struct audience *audience, const char *name, uint32_t channel,
                          char out[AUDIENCE_NAME_SIZE])
{
    if (audience->channels == 1) {
        (void)snprintf(out, AUDIENCE_NAME_SIZE, "%s", name);
    } else {
        (void)snprintf(out, AUDIENCE_NAME_SIZE, "%.100s-%" PRIu32, name, channel);
    }
    return out;
}
