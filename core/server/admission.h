/*
 * admission.h - who may begin a TLS handshake, and when: connections whose ClientHello is whole
 * wait here for a place and for their turn.
 *
 * Clients are of two classes: returning ones offer a ticket that this server could open, new ones
 * do not. The classes take turns, and neither may hold more than seven eighths of the places: so a
 * flood of one does not lock the other out. That a client is returning is its own word, good for a
 * place in the other queue and nothing else.
 *
 * limits.admissions_per_s bounds how many begin, with a token bucket per shard. Whoever has waited
 * for deadlines.admission_wait is turned away before any work was done for it: it would soon give
 * up by itself, and what is done for a client that has gone is done for nobody. While the oldest
 * waits for more than ADMISSION_PATIENCE_MS the newest goes first, for the same reason.
 */
#pragma once

#include "base/bucket.h"
#include "base/queue.h"

struct shard;

#define ADMISSION_PATIENCE_MS 1000
#define ADMISSION_DELAYED_MS  100 /* who waited for so long counts as delayed */

enum admission_class {
    ADMISSION_NEW,
    ADMISSION_RETURNING,
    ADMISSION_CLASSES
};

enum admission_outcome {
    ADMISSION_ADMITTED, /* at once */
    ADMISSION_DELAYED,
    ADMISSION_REFUSED,
    ADMISSION_OUTCOMES
};

struct admission {
    struct queue waiting[ADMISSION_CLASSES]; /* numbers of connections, the oldest first */
    uint32_t held[ADMISSION_CLASSES];        /* handshakes in flight */
    enum admission_class turn;               /* who goes first when both could */
    uint32_t done;                           /* handshakes completed since window_ms */
    uint32_t done_before;                    /* and in the window before it */
    uint64_t window_ms;
    struct bucket bucket;
};

/* Room for count_max connections. Returns 0 or -errno. */
MUST_CHECK int admission_open(struct admission *admission, uint32_t count_max);
void admission_close(struct admission *admission);
void admission_trim(struct admission *admission);

/* A request that came without TLS: counted, and false when it is to be answered 503, at once, for
 * by the rate no more are admitted now. */
MUST_CHECK bool admission_pass(struct shard *shard);

/* A connection's ClientHello is whole: it waits from now on. */
void admission_wait(struct shard *shard, uint32_t number, enum admission_class class);

/* Whose handshake may begin now, counted and taken out; NONE: nobody's. */
MUST_CHECK uint32_t admission_next(struct shard *shard);

/* Who has waited for too long, counted and taken out; NONE: nobody. */
MUST_CHECK uint32_t admission_overdue(struct shard *shard);

/* A handshake of the class has begun, or ended. */
void admission_hold(struct shard *shard, enum admission_class class, bool begins);

/* A handshake was completed. */
void admission_done(struct shard *shard);

/*
 * More of the class wait than there are places left for them, and places do not come free by
 * themselves: in ADMISSION_WINDOW_MS fewer handshakes were completed than half the places. Then who
 * is slow must give way. In a storm of honest clients that would throw away work for nothing.
 */
#define ADMISSION_WINDOW_MS 2000u
MUST_CHECK bool admission_is_crowded(struct shard *shard, enum admission_class class);

/* Until admission_next or admission_overdue has something to give, if nothing else happens;
 * UINT64_MAX: never. */
MUST_CHECK uint64_t admission_wait_ms(struct shard *shard);
