/*
 * Goal: no text breaks endpoint_parse, and what it accepts is a place that has a text.
 */
#include "io/endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct endpoint endpoint;
    char text[ENDPOINT_TEXT_SIZE];

    if (endpoint_parse(slice_from(data, size), &endpoint) != 0) {
        return 0;
    }
    ASSERT(endpoint.mode <= 0777);
    ASSERT(endpoint.proxy <= (PROXY_V1 | PROXY_V2));
    ASSERT(strlen(endpoint.path) < sizeof(endpoint.path));
    ASSERT(!endpoint_same(&endpoint, &endpoint) || endpoint.path[0] == '/' ||
           endpoint.address.sin6_port != 0);
    endpoint_format(&endpoint, text);
    ASSERT(strlen(text) < sizeof(text));
    return 0;
}
