/*
 * api_key.h - the keys of the HTTP API: a file with one or more, one a line.
 *
 * Several, so that a key can be changed without a moment in which none is good: the new one is
 * added, whoever publishes is told, the old one goes. Only digests are kept, and compared: neither
 * the time of a comparison nor a core dump tells a key.
 */
#pragma once

#include "base/bytes.h"

#define API_KEYS_MAX          32
#define API_SECRET_SIZE_MIN   16 /* bytes of a key */
#define API_SECRET_SIZE_MAX   512
#define API_KEY_FILE_SIZE_MAX 65536

struct api_keys;

/* Empty lines and those that begin with '#' do not count. NULL with a message that names the file
 * and line, never what stands there. */
MUST_CHECK struct api_keys *api_keys_open(const char *path, char *message, size_t message_size);
void api_keys_close(struct api_keys *keys);

/* Takes the keys of another, which were read later and is closed. Any thread. */
void api_keys_replace(struct api_keys *keys, struct api_keys *fresh);

/* Any thread. */
MUST_CHECK bool api_keys_match(struct api_keys *keys, struct slice key);
