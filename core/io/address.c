#include "io/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#define PORT_DIGITS_MAX 5
static_assert(sizeof("[]:65535") + INET6_ADDRSTRLEN <= ADDRESS_TEXT_SIZE, "the longest text");

static struct sockaddr_in load_ipv4(const struct sockaddr_in6 *address)
{
    struct sockaddr_in ipv4;

    memcpy(&ipv4, address, sizeof(ipv4));
    return ipv4;
}

static bool parse_port(struct slice text, in_port_t *port)
{
    uint32_t value = 0;

    if (text.size == 0 || text.size > PORT_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (value > UINT16_MAX) {
        return false;
    }
    *port = htons((uint16_t)value);
    return true;
}

static bool parse_host(int family, struct slice text, void *out)
{
    char host[INET6_ADDRSTRLEN] = "";

    /* inet_pton reads up to a NUL: one inside would hide what follows it. */
    if (text.size >= sizeof(host) || memchr(text.data, 0, text.size) != NULL) {
        return false;
    }
    memcpy(host, text.data, text.size);
    return inet_pton(family, host, out) == 1;
}

static int parse_ipv6(struct slice text, struct sockaddr_in6 *address)
{
    const uint8_t *end = memchr(text.data, ']', text.size);

    if (end == NULL) {
        return -EINVAL;
    }
    size_t host_size = (size_t)(end - text.data) - 1;
    size_t after = host_size + 2;
    address->sin6_family = AF_INET6;
    if (!parse_host(AF_INET6, slice_from(text.data + 1, host_size), &address->sin6_addr) ||
        after == text.size || text.data[after] != ':' ||
        !parse_port(slice_from(text.data + after + 1, text.size - after - 1),
                    &address->sin6_port)) {
        return -EINVAL;
    }
    return 0;
}

int address_parse(struct slice text, struct sockaddr_in6 *address)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};

    *address = (struct sockaddr_in6){.sin6_family = AF_INET6}; /* all zero is the wildcard */
    if (text.size == 0) {
        return -EINVAL;
    }
    if (text.data[0] == '[') {
        return parse_ipv6(text, address);
    }
    const uint8_t *colon = memchr(text.data, ':', text.size);
    if (colon == NULL) {
        return parse_port(text, &address->sin6_port) ? 0 : -EINVAL;
    }
    size_t host_size = (size_t)(colon - text.data);
    if (!parse_host(AF_INET, slice_from(text.data, host_size), &ipv4.sin_addr) ||
        !parse_port(slice_from(colon + 1, text.size - host_size - 1), &ipv4.sin_port)) {
        return -EINVAL;
    }
    *address = (struct sockaddr_in6){0};
    memcpy(address, &ipv4, sizeof(ipv4));
    return 0;
}

void address_key(const struct sockaddr_in6 *address, uint8_t out[16])
{
    if (address->sin6_family == AF_INET) {
        const struct sockaddr_in ipv4 = load_ipv4(address);
        memset(out, 0, 10);
        memset(out + 10, 0xff, 2);
        memcpy(out + 12, &ipv4.sin_addr, 4);
    } else {
        memcpy(out, &address->sin6_addr, 16);
    }
}

void address_format(const struct sockaddr_in6 *address, char out[ADDRESS_TEXT_SIZE])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char host[INET6_ADDRSTRLEN] = "?";
    uint8_t key[16];
    bool is_ipv4 = false;

    if (address->sin6_family == AF_UNIX) {
        (void)snprintf(out, ADDRESS_TEXT_SIZE, "unix");
        return;
    }
    address_key(address, key);
    is_ipv4 = memcmp(key, mapped, sizeof(mapped)) == 0;
    /* The port stands in the same place for both families. */
    uint32_t port = ntohs(address->sin6_port);
    (void)inet_ntop(is_ipv4 ? AF_INET : AF_INET6, is_ipv4 ? key + 12 : key, host, sizeof(host));
    (void)snprintf(out, ADDRESS_TEXT_SIZE, is_ipv4 ? "%s:%u" : "[%s]:%u", host, port);
}

uint32_t address_size(const struct sockaddr_in6 *address)
{
    return address->sin6_family == AF_INET ? sizeof(struct sockaddr_in)
                                           : sizeof(struct sockaddr_in6);
}
