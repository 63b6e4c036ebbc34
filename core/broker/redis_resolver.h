/*
 * redis_resolver.h - addresses of a host's name, found without blocking: the C library asks on a
 * thread of its own.
 */
#pragma once

#include "broker/redis_format.h"

#include <netdb.h>

struct redis_resolver;

/* NULL when there is no memory, or no thread. */
MUST_CHECK struct redis_resolver *redis_resolver_start(const struct redis_address *address);

/* EAI_INPROGRESS while it is under way; 0 with the list, which lives as long as the resolver; or
 * another EAI_*. */
MUST_CHECK int redis_resolver_result(struct redis_resolver *resolver, struct addrinfo **list);
void redis_resolver_end(struct redis_resolver *resolver); /* NULL: no-op */
