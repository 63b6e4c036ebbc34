/*
 * key_sources_tool.h - what the tests of key sources share: an HTTPS host with a key set, options
 * that name it, and waits for what the thread of the sources does.
 */
#pragma once

#include "https_host.h"
#include "server/key_sources.h"

#define WAIT_MS 60000 /* only a broken one lets it pass */
#define ONE     KEY_SET(EC_KEY("one", 0))
#define TWO     KEY_SET(EC_KEY("two", 1))
#define BOTH    KEY_SET(EC_KEY("one", 0) "," EC_KEY("two", 1))
#define SECRET                                                                                     \
    "{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}"

extern struct child_folder folder;
extern struct https_host *host;
extern struct options options;
extern struct key_sources *sources;
extern const struct key_source_counts *counts; /* of the sources */
extern char message[1024];

/* Before and after each test: the host gives ONE at /keys, whose URL is the options' one key; a
 * cool-down of an hour. */
int open_all(void **state);
int close_all(void **state);

void set(const char *name, const char *value);
void set_keys(const char *first, const char *second); /* token.keys */

void add(void); /* key_sources_add, that must succeed */
void expect_document(const char *path, const char *expected); /* NULL: there is none */

void await_change(void);
void await_count(const struct counter *counter, uint64_t value); /* at least */
