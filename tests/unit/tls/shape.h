/*
 * shape.h - bends what OpenSSL's client says: hellos with other extensions, records sealed by hand.
 */
#pragma once

#include "duel.h"

/* A ClientHello in one record at the front of the pipe. type: of an extension. */
void shape_remove(struct pipe *pipe, uint16_t type);
void shape_add(struct pipe *pipe, uint16_t type, const void *content,
               size_t size); /* as the first */
/* Its content's place, NULL if it is not there. */
uint8_t *shape_find(struct pipe *pipe, uint16_t type, size_t *size);

/* Binds a changed hello again to the session that it offers, alone, with SHA-256 (RFC 8446, section
 * 4.2.11.2). */
void shape_bind(struct pipe *pipe, const SSL_SESSION *session);

/* Cuts the first record of the pipe into records of piece_size. */
void shape_split(struct pipe *pipe, size_t piece_size);

/* Puts bytes before what the pipe holds, or at an offset. */
void shape_insert(struct pipe *pipe, size_t offset, const void *bytes, size_t size);

/* Has ssl note its secrets; before the handshake. */
void shape_watch(SSL_CTX *context);

/*
 * One record under the client's handshake traffic secret that was noted last
 * (TLS_AES_128_GCM_SHA256 only), pushed to the pipe.
 */
void shape_seal(struct pipe *pipe, uint64_t sequence, uint8_t type, const void *plain, size_t size);

/* Opens the first record of the pipe under that secret (sequence 0); returns the plain text's size,
 * the inner type taken off. The record stays where it is. */
size_t shape_open(const struct pipe *pipe, uint8_t *plain);
