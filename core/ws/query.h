/*
 * query.h - the query of a request's target: name=value pairs between ampersands.
 */
#pragma once

#include "base/bytes.h"

/* Takes the next pair off *query, not decoded; the value is empty where '=' is missing. False at
 * the end. */
MUST_CHECK bool query_next(struct slice *query, struct slice *name, struct slice *value);

#define QUERY_ABSENT    (-1)
#define QUERY_MALFORMED (-2)

/* The value of name (compared as it stands, not decoded), decoded into out (room: query.size): %XX,
 * and
 * '+' for a space, as browsers write it. Returns its size; QUERY_ABSENT; or QUERY_MALFORMED: a '%'
 * without two hexadecimal digits, or name there twice. */
MUST_CHECK int64_t query_value(struct slice query, const char *name, uint8_t *out);
