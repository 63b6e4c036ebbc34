/*
 * redis_resolver.h - addresses of a host's name, found without blocking: on a thread that lives as
 * long as the question.
 *
 * The answer comes through a socket pair, whose other end is closed when nobody wants it any more:
 * no lock, nothing shared. (glibc's getaddrinfo_a is of no use here: ThreadSanitizer does not see
 * its threads, and crashes.)
 */
#pragma once

#include "broker/redis_format.h"

#include <netdb.h>

struct redis_resolver;

/* NULL when there is no memory, descriptor or thread. */
MUST_CHECK struct redis_resolver *redis_resolver_start(const struct redis_address *address);

/* Readable when there is a result. */
MUST_CHECK int redis_resolver_fd(const struct redis_resolver *resolver);

/* EAI_INPROGRESS while it is under way; 0 with the list, which lives as long as the resolver; or
 * another EAI_*. */
MUST_CHECK int redis_resolver_result(struct redis_resolver *resolver, struct addrinfo **list);
void redis_resolver_end(struct redis_resolver *resolver); /* NULL: no-op */
