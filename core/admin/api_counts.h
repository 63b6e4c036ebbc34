/*
 * api_counts.h - what the HTTP API counts. One writer: the admin thread.
 */
#pragma once

#include "admin/api_request.h"
#include "admin/metrics.h"

enum api_outcome {
    API_OUTCOME_OK,      /* each of a batch's or broadcast's parts may have its own error */
    API_OUTCOME_ERROR,   /* the answer is an error */
    API_OUTCOME_TIMEOUT, /* not everything was answered in time */
    API_OUTCOMES
};

/* Why a request was not even a command. */
enum api_refusal {
    API_REFUSED_NONE,
    API_REFUSED_KEY,       /* 401 */
    API_REFUSED_METHOD,    /* 404: no such API method */
    API_REFUSED_VERB,      /* 405: not POST */
    API_REFUSED_SIZE,      /* 413 */
    API_REFUSED_MALFORMED, /* 400 */
    API_REFUSED_MEMORY,    /* 503 */
    API_REFUSED_STOPPING,  /* 503 */
    API_REFUSALS
};

struct api_counts {
    struct counter requests[API_METHODS][API_OUTCOMES];
    struct counter refused[API_REFUSALS];
    struct counter waiting; /* gauge: requests without an answer yet */
    struct counter late;    /* answers that came after their request had been answered */
    struct histogram time;  /* ns, from the whole request to its answer */
};

#define API_TIME_BASE_NS 10000

/* Of a block that is a struct api_counts. */
extern const struct metric api_metrics[];
extern const size_t api_metrics_size;
