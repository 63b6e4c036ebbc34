/*
 * raw_json.h - JSON (RFC 8259) as it stands: values are slices of the text that came.
 *
 * A publication's data has to go out as it came in: with every digit of its numbers, its members in
 * their order, also those that are there twice. A library that builds objects keeps none of that.
 * So the text is checked once, and then taken apart in place; nothing is allocated.
 */
#pragma once

#include "base/bytes.h"

#define RAW_JSON_DEPTH_MAX 256 /* of objects and arrays within each other */

enum raw_json_kind {
    RAW_JSON_OBJECT,
    RAW_JSON_ARRAY,
    RAW_JSON_STRING,
    RAW_JSON_NUMBER,
    RAW_JSON_TRUE,
    RAW_JSON_FALSE,
    RAW_JSON_NULL,
};

/* Whether text is one value in UTF-8, with nothing but white space around it. If not, *bad_at is
 * the offset of the byte that is wrong (text.size: it ends too early). */
MUST_CHECK bool raw_json_check(struct slice text, size_t *bad_at);

/* --- of text that raw_json_check took; values have no white space around them
 * --------------------- */

/* The value without the white space around it. */
MUST_CHECK struct slice raw_json_trim(struct slice text);
MUST_CHECK enum raw_json_kind raw_json_kind_of(struct slice value);

/* *rest is an object or array at first, then what is left of it. False at its end. A name is a
 * string with its quotes. */
MUST_CHECK bool raw_json_next_member(struct slice *rest, struct slice *name, struct slice *value);
MUST_CHECK bool raw_json_next_item(struct slice *rest, struct slice *value);

/* Without white space between tokens. Bytes written; out holds value.size and may be where the
 * value is. */
MUST_CHECK size_t raw_json_compact(struct slice value, uint8_t *out);

/* A string's text. Bytes written, or -1 for an escaped surrogate without its other half; out holds
 * value.size and may be where the value is. */
MUST_CHECK int64_t raw_json_decode_string(struct slice value, uint8_t *out);

/* False when the number has a fraction or an exponent, or does not fit. */
MUST_CHECK bool raw_json_decode_integer(struct slice value, int64_t *number);
