#include "tls/der.h"

void der_init(struct der *der)
{
    der->start = DER_ROOM;
    der->is_full = false;
}

void der_put(struct der *der, struct slice bytes)
{
    if (bytes.size > der->start) {
        der->is_full = true;
        return;
    }
    der->start -= bytes.size;
    if (bytes.size > 0) {
        memcpy(der->bytes + der->start, bytes.data, bytes.size);
    }
}

void der_wrap(struct der *der, uint8_t tag, size_t end)
{
    uint8_t header[4] = {tag};
    const size_t size = end - der->start;
    size_t header_size = 2;
    ASSERT(end >= der->start);
    if (size < 0x80) {
        header[1] = (uint8_t)size;
    } else if (size < 0x100) {
        header[1] = 0x81;
        header[2] = (uint8_t)size;
        header_size = 3;
    } else {
        header[1] = 0x82;
        store_be16(header + 2, (uint16_t)size);
        header_size = 4;
    }
    der_put(der, slice_from(header, header_size));
}

void der_value(struct der *der, uint8_t tag, struct slice content)
{
    const size_t end = der->start;
    der_put(der, content);
    der_wrap(der, tag, end);
}

struct slice der_written(const struct der *der)
{
    return slice_from(der->bytes + der->start, DER_ROOM - der->start);
}
