/*
 * wire.h - what Redis (RESP) and the HTTP API are told to publish a message, and what they answer.
 *
 * Pure: bytes in, bytes out.
 */
#pragma once

#include "base/bytes.h"

enum reply {
    REPLY_MORE, /* not all of it is there */
    REPLY_ACCEPTED,
    REPLY_REFUSED,
    REPLY_BAD, /* not an answer that is understood */
};

/* PUBLISH. Returns its size, or 0 when out has no room. */
MUST_CHECK size_t redis_write_publish(struct slice channel, struct slice payload, uint8_t *out,
                                      size_t out_size);

/* Reads the first reply of input. */
MUST_CHECK enum reply redis_read_reply(struct slice input, size_t *consumed);

struct api_request {
    const char *host; /* for Host: */
    const char *key;  /* NULL: none */
    struct slice channel;
    struct slice payload; /* JSON */
};

/* POST /api/publish. Returns its size, or 0 when out has no room. */
MUST_CHECK size_t api_write_publish(const struct api_request *request, uint8_t *out,
                                    size_t out_size);

/* Reads the first answer of input: accepted is a status 200 whose body has no error. */
MUST_CHECK enum reply api_read_reply(struct slice input, size_t *consumed);
