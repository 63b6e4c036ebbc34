/*
 * Goal: no bytes break the reader; what it takes lies within the input, and less of it is never
 * taken for something else.
 */
#include "io/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (uint8_t versions = 1; versions <= (PROXY_V1 | PROXY_V2); versions++) {
        struct proxy_header header;
        struct proxy_header part;
        if (proxy_header_read(slice_from(data, size), versions, &header) != PROXY_DONE) {
            continue;
        }
        ASSERT(header.size <= size);
        ASSERT(header.size <= PROXY_V2_SIZE_MAX);
        for (size_t cut = 0; cut < header.size; cut += 1 + header.size / 16) {
            ASSERT(proxy_header_read(slice_from(data, cut), versions, &part) == PROXY_MORE);
        }
        char text[ADDRESS_TEXT_SIZE];
        if (header.has_source) {
            address_format(&header.source, text);
        }
    }
    return 0;
}
