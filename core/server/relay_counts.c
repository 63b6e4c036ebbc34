#include "server/relay_counts.h"

#define AT(field) offsetof(struct relay_counts, field)
#define COUNTER(name, help, field)                                                                 \
    {                                                                                              \
        "limpet_broker_" name, help, METRIC_COUNTER, NULL, NULL, AT(field), 0, NULL, NULL          \
    }
#define GAUGE(name, help, field)                                                                   \
    {                                                                                              \
        "limpet_broker_" name, help, METRIC_GAUGE, NULL, NULL, AT(field), 0, NULL, NULL            \
    }
#define TIME(name, help, type, field, base)                                                        \
    {                                                                                              \
        "limpet_broker_" name, help, type, NULL, NULL, AT(field), base, NULL, NULL                 \
    }
#define SETTLED(outcome, value)                                                                    \
    {                                                                                              \
        "limpet_broker_publications_total",                                                        \
            "Publications of clients and of the API that were settled, by outcome.",               \
            METRIC_COUNTER, "outcome", value, AT(settled[BROKER_##outcome]), 0, NULL, NULL         \
    }
#define UNDELIVERABLE(reason, value)                                                               \
    {                                                                                              \
        "limpet_broker_undeliverable_total",                                                       \
            "Publications from the broker that no client can be given, by reason.",                \
            METRIC_COUNTER, "reason", value, AT(undeliverable[UNDELIVERABLE_##reason]), 0, NULL,   \
            NULL                                                                                   \
    }

/* clang-format off */
const struct metric relay_metrics[] = {
    GAUGE("up", "1: the broker takes requests.", up),
    TIME("round_trip_seconds", "From publishing the last canary to receiving it.", METRIC_GAUGE_US, round_trip_us, 0),
    TIME("canary_age_seconds", "Since the last canary came back.", METRIC_GAUGE_MS, canary_age_ms, 0),
    COUNTER("reconnects_total", "Connections to the broker that were made again.", reconnects),
    COUNTER("caught_up_total", "Publications delivered from history after a gap.", caught_up),
    COUNTER("gaps_total", "Times that publications of a channel were lost for good.", gaps),
    COUNTER("malformed_total", "Replies of a wrong shape.", malformed),
    COUNTER("errors_total", "Errors that the broker answered.", errors),
    COUNTER("joins_refused_total", "Joins that the broker had no room for.", joins_refused),
    GAUGE("requests", "Requests in flight.", requests),
    GAUGE("followed", "Channels and patterns that are followed.", followed),
    GAUGE("backlog_bytes", "Publications that wait for a broker that is away.", backlog_bytes),
    COUNTER("queued_total", "Publications that waited for a broker that was away.", queued),
    SETTLED(DONE, "done"),
    SETTLED(AWAY, "away"),
    SETTLED(UNKNOWN, "unknown"),
    SETTLED(FULL, "full"),
    SETTLED(REFUSED, "refused"),
    SETTLED(UNAVAILABLE, "unavailable"),
    SETTLED(UNRECOVERABLE, "unrecoverable"),
    COUNTER("delivered_total", "Publications from the broker that were given to shards.", delivered),
    UNDELIVERABLE(TOO_LARGE, "too_large"),
    UNDELIVERABLE(NOT_UTF8, "not_utf8"),
    COUNTER("stalls_total", "Waits for a shard whose mailbox was full.", stalls),
    TIME("request_seconds", "Time from a request to the broker to its answer.", METRIC_HISTOGRAM_NS, request_time, RELAY_US_NS),
};
/* clang-format on */

const size_t relay_metrics_size = sizeof(relay_metrics) / sizeof(relay_metrics[0]);
