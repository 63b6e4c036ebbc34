/*
 * request.h - the head of an HTTP/1.1 request, taken apart strictly (RFC 9112, sections 2 to 5).
 *
 * Pure. Only CRLF ends a line, a header name is a token with its colon right behind it, nothing is
 * folded over lines, values have no control characters: two readers of one head cannot disagree.
 * One empty line before the request line is passed over (section 2.2).
 */
#pragma once

#include "base/bytes.h"

#define REQUEST_FIELDS_MAX      100
#define REQUEST_METHOD_SIZE_MAX 32 /* bytes; the longest registered method has 17 */

enum request_status {
    REQUEST_WHOLE,
    REQUEST_MORE,
    REQUEST_MALFORMED,
    REQUEST_OTHER_METHOD,  /* well-formed so far, not GET */
    REQUEST_OTHER_VERSION, /* well-formed so far, not HTTP/1.1 */
    REQUEST_TOO_LARGE,     /* over size_max, or more lines than REQUEST_FIELDS_MAX */
};

struct request {
    size_t size;         /* bytes of the head, the empty line at its end included */
    struct slice target; /* as it stands in the request line */
    struct slice fields; /* the header lines, each with its CRLF */
};

/*
 * Looks for the end of the head, and refuses as soon as no continuation can be good: the same bytes
 * cut anywhere give the same answer. Stateless, from the first byte at every call; cheap, because
 * it only looks for line ends, at most REQUEST_FIELDS_MAX + 2 of them.
 */
MUST_CHECK enum request_status request_scan(const uint8_t *input, size_t size, size_t size_max,
                                            struct request *request);

/* Splits a target: origin-form, or absolute-form of http, https, ws or wss, whose authority is then
 * set (data NULL: none). False: malformed, or another form. */
struct request_target {
    struct slice authority;
    struct slice path;  /* never empty */
    struct slice query; /* without '?' */
};
MUST_CHECK bool request_split_target(struct slice target, struct request_target *parts);

enum request_field_status {
    REQUEST_FIELD,
    REQUEST_FIELDS_END,
    REQUEST_FIELD_MALFORMED,
};

/* Takes the next header line off *fields; the value comes without the white space around it. */
MUST_CHECK enum request_field_status request_next_field(struct slice *fields, struct slice *name,
                                                        struct slice *value);

/* Takes the next element off *list, which separator divides, without the white space around it;
 * empty elements are passed over (RFC 9110, section 5.6.1). False at the end. */
MUST_CHECK bool request_next_element(struct slice *list, char separator, struct slice *element);

/* The forms of RFC 9110, sections 5.6.2 and 11.2, and of uri-host [ ":" port ]; none may be empty.
 */
MUST_CHECK bool request_is_token(struct slice text);
MUST_CHECK bool request_is_token68(struct slice text);
MUST_CHECK bool request_is_host(struct slice text);
