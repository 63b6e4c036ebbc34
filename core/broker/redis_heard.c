#include "broker/redis_state.h"

/*
 * A channel that only patterns reach is never asked for by its name, so that nothing would tell
 * what a gap took from it. From its first publication with an offset on it is kept in the table
 * like a followed one: with the position that the next fetch starts from.
 *
 * Those that no pattern reaches any more go in the next turn, so that a pattern that comes back
 * begins anew; a walk over the channels serves all patterns of a turn.
 */

#define HEARD_MAX 65536u

static struct slice name_of(const struct redis_subscription *subscription)
{
    return slice_from(subscription->name, subscription->name_size);
}

struct redis_subscription *redis_heard_add(struct redis *redis, struct slice channel,
                                           struct redis_subscription *subscription)
{
    if (subscription && (subscription->is_wanted || subscription->is_heard)) {
        return subscription;
    }
    if (redis->heard_count == HEARD_MAX) {
        redis->heard_too_many = true;
        return subscription;
    }
    if (!subscription) {
        subscription = redis_subscription_add(redis, channel, false);
    }
    if (subscription) {
        subscription->is_heard = true;
        subscription->history.size = 1; /* it has one */
        redis->heard_count++;
    }
    return subscription;
}

bool redis_heard_keep(struct redis *redis, struct redis_subscription *subscription)
{
    if (subscription->kind != REDIS_SUBSCRIPTION_CHANNEL || !subscription->has_position ||
        !redis_pattern_reaching(redis, name_of(subscription), redis_is_wanted)) {
        return false;
    }
    return redis_heard_add(redis, name_of(subscription), subscription)->is_heard;
}

void redis_heard_forget(struct redis *redis, struct redis_subscription *subscription)
{
    if (subscription->is_heard) {
        subscription->is_heard = false;
        subscription->is_cut = false;
        redis->heard_count--;
    }
}

void redis_heard_cut(struct redis_subscription *subscription)
{
    subscription->is_cut = subscription->is_heard;
}

void redis_heard_mend(struct redis *redis, struct redis_subscription *subscription)
{
    if (subscription->is_cut) {
        subscription->is_cut = false;
        redis_catch_up(redis, subscription);
    }
}

static void look_after(struct redis *redis, struct redis_subscription *subscription)
{
    if (!subscription->is_heard) {
        return;
    }
    if (!redis_pattern_reaching(redis, name_of(subscription), redis_is_wanted)) {
        redis_heard_forget(redis, subscription);
        redis_catch_up_drop(redis, subscription);
        redis_subscription_settle(redis, subscription);
    } else if (redis_pattern_reaching(redis, name_of(subscription), redis_is_confirmed)) {
        redis_heard_mend(redis, subscription);
    }
}

void redis_heard_turn(struct redis *redis)
{
    if (!redis->heard_is_due) {
        return;
    }
    redis->heard_is_due = false;
    if (redis->heard_count > 0) {
        redis_subscriptions_each(redis, look_after);
    }
    if (redis->heard_too_many) {
        redis->heard_too_many = false;
        LOG(LOG_WARN,
            "patterns reach more channels with history than are kept track of; what a "
            "lost connection took from the others is not caught up",
            log_number("channels_max", HEARD_MAX));
    }
}
