/*
 * extension.h - what a client offers in Sec-WebSocket-Extensions (RFC 6455, section 9.1), as far as
 * it is permessage-deflate (RFC 7692, section 7.1).
 *
 * Pure; strict: an offer with a parameter that is unknown, there twice, or has a value that it must
 * not have is declined, and the next is looked at. Other extensions are passed over.
 */
#pragma once

#include "base/bytes.h"

/* What was agreed on. Zeroed: nothing yet. Neither side takes its context over. */
struct extension {
    bool has_deflate;
    bool names_window; /* the client set a limit to our window: the answer names ours */
    bool is_broken;    /* a line was no list of extensions: what follows is not looked at */
};

/* Reads one header line; several are one list. The first offer that we can keep is the one. */
void extension_read(struct extension *extension, struct slice line);

/* The header's value of the answer, zero-terminated, when has_deflate. */
MUST_CHECK const char *extension_answer(const struct extension *extension);
