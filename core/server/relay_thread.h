/*
 * relay_thread.h - the thread that turns the relay, from before the shards' start until after their
 * end.
 */
#pragma once

#include "server/relay.h"

struct relay_thread;

/* Starts it and waits until the relay is open: server->relay is set then. NULL with a message. */
MUST_CHECK struct relay_thread *relay_thread_start(struct server *server, char *message,
                                                   size_t message_size);

/* When the shards have stopped and nobody asks any more: what is in flight ends within within_ms;
 * joins the thread. server->relay stays until relay_thread_close. NULL: no-op. */
void relay_thread_stop(struct relay_thread *thread, uint32_t within_ms);

/* When nobody reads the relay's counters any more. NULL: no-op. */
void relay_thread_close(struct relay_thread *thread);
