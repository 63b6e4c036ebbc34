/*
 * opening.h - what a connection keeps until it is open: who it is and what it has said so far.
 */
#pragma once

#include "server/admission.h"
#include "server/conn.h"

#include <netinet/in.h>

struct opening {
    struct sockaddr_in6 peer;
    uint32_t handshake; /* number in the TLS server, or NONE */
    uint32_t input; /* arena block: bytes of the ClientHello and flights, later of the request */
    uint32_t input_size;
    uint32_t listener;          /* number of the one that it came by */
    bool awaits_header;         /* of the PROXY protocol */
    enum admission_class class; /* once its ClientHello is whole */
    uint64_t waits_since_ms;    /* likewise: for its handshake to begin */
    uint64_t accepted_ms;
    uint64_t upgrade_ms; /* when the handshake was done, and the request was awaited */
};

/* Gives the connection a fresh one; NULL when the pool is empty. */
MUST_CHECK struct opening *opening_start(struct shard *shard, struct conn *conn);

/* The connection's, which it must have. */
MUST_CHECK struct opening *opening_of(struct shard *shard, const struct conn *conn);

/* The listener that the connection came by. */
MUST_CHECK const struct listener *opening_listener(struct shard *shard, uint32_t number);

/* Puts bytes behind those collected before. False when the arena has no room (counted). */
MUST_CHECK bool opening_collect(struct shard *shard, struct opening *opening, struct slice bytes);

/* Takes the first size bytes off what was collected. */
void opening_consume(struct shard *shard, struct opening *opening, size_t size);

/* Ends the handshake in it, if there is one. */
void opening_end_handshake(struct shard *shard, struct opening *opening);

/* Lets go of it, of the handshake in it and of its bytes; no-op when there is none. */
void opening_end(struct shard *shard, struct conn *conn);
