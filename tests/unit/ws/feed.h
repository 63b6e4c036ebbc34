/*
 * feed.h - frames fed to a reader in segments, and what came out as one line of text.
 *
 *   T[text] B[binary] t[compressed text] b[compressed binary] P[ping] O[pong] C[close], a control
 * frame inside a message inside its brackets: T[he P[x] llo] without the spaces; at the end " 1002"
 * when the reader failed so.
 */
#pragma once

#include "ws/frame.h"

#define FEED_TEXT_MAX 400000 /* characters */

/* How an input is cut: not, byte by byte, into some 1 to 37 bytes, or at one place (FEED_CUT_AT +
 * it). */
enum {
    FEED_WHOLE,
    FEED_BYTES,
    FEED_RANDOM,
    FEED_CUT_AT,
};

/* Feeds input and leaves the line in text. Each segment is a heap block of its own, so that a byte
 * read beyond it is found. Returns the close code, or 0. */
uint16_t feed(const struct ws_limits *limits, struct slice input, size_t cut, char *text);

/* Bytes of a line of hexadecimal digits and white space. */
size_t feed_from_hex(const char *hex, uint8_t *out);
