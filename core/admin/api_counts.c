#include "admin/api_counts.h"

#define AT(field) offsetof(struct api_counts, field)
#define REQUEST(method, text, outcome, outcome_text)                                               \
    {                                                                                              \
        .name = "limpet_api_requests_total",                                                       \
        .help = "Requests of the HTTP API that were answered, by method and outcome.",             \
        .type = METRIC_COUNTER, .label = "method", .label_value = (text),                          \
        .offset = AT(requests[API_##method][API_OUTCOME_##outcome]), .label_2 = "outcome",         \
        .label_2_value = (outcome_text)                                                            \
    }
#define REQUESTS(method, text)                                                                     \
    REQUEST(method, text, OK, "ok"), REQUEST(method, text, ERROR, "error"),                        \
        REQUEST(method, text, TIMEOUT, "timeout")
#define REFUSED(reason, text)                                                                      \
    {                                                                                              \
        .name = "limpet_api_refused_total",                                                        \
        .help = "Requests of the HTTP API that were refused, by reason.", .type = METRIC_COUNTER,  \
        .label = "reason", .label_value = (text), .offset = AT(refused[API_REFUSED_##reason])      \
    }

const struct metric api_metrics[] = {
    REQUESTS(PUBLISH, "publish"),
    REQUESTS(BROADCAST, "broadcast"),
    REQUESTS(PRESENCE, "presence"),
    REQUESTS(PRESENCE_STATS, "presence_stats"),
    REQUESTS(HISTORY, "history"),
    REQUESTS(HISTORY_REMOVE, "history_remove"),
    REQUESTS(CHANNELS, "channels"),
    REQUESTS(INFO, "info"),
    REQUESTS(BATCH, "batch"),
    REFUSED(KEY, "key"),
    REFUSED(METHOD, "method"),
    REFUSED(VERB, "verb"),
    REFUSED(SIZE, "size"),
    REFUSED(MALFORMED, "malformed"),
    REFUSED(MEMORY, "memory"),
    REFUSED(STOPPING, "stopping"),
    {.name = "limpet_api_waiting",
     .help = "Requests of the HTTP API that wait for an answer.",
     .type = METRIC_GAUGE,
     .offset = AT(waiting)},
    {.name = "limpet_api_late_total",
     .help = "Answers for the HTTP API that came after their request's deadline.",
     .type = METRIC_COUNTER,
     .offset = AT(late)},
    {.name = "limpet_api_seconds",
     .help = "Time from a whole request of the HTTP API to its answer.",
     .type = METRIC_HISTOGRAM_NS,
     .offset = AT(time),
     .base = API_TIME_BASE_NS},
};

const size_t api_metrics_size = sizeof(api_metrics) / sizeof(api_metrics[0]);
