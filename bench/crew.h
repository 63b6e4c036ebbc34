/*
 * crew.h - connections beside the subscribers: clients that publish, or new ones that arrive
 * meanwhile. One thread, its own tokens, kernel-chosen source ports.
 */
#pragma once

#include "bench/spawn.h"
#include "bench/worker.h"

struct crew {
    struct bench_options options;
    struct target target;
    struct tokens tokens;
    struct plan plan;
    struct load load;
    struct worker *worker; /* NULL: not started */
};

/* Takes what the subscribers have, but for url and token where they are given; with spawn the
 * tokens name no channel. Zeroed crew. 0, or -1 with a message. */
MUST_CHECK int crew_prepare(struct crew *crew, const struct bench_options *options,
                            const struct spawn *spawn, char *message, size_t message_size);

/* Starts count connections, rate a second (0: as fast as they complete). 0, or -1 with a message.
 */
MUST_CHECK int crew_start(struct crew *crew, uint32_t count, uint32_t rate, char *message,
                          size_t message_size);

/* Waits until all are open. 0, or -1 with a message when some failed or a signal came. */
MUST_CHECK int crew_wait(const struct crew *crew, char *message, size_t message_size);

/* Closes them and waits; what they counted stays until crew_close. NULL: never started. */
const struct clients *crew_let_go(struct crew *crew);
void crew_close(struct crew *crew);
