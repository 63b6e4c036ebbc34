/*
 * loopback.h - what the tests of io/ share: a ring with a listener on the loopback, plain blocking
 * clients at the other end, and waiting for one event.
 */
#pragma once

#include "io/listener.h"
#include "io/ring.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LISTENER   7u /* the number that accepts carry here */
#define GENERATION 0xabcdeu
#define AWAIT_MS   5000 /* a test that waits longer has failed */

struct loopback {
    struct ring *ring;
    int listener_fd;
    struct sockaddr_in6 address; /* of the listener */
    struct ring_event held[64];  /* events taken but not asked for yet */
    uint32_t held_count;
};

/* Small by default; a test that wants something else fills in options first. */
extern const struct ring_options loopback_options;

void loopback_open(struct loopback *loopback, const struct ring_options *options, const char *text);
void loopback_close(struct loopback *loopback);

/* The same as cmocka's setup and teardown: *state is an IPv4 one with the small options. */
int loopback_setup(void **state);
int loopback_teardown(void **state);

/* A connected client's descriptor. */
MUST_CHECK int loopback_connect(const struct loopback *loopback);

/* A connected client, accepted as *number; the accept must be armed. */
MUST_CHECK int loopback_accepted(struct loopback *loopback, uint32_t *number);

/* The next event of that operation and number; others are kept in their order. Fails the test after
 * AWAIT_MS. */
MUST_CHECK struct ring_event loopback_await(struct loopback *loopback,
                                            enum ring_operation operation, uint32_t number);

/* Runs the ring once without waiting. */
void loopback_turn(struct loopback *loopback);

/* The same; true when such an event is there (it stays). */
MUST_CHECK bool loopback_has(struct loopback *loopback, enum ring_operation operation,
                             uint32_t number);

/* A client sends a text. */
void loopback_put(int fd, const char *text);

/* Resets a client's connection. */
void loopback_reset(int fd);

/* The next byte of a client: 0 to 255, -1 for the end of stream, else -errno - 1000. Waits. */
MUST_CHECK int loopback_read_byte(int fd);

/* True when the client has nothing to read, not even an end of stream. */
MUST_CHECK bool loopback_is_quiet(int fd);
