/* random_source_sim.c - base/random_source.c for the simulator: the same bytes for the same seed.
 */
#include "base/random.h"

#include "tests/sim/ring_sim.h"

static uint64_t state;

void random_source_seed(uint64_t seed)
{
    state = seed;
}

/* SplitMix64: good enough to look random, and nobody's secret depends on it here. */
static uint64_t next(void)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t value = state;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

void random_source(void *out, size_t size)
{
    uint8_t *to = out;

    while (size > 0) {
        const uint64_t value = next();
        const size_t part = size < sizeof(value) ? size : sizeof(value);
        memcpy(to, &value, part);
        to += part;
        size -= part;
    }
}
