/*
 * fixture.h - a server with an ECDSA certificate, an RSA one at hand, tickets, and an OpenSSL
 * client whose hellos can be shaped; how a duel between them ends.
 */
#pragma once

#include "pki.h"
#include "shape.h"

struct fixture {
    struct pki pki;
    struct certificate_set *set;
    struct certificate_set *rsa;
    struct ticket_keys *tickets;
    struct tls_server *server;
    SSL_CTX *client;
    char message[512];
};

extern struct fixture fixture;

int open_fixture(void **state);
int close_fixture(void **state);
struct duel *start(void);
struct duel *start_1_2(void);
void end_done(struct duel *duel);
/* The alert is in the result and reached the client. */
void end_failed(struct duel *duel, uint8_t alert);
/* For a client that was bent so far that it would not take the answer: the alert is the last record
 * of ours, in clear. */
void end_failed_in_clear(struct duel *duel, uint8_t alert);
