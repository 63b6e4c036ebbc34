#include "io/networks.h"

#include "base/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_SIZE      16u
#define IPV4_BITS     96u /* of a key, before an address of IPv4 */
#define FILE_SIZE_MAX (64u << 20)

/* Keys of IPv4: ::ffff:0:0 to ::ffff:ffff:ffff. */
static const uint8_t ipv4_first[KEY_SIZE] = {[10] = 0xff, [11] = 0xff};
static const uint8_t ipv4_last[KEY_SIZE] = {
    [10] = 0xff, [11] = 0xff, [12] = 0xff, [13] = 0xff, [14] = 0xff, [15] = 0xff};

static int append(struct networks *networks, const struct network_range *range)
{
    if (networks->count == NETWORKS_MAX) {
        return -ENOSPC;
    }
    if (networks->count == networks->room) {
        const uint32_t room = networks->room > 0 ? 2 * networks->room : 16;
        struct network_range *ranges = realloc(networks->ranges, room * sizeof(*ranges));
        if (!ranges) {
            return -ENOMEM;
        }
        networks->ranges = ranges;
        networks->room = room;
    }
    networks->ranges[networks->count++] = *range;
    return 0;
}

/* The key before or after; false when there is none. */
static bool step(uint8_t key[KEY_SIZE], bool up)
{
    const uint8_t wraps = up ? 0xff : 0;

    for (size_t i = KEY_SIZE; i > 0; i--) {
        const bool goes_on = key[i - 1] == wraps;
        key[i - 1] = (uint8_t)(up ? key[i - 1] + 1 : key[i - 1] - 1);
        if (!goes_on) {
            return true;
        }
    }
    return false;
}

/* A network of IPv6 that is so large that IPv4's keys lie within it: what is before and behind. */
static int append_around_ipv4(struct networks *networks, const struct network_range *range)
{
    struct network_range before = *range;
    struct network_range behind = *range;

    memcpy(before.last, ipv4_first, KEY_SIZE);
    memcpy(behind.first, ipv4_last, KEY_SIZE);
    bool fits = step(before.last, false) && step(behind.first, true);
    ASSERT(fits);
    int error = append(networks, &before);
    /* From /80 on IPv4's keys are the last of the network. */
    if (error == 0 && memcmp(behind.first, behind.last, KEY_SIZE) <= 0) {
        error = append(networks, &behind);
    }
    return error;
}

/* Digits alone, up to bits_max. */
static bool parse_bits(struct slice text, unsigned bits_max, unsigned *bits)
{
    unsigned value = 0;

    if (text.size == 0 || text.size > 3) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(text.data[i] - '0');
    }
    *bits = value;
    return value <= bits_max;
}

/* A key, and how many of its bits before the network's own the family takes. */
static bool parse_address(struct slice text, uint8_t key[KEY_SIZE], unsigned *family_bits)
{
    char address[INET6_ADDRSTRLEN] = "";

    if (text.size >= sizeof(address) || memchr(text.data, 0, text.size) != NULL) {
        return false;
    }
    memcpy(address, text.data, text.size);
    memcpy(key, ipv4_first, KEY_SIZE);
    *family_bits = IPV4_BITS;
    if (inet_pton(AF_INET, address, key + IPV4_BITS / 8) == 1) {
        return true;
    }
    *family_bits = 0;
    return inet_pton(AF_INET6, address, key) == 1;
}

int networks_add(struct networks *networks, struct slice text)
{
    const uint8_t *slash = text.size > 0 ? memchr(text.data, '/', text.size) : NULL;
    const size_t address_size = slash ? (size_t)(slash - text.data) : text.size;
    struct network_range range;
    unsigned family_bits;
    unsigned bits = 128;

    if (text.size == 0 ||
        !parse_address(slice_from(text.data, address_size), range.first, &family_bits)) {
        return -EINVAL;
    }
    if (slash) {
        if (!parse_bits(slice_from(slash + 1, text.size - address_size - 1), 128 - family_bits,
                        &bits)) {
            return -EINVAL;
        }
        bits += family_bits;
    }
    memcpy(range.last, range.first, KEY_SIZE);
    for (unsigned i = bits; i < 128; i++) {
        const uint8_t bit = (uint8_t)(0x80u >> i % 8);
        range.first[i / 8] &= (uint8_t)~bit;
        range.last[i / 8] |= bit;
    }
    const bool covers_ipv4 = family_bits == 0 && bits < IPV4_BITS &&
                             memcmp(range.first, ipv4_first, KEY_SIZE) <= 0 &&
                             memcmp(range.last, ipv4_last, KEY_SIZE) >= 0;
    return covers_ipv4 ? append_around_ipv4(networks, &range) : append(networks, &range);
}

/* Without its comment, and white space around it. */
static struct slice strip(struct slice line)
{
    const uint8_t *comment = line.size > 0 ? memchr(line.data, '#', line.size) : NULL;
    size_t start = 0;
    size_t end = comment ? (size_t)(comment - line.data) : line.size;

    while (start < end && (line.data[start] == ' ' || line.data[start] == '\t')) {
        start++;
    }
    while (end > start && (line.data[end - 1] == ' ' || line.data[end - 1] == '\t' ||
                           line.data[end - 1] == '\r')) {
        end--;
    }
    return slice_from(line.data + start, end - start);
}

static const char *reason_of(int error)
{
    switch (error) {
    case -ENOSPC:
        return "more networks than 1,000,000";
    case -ENOMEM:
        return "no memory";
    default:
        return "no network; allowed: 192.0.2.0/24, 192.0.2.7, 2001:db8::/32";
    }
}

/* Line by line. A zero byte is none of a network: a file that is only half written is refused. */
static int add_lines(struct networks *networks, struct slice rest, const char *path, char *message,
                     size_t message_size)
{
    for (unsigned long number = 1; rest.size > 0; number++) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        const size_t size = end ? (size_t)(end - rest.data) : rest.size;
        const struct slice text = strip(slice_from(rest.data, size));
        const int error = text.size > 0 ? networks_add(networks, text) : 0;
        if (error != 0) {
            (void)snprintf(message, message_size, "%s:%lu: %s", path, number, reason_of(error));
            return -1;
        }
        const size_t taken = end ? size + 1 : size;
        rest = slice_from(rest.data + taken, rest.size - taken);
    }
    return 0;
}

/* The whole file, to free(); NULL with a message. */
static uint8_t *read_file(const char *path, size_t *size, char *message, size_t message_size)
{
    const char *reason = NULL;
    const int fd = file_open(path, &reason);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    uint8_t *bytes = NULL;
    size_t room = 0;

    *size = 0;
    while (file && !feof(file) && !ferror(file) && *size < FILE_SIZE_MAX) {
        room = room > 0 ? 2 * room : 4096;
        uint8_t *larger = realloc(bytes, room);
        if (!larger) {
            break;
        }
        bytes = larger;
        *size += fread(bytes + *size, 1, room - *size, file);
    }
    const bool is_whole = file && feof(file) && !ferror(file);
    if (!is_whole) {
        reason = reason ? reason : strerrordesc_np(errno);
        (void)snprintf(message, message_size, "%s: %s", path,
                       *size >= FILE_SIZE_MAX ? "larger than 64 MB" : reason);
        free(bytes);
        bytes = NULL;
    }
    if (file) {
        (void)fclose(file);
    }
    return bytes;
}

int networks_add_file(struct networks *networks, const char *path, char *message,
                      size_t message_size)
{
    size_t size;
    uint8_t *bytes = read_file(path, &size, message, message_size);

    if (!bytes) {
        return -1;
    }
    const int result = add_lines(networks, slice_from(bytes, size), path, message, message_size);
    free(bytes);
    return result;
}

static int compare(const void *a, const void *b)
{
    return memcmp(((const struct network_range *)a)->first,
                  ((const struct network_range *)b)->first, KEY_SIZE);
}

void networks_sort(struct networks *networks)
{
    struct network_range *ranges = networks->ranges;
    uint32_t kept = 0;

    if (networks->count == 0) {
        return;
    }
    qsort(ranges, networks->count, sizeof(*ranges), compare);
    for (uint32_t i = 1; i < networks->count; i++) {
        uint8_t after[KEY_SIZE];
        memcpy(after, ranges[kept].last, KEY_SIZE);
        const bool is_end = !step(after, true);
        if (is_end || memcmp(ranges[i].first, after, KEY_SIZE) <= 0) {
            if (memcmp(ranges[i].last, ranges[kept].last, KEY_SIZE) > 0) {
                memcpy(ranges[kept].last, ranges[i].last, KEY_SIZE);
            }
        } else {
            ranges[++kept] = ranges[i];
        }
    }
    networks->count = kept + 1;
}

bool networks_have(const struct networks *networks, const uint8_t key[16])
{
    uint32_t low = 0;
    uint32_t high = networks->count;

    /* The first range that ends at the key or behind it. */
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (memcmp(networks->ranges[middle].last, key, KEY_SIZE) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < networks->count && memcmp(networks->ranges[low].first, key, KEY_SIZE) <= 0;
}

void networks_close(struct networks *networks)
{
    free(networks->ranges);
    *networks = (struct networks){.ranges = NULL};
}
