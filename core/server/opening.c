#include "server/opening.h"

#include "server/inbound.h"
#include "server/shard.h"

struct opening *opening_of(struct shard *shard, const struct conn *conn)
{
    ASSERT(conn->opening != NONE);
    return pool_at(&shard->openings, conn->opening);
}

const struct listener *opening_listener(struct shard *shard, uint32_t number)
{
    const struct opening *opening = opening_of(shard, conn_at(shard, number));

    return &shard->accepting.listeners[opening->listener];
}

struct opening *opening_start(struct shard *shard, struct conn *conn)
{
    ASSERT(conn->opening == NONE);
    conn->opening = pool_take(&shard->openings);
    if (conn->opening == NONE) {
        return NULL;
    }
    struct opening *opening = opening_of(shard, conn);
    *opening = (struct opening){.handshake = NONE, .input = NONE, .accepted_ms = shard->now_ms};
    return opening;
}

bool opening_collect(struct shard *shard, struct opening *opening, struct slice bytes)
{
    size_t size = opening->input_size + bytes.size;

    if (opening->input == NONE || arena_block_size(&shard->arena, opening->input) < size) {
        uint32_t block = inbound_block(shard, false, size);
        if (block == NONE) {
            return false;
        }
        if (opening->input != NONE) {
            memcpy(arena_at(&shard->arena, block), arena_at(&shard->arena, opening->input),
                   opening->input_size);
            arena_give(&shard->arena, opening->input);
        }
        opening->input = block;
    }
    memcpy((uint8_t *)arena_at(&shard->arena, opening->input) + opening->input_size, bytes.data,
           bytes.size);
    opening->input_size = (uint32_t)size;
    return true;
}

void opening_consume(struct shard *shard, struct opening *opening, size_t size)
{
    ASSERT(size <= opening->input_size);
    opening->input_size -= (uint32_t)size;
    if (opening->input_size > 0 && size > 0) {
        uint8_t *input = arena_at(&shard->arena, opening->input);
        memmove(input, input + size, opening->input_size);
    }
}

void opening_end_handshake(struct shard *shard, struct opening *opening)
{
    if (opening->handshake != NONE) {
        handshake_end(shard->tls_server, opening->handshake);
        opening->handshake = NONE;
        admission_hold(shard, opening->class, false);
    }
}

void opening_end(struct shard *shard, struct conn *conn)
{
    if (conn->opening == NONE) {
        return;
    }
    struct opening *opening = opening_of(shard, conn);
    opening_end_handshake(shard, opening);
    if (opening->input != NONE) {
        arena_give(&shard->arena, opening->input);
    }
    pool_give(&shard->openings, conn->opening);
    conn->opening = NONE;
}
