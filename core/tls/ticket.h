/*
 * ticket.h - session ticket keys (RFC 8446, section 4.6.1; RFC 5077), shared by all shards and,
 * through a key file, by several hosts. One current key seals; it and up to two earlier ones open.
 *
 * Process-wide: rotation publishes a new immutable table; a shard picks it up at its next
 * handshake.
 */
#pragma once

#include "base/bytes.h"

struct ticket_keys;

#define TICKET_KEY_FILE_ENTRY 48 /* bytes: name[16], AES-256 key[32]; newest first, at most 3 */

/* path NULL: random keys, rotated every rotate_s seconds by ticket_keys_rotate. Else keys come from
 * the file and rotation is the operator's (write the file anew, ticket_keys_replace). NULL on
 * error.
 */
MUST_CHECK struct ticket_keys *ticket_keys_open(const char *path, uint32_t rotate_s, char *message,
                                                size_t message_size);
void ticket_keys_close(struct ticket_keys *keys);

/* Called about once a second by the main thread; makes a new key when rotate_s have passed. */
void ticket_keys_rotate(struct ticket_keys *keys, uint64_t now_ms);

/* Takes the keys of another, which were read from the same file later and is closed. */
void ticket_keys_replace(struct ticket_keys *keys, struct ticket_keys *fresh);

/* Seconds that a client is told to keep a ticket: no longer than its key will live. */
MUST_CHECK uint32_t ticket_life_s(const struct ticket_keys *keys);

/* A ticket on the wire carries the name of its key, an IV and a tag of these sizes. */
#define TICKET_NAME_SIZE 16
#define TICKET_IV_SIZE   16 /* the library's field; 12 bytes are used, the rest is 0 */
#define TICKET_TAG_SIZE  32 /* the library's field; 16 bytes are used, the rest is 0 */

/* A session goes on only under the server name that it began with (RFC 6066, section 3). */
#define TICKET_SERVER_NAME_MAX 255

struct ticket {
    uint8_t *name;
    uint8_t *iv;
    uint8_t *tag;
    uint8_t *content; /* sealed and opened in place */
    size_t size;
    struct slice server_name; /* what it is bound to, not on the wire; at most
                                 TICKET_SERVER_NAME_MAX bytes */
};

enum ticket_status {
    TICKET_REFUSED, /* of no key that is known, or not of our making: a full handshake */
    TICKET_OPENED,
    TICKET_AGED, /* opened by an earlier key: a new one is due */
};

/* Any thread. ticket_is_known: a key of that name would open it. Whoever has seen a ticket knows
 * the name: it proves nothing. */
MUST_CHECK bool ticket_is_known(struct ticket_keys *keys, const uint8_t name[TICKET_NAME_SIZE]);
MUST_CHECK bool ticket_seal(struct ticket_keys *keys, const struct ticket *ticket);
MUST_CHECK enum ticket_status ticket_open(struct ticket_keys *keys, const struct ticket *ticket);
