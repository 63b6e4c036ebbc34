/*
 * Goal: in any order of coming and going, with every limit within reach, the members of each
 * channel are those of a plain table of who subscribed to what; a refusal has a reason and leaves
 * no trace.
 */
#include "pubsub/channel.h"

#define CHANNELS_MAX      6U
#define SUBSCRIPTIONS_MAX 40U
#define ARENA_SIZE        1024U
#define NAMES             10U
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
};

static struct arena arena;
static struct channel_table *table;
static uint32_t lists[CONNS];
static bool model[NAMES][CONNS];

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

static void subscribe(uint32_t name, uint32_t conn)
{
    struct channel_counts before = count_all();
    uint32_t members = count_members(name);
    uint32_t list = lists[conn];
    size_t used = arena.used;

    switch (channel_subscribe(table, slice_text(names[name]), conn, &lists[conn])) {
    case CHANNEL_SUBSCRIBED:
        ASSERT(!model[name][conn]);
        model[name][conn] = true;
        break;
    case CHANNEL_ALREADY:
        ASSERT(model[name][conn]);
        break;
    case CHANNEL_FULL: {
        bool no_channel = members == 0 && before.channels == CHANNELS_MAX;
        bool no_subscription = before.subscriptions == SUBSCRIPTIONS_MAX;
        bool needs_block = members >= 2 || (members == 0 && strlen(names[name]) > 24);
        ASSERT(!model[name][conn]);
        ASSERT(no_channel || no_subscription || needs_block);
        ASSERT(lists[conn] == list);
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
    channel_unsubscribe_all(table, conn, &lists[conn]);
    ASSERT(lists[conn] == NONE);
    for (uint32_t name = 0; name < NAMES; name++) {
        model[name][conn] = false;
    }
}

static void check_members(uint32_t name)
{
    struct channel_members members = channel_find(table, slice_text(names[name]));
    bool seen[CONNS] = {false};

    ASSERT(members.count == count_members(name));
    for (uint32_t i = 0; i < members.count; i++) {
        uint32_t conn = members.conn_numbers[i];
        ASSERT(conn < CONNS);
        ASSERT(model[name][conn]);
        ASSERT(!seen[conn]);
        seen[conn] = true;
    }
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
    const struct channel_limits limits = {
        .channels_max = CHANNELS_MAX, .subscriptions_max = SUBSCRIPTIONS_MAX, .arena = &arena};
    int result = arena_open(&arena, ARENA_SIZE);

    ASSERT(result == 0);
    table = channel_table_open(&limits);
    ASSERT(table != NULL);
    memset(lists, 0xff, sizeof(lists));
    memset(model, 0, sizeof(model));
    for (size_t at = 0; at + 2 <= size; at += 2) {
        uint32_t conn = data[at] % CONNS;
        if (data[at + 1] >= 0xe0) {
            leave(conn);
        } else if (data[at + 1] >= 0xd8) {
            (void)channel_trim(table);
        } else {
            subscribe(data[at + 1] % NAMES, conn);
        }
        check();
    }
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        leave(conn);
    }
    check();
    ASSERT(arena.used == 0);
    channel_table_close(table);
    arena_close(&arena);
    return 0;
}
