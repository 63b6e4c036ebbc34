/*
 * redis_link.h - one connection to a Redis: it connects, logs in, and connects again when it has
 * ended, with a growing delay that is drawn at random. What it carries is its owner's business.
 *
 * RESP2, with one connection for commands and one for subscriptions a node: so Redis 6 suffices and
 * any proxy will do, a burst that makes Redis end the subscriber's connection leaves requests
 * alone, and a large answer does not stand before what is live.
 *
 * Of hiredis it is the reader of replies that is used. Its own connections (async.c) resolve names
 * while they block, know no sharded subscriptions, and stop the process by assert when a reply has
 * not the shape they expect.
 */
#pragma once

#include "base/log.h"
#include "broker/redis_bytes.h"
#include "broker/redis_format.h"
#include "broker/redis_tls.h"

#include <hiredis/hiredis.h>

enum redis_link_state {
    REDIS_LINK_DOWN, /* until retry_ms */
    REDIS_LINK_RESOLVING,
    REDIS_LINK_CONNECTING,
    REDIS_LINK_SECURING,
    REDIS_LINK_GREETING,
    REDIS_LINK_UP,
};

/* The same for many links; lent for their whole life. */
struct redis_login {
    const char *user;
    const char *password_file; /* NULL: none */
    struct redis_tls *tls;     /* NULL: none */
    const char *tls_name;      /* NULL: the address's host */
    uint32_t timeout_ms;
};

enum redis_greeting {
    REDIS_GREETING_AUTH,
    REDIS_GREETING_NAME,
    REDIS_GREETING_SCRIPT,
    REDIS_GREETING_ROLE,
    REDIS_GREETING_PING,
};
#define REDIS_GREETINGS_MAX 8

struct redis_link {
    const struct redis_login *login;
    const char *purpose; /* for the log */
    bool wants_master;   /* a replica is no good */
    bool loads_scripts;
    struct redis_address address;
    enum redis_link_state state;
    bool is_wanted;   /* connects when it is down */
    bool has_come_up; /* for the owner, who resets it */
    bool has_ended;   /* likewise: it had been up */
    int fd;
    struct redis_resolver *resolver;
    struct redis_tls_stream *tls;
    bool tls_wants_write;
    redisReader *reader;
    struct redis_bytes out;
    size_t out_sent; /* of out */
    uint64_t sent;   /* bytes, a running count: of those that were appended up to there */
    enum redis_greeting greetings[REDIS_GREETINGS_MAX];
    uint32_t greeting_count; /* that were sent */
    uint32_t greeted;        /* that were answered */
    uint64_t since_ms;       /* this state, or for UP: when it came up */
    uint64_t retry_ms;
    uint32_t failures;
    uint64_t reconnects;
    bool is_drained; /* no whole reply is in the reader */
    bool is_behind;  /* more may be read than was */
    bool is_closing; /* the peer closed: it ends when the last reply has been taken */
    int close_error;
    uint32_t poll_index; /* for the owner: among the descriptors; NONE: not waited for */
    struct log_limit lines;
    char reason[160]; /* of the last failure */
};

/* The password in a file: its first line. Returns its size, or 0 when there is none to be read. */
#define REDIS_PASSWORD_SIZE_MAX 1024
MUST_CHECK size_t redis_password_read(const char *path, char password[REDIS_PASSWORD_SIZE_MAX]);

void redis_link_init(struct redis_link *link, const struct redis_login *login, const char *purpose);

/* To this address from now on; another one ends the connection. */
void redis_link_connect(struct redis_link *link, const struct redis_address *address,
                        uint64_t now_ms);

/* Ends the connection for this reason; it connects again after a while if it is wanted. */
void redis_link_end(struct redis_link *link, const char *reason, uint64_t now_ms);
void redis_link_close(struct redis_link *link); /* for good */

/* Sends what it can, and says what to wait for: false when there is no descriptor. */
MUST_CHECK bool redis_link_poll(struct redis_link *link, struct pollfd *poll, uint64_t now_ms,
                                uint64_t *wake_ms);
void redis_link_turn(struct redis_link *link, short revents, uint64_t now_ms);

/* The next reply of a link that is up, to be freed by freeReplyObject; NULL: none. Garbage ends
 * the link. */
MUST_CHECK redisReply *redis_link_next(struct redis_link *link, uint64_t now_ms);

/* Where commands are appended when it is up. The running count of bytes there: what is below
 * link->sent when it ends has been sent. */
static inline struct redis_bytes *redis_link_out(struct redis_link *link)
{
    ASSERT(link->state == REDIS_LINK_UP);
    return &link->out;
}

static inline uint64_t redis_link_appended(const struct redis_link *link)
{
    return link->sent + (link->out.size - link->out_sent);
}

/* --- redis_greeting.c: for redis_link.c --- */

/* Appends what is said first. False: the password cannot be read. */
MUST_CHECK bool redis_greeting_send(struct redis_link *link);

/* NULL when the answer is as it must be, else what is wrong, which may lie in the reply. */
MUST_CHECK const char *redis_greeting_fault(enum redis_greeting greeting, const redisReply *reply);
