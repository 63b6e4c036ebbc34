#include "admin/json_out.h"

#include "base/codepoint.h"
#include "base/digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ROOM_FIRST 256

/* Room for size more bytes; NULL when it failed, now or before. */
static char *extend(struct json_out *out, size_t size)
{
    if (out->failed || size > out->size_max - out->size) {
        out->failed = true;
        return NULL;
    }
    if (size > out->room - out->size) {
        size_t room = out->room > 0 ? out->room : ROOM_FIRST;
        while (room - out->size < size) {
            room *= 2;
        }
        char *data = realloc(out->data, room);
        if (!data) {
            out->failed = true;
            return NULL;
        }
        out->data = data;
        out->room = room;
    }
    out->size += size;
    return out->data + out->size - size;
}

void json_out_raw(struct json_out *out, struct slice raw)
{
    char *place = raw.size > 0 ? extend(out, raw.size) : NULL;

    if (place) {
        memcpy(place, raw.data, raw.size);
    }
}

void json_out_text(struct json_out *out, const char *raw)
{
    json_out_raw(out, slice_text(raw));
}

void json_out_number(struct json_out *out, uint64_t number)
{
    char digits[24];

    (void)snprintf(digits, sizeof(digits), "%" PRIu64, number);
    json_out_text(out, digits);
}

/* How many bytes at the start of text go out as they are. */
static size_t plain_size(struct slice text)
{
    size_t at = 0;

    while (at < text.size) {
        uint8_t byte = text.data[at];
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            break;
        }
        size_t size = code_point_size(slice_from(text.data + at, text.size - at));
        if (size == 0) {
            break;
        }
        at += size;
    }
    return at;
}

/* The byte that plain_size stopped at. */
static void put_escaped(struct json_out *out, uint8_t byte)
{
    char escape[8];

    if (byte >= 0x80) {
        json_out_text(out, "\xef\xbf\xbd"); /* U+FFFD */
    } else if (byte < 0x20) {
        (void)snprintf(escape, sizeof(escape), "\\u%04x", byte);
        json_out_text(out, escape);
    } else {
        (void)snprintf(escape, sizeof(escape), "\\%c", byte);
        json_out_text(out, escape);
    }
}

void json_out_string(struct json_out *out, struct slice text)
{
    json_out_text(out, "\"");
    while (text.size > 0) {
        size_t size = plain_size(text);
        json_out_raw(out, slice_from(text.data, size));
        if (size < text.size) {
            put_escaped(out, text.data[size]);
            size++;
        }
        text = slice_from(text.data + size, text.size - size);
    }
    json_out_text(out, "\"");
}

void json_out_base64(struct json_out *out, struct slice bytes)
{
    json_out_text(out, "\"");
    char *place = extend(out, BASE64_SIZE(bytes.size));
    if (place) {
        size_t written = base64_encode(bytes, place);
        ASSERT(written == BASE64_SIZE(bytes.size));
    }
    json_out_text(out, "\"");
}
