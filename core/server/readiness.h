/*
 * readiness.h - whether new connections should be sent here, and every reason why not, as
 * /health/ready and /health/live tell it.
 *
 * A host that is nearly full says so before it refuses anybody. It is ready again when a twentieth
 * below the mark is free, so that a balancer does not swing between yes and no.
 */
#pragma once

#include "admin/http.h"

struct readiness {
    bool is_full;
};

struct readiness_facts {
    uint64_t open; /* connections */
    uint64_t capacity;
    uint32_t high_percent;      /* of the capacity: the mark; 0: none */
    const char *broker_problem; /* NULL: none */
    uint32_t missing_count;     /* key sets by URL that have not come yet */
    const char *missing_url;    /* of the first of them; NULL: none */
    uint32_t silent_shard;      /* see alive.h; NONE: all tick */
};

/* Looks at the facts, and writes what the probes are told. */
void readiness_look(struct readiness *readiness, const struct readiness_facts *facts,
                    struct admin_health *health);
