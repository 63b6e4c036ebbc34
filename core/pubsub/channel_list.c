#include "pubsub/channel_state.h"

uint32_t channel_next_of(const struct channel_table *table, uint32_t conn_number,
                         uint32_t subscription, struct slice *name)
{
    ASSERT(conn_number < table->conns_max);
    const uint32_t link = subscription == NONE ? table->firsts[conn_number]
                                               : subscription_at(table, subscription)->next;
    if (link == 0) {
        return NONE;
    }
    *name = name_of(table, channel_at(table, subscription_at(table, link - 1)->channel));
    return link - 1;
}

uint32_t channel_numbers_max(const struct channel_table *table)
{
    return table->channels.count_max;
}

bool channel_look(const struct channel_table *table, uint32_t number, struct slice *name,
                  uint32_t *members)
{
    if (!pool_is_taken(&table->channels, number)) {
        return false;
    }
    const struct channel *channel = channel_at(table, number);
    *name = name_of(table, channel);
    *members = channel->count;
    return !channel->is_pattern && channel->count > 0;
}
