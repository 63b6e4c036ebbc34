/*
 * ticket.h - session ticket keys (RFC 8446, section 4.6.1; RFC 5077), shared by all shards and, through
 * a key file, by several hosts. One current key seals; it and up to two earlier ones open.
 *
 * Process-wide: rotation publishes a new immutable table; a shard picks it up at its next handshake.
 */
#pragma once

#include "base/bytes.h"

struct ticket_keys;

#define TICKET_KEY_FILE_ENTRY 48 /* bytes: name[16], AES-256 key[32]; newest first, at most 3 */

/* path NULL: random keys, rotated every rotate_s seconds by ticket_keys_rotate. Else keys come from
 * the file and rotation is the operator's (write the file anew, ticket_keys_reload). NULL on error. */
MUST_CHECK struct ticket_keys *ticket_keys_open(const char *path, uint32_t rotate_s, char *message,
                                                size_t message_size);
void ticket_keys_close(struct ticket_keys *keys);

/* Called about once a second by the main thread; makes a new key when rotate_s have passed. */
void ticket_keys_rotate(struct ticket_keys *keys, uint64_t now_ms);

/* Reads the file again; on error the old keys stay. Returns 0 or -errno with a message. */
MUST_CHECK int ticket_keys_reload(struct ticket_keys *keys, char *message, size_t message_size);
