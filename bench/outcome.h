/*
 * outcome.h - what became of each connection: the load tool's own failures apart from the server's.
 */
#pragma once

#include "base/bytes.h"
#include "base/counter.h"

enum outcome {
    /* This machine's or this program's: they say nothing about the server. */
    OUTCOME_OWN_PORTS,       /* EADDRNOTAVAIL, EADDRINUSE */
    OUTCOME_OWN_DESCRIPTORS, /* EMFILE, ENFILE */
    OUTCOME_OWN_MEMORY,      /* ENOMEM, ENOBUFS, no room for one more handshake */
    OUTCOME_OWN_OTHER,
    /* Before the connection was open. */
    OUTCOME_CONNECT_REFUSED,
    OUTCOME_CONNECT_RESET,
    OUTCOME_CONNECT_TIMEOUT,
    OUTCOME_TLS_FAILED, /* an alert, or a handshake that we could not follow */
    OUTCOME_TLS_CLOSED, /* end of stream or reset */
    OUTCOME_TLS_TIMEOUT,
    OUTCOME_UPGRADE_REFUSED, /* another status than 101 */
    OUTCOME_UPGRADE_BAD,     /* not an answer to our request */
    OUTCOME_UPGRADE_CLOSED,
    OUTCOME_UPGRADE_TIMEOUT,
    /* After it. */
    OUTCOME_LOST_CLOSED, /* a close frame */
    OUTCOME_LOST_RESET,  /* end of stream or reset without one */
    OUTCOME_LOST_PROTOCOL,
    OUTCOMES
};

#define OUTCOME_FIRST_OF_SERVER OUTCOME_CONNECT_REFUSED
#define OUTCOME_FIRST_LOST      OUTCOME_LOST_CLOSED

MUST_CHECK const char *outcome_name(enum outcome outcome); /* "tls_timeout" */
MUST_CHECK const char *outcome_text(enum outcome outcome); /* "TLS handshake not done in time" */

/* What a connect that ended with -error (errno's number) means. */
MUST_CHECK enum outcome outcome_of_connect(int error);

/* Written by one worker, read by everyone. */
struct load_counts {
    struct counter started;
    struct counter opened; /* ever */
    struct counter open;   /* now */
    struct counter in_flight;
    struct counter ended[OUTCOMES];
    struct counter pings_answered;
    struct counter pongs_missed; /* no room to answer: our own failure */
    struct counter messages;
    struct counter sent; /* messages of ours */
};
