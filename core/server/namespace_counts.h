/*
 * namespace_counts.h - what a shard counts by namespace, and the labels under which that is shown.
 *
 * A namespace keeps its place in the shards' blocks over reloads, as long as the process runs, so
 * that a counter never goes on as another's. Places are bounded: channels of no configured
 * namespace, and of those that came when all places were given, are counted at place 0.
 */
#pragma once

#include "admin/metrics.h"
#include "session/namespace.h"

#define NAMESPACE_PLACES      128
#define NAMESPACE_METRICS_MAX ((size_t)3 * NAMESPACE_PLACES)
#define NAMESPACE_OTHERS      "(other)" /* the label of place 0: no namespace has such a name */

struct namespace_counts {
    struct counter publications;
    struct counter deliveries;
    struct counter dropped;
};

/* Names by place, over all reloads. The main thread's. */
struct namespace_places {
    char names[NAMESPACE_PLACES][NAMESPACE_NAME_SIZE_MAX + 1];
    uint32_t count; /* with place 0 */
};

/* Those of the options at the start have places as they were read: in their order, from 1 on. */
void namespace_places_open(struct namespace_places *places, const struct namespaces *namespaces);

/* Those of newer options: the place of the same name, or a new one. */
void namespace_places_assign(struct namespace_places *places, struct namespaces *namespaces);

/* The table of these namespaces' counters, which lie at offset in a shard's block: in table, for
 * NAMESPACE_METRICS_MAX entries. Names are lent by the namespaces. Returns how many there are. */
MUST_CHECK size_t namespace_metrics_make(const struct namespaces *namespaces, size_t offset,
                                         struct metric *table);
