/*
 * bare.h - one exchange of the library with OpenSSL's client, without gate and sieve around it.
 */
#pragma once

#include "duel.h"
#include "tls/exchange.h"

struct bare {
    struct exchange exchange;
    SSL *ssl;
    enum exchange_status status;
    struct exchange_failure failure;
    struct tls_keys keys; /* when DONE */
};

/* ssl: taken over. */
void bare_open(struct bare *bare, struct WOLFSSL_CTX *context, SSL *ssl);
void bare_close(struct bare *bare);

/* The client's next flight into out, of PIPE_ROOM bytes; returns its size. */
size_t bare_client(struct bare *bare, uint8_t *out);

/* Feeds a flight, record by record, while the exchange wants more. */
void bare_feed(struct bare *bare, const uint8_t *flight, size_t size);

/* Gives the exchange's output to the client. */
void bare_answer(struct bare *bare);

/* All of it, until the exchange is done or has failed. */
void bare_run(struct bare *bare);
