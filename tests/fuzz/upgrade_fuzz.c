/*
 * Opening requests from anyone: read again for each segment that arrives, as the first byte cuts
 * them, they get one answer for good, the same as at once; what is described lies in the request;
 * and the answer fits and is HTTP.
 *
 * Byte 0: how the input is cut; byte 1: the rules; then the input.
 */
#include "ws/upgrade.h"

#include <stdlib.h>

static void check_slice(struct slice slice, struct slice input)
{
    bool is_inside = slice.data >= input.data && slice.size <= input.size &&
                     slice.data + slice.size <= input.data + input.size;

    ASSERT(slice.size == 0 || is_inside || slice_equal(slice, slice_text("/")));
}

static void check_query(struct slice query)
{
    uint8_t *value = malloc(query.size + 1);
    int64_t size = query_value(query, "channels", value);

    ASSERT(size >= QUERY_MALFORMED);
    ASSERT(size <= (int64_t)query.size);
    free(value);
}

static void check_answer(const struct upgrade *upgrade)
{
    static const char start[] = "HTTP/1.1 ";
    uint8_t *answer = malloc(UPGRADE_ANSWER_MAX);
    size_t size = upgrade_answer(upgrade, answer);

    ASSERT(size <= UPGRADE_ANSWER_MAX);
    ASSERT(memcmp(answer, start, sizeof(start) - 1) == 0);
    ASSERT(memmem(answer, size, "\r\n\r\n", 4) != NULL);
    free(answer);
}

static void check_whole(const struct upgrade_rules *rules, const struct upgrade *upgrade,
                        struct slice input)
{
    ASSERT(upgrade->consumed <= rules->request_size_max);
    ASSERT(upgrade->consumed <= input.size);
    ASSERT(memcmp(input.data + upgrade->consumed - 4, "\r\n\r\n", 4) == 0);
    ASSERT(upgrade->key.size == UPGRADE_KEY_SIZE);
    ASSERT((upgrade->token.data != NULL) == (rules->token_places != 0));
    ASSERT(upgrade->host.size > 0);
    check_query(upgrade->query);
}

static bool is_same(const struct upgrade *a, const struct upgrade *b)
{
    return a->consumed == b->consumed && a->status == b->status && a->reason == b->reason &&
           slice_equal(a->path, b->path) && slice_equal(a->query, b->query) &&
           slice_equal(a->host, b->host) && slice_equal(a->origin, b->origin) &&
           slice_equal(a->protocol, b->protocol) && slice_equal(a->token, b->token) &&
           a->token_place == b->token_place &&
           a->extension.has_deflate == b->extension.has_deflate &&
           a->extension.names_window == b->extension.names_window &&
           slice_equal(a->user_agent, b->user_agent);
}

/* Reads longer and longer prefixes, until one is decided. Returns its size. */
static size_t read_growing(const struct upgrade_rules *rules, struct slice input, uint8_t cut,
                           struct upgrade *upgrade)
{
    uint32_t step = cut;

    for (size_t size = 0;;) {
        if (upgrade_read(rules, input.data, size, upgrade) != UPGRADE_MORE || size == input.size) {
            return size;
        }
        step = step * 5 + 3;
        size += 1 + (step >> 4) % (1 + cut % 64u);
        size = size < input.size ? size : input.size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const origins[] = {"https://a.example"};
    static const char *const protocols[] = {"chat"};
    struct upgrade upgrade;
    struct upgrade grown;

    if (size < 2) {
        return 0;
    }
    const struct upgrade_rules rules = {
        .request_size_max = (data[1] & 0x80) != 0 ? 200 : 16384,
        .path = (data[1] & 0x40) != 0 ? "/" : NULL,
        .origins = origins,
        .origin_count = data[1] >> 5 & 1,
        .protocols = protocols,
        .protocol_count = data[1] >> 4 & 1,
        .token_places = data[1] & 15u,
        .cookie_name = "sid",
        .query_name = "token",
        .deflate = true,
    };
    struct slice input = slice_from(data + 2, size - 2);
    enum upgrade_status status = upgrade_read(&rules, input.data, input.size, &upgrade);
    const struct slice slices[] = {upgrade.path,   upgrade.query,     upgrade.host,
                                   upgrade.origin, upgrade.key,       upgrade.protocol,
                                   upgrade.token,  upgrade.user_agent};

    for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++) {
        check_slice(slices[i], input);
    }
    size_t grown_size = read_growing(&rules, input, data[0], &grown);
    ASSERT(is_same(&upgrade, &grown));
    if (status == UPGRADE_MORE) {
        ASSERT(grown_size == input.size);
        return 0;
    }
    if (status == UPGRADE_WHOLE) {
        check_whole(&rules, &upgrade, input);
    }
    check_answer(&upgrade);
    return 0;
}
