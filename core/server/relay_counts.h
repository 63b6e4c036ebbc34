/*
 * relay_counts.h - what the relay counts, and the table that names it for the metrics.
 */
#pragma once

#include "admin/metrics.h"
#include "broker/broker.h"

enum relay_undeliverable {
    UNDELIVERABLE_TOO_LARGE, /* for a shard's mailbox */
    UNDELIVERABLE_NOT_UTF8,  /* but a text */
    UNDELIVERABLES
};

#define RELAY_US_NS 1000u /* the first bound of its histogram */

struct relay_counts {
    struct counter up;            /* gauge: the broker takes requests */
    struct counter round_trip_us; /* gauge: of the last canary */
    struct counter canary_age_ms; /* gauge */
    struct counter reconnects;
    struct counter caught_up;
    struct counter gaps;
    struct counter malformed;
    struct counter errors;
    struct counter joins_refused;
    struct counter requests;                 /* gauge: in flight */
    struct counter followed;                 /* gauge: channels and patterns */
    struct counter backlog_bytes;            /* gauge: waiting for a broker that is away */
    struct counter queued;                   /* publications that waited there */
    struct counter settled[BROKER_OUTCOMES]; /* publications, by what became of them */
    struct counter delivered;                /* publications that came from the broker */
    struct counter undeliverable[UNDELIVERABLES];
    struct counter stalls;         /* turns that waited for a shard's mailbox */
    struct histogram request_time; /* ns, base 1 us: a request to the broker, to its answer */
};

extern const struct metric relay_metrics[];
extern const size_t relay_metrics_size;
