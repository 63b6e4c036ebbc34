/*
 * exchange.h - one handshake of the library over memory: a record in, a flight out, the keys at the
 * end. Both sides; what only a server needs is handshake.c's.
 */
#pragma once

#include "tls/capture.h"
#include "tls/ticket.h"
#include "tls/wire.h"

struct WOLFSSL;
struct WOLFSSL_CTX;

struct exchange {
    struct WOLFSSL *ssl;
    struct capture capture;
    struct wire wire;
    struct slice input; /* what the library may read in this call */
    uint8_t *output;    /* what it wrote; from the handshakes' heap */
    uint32_t output_size;
    uint32_t output_room;
    bool output_ended; /* a fatal alert is in the output: nothing may follow */
    uint8_t alert;     /* that one */
    uint8_t server_name_size;
    char
        server_name[TICKET_SERVER_NAME_MAX]; /* a server's: what the client asked for, or nothing */
};

enum exchange_status {
    EXCHANGE_MORE,
    EXCHANGE_DONE,
    EXCHANGE_FAILED
};

struct exchange_failure {
    uint8_t alert;
    bool alert_received;
    int error; /* the library's number */
};

/* Prepares contexts for exchanges (the callbacks). */
void exchange_context(struct WOLFSSL_CTX *context);

/* False when the handshakes' heap is full. */
MUST_CHECK bool exchange_open(struct exchange *exchange, struct WOLFSSL_CTX *context);
void exchange_close(struct exchange *exchange);

/* Gives the library one whole record (or none: a client's start) and lets it answer. DONE: keys are
 * filled. FAILED: the alert that the peer must see is in the output. */
MUST_CHECK enum exchange_status exchange_run(struct exchange *exchange, struct slice record,
                                             struct tls_keys *keys,
                                             struct exchange_failure *failure);

/* Ends the handshake with an alert of ours. */
void exchange_refuse(struct exchange *exchange, uint8_t alert, struct exchange_failure *failure);

/* Forgets the output, which was sent. */
void exchange_clear_output(struct exchange *exchange);
