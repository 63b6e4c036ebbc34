/*
 * wheel.h - a hierarchical timer wheel over numbers: one deadline each, 12 bytes a number.
 *
 * Four levels of 256 slots over 10 ms ticks (Varghese and Lauck 1987; index links as lwan's).
 * No clock: `now_ms` is passed in, monotonic milliseconds, and never goes back (a smaller value is
 * taken as no progress). A deadline is never reported early, and at most one tick late plus the
 * time until the caller asks. Deadlines further than 246 days are clamped.
 */
#pragma once

#include "base/bytes.h"

#define WHEEL_TICK_MS 10
#define WHEEL_LEVELS  4
#define WHEEL_SLOTS   256

struct wheel_entry {
    uint32_t previous; /* a link: number + 1, or 0 at an end */
    uint32_t next;
    uint32_t deadline; /* the low 31 bits of its tick, and bit 31; 0 when not set */
};
static_assert(sizeof(struct wheel_entry) == 12, "one per connection");

struct wheel {
    struct wheel_entry *entries; /* by number */
    uint32_t count_max;
    uint32_t count;        /* set now */
    uint64_t tick;         /* every deadline before it was reported */
    uint32_t expired_head; /* link: due, not reported yet */
    uint32_t falling_head; /* link: a slot's list on its way to lower levels */
    uint32_t heads[WHEEL_LEVELS][WHEEL_SLOTS];
    uint64_t occupied[WHEEL_LEVELS][WHEEL_SLOTS / 64]; /* bit set: the slot's list is not empty */
};

/* Returns 0 or -errno. */
MUST_CHECK int wheel_open(struct wheel *wheel, uint32_t count_max, uint64_t now_ms);
void wheel_close(struct wheel *wheel); /* no-op when open failed, or on zeros */

/* Sets or moves the number's deadline. */
void wheel_set(struct wheel *wheel, uint32_t number, uint64_t deadline_ms);
void wheel_clear(struct wheel *wheel, uint32_t number); /* no-op when not set */
MUST_CHECK bool wheel_is_set(const struct wheel *wheel, uint32_t number);

/* Milliseconds from now_ms until wheel_expire may have work (0: now), or UINT64_MAX when empty. */
MUST_CHECK uint64_t wheel_next_ms(const struct wheel *wheel, uint64_t now_ms);

/* The next number whose deadline has passed, now unset, or NONE. Call until NONE, or stop and go on
 * in the next tick: what was not taken stays expired. The work of a call is bounded: while a
 * crowded slot comes down a level NONE may come too early, and wheel_next_ms is 0 then. */
MUST_CHECK uint32_t wheel_expire(struct wheel *wheel, uint64_t now_ms);

/* How late the number was that wheel_expire reported last, at this now_ms: the tick stands at its
 * deadline. */
MUST_CHECK static inline uint64_t wheel_lag_ms(const struct wheel *wheel, uint64_t now_ms)
{
    const uint64_t deadline_ms = wheel->tick * WHEEL_TICK_MS;

    return now_ms > deadline_ms ? now_ms - deadline_ms : 0;
}

/* Gives back the memory of the chunk of POOL_CHUNK_ITEMS entries that starts at first_number; none
 * is set. */
void wheel_trim(struct wheel *wheel, uint32_t first_number);

/* Asserts every invariant. O(count_max): for tests and the simulator. */
void wheel_check(const struct wheel *wheel);
