/*
 * listeners.h - the server's listening sockets as the kernel has them: what listen() came to, and
 * how many clients wait. A higher somaxconn does not reach a socket that listens already; here it
 * shows.
 */
#pragma once

#include "base/bytes.h"

#include <sys/types.h>

#define LISTENERS_MAX 16 /* different ports */

/* All sockets of one port: as many as there are shards. */
struct listening {
    uint16_t port;
    uint32_t count;
    uint32_t backlog; /* the least of them */
    uint32_t queued;  /* of all of them */
};

/*
 * Asks the kernel for the listening sockets alone, which is cheap with any number of connections.
 * Of the host itself and this network namespace only. Returns how many ports there are: 0 also when
 * the process's descriptors may not be looked at.
 */
MUST_CHECK uint32_t listeners_read(pid_t pid, struct listening rows[LISTENERS_MAX]);
