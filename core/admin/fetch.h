/*
 * fetch.h - one HTTP request as a client, bounded in size and time: the only user of libcurl.
 *
 * It blocks for at most timeout_ms, so it is for threads that may wait. https only (the peer's
 * certificate and name are checked), or http over a Unix socket. Redirects are not followed.
 */
#pragma once

#include "base/bytes.h"
#include "base/counter.h"

struct fetch_request {
    const char *url;
    const char *method;         /* NULL: GET */
    const char *unix_socket;    /* NULL: by TCP */
    const char *ca_file;        /* PEM of the authorities to trust; NULL: the system's */
    const struct counter *stop; /* not 0: give up; NULL: never */
    uint32_t timeout_ms;        /* in all */
    size_t size_max;            /* of the body */
};

struct fetch_answer {
    char *data; /* to free(); ends with a zero byte that is not counted */
    size_t size;
    long status;        /* 200, ... */
    uint32_t max_age_s; /* of Cache-Control; UINT32_MAX: it does not say, 0: no-store, no-cache */
};

/* Once, before other threads start. */
void fetch_setup(void);

/* 0 when an answer came, of whatever status; else -1 with a message, and nothing to free. */
MUST_CHECK int fetch(const struct fetch_request *request, struct fetch_answer *answer,
                     char *message, size_t message_size);

/* The max_age_s of a Cache-Control header's value. */
MUST_CHECK uint32_t fetch_max_age(struct slice value);
