/*
 * text.h - numbers as people read them, and printing whose errors are looked for at the end.
 */
#pragma once

#include "base/bytes.h"

#include <stdio.h>

#define TEXT_SIZE 48

/* Each writes into out and returns it. */
const char *text_count(uint64_t value, char out[TEXT_SIZE]); /* 1,234,567 */
const char *text_bytes(double bytes, char out[TEXT_SIZE]); /* 312 B, 1.21 KB, 42.0 GB: 1024-based */
const char *text_time(double nanoseconds,
                      char out[TEXT_SIZE]); /* 850 ns, 12.3 us, 1.21 ms, 3.10 s */

/* fprintf; errors stay in the stream. */
PRINTF_LIKE(2, 3) void text_print(FILE *out, const char *format, ...);
