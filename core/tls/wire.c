#include "tls/wire.h"

#include "tls/alert.h"

#define BODY_SIZE_MAX          16384
#define SEALED_EXTRA_MAX       256
#define HANDSHAKE_SERVER_HELLO 2
#define EXTENSION_KEY_SHARE    51
#define RANDOM_SIZE            32
#define VERSION_SIZE           2

const uint8_t change_cipher_record[CHANGE_CIPHER_SIZE] = {RECORD_CHANGE_CIPHER, 3, 3, 0, 1, 1};

/* The random of a ServerHello that is a HelloRetryRequest (RFC 8446, section 4.1.3). */
static const uint8_t retry_random[RANDOM_SIZE] = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

/* A message that is taken apart from the front. */
struct cursor {
    struct slice rest;
    bool failed; /* it ended too early */
};

static struct slice take(struct cursor *cursor, size_t size)
{
    if (size > cursor->rest.size) {
        cursor->failed = true;
        size = cursor->rest.size;
    }
    const struct slice part = slice_from(cursor->rest.data, size);
    if (size > 0) {
        cursor->rest = slice_from(cursor->rest.data + size, cursor->rest.size - size);
    }
    return part;
}

static uint8_t take_u8(struct cursor *cursor)
{
    const struct slice part = take(cursor, 1);
    return part.size == 1 ? part.data[0] : 0;
}

static uint16_t take_u16(struct cursor *cursor)
{
    const struct slice part = take(cursor, 2);
    return part.size == 2 ? load_be16(part.data) : 0;
}

/* The content of an extension; size 0 when it is not there. */
static struct slice find_extension(struct slice extensions, uint16_t wanted)
{
    struct cursor cursor = {.rest = extensions};
    while (cursor.rest.size > 0 && !cursor.failed) {
        const uint16_t type = take_u16(&cursor);
        const struct slice content = take(&cursor, take_u16(&cursor));
        if (type == wanted && !cursor.failed) {
            return content;
        }
    }
    return slice_from(NULL, 0);
}

/* message: a ServerHello of our own library, behind the handshake header. */
static bool server_hello_sent(struct wire *wire, struct slice message)
{
    struct cursor cursor = {.rest = message};
    (void)take(&cursor, VERSION_SIZE);
    const struct slice random = take(&cursor, RANDOM_SIZE);
    const struct slice session_id = take(&cursor, take_u8(&cursor));
    wire->suite = take_u16(&cursor);
    (void)take_u8(&cursor); /* compression */
    const struct slice extensions = take(&cursor, take_u16(&cursor));
    wire->is_tls_1_3 = wire->suite >> 8 == 0x13;
    if (slice_equal(random, slice_from(retry_random, RANDOM_SIZE))) {
        const struct slice share = find_extension(extensions, EXTENSION_KEY_SHARE);
        wire->retry_sent = true;
        wire->group = share.size == 2 ? load_be16(share.data) : 0;
    } else {
        wire->hello_sent = true;
    }
    if (!wire->is_tls_1_3 || session_id.size == 0 || wire->change_added) {
        return false;
    }
    wire->change_added = true;
    return true;
}

size_t wire_frame(struct slice input, uint8_t *alert)
{
    *alert = 0;
    if (input.size < RECORD_HEADER_SIZE) {
        return 0;
    }
    const uint8_t type = input.data[0];
    const size_t size = load_be16(input.data + 3);
    const size_t size_max = BODY_SIZE_MAX + (type == RECORD_DATA ? SEALED_EXTRA_MAX : 0);
    if (type < RECORD_CHANGE_CIPHER || type > RECORD_DATA ||
        (type == RECORD_HANDSHAKE && size == 0)) {
        *alert = ALERT_UNEXPECTED_MESSAGE;
    } else if (size > size_max) {
        *alert = ALERT_RECORD_OVERFLOW;
    }
    return *alert == 0 && input.size >= RECORD_HEADER_SIZE + size ? RECORD_HEADER_SIZE + size : 0;
}

bool wire_sent(struct wire *wire, struct slice record)
{
    ASSERT(record.size >= RECORD_HEADER_SIZE);
    const struct slice body =
        slice_from(record.data + RECORD_HEADER_SIZE, record.size - RECORD_HEADER_SIZE);
    if (record.data[0] == RECORD_CHANGE_CIPHER) {
        wire->change_sent = true;
    } else if (record.data[0] == RECORD_HANDSHAKE && wire->change_sent) {
        if (!wire->nonce_seen && body.size >= sizeof(uint64_t)) {
            wire->nonce = load_be64(body.data);
            wire->nonce_seen = true;
        }
    } else if (record.data[0] == RECORD_HANDSHAKE && body.size >= 4 &&
               body.data[0] == HANDSHAKE_SERVER_HELLO) {
        return server_hello_sent(wire, slice_from(body.data + 4, body.size - 4));
    }
    return false;
}

uint8_t wire_second_hello(const struct wire *wire, struct slice message)
{
    struct cursor cursor = {.rest = message};
    (void)take(&cursor, 4 + VERSION_SIZE + RANDOM_SIZE);
    (void)take(&cursor, take_u8(&cursor));  /* session id */
    (void)take(&cursor, take_u16(&cursor)); /* suites */
    (void)take(&cursor, take_u8(&cursor));  /* compressions */
    const struct slice extensions = take(&cursor, take_u16(&cursor));
    if (cursor.failed) {
        return ALERT_DECODE_ERROR;
    }
    struct cursor shares = {.rest = find_extension(extensions, EXTENSION_KEY_SHARE)};
    const uint16_t shares_size = take_u16(&shares);
    const uint16_t group = take_u16(&shares);
    const struct slice share = take(&shares, take_u16(&shares));
    const bool is_alone =
        !shares.failed && shares.rest.size == 0 && share.size > 0 && shares_size == share.size + 4;
    return is_alone && group == wire->group ? 0 : ALERT_ILLEGAL_PARAMETER;
}
