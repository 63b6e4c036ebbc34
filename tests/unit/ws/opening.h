/*
 * opening.h - opening requests as text, read from every prefix of them.
 */
#pragma once

#include "ws/upgrade.h"

#define GET     "GET / HTTP/1.1\r\n"
#define HOST    "Host: a.example\r\n"
#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define OPENING GET HOST UPGRADE VERSION KEY
#define END     "\r\n"

/* A whole request, or the part of one that decides. */
struct opening_case {
    const char *text;
    enum upgrade_reason reason;
};

/*
 * Reads every prefix of text, and of text with other bytes behind it: more, more, ... and then one
 * answer for good, which is returned. Each prefix is a heap block of its own, so that a byte read
 * beyond it is found. The slices are good until the next call.
 */
enum upgrade_reason opening_read(const struct upgrade_rules *rules, const char *text,
                                 struct upgrade *upgrade);

void opening_check(const struct upgrade_rules *rules, const struct opening_case *cases,
                   size_t count);
#define OPENING_CHECK(rules, cases) opening_check(rules, cases, sizeof(cases) / sizeof((cases)[0]))

/* Fails unless slice is text; NULL: unless it has no data. */
void opening_slice(struct slice slice, const char *text);
