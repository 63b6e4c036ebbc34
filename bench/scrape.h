/*
 * scrape.h - asks an admin port over HTTP, and adds up a metric of what it says.
 */
#pragma once

#include "base/bytes.h"

#include <netinet/in.h>

/* GET path. Returns the HTTP status, or -errno. *body (when not NULL): the body, to free(), NULL
 * when there is none. Waits at most 3 s for each step. */
MUST_CHECK int scrape_get(const struct sockaddr_in6 *address, const char *path, char **body);

/* The sum of all series of that name in Prometheus text; NAN when there is none. */
MUST_CHECK double scrape_sum(const char *text, const char *name);
