#include "ws/extension.h"

#include "ws/deflate.h"
#include "ws/request.h"

/* A window of 2^8 bytes, of which zlib makes 2^9, to 2^15. */
#define WINDOW_BITS_MIN 8
#define WINDOW_BITS_MAX 15

enum parameter {
    SERVER_NO_CONTEXT_TAKEOVER = 1,
    CLIENT_NO_CONTEXT_TAKEOVER = 2,
    SERVER_MAX_WINDOW_BITS = 4,
    CLIENT_MAX_WINDOW_BITS = 8,
};

/* Registered in lower case; names of extensions and parameters are compared as they are. */
static unsigned parameter_of(struct slice name)
{
    static const struct {
        const char *name;
        enum parameter parameter;
    } parameters[] = {
        {"server_no_context_takeover", SERVER_NO_CONTEXT_TAKEOVER},
        {"client_no_context_takeover", CLIENT_NO_CONTEXT_TAKEOVER},
        {"server_max_window_bits", SERVER_MAX_WINDOW_BITS},
        {"client_max_window_bits", CLIENT_MAX_WINDOW_BITS},
    };

    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
        if (slice_equal(name, slice_text(parameters[i].name))) {
            return parameters[i].parameter;
        }
    }
    return 0;
}

/* 8 to 15 without a leading zero; 0: something else. */
static unsigned window_bits_of(struct slice value)
{
    unsigned bits = 0;

    if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"') {
        value = slice_from(value.data + 1, value.size - 2);
    }
    if (value.size == 0 || value.size > 2 || value.data[0] == '0') {
        return 0;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return 0;
        }
        bits = bits * 10 + (unsigned)(value.data[i] - '0');
    }
    return bits >= WINDOW_BITS_MIN && bits <= WINDOW_BITS_MAX ? bits : 0;
}

static struct slice trim(struct slice text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = slice_from(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

/* Takes what stands before the separator off *text; *found: the separator was there. */
static struct slice take(struct slice *text, char separator, bool *found)
{
    const uint8_t *end = text->size > 0 ? memchr(text->data, separator, text->size) : NULL;
    size_t size = end ? (size_t)(end - text->data) : text->size;
    struct slice taken = slice_from(text->data, size);

    *found = end != NULL;
    *text = end ? slice_from(end + 1, text->size - size - 1) : slice_from(text->data, 0);
    return trim(taken);
}

/* One parameter. False: the offer cannot be kept. */
static bool read_parameter(struct slice text, unsigned *seen, struct extension *offer)
{
    bool has_value;
    struct slice name = take(&text, '=', &has_value);
    struct slice value = trim(text);
    unsigned parameter = parameter_of(name);

    if (parameter == 0 || *seen & parameter) {
        return false;
    }
    *seen |= parameter;
    if (parameter == SERVER_MAX_WINDOW_BITS) {
        offer->names_window = true;
        return has_value && window_bits_of(value) >= DEFLATE_WINDOW_BITS;
    }
    if (parameter == CLIENT_MAX_WINDOW_BITS) {
        /* A hint, with or without a value: we understand every window. */
        return !has_value || window_bits_of(value) != 0;
    }
    return !has_value;
}

static bool read_offer(struct slice text, struct extension *offer)
{
    unsigned seen = 0;
    bool more;

    if (!slice_equal(take(&text, ';', &more), slice_text("permessage-deflate"))) {
        return false;
    }
    while (more) {
        if (!read_parameter(take(&text, ';', &more), &seen, offer)) {
            return false;
        }
    }
    offer->has_deflate = true;
    return true;
}

/* The comma at which the list was cut may have stood in a quoted value, which no token has. */
static bool is_cut(struct slice offer)
{
    bool in_quotes = false;

    for (size_t i = 0; i < offer.size; i++) {
        in_quotes = in_quotes != (offer.data[i] == '"');
    }
    return in_quotes;
}

void extension_read(struct extension *extension, struct slice line)
{
    struct slice element;

    while (!extension->has_deflate && !extension->is_broken &&
           request_next_element(&line, ',', &element)) {
        struct extension offer = {0};

        if (is_cut(element)) {
            extension->is_broken = true;
        } else if (read_offer(element, &offer)) {
            *extension = offer;
        }
    }
}

const char *extension_answer(const struct extension *extension)
{
    static_assert(DEFLATE_WINDOW_BITS == 12, "as it stands in the answer");
    ASSERT(extension->has_deflate);
    return extension->names_window
               ? "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
                 "server_max_window_bits=12"
               : "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
}
