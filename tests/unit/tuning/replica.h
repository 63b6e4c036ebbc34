/*
 * replica.h - a folder that stands for "/": made, written to, and compared before and after.
 */
#pragma once

#include "tuning/apply.h"

#include <sys/types.h>

struct replica {
    char root[64];
    FILE *out; /* what apply and revert say, both streams */
    char *text;
    size_t text_size;
    struct apply_options options; /* --yes; root, out and errors are set */
};

/* With a /proc/sys of some keys, /etc with a sysctl.d of somebody else's, /var/lib. */
void replica_open(struct replica *replica);
void replica_populate(const struct replica *replica); /* once more, on an empty root */
void replica_close(struct replica *replica);          /* removes it */

/* For tests: a replica as their state. */
int replica_set_up(void **state);
int replica_tear_down(void **state);

/* With replica_changes; and back. */
int replica_apply(struct replica *replica);
int replica_revert(struct replica *replica);

/* The path below the root; good until the next call. */
const char *replica_path(const struct replica *replica, const char *path);

/* Makes the folders above, too. */
void replica_write(const struct replica *replica, const char *path, const char *text);
char *replica_read(const struct replica *replica, const char *path, size_t *size); /* to be freed */
void replica_expect(const struct replica *replica, const char *path, const char *text);
void replica_expect_absent(const struct replica *replica, const char *path);

/* Fails unless it failed, said so, and changed nothing. */
void replica_expect_refused(struct replica *replica, int result, const char *said,
                            const char *before);

/* What was said since the last call; good until the next one. */
const char *replica_said(struct replica *replica);
/* Fails the test when it was not said; forgets what was. */
void replica_expect_said(struct replica *replica, const char *part);

/* Everything below the root as text: names, kinds, modes, owners, contents, links, and when the
 * files below /etc were written. To be freed. */
char *replica_snapshot(const struct replica *replica);

/* Fails the test where the tree is not as it was. */
void replica_expect_snapshot(const struct replica *replica, const char *before, const char *when);

/* Changes that differ from what a replica has: two live values, one that is absent, limits. */
extern const struct change replica_changes[];
extern const size_t replica_change_count;
