/*
 * scripted_redis.h - a Redis broker, and a Redis whose every answer is the test's: what comes
 * first on which connection is decided here, and not by a scheduler.
 *
 * Greetings, and what is asked for the canary, are answered at once. All else waits in
 * scripted_asked. Both run in the test's thread, over a Unix socket, so that what was sent is there
 * at once.
 */
#pragma once

#include "broker/redis.h"

#define SCRIPTED_CONNECTIONS 2 /* of the broker */

enum scripted_connection {
    SCRIPTED_COMMANDS,
    SCRIPTED_SUBSCRIBER,
};

struct scripted_peer {
    int fd; /* -1: none */
    size_t size;
    char bytes[1 << 20]; /* that are no whole command yet */
};

struct scripted_redis {
    struct broker *broker;
    char folder[32];
    char path[48];
    int listener;
    uint64_t now_ms;
    struct scripted_peer peers[SCRIPTED_CONNECTIONS]; /* by enum scripted_connection */
    struct scripted_peer stranger;                    /* it has not said yet which it is */
    char asked[1 << 16];                              /* lines: commands that wait for answers */
    char events[1 << 16];                             /* lines: what the broker gave */
};

/* Opens with these options, and is up: the prefix is "p:", nodes are filled in, and no time passes
 * that a test does not wait for. requests_max: 0 for 100. */
struct scripted_redis *scripted_open(struct redis_options options);
void scripted_close(struct scripted_redis *redis);

/* Sends bytes (RESP) on the connection; the broker does not look at them yet. */
void scripted_say(struct scripted_redis *redis, enum scripted_connection to, const char *bytes);

/* A message of the channel, with its offset in the stream (0: live only). */
void scripted_message(struct scripted_redis *redis, const char *channel, unsigned offset,
                      const char *epoch, const char *payload);

/* The same, by a subscription to the pattern. */
void scripted_pattern_message(struct scripted_redis *redis, const char *pattern,
                              const char *channel, unsigned offset, const char *epoch,
                              const char *payload);

/* A millisecond: the broker takes what was said, and the Redis what it asks. */
void scripted_turn(struct scripted_redis *redis);

/* Since the last call, one a line: commands without the names and texts of scripts; events as
 * "payload" of a publication, or "7 done" of the answer to ticket 7. */
const char *scripted_asked(struct scripted_redis *redis);
const char *scripted_events(struct scripted_redis *redis);

/* Ends a connection; the broker makes another in later turns, up to which this waits. */
void scripted_cut(struct scripted_redis *redis, enum scripted_connection which);
uint64_t scripted_gaps(struct scripted_redis *redis);
