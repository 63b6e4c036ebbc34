/*
 * bucket.h - a token bucket: so many a second, and a burst after a quiet time.
 *
 * Pure: the caller passes the time, and the rate and burst with every call, so that both may change
 * while it runs. All zero is a bucket that has never been filled: the first call finds it full.
 */
#pragma once

#include "base/bytes.h"

struct bucket {
    double level; /* tokens */
    uint64_t filled_ns;
    bool is_open; /* filled once */
};

struct bucket_rate {
    double per_s; /* 0: no bound */
    double burst; /* tokens that it holds; taken as 1 when it is less */
};

/* Takes one token. False when there is none: bucket_wait_ns says when there will be. */
MUST_CHECK bool bucket_take(struct bucket *bucket, const struct bucket_rate *rate, uint64_t now_ns);

/* From now to the next token: 0 when there is one. */
MUST_CHECK uint64_t bucket_wait_ns(struct bucket *bucket, const struct bucket_rate *rate,
                                   uint64_t now_ns);
