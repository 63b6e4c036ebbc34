/*
 * tally.h - how many connections each address or user has, over all shards.
 *
 * Besides the mailboxes this is the one structure that shards share: a cap per address or user
 * means something only over the whole process. It is touched twice in a connection's life, under
 * one of 64 striped locks held for a few loads. Keys are kept as 64-bit SipHash values under a
 * random key of this process: nobody outside can make two collide, and by chance two of a million
 * do with probability 3e-8. Fixed memory: entries_max entries of 16 bytes, and at most 8 for
 * finding each.
 */
#pragma once

#include "base/bytes.h"

struct tally;

enum tally_outcome {
    TALLY_COUNTED,
    TALLY_LIMIT, /* the key is at count_max already: nothing was counted */
    TALLY_FULL,  /* no free entry: nothing was counted */
};

/* NULL when there is no memory. */
MUST_CHECK struct tally *tally_open(uint32_t entries_max); /* at most 2^31 */
void tally_close(struct tally *tally);                     /* NULL: no-op */

/* Counts one more of key unless it has count_max (0: no limit). *entry: hold it for tally_leave. */
MUST_CHECK enum tally_outcome tally_enter(struct tally *tally, struct slice key, uint32_t count_max,
                                          uint32_t *entry);
void tally_leave(struct tally *tally, uint32_t entry);

/* Keys counted now; any thread. In tests and in the simulator all must have left at the end. */
MUST_CHECK uint32_t tally_count(const struct tally *tally);
