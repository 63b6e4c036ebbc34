/*
 * duel.h - one handshake between our server and OpenSSL's client, in memory.
 */
#pragma once

#include "tests/unit/tls/pipe.h"
#include "tls/handshake.h"

#include <openssl/ssl.h>

struct duel {
    struct tls_server *server;
    SSL *ssl;
    struct pipe to_server;
    struct pipe to_client; /* whole, as our side wrote it; taken bytes are counted by given */
    size_t given;          /* bytes of to_client that the client has seen */
    size_t piece_size;     /* the server is fed in pieces of this size; 0: all there is */
    size_t fed;            /* bytes of to_server that the server may see */
    bool is_started;
    uint32_t number;
    struct hello hello;
    enum hello_status hello_status;
    enum handshake_status status;
    struct handshake_result result; /* the last one */
    struct tls_keys keys;           /* when DONE */
    int client_alert;               /* that the client received, or -1 */
    _Alignas(8) uint8_t state[TLS_STATE_SIZE_MAX];
};

/* ssl: taken over. */
struct duel *duel_open(struct tls_server *server, SSL *ssl);
void duel_close(struct duel *duel);

/* Both sides go on until neither has anything to say. The client's flight can be changed in between
 * by calling these two alternately: each returns true when something went on. */
bool duel_client(struct duel *duel);
bool duel_server(struct duel *duel);
void duel_run(struct duel *duel);

/* After DONE, through the record layer. Data of both directions must arrive as it was sent. */
void duel_echo(struct duel *duel, size_t size);

/* The first alert that our side sent in clear, or -1. */
int duel_plain_alert(const struct duel *duel);

/* The alert that the client received, or -1. */
int duel_client_alert(const struct duel *duel);

/* A client of OpenSSL's. context: borrowed. host_name: SNI, or NULL. */
SSL *duel_client_new(SSL_CTX *context, const char *host_name);
