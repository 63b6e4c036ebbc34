#include "tuning/target.h"

#define HASH_BYTES_A_BUCKET (128u << 10) /* of memory; alloc_large_system_hash's scale for TCP */
#define HASH_DEFAULT_MAX    524288u

uint64_t power_of_two_above(uint64_t value)
{
    uint64_t power = 1;

    while (power < value) {
        power *= 2;
    }
    return power;
}

uint64_t target_accept_rate(const struct target *target)
{
    const uint64_t most = (uint64_t)target->threads * ACCEPTS_PER_S;

    return target->connect_rate < most ? target->connect_rate : most;
}

/* SO_REUSEPORT spreads by hash: room for six standard deviations, and for handshakes. */
uint64_t target_sockets_per_ring(const struct target *target)
{
    const uint64_t share = (target->connections + target->threads - 1) / target->threads;
    uint64_t sigma = 1;

    while (sigma * sigma < share) {
        sigma++;
    }
    return share + 6 * sigma + target->options.handshakes_max + 64;
}

uint64_t target_memory_bytes(const struct target *target)
{
    return target->connections * CONNECTION_BYTES / 10 * 16 + BASE_BYTES;
}

uint64_t target_charged_bytes(const struct target *target)
{
    return target->connections * CHARGED_BYTES / 10;
}

/* tcp_init_mem: 3/32 of the pages, 9.4 %. */
uint64_t target_tcp_mem_default(const struct target *target)
{
    return target->memory_bytes / PAGE_BYTES * 3 / 32;
}

uint64_t target_hash_default(const struct target *target)
{
    const uint64_t buckets = power_of_two_above(target->memory_bytes / HASH_BYTES_A_BUCKET);

    return buckets < HASH_DEFAULT_MAX ? buckets : HASH_DEFAULT_MAX;
}
