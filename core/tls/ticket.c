#include "tls/ticket.h"

#include "base/random.h"
#include "tls/heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <wolfssl/internal.h> /* the size of a ticket's content */
#include <wolfssl/ssl.h>
#include <wolfssl/version.h>

#include "tls/pem.h"

#define KEYS_MAX   3
#define NONCE_SIZE 12
#define TAG_SIZE   16
#define MS_PER_S   1000

/*
 * A ticket holds the library's own structure, so a host with another build must not open it: the
 * first byte of a key's name on the wire says which build made it.
 */
#define TICKET_FORMAT                                                                              \
    ((uint8_t)((LIBWOLFSSL_VERSION_HEX >> 12 & 0xff) ^ (LIBWOLFSSL_VERSION_HEX & 0xff) ^           \
               sizeof(InternalTicket)))

struct ticket_key {
    uint8_t name[TICKET_NAME_SIZE];
    uint8_t key[32];
};
static_assert(sizeof(struct ticket_key) == TICKET_KEY_FILE_ENTRY, "as in the file");

struct key_table {
    struct ticket_key keys[KEYS_MAX]; /* newest first */
    uint32_t count;
};

/*
 * A mutex, taken once a ticket for the time of a copy: 20 ns beside the 60 us of the handshake.
 * Shards that read without one would need to tell the main thread when they are done with an old
 * table.
 */
struct ticket_keys {
    pthread_mutex_t mutex;
    struct key_table table;
    char *path;
    uint64_t rotate_ms;
    uint64_t rotate_next_ms; /* 0: not set yet */
};

static void key_make(struct ticket_key *key)
{
    random_bytes(key, sizeof(*key));
    key->name[0] = TICKET_FORMAT;
}

static void table_publish(struct ticket_keys *keys, const struct key_table *table)
{
    pthread_mutex_lock(&keys->mutex);
    keys->table = *table;
    pthread_mutex_unlock(&keys->mutex);
}

static int table_read(const char *path, struct key_table *table, char *message, size_t message_size)
{
    struct pem_file file;
    const int result = pem_open(&file, path, message, message_size);
    if (result < 0) {
        return result;
    }
    const size_t size = file.size;
    const bool is_good =
        size > 0 && size <= sizeof(table->keys) && size % TICKET_KEY_FILE_ENTRY == 0;
    memset(table, 0, sizeof(*table));
    if (is_good) {
        memcpy(table->keys, file.text, size);
        table->count = (uint32_t)(size / TICKET_KEY_FILE_ENTRY);
    }
    pem_close(&file);
    for (uint32_t i = 0; i < table->count; i++) {
        table->keys[i].name[0] = TICKET_FORMAT;
    }
    if (!is_good) {
        (void)snprintf(message, message_size,
                       "%s: holds %zu bytes; ticket keys are 1 to %d entries of %d bytes "
                       "(head -c %d /dev/urandom makes one)",
                       path, size, KEYS_MAX, TICKET_KEY_FILE_ENTRY, TICKET_KEY_FILE_ENTRY);
        return -EINVAL;
    }
    return 0;
}

struct ticket_keys *ticket_keys_open(const char *path, uint32_t rotate_s, char *message,
                                     size_t message_size)
{
    struct ticket_keys *keys = calloc(1, sizeof(*keys));
    if (keys && path) {
        keys->path = strdup(path);
    }
    if (!keys || (path && !keys->path)) {
        (void)snprintf(message, message_size, "no memory for the ticket keys");
        free(keys);
        return NULL;
    }
    (void)pthread_mutex_init(&keys->mutex, NULL);
    keys->rotate_ms = (uint64_t)rotate_s * MS_PER_S;
    if (!path) {
        key_make(&keys->table.keys[0]);
        keys->table.count = 1;
    } else if (table_read(path, &keys->table, message, message_size) < 0) {
        ticket_keys_close(keys);
        return NULL;
    }
    return keys;
}

void ticket_keys_close(struct ticket_keys *keys)
{
    if (!keys) {
        return;
    }
    (void)pthread_mutex_destroy(&keys->mutex);
    free(keys->path);
    secret_wipe(keys, sizeof(*keys));
    free(keys);
}

void ticket_keys_rotate(struct ticket_keys *keys, uint64_t now_ms)
{
    if (keys->path || keys->rotate_ms == 0) {
        return;
    }
    if (keys->rotate_next_ms == 0) {
        keys->rotate_next_ms = now_ms + keys->rotate_ms;
    }
    if (now_ms < keys->rotate_next_ms) {
        return;
    }
    keys->rotate_next_ms = now_ms + keys->rotate_ms;
    struct key_table table;
    key_make(&table.keys[0]);
    memcpy(&table.keys[1], &keys->table.keys[0], (KEYS_MAX - 1) * sizeof(table.keys[0]));
    table.count = keys->table.count < KEYS_MAX ? keys->table.count + 1 : KEYS_MAX;
    table_publish(keys, &table);
    secret_wipe(&table, sizeof(table));
}

void ticket_keys_replace(struct ticket_keys *keys, struct ticket_keys *fresh)
{
    ASSERT(keys->path && fresh->path);
    table_publish(keys, &fresh->table);
    ticket_keys_close(fresh);
}

uint32_t ticket_life_s(const struct ticket_keys *keys)
{
    const uint64_t key_life_s = keys->rotate_ms * (KEYS_MAX - 1) / MS_PER_S;
    if (keys->path || key_life_s == 0 || key_life_s > WOLFSSL_SESSION_TIMEOUT) {
        return WOLFSSL_SESSION_TIMEOUT;
    }
    return (uint32_t)key_life_s;
}

/* NULL name: the current key. The mutex is held. */
static uint32_t key_find(const struct ticket_keys *keys, const uint8_t *name)
{
    for (uint32_t i = 0; i < keys->table.count; i++) {
        if (!name || memcmp(keys->table.keys[i].name, name, TICKET_NAME_SIZE) == 0) {
            return i;
        }
    }
    return NONE;
}

/* Copies the key of a ticket (sealing: the current one). 0: the current one, else an earlier one;
 * NONE: not known. */
static uint32_t key_copy(struct ticket_keys *keys, const uint8_t *name, struct ticket_key *out)
{
    pthread_mutex_lock(&keys->mutex);
    const uint32_t found = key_find(keys, name);
    if (found != NONE) {
        *out = keys->table.keys[found];
    }
    pthread_mutex_unlock(&keys->mutex);
    return found;
}

bool ticket_is_known(struct ticket_keys *keys, const uint8_t name[TICKET_NAME_SIZE])
{
    pthread_mutex_lock(&keys->mutex);
    const uint32_t found = key_find(keys, name);
    pthread_mutex_unlock(&keys->mutex);
    return found != NONE;
}

/* The key's name, the IV and the server's name are authenticated with the content. */
static bool ticket_crypt(const struct ticket_key *key, const struct ticket *ticket, bool is_sealing)
{
    uint8_t bound[TICKET_NAME_SIZE + TICKET_IV_SIZE + TICKET_SERVER_NAME_MAX];
    const word32 bound_size =
        (word32)(TICKET_NAME_SIZE + TICKET_IV_SIZE + ticket->server_name.size);
    const word32 size = (word32)ticket->size;
    Aes aes;
    if (wc_AesInit(&aes, NULL, INVALID_DEVID) != 0) {
        return false;
    }
    memcpy(bound, ticket->name, TICKET_NAME_SIZE);
    memcpy(bound + TICKET_NAME_SIZE, ticket->iv, TICKET_IV_SIZE);
    ASSERT(ticket->server_name.size <= TICKET_SERVER_NAME_MAX);
    if (ticket->server_name.size > 0) {
        memcpy(bound + TICKET_NAME_SIZE + TICKET_IV_SIZE, ticket->server_name.data,
               ticket->server_name.size);
    }
    int result = wc_AesGcmSetKey(&aes, key->key, sizeof(key->key));
    if (result == 0 && is_sealing) {
        result = wc_AesGcmEncrypt(&aes, ticket->content, ticket->content, size, ticket->iv,
                                  NONCE_SIZE, ticket->tag, TAG_SIZE, bound, bound_size);
    } else if (result == 0) {
        result = wc_AesGcmDecrypt(&aes, ticket->content, ticket->content, size, ticket->iv,
                                  NONCE_SIZE, ticket->tag, TAG_SIZE, bound, bound_size);
    }
    wc_AesFree(&aes);
    secret_wipe(&aes, sizeof(aes));
    return result == 0;
}

bool ticket_seal(struct ticket_keys *keys, const struct ticket *ticket)
{
    struct ticket_key key;
    const uint32_t found = key_copy(keys, NULL, &key);
    ASSERT(found == 0);
    memcpy(ticket->name, key.name, TICKET_NAME_SIZE);
    memset(ticket->iv, 0, TICKET_IV_SIZE);
    memset(ticket->tag, 0, TICKET_TAG_SIZE);
    random_bytes(ticket->iv, NONCE_SIZE);
    const bool is_sealed = ticket_crypt(&key, ticket, true);
    secret_wipe(&key, sizeof(key));
    return is_sealed;
}

enum ticket_status ticket_open(struct ticket_keys *keys, const struct ticket *ticket)
{
    static const uint8_t unused[TICKET_TAG_SIZE - TAG_SIZE];
    struct ticket_key key;
    const uint32_t found = key_copy(keys, ticket->name, &key);
    if (found == NONE) {
        return TICKET_REFUSED;
    }
    /* The unused half of the tag is not authenticated: it must be what we wrote. */
    const bool is_open = memcmp(ticket->tag + TAG_SIZE, unused, sizeof(unused)) == 0 &&
                         ticket_crypt(&key, ticket, false);
    secret_wipe(&key, sizeof(key));
    if (!is_open) {
        return TICKET_REFUSED;
    }
    return found == 0 ? TICKET_OPENED : TICKET_AGED;
}
