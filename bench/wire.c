#include "bench/wire.h"

#include <stdio.h>
#include <stdlib.h>

#define BODY_SIZE_MAX (1u << 20)

/* --- Redis ------------------------------------------------------------------------------------ */

size_t redis_write_publish(struct slice channel, struct slice payload, uint8_t *out,
                           size_t out_size)
{
    char *text = (char *)out;
    int head = snprintf(text, out_size, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%.*s\r\n$%zu\r\n",
                        channel.size, (int)channel.size, (const char *)channel.data, payload.size);
    size_t size = (size_t)head + payload.size + 2;

    if (size > out_size) {
        return 0;
    }
    memcpy(out + head, payload.data, payload.size);
    out[size - 2] = '\r';
    out[size - 1] = '\n';
    return size;
}

enum reply redis_read_reply(struct slice input, size_t *consumed)
{
    const uint8_t *end = memmem(input.data, input.size, "\r\n", 2);

    if (!end) {
        return input.size > BODY_SIZE_MAX ? REPLY_BAD : REPLY_MORE;
    }
    *consumed = (size_t)(end - input.data) + 2;
    switch (input.data[0]) {
    case ':': /* how many had subscribed there */
    case '+': /* QUEUED */
        return REPLY_ACCEPTED;
    case '-':
        return REPLY_REFUSED;
    default:
        return REPLY_BAD;
    }
}

/* --- HTTP ------------------------------------------------------------------------------------- */

size_t api_write_publish(const struct api_request *request, uint8_t *out, size_t out_size)
{
    static const char opening[] = "{\"channel\":\"";
    static const char between[] = "\",\"data\":";
    char *text = (char *)out;
    size_t body_size = sizeof(opening) - 1 + request->channel.size + sizeof(between) - 1 +
                       request->payload.size + 1;
    int head =
        snprintf(text, out_size,
                 "POST /api/publish HTTP/1.1\r\nHost: %s\r\n%s%s%s"
                 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s%.*s%s",
                 request->host, request->key ? "X-API-Key: " : "", request->key ? request->key : "",
                 request->key ? "\r\n" : "", body_size, opening, (int)request->channel.size,
                 (const char *)request->channel.data, between);
    size_t size = (size_t)head + request->payload.size + 1;

    if (size > out_size) {
        return 0;
    }
    memcpy(out + head, request->payload.data, request->payload.size);
    out[size - 1] = '}';
    return size;
}

/* The body's size by Content-Length; 0 without. */
static size_t content_length(const char *head, size_t size)
{
    static const char name[] = "\ncontent-length:";

    for (size_t i = 0; i + sizeof(name) < size; i++) {
        if (strncasecmp(head + i, name, sizeof(name) - 1) == 0) {
            return strtoul(head + i + sizeof(name) - 1, NULL, 10);
        }
    }
    return 0;
}

enum reply api_read_reply(struct slice input, size_t *consumed)
{
    const char *text = (const char *)input.data;
    const uint8_t *end = memmem(input.data, input.size, "\r\n\r\n", 4);

    if (!end) {
        return input.size > BODY_SIZE_MAX ? REPLY_BAD : REPLY_MORE;
    }
    size_t head_size = (size_t)(end - input.data) + 4;
    if (head_size < 16 || memcmp(text, "HTTP/1.", 7) != 0) {
        return REPLY_BAD;
    }
    size_t body_size = content_length(text, head_size);
    if (body_size > BODY_SIZE_MAX) {
        return REPLY_BAD;
    }
    if (input.size - head_size < body_size) {
        return REPLY_MORE;
    }
    *consumed = head_size + body_size;
    bool is_error = memmem(text + head_size, body_size, "\"error\"", 7) != NULL;
    return memcmp(text + 9, "200", 3) == 0 && !is_error ? REPLY_ACCEPTED : REPLY_REFUSED;
}
