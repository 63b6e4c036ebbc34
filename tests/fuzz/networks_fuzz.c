/*
 * Goal: no text breaks networks_add; sorted ranges lie apart and in order; what was added is in it.
 */
#include "io/networks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct networks networks = {.ranges = NULL};
    size_t start = 0;

    for (size_t i = 0; i <= size; i++) {
        if (i == size || data[i] == '\n') {
            const uint32_t before = networks.count;
            const int error = networks_add(&networks, slice_from(data + start, i - start));
            ASSERT((error == 0) == (networks.count > before));
            start = i + 1;
        }
    }
    struct network_range first = {{0}, {0}};
    if (networks.count > 0) {
        first = networks.ranges[0];
    }
    networks_sort(&networks);
    for (uint32_t i = 0; i < networks.count; i++) {
        ASSERT(memcmp(networks.ranges[i].first, networks.ranges[i].last, 16) <= 0);
        ASSERT(i == 0 || memcmp(networks.ranges[i - 1].last, networks.ranges[i].first, 16) < 0);
    }
    if (networks.count > 0) {
        ASSERT(networks_have(&networks, first.first));
        ASSERT(networks_have(&networks, first.last));
    }
    networks_close(&networks);
    return 0;
}
