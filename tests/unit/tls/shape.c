#include "shape.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <stdio.h>
#include <string.h>

#define HEADER_SIZE 5
#define TAG_SIZE    16
#define SECRET_SIZE 32
#define IV_SIZE     12

static uint8_t client_secret[SECRET_SIZE];

/* --- hellos --- */

static void move_tail(struct pipe *pipe, size_t from, size_t to)
{
    memmove(pipe->bytes + to, pipe->bytes + from, pipe->size - from);
    pipe->size = pipe->size - from + to;
}

/* Where the length of the extensions stands. */
static size_t extensions_at(const struct pipe *pipe)
{
    size_t at = HEADER_SIZE + 4 + 2 + 32;
    at += 1 + (size_t)pipe->bytes[at];
    at += 2 + (size_t)load_be16(pipe->bytes + at);
    at += 1 + (size_t)pipe->bytes[at];
    return at;
}

static void grow(struct pipe *pipe, int64_t change)
{
    uint8_t *bytes = pipe->bytes;
    const size_t at = extensions_at(pipe);
    store_be16(bytes + 3, (uint16_t)(load_be16(bytes + 3) + change));
    store_be24(bytes + 6, (uint32_t)(load_be24(bytes + 6) + change));
    store_be16(bytes + at, (uint16_t)(load_be16(bytes + at) + change));
}

uint8_t *shape_find(struct pipe *pipe, uint16_t type, size_t *size)
{
    size_t at = extensions_at(pipe);
    const size_t end = at + 2 + load_be16(pipe->bytes + at);
    for (at += 2; at < end; at += 4 + (size_t)load_be16(pipe->bytes + at + 2)) {
        if (load_be16(pipe->bytes + at) == type) {
            *size = load_be16(pipe->bytes + at + 2);
            return pipe->bytes + at + 4;
        }
    }
    return NULL;
}

void shape_remove(struct pipe *pipe, uint16_t type)
{
    size_t size = 0;
    const uint8_t *content = shape_find(pipe, type, &size);
    ASSERT(content != NULL);
    const size_t at = (size_t)(content - pipe->bytes) - 4;
    grow(pipe, -(int64_t)(4 + size));
    move_tail(pipe, at + 4 + size, at);
}

void shape_insert(struct pipe *pipe, size_t offset, const void *bytes, size_t size)
{
    move_tail(pipe, offset, offset + size);
    memcpy(pipe->bytes + offset, bytes, size);
}

void shape_add(struct pipe *pipe, uint16_t type, const void *content, size_t size)
{
    uint8_t header[4];
    const size_t at = extensions_at(pipe) + 2;
    store_be16(header, type);
    store_be16(header + 2, (uint16_t)size);
    grow(pipe, (int64_t)(4 + size));
    if (size > 0) {
        shape_insert(pipe, at, content, size);
    }
    shape_insert(pipe, at, header, sizeof(header));
}

void shape_split(struct pipe *pipe, size_t piece_size)
{
    static uint8_t body[PIPE_ROOM];
    const size_t size = load_be16(pipe->bytes + 3);
    uint8_t header[HEADER_SIZE];
    memcpy(header, pipe->bytes, HEADER_SIZE);
    memcpy(body, pipe->bytes + HEADER_SIZE, size);
    move_tail(pipe, HEADER_SIZE + size, 0);
    size_t at = 0;
    for (size_t done = 0; done < size;) {
        const size_t part = size - done < piece_size ? size - done : piece_size;
        store_be16(header + 3, (uint16_t)part);
        shape_insert(pipe, at, header, HEADER_SIZE);
        shape_insert(pipe, at + HEADER_SIZE, body + done, part);
        at += HEADER_SIZE + part;
        done += part;
    }
}

/* --- records --- */

static uint8_t hex_value(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void note_secret(const SSL *ssl, const char *line)
{
    static const char label[] = "CLIENT_HANDSHAKE_TRAFFIC_SECRET ";
    (void)ssl;
    if (strncmp(line, label, sizeof(label) - 1) != 0) {
        return;
    }
    const char *hex = strrchr(line, ' ') + 1;
    for (size_t i = 0; i < SECRET_SIZE; i++) {
        client_secret[i] = (uint8_t)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    }
}

void shape_watch(SSL_CTX *context)
{
    SSL_CTX_set_keylog_callback(context, note_secret);
}

/* HKDF-Expand-Label, or with_hash: Derive-Secret of no messages. */
static void expand_from(const uint8_t secret[SECRET_SIZE], const char *label, bool with_hash,
                        uint8_t *out, size_t out_size)
{
    uint8_t info[96];
    const int label_size = snprintf((char *)info + 3, 32, "tls13 %s", label);
    size_t info_size = 4 + (size_t)label_size;
    store_be16(info, (uint16_t)out_size);
    info[2] = (uint8_t)label_size;
    info[info_size - 1] = 0;
    if (with_hash) {
        info[info_size - 1] = SECRET_SIZE;
        EVP_Digest("", 0, info + info_size, NULL, EVP_sha256(), NULL);
        info_size += SECRET_SIZE;
    }
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    EVP_PKEY_derive_init(context);
    EVP_PKEY_CTX_set_hkdf_mode(context, EVP_PKEY_HKDEF_MODE_EXPAND_ONLY);
    EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256());
    EVP_PKEY_CTX_set1_hkdf_key(context, secret, SECRET_SIZE);
    EVP_PKEY_CTX_add1_hkdf_info(context, info, (int)info_size);
    const int derived = EVP_PKEY_derive(context, out, &out_size);
    ASSERT(derived == 1);
    EVP_PKEY_CTX_free(context);
}

static void expand(const char *label, uint8_t *out, size_t out_size)
{
    expand_from(client_secret, label, false, out, out_size);
}

void shape_bind(struct pipe *pipe, const SSL_SESSION *session)
{
    static const uint8_t zeros[SECRET_SIZE];
    uint8_t psk[SECRET_SIZE];
    uint8_t early[SECRET_SIZE];
    uint8_t binder_key[SECRET_SIZE];
    uint8_t finished_key[SECRET_SIZE];
    uint8_t hash[SECRET_SIZE];
    size_t size = SSL_SESSION_get_master_key(session, psk, sizeof(psk));
    ASSERT(size == SECRET_SIZE);
    /* The list of binders: its length, one binder's length, the binder; the hello's last bytes. */
    const size_t end = HEADER_SIZE + (size_t)load_be16(pipe->bytes + 3);
    const size_t truncated = end - SECRET_SIZE - 3;
    (void)HMAC(EVP_sha256(), zeros, SECRET_SIZE, psk, SECRET_SIZE, early, NULL);
    expand_from(early, "res binder", true, binder_key, SECRET_SIZE);
    expand_from(binder_key, "finished", false, finished_key, SECRET_SIZE);
    EVP_Digest(pipe->bytes + HEADER_SIZE, truncated - HEADER_SIZE, hash, NULL, EVP_sha256(), NULL);
    (void)HMAC(EVP_sha256(), finished_key, SECRET_SIZE, hash, SECRET_SIZE,
               pipe->bytes + end - SECRET_SIZE, NULL);
}

static EVP_CIPHER_CTX *cipher(uint64_t sequence, const uint8_t header[HEADER_SIZE], int is_sealing)
{
    uint8_t key[16];
    uint8_t iv[IV_SIZE];
    int size = 0;
    expand("key", key, sizeof(key));
    expand("iv", iv, sizeof(iv));
    store_be64(iv + 4, load_be64(iv + 4) ^ sequence);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    EVP_CipherInit_ex(context, EVP_aes_128_gcm(), NULL, key, iv, is_sealing);
    EVP_CipherUpdate(context, NULL, &size, header, HEADER_SIZE);
    return context;
}

void shape_seal(struct pipe *pipe, uint64_t sequence, uint8_t type, const void *plain, size_t size)
{
    uint8_t *record = pipe->bytes + pipe->size;
    uint8_t *body = record + HEADER_SIZE;
    int written = 0;
    record[0] = 23;
    record[1] = 3;
    record[2] = 3;
    store_be16(record + 3, (uint16_t)(size + 1 + TAG_SIZE));
    memcpy(body, plain, size);
    body[size] = type;
    EVP_CIPHER_CTX *context = cipher(sequence, record, 1);
    EVP_CipherUpdate(context, body, &written, body, (int)size + 1);
    EVP_CipherFinal_ex(context, body + size + 1, &written);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, body + size + 1);
    EVP_CIPHER_CTX_free(context);
    pipe->size += HEADER_SIZE + size + 1 + TAG_SIZE;
}

size_t shape_open(const struct pipe *pipe, uint8_t *plain)
{
    const size_t size = (size_t)load_be16(pipe->bytes + 3) - TAG_SIZE;
    int written = 0;
    EVP_CIPHER_CTX *context = cipher(0, pipe->bytes, 0);
    EVP_CipherUpdate(context, plain, &written, pipe->bytes + HEADER_SIZE, (int)size);
    EVP_CIPHER_CTX_free(context);
    return size - 1;
}
