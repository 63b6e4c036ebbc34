/*
 * record.h - the TLS record layer after the handshake (RFC 8446, section 5; RFC 5246, section 6).
 *
 * One connection is one block of plain numbers, no library object: keys, IVs, sequence numbers and
 * a few bytes of state. Works in place, allocates nothing, sets its AES key schedule per record (43
 * ns with word32 GCM). Same code for the server and for the load tool's clients. AEAD suites only.
 */
#pragma once

#include "base/bytes.h"

enum tls_version {
    TLS_1_2,
    TLS_1_3
};
enum tls_suite {
    TLS_AES_128_GCM,
    TLS_AES_256_GCM,
    TLS_CHACHA20_POLY1305
};

/* The sizes in which states come: a pool for each. */
enum tls_class {
    TLS_CLASS_1_2,         /* 112 bytes: any suite */
    TLS_CLASS_1_3_AES_128, /* 144 */
    TLS_CLASS_1_3_CHACHA,  /* 176 */
    TLS_CLASS_1_3_AES_256, /* 208 */
    TLS_CLASSES
};
#define TLS_STATE_SIZE_MAX 208

/*
 * The head of a state. Behind it lie the keys and IVs of both directions, then, in 1.3, the secrets
 * that only a KeyUpdate needs: sealing and opening touch the first 80 (AES-128) or 112 bytes.
 * Fields are record.c's own, others use the functions.
 */
struct tls_state {
    uint8_t suite : 2;
    uint8_t version : 1;
    uint8_t receive_closed : 1; /* close_notify came */
    uint8_t send_closed : 1;    /* close_notify was sealed */
    uint8_t dead : 1;           /* a fatal alert was sent, is due or came: nothing more is opened */
    uint8_t update_due : 1;     /* tls_seal_update must be called before the next tls_seal */
    uint8_t renegotiated : 1;   /* 1.2: the peer's one renegotiation request was declined */
    uint8_t noise;              /* records without data since the last one with data */
    uint8_t updates;            /* KeyUpdates received since the last data record */
    uint8_t fragment_size : 3;  /* bytes in fragment; 0: between handshake messages */
    uint8_t client : 1;         /* ours is the client's end */
    uint8_t fragment[4];        /* a handshake message's type and the size still to come */
    uint64_t send_sequence;
    uint64_t receive_sequence;
};
static_assert(sizeof(struct tls_state) == 24, "the head of every TLS state");

/* What the handshake hands over. Secrets: the caller wipes it. */
struct tls_keys {
    enum tls_version version;
    enum tls_suite suite;
    bool client; /* ours is the client's end: session tickets are skipped, a server refuses them */
    uint64_t send_sequence;
    uint64_t receive_sequence;
    uint8_t send_secret[48]; /* 1.3: application traffic secrets; 32 or 48 bytes used */
    uint8_t receive_secret[48];
    uint8_t send_key[32];
    uint8_t receive_key[32];
    uint8_t send_iv[12]; /* 1.2 GCM: 4 bytes used */
    uint8_t receive_iv[12];
};

MUST_CHECK enum tls_class tls_class_of(enum tls_version version, enum tls_suite suite);
MUST_CHECK uint32_t tls_class_size(enum tls_class class);

/* state: tls_class_size bytes, 8-byte aligned. */
void tls_state_init(struct tls_state *state, const struct tls_keys *keys);
void tls_state_wipe(struct tls_state *state);

enum tls_status {
    TLS_DATA,   /* record.data holds application data, possibly none */
    TLS_MORE,   /* the record is not complete; nothing was consumed */
    TLS_CLOSED, /* close_notify or a fatal alert came (record.alert: its description); nothing more
                   is opened. After a fatal alert nothing can be sealed either. */
    TLS_ERROR,  /* the peer broke the protocol; record.alert is the alert to send */
};

struct tls_record {
    size_t consumed;   /* bytes of input taken by this record, header included */
    size_t wanted;     /* TLS_MORE: bytes that the whole record needs (5: header unknown yet) */
    struct slice data; /* in place, inside the input */
    uint8_t alert;
};

/* Opens the first record of input, in place. Control records (KeyUpdate, warnings, padding only)
 * are handled inside and come back as TLS_DATA with no data; they may set tls_update_due. */
MUST_CHECK enum tls_status tls_open(struct tls_state *state, uint8_t *input, size_t size,
                                    struct tls_record *record);

/* The largest piece of data in one record (RFC 8446, section 5.1), and of a whole sealed record. */
#define TLS_DATA_SIZE_MAX   16384
#define TLS_RECORD_SIZE_MAX (5 + TLS_DATA_SIZE_MAX + 256)
#define TLS_OVERHEAD_MAX    32 /* header, explicit nonce, type and tag of one record we seal */

/* Bytes before the data in a sealed record: 5, or 13 for 1.2 GCM. */
MUST_CHECK size_t tls_headroom(const struct tls_state *state);

/*
 * Seals application data in place: the caller put data_size bytes at out + tls_headroom, and the
 * room of out is data_size + TLS_OVERHEAD_MAX at least. Returns the record's size, or 0 when
 * nothing may be sent any more: the keys are used up (1.2 at its record limit, or a sequence
 * number's end; an alert still goes out), or the state is closed for sending or dead. Asserts
 * !tls_update_due.
 */
MUST_CHECK size_t tls_seal(struct tls_state *state, uint8_t *out, size_t data_size);

/* True when tls_seal_update must be called before the next tls_seal: the peer asked, or the AEAD
 * limit (RFC 8446, section 5.5; own limit 2^23 records) is near; in 1.2 the peer asked for a
 * renegotiation, which is declined once. */
static inline bool tls_update_due(const struct tls_state *state)
{
    return state->update_due;
}

/* Writes one KeyUpdate (update_not_requested) record under the old key and turns the key; in 1.2
 * the warning no_renegotiation. Returns its size (at most TLS_OVERHEAD_MAX + 5), 0 when nothing may
 * be sent any more. Clears tls_update_due. */
MUST_CHECK size_t tls_seal_update(struct tls_state *state, uint8_t *out);

/* Writes one alert record (0: close_notify, level warning; anything else fatal, the state's end),
 * at most TLS_OVERHEAD_MAX + 2 bytes; returns its size, 0 when nothing may be sent any more. */
MUST_CHECK size_t tls_seal_alert(struct tls_state *state, uint8_t description, uint8_t *out);

/* Prefetches what sealing and opening touch: for loops over many connections, about four ahead. */
void tls_state_prefetch(const struct tls_state *state);
