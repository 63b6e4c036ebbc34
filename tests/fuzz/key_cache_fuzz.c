/*
 * Goal: no file breaks the reader of kept key sets; what it takes lies within the file, and is what
 * would be written again.
 */
#include "server/key_cache.h"

#include <stdlib.h>

#define URL "https://id.example/keys"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct key_cache_entry entry;
    char *bytes = malloc(size + 1);

    ASSERT(bytes != NULL);
    memcpy(bytes, data, size);
    bytes[size] = '\0';
    if (key_cache_parse(bytes, size, URL, &entry)) {
        ASSERT(entry.document > bytes);
        ASSERT(entry.document + entry.size == bytes + size);
        ASSERT(entry.fetched_s >= 0);
        ASSERT(!key_cache_parse(bytes, size, URL "2", &entry));
    }
    free(bytes);
    return 0;
}
