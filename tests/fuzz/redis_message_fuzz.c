/*
 * Goal: no bytes from Redis break redis_message_read; its parts lie within the bytes, in order, and
 * end with them; what cannot be a header is payload; and any payload comes back the same behind the
 * header that is written for a client's, whatever it looks like.
 */
#include "broker/redis_format.h"

#include <stdlib.h>

static void check_read(struct slice bytes)
{
    struct redis_message message;

    redis_message_read(bytes, &message);
    const size_t parts = message.user.size + message.conn_id.size + message.payload.size;
    ASSERT(parts <= bytes.size);
    ASSERT(message.payload.size == 0 ||
           message.payload.data + message.payload.size == bytes.data + bytes.size);
    ASSERT(memchr(message.epoch, '\0', sizeof(message.epoch)) != NULL);
    ASSERT((message.offset == 0) == (message.epoch[0] == '\0'));
    ASSERT(message.mark == 0 || message.mark == 't' || message.mark == 'b');
    if (bytes.size < 5 || memcmp(bytes.data, "__p1:", 5) != 0) {
        ASSERT(slice_equal(message.payload, bytes));
    }
}

/* The first bytes of the input say how long user and connection are. */
static void check_written(struct slice bytes)
{
    struct redis_message message = {.mark = "tb"[bytes.data[0] & 1]};
    struct redis_message again;
    char header[REDIS_HEADER_SIZE_MAX];
    struct slice rest = slice_from(bytes.data + 2, bytes.size - 2);

    message.user = slice_from(rest.data, bytes.data[0] % (rest.size + 1));
    message.conn_id = slice_from(rest.data + message.user.size,
                                 bytes.data[1] % (rest.size - message.user.size + 1));
    const size_t size = redis_header_write(header, &message);
    uint8_t *whole = malloc(size + rest.size);
    ASSERT(whole);
    memcpy(whole, header, size);
    memcpy(whole + size, rest.data, rest.size);
    redis_message_read(slice_from(whole, size + rest.size), &again);
    ASSERT(again.offset == 0);
    ASSERT(again.mark == message.mark);
    ASSERT(slice_equal(again.user, message.user));
    ASSERT(slice_equal(again.conn_id, message.conn_id));
    ASSERT(again.payload.size == rest.size - message.user.size - message.conn_id.size);
    ASSERT(again.payload.data + again.payload.size == whole + size + rest.size);
    free(whole);
}

static void check_address(struct slice bytes)
{
    struct redis_address address;
    char text[512];

    if (bytes.size < sizeof(text)) {
        memcpy(text, bytes.data, bytes.size);
        text[bytes.size] = '\0';
        if (redis_address_read(text, &address)) {
            ASSERT(strlen(address.host) > 0);
            ASSERT((address.port == 0) == (text[0] == '/'));
        }
    }
}

/* Without its backslashes before bytes that have a meaning, it is the text again. */
static void check_glob(struct slice bytes)
{
    uint8_t *out = malloc(2 * bytes.size + 1);
    size_t at = 0;

    ASSERT(out);
    const size_t size = redis_glob_escape(bytes, out);
    ASSERT(size <= 2 * bytes.size);
    for (size_t i = 0; i < bytes.size; i++) {
        at += out[at] == '\\';
        ASSERT(at < size);
        ASSERT(out[at] == bytes.data[i]);
        at++;
    }
    ASSERT(at == size);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice bytes = slice_from(data, size);

    check_read(bytes);
    ASSERT(redis_slot(bytes) < REDIS_SLOTS);
    if (size > 0) {
        check_address(bytes);
        check_glob(bytes);
    }
    if (size >= 2) {
        check_written(bytes);
    }
    return 0;
}
