/*
 * https_host.h - an HTTPS server whose answers are the test's: what a key set by URL is fetched
 * from. It listens on loopback, and serves one request a connection, one after the other.
 */
#pragma once

#include "child.h"

#include <stdint.h>

struct https_host;

/* Its certificate, which is its own authority, goes into the folder. */
struct https_host *https_host_open(const struct child_folder *folder);
void https_host_close(struct https_host *host);

const char *https_host_ca(const struct https_host *host); /* path of a PEM */

/* "https://127.0.0.1:PORT" + path; good until the eighth next call. */
const char *https_host_url(const struct https_host *host, const char *path);

/* From now on: what is asked for at this path (a text that stays) gets this. Others get 404.
 * headers: lines, each with its end. */
void https_host_give(struct https_host *host, const char *path, int status, const char *headers,
                     const char *body);

/* Requests so far, of any path. */
uint32_t https_host_count(struct https_host *host);

/* A key set's member: a P-256 key, of which there are three (number 0 to 2). */
#define EC_KEY(kid, number) "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"" kid "\"," EC_##number "}"
#define EC_0                                                                                       \
    "\"x\":\"gaaVqZXbV2cuYXiH7cRy7pRe5WeQgyAhOoglaWW3l7Q\","                                       \
    "\"y\":\"WsqrIszZ2zYgLPHKdpYIFs8butm-zBRr1PGSNFW8WGo\""
#define EC_1                                                                                       \
    "\"x\":\"kGhqx_JBtfZG1XfuJu4jYktMlpzVZX3w3c7nwGAwQt0\","                                       \
    "\"y\":\"F1fIQ_tXb_TvghJ2Y6mekqV3MPx0lRWl8fsXHLEbdpQ\""
#define EC_2                                                                                       \
    "\"x\":\"9yVe0Ar57pLPu2I1QfjUczuiQfOOtIEioR4dwcOipUY\","                                       \
    "\"y\":\"YZRi2tmdjwzoES5rpsHcH8DOTyTfaiEx2zaF11EFcD8\""
#define KEY_SET(keys) "{\"keys\":[" keys "]}"
