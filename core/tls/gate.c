/*
 * gate.c - see gate.h. The records are scanned until the message is whole, then it is joined and
 * walked (hello.c). Both judge strictly from the front, so that the verdict does not depend on how
 * the bytes arrive.
 */
#include "tls/gate.h"

#include "tls/alert.h"
#include "tls/hello.h"
#include "tls/wire.h"

#define RECORD_BODY_MAX     16384
#define MESSAGE_HEADER_SIZE 4

static_assert(HELLO_SIZE_MAX <= RECORD_BODY_MAX, "joined, the hello is one record");
static_assert(HELLO_INPUT_MAX >= HELLO_SIZE_MAX + RECORD_HEADER_SIZE, "the largest hello fits");

enum message_type {
    MESSAGE_CLIENT_HELLO = 1
};

static enum hello_status refuse(struct hello *hello, uint8_t alert)
{
    hello->alert = alert;
    return HELLO_REFUSED;
}

/* How far the scan has come. */
struct scan {
    size_t offset;       /* of the record at hand */
    size_t gathered;     /* bytes of the message in the records before it */
    size_t message_size; /* header included; 0: not known yet */
    uint8_t header[MESSAGE_HEADER_SIZE];
};

/* Judges the record at hand by its header; HELLO_WHOLE: *body_size is its body's, to come. */
static enum hello_status scan_header(const struct scan *scan, struct slice rest,
                                     struct hello *hello, size_t *body_size)
{
    if (scan->offset + RECORD_HEADER_SIZE > HELLO_INPUT_MAX) {
        return refuse(hello, ALERT_DECODE_ERROR);
    }
    if (rest.size == 0) {
        return HELLO_MORE;
    }
    uint8_t type = rest.data[0];
    if (scan->offset == 0 && type >= 'A' && type <= 'Z') {
        return HELLO_PLAIN_HTTP;
    }
    if (type == RECORD_ALERT) {
        return HELLO_PEER_ALERT;
    }
    if (type != RECORD_HANDSHAKE) {
        return refuse(hello, ALERT_UNEXPECTED_MESSAGE);
    }
    if (rest.size < RECORD_HEADER_SIZE) {
        return HELLO_MORE;
    }
    *body_size = load_be16(rest.data + 3);
    if (*body_size == 0) {
        return refuse(hello, ALERT_UNEXPECTED_MESSAGE);
    }
    if (*body_size > RECORD_BODY_MAX) {
        return refuse(hello, ALERT_RECORD_OVERFLOW);
    }
    if (scan->offset + RECORD_HEADER_SIZE + *body_size > HELLO_INPUT_MAX) {
        return refuse(hello, ALERT_DECODE_ERROR);
    }
    return HELLO_WHOLE;
}

/* Judges as much of a record's body as is here; HELLO_WHOLE: nothing wrong with it. */
static enum hello_status scan_body(struct scan *scan, struct slice present, size_t body_size,
                                   struct hello *hello)
{
    for (size_t i = 0; i < present.size && scan->gathered + i < MESSAGE_HEADER_SIZE; i++) {
        scan->header[scan->gathered + i] = present.data[i];
    }
    if (scan->gathered + present.size >= 1 && scan->header[0] != MESSAGE_CLIENT_HELLO) {
        return refuse(hello, ALERT_UNEXPECTED_MESSAGE);
    }
    if (scan->gathered + present.size >= MESSAGE_HEADER_SIZE) {
        scan->message_size = MESSAGE_HEADER_SIZE + load_be24(scan->header + 1);
        if (scan->message_size > HELLO_SIZE_MAX) {
            return refuse(hello, ALERT_DECODE_ERROR);
        }
        /* A hello ends with its record (RFC 8446, section 5.1), and in 1.2 nothing can follow yet.
         */
        if (scan->gathered + body_size > scan->message_size) {
            return refuse(hello, ALERT_UNEXPECTED_MESSAGE);
        }
    }
    return present.size == body_size ? HELLO_WHOLE : HELLO_MORE;
}

static enum hello_status scan_records(struct slice input, struct hello *hello)
{
    struct scan scan = {0};

    while (scan.message_size == 0 || scan.gathered < scan.message_size) {
        struct slice rest = slice_from(input.data + scan.offset, input.size - scan.offset);
        size_t body_size = 0;
        enum hello_status status = scan_header(&scan, rest, hello, &body_size);
        if (status != HELLO_WHOLE) {
            return status;
        }
        struct slice present =
            slice_from(rest.data + RECORD_HEADER_SIZE, rest.size - RECORD_HEADER_SIZE);
        if (present.size > body_size) {
            present.size = body_size;
        }
        status = scan_body(&scan, present, body_size, hello);
        if (status != HELLO_WHOLE) {
            return status;
        }
        scan.offset += RECORD_HEADER_SIZE + body_size;
        scan.gathered += body_size;
    }
    hello->consumed = scan.offset;
    hello->message_size = scan.message_size;
    return HELLO_WHOLE;
}

static void join_records(const uint8_t *input, size_t size, uint8_t *message)
{
    size_t offset = 0;

    while (offset < size) {
        size_t body_size = load_be16(input + offset + 3);

        memcpy(message, input + offset + RECORD_HEADER_SIZE, body_size);
        message += body_size;
        offset += RECORD_HEADER_SIZE + body_size;
    }
}

enum hello_status hello_read(const uint8_t *input, size_t size, struct hello *hello,
                             uint8_t *joined)
{
    memset(hello, 0, sizeof(*hello)); /* gaps too, so that two of them can be compared */
    enum hello_status status = scan_records(slice_from(input, size), hello);
    if (status != HELLO_WHOLE) {
        return status;
    }
    uint8_t scratch[RECORD_HEADER_SIZE + HELLO_SIZE_MAX];
    uint8_t *record = joined != NULL ? joined : scratch;
    uint8_t *message = record + RECORD_HEADER_SIZE;
    record[0] = RECORD_HANDSHAKE;
    record[1] = 3;
    record[2] = 1;
    store_be16(record + 3, (uint16_t)hello->message_size);
    join_records(input, hello->consumed, message);

    uint8_t alert = hello_walk(hello, slice_from(message + MESSAGE_HEADER_SIZE,
                                                 hello->message_size - MESSAGE_HEADER_SIZE));
    return alert == 0 ? HELLO_WHOLE : refuse(hello, alert);
}

void plain_alert(uint8_t description, uint8_t out[PLAIN_ALERT_SIZE])
{
    static const uint8_t fatal[PLAIN_ALERT_SIZE] = {RECORD_ALERT, 3, 3, 0, 2, 2, 0};

    memcpy(out, fatal, PLAIN_ALERT_SIZE);
    out[PLAIN_ALERT_SIZE - 1] = description;
}
