/*
 * capture.h - the keys of a finished handshake, taken from the library and checked against it.
 */
#pragma once

#include "tls/record.h"
#include "tls/wire.h"

#define SECRET_SIZE_MAX 48

struct WOLFSSL;

/* TLS 1.3: the secrets as the library derived them; all are secret_size bytes. */
struct capture {
    uint8_t client_handshake[SECRET_SIZE_MAX];
    uint8_t client_application[SECRET_SIZE_MAX];
    uint8_t server_application[SECRET_SIZE_MAX];
    size_t secret_size; /* 0: none captured yet */
};

/* Has the library report its secrets to capture, which must stay where it is. */
void capture_begin(struct capture *capture, struct WOLFSSL *ssl);

/*
 * Fills keys for the side that ssl plays. False when they cannot be trusted: keys derived here from
 * the secrets differ from the library's, a sequence number is not what this handshake makes it, or
 * the random nonce of a 1.2 Finished could be met again by our counter.
 */
MUST_CHECK bool capture_keys(const struct capture *capture, const struct wire *wire,
                             struct WOLFSSL *ssl, struct tls_keys *keys);

/* Key or IV of a traffic secret (RFC 8446, section 7.3). label: "key" or "iv". */
MUST_CHECK bool capture_expand(struct slice secret, const char *label, uint8_t *out, size_t size);
