#include "pubsub/message.h"

uint32_t message_new(struct arena *arena, uint32_t size)
{
    uint32_t number = arena_take(arena, sizeof(struct message) + size);

    if (number != NONE) {
        *message_at(arena, number) = (struct message){.references = 1, .size = size, .next = NONE};
    }
    return number;
}

void message_hold(struct arena *arena, uint32_t number)
{
    struct message *message = message_at(arena, number);

    ASSERT(message->references > 0);
    ASSERT(message->references < UINT32_MAX);
    message->references++;
}

void message_release(struct arena *arena, uint32_t number)
{
    struct message *message = message_at(arena, number);

    ASSERT(message->references > 0);
    message->references--;
    if (message->references == 0) {
        arena_give(arena, number);
    }
}
