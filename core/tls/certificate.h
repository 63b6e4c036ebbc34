/*
 * certificate.h - the server's certificates: files in, a set to choose from by host name out.
 *
 * A set is read and checked once (main thread), immutable, and shared by all shards; each shard
 * makes its own library contexts from it (tls/handshake.h).
 */
#pragma once

#include "base/bytes.h"

struct certificate_files {
    const char *certificate_path; /* PEM: leaf first, then its issuers */
    const char *key_path;         /* PEM, not encrypted */
};

struct certificate_set;

/*
 * Reads count pairs; the first is the default for unknown and missing names. NULL on any error,
 * with a message that names the file and the reason (missing, unreadable, no certificate, key of
 * another certificate, ...). Things that work but should be looked at (expired, wrong chain order,
 * leaf without its issuer) are logged as warnings.
 */
MUST_CHECK struct certificate_set *certificate_set_open(const struct certificate_files *files,
                                                        size_t count, char *message,
                                                        size_t message_size);
void certificate_set_close(struct certificate_set *set); /* wipes the keys */

/* For the shards' contexts and handshakes. */
enum certificate_kind {
    CERTIFICATE_ECDSA,
    CERTIFICATE_RSA
};

struct certificate {
    struct slice chain; /* PEM text */
    struct slice key;   /* PEM text */
    enum certificate_kind kind;
    int64_t begins_s; /* Unix time, of the leaf */
    int64_t expires_s;
};

MUST_CHECK uint32_t certificate_set_count(const struct certificate_set *set);
MUST_CHECK const struct certificate *certificate_set_at(const struct certificate_set *set,
                                                        uint32_t number);

struct certificate_wish {
    struct slice name; /* letters folded, no trailing dot; size 0: none */
    bool ecdsa;        /* what the client can verify */
    bool rsa;
};

/* The pair for a hello: by exact name, then by a wildcard for its first label, else the default. Of
 * several for a name the one that the client can verify, ECDSA before RSA. */
MUST_CHECK uint32_t certificate_choose(const struct certificate_set *set,
                                       const struct certificate_wish *wish);

/* Writes a self-signed ECDSA P-256 certificate for names (DNS names and addresses) and its key, for
 * dev mode; files are made 0600, atomically. Returns 0 or -errno with a message. */
MUST_CHECK int certificate_make(const char *const *names, size_t name_count,
                                const struct certificate_files *files, char *message,
                                size_t message_size);
