/*
 * options.h - what an operator can set: one YAML file, and flags that override it.
 *
 * Every count and size of the server comes from here; server/budget.h turns them into pools and
 * prints the table. Texts are owned by the options and live as long as they do.
 *
 * In the file: durations "500ms", "25s", "10m", "24h", "7d", always with a unit; sizes "64KB",
 * "16MB" (1024-based) or plain bytes. Keys are the field names below, nested by struct, without _ms
 * and _s: `heartbeat.ping_interval`. options_table.c has each with its range and default.
 */
#pragma once

#include "base/bytes.h"
#include "base/log.h"
#include "broker/redis.h"
#include "session/namespace.h"

#include <stdio.h>

#define OPTIONS_LISTEN_MAX       16
#define OPTIONS_CERTIFICATES_MAX 64
#define OPTIONS_KEYS_MAX         32
#define OPTIONS_NAMES_MAX        64
#define OPTIONS_ROWS_MAX         128 /* options that there can be */

struct option_certificate {
    char *certificate; /* path of PEM chain */
    char *key;         /* path of PEM key */
};

struct option_token_key {
    char *kid;       /* may be NULL */
    char *algorithm; /* "HS256", ...; NULL for a JWKS file */
    char *path;
};

enum broker_choice {
    BROKER_KIND_MEMORY,
    BROKER_KIND_REDIS,
};

/* What becomes of publications while the broker is away. */
enum when_away {
    WHEN_AWAY_REFUSE,
    WHEN_AWAY_QUEUE,
};

/* As it was written; NULL: left out. */
struct option_namespace {
    char *name; /* "" for channels without one */
    char *subscribe;
    char *publish;
    char *see_presence;
    char *see_history;
    char *presence;
    char *history_size;
    char *history_age;
    char *slow;
    char *frame;
};

struct option_names {
    char *names[OPTIONS_NAMES_MAX];
    uint32_t count;
};

struct options {
    struct option_names listen;   /* "0.0.0.0:8443", "[::]:8443", "8443" (both families); 8443 */
    uint32_t shards;              /* 0: one a core */
    uint32_t listen_backlog;      /* 4,096 */
    uint32_t tcp_user_timeout_ms; /* 30 s; TCP_USER_TIMEOUT */
    uint32_t socket_receive_size; /* 0: the kernel's */
    uint32_t socket_send_size;    /* 0: the kernel's */

    struct {
        struct option_certificate certificates[OPTIONS_CERTIFICATES_MAX];
        uint32_t certificate_count;
        bool tls_1_2;             /* true: TLS 1.2 with AEAD suites is accepted too */
        bool tickets;             /* true */
        char *ticket_key_file;    /* NULL: random keys, rotated */
        uint32_t ticket_rotate_s; /* 8 h */
    } tls;

    struct {
        char *path;                  /* "/" only; NULL (default): any */
        struct option_names origins; /* empty: any */
        struct option_names protocols;
        uint32_t request_size_max; /* 16 KB */
        bool deflate;              /* false; true: permessage-deflate for clients that offer it */
        uint32_t deflate_size_min; /* bytes; shorter messages go as they are: 256 */
        uint32_t deflate_level;    /* 1 */
    } upgrade;

    struct {
        bool required; /* true; false: anyone may connect, without channels: for development */
        bool in_authorization; /* true */
        bool in_protocol;      /* true */
        bool in_cookie;        /* false */
        bool in_query;         /* false */
        char *cookie_name;     /* "token" */
        char *query_name;      /* "token" */
        struct option_token_key keys[OPTIONS_KEYS_MAX];
        uint32_t key_count;
        char *issuer;              /* NULL: not checked */
        char *audience;            /* NULL: not checked */
        uint32_t leeway_s;         /* 5 */
        bool require_expiry;       /* true */
        uint32_t size_max;         /* 8 KB */
        uint32_t channels_max;     /* 128 a token */
        uint32_t channel_size_max; /* 255 bytes */
        char *jwks_ca_file;        /* PEM; NULL: the system's */
        char *jwks_cache;          /* folder of the last good key sets; NULL: none */
        uint32_t jwks_refresh_s;   /* 10 min: between two fetches of a key set by URL */
        uint32_t jwks_cooldown_s;  /* 30 s: after a failure, and for unknown keys */
        uint32_t jwks_timeout_ms;  /* 5 s */
    } token;

    struct {
        struct option_names banned;           /* networks; empty: none */
        char *banned_file;                    /* one a line; NULL: none */
        struct option_names allowed;          /* networks; empty, and no file: all */
        char *allowed_file;                   /* likewise */
        uint32_t connections_max;             /* whole server; 0: what the limits allow */
        uint32_t connections_per_address_max; /* 0: no limit */
        uint32_t connections_per_user_max;    /* 0: no limit */
        uint32_t handshakes_max;              /* in flight, per shard: 1,024 */
        uint32_t handshakes_per_tick_max;     /* 32: bounds a tick, heartbeats go on in a storm */
        uint32_t admissions_per_s;            /* handshakes begun, whole server; 0: no limit */
        uint32_t admission_burst;             /* at once after a quiet time; 0: those of 1 s */
        uint32_t message_size_max;            /* bytes, from a client: 64 KB */
        uint32_t queue_bytes_max;             /* waiting for one connection, 48 more each: 256 KB */
        uint32_t shard_queue_bytes_max;       /* waiting in a shard; 0: of memory / 8 its share */
        uint32_t channels_max;                /* per shard: 65,536 */
        uint32_t subscriptions_max;           /* per shard; 0: 2 x its connections */
        uint32_t arena_size;                  /* per shard, bytes: 64 MB (virtual until used) */
        uint32_t receive_buffer_count;        /* per shard: 256 */
        uint32_t receive_buffer_size;         /* bytes: 4,096 */
        uint32_t mailbox_size;                /* per shard, bytes: 1 MB */
    } limits;

    struct {
        uint32_t ping_interval_ms; /* 25 s: below every common balancer's idle limit */
        uint32_t pong_timeout_ms;  /* 10 s */
    } heartbeat;

    struct {
        uint32_t handshake_ms;       /* 10 s, accept to Finished */
        uint32_t admission_wait_ms;  /* 5 s, whole ClientHello to its handshake; 0: handshake_ms */
        uint32_t upgrade_ms;         /* 10 s, Finished to the whole request */
        uint32_t close_ms;           /* 5 s, our close frame to theirs */
        uint32_t token_grace_ms;     /* 0: after exp, before 3000 */
        uint32_t age_max_ms;         /* 0: none; else 1012 after age_max +- jitter */
        uint32_t age_jitter_percent; /* 10 */
        uint32_t shutdown_ms;        /* 10 s: SIGTERM to exit */
    } deadlines;

    struct {
        char *publish_channel; /* what clients send goes there; "" (dev mode's default): back to the
                                  sender; NULL (default): refused with 1008 */
        char *channels_query;  /* "channels"; "" : none by query */
    } plain;

    struct {
        enum broker_choice kind;     /* memory */
        uint32_t mailbox_size;       /* bytes: 4 MB */
        bool forward;                /* false: what clients send goes to backends, too */
        enum when_away when_away;    /* refuse */
        uint32_t queue_bytes_max;    /* 64 MB */
        uint32_t canary_interval_ms; /* 1 s */
    } broker;

    struct {
        uint32_t channels_max;         /* 65,536, with history */
        uint32_t history_bytes_max;    /* 64 MB, over all channels */
        uint32_t members_max;          /* 1,000,000 present, over all channels */
        uint32_t idempotency_keys_max; /* 100,000 */
    } memory;

    struct {
        enum redis_topology topology; /* single */
        struct option_names nodes;    /* 127.0.0.1:6379; sentinels, or some of a cluster's */
        char *master_name;            /* of sentinels: "mymaster" */
        char *user;                   /* ACL; NULL: the default user */
        char *password_file;          /* NULL: no password */
        char *sentinel_user;          /* NULL: the default user */
        char *sentinel_password_file; /* NULL: no password */
        bool tls;                     /* false */
        char *tls_ca_file;            /* NULL: the system's */
        char *tls_certificate_file;   /* NULL: none */
        char *tls_key_file;
        char *tls_name;                /* NULL: the host of the address */
        char *prefix;                  /* "limpet:" */
        bool one_pattern;              /* false: a subscription for each channel */
        enum redis_forward forward;    /* stream */
        char *forward_name;            /* "limpet:inbound" */
        uint32_t forward_length_max;   /* 100,000 of the stream */
        uint32_t requests_max;         /* 4,096 in flight */
        uint32_t members_max;          /* 1,000,000 present, of this host */
        uint32_t timeout_ms;           /* 5 s */
        uint32_t presence_expiry_s;    /* 60 s */
        uint32_t subscribes_per_s_max; /* 20,000 */
    } redis;

    struct {
        struct option_names trusted; /* networks of proxies that tell who their clients are */
    } proxy;

    struct option_namespace namespace_texts[NAMESPACES_MAX];
    struct namespaces namespaces; /* what the texts mean; its count is theirs too */

    struct {
        char *listen;                      /* "127.0.0.1:9464"; "" switches the admin port off */
        char *control;                     /* path of a Unix socket; NULL: /run/limpet/control if
                                              that folder is ours; "": none */
        char *api_key_file;                /* NULL: no publishing over HTTP */
        bool api_key_in_query;             /* false */
        bool api_namespaces_only;          /* false: channels of no namespace's, too */
        uint32_t body_size_max;            /* of a request, bytes: 1 MB */
        uint32_t answer_timeout_ms;        /* 5 s: what the broker may take */
        uint32_t ready_high_water_percent; /* of the capacity; 95; 0: never */
    } admin;

    struct {
        enum log_format format; /* text */
        enum log_level level;   /* info */
    } log;

    char *file;                       /* that was read; NULL: none */
    uint32_t lines[OPTIONS_ROWS_MAX]; /* where in it an option stands, by its index; 0: a flag's, or
                                         the default */
};

/* Defaults as commented above. */
void options_init(struct options *options);
void options_free(struct options *options);

/* Reads the file over the defaults. Returns 0, or -1 after writing "FILE:LINE: key: what is wrong,
 * what is allowed" lines to errors. */
MUST_CHECK int options_read_file(struct options *options, const char *path, FILE *errors);

/*
 * Sets one option by its dotted name, as flags do: `--heartbeat.ping-interval 25s` has the name
 * "heartbeat.ping_interval". A list is set as a whole, its entries with commas between: names,
 * CHAIN:KEY for certificates, [KID=]ALGORITHM:PATH, PATH.json or https://... for token keys,
 * NAME:KEY=VALUE:... for namespaces. Returns 0, or -1 with a message.
 */
MUST_CHECK int options_set(struct options *options, const char *name, const char *value,
                           char *message, size_t message_size);

/* What can be set, one after the other (for argp and help); NULL past the last. */
struct option_info {
    const char *name;  /* "heartbeat.ping_interval" */
    const char *value; /* kind of its value: "DURATION", "SIZE", "NUMBER", "BOOL", "TEXT", "LIST" */
    const char *standard; /* the default, as text */
    const char *help;     /* one line */
};
MUST_CHECK const struct option_info *options_info(size_t index);

/* Cross-checks (ranges are checked as values are set). Returns 0, or -1 after writing lines to
 * errors. */
MUST_CHECK int options_validate(const struct options *options, FILE *errors);

/*
 * What is given, and comes to nothing with the other options, or has an effect that few will want:
 * the next one, as "name: what and why". *next is 0 at first. False: there are no more.
 */
MUST_CHECK bool options_warning(const struct options *options, size_t *next, char *message,
                                size_t message_size);

/* Writes every option with its value and help, lined up: `limpet options`, with the defaults. Then
 * the keys of an entry of namespaces in the same way. */
void options_describe(const struct options *options, FILE *out);

/* Writes what holds in each namespace, defaults included: for `limpet check`. */
void options_describe_namespaces(const struct options *options, FILE *out);
