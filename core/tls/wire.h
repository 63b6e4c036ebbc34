/*
 * wire.h - what the records that our side sends tell, and how they must look to middleboxes.
 *
 * Pure. Sees every record on its way out, before it is sealed away from us for good: the
 * ServerHello and the HelloRetryRequest in clear, and the nonce of a TLS 1.2 Finished.
 */
#pragma once

#include "base/bytes.h"

#define RECORD_HEADER_SIZE 5

enum record_type {
    RECORD_CHANGE_CIPHER = 20,
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    RECORD_DATA = 23,
};

struct wire {
    uint64_t nonce;   /* 1.2: the explicit nonce of our Finished */
    uint16_t suite;   /* of the ServerHello or HelloRetryRequest */
    uint16_t group;   /* that the HelloRetryRequest asked for */
    bool hello_sent;  /* a ServerHello went out (not a HelloRetryRequest) */
    bool retry_sent;  /* a HelloRetryRequest went out */
    bool is_tls_1_3;  /* by the suite */
    bool change_sent; /* 1.2: change_cipher_spec went out */
    bool nonce_seen;
    bool change_added; /* the one for middleboxes */
};

/* The size of input's first record when it is whole, 0 when not. Refuses (*alert != 0) by its
 * header what can be no record of a handshake. */
MUST_CHECK size_t wire_frame(struct slice input, uint8_t *alert);

/* What goes behind the first hello to a client that sent a session id (RFC 8446, section D.4). */
#define CHANGE_CIPHER_SIZE 6
extern const uint8_t change_cipher_record[CHANGE_CIPHER_SIZE];

/* Looks at one whole record of ours. True: change_cipher_record must follow it. */
MUST_CHECK bool wire_sent(struct wire *wire, struct slice record);

/* The one key share of a second ClientHello must be of the group that was asked for (RFC 8446,
 * section 4.2.8). message: the handshake message with its header. 0, or an alert. */
MUST_CHECK uint8_t wire_second_hello(const struct wire *wire, struct slice message);
