#include "bench/deliveries.h"

#include "bench/stamp.h"

#include <stdlib.h>

int deliveries_open(struct deliveries *deliveries, const struct audience *audience,
                    uint32_t publishers, uint32_t first, uint32_t count)
{
    size_t each = (size_t)audience->channels_each * publishers;

    memset(deliveries, 0, sizeof(*deliveries));
    deliveries->audience = audience;
    deliveries->publishers = publishers;
    deliveries->first = first;
    deliveries->count = count;
    deliveries->tracks = calloc(count == 0 ? 1 : count, each * sizeof(struct track));
    return deliveries->tracks ? 0 : -1;
}

void deliveries_close(struct deliveries *deliveries)
{
    free(deliveries->tracks);
    deliveries->tracks = NULL;
}

static struct track *find(const struct deliveries *deliveries, uint32_t subscriber,
                          const struct stamp *stamp)
{
    uint32_t place = audience_place(deliveries->audience, subscriber, stamp->channel);

    if (place == NONE || stamp->publisher >= deliveries->publishers) {
        return NULL;
    }
    size_t line = (size_t)(subscriber - deliveries->first) * deliveries->audience->channels_each;
    return &deliveries->tracks[(line + place) * deliveries->publishers + stamp->publisher];
}

bool deliveries_take(struct deliveries *deliveries, uint32_t subscriber, struct slice head,
                     uint64_t now_ns)
{
    struct delivery_counts *counts = &deliveries->counts;
    struct stamp stamp;

    ASSERT(subscriber - deliveries->first < deliveries->count);
    struct track *track = stamp_read(head, &stamp) ? find(deliveries, subscriber, &stamp) : NULL;
    if (!track) {
        counter_add(&counts->foreign, 1);
        return false;
    }
    switch (track_take(track, stamp.sequence)) {
    case SIGHTING_NEXT:
        break;
    case SIGHTING_REORDERED:
        counter_add(&counts->reordered, 1);
        break;
    case SIGHTING_DUPLICATE:
        counter_add(&counts->duplicated, 1);
        return false;
    }
    counter_add(&counts->received, 1);
    histogram_record(&deliveries->latency, now_ns > stamp.time_ns ? now_ns - stamp.time_ns : 0);
    return true;
}
