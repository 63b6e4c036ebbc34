/*
 * redis_bytes.h - a buffer that grows, and commands in it as Redis reads them (RESP).
 */
#pragma once

#include "base/bytes.h"

struct redis_bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed; /* there was no memory: what was added since is lost */
};

void redis_bytes_free(struct redis_bytes *bytes); /* empty again; no-op on zeros */

void redis_bytes_add(struct redis_bytes *bytes, struct slice slice);

/* How many arguments a command has, then each of them. */
void redis_bytes_command(struct redis_bytes *bytes, uint32_t argument_count);
void redis_bytes_argument(struct redis_bytes *bytes, struct slice argument);
void redis_bytes_text(struct redis_bytes *bytes, const char *argument);
void redis_bytes_number(struct redis_bytes *bytes, uint64_t argument);

/* An argument that consists of several parts: its size, then each part by redis_bytes_add, then
 * redis_bytes_end. */
void redis_bytes_begin(struct redis_bytes *bytes, size_t size);
void redis_bytes_end(struct redis_bytes *bytes);
