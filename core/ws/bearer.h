/*
 * bearer.h - the forms a token has in the places where a request may carry one (RFC 6750, section
 * 2, and the subprotocol, for browsers, which cannot set headers).
 *
 * Pure; tokens are borrowed slices of the request, never copied.
 */
#pragma once

#include "base/bytes.h"

/* What one place holds. Zeroed: nothing. */
struct bearer {
    bool is_there;
    bool is_bad; /* two tokens, none where one was announced, or characters outside token68 */
    struct slice token;
};

/* A token was found in the place; an empty one and a second one are bad. */
void bearer_add(struct bearer *bearer, struct slice token);

/* Authorization: the scheme in any case, one space or more, one token. Other schemes are passed
 * over. */
void bearer_read_authorization(struct bearer *bearer, struct slice value);

/* One Cookie line (RFC 6265, section 5.4): names match whole, a value may be quoted. The order of
 * equal names says nothing about which is newer: two are bad. */
void bearer_read_cookie(struct bearer *bearer, struct slice value, const char *name);

/* The query: the raw value, as a token needs no percent-encoding. */
void bearer_read_query(struct bearer *bearer, struct slice query, const char *name);
