/*
 * Goal: no text breaks address_parse, and what it accepts comes back the same through its own text.
 */
#include "io/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sockaddr_in6 address;
    struct sockaddr_in6 again;
    char text[ADDRESS_TEXT_SIZE];
    uint8_t key[16];
    uint8_t key_again[16];

    if (address_parse(slice_from(data, size), &address) != 0) {
        return 0;
    }
    address_format(&address, text);
    address_key(&address, key);
    ASSERT(address_parse(slice_text(text), &again) == 0);
    address_key(&again, key_again);
    ASSERT(memcmp(key, key_again, sizeof(key)) == 0);
    ASSERT(again.sin6_port == address.sin6_port);
    return 0;
}
