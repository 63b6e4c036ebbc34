/*
 * target.h - the server to connect to: its URL, the upgrade request for it, and the check of its
 * answer.
 */
#pragma once

#include "base/bytes.h"

#include <netinet/in.h>

struct target {
    char host[256];      /* for SNI, without brackets */
    char authority[300]; /* for Host: as the URL has it */
    char path[2048];     /* with the query */
    uint16_t port;
    struct sockaddr_in6 address; /* family AF_INET or AF_INET6 */
    bool is_name;                /* host is a name, not an address */
    bool is_loopback;
    bool is_plain; /* ws://: no TLS */
};

/* Parses wss://HOST[:PORT][/PATH], or ws://..., and resolves the host. Returns 0, or -1 with a
 * message. */
MUST_CHECK int target_parse(struct target *target, const char *url, char *message,
                            size_t message_size);

/* Tokens, one a line. */
struct tokens {
    char *text; /* owned: tokens, each zero-terminated */
    uint32_t *offsets;
    uint32_t count;
};

/* Takes text (from malloc). Returns 0, or -1 when there is no memory for the index. */
MUST_CHECK int tokens_index(struct tokens *tokens, char *text);
MUST_CHECK const char *tokens_at(const struct tokens *tokens, uint32_t index); /* in turn */
void tokens_free(struct tokens *tokens);

struct request {
    const struct target *target;
    const char *const *headers;
    uint32_t header_count;
    const char *token; /* NULL: none */
};

#define REQUEST_KEY_SIZE 24 /* characters of Sec-WebSocket-Key */

/* Makes a new key and writes the upgrade request. Returns its size, or 0 when out has no room. */
MUST_CHECK size_t request_write(const struct request *request, char key[REQUEST_KEY_SIZE],
                                uint8_t *out, size_t out_size);

enum answer_status {
    ANSWER_UPGRADED,
    ANSWER_MORE,
    ANSWER_REFUSED, /* a whole answer with another status */
    ANSWER_BAD,     /* no HTTP, or a 101 that does not fit the request (RFC 6455, section 4.1) */
};

/* *consumed: bytes of the answer's head. *http_status: valid unless MORE or BAD. */
MUST_CHECK enum answer_status answer_read(struct slice text, const char key[REQUEST_KEY_SIZE],
                                          size_t *consumed, uint32_t *http_status);
