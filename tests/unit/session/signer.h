/*
 * signer.h - makes keys and tokens with OpenSSL alone, so that the tests do not believe what they
 * test.
 */
#pragma once

#include "base/bytes.h"

#include <openssl/evp.h>

#define SIGNER_SECRET_MAX 1024
#define SIGNER_FOLDER_MAX 64

struct signer {
    const char *algorithm;
    EVP_PKEY *key; /* NULL: HMAC */
    uint8_t secret[SIGNER_SECRET_MAX];
    size_t secret_size;
    char path[SIGNER_FOLDER_MAX + 32]; /* the secret, or the public key as PEM */
};

/* A fresh folder for the files of a test, and its end with all that is in it. */
void folder_make(char folder[SIGNER_FOLDER_MAX]);
void folder_remove(const char *folder);

/* Writes a file into the folder; its path goes to path. */
void file_write(char path[SIGNER_FOLDER_MAX + 32], const char *folder, const char *name,
                struct slice content);

/* name: of the file. */
void signer_open(struct signer *signer, const char *folder, const char *name,
                 const char *algorithm);
void signer_close(struct signer *signer);

/* "HEADER.PAYLOAD.SIGNATURE" of the bytes given, whatever they are; free(). */
char *signer_token_of(const struct signer *signer, struct slice header, struct slice payload);
char *signer_token(const struct signer *signer, const char *header, const char *payload);

/* With the header {"alg":...} of the signer; free(). */
char *signer_sign(const struct signer *signer, const char *payload);

/* The part of a token in base64url; free(). */
char *base64url_text(struct slice bytes);
