/*
 * mailbox.h - how shards talk: a bounded byte ring per shard, many writers, one reader.
 *
 * A parcel is copied in by the sender and copied or used in place by the reader: no shared pointer,
 * no shared reference count. Writers reserve with one compare-and-swap and never wait for each
 * other; the reader stops at the first parcel that is not written yet. Besides base/counter.h and
 * base/tally.c, the only file with atomics.
 */
#pragma once

#include "base/bytes.h"

struct mailbox;

/* size: bytes, rounded up to a power of two. NULL when there is no memory. */
MUST_CHECK struct mailbox *mailbox_open(size_t size);
void mailbox_close(struct mailbox *mailbox);

/*
 * Copies head then body in as one parcel. False when there is no room: nothing was written, the
 * caller counts it. *wake: the reader may be asleep and must be woken (ring_wake); at most one of
 * the writers since the reader's last look is told so. Any thread.
 */
MUST_CHECK bool mailbox_post(struct mailbox *mailbox, struct slice head, struct slice body,
                             bool *wake);

/* Largest head + body that ever fits. */
MUST_CHECK size_t mailbox_parcel_max(const struct mailbox *mailbox);

/* Reader only. Call once at the start of a look: writers from here on wake again. */
void mailbox_attend(struct mailbox *mailbox);

/* The next parcel, borrowed until mailbox_release; data NULL when there is none. 8-byte aligned. */
MUST_CHECK struct slice mailbox_next(struct mailbox *mailbox);
void mailbox_release(struct mailbox *mailbox, struct slice parcel);
