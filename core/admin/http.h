/*
 * http.h - the admin port: metrics and health over HTTP, on its own thread (libmicrohttpd).
 *
 *   GET /metrics       Prometheus text
 *   GET /health/live   200 while the process runs
 *   GET /health/ready  200 while connections are accepted, else 503 and why
 *
 * Anything else: 404, 405. Connections, request size and time are bounded.
 */
#pragma once

#include "admin/metrics.h"

#include <netinet/in.h>

struct admin;

/* Set by the server, read by the admin thread. */
struct admin_state {
    struct counter ready; /* 1: accepting */
};

/* NULL with a message that names the address and what to do. */
MUST_CHECK struct admin *admin_open(const struct sockaddr_in6 *address,
                                    const struct metrics *metrics, const struct admin_state *state,
                                    char *message, size_t message_size);
void admin_close(struct admin *admin);
MUST_CHECK uint16_t admin_port(const struct admin *admin);
