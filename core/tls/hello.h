/*
 * hello.h - the walk through a whole ClientHello (RFC 8446, section 4.1.2). For gate.c.
 */
#pragma once

#include "tls/gate.h"

/* Fills what hello says about the offers. body: the message without its header. Returns 0, or the
 * alert with which to refuse it. */
MUST_CHECK uint8_t hello_walk(struct hello *hello, struct slice body);
