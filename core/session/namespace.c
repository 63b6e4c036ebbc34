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

bool name_list_matches(const struct name_list *list, struct slice channel)
{
    const char *text = list->names;

    for (uint32_t i = 0; i < list->count; i++) {
        struct slice name = slice_text(text);
        bool is_pattern = name.size > 0 && name.data[name.size - 1] == '*';

        /* A wanted pattern is covered by one that its own text begins with. */
        if (is_pattern ? begins_with(channel, slice_from(name.data, name.size - 1))
                       : slice_equal(name, channel)) {
            return true;
        }
        text += name.size + 1;
    }
    return false;
}

/* A pattern over more namespaces than one, built-in ones among them. */
static bool spans(struct slice channel)
{
    return channel.size > 0 && channel.data[channel.size - 1] == '*' &&
           !memchr(channel.data, ':', channel.size);
}

static bool allows_span(const struct namespaces *namespaces, enum namespace_action action,
                        const struct name_list *claim, struct slice pattern)
{
    struct slice start = slice_from(pattern.data, pattern.size - 1);

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
