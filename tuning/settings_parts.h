/*
 * settings_parts.h - the table's parts, and how a formula says what it wants. Only for settings*.c.
 */
#pragma once

#include "base/text.h"
#include "tuning/settings.h"

extern const struct setting settings_files[];
extern const size_t settings_files_count;
extern const struct setting settings_accept[];
extern const size_t settings_accept_count;
extern const struct setting settings_memory[];
extern const size_t settings_memory_count;
extern const struct setting settings_network[];
extern const size_t settings_network_count;

/* The number and the sentence; more numbers are appended by further calls without one. */
PRINTF_LIKE(3, 4)
void want_number(struct want *want, uint64_t number, const char *format, ...);
PRINTF_LIKE(3, 4)
void want_text(struct want *want, const char *text, const char *format, ...);
PRINTF_LIKE(2, 3) void want_nothing(struct want *want, const char *format, ...);
PRINTF_LIKE(2, 3) void want_cost(struct want *want, const char *format, ...);
void want_more(struct want *want, uint64_t number);

/* Numbers for people, inside a formula's sentence; they last as long as the block. */
#define COUNT(value) text_count((value), (char[TEXT_SIZE]){0})
#define BYTES(value) want_bytes((value), (char[TEXT_SIZE]){0})

static inline const char *want_bytes(uint64_t bytes, char out[TEXT_SIZE])
{
    return text_bytes((double)bytes, out);
}
