/*
 * identity.h - the name of a connection for the world outside: a UUID that is kept nowhere.
 *
 * It is made, each time it is needed, from the connection's numbers and a key of the process: so it
 * is unique as long as its slot's generation does not come round (16 million connections later),
 * and tells nothing.
 */
#pragma once

#include "base/bytes.h"

#define IDENTITY_SIZE 36 /* characters of a UUID */

struct identity_key {
    uint64_t words[2];
};

void identity_key_make(struct identity_key *key);

/* No terminator. */
void identity_write(const struct identity_key *key, uint32_t shard, uint32_t number,
                    uint32_t generation, char text[IDENTITY_SIZE]);
