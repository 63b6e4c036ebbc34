#include "session/namespace.h"

#include "ws/utf8.h"

/* Who publishes without a rule is decided by plain.publish_channel, not here. */
static const struct namespace built_in = {.who = {[NAMESPACE_SUBSCRIBE] = WHO_CLAIM,
                                                  [NAMESPACE_PUBLISH] = WHO_NOBODY,
                                                  [NAMESPACE_PRESENCE] = WHO_NOBODY,
                                                  [NAMESPACE_HISTORY] = WHO_NOBODY}};

static bool begins_with(struct slice text, struct slice start)
{
    return text.size >= start.size && slice_equal(slice_from(text.data, start.size), start);
}

const struct namespace *namespace_of(const struct namespaces *namespaces, struct slice channel)
{
    const uint8_t *colon = channel.size > 0 ? memchr(channel.data, ':', channel.size) : NULL;
    struct slice name = slice_from(channel.data, colon ? (size_t)(colon - channel.data) : 0);

    for (uint32_t i = 0; i < namespaces->count; i++) {
        if (slice_equal(slice_text(namespaces->entries[i].name), name)) {
            return &namespaces->entries[i];
        }
    }
    return &built_in;
}

static bool is_pattern(struct slice name)
{
    return name.size > 0 && name.data[name.size - 1] == '*';
}

/* What all channels of a pattern begin with. */
static struct slice start_of(struct slice pattern)
{
    return slice_from(pattern.data, pattern.size - 1);
}

bool name_list_matches(const struct name_list *list, struct slice channel)
{
    /* A pattern lies within another when its start does: "e*" not within "e**". */
    struct slice start = is_pattern(channel) ? start_of(channel) : channel;
    const char *text = list->names;

    for (uint32_t i = 0; i < list->count; i++) {
        struct slice name = slice_text(text);

        if (is_pattern(name) ? begins_with(start, start_of(name)) : slice_equal(name, channel)) {
            return true;
        }
        text += name.size + 1;
    }
    return false;
}

/* A pattern over more namespaces than one, built-in ones among them. */
static bool spans(struct slice channel)
{
    return is_pattern(channel) && !memchr(channel.data, ':', channel.size);
}

static bool allows_span(const struct namespaces *namespaces, enum namespace_action action,
                        const struct name_list *claim, struct slice pattern)
{
    struct slice start = start_of(pattern);

    for (uint32_t i = 0; i < namespaces->count; i++) {
        const struct namespace *space = &namespaces->entries[i];
        /* Channels without a namespace may begin with anything. */
        bool is_reached = space->name[0] == '\0' || begins_with(slice_text(space->name), start);

        if (is_reached && space->who[action] == WHO_NOBODY) {
            return false;
        }
    }
    return name_list_matches(claim, pattern);
}

bool namespace_allows(const struct namespaces *namespaces, enum namespace_action action,
                      const struct name_list *claim, struct slice channel, bool is_subscribed)
{
    if (spans(channel)) {
        return allows_span(namespaces, action, claim, channel);
    }
    switch (namespace_of(namespaces, channel)->who[action]) {
    case WHO_NOBODY:
        return false;
    case WHO_CLAIM:
        return name_list_matches(claim, channel);
    case WHO_CLIENT:
        return true;
    case WHO_SUBSCRIBER:
        return is_subscribed;
    }
    ASSERT(false);
    return false;
}

/* A bad byte of UTF-8 is the checker's to find: this one only has to find what is whole. */
static bool has_control_character(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        uint8_t next = i + 1 < text.size ? text.data[i + 1] : 0xff;

        if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next < 0xa0)) {
            return true;
        }
    }
    return false;
}

bool channel_name_is_valid(struct slice name, size_t size_max)
{
    return name.size > 0 && name.size <= size_max && !has_control_character(name) &&
           utf8_advance(UTF8_ACCEPT, name) == UTF8_ACCEPT;
}

bool name_list_split(char *text, size_t size, size_t name_size_max, uint32_t count_max,
                     struct name_list *list)
{
    char *out = text;
    size_t at = 0;

    *list = (struct name_list){.names = text};
    while (at < size) {
        const char *start = text + at;
        const char *comma = memchr(start, ',', size - at);
        size_t name_size = comma ? (size_t)(comma - start) : size - at;

        at += name_size + 1;
        if (name_size == 0) {
            continue;
        }
        if (!channel_name_is_valid(slice_from(start, name_size), name_size_max) ||
            list->count == count_max) {
            return false;
        }
        memmove(out, start, name_size);
        out[name_size] = '\0';
        out += name_size + 1;
        list->count++;
    }
    return true;
}
