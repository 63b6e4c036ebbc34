/*
 * run.h - everything that a running server holds: serve.c's, and whatever the main thread does for
 * it on request (controls.c).
 */
#pragma once

#include "admin/control.h"
#include "server/api.h"
#include "server/arguments.h"
#include "server/drain_control.h"
#include "server/relay_thread.h"
#include "server/reload.h"
#include "server/runners.h"
#include "server/service.h"

struct run {
    const struct arguments *arguments; /* as given at the start */
    struct service service;
    struct runners runners;
    struct api *api;         /* the admin port; NULL: none */
    struct control *control; /* the control socket; NULL: none */
    struct admin_state admin_state;
    struct kernel_listener listeners[SHARDS_MAX * OPTIONS_LISTEN_MAX];
    struct metrics metrics;
    struct metrics relay_metrics;
    const void *relay_block;
    struct metrics reload_metrics;
    const void *reload_block;
    struct reload_counts reload_counts;
    struct metrics key_metrics;
    const void *key_block;
    struct metric bound_metric; /* what bounds limpet_connections_capacity */
    struct metrics bound_metrics;
    const void *bound_block;
    struct counter bound_value; /* 1 */
    struct relay_thread *relay;
    uint64_t stop_by_ms;
    bool keys_refused; /* new token keys could not be used, and wait */
    struct drain_record drain;
    struct ring *ring; /* the main thread's, to wake shards with */
    int signal_fd;     /* SIGTERM, SIGINT, SIGHUP */
};
