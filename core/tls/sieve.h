/*
 * sieve.h - which of the client's records reach the library while a handshake runs.
 *
 * The library answers a few legal ways to speak TLS with a closed connection: change_cipher_spec at
 * odd moments, a second hello in pieces, early data that the server did not take. These are
 * dropped, joined and skipped here, each within a bound.
 */
#pragma once

#include "tls/capture.h"
#include "tls/gate.h"
#include "tls/wire.h"

#define EARLY_DATA_SIZE_MAX 65536 /* skipped records; then the library refuses them */
#define CHANGE_CIPHER_MAX   8     /* dropped; then unexpected_message */

struct sieve {
    uint8_t *second;      /* a second hello that is being joined: one record; from the heap */
    uint32_t second_size; /* bytes of it, the record's header included */
    uint32_t second_room;
    uint32_t early_size;  /* bytes of early data skipped */
    uint8_t change_count; /* change_cipher_spec records dropped */
    bool early_expected;  /* refused early data may still come */
    bool second_passed;   /* the second hello went to the library */
};

enum sieve_verdict {
    SIEVE_PASS,   /* *record goes to the library (it may have been replaced by a joined one) */
    SIEVE_DROP,   /* taken; there is nothing to do */
    SIEVE_REFUSE, /* *alert says with which alert the handshake ends */
};

void sieve_init(struct sieve *sieve, const struct hello *hello);
void sieve_clear(struct sieve *sieve);

/* scratch: room for one record body, for trial decryption. */
MUST_CHECK enum sieve_verdict sieve_record(struct sieve *sieve, const struct wire *wire,
                                           const struct capture *capture, struct slice *record,
                                           uint8_t *scratch, uint8_t *alert);
