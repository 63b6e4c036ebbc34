#include "io/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#define MODE_MAX 0777u

struct scheme {
    const char *text;
    bool is_unix;
    bool is_plain;
};

static const struct scheme schemes[] = {
    {"wss+unix:", true, false}, {"ws+unix:", true, true}, {"wss://", false, false},
    {"ws://", false, true},     {"", false, false}, /* none: the last, for it fits all */
};

/* Takes the text off the front; false when it does not stand there. */
static bool take(struct slice *rest, const char *text)
{
    size_t size = strlen(text);

    if (rest->size < size || memcmp(rest->data, text, size) != 0) {
        return false;
    }
    *rest = slice_from(rest->data + size, rest->size - size);
    return true;
}

/* What stands before the mark, which goes too; all when there is none. */
static struct slice take_until(struct slice *rest, char mark)
{
    const uint8_t *end = rest->size > 0 ? memchr(rest->data, mark, rest->size) : NULL;
    struct slice part = slice_from(rest->data, end ? (size_t)(end - rest->data) : rest->size);
    size_t taken = end ? part.size + 1 : part.size;

    *rest = slice_from(rest->data + taken, rest->size - taken);
    return part;
}

static bool parse_mode(struct slice text, uint32_t *mode)
{
    uint32_t value = 0;

    if (text.size == 0 || text.size > 4) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '7') {
            return false;
        }
        value = value * 8 + (uint32_t)(text.data[i] - '0');
    }
    *mode = value;
    return value <= MODE_MAX;
}

static bool parse_proxy(struct slice text, uint8_t *versions)
{
    static const struct {
        const char *text;
        uint8_t versions;
    } choices[] = {{"v1", PROXY_V1}, {"v2", PROXY_V2}, {"any", PROXY_V1 | PROXY_V2}};

    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        if (slice_equal(text, slice_text(choices[i].text))) {
            *versions = choices[i].versions;
            return true;
        }
    }
    return false;
}

static bool parse_setting(struct slice setting, struct endpoint *endpoint)
{
    if (take(&setting, "proxy=")) {
        return parse_proxy(setting, &endpoint->proxy);
    }
    return endpoint->path[0] != '\0' && take(&setting, "mode=") &&
           parse_mode(setting, &endpoint->mode);
}

static bool parse_place(struct slice place, bool is_unix, struct endpoint *endpoint)
{
    if (!is_unix) {
        endpoint->ipv6_only = place.size > 0 && place.data[0] == '[';
        return address_parse(place, &endpoint->address) == 0;
    }
    /* A name without a slash would depend on where the server was started. */
    if (place.size < 2 || place.size >= sizeof(endpoint->path) || place.data[0] != '/' ||
        memchr(place.data, 0, place.size) != NULL) {
        return false;
    }
    memcpy(endpoint->path, place.data, place.size);
    endpoint->address = (struct sockaddr_in6){.sin6_family = AF_UNIX};
    return true;
}

int endpoint_parse(struct slice text, struct endpoint *endpoint)
{
    struct slice rest = text;
    const struct scheme *scheme = schemes;

    *endpoint = (struct endpoint){.mode = ENDPOINT_MODE};
    if (text.size == 0) {
        return -EINVAL; /* it may have no data to look at */
    }
    while (!take(&rest, scheme->text)) {
        scheme++;
    }
    endpoint->is_plain = scheme->is_plain;
    bool has_settings = rest.size > 0 && memchr(rest.data, '?', rest.size) != NULL;
    if (!parse_place(take_until(&rest, '?'), scheme->is_unix, endpoint)) {
        return -EINVAL;
    }
    while (has_settings) {
        has_settings = rest.size > 0 && memchr(rest.data, '&', rest.size) != NULL;
        if (!parse_setting(take_until(&rest, '&'), endpoint)) {
            return -EINVAL;
        }
    }
    return 0;
}

bool endpoint_same(const struct endpoint *a, const struct endpoint *b)
{
    uint8_t keys[2][16];

    if (a->address.sin6_family != b->address.sin6_family) {
        return false;
    }
    if (a->address.sin6_family == AF_UNIX) {
        return strcmp(a->path, b->path) == 0;
    }
    address_key(&a->address, keys[0]);
    address_key(&b->address, keys[1]);
    return a->address.sin6_port != 0 && a->address.sin6_port == b->address.sin6_port &&
           memcmp(keys[0], keys[1], sizeof(keys[0])) == 0;
}

bool endpoint_is_local(const struct endpoint *endpoint)
{
    static const uint8_t ipv4[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};
    static const uint8_t ipv6[16] = {[15] = 1};
    uint8_t key[16];

    if (endpoint->address.sin6_family == AF_UNIX) {
        return true;
    }
    address_key(&endpoint->address, key);
    return memcmp(key, ipv4, sizeof(ipv4)) == 0 || memcmp(key, ipv6, sizeof(ipv6)) == 0;
}

void endpoint_format(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_SIZE])
{
    if (endpoint->address.sin6_family == AF_UNIX) {
        (void)snprintf(out, ENDPOINT_TEXT_SIZE, "unix:%s", endpoint->path);
    } else {
        address_format(&endpoint->address, out);
    }
}
