/*
 * twins.h - one handshake between our client and our server, in memory.
 */
#pragma once

#include "tests/unit/tls/pipe.h"
#include "tls/client.h"

struct twins {
    struct tls_client *client; /* both borrowed */
    struct tls_server *server;
    uint32_t client_number;
    uint32_t server_number;
    struct pipe to_client; /* what the side has not taken yet */
    struct pipe to_server;
    enum handshake_status client_status;
    enum handshake_status server_status;
    struct handshake_result client_result;
    struct handshake_result server_result;
};

/* The ClientHello is then in to_server. */
void twins_start(struct twins *twins, struct tls_client *client, struct tls_server *server);

void twins_resume(struct twins *twins, struct tls_client *client, struct tls_server *server,
                  const struct client_ticket *ticket);

/* The server takes the ClientHello, and answers it. */
void twins_greet(struct twins *twins);

/* A side is given what there is for it; size: so much of it. */
void twins_client(struct twins *twins, size_t size);
void twins_server(struct twins *twins);

void twins_end(struct twins *twins);
