/*
 * namespace.h - what the channels of a namespace have, and who may do what with them.
 *
 * A channel's namespace is the text before its first ':'; channels without one belong to "". A
 * channel whose namespace is not configured follows the built-in rules: subscribe by claim, publish
 * by plain.publish_channel alone, no history, no presence, slow consumers are closed.
 *
 * A name that ends in '*' is a pattern, in tokens and in what clients ask for: it stands for every
 * channel that begins with the rest.
 */
#pragma once

#include "base/bytes.h"

#define NAMESPACES_MAX          64
#define NAMESPACE_NAME_SIZE_MAX 64 /* bytes */

enum namespace_action {
    NAMESPACE_SUBSCRIBE,
    NAMESPACE_PUBLISH,
    NAMESPACE_PRESENCE, /* see who is there */
    NAMESPACE_HISTORY,
    NAMESPACE_ACTIONS
};

enum namespace_who {
    WHO_NOBODY,
    WHO_CLAIM,      /* whose token names the channel, or a pattern of it, for this action */
    WHO_CLIENT,     /* everyone who is connected */
    WHO_SUBSCRIBER, /* whoever is subscribed (never for NAMESPACE_SUBSCRIBE) */
};

enum slow_policy {
    SLOW_CLOSE,       /* the connection ends */
    SLOW_DROP_OLDEST, /* its oldest waiting message of such a channel goes */
    SLOW_KEEP_LATEST, /* at most one message of the channel waits: the newest */
};

enum frame_choice {
    FRAME_AUTO, /* text when it is UTF-8: for publications that do not say it themselves */
    FRAME_TEXT,
    FRAME_BINARY,
};

/* clang-format off: it takes the word for that of C++. */
struct namespace
{
    const char *name; /* NULL: the built-in rules */
    enum namespace_who who[NAMESPACE_ACTIONS];
    bool has_presence;
    uint32_t history_size; /* publications a channel; 0: no history */
    uint32_t history_age_s;
    enum slow_policy slow;
    enum frame_choice frame;
    uint8_t place; /* where it is counted: see namespace_counts.h; 0 for the built-in rules */
};
/* clang-format on */

struct namespaces {
    struct namespace entries[NAMESPACES_MAX];
    uint32_t count;
};

/* The channel's, or the built-in one; never NULL. */
MUST_CHECK const struct namespace *namespace_of(const struct namespaces *namespaces,
                                                struct slice channel);

/* Names as tokens carry them: zero-terminated, one after the other; some may be patterns. */
struct name_list {
    const char *names; /* NULL or unused when count is 0 */
    uint32_t count;
};

/* One of them is the channel, or a pattern that it matches. */
MUST_CHECK bool name_list_matches(const struct name_list *list, struct slice channel);

/* Makes a list of "a,b", in place: there is room for one byte more than size. Empty names are
 * passed over. False: one is no valid name, or there are more than count_max. */
MUST_CHECK bool name_list_split(char *text, size_t size, size_t name_size_max, uint32_t count_max,
                                struct name_list *list);

/*
 * Whether the rules allow the action. claim: the token's list for it; is_subscribed: to the
 * channel. The channel may be a pattern; one that ends before the first ':' reaches into every
 * namespace that begins like it, configured or not: then the claim is needed, and none of them may
 * be closed to everybody.
 */
MUST_CHECK bool namespace_allows(const struct namespaces *namespaces, enum namespace_action action,
                                 const struct name_list *claim, struct slice channel,
                                 bool is_subscribed);

/* What a channel's name, or a pattern, may be: 1 to size_max bytes of UTF-8 without control
 * characters (C0, DEL, C1). */
MUST_CHECK bool channel_name_is_valid(struct slice name, size_t size_max);
