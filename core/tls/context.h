/*
 * context.h - a shard's library contexts: one for each pair of a certificate set.
 */
#pragma once

#include "tls/certificate.h"
#include "tls/ticket.h"

struct WOLFSSL_CTX;

struct contexts {
    const struct certificate_set *certificates; /* borrowed; NULL: none, then nor is a context */
    struct WOLFSSL_CTX **list;                  /* in its order */
    uint32_t count;
};

struct context_options {
    struct ticket_keys *tickets; /* NULL: no tickets */
    bool tls_1_2;
};

/* Returns 0 or -1 with a message. */
MUST_CHECK int contexts_open(struct contexts *contexts, const struct certificate_set *certificates,
                             const struct context_options *options, char *message,
                             size_t message_size);

/* Handshakes in flight keep the context that they began with until they end. */
void contexts_close(struct contexts *contexts);
