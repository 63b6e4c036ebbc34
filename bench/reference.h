/*
 * reference.h - what bare TCP connections cost in kernel memory: the measure for everything else.
 *
 * One end is opened by a ring of this process, exactly as the load's clients are (direct
 * descriptor, armed poll); the other is accepted by a child and only held. Which memory is whose is
 * seen when this end alone is closed.
 */
#pragma once

#include "bench/slabs.h"

struct reference;

struct reference_result {
    uint32_t count;              /* connections measured; 0: none */
    double client_bytes;         /* kernel memory of this end, per connection: pages */
    double server_bytes;         /* of the accepted socket */
    struct slab_growths growths; /* both ends */
};

/* Forks the child, so before threads. NULL with a message. */
MUST_CHECK struct reference *reference_open(char *message, size_t message_size);

/* Measures once. Returns 0, or -1 with a message (result->count stays 0). */
MUST_CHECK int reference_measure(struct reference *reference, uint32_t count,
                                 struct reference_result *result, char *message,
                                 size_t message_size);
/* Source addresses that so many are spread over. */
MUST_CHECK uint32_t reference_sources(uint32_t count);
void reference_close(struct reference *reference);

/* Pure: shares every cache's growth by what closing this end gave back. */
void reference_share(struct reference_result *result, const struct slabs *before,
                     const struct slabs *open, const struct slabs *client_closed, uint32_t count);
