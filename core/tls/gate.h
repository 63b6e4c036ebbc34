/*
 * gate.h - what stands between the socket and wolfSSL: the ClientHello, read once, before anything
 * is allocated for it.
 *
 * Pure. Joins a ClientHello that is split over records or segments, bounds it, and walks its
 * extensions, so that the certificate can be chosen and the hopeless refused with the alert that
 * the RFC names (facts measured on wolfSSL 5.7.2 and 5.9.2, where it stays silent or too lenient).
 */
#pragma once

#include "base/bytes.h"
#include "tls/ticket.h"

#define HELLO_SIZE_MAX 16384 /* a whole ClientHello message; larger: decode_error */
#define HELLO_NAME_MAX 255

enum hello_status {
    HELLO_MORE, /* not whole yet */
    HELLO_WHOLE,
    HELLO_REFUSED,    /* hello.alert says with which alert */
    HELLO_PLAIN_HTTP, /* it begins with a capital letter, as HTTP does: answer 400 in clear */
    HELLO_PEER_ALERT, /* the client sent an alert instead: just close */
};

struct hello {
    size_t consumed;     /* bytes of input that the hello took, record headers included */
    size_t message_size; /* the joined handshake message: 4-byte header and body */
    uint8_t alert;
    bool offers_tls_1_3;
    bool offers_ecdsa; /* a P-256 ECDSA certificate will do (signature algorithms, suites) */
    bool offers_rsa;
    bool offers_early_data; /* extension 42 */
    bool offers_psk_dhe;    /* extension 45 holds psk_dhe_ke */
    bool offers_hybrid;     /* a key share of X25519MLKEM768 */
    bool only_h2;           /* ALPN offers h2 and not http/1.1 */
    bool offers_ticket;     /* ticket_name holds the beginning of its first ticket */
    uint8_t ticket_name[TICKET_NAME_SIZE];
    uint8_t name_size; /* SNI host name, letters folded, trailing dot taken off; 0: none */
    char name[HELLO_NAME_MAX + 1]; /* terminated */
};

/*
 * Looks at all bytes received so far (from the first one on). HELLO_WHOLE: joined, when not NULL,
 * gets one record (5 bytes of header and the message: HELLO_SIZE_MAX + 5 bytes of room) to feed to
 * wolfSSL.
 */
MUST_CHECK enum hello_status hello_read(const uint8_t *input, size_t size, struct hello *hello,
                                        uint8_t *joined);

/* Bytes of input that hello_read can ever need: record headers of a hello cut into one-byte records
 * are bounded too (HELLO_INPUT_MAX; more: decode_error). */
#define HELLO_INPUT_MAX 32768

/* A plaintext fatal alert record, for before a handshake exists. */
#define PLAIN_ALERT_SIZE 7
void plain_alert(uint8_t description, uint8_t out[PLAIN_ALERT_SIZE]);
