/*
 * control_client.h - the commands that ask a running server over its control socket: which socket,
 * one request, what it answered.
 */
#pragma once

#include "admin/fetch.h"

#include <argp.h>

/* What a command's flags say; all may be NULL. */
struct control_where {
    const char *control_path;    /* --control PATH */
    const char *options_path;    /* --options FILE: its admin.control */
    const char *state_directory; /* --state DIR: dev mode's */
};

/* These flags, as a child of a command's own argp: its input is a struct control_where. */
extern const struct argp control_client_argp;

/*
 * Asks. where all NULL: /run/limpet/control if it is there, else dev mode's. answer is the caller's
 * to free; its body is JSON. -1 when it has said on stderr why there is no answer.
 */
MUST_CHECK int control_client_ask(const struct control_where *where, const char *method,
                                  const char *target, struct fetch_answer *answer);

/* A refusal's reason, on stderr, behind "limpet: " and what it means. */
void control_client_complain(const struct fetch_answer *answer, const char *meaning);
