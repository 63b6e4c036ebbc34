/*
 * interrupts.h - on how many CPUs the interrupts of an interface's queues really arrive.
 */
#pragma once

#include "tuning/host.h"

/* 0: not known, as of interfaces that have none. */
MUST_CHECK uint32_t interrupts_count_cpus(const char *root, const char *nic);
