/*
 * publisher.h - a thread that publishes through Redis or the HTTP API: a connection for each
 * publisher, commands one after the other, answers counted.
 *
 * Redis: up to PUBLISHER_PIPELINE_MAX commands wait for their answers on a connection. HTTP: one.
 */
#pragma once

#include "bench/deliveries.h"
#include "bench/feed.h"
#include "bench/options.h"
#include "bench/spawn.h"

#define PUBLISHER_PIPELINE_MAX 1024

struct publisher;

struct publisher_options {
    const struct bench_messages *messages;
    const struct audience *audience;
    const struct spawn *spawn; /* its API, unless messages name one; NULL: none */
    struct feed *feed;         /* this thread's from publisher_start on */
    const struct delivery_counts *const *heard;
    uint32_t heard_count;
};

/* Connects; options are copied, what they point at is borrowed. NULL with a message. */
MUST_CHECK struct publisher *publisher_open(const struct publisher_options *options, char *message,
                                            size_t message_size);

/* Publishes what the feed gives until it is done. */
void publisher_start(struct publisher *publisher);

/* True when a connection was lost or said something that is not understood. Any time. */
MUST_CHECK bool publisher_failed(const struct publisher *publisher);

/* Ends the thread; what is not answered yet counts as accepted. */
void publisher_stop(struct publisher *publisher);
void publisher_close(struct publisher *publisher);
