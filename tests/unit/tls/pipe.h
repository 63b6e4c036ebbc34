/*
 * pipe.h - bytes on the way in one direction of a handshake in memory.
 */
#pragma once

#include "base/bytes.h"

#define PIPE_ROOM ((size_t)256 * 1024)

struct pipe {
    uint8_t bytes[PIPE_ROOM];
    size_t size;
};

static inline void pipe_push(struct pipe *pipe, const void *bytes, size_t size)
{
    ASSERT(pipe->size + size <= PIPE_ROOM);
    if (size > 0) {
        memcpy(pipe->bytes + pipe->size, bytes, size);
    }
    pipe->size += size;
}

static inline void pipe_drop(struct pipe *pipe, size_t size)
{
    ASSERT(size <= pipe->size);
    memmove(pipe->bytes, pipe->bytes + size, pipe->size - size);
    pipe->size -= size;
}
