#include "broker/redis_format.h"

#include <stdio.h>
#include <stdlib.h>

#define MAGIC "__p1:"

/* --- messages --------------------------------------------------------------------------------- */

/* What is left to read. */
struct cursor {
    struct slice rest;
    bool failed;
};

static struct slice take(struct cursor *cursor, size_t size)
{
    const struct slice taken = slice_from(cursor->rest.data, size);

    if (cursor->failed || size > cursor->rest.size) {
        cursor->failed = true;
        return (struct slice){0};
    }
    cursor->rest = slice_from(cursor->rest.data + size, cursor->rest.size - size);
    return taken;
}

/* Up to the next ':' or '_', which stays. A header has neither within its fields. */
static struct slice take_field(struct cursor *cursor)
{
    size_t size = 0;

    while (size < cursor->rest.size && cursor->rest.data[size] != ':' &&
           cursor->rest.data[size] != '_') {
        size++;
    }
    return take(cursor, size);
}

static void expect(struct cursor *cursor, const char *text)
{
    if (!slice_equal(take(cursor, strlen(text)), slice_text(text))) {
        cursor->failed = true;
    }
}

static bool is_colon_next(const struct cursor *cursor)
{
    return cursor->rest.size > 0 && cursor->rest.data[0] == ':';
}

static uint64_t take_number(struct cursor *cursor)
{
    uint64_t number = 0;

    if (!redis_number_read(take_field(cursor), &number)) {
        cursor->failed = true;
    }
    return number;
}

static void take_epoch(struct cursor *cursor, struct redis_message *message)
{
    const struct slice epoch = take_field(cursor);

    if (epoch.size > BROKER_EPOCH_SIZE_MAX || (epoch.size == 0) != (message->offset == 0)) {
        cursor->failed = true;
        return;
    }
    for (size_t i = 0; i < epoch.size; i++) {
        if (epoch.data[i] <= ' ' || epoch.data[i] > '~') {
            cursor->failed = true; /* it is a C string for us, and shown to clients */
            return;
        }
        message->epoch[i] = (char)epoch.data[i];
    }
}

static void take_mark(struct cursor *cursor, struct redis_message *message)
{
    const struct slice mark = take_field(cursor);

    if (mark.size == 1 && (mark.data[0] == 't' || mark.data[0] == 'b')) {
        message->mark = (char)mark.data[0];
    } else if (mark.size > 0) {
        cursor->failed = true;
    }
}

static bool read_header(struct slice bytes, struct redis_message *message)
{
    struct cursor cursor = {.rest = bytes};
    uint64_t user_size = 0;
    uint64_t conn_size = 0;

    expect(&cursor, MAGIC);
    message->offset = take_number(&cursor);
    expect(&cursor, ":");
    take_epoch(&cursor, message);
    if (is_colon_next(&cursor)) {
        expect(&cursor, ":");
        take_mark(&cursor, message);
        expect(&cursor, ":");
        user_size = take_number(&cursor);
        expect(&cursor, ":");
        conn_size = take_number(&cursor);
    }
    expect(&cursor, "__");
    message->user = take(&cursor, user_size);
    message->conn_id = take(&cursor, conn_size);
    message->payload = cursor.rest;
    return !cursor.failed;
}

void redis_message_read(struct slice bytes, struct redis_message *message)
{
    *message = (struct redis_message){0};
    if (!read_header(bytes, message)) {
        *message = (struct redis_message){.payload = bytes};
    }
}

size_t redis_header_write(char out[REDIS_HEADER_SIZE_MAX], const struct redis_message *message)
{
    const char mark[2] = {message->mark, '\0'};
    const int size = snprintf(out, REDIS_HEADER_SIZE_MAX, MAGIC "0::%s:%zu:%zu__", mark,
                              message->user.size, message->conn_id.size);

    ASSERT(size > 0);
    ASSERT(size < REDIS_HEADER_SIZE_MAX);
    return (size_t)size;
}

/* --- numbers, patterns, slots ----------------------------------------------------------------- */

bool redis_number_read(struct slice digits, uint64_t *number)
{
    uint64_t value = 0;

    if (digits.size == 0 || digits.size > 19) {
        return false;
    }
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(digits.data[i] - '0');
    }
    *number = value;
    return value <= INT64_MAX;
}

size_t redis_glob_escape(struct slice text, uint8_t *out)
{
    size_t size = 0;

    for (size_t i = 0; i < text.size; i++) {
        const uint8_t byte = text.data[i];
        if (byte == '*' || byte == '?' || byte == '[' || byte == ']' || byte == '\\') {
            out[size++] = '\\';
        }
        out[size++] = byte;
    }
    return size;
}

/* CRC-16/XMODEM: the cluster specification's. */
static uint16_t crc16(struct slice bytes)
{
    uint16_t crc = 0;

    for (size_t i = 0; i < bytes.size; i++) {
        crc = (uint16_t)(crc ^ bytes.data[i] << 8);
        for (int bit = 0; bit < 8; bit++) {
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
        }
    }
    return crc;
}

uint16_t redis_slot(struct slice key)
{
    const uint8_t *open = key.size > 0 ? memchr(key.data, '{', key.size) : NULL;

    if (open) {
        const uint8_t *end = key.data + key.size;
        const uint8_t *close = memchr(open, '}', (size_t)(end - open));
        if (close && close > open + 1) {
            key = slice_from(open + 1, (size_t)(close - open - 1));
        }
    }
    return crc16(key) % REDIS_SLOTS;
}

/* --- addresses -------------------------------------------------------------------------------- */

/* The host's size when what follows it is ':' and a port, else 0. */
static size_t split(const char *text, const char **host, const char **port)
{
    const char *colon = strrchr(text, ':');

    if (!colon) {
        return 0;
    }
    *host = text;
    *port = colon + 1;
    size_t size = (size_t)(colon - text);
    if (text[0] == '[') {
        *host = text + 1;
        return size > 2 && text[size - 1] == ']' ? size - 2 : 0;
    }
    return memchr(text, ':', size) ? 0 : size; /* an IPv6 address without brackets */
}

bool redis_address_read(const char *text, struct redis_address *address)
{
    const char *host = NULL;
    const char *port_text = NULL;
    uint64_t port;

    *address = (struct redis_address){0};
    if (text[0] == '/') {
        const int size = snprintf(address->host, sizeof(address->host), "%s", text);
        return size < 108; /* sun_path */
    }
    const size_t size = split(text, &host, &port_text);
    if (size == 0 || size > REDIS_HOST_SIZE_MAX ||
        !redis_number_read(slice_text(port_text), &port) || port == 0 || port > UINT16_MAX) {
        return false;
    }
    memcpy(address->host, host, size);
    address->port = (uint16_t)port;
    return true;
}

bool redis_address_equal(const struct redis_address *a, const struct redis_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}
