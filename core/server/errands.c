#include "server/errands.h"

#include "base/glob.h"
#include "server/shard.h"

#define POSTS_PER_TICK_MAX 256u
#define LOOKS_PER_TICK_MAX 4096u
#define REPORT_SIZE_MAX    1024u /* fits the smallest mailbox */

int errands_open(struct errands *errands, uint32_t conns_max)
{
    *errands = (struct errands){.join_at = NONE};
    return queue_open(&errands->joining, conns_max);
}

void errands_close(struct errands *errands)
{
    queue_close(&errands->joining);
}

/* --- channels with subscribers ---------------------------------------------------------------- */

/* True when there is more. */
static bool follow(struct shard *shard)
{
    struct channel_change change;

    for (uint32_t i = 0; i < POSTS_PER_TICK_MAX; i++) {
        if (!channel_next_change(shard->channels, &change)) {
            return false;
        }
        if (!relay_follow(shard, change.name, change.is_pattern, change.has_members)) {
            shard->errands.is_stuck = true;
            return false;
        }
        channel_change_done(shard->channels);
    }
    return true;
}

/* --- presence --------------------------------------------------------------------------------- */

/* Nobody is present in a pattern. */
static bool has_presence(const struct shard *shard, struct slice name)
{
    return name.data[name.size - 1] != '*' &&
           namespace_of(&shard->options->namespaces, name)->has_presence;
}

void errands_opened(struct shard *shard, uint32_t number)
{
    struct identity *identity = identities_find(&shard->identities, number);
    struct slice name;

    if (!identity) {
        return;
    }
    for (uint32_t at = NONE; (at = channel_next_of(shard->channels, number, at, &name)) != NONE;) {
        if (has_presence(shard, name)) {
            identity->presence = PRESENCE_JOINING;
            queue_push(&shard->errands.joining, number);
            return;
        }
    }
}

/* Goes on with the joins of the connection. True when all are posted. */
static bool join_channels(struct shard *shard, uint32_t number, uint32_t *posts_left)
{
    struct errands *errands = &shard->errands;
    struct slice name;

    for (;;) {
        uint32_t next = channel_next_of(shard->channels, number, errands->join_at, &name);
        if (next == NONE) {
            errands->join_at = NONE;
            return true;
        }
        if (has_presence(shard, name)) {
            if (*posts_left == 0) {
                return false;
            }
            if (!relay_join(shard, number, name)) {
                errands->is_stuck = true;
                return false;
            }
            (*posts_left)--;
        }
        errands->join_at = next;
    }
}

/* True when there is more. */
static bool join(struct shard *shard)
{
    struct errands *errands = &shard->errands;
    uint32_t posts_left = POSTS_PER_TICK_MAX;
    const uint32_t count = queue_count(&errands->joining);

    for (uint32_t i = 0; i < count; i++) {
        const uint32_t number = queue_peek(&errands->joining);
        struct identity *identity = identities_find(&shard->identities, number);
        ASSERT(identity != NULL); /* it stays until it has left, and leaves after it has joined */
        ASSERT(identity->presence == PRESENCE_JOINING);
        if (conn_at(shard, number)->state == CONN_DEAD) {
            errands->join_at = NONE; /* what was not posted is not needed any more */
        } else if (!join_channels(shard, number, &posts_left)) {
            return !errands->is_stuck;
        }
        identity->presence = PRESENCE_JOINED;
        const uint32_t popped = queue_pop(&errands->joining);
        ASSERT(popped == number);
    }
    return false;
}

bool errands_leave(struct shard *shard, uint32_t number)
{
    struct errands *errands = &shard->errands;
    const struct identity *identity = identities_find(&shard->identities, number);
    uint8_t copy[CHANNEL_NAME_MAX];
    struct slice name;

    if (!identity || identity->presence == PRESENCE_NONE) {
        channel_unsubscribe_all(shard->channels, number);
        identities_end(&shard->identities, number);
        return true;
    }
    if (identity->presence == PRESENCE_JOINING) {
        return false; /* a leave that overtakes its join would leave a ghost */
    }
    while (channel_next_of(shard->channels, number, NONE, &name) != NONE) {
        if (has_presence(shard, name)) {
            if (errands->leaves_left == 0) {
                errands->is_late = true;
                return false;
            }
            if (!relay_leave(shard, number, name)) {
                errands->is_stuck = true;
                return false;
            }
            errands->leaves_left--;
        }
        memcpy(copy, name.data, name.size);
        channel_unsubscribe(shard->channels, slice_from(copy, name.size), number);
    }
    identities_end(&shard->identities, number);
    return true;
}

/* --- reports of channels ---------------------------------------------------------------------- */

void errands_report(struct shard *shard, uint32_t report, struct slice glob)
{
    struct errands *errands = &shard->errands;

    ASSERT(errands->report == 0);
    ASSERT(report != 0);
    ASSERT(glob.size <= sizeof(errands->report_glob));
    errands->report = report;
    errands->report_at = 0;
    errands->report_glob_size = (uint8_t)glob.size;
    if (glob.size > 0) {
        memcpy(errands->report_glob, glob.data, glob.size);
    }
}

/* A piece of the report: of each channel its subscribers, the size of its name, and the name. True
 * when there is more. */
static bool report(struct shard *shard)
{
    struct errands *errands = &shard->errands;
    const struct slice glob = slice_from(errands->report_glob, errands->report_glob_size);
    const uint32_t end = channel_numbers_max(shard->channels);
    uint8_t piece[REPORT_SIZE_MAX];
    uint32_t at = errands->report_at;
    size_t size = 0;

    if (errands->report == 0) {
        return false;
    }
    for (uint32_t i = 0; i < LOOKS_PER_TICK_MAX && at < end; i++, at++) {
        struct slice name;
        uint32_t members;
        if (size + sizeof(members) + 1 + CHANNEL_NAME_MAX > sizeof(piece)) {
            break;
        }
        if (channel_look(shard->channels, at, &name, &members) && glob_matches(glob, name)) {
            memcpy(piece + size, &members, sizeof(members));
            piece[size + sizeof(members)] = (uint8_t)name.size;
            memcpy(piece + size + sizeof(members) + 1, name.data, name.size);
            size += sizeof(members) + 1 + name.size;
        }
    }
    if ((size > 0 || at == end) &&
        !relay_report(shard, errands->report, slice_from(piece, size), at == end)) {
        errands->is_stuck = true;
        return false; /* the same piece again */
    }
    errands->report_at = at;
    errands->report = at == end ? 0 : errands->report;
    return at < end;
}

bool errands_step(struct shard *shard)
{
    struct errands *errands = &shard->errands;

    errands->leaves_left = POSTS_PER_TICK_MAX;
    errands->is_stuck = false;
    errands->is_late = false;
    bool more = follow(shard);
    more |= !errands->is_stuck && join(shard);
    more |= !errands->is_stuck && report(shard);
    return more;
}
