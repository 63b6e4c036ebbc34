/*
 * process.h - the process's own metrics, under the names that Prometheus clients use.
 */
#pragma once

#include <stdio.h>

/* Writes them as Prometheus text. */
void process_write(FILE *out);
