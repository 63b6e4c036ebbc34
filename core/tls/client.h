/*
 * client.h - client handshakes for the load tool and the tests: same life as the server's.
 */
#pragma once

#include "tls/client_ticket.h"
#include "tls/handshake.h"

struct tls_client;

struct tls_client_options {
    const char *host_name; /* SNI; NULL: none */
    const char *ca_path;   /* PEM to verify the server with; NULL: do not verify */
    uint32_t handshakes_max;
    enum tls_version version; /* the only version offered */
    enum tls_suite suite;     /* the only suite offered */
    bool hybrid;              /* 1.3: a share of X25519MLKEM768 is sent, X25519 is offered too */
};

/* NULL with a message; also when the library was built without the hybrid group that is asked for.
 */
MUST_CHECK struct tls_client *tls_client_open(const struct tls_client_options *options,
                                              char *message, size_t message_size);
void tls_client_close(struct tls_client *client);

/* A handshake's number or NONE; the first client_handshake_feed with size 0 gives the ClientHello.
 */
MUST_CHECK uint32_t client_handshake_start(struct tls_client *client);
MUST_CHECK enum handshake_status client_handshake_feed(struct tls_client *client, uint32_t number,
                                                       const uint8_t *input, size_t size,
                                                       struct handshake_result *result);
/* Comes back with a ticket of the same suite, any number of times; the result says whether the
 * server took it. */
MUST_CHECK uint32_t client_handshake_resume(struct tls_client *client,
                                            const struct client_ticket *ticket);

/*
 * After HANDSHAKE_DONE: looks for a ticket in what the server sent behind the handshake, whole
 * records from the first one on (they are not changed, and are to be opened all the same). The
 * caller's; NULL: none.
 */
MUST_CHECK struct client_ticket *client_handshake_ticket(struct tls_client *client, uint32_t number,
                                                         struct slice records);

void client_handshake_keys(struct tls_client *client, uint32_t number, struct tls_keys *keys);
void client_handshake_end(struct tls_client *client, uint32_t number);
