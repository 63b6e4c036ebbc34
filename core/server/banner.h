/*
 * banner.h - what `limpet serve` says when it has started: what it holds, and in dev mode how to
 * connect, ready to paste.
 */
#pragma once

#include "server/arguments.h"
#include "server/budget.h"

/* admin_port 0: there is none. */
void banner_print(const struct arguments *arguments, const struct budget *budget, uint16_t port,
                  uint16_t admin_port);
