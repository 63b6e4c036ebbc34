/*
 * host_target.h - the server's options as limpet-tune's arithmetic takes them.
 */
#pragma once

#include "server/options.h"
#include "tuning/target.h"

void host_target_options(const struct options *options, struct target_options *out);
