#include "io/proxy_header.h"

#include <stdio.h>

#define V2_HEAD_SIZE 16u

/* The second byte of what follows the signature: family and protocol. */
enum v2_family {
    V2_UNSPECIFIED = 0x00,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_UNIX_STREAM = 0x31,
};
#define V2_TCP4_SIZE 12u
#define V2_TCP6_SIZE 36u
#define V2_UNIX_SIZE 216u

#define V2_VERSION 0x20u
#define V2_LOCAL   0u
#define V2_PROXY   1u

static const uint8_t v2_signature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                         '\n', 'Q',  'U',  'I',  'T', '\n'};
static const uint8_t v1_signature[6] = {'P', 'R', 'O', 'X', 'Y', ' '};

/* --- version 1: a line ------------------------------------------------------------------------ */

/* What stands before the next space, or the end; both go. */
static struct slice take_word(struct slice *line)
{
    const uint8_t *space = line->size > 0 ? memchr(line->data, ' ', line->size) : NULL;
    const size_t size = space ? (size_t)(space - line->data) : line->size;
    const struct slice word = slice_from(line->data, size);
    const size_t taken = space ? size + 1 : size;

    *line = slice_from(line->data + taken, line->size - taken);
    return word;
}

static bool is_port(struct slice word)
{
    if (word.size == 0 || word.size > 5 || (word.data[0] == '0' && word.size > 1)) {
        return false;
    }
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] < '0' || word.data[i] > '9') {
            return false;
        }
    }
    return true;
}

/* An address and a port, of the family that the line names. */
static bool read_place(struct slice host, struct slice port, bool is_ipv6,
                       struct sockaddr_in6 *place)
{
    char text[PROXY_V1_SIZE_MAX + 4];

    if (!is_port(port) || host.size == 0 || memchr(host.data, ']', host.size) != NULL ||
        (memchr(host.data, ':', host.size) != NULL) != is_ipv6) {
        return false;
    }
    (void)snprintf(text, sizeof(text), "%s%.*s%s:%.*s", is_ipv6 ? "[" : "", (int)host.size,
                   (const char *)host.data, is_ipv6 ? "]" : "", (int)port.size,
                   (const char *)port.data);
    return address_parse(slice_text(text), place) == 0;
}

static bool read_line(struct slice line, struct proxy_header *header)
{
    struct sockaddr_in6 destination;
    const struct slice family = take_word(&line);

    if (slice_equal(family, slice_text("UNKNOWN"))) {
        return true; /* whatever follows */
    }
    const bool is_ipv6 = slice_equal(family, slice_text("TCP6"));
    if (!is_ipv6 && !slice_equal(family, slice_text("TCP4"))) {
        return false;
    }
    const struct slice source = take_word(&line);
    const struct slice to = take_word(&line);
    const struct slice source_port = take_word(&line);
    header->has_source = read_place(source, source_port, is_ipv6, &header->source) &&
                         read_place(to, line, is_ipv6, &destination);
    return header->has_source;
}

static enum proxy_outcome read_v1(struct slice input, struct proxy_header *header)
{
    const size_t size = input.size < PROXY_V1_SIZE_MAX ? input.size : PROXY_V1_SIZE_MAX;
    const uint8_t *end = memchr(input.data, '\n', size);

    if (!end) {
        return size == PROXY_V1_SIZE_MAX ? PROXY_BAD : PROXY_MORE;
    }
    const size_t line_size = (size_t)(end - input.data);
    if (input.data[line_size - 1] != '\r' || memchr(input.data, 0, line_size) != NULL) {
        return PROXY_BAD;
    }
    header->size = line_size + 1;
    const size_t skipped = sizeof(v1_signature);
    if (line_size - 1 < skipped) {
        return PROXY_BAD;
    }
    return read_line(slice_from(input.data + skipped, line_size - 1 - skipped), header) ? PROXY_DONE
                                                                                        : PROXY_BAD;
}

/* --- version 2: bytes ------------------------------------------------------------------------- */

static void set_ipv4(const uint8_t *bytes, struct sockaddr_in6 *source)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};

    memcpy(&ipv4.sin_addr, bytes, 4);
    memcpy(&ipv4.sin_port, bytes + 8, 2);
    *source = (struct sockaddr_in6){0};
    memcpy(source, &ipv4, sizeof(ipv4));
}

static void set_ipv6(const uint8_t *bytes, struct sockaddr_in6 *source)
{
    *source = (struct sockaddr_in6){.sin6_family = AF_INET6};
    memcpy(&source->sin6_addr, bytes, 16);
    memcpy(&source->sin6_port, bytes + 32, 2);
}

static bool read_addresses(uint8_t family, struct slice body, struct proxy_header *header)
{
    switch ((enum v2_family)family) {
    case V2_UNSPECIFIED:
        return true;
    case V2_UNIX_STREAM:
        return body.size >= V2_UNIX_SIZE;
    case V2_TCP4:
        if (body.size < V2_TCP4_SIZE) {
            return false;
        }
        set_ipv4(body.data, &header->source);
        break;
    case V2_TCP6:
        if (body.size < V2_TCP6_SIZE) {
            return false;
        }
        set_ipv6(body.data, &header->source);
        break;
    default:
        return false;
    }
    header->has_source = true;
    return true;
}

static enum proxy_outcome read_v2(struct slice input, struct proxy_header *header)
{
    if (input.size < V2_HEAD_SIZE) {
        return PROXY_MORE;
    }
    const uint8_t command = input.data[12];
    const size_t body_size = (size_t)input.data[14] << 8 | input.data[15];
    header->size = V2_HEAD_SIZE + body_size;
    if ((command != (V2_VERSION | V2_LOCAL) && command != (V2_VERSION | V2_PROXY)) ||
        header->size > PROXY_V2_SIZE_MAX) {
        return PROXY_BAD;
    }
    if (input.size < header->size) {
        return PROXY_MORE;
    }
    if (command == (V2_VERSION | V2_LOCAL)) {
        header->is_local = true;
        return PROXY_DONE; /* section 2.2: what else it says is to be skipped */
    }
    const struct slice body = slice_from(input.data + V2_HEAD_SIZE, body_size);
    return read_addresses(input.data[13], body, header) ? PROXY_DONE : PROXY_BAD;
}

/* --- either ----------------------------------------------------------------------------------- */

/* The input begins as this, as far as it goes. */
static bool begins_as(struct slice input, const uint8_t *signature, size_t size)
{
    return memcmp(input.data, signature, input.size < size ? input.size : size) == 0;
}

enum proxy_outcome proxy_header_read(struct slice input, uint8_t versions,
                                     struct proxy_header *header)
{
    *header = (struct proxy_header){0};
    if (input.size == 0) {
        return PROXY_MORE;
    }
    if (versions & PROXY_V2 && begins_as(input, v2_signature, sizeof(v2_signature))) {
        return input.size < sizeof(v2_signature) ? PROXY_MORE : read_v2(input, header);
    }
    if (versions & PROXY_V1 && begins_as(input, v1_signature, sizeof(v1_signature))) {
        return input.size < sizeof(v1_signature) ? PROXY_MORE : read_v1(input, header);
    }
    return PROXY_BAD;
}
