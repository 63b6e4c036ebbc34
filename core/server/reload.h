/*
 * reload.h - SIGHUP: files of keys that were written anew. Everything else needs a new start.
 */
#pragma once

#include "admin/api_key.h"

struct server;

/* The session tickets' keys and the HTTP API's (NULL: none). What is wrong with a file is logged,
 * and the old keys stay. */
void reload_keys(const struct server *server, struct api_keys *api_keys);
