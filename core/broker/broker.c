#include "broker/broker.h"

const char *broker_outcome_name(enum broker_outcome outcome)
{
    switch (outcome) {
    case BROKER_DONE:
        return "done";
    case BROKER_AWAY:
        return "away";
    case BROKER_UNKNOWN:
        return "unknown";
    case BROKER_FULL:
        return "full";
    case BROKER_REFUSED:
        return "refused";
    case BROKER_UNAVAILABLE:
        return "unavailable";
    case BROKER_UNRECOVERABLE:
        return "unrecoverable";
    case BROKER_OUTCOMES:
        break;
    }
    ASSERT(!"an outcome of no name");
    return "";
}

bool broker_has_recovered(const struct broker_position *client, const struct broker_event *history)
{
    const uint32_t count = history->publication_count;

    if (history->outcome != BROKER_DONE) {
        return false;
    }
    if (client->epoch[0] != '\0' && strcmp(client->epoch, history->position.epoch) != 0) {
        return false;
    }
    if (count == 0) {
        return history->position.offset == client->offset;
    }
    return history->publications[0].offset == client->offset + 1 &&
           history->publications[count - 1].offset == history->position.offset;
}
