/*
 * slabs.h - kernel memory by slab cache, from /proc/slabinfo: what grew, and what one connection's
 * end has of it.
 */
#pragma once

#include "base/bytes.h"

#define SLABS_MAX      512
#define SLAB_NAME_SIZE 32

struct slab {
    char name[SLAB_NAME_SIZE];
    uint64_t objects;    /* in use */
    double object_bytes; /* pages of a full slab / objects in it: with what is lost between them */
};

struct slabs {
    struct slab items[SLABS_MAX];
    uint32_t count;
};

/* Returns 0, or -errno: the file is root's. */
MUST_CHECK int slabs_read(struct slabs *slabs);

/* Parses the file's text, for slabs_read and the tests. Lines that make no sense are skipped. */
void slabs_parse(struct slabs *slabs, const char *text);

/*
 * Waits until freed sockets have gone from the count: their memory is given back after an RCU grace
 * period. At most 3 s. Leaves the last reading in slabs.
 */
MUST_CHECK int slabs_read_settled(struct slabs *slabs);

#define GROWTHS_MAX 24

/* A cache that grew with the connections: at least one object for each ten of them. */
struct slab_growth {
    char name[SLAB_NAME_SIZE];
    double objects; /* per connection */
    double bytes;   /* objects x their share of the pages */
};

struct slab_growths {
    struct slab_growth items[GROWTHS_MAX]; /* the largest first */
    uint32_t count;
    double bytes;   /* their sum, per connection */
    double sockets; /* per connection: 2 with both ends here, unless others open some too */
};

void slabs_compare(struct slab_growths *growths, const struct slabs *before,
                   const struct slabs *after, uint32_t connections);

/* True when sockets came or went that are not the ends (1 or 2 a connection) of ours. */
MUST_CHECK bool slabs_are_disturbed(const struct slab_growths *growths, uint32_t ends);
