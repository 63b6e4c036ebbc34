/*
 * renewal.h - a shard and the settings: what it makes of them when it opens, and again when a
 * reload has put newer ones on the desk. Connections that are open stay as they are.
 */
#pragma once

struct shard;

/* When it opens: sets settings, options, token keys, and the rules of upgrades. */
void renewal_begin(struct shard *shard);

/* At the start of a turn: changes over to newer settings. Without the memory for it the shard goes
 * on with those that it has, and tries again. */
void renewal_step(struct shard *shard);

/* When it closes. */
void renewal_end(struct shard *shard);
