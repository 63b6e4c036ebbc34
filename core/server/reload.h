/*
 * reload.h - SIGHUP and `limpet reload`: reads options, certificates and keys anew.
 *
 * Everything is read and checked first. If anything is wrong nothing changes, and the reason is
 * told. Else shards, relay and admin thread take it over at their next turn; connections stay, and
 * handshakes that have begun end as they began.
 */
#pragma once

#include "admin/control.h"
#include "admin/metrics.h"

struct run;

struct reload_counts {
    struct counter taken;
    struct counter refused;
    struct counter certificate_expires_s; /* the first of those in use; Unix time, 0: none */
};

extern const struct metric reload_metrics[]; /* of struct reload_counts */
extern const size_t reload_metrics_size;

/* Notes when the first certificate in use expires: at the start, and after each reload. */
void reload_note_expiry(struct run *run);

/* SIGHUP: what came of it is logged. */
void reload_signal(struct run *run);

/* A key set by URL has changed: new token keys, and nothing else. */
void reload_token_keys(struct run *run);

/* POST /reload: what came of it is logged, and the answer, as JSON or with ?format=text as lines.
 * When it is answered every thread has taken it. */
void reload_control(struct run *run, const struct control_request *request,
                    struct control_answer *answer);
