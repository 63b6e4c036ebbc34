/*
 * settings.h - what a reload can change, immutable: options, certificates, token keys, networks.
 * The main thread puts new ones on the desk; shards, the relay and the admin thread each hold those
 * that they read, and change over at the start of a turn. Old ones are freed when nobody holds
 * them.
 *
 * In a turn without news that costs the reading of one counter; the lock is taken once a thread and
 * reload.
 */
#pragma once

#include "base/counter.h"
#include "io/networks.h"
#include "server/options.h"
#include "session/token.h"
#include "tls/certificate.h"

#include <pthread.h>

struct key_sources;

/* What is marked as its own is freed with it; NULL there: it is somebody else's. */
struct settings {
    const struct options *options;
    struct options *options_own;
    const struct certificate_set *certificates;
    struct certificate_set *certificates_own;
    const struct token_keys *token_keys; /* NULL: no token wanted */
    struct token_keys *token_keys_own;
    struct networks banned;
    struct networks allowed;
    struct networks trusted; /* proxies */
    bool allows_all;         /* there is no list of those who may come */
    uint32_t missing_count;  /* key sets by URL that have not come yet */
    const char *missing_url; /* of the first of them, in the options; NULL: all have come */
    struct settings *base;   /* all but the token keys is lent by these; NULL: all is its own */
    uint32_t dependents;     /* of which these are the base */
    uint64_t number;         /* counts up; from settings_publish on */
    uint32_t holders;
    struct settings *newer; /* in the order in which they were published */
};

struct settings_desk {
    pthread_mutex_t mutex;
    struct settings *oldest;
    struct settings *newest;
    struct counter number; /* the newest's */
};

/*
 * Settings of these options, with their certificates and keys still to be opened. own: the options,
 * too, are freed with them.
 */
MUST_CHECK struct settings *settings_new(const struct options *options, struct options *own);

/* Read the files that the options name. 0, or -1 with a message that names file and reason. */
MUST_CHECK int settings_open_certificates(struct settings *settings, char *message,
                                          size_t message_size);
MUST_CHECK int settings_open_token_keys(struct settings *settings, struct key_sources *sources,
                                        char *message, size_t message_size);

MUST_CHECK int settings_open_networks(struct settings *settings, char *message,
                                      size_t message_size);

void settings_desk_open(struct settings_desk *desk);
void settings_desk_close(struct settings_desk *desk); /* frees all: nobody holds any */

/* The main thread: what it holds becomes the newest, and the desk's. */
void settings_publish(struct settings_desk *desk, struct settings *settings);

/* The main thread: the newest with token keys read anew, to be published. NULL with a message. */
MUST_CHECK struct settings *settings_renew_keys(struct settings_desk *desk,
                                                struct key_sources *sources, char *message,
                                                size_t message_size);

/* The main thread: frees those that nobody needs any more, but never the newest. True when no
 * thread holds older ones. */
bool settings_sweep(struct settings_desk *desk);

/* For settings that were never published. NULL: no-op. */
void settings_free(struct settings *settings);

/* Any thread: the newest, to be held until settings_let_go. */
MUST_CHECK const struct settings *settings_take(struct settings_desk *desk);
void settings_let_go(struct settings_desk *desk, const struct settings *settings);

/* There are newer ones than those that the thread holds. */
static inline bool settings_are_old(const struct settings_desk *desk,
                                    const struct settings *settings)
{
    return counter_read(&desk->number) != settings->number;
}
