#include "session/identity.h"

#include "base/digest.h"
#include "base/random.h"

void identity_key_make(struct identity_key *key)
{
    random_bytes(key, sizeof(*key));
}

static char hex(uint8_t value)
{
    return (char)(value < 10 ? '0' + value : 'a' + value - 10);
}

void identity_write(const struct identity_key *key, uint32_t shard, uint32_t number,
                    uint32_t generation, char text[IDENTITY_SIZE])
{
    uint8_t bytes[16];
    size_t out = 0;

    for (uint32_t half = 0; half < 2; half++) {
        const uint32_t input[4] = {shard, number, generation, half};
        store_be64(bytes + (size_t)half * 8, siphash(key->words, slice_from(input, sizeof(input))));
    }
    bytes[6] = (uint8_t)(0x40 | (bytes[6] & 0x0f)); /* version 4, variant 10 (RFC 9562) */
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3f));
    for (uint32_t i = 0; i < sizeof(bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            text[out++] = '-';
        }
        text[out++] = hex(bytes[i] >> 4);
        text[out++] = hex(bytes[i] & 0x0f);
    }
    ASSERT(out == IDENTITY_SIZE);
}
