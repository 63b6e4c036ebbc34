/*
 * state.h - dev mode's state folder: a certificate, a secret, made once and kept.
 *
 *   certificate.pem, key.pem   self-signed ECDSA P-256 for localhost and this host's name
 *   secret                     64 hexadecimal digits: the HMAC key of the tokens
 *   api-key                    likewise: the key of the HTTP API
 *   control                    the control socket of the server that runs
 *
 * Everything is readable by its owner only.
 */
#pragma once

#include "server/options.h"

#include <limits.h>

struct state {
    char directory[PATH_MAX];
    char certificate_path[PATH_MAX + 32];
    char key_path[PATH_MAX + 32];
    char secret_path[PATH_MAX + 32];
    char api_key_path[PATH_MAX + 32];
    char control_path[PATH_MAX + 32]; /* of the running server's socket */
    bool is_new;                      /* something was made now */
};

/* directory NULL: $XDG_STATE_HOME/limpet or ~/.local/state/limpet. Makes what is missing. Returns
 * 0, or -1 with a message. */
MUST_CHECK int state_open(struct state *state, const char *directory, char *message,
                          size_t message_size);

/* Only the paths, makes nothing. Returns 0 or -errno. */
MUST_CHECK int state_locate(struct state *state, const char *directory);

/* Options for dev mode: the state's certificate and secret, loopback, tokens from every place, what
 * a client sends comes back to it. */
void state_set_options(const struct state *state, struct options *options);
