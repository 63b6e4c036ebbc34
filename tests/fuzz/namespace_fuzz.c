/*
 * Channels that a query asks for, from the query's bytes to the answer of the rules: every name
 * that is taken is valid, a list matches its own names, and a pattern is allowed only where every
 * channel that it reaches is allowed too.
 *
 * Byte 0: the rules (2 bits for each of three namespaces); byte 1: how many bytes of the input are
 * the token's list; then the input.
 */
#include "session/namespace.h"
#include "ws/query.h"

#include <stdlib.h>

#define NAME_SIZE_MAX 16
#define COUNT_MAX     8

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static struct namespaces make_rules(uint8_t choice)
{
    static const char *const names[] = {"", "n", "news"};
    struct namespaces rules = {.count = 3};

    for (size_t i = 0; i < 3; i++) {
        rules.entries[i].name = names[i];
        rules.entries[i].who[NAMESPACE_SUBSCRIBE] =
            (enum namespace_who)((choice >> 2 * i & 3) % WHO_SUBSCRIBER);
    }
    return rules;
}

/* Whoever may have a pattern may have what it reaches: here, its start with rest behind it. */
static void check_reach(const struct namespaces *rules, const struct name_list *claim,
                        struct slice pattern, const char *rest)
{
    char channel[NAME_SIZE_MAX + 16];
    size_t size = pattern.size - 1 + strlen(rest);

    memcpy(channel, pattern.data, pattern.size - 1);
    memcpy(channel + pattern.size - 1, rest, strlen(rest));
    /* A channel whose name ends in '*' is none: it would be a pattern. */
    if (size > 0 && channel[size - 1] != '*') {
        require(
            namespace_allows(rules, NAMESPACE_SUBSCRIBE, claim, slice_from(channel, size), false));
    }
}

static void check_list(const struct namespaces *rules, const struct name_list *claim,
                       const struct name_list *list)
{
    static const char *const rests[] = {"", "x", ":x", "ews:x", "news:x", "n:x", "s:x"};
    const char *name = list->names;

    require(list->count <= COUNT_MAX);
    for (uint32_t i = 0; i < list->count; i++) {
        struct slice text = slice_text(name);
        bool is_pattern = text.size > 0 && text.data[text.size - 1] == '*';

        require(channel_name_is_valid(text, NAME_SIZE_MAX));
        require(name_list_matches(list, text));
        if (is_pattern && namespace_allows(rules, NAMESPACE_SUBSCRIBE, claim, text, false)) {
            for (size_t j = 0; j < sizeof(rests) / sizeof(rests[0]); j++) {
                check_reach(rules, claim, text, rests[j]);
            }
        }
        name += text.size + 1;
    }
}

/* The list is cut in a block of exactly its size and a byte. False: refused. */
static bool split(struct slice text, char **block, struct name_list *list)
{
    *block = malloc(text.size + 1);
    require(*block != NULL);
    if (text.size > 0) {
        memcpy(*block, text.data, text.size);
    }
    return name_list_split(*block, text.size, NAME_SIZE_MAX, COUNT_MAX, list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct name_list claim = {0};
    struct name_list list = {0};
    char *claim_block;
    char *list_block = NULL;

    if (size < 2) {
        return 0;
    }
    const struct namespaces rules = make_rules(data[0]);
    size_t claim_size = data[1] < size - 2 ? data[1] : size - 2;
    struct slice query = slice_from(data + 2 + claim_size, size - 2 - claim_size);
    uint8_t *value = malloc(query.size + 1);
    require(value != NULL);
    bool has_claim = split(slice_from(data + 2, claim_size), &claim_block, &claim);
    int64_t value_size = query_value(query, "c", value);
    require(value_size <= (int64_t)query.size);
    if (has_claim && value_size >= 0 &&
        split(slice_from(value, (size_t)value_size), &list_block, &list)) {
        check_list(&rules, &claim, &list);
    }
    free(value);
    free(claim_block);
    free(list_block);
    return 0;
}
