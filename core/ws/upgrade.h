/*
 * upgrade.h - the opening handshake (RFC 6455, section 4.2): an HTTP/1.1 request in, an answer out.
 *
 * Pure. The request is parsed in the caller's buffer and described by borrowed slices; nothing of
 * it is changed. Refusals come in this order, whatever the order of the headers: the request as
 * HTTP (malformed, method, version, size), body, host, path, upgrade, version, key, origin, token.
 */
#pragma once

#include "base/bytes.h"
#include "ws/extension.h"
#include "ws/query.h"

#define UPGRADE_KEY_SIZE 24 /* characters: 16 bytes in base64 */

enum upgrade_status {
    UPGRADE_WHOLE,   /* a well-formed upgrade request */
    UPGRADE_MORE,    /* the request's end has not come yet */
    UPGRADE_REFUSED, /* upgrade.status is the HTTP status to answer with, upgrade.reason why */
};

/* Why a request is refused: also the metrics' label and the one-line body of the answer. */
enum upgrade_reason {
    UPGRADE_OK,
    UPGRADE_MALFORMED,      /* 400: not HTTP/1.1 as RFC 9112 has it (bare CR, NUL, obs-fold, ...) */
    UPGRADE_NO_HOST,        /* 400: Host missing, twice or malformed */
    UPGRADE_BAD_KEY,        /* 400: Sec-WebSocket-Key missing, twice, or not 16 bytes in base64 */
    UPGRADE_HAS_BODY,       /* 400: Content-Length other than 0, or Transfer-Encoding */
    UPGRADE_BAD_TOKEN_FORM, /* 401: two tokens, no token after the scheme */
    UPGRADE_NO_TOKEN,       /* 401 */
    UPGRADE_TOKEN_REFUSED,  /* 401: session/token says why, to the log only */
    UPGRADE_ORIGIN_REFUSED, /* 403 */
    UPGRADE_BAD_CHANNELS,   /* 400: the channels of the query are no names, or too many */
    UPGRADE_CHANNEL_REFUSED, /* 403: one of them is not allowed */
    UPGRADE_WRONG_PATH,      /* 404 */
    UPGRADE_WRONG_METHOD,    /* 405, Allow: GET */
    UPGRADE_BODY_TOO_LARGE,  /* 413: Content-Length over request_size_max */
    UPGRADE_NOT_UPGRADE,   /* 426: Connection or Upgrade does not ask for websocket; also plain GET,
                              and any HTTP version but 1.1 */
    UPGRADE_WRONG_VERSION, /* 426: Sec-WebSocket-Version is not 13, missing, or there twice */
    UPGRADE_TOO_LARGE,     /* 431: request line and headers over the limit, or too many */
    UPGRADE_FULL,          /* 503: a limit of this server, Retry-After */
    UPGRADE_STOPPING,      /* 503 */
    UPGRADE_NO_KEYS,       /* 503: no keys to check tokens with have come yet, Retry-After */
    UPGRADE_PLAIN_HTTP,    /* 400: an HTTP request in clear on the TLS port */
    UPGRADE_REASONS
};

/*
 * Where a token may stand, each switchable. The first of this order that holds one decides, and
 * when what it holds is no token (two of them, an empty one, characters that no token has) the
 * answer is 401: the places after it are not tried.
 */
enum token_place {
    TOKEN_AUTHORIZATION = 1, /* Authorization: Bearer x; another scheme counts as none */
    TOKEN_PROTOCOL = 2,      /* Sec-WebSocket-Protocol: bearer, x; answered with "bearer" */
    TOKEN_COOKIE = 4,        /* Cookie: <name>=x, on any Cookie line; two equal names: 401 */
    TOKEN_QUERY = 8,         /* ?<name>=x, not percent-encoded */
};
#define TOKEN_PLACES 4

struct upgrade_rules {
    size_t request_size_max;    /* bytes of request line and headers */
    const char *path;           /* "/" accepts "/", NULL any path */
    const char *const *origins; /* allow-list ("https://a.example"); count 0: any. A request without
                                   Origin comes from no browser's page and passes */
    size_t origin_count;
    const char *const *protocols; /* subprotocols that we speak, besides the token's "bearer" */
    size_t protocol_count;
    bool deflate;          /* permessage-deflate may be agreed on */
    unsigned token_places; /* enum token_place, or-ed; 0: no token wanted */
    const char *cookie_name;
    const char *query_name;
};

struct upgrade {
    size_t consumed; /* bytes of the request: what follows are frames (UPGRADE_WHOLE only) */
    int status;      /* 101, or the refusal's */
    uint32_t
        retry_after_s; /* with 503; UPGRADE_RETRY_AFTER_MIN_S at least, the caller spreads it */
    enum upgrade_reason reason;
    struct slice path;     /* without the query */
    struct slice query;    /* without '?', not decoded */
    struct slice host;     /* of an absolute target, else of the Host header */
    struct slice origin;   /* data NULL: none */
    struct slice key;      /* UPGRADE_KEY_SIZE characters of base64 */
    struct slice protocol; /* the subprotocol to answer with; data NULL: none */
    struct slice token;    /* as it stands in the request; data NULL: none */
    enum token_place token_place;
    struct extension extension; /* what was agreed on */
    struct slice user_agent;
};

/*
 * Parses input from its first byte; fills *upgrade anew. The same bytes cut anywhere give the same
 * answer, and what cannot become good is refused before it is whole. It keeps nothing between
 * calls: until the request is whole a call only looks for line ends (0.1 to 0.7 us at 16 KB), so a
 * sender of single bytes costs less here than its records cost to open.
 */
MUST_CHECK enum upgrade_status upgrade_read(const struct upgrade_rules *rules, const uint8_t *input,
                                            size_t size, struct upgrade *upgrade);

/* Sets reason, its status and the least retry_after_s: for what is decided after upgrade_read. */
#define UPGRADE_RETRY_AFTER_MIN_S 5
void upgrade_decide(struct upgrade *upgrade, enum upgrade_reason reason);

/* The answer: a 101 for upgrade.status 101, else the refusal with its one-line body, the headers
 * that its status asks for (Allow, Sec-WebSocket-Version and Upgrade, Retry-After,
 * WWW-Authenticate) and Connection: close. Returns its size; out has UPGRADE_ANSWER_MAX. */
#define UPGRADE_ANSWER_MAX        1024
#define UPGRADE_PROTOCOL_SIZE_MAX 512 /* a longer name in rules.protocols is never chosen */
MUST_CHECK size_t upgrade_answer(const struct upgrade *upgrade, uint8_t *out);

/* The HTTP status of a reason (101 for UPGRADE_OK) and its name for metrics ("bad_key"). */
MUST_CHECK int upgrade_reason_status(enum upgrade_reason reason);
MUST_CHECK const char *upgrade_reason_name(enum upgrade_reason reason);

/* Sec-WebSocket-Accept for a key (section 4.2.2, item 5.4): 28 characters, no terminator. */
void upgrade_accept_key(struct slice key, char out[28]);
