/*
 * Goal: in any order of coming and going, with every limit within reach, who gets a publication is
 * what a plain table of who subscribed to what says, patterns included; the changes that are told
 * lead from nobody to those who are there; a refusal has a reason and leaves no trace.
 */
#include "pubsub/channel.h"

#define CHANNELS_MAX      6U
#define SUBSCRIPTIONS_MAX 40U
#define ARENA_SIZE        1024U
#define NAMES             14U
#define CONNS             24U

static const char *const names[NAMES] = {
    "a",
    "b",
    "news",
    "news ",
    "exactly twenty-four byte",
    "exactly twenty-five bytes",
    "exactly twenty-five bytez",
    "a name that takes a block of the arena for itself, of the smallest size",
    "personal:5f0c7d1e-8f0b-4a53-9a52-9f5d1f6f5b1e",
    "presence-room.42",
    "*",
    "a*",
    "news*",
    "exactly twenty-five byte*",
};

static struct arena arena;
static struct channel_table *table;
static bool model[NAMES][CONNS];
static bool told[NAMES]; /* has members, as the changes said */

static uint32_t count_members(uint32_t name)
{
    uint32_t count = 0;

    for (uint32_t conn = 0; conn < CONNS; conn++) {
        count += model[name][conn];
    }
    return count;
}

static struct channel_counts count_all(void)
{
    struct channel_counts counts = {0};

    for (uint32_t name = 0; name < NAMES; name++) {
        counts.subscriptions += count_members(name);
        counts.channels += count_members(name) > 0;
    }
    return counts;
}

/* Channels in the table: those that wait for their change to be taken have no members. */
static bool may_be_full(void)
{
    struct channel_counts counts = count_all();
    struct channel_change change;

    return counts.channels == CHANNELS_MAX || channel_next_change(table, &change);
}

static bool matches(const char *pattern, const char *name)
{
    size_t size = strlen(pattern);

    if (pattern[size - 1] == '*') {
        return strncmp(pattern, name, size - 1) == 0;
    }
    return strcmp(pattern, name) == 0;
}

static void subscribe(uint32_t name, uint32_t conn)
{
    struct channel_counts before = count_all();
    uint32_t members = count_members(name);
    bool may_lack_channel = members == 0 && may_be_full();
    size_t used = arena.used;

    switch (channel_subscribe(table, slice_text(names[name]), conn)) {
    case CHANNEL_SUBSCRIBED:
        ASSERT(!model[name][conn]);
        model[name][conn] = true;
        break;
    case CHANNEL_ALREADY:
        ASSERT(model[name][conn]);
        break;
    case CHANNEL_FULL: {
        bool no_subscription = before.subscriptions == SUBSCRIPTIONS_MAX;
        bool needs_block = members >= 4 || (members == 0 && strlen(names[name]) > 24);
        ASSERT(!model[name][conn]);
        ASSERT(may_lack_channel || no_subscription || needs_block);
        ASSERT(arena.used == used);
        break;
    }
    case CHANNEL_BAD_NAME:
    default:
        ASSERT(false); /* all names are good */
    }
}

static void leave(uint32_t conn)
{
    channel_unsubscribe_all(table, conn);
    for (uint32_t name = 0; name < NAMES; name++) {
        model[name][conn] = false;
    }
}

static void unsubscribe(uint32_t name, uint32_t conn)
{
    bool ended = channel_unsubscribe(table, slice_text(names[name]), conn);

    ASSERT(ended == model[name][conn]);
    model[name][conn] = false;
}

static bool is_reached(uint32_t name, uint32_t conn)
{
    for (uint32_t other = 0; other < NAMES; other++) {
        if (model[other][conn] && matches(names[other], names[name])) {
            return true;
        }
    }
    return false;
}

static void check_members(uint32_t name)
{
    uint32_t members[NAMES * CONNS];
    struct channel_matches found;
    bool seen[CONNS] = {false};

    channel_match(table, slice_text(names[name]), &found);
    ASSERT(found.members <= NAMES * CONNS);
    uint32_t count = channel_collect(table, &found, members);
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(members[i] < CONNS);
        ASSERT(!seen[members[i]]);
        seen[members[i]] = true;
    }
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        ASSERT(seen[conn] == is_reached(name, conn));
        ASSERT(channel_reaches(table, slice_text(names[name]), conn) == seen[conn]);
    }
}

/* Takes the oldest change; false when there is none: then all was told. */
static bool take_change(void)
{
    struct channel_change change;

    if (!channel_next_change(table, &change)) {
        for (uint32_t name = 0; name < NAMES; name++) {
            ASSERT(told[name] == (count_members(name) > 0));
        }
        return false;
    }
    for (uint32_t name = 0; name < NAMES; name++) {
        if (slice_equal(change.name, slice_text(names[name]))) {
            ASSERT(change.has_members == (count_members(name) > 0));
            ASSERT(told[name] != change.has_members);
            told[name] = change.has_members;
        }
    }
    channel_change_done(table);
    return true;
}

static void check(void)
{
    struct channel_counts expected = count_all();
    struct channel_counts counts = {0};

    channel_check(table);
    arena_check(&arena);
    channel_read_counts(table, &counts);
    ASSERT(counts.channels == expected.channels);
    ASSERT(counts.subscriptions == expected.subscriptions);
    for (uint32_t name = 0; name < NAMES; name++) {
        check_members(name);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct channel_limits limits = {.channels_max = CHANNELS_MAX,
                                          .subscriptions_max = SUBSCRIPTIONS_MAX,
                                          .conns_max = CONNS,
                                          .tracks = size % 2 == 1,
                                          .arena = &arena};
    int result = arena_open(&arena, ARENA_SIZE);

    ASSERT(result == 0);
    table = channel_table_open(&limits);
    ASSERT(table != NULL);
    memset(told, 0, sizeof(told));
    memset(model, 0, sizeof(model));
    for (size_t at = 0; at + 2 <= size; at += 2) {
        uint32_t conn = data[at] % CONNS;
        if (data[at + 1] >= 0xe0) {
            leave(conn);
        } else if (data[at + 1] >= 0xd8) {
            (void)channel_trim(table);
        } else if (data[at + 1] >= 0xd0 && limits.tracks) {
            (void)take_change();
        } else if (data[at + 1] >= 0xb0) {
            unsubscribe(data[at + 1] % NAMES, conn);
        } else {
            subscribe(data[at + 1] % NAMES, conn);
        }
        check();
    }
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        leave(conn);
    }
    while (limits.tracks && take_change()) {
    }
    check();
    ASSERT(arena.used == 0);
    channel_table_close(table);
    arena_close(&arena);
    return 0;
}
