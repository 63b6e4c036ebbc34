/*
 * redis_settings.h - what the options mean for the Redis broker.
 */
#pragma once

#include "broker/redis.h"
#include "server/options.h"

/* Texts are lent by the options. */
MUST_CHECK struct redis_options redis_settings(const struct options *options);
