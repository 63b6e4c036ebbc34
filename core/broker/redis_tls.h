/*
 * redis_tls.h - TLS to Redis, by OpenSSL, which a client of other people's servers needs for its
 * store of authorities and its check of names. hiredis' own TLS is not used: it checks no name.
 */
#pragma once

#include "broker/redis.h"

#include <sys/types.h>

struct redis_tls; /* certificates and rules, for all connections */
struct redis_tls_stream;

/* NULL with a message that names the file. */
MUST_CHECK struct redis_tls *redis_tls_open(const struct redis_options *options, char *message,
                                            size_t message_size);
void redis_tls_close(struct redis_tls *tls); /* NULL: no-op */

/* On a connected socket, which stays the caller's. name: what the certificate must be for. NULL:
 * no memory. */
MUST_CHECK struct redis_tls_stream *redis_tls_start(struct redis_tls *tls, int fd,
                                                    const char *name);
void redis_tls_end(struct redis_tls_stream *stream); /* NULL: no-op */

/* Bytes (of the handshake: 1 when it is done), 0 at the end of the stream, -EAGAIN when the socket
 * must become readable first, REDIS_TLS_WANT_WRITE when writable, or another negative errno. */
#define REDIS_TLS_WANT_WRITE (-1000)
MUST_CHECK ssize_t redis_tls_handshake(struct redis_tls_stream *stream, char *message,
                                       size_t message_size);
MUST_CHECK ssize_t redis_tls_read(struct redis_tls_stream *stream, void *data, size_t size);
MUST_CHECK ssize_t redis_tls_write(struct redis_tls_stream *stream, struct slice bytes);
