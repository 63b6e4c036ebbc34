/*
 * connector.h - outgoing sockets on a ring, for the load tool: socket, bind and connect in one
 * chain.
 *
 * Separate from ring.h because the server never connects to a client.
 */
#pragma once

#include "io/ring.h"

/* Whether the kernel has what a chain needs (Linux 6.11). Returns 0, or -errno and a message. */
MUST_CHECK int connector_check(struct ring *ring, char *message, size_t message_size);

/*
 * Has the eventfd counted up when the ring has completions, or work that makes some: for a thread
 * that waits for several rings. The ring's own descriptor does not wake a poll for the latter.
 * Returns 0, or -errno and a message.
 */
MUST_CHECK int connector_notify(struct ring *ring, int event_fd, char *message,
                                size_t message_size);

/*
 * Opens a TCP socket in slot number, sets IP_BIND_ADDRESS_NO_PORT, SO_LINGER 0 if reset_on_close,
 * binds source (its port may be 0) and connects to target; both stay valid until the event
 * RING_CONNECT (result 0 or the first failing step's -errno; the slot is then free again only after
 * ring_close_socket). source may be NULL. One ring either accepts or connects: an accept lets the
 * kernel choose slots, this function lets the caller.
 */
void connector_open(struct ring *ring, uint32_t number, uint32_t generation,
                    const struct sockaddr_in6 *source, const struct sockaddr_in6 *target,
                    bool reset_on_close);
