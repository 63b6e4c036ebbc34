#include "tls/early.h"

#include "tls/capture.h"

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>

#define TAG_SIZE                16
#define IV_SIZE                 12
#define SUITE_AES_128_GCM       0x1301
#define SUITE_CHACHA20_POLY1305 0x1303

struct trial {
    uint8_t key[32];
    uint8_t iv[IV_SIZE]; /* the nonce too: the sequence number is 0 */
    Aes aes;
};

static bool opens(struct trial *trial, uint16_t suite, struct slice record, uint8_t *scratch)
{
    const uint8_t *sealed = record.data + RECORD_HEADER_SIZE;
    const word32 size = (word32)(record.size - RECORD_HEADER_SIZE - TAG_SIZE);
    if (suite == SUITE_CHACHA20_POLY1305) {
        return wc_ChaCha20Poly1305_Decrypt(trial->key, trial->iv, record.data, RECORD_HEADER_SIZE,
                                           sealed, size, sealed + size, scratch) == 0;
    }
    if (wc_AesInit(&trial->aes, NULL, INVALID_DEVID) != 0) {
        return false;
    }
    const bool ok =
        wc_AesGcmSetKey(&trial->aes, trial->key, suite == SUITE_AES_128_GCM ? 16 : 32) == 0 &&
        wc_AesGcmDecrypt(&trial->aes, scratch, sealed, size, trial->iv, IV_SIZE, sealed + size,
                         TAG_SIZE, record.data, RECORD_HEADER_SIZE) == 0;
    wc_AesFree(&trial->aes);
    return ok;
}

bool early_is_handshake(struct slice secret, uint16_t suite, struct slice record, uint8_t *scratch)
{
    const size_t size_min = RECORD_HEADER_SIZE + TAG_SIZE + 1;
    struct trial trial;
    if (secret.size == 0 || record.size < size_min ||
        record.size > RECORD_HEADER_SIZE + EARLY_SCRATCH_SIZE) {
        return false;
    }
    const bool is_open =
        capture_expand(secret, "key", trial.key, suite == SUITE_AES_128_GCM ? 16 : 32) &&
        capture_expand(secret, "iv", trial.iv, IV_SIZE) && opens(&trial, suite, record, scratch);
    secret_wipe(&trial, sizeof(trial));
    secret_wipe(scratch, record.size - RECORD_HEADER_SIZE);
    return is_open;
}
