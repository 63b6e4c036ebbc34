#include "ws/query.h"

bool query_next(struct slice *query, struct slice *name, struct slice *value)
{
    if (query->size == 0) {
        return false;
    }
    const uint8_t *end = memchr(query->data, '&', query->size);
    size_t pair_size = end == NULL ? query->size : (size_t)(end - query->data);
    size_t taken = end == NULL ? pair_size : pair_size + 1;
    const uint8_t *equals = memchr(query->data, '=', pair_size);
    size_t name_size = equals == NULL ? pair_size : (size_t)(equals - query->data);

    *name = slice_from(query->data, name_size);
    *value = slice_from(query->data + pair_size, 0);
    if (equals != NULL) {
        *value = slice_from(equals + 1, pair_size - name_size - 1);
    }
    *query = slice_from(query->data + taken, query->size - taken);
    return true;
}

/* 0 to 15, or more than 15. */
static unsigned hex_digit(uint8_t byte)
{
    unsigned lower = byte | 0x20u;

    if (byte >= '0' && byte <= '9') {
        return byte - (unsigned)'0';
    }
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

static int64_t decode(struct slice text, uint8_t *out)
{
    int64_t size = 0;

    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '%') {
            if (text.size - i < 3) {
                return QUERY_MALFORMED;
            }
            unsigned high = hex_digit(text.data[i + 1]);
            unsigned low = hex_digit(text.data[i + 2]);
            if (high > 15 || low > 15) {
                return QUERY_MALFORMED;
            }
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (byte == '+') {
            byte = ' ';
        }
        out[size++] = byte;
    }
    return size;
}

int64_t query_value(struct slice query, const char *name, uint8_t *out)
{
    struct slice wanted = slice_text(name);
    struct slice found = {0};
    struct slice pair_name;
    struct slice value;
    bool is_found = false;

    while (query_next(&query, &pair_name, &value)) {
        if (!slice_equal(pair_name, wanted)) {
            continue;
        }
        if (is_found) {
            return QUERY_MALFORMED;
        }
        is_found = true;
        found = value;
    }
    return is_found ? decode(found, out) : QUERY_ABSENT;
}
