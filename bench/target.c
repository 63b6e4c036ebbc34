#include "bench/target.h"

#include "base/digest.h"
#include "base/random.h"
#include "ws/upgrade.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_BYTES 16 /* RFC 6455, section 4.1, item 7 */

/* --- URL -------------------------------------------------------------------------------------- */

static int resolve(struct target *target, char *message, size_t message_size)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int error = getaddrinfo(target->host, NULL, &hints, &found);

    if (error != 0) {
        (void)snprintf(message, message_size, "%s: %s", target->host, gai_strerror(error));
        return -1;
    }
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    target->address.sin6_port = htons(target->port); /* in the same place for both families */
    if (target->address.sin6_family == AF_INET) {
        struct sockaddr_in address;
        memcpy(&address, &target->address, sizeof(address));
        target->is_loopback = ntohl(address.sin_addr.s_addr) >> 24 == 127;
    } else {
        target->is_loopback = IN6_IS_ADDR_LOOPBACK(&target->address.sin6_addr);
    }
    uint8_t binary[sizeof(struct in6_addr)];
    target->is_name = inet_pton(AF_INET, target->host, binary) != 1 &&
                      inet_pton(AF_INET6, target->host, binary) != 1;
    return 0;
}

/* Splits "host:port" or "[host]:port". */
static bool split_authority(struct target *target)
{
    const char *text = target->authority;
    const char *end = *text == '[' ? strchr(text, ']') : text + strcspn(text, ":");
    const char *host = *text == '[' ? text + 1 : text;

    if (!end || end == host || (size_t)(end - host) >= sizeof(target->host)) {
        return false;
    }
    memcpy(target->host, host, (size_t)(end - host));
    target->host[end - host] = '\0';
    end += *end == ']' ? 1 : 0;
    target->port = target->is_plain ? 80 : 443;
    if (*end == '\0') {
        return true;
    }
    char *rest;
    unsigned long port = strtoul(end + 1, &rest, 10);
    target->port = (uint16_t)port;
    return *end == ':' && end[1] >= '0' && end[1] <= '9' && *rest == '\0' && port > 0 &&
           port <= UINT16_MAX;
}

int target_parse(struct target *target, const char *url, char *message, size_t message_size)
{
    *target = (struct target){0};
    target->is_plain = strncmp(url, "ws://", 5) == 0;
    if (!target->is_plain && strncmp(url, "wss://", 6) != 0) {
        (void)snprintf(message, message_size, "%s: a URL must start with wss:// or ws://", url);
        return -1;
    }
    const char *authority = url + (target->is_plain ? 5 : 6);
    size_t size = strcspn(authority, "/?#");
    const char *path = authority + size;
    int path_size = (int)strcspn(path, "#");
    if (size >= sizeof(target->authority) || strpbrk(url, " \t\r\n") ||
        (size_t)path_size + 1 >= sizeof(target->path)) {
        (void)snprintf(message, message_size, "%.80s: not a URL that can be asked for", url);
        return -1;
    }
    memcpy(target->authority, authority, size);
    (void)snprintf(target->path, sizeof(target->path), "%s%.*s", *path == '/' ? "" : "/", path_size,
                   path);
    if (!split_authority(target)) {
        (void)snprintf(message, message_size, "%s: expected wss://HOST[:PORT][/PATH]", url);
        return -1;
    }
    return resolve(target, message, message_size);
}

/* --- tokens ----------------------------------------------------------------------------------- */

int tokens_index(struct tokens *tokens, char *text)
{
    uint32_t lines = 1;

    for (const char *at = text; *at != '\0'; at++) {
        lines += *at == '\n';
    }
    *tokens = (struct tokens){.text = text, .offsets = malloc(lines * sizeof(uint32_t))};
    if (!tokens->offsets) {
        return -1;
    }
    char *rest = text;
    char *line;
    while ((line = strsep(&rest, "\r\n")) != NULL) {
        if (*line != '\0') {
            tokens->offsets[tokens->count++] = (uint32_t)(line - text);
        }
    }
    return 0;
}

const char *tokens_at(const struct tokens *tokens, uint32_t index)
{
    return tokens->count == 0 ? NULL : tokens->text + tokens->offsets[index % tokens->count];
}

void tokens_free(struct tokens *tokens)
{
    free(tokens->text);
    free(tokens->offsets);
    *tokens = (struct tokens){0};
}

/* --- request and answer ----------------------------------------------------------------------- */

size_t request_write(const struct request *request, char key[REQUEST_KEY_SIZE], uint8_t *out,
                     size_t out_size)
{
    uint8_t nonce[KEY_BYTES];
    char *text = (char *)out;

    random_bytes(nonce, sizeof(nonce));
    (void)base64_encode(slice_from(nonce, sizeof(nonce)), key);
    int size = snprintf(text, out_size,
                        "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: %.*s\r\n",
                        request->target->path, request->target->authority, REQUEST_KEY_SIZE, key);
    size_t used = (size_t)size;
    for (uint32_t i = 0; i < request->header_count && used < out_size; i++) {
        size = snprintf(text + used, out_size - used, "%s\r\n", request->headers[i]);
        used += (size_t)size;
    }
    if (request->token && used < out_size) {
        size =
            snprintf(text + used, out_size - used, "Authorization: Bearer %s\r\n", request->token);
        used += (size_t)size;
    }
    if (used + 2 >= out_size) {
        return 0;
    }
    text[used++] = '\r';
    text[used++] = '\n';
    return used;
}

/* The value of the first header of that name in the lines of head, white space cut off. */
static struct slice header_value(struct slice head, const char *name)
{
    const char *line = (const char *)head.data;
    const char *end = line + head.size;
    size_t name_size = strlen(name);

    while (line < end) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        line_end = line_end ? line_end : end;
        if ((size_t)(line_end - line) > name_size && line[name_size] == ':' &&
            strncasecmp(line, name, name_size) == 0) {
            const char *value = line + name_size + 1;
            while (value < line_end && (*value == ' ' || *value == '\t')) {
                value++;
            }
            const char *value_end = line_end;
            while (value_end > value && strchr(" \t\r", value_end[-1])) {
                value_end--;
            }
            return slice_from(value, (size_t)(value_end - value));
        }
        line = line_end + 1;
    }
    return slice_from(NULL, 0);
}

enum answer_status answer_read(struct slice text, const char key[REQUEST_KEY_SIZE],
                               size_t *consumed, uint32_t *http_status)
{
    const uint8_t *end = memmem(text.data, text.size, "\r\n\r\n", 4);
    const char *head = (const char *)text.data;

    if (!end) {
        return ANSWER_MORE;
    }
    *consumed = (size_t)(end - text.data) + 4;
    struct slice lines = slice_from(text.data, *consumed - 2);
    if (lines.size < 15 || memcmp(head, "HTTP/1.", 7) != 0 || head[8] != ' ' ||
        strspn(head + 9, "0123456789") != 3) {
        return ANSWER_BAD;
    }
    *http_status = (uint32_t)strtoul(head + 9, NULL, 10);
    if (*http_status != 101) {
        return ANSWER_REFUSED;
    }
    char expected[28];
    upgrade_accept_key(slice_from(key, REQUEST_KEY_SIZE), expected);
    bool fits = slice_equal(header_value(lines, "Sec-WebSocket-Accept"),
                            slice_from(expected, sizeof(expected))) &&
                slice_equal_fold(header_value(lines, "Upgrade"), slice_text("websocket")) &&
                header_value(lines, "Sec-WebSocket-Extensions").size == 0; /* none was offered */
    return fits ? ANSWER_UPGRADED : ANSWER_BAD;
}
