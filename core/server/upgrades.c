#include "server/upgrades.h"

#include "base/random.h"
#include "io/address.h"
#include "server/deadlines.h"
#include "server/key_sources.h"
#include "server/messages.h"
#include "server/opening.h"
#include "server/outbound.h"
#include "server/permissions.h"
#include "server/settings.h"
#include "server/shard.h"

#define PROBE_INTERVAL_MS 60000
#define REFUSAL_LINES_MAX 100 /* a second and shard */

/* Those who are refused together come back over so many seconds, not together. */
#define RETRY_SPREAD_S 10

static void refuse(struct shard *shard, uint32_t number, struct upgrade *upgrade,
                   enum upgrade_reason reason)
{
    uint8_t answer[UPGRADE_ANSWER_MAX];

    upgrade_decide(upgrade, reason);
    if (upgrade->retry_after_s > 0) {
        upgrade->retry_after_s += (uint32_t)random_below(RETRY_SPREAD_S + 1);
    }
    counter_add(&shard->counts.upgrades[reason], 1);
    outbound_bytes(shard, number, slice_from(answer, upgrade_answer(upgrade, answer)));
    outbound_finish(shard, number, true);
}

/* Whoever sends bad requests all day must not fill the disk, nor hold the shard up. Those of
 * balancers and browsers, which want no WebSocket at all, come all day and say nothing new. */
static bool may_log(struct shard *shard, enum upgrade_reason reason, uint64_t *suppressed)
{
    if (reason == UPGRADE_NOT_UPGRADE) {
        return log_limit_pass(&shard->probe_lines, shard->now_ms, PROBE_INTERVAL_MS, suppressed);
    }
    return log_limit_pass_some(&shard->refusal_lines, shard->now_ms, 1000, REFUSAL_LINES_MAX,
                               suppressed);
}

/* What is wrong is for the operator; the client learns only that it was refused. */
static void log_refusal(struct shard *shard, const struct conn *conn, const char *event,
                        const char *reason, const struct token_claims *claims)
{
    char peer[ADDRESS_TEXT_SIZE];
    uint64_t suppressed;

    if (!may_log(shard, UPGRADE_TOKEN_REFUSED, &suppressed)) {
        return;
    }
    address_format(&opening_of(shard, conn)->peer, peer);
    LOG(LOG_INFO, event, log_text("reason", reason), log_text("peer", peer),
        log_text("subject", claims->subject), log_number("exp", (int64_t)claims->expires_s),
        log_number("nbf", (int64_t)claims->not_before_s),
        log_number("now", (int64_t)(ring_unix_ms(shard->ring) / 1000)),
        log_number("suppressed", (int64_t)suppressed));
}

/* Counts the connection under its user. False: this user has too many, or no more can be counted.
 */
static enum tally_outcome count_user(struct shard *shard, struct conn *conn,
                                     const struct token_claims *claims)
{
    const struct server *server = shard->server;
    const uint32_t user_max = shard->options->limits.connections_per_user_max;

    if (!server->users || user_max == 0 || claims->subject_size == 0) {
        return TALLY_COUNTED;
    }
    enum tally_outcome outcome = tally_enter(
        server->users, slice_from(claims->subject, claims->subject_size), user_max, &conn->user);
    if (outcome != TALLY_COUNTED) {
        conn->user = NONE;
    }
    return outcome;
}

static bool subscribe(struct shard *shard, uint32_t number, const struct name_list *list)
{
    const char *name = list->names;

    for (uint32_t i = 0; i < list->count; i++) {
        struct slice channel = slice_text(name);
        enum channel_outcome outcome = channel_subscribe(shard->channels, channel, number);
        ASSERT(outcome != CHANNEL_BAD_NAME); /* who read them bounds the names */
        if (outcome == CHANNEL_FULL) {
            return false;
        }
        name += channel.size + 1;
    }
    return true;
}

/* Everything was checked: says 101 and opens. */
static void open_conn(struct shard *shard, uint32_t number, struct upgrade *upgrade,
                      const struct token_claims *claims, enum tally_outcome user)
{
    struct conn *conn = conn_at(shard, number);
    uint8_t answer[UPGRADE_ANSWER_MAX];

    upgrade_decide(upgrade, UPGRADE_OK);
    counter_add(&shard->counts.upgrades[UPGRADE_OK], 1);
    outbound_bytes(shard, number, slice_from(answer, upgrade_answer(upgrade, answer)));
    if (conn->state != CONN_UPGRADE) {
        return; /* no memory for the answer: killed */
    }
    conn_set_state(shard, conn, CONN_OPEN);
    if (permissions_may_publish(shard, number, claims)) {
        conn->flags |= CONN_MAY_PUBLISH;
    }
    if (upgrade->extension.has_deflate) {
        conn->flags |= CONN_DEFLATE;
    }
    errands_opened(shard, number);
    deadlines_opened(shard, number, claims->expires_s);
    if (user == TALLY_LIMIT) {
        /* A browser's page sees a close code, but not the status of a refused upgrade. */
        counter_add(&shard->counts.refused[REFUSED_USER], 1);
        outbound_close(shard, number, WS_CLOSE_TRY_AGAIN_LATER, CAUSE_FULL);
    }
}

/* A good request and a good token, and channels that are allowed: is there room? */
static void admit(struct shard *shard, uint32_t number, struct upgrade *upgrade,
                  const struct token_claims *claims, const struct name_list *wanted)
{
    struct conn *conn = conn_at(shard, number);

    if (!shard_count_open(shard, true)) {
        counter_add(&shard->counts.refused[REFUSED_CONNECTIONS], 1);
        refuse(shard, number, upgrade, UPGRADE_FULL);
        return;
    }
    conn->flags |= CONN_COUNTED;
    enum tally_outcome user = count_user(shard, conn, claims);
    if (user == TALLY_FULL || !subscribe(shard, number, &claims->channels) ||
        !subscribe(shard, number, wanted) ||
        !identities_keep(&shard->identities, number,
                         slice_from(claims->subject, claims->subject_size))) {
        counter_add(&shard->counts.refused[REFUSED_MEMORY], 1);
        refuse(shard, number, upgrade, UPGRADE_FULL);
        return;
    }
    open_conn(shard, number, upgrade, claims, user);
}

static void log_refused_channel(struct shard *shard, const struct conn *conn,
                                const struct token_claims *claims, struct slice channel)
{
    char peer[ADDRESS_TEXT_SIZE];
    uint64_t suppressed;

    if (!may_log(shard, UPGRADE_CHANNEL_REFUSED, &suppressed)) {
        return;
    }
    address_format(&opening_of(shard, conn)->peer, peer);
    LOG(LOG_INFO, "upgrade refused: neither token nor namespace allows the channel",
        log_text("reason", upgrade_reason_name(UPGRADE_CHANNEL_REFUSED)),
        log_slice("channel", channel), log_text("peer", peer), log_text("subject", claims->subject),
        log_number("suppressed", (int64_t)suppressed));
}

/* A good request and a good token: may it have the channels that it asks for? */
static void permit(struct shard *shard, uint32_t number, struct upgrade *upgrade,
                   const struct token_claims *claims)
{
    struct wanted_channels wanted;

    if (drain_is_on(shard)) {
        refuse(shard, number, upgrade, UPGRADE_STOPPING);
        return;
    }
    enum upgrade_reason reason = permissions_read(shard, upgrade->query, claims, &wanted);
    if (reason == UPGRADE_OK) {
        admit(shard, number, upgrade, claims, &wanted.names);
    } else {
        if (reason == UPGRADE_CHANNEL_REFUSED) {
            log_refused_channel(shard, conn_at(shard, number), claims, wanted.refused);
        }
        refuse(shard, number, upgrade, reason);
    }
    permissions_end(shard, &wanted);
}

/* A token names a key that is not there: it may be new, so whoever fetches key sets is told. True
 * when one has not come at all yet. */
static bool keys_are_missing(const struct shard *shard)
{
    if (shard->server->key_sources) {
        key_sources_wish(shard->server->key_sources);
    }
    return shard->settings && shard->settings->missing_count > 0;
}

/* The request is whole and well-formed. */
static void decide(struct shard *shard, uint32_t number, struct upgrade *upgrade)
{
    struct token_claims claims = {0};

    if (opening_listener(shard, number)->is_plain && !admission_pass(shard)) {
        counter_add(&shard->counts.refused[REFUSED_ADMISSION], 1);
        refuse(shard, number, upgrade, UPGRADE_FULL);
        return;
    }
    if (!shard->token_keys) {
        permit(shard, number, upgrade, &claims);
        return;
    }
    double now_s = (double)ring_unix_ms(shard->ring) / 1000;
    enum token_outcome outcome = token_check(shard->token_keys, upgrade->token, now_s, &claims);
    counter_add(&shard->counts.tokens[outcome], 1);
    if (outcome == TOKEN_TOO_LARGE) {
        log_refusal(shard, conn_at(shard, number), "token refused: larger than token.size_max",
                    token_outcome_name(outcome), &claims);
        refuse(shard, number, upgrade, UPGRADE_TOO_LARGE);
    } else if (outcome == TOKEN_UNKNOWN_KEY && keys_are_missing(shard)) {
        refuse(shard, number, upgrade, UPGRADE_NO_KEYS);
    } else if (outcome != TOKEN_GOOD) {
        log_refusal(shard, conn_at(shard, number), "token refused", token_outcome_name(outcome),
                    &claims);
        refuse(shard, number, upgrade, UPGRADE_TOKEN_REFUSED);
    } else {
        permit(shard, number, upgrade, &claims);
        token_claims_free(&claims);
    }
}

static void log_bad_request(struct shard *shard, const struct conn *conn,
                            const struct upgrade *upgrade)
{
    char peer[ADDRESS_TEXT_SIZE];
    uint64_t suppressed;

    if (!may_log(shard, upgrade->reason, &suppressed)) {
        return;
    }
    address_format(&opening_of(shard, conn)->peer, peer);
    LOG(LOG_INFO,
        upgrade->reason == UPGRADE_TOO_LARGE
            ? "upgrade refused: larger than upgrade.request_size_max, or too many headers"
            : "upgrade refused",
        log_text("reason", upgrade_reason_name(upgrade->reason)), log_text("peer", peer),
        log_slice("user_agent", upgrade->user_agent),
        log_number("suppressed", (int64_t)suppressed));
}

/* It is answered in this tick. */
static void count_time(struct shard *shard, const struct conn *conn)
{
    const uint64_t taken_ms = shard->now_ms - opening_of(shard, conn)->upgrade_ms;

    histogram_add(&shard->counts.upgrade_time, taken_ms * COUNTS_MS_NS, COUNTS_MS_NS);
}

/* Reads the request from its first byte; all of it is in bytes. True when it was decided. */
static bool read_request(struct shard *shard, uint32_t number, uint8_t *bytes, size_t size)
{
    struct conn *conn = conn_at(shard, number);
    struct upgrade upgrade = {0};
    const enum upgrade_status status = upgrade_read(&shard->rules, bytes, size, &upgrade);

    if (status != UPGRADE_MORE) {
        count_time(shard, conn);
    }
    switch (status) {
    case UPGRADE_MORE:
        return false;
    case UPGRADE_WHOLE:
        decide(shard, number, &upgrade);
        break;
    case UPGRADE_REFUSED:
        log_bad_request(shard, conn, &upgrade);
        refuse(shard, number, &upgrade, upgrade.reason);
        break;
    }
    if (conn->state == CONN_OPEN || conn->state == CONN_CLOSING) {
        messages_received(shard, number, bytes + upgrade.consumed, size - upgrade.consumed);
    }
    return true;
}

void upgrades_received(struct shard *shard, uint32_t number, uint8_t *bytes, size_t size)
{
    struct conn *conn = conn_at(shard, number);
    struct opening *opening = opening_of(shard, conn);
    struct slice piece = slice_from(bytes, size);

    /* Nearly every request comes in one record: then it is read where it was decrypted. */
    bool decided = opening->input == NONE && read_request(shard, number, bytes, size);
    if (!decided) {
        bool is_first = opening->input == NONE;
        if (!opening_collect(shard, opening, piece)) {
            conn_kill(shard, number);
            return;
        }
        decided = !is_first && read_request(shard, number, arena_at(&shard->arena, opening->input),
                                            opening->input_size);
    }
    if (decided && conn->state != CONN_DEAD) {
        opening_end(shard, conn);
    }
}
