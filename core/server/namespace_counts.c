#include "server/namespace_counts.h"

/* The counters of one place, in the order of the table. */
static const struct metric kinds[] = {
    {.name = "limpet_namespace_publications_total",
     .help = "Publications that a shard took for its subscribers, by the channel's namespace.",
     .offset = offsetof(struct namespace_counts, publications)},
    {.name = "limpet_namespace_deliveries_total",
     .help = "Publications queued for a subscriber, each counted once, by the channel's namespace.",
     .offset = offsetof(struct namespace_counts, deliveries)},
    {.name = "limpet_namespace_dropped_total",
     .help = "Publications that a slow consumer did not get, by the channel's namespace.",
     .offset = offsetof(struct namespace_counts, dropped)},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
static_assert(KINDS * NAMESPACE_PLACES == NAMESPACE_METRICS_MAX, "one entry a kind and place");
static_assert(NAMESPACES_MAX < NAMESPACE_PLACES, "all of the options' have one at the start");

static void take(struct namespace_places *places, const char *name)
{
    ASSERT(places->count < NAMESPACE_PLACES);
    (void)snprintf(places->names[places->count], sizeof(places->names[0]), "%s", name);
    places->count++;
}

void namespace_places_open(struct namespace_places *places, const struct namespaces *namespaces)
{
    places->count = 1;
    for (uint32_t i = 0; i < namespaces->count; i++) {
        ASSERT(namespaces->entries[i].place == places->count);
        take(places, namespaces->entries[i].name);
    }
}

static uint8_t place_of(struct namespace_places *places, const char *name)
{
    for (uint32_t i = 1; i < places->count; i++) {
        if (strcmp(places->names[i], name) == 0) {
            return (uint8_t)i;
        }
    }
    if (places->count == NAMESPACE_PLACES) {
        return 0;
    }
    take(places, name);
    return (uint8_t)(places->count - 1);
}

void namespace_places_assign(struct namespace_places *places, struct namespaces *namespaces)
{
    for (uint32_t i = 0; i < namespaces->count; i++) {
        namespaces->entries[i].place = place_of(places, namespaces->entries[i].name);
    }
}

static struct metric metric_of(const struct metric *kind, size_t offset, uint32_t place,
                               const char *name)
{
    struct metric metric = *kind;

    metric.type = METRIC_COUNTER;
    metric.label = "namespace";
    metric.label_value = name;
    metric.offset += offset + place * sizeof(struct namespace_counts);
    return metric;
}

size_t namespace_metrics_make(const struct namespaces *namespaces, size_t offset,
                              struct metric *table)
{
    size_t count = 0;

    for (size_t kind = 0; kind < KINDS; kind++) {
        table[count++] = metric_of(&kinds[kind], offset, 0, NAMESPACE_OTHERS);
        for (uint32_t i = 0; i < namespaces->count; i++) {
            const struct namespace *space = &namespaces->entries[i];
            if (space->place != 0) {
                table[count++] = metric_of(&kinds[kind], offset, space->place, space->name);
            }
        }
    }
    return count;
}
