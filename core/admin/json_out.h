/*
 * json_out.h - JSON as it is written: into one block that grows up to a bound.
 *
 * Puts nothing between values: commas and brackets are the caller's, as raw text. Errors stay, and
 * are looked at once, at the end.
 */
#pragma once

#include "base/bytes.h"

struct json_out {
    char *data; /* to free() */
    size_t size;
    size_t room;
    size_t size_max;
    bool failed; /* no memory, or above size_max */
};

/* Zero-initialise, then set size_max. */
void json_out_raw(struct json_out *out, struct slice raw);
void json_out_text(struct json_out *out, const char *raw);
void json_out_number(struct json_out *out, uint64_t number);

/* With its quotes; what is no UTF-8 is replaced. */
void json_out_string(struct json_out *out, struct slice text);
void json_out_base64(struct json_out *out, struct slice bytes);
