/*
 * handshake.h - server handshakes: the only place where a WOLFSSL object lives, for milliseconds.
 *
 * A shard has one tls_server: library contexts made from the certificate set, and a bounded pool of
 * handshakes in flight. The caller owns the socket and all bytes: it buffers the ClientHello
 * (tls/gate.h), starts a handshake, feeds what arrives, sends what comes out, and at the end takes
 * the keys and lets the object go. The keys are compared with the library's own view (write keys,
 * IVs, sequence numbers); a mismatch fails the handshake.
 */
#pragma once

#include "tls/certificate.h"
#include "tls/gate.h"
#include "tls/record.h"
#include "tls/ticket.h"

struct tls_server;

struct tls_server_options {
    const struct certificate_set *certificates; /* borrowed as long as the server lives; NULL: no
                                                   handshake is ever started */
    struct ticket_keys *tickets;                /* NULL: no tickets */
    uint32_t handshakes_max;
    bool tls_1_2; /* also accept TLS 1.2 */
};

/* NULL with a message. The shard's thread only, like every call below. */
MUST_CHECK struct tls_server *tls_server_open(const struct tls_server_options *options,
                                              char *message, size_t message_size);
void tls_server_close(struct tls_server *server);

/* Takes a new certificate set for handshakes from now on; those in flight end with the old one. */
MUST_CHECK int tls_server_renew(struct tls_server *server, const struct certificate_set *set,
                                char *message, size_t message_size);

/* A handshake's number, or NONE when handshakes_max are in flight. joined: the record that
 * hello_read made. */
MUST_CHECK uint32_t handshake_start(struct tls_server *server, const struct hello *hello,
                                    const uint8_t *joined);

enum handshake_status {
    HANDSHAKE_MORE,   /* send output, feed more */
    HANDSHAKE_DONE,   /* send output, then handshake_keys */
    HANDSHAKE_FAILED, /* send output (an alert, perhaps), close; result.alert says which */
};

struct handshake_result {
    size_t consumed;     /* bytes of input taken; the rest belongs to the record layer when DONE */
    struct slice output; /* borrowed until the next call for this handshake */
    uint8_t alert;       /* FAILED: sent or received */
    bool alert_received;
    bool resumed; /* DONE: by ticket */
    int error;    /* FAILED: the library's error number, for the log */
};

/* Feeds bytes from the socket (after the hello's). Incomplete records are left unconsumed. First
 * call: size 0, to answer the hello. */
MUST_CHECK enum handshake_status handshake_feed(struct tls_server *server, uint32_t number,
                                                const uint8_t *input, size_t size,
                                                struct handshake_result *result);

/* After HANDSHAKE_DONE: the keys. The caller wipes them. */
void handshake_keys(struct tls_server *server, uint32_t number, struct tls_keys *keys);

/* Frees the handshake in whatever state it is. */
void handshake_end(struct tls_server *server, uint32_t number);

MUST_CHECK uint32_t handshake_count(const struct tls_server *server);

/* Gives the memory of past handshakes (this thread's) back to the system. */
void handshake_trim(struct tls_server *server);

/* Bytes of library heap that the server's handshakes hold now (this thread). */
MUST_CHECK size_t handshake_heap(void);
