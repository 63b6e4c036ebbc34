/*
 * bytes.h - slices, big-endian integers, secrets.
 */
#pragma once

#include "base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NONE UINT32_MAX /* "no number", for every kind of number */

/* Borrowed bytes. data may be NULL when size is 0. */
struct slice {
    const uint8_t *data;
    size_t size;
};

static inline struct slice slice_from(const void *data, size_t size)
{
    return (struct slice){.data = data, .size = size};
}

static inline struct slice slice_text(const char *text)
{
    return (struct slice){.data = (const uint8_t *)text, .size = strlen(text)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* ASCII letters fold; every other byte is compared as it is (RFC 9110, section 5.1). */
MUST_CHECK bool slice_equal_fold(struct slice a, struct slice b);

static inline uint16_t load_be16(const uint8_t *p)
{
    return (uint16_t)((uint16_t)p[0] << 8 | p[1]);
}

static inline uint32_t load_be24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | load_be24(p + 1);
}

static inline uint64_t load_be64(const uint8_t *p)
{
    return (uint64_t)load_be32(p) << 32 | load_be32(p + 4);
}

static inline void store_be16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void store_be24(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 16);
    store_be16(p + 1, (uint16_t)value);
}

static inline void store_be32(uint8_t *p, uint32_t value)
{
    store_be16(p, (uint16_t)(value >> 16));
    store_be16(p + 2, (uint16_t)value);
}

static inline void store_be64(uint8_t *p, uint64_t value)
{
    store_be32(p, (uint32_t)(value >> 32));
    store_be32(p + 4, (uint32_t)value);
}

/* Compares in time that depends on size alone. */
MUST_CHECK bool secret_equal(const void *a, const void *b, size_t size);

/* Overwrites with zeros; the compiler cannot leave it out. */
void secret_wipe(void *data, size_t size);
