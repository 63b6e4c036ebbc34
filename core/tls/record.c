/*
 * record.c - see record.h.
 */
#include "tls/record.h"

#include "tls/alert.h"
#include "tls/keys.h"
#include "tls/wire.h"

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>

#define EXPLICIT_NONCE_SIZE 8 /* 1.2 GCM */
#define NONCE_SIZE          12
#define TAG_SIZE            16
#define AAD_SIZE_MAX        13

/*
 * The largest body of a record in 1.3. 1.2 would allow 2,048 more than the data, but our suites add
 * 24 at most: whatever is longer holds too much data anyway, and one limit makes one buffer size.
 */
#define BODY_SIZE_MAX (TLS_DATA_SIZE_MAX + 256)
static_assert(TLS_RECORD_SIZE_MAX == RECORD_HEADER_SIZE + BODY_SIZE_MAX,
              "a whole record fits the buffer");
static_assert(TLS_OVERHEAD_MAX >= RECORD_HEADER_SIZE + EXPLICIT_NONCE_SIZE + TAG_SIZE, "1.2 GCM");

/*
 * AES-GCM's confidentiality wants at most 2^24.5 full records under one key (RFC 8446,
 * section 5.5). 1.3 turns the key well before; 1.2 cannot, and stops where its explicit nonces
 * would meet the random one of the handshake's Finished (the handshake refuses one below 2^33).
 */
#define UPDATE_RECORDS  (UINT64_C(1) << 23)
#define RECORDS_MAX_1_2 (UINT64_C(1) << 32)

/* A peer that only keeps us busy is cut off. Java asks for a KeyUpdate with every record that it
 * reads until our answer arrives, hence the wider limit for those. */
#define NOISE_MAX   32
#define UPDATES_MAX 254

enum message_type {
    MESSAGE_HELLO_REQUEST = 0,
    MESSAGE_CLIENT_HELLO = 1,
    MESSAGE_NEW_SESSION_TICKET = 4,
    MESSAGE_KEY_UPDATE = 24,
};
#define MESSAGE_HEADER_SIZE 4

enum alert_level {
    LEVEL_WARNING = 1,
    LEVEL_FATAL = 2
};

/* --- one record's AEAD --- */

/* What goes into the AEAD beside the data. */
struct envelope {
    struct keys_view keys;
    uint8_t nonce[NONCE_SIZE];
    uint8_t aad[AAD_SIZE_MAX];
    uint8_t aad_size;
};

static bool has_explicit_nonce(const struct tls_state *state)
{
    return state->version == TLS_1_2 && state->suite != TLS_CHACHA20_POLY1305;
}

/* record: a whole header, and the explicit nonce where there is one. data_size: no overhead. */
static struct envelope make_envelope(const struct tls_state *state, enum keys_direction direction,
                                     const uint8_t *record, size_t data_size)
{
    uint64_t sequence = direction == KEYS_SEND ? state->send_sequence : state->receive_sequence;
    struct envelope envelope = {.keys = keys_view(state, direction)};
    uint8_t *tail = envelope.nonce + NONCE_SIZE - 8;

    memcpy(envelope.nonce, envelope.keys.iv, envelope.keys.iv_size);
    if (has_explicit_nonce(state)) {
        memcpy(tail, record + RECORD_HEADER_SIZE, EXPLICIT_NONCE_SIZE);
    } else {
        store_be64(tail, load_be64(tail) ^ sequence);
    }
    if (state->version == TLS_1_3) {
        memcpy(envelope.aad, record, RECORD_HEADER_SIZE);
        envelope.aad_size = RECORD_HEADER_SIZE;
    } else {
        store_be64(envelope.aad, sequence);
        memcpy(envelope.aad + 8, record, 3);
        store_be16(envelope.aad + 11, (uint16_t)data_size);
        envelope.aad_size = AAD_SIZE_MAX;
    }
    return envelope;
}

static void set_aes_key(Aes *aes, const struct keys_view *keys)
{
    int result = wc_AesInit(aes, NULL, INVALID_DEVID);

    ASSERT(result == 0);
    result = wc_AesGcmSetKey(aes, keys->key, keys->key_size);
    ASSERT(result == 0);
}

/* Both of wolfCrypt's AEADs work in place; the tag goes behind the data. */
static void aead_seal(uint8_t suite, const struct envelope *envelope, uint8_t *data, size_t size)
{
    uint8_t *tag = data + size;
    int result;

    if (suite == TLS_CHACHA20_POLY1305) {
        result = wc_ChaCha20Poly1305_Encrypt(envelope->keys.key, envelope->nonce, envelope->aad,
                                             envelope->aad_size, data, (word32)size, data, tag);
    } else {
        Aes aes;

        set_aes_key(&aes, &envelope->keys);
        result = wc_AesGcmEncrypt(&aes, data, data, (word32)size, envelope->nonce, NONCE_SIZE, tag,
                                  TAG_SIZE, envelope->aad, envelope->aad_size);
        secret_wipe(&aes, sizeof(aes));
    }
    ASSERT(result == 0);
}

/* False when the tag behind the data is not the right one. */
static bool aead_open(uint8_t suite, const struct envelope *envelope, uint8_t *data, size_t size)
{
    const uint8_t *tag = data + size;
    int result;

    if (suite == TLS_CHACHA20_POLY1305) {
        result = wc_ChaCha20Poly1305_Decrypt(envelope->keys.key, envelope->nonce, envelope->aad,
                                             envelope->aad_size, data, (word32)size, tag, data);
    } else {
        Aes aes;

        set_aes_key(&aes, &envelope->keys);
        result = wc_AesGcmDecrypt(&aes, data, data, (word32)size, envelope->nonce, NONCE_SIZE, tag,
                                  TAG_SIZE, envelope->aad, envelope->aad_size);
        secret_wipe(&aes, sizeof(aes));
    }
    return result == 0;
}

/* --- sealing --- */

size_t tls_headroom(const struct tls_state *state)
{
    return has_explicit_nonce(state) ? RECORD_HEADER_SIZE + EXPLICIT_NONCE_SIZE
                                     : RECORD_HEADER_SIZE;
}

/* Seals what lies at out + tls_headroom; 0 at the sequence number's end. */
static size_t seal_record(struct tls_state *state, enum record_type type, uint8_t *out,
                          size_t data_size)
{
    if (state->send_sequence == UINT64_MAX) {
        return 0;
    }
    size_t headroom = tls_headroom(state);
    uint8_t *data = out + headroom;
    out[0] = (uint8_t)type;
    if (state->version == TLS_1_3) {
        out[0] = RECORD_DATA;
        data[data_size++] = (uint8_t)type;
    }
    out[1] = 3;
    out[2] = 3;
    store_be16(out + 3, (uint16_t)(headroom - RECORD_HEADER_SIZE + data_size + TAG_SIZE));
    if (has_explicit_nonce(state)) {
        store_be64(out + RECORD_HEADER_SIZE, state->send_sequence);
    }
    struct envelope envelope = make_envelope(state, KEYS_SEND, out, data_size);
    aead_seal(state->suite, &envelope, data, data_size);
    state->send_sequence++;
    if (state->version == TLS_1_3 && state->send_sequence >= UPDATE_RECORDS) {
        state->update_due = 1;
    }
    return headroom + data_size + TAG_SIZE;
}

size_t tls_seal(struct tls_state *state, uint8_t *out, size_t data_size)
{
    ASSERT(!state->update_due);
    ASSERT(data_size <= TLS_DATA_SIZE_MAX);
    if (state->send_closed || state->dead) {
        return 0;
    }
    if (state->version == TLS_1_2 && state->send_sequence >= RECORDS_MAX_1_2) {
        return 0;
    }
    return seal_record(state, RECORD_DATA, out, data_size);
}

size_t tls_seal_update(struct tls_state *state, uint8_t *out)
{
    static const uint8_t update[] = {MESSAGE_KEY_UPDATE, 0, 0, 1, 0};
    static const uint8_t decline[] = {LEVEL_WARNING, ALERT_NO_RENEGOTIATION};
    uint8_t *data = out + tls_headroom(state);
    size_t size = 0;

    if (state->send_closed || state->dead) {
        /* Nothing to say any more. */
    } else if (state->version == TLS_1_2) {
        memcpy(data, decline, sizeof(decline));
        size = seal_record(state, RECORD_ALERT, out, sizeof(decline));
    } else {
        memcpy(data, update, sizeof(update));
        size = seal_record(state, RECORD_HANDSHAKE, out, sizeof(update));
        keys_turn(state, KEYS_SEND);
        state->send_sequence = 0;
    }
    state->update_due = 0;
    return size;
}

size_t tls_seal_alert(struct tls_state *state, uint8_t description, uint8_t *out)
{
    if (state->send_closed) {
        return 0;
    }
    bool fatal = description != ALERT_CLOSE_NOTIFY;
    uint8_t *data = out + tls_headroom(state);
    data[0] = fatal ? LEVEL_FATAL : LEVEL_WARNING;
    data[1] = description;
    size_t size = seal_record(state, RECORD_ALERT, out, 2);
    state->send_closed = 1;
    state->update_due = 0;
    if (fatal) {
        state->dead = 1;
    }
    return size;
}

/* --- opening --- */

static enum tls_status refuse(struct tls_state *state, enum tls_alert alert,
                              struct tls_record *record)
{
    state->dead = 1;
    state->update_due = 0;
    record->alert = (uint8_t)alert;
    return TLS_ERROR;
}

static enum tls_status count_noise(struct tls_state *state, struct tls_record *record)
{
    if (state->noise == NOISE_MAX) {
        return refuse(state, ALERT_UNEXPECTED_MESSAGE, record);
    }
    state->noise++;
    return TLS_DATA;
}

static void owe_update(struct tls_state *state)
{
    if (!state->send_closed) {
        state->update_due = 1;
    }
}

static enum tls_status open_data(struct tls_state *state, struct slice data,
                                 struct tls_record *record)
{
    if (data.size == 0) {
        return count_noise(state, record);
    }
    state->noise = 0;
    state->updates = 0;
    record->data = data;
    return TLS_DATA;
}

static enum tls_status open_alert(struct tls_state *state, struct slice data,
                                  struct tls_record *record)
{
    if (data.size != 2) {
        return refuse(state, ALERT_DECODE_ERROR, record);
    }
    uint8_t level = data.data[0];
    uint8_t description = data.data[1];
    if (description == ALERT_CLOSE_NOTIFY) {
        state->receive_closed = 1;
        return TLS_CLOSED;
    }
    /* 1.3 knows errors by their description alone (RFC 8446, section 6). */
    if (state->version == TLS_1_2) {
        if (level != LEVEL_WARNING && level != LEVEL_FATAL) {
            return refuse(state, ALERT_ILLEGAL_PARAMETER, record);
        }
        if (level == LEVEL_WARNING) {
            return count_noise(state, record);
        }
    } else if (description == ALERT_USER_CANCELED) {
        return count_noise(state, record);
    }
    state->receive_closed = 1;
    state->send_closed = 1;
    state->dead = 1;
    state->update_due = 0;
    record->alert = description;
    return TLS_CLOSED;
}

static enum tls_status open_update(struct tls_state *state, uint8_t request,
                                   struct tls_record *record)
{
    if (request > 1) {
        return refuse(state, ALERT_ILLEGAL_PARAMETER, record);
    }
    if (state->updates == UPDATES_MAX) {
        return refuse(state, ALERT_UNEXPECTED_MESSAGE, record);
    }
    state->updates++;
    keys_turn(state, KEYS_RECEIVE);
    state->receive_sequence = 0;
    if (request == 1) {
        owe_update(state);
    }
    return TLS_DATA;
}

/* Post-handshake authentication is never offered, so this is all that either end may send. */
static bool is_expected(const struct tls_state *state, uint8_t type)
{
    if (state->version == TLS_1_3) {
        return type == MESSAGE_KEY_UPDATE || (type == MESSAGE_NEW_SESSION_TICKET && state->client);
    }
    return type == (state->client ? MESSAGE_HELLO_REQUEST : MESSAGE_CLIENT_HELLO);
}

/* A message's header is whole: TLS_DATA when its body, if any, may come. */
static enum tls_status begin_message(struct tls_state *state, struct tls_record *record)
{
    uint8_t type = state->fragment[0];
    uint32_t left = load_be24(state->fragment + 1);

    if (type == MESSAGE_KEY_UPDATE && left != 1) {
        return refuse(state, ALERT_DECODE_ERROR, record);
    }
    if (type == MESSAGE_HELLO_REQUEST && left != 0) {
        return refuse(state, ALERT_DECODE_ERROR, record);
    }
    if (state->version == TLS_1_2) {
        if (state->renegotiated) {
            return refuse(state, ALERT_HANDSHAKE_FAILURE, record);
        }
        state->renegotiated = 1;
        owe_update(state);
    }
    if (left == 0) {
        state->fragment_size = 0;
    }
    return TLS_DATA;
}

/*
 * Messages may be split over records and share them. The header is gathered in the state; the body
 * of a KeyUpdate is one byte, and the body of anything else is skipped, its size in the header
 * counted down.
 */
static enum tls_status open_handshake(struct tls_state *state, struct slice data,
                                      struct tls_record *record)
{
    size_t i = 0;

    while (i < data.size) {
        if (state->fragment_size < MESSAGE_HEADER_SIZE) {
            if (state->fragment_size == 0 && !is_expected(state, data.data[i])) {
                return refuse(state, ALERT_UNEXPECTED_MESSAGE, record);
            }
            state->fragment[state->fragment_size++] = data.data[i++];
            if (state->fragment_size == MESSAGE_HEADER_SIZE &&
                begin_message(state, record) == TLS_ERROR) {
                return TLS_ERROR;
            }
        } else if (state->fragment[0] == MESSAGE_KEY_UPDATE) {
            state->fragment_size = 0;
            /* What follows would be under the old key (RFC 8446, section 5.1). */
            if (i + 1 != data.size) {
                return refuse(state, ALERT_UNEXPECTED_MESSAGE, record);
            }
            return open_update(state, data.data[i], record);
        } else {
            uint32_t left = load_be24(state->fragment + 1);
            size_t skipped = data.size - i < left ? data.size - i : left;

            i += skipped;
            left -= (uint32_t)skipped;
            store_be24(state->fragment + 1, left);
            if (left == 0) {
                state->fragment_size = 0;
            }
        }
    }
    return count_noise(state, record);
}

static enum tls_status open_content(struct tls_state *state, uint8_t type, struct slice data,
                                    struct tls_record *record)
{
    /* Only handshake messages may be split, and nothing may come between the parts. */
    if (state->fragment_size > 0 && type == RECORD_DATA) {
        return refuse(state, ALERT_UNEXPECTED_MESSAGE, record);
    }
    if (type == RECORD_DATA) {
        return open_data(state, data, record);
    }
    if (data.size == 0) {
        return refuse(state, ALERT_UNEXPECTED_MESSAGE, record);
    }
    if (type == RECORD_ALERT) {
        return open_alert(state, data, record);
    }
    if (type == RECORD_HANDSHAKE) {
        return open_handshake(state, data, record);
    }
    return refuse(state, ALERT_UNEXPECTED_MESSAGE, record);
}

/* Everything that a header alone gives away, so that nobody buffers a body in vain. */
static enum tls_status check_header(struct tls_state *state, const uint8_t *header,
                                    struct tls_record *record)
{
    uint8_t type = header[0];

    if (state->version == TLS_1_3) {
        /* In clear nothing may come any more; the version is only for middleboxes. */
        if (type != RECORD_DATA) {
            return refuse(state, ALERT_UNEXPECTED_MESSAGE, record);
        }
    } else {
        if (type < RECORD_ALERT || type > RECORD_DATA) {
            return refuse(state, ALERT_UNEXPECTED_MESSAGE, record);
        }
        if (header[1] != 3 || header[2] != 3) {
            return refuse(state, ALERT_PROTOCOL_VERSION, record);
        }
    }
    if (load_be16(header + 3) > BODY_SIZE_MAX) {
        return refuse(state, ALERT_RECORD_OVERFLOW, record);
    }
    if (state->receive_sequence == UINT64_MAX) {
        return refuse(state, ALERT_INTERNAL_ERROR, record);
    }
    return TLS_DATA;
}

/* Takes the padding and the type off an inner plaintext; returns 0, which is no type, when it is
 * all padding. */
static uint8_t take_inner_type(struct slice *data)
{
    while (data->size > 0) {
        data->size--;
        if (data->data[data->size] != 0) {
            return data->data[data->size];
        }
    }
    return 0;
}

enum tls_status tls_open(struct tls_state *state, uint8_t *input, size_t size,
                         struct tls_record *record)
{
    *record = (struct tls_record){.wanted = RECORD_HEADER_SIZE};
    if (state->receive_closed) {
        return TLS_CLOSED;
    }
    if (state->dead) {
        return refuse(state, ALERT_INTERNAL_ERROR, record);
    }
    if (size < RECORD_HEADER_SIZE) {
        return TLS_MORE;
    }
    if (check_header(state, input, record) == TLS_ERROR) {
        return TLS_ERROR;
    }
    size_t record_size = RECORD_HEADER_SIZE + load_be16(input + 3);
    record->wanted = record_size;
    if (size < record_size) {
        return TLS_MORE;
    }
    size_t headroom = tls_headroom(state);
    if (record_size < headroom + TAG_SIZE) {
        return refuse(state, ALERT_BAD_RECORD_MAC, record);
    }
    struct slice data = slice_from(input + headroom, record_size - headroom - TAG_SIZE);
    struct envelope envelope = make_envelope(state, KEYS_RECEIVE, input, data.size);
    if (!aead_open(state->suite, &envelope, input + headroom, data.size)) {
        return refuse(state, ALERT_BAD_RECORD_MAC, record);
    }
    state->receive_sequence++;
    uint8_t type = input[0];
    if (state->version == TLS_1_3) {
        /* One more than the data: the inner type (RFC 8446, section 5.4). */
        if (data.size > TLS_DATA_SIZE_MAX + 1) {
            return refuse(state, ALERT_RECORD_OVERFLOW, record);
        }
        type = take_inner_type(&data);
    }
    if (data.size > TLS_DATA_SIZE_MAX) {
        return refuse(state, ALERT_RECORD_OVERFLOW, record);
    }
    record->consumed = record_size;
    return open_content(state, type, data, record);
}
