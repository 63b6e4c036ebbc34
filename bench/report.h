/*
 * report.h - a result as a table for people, as JSON for programs, and as a page with plots.
 */
#pragma once

#include "bench/result.h"

#include <jansson.h>
#include <stdio.h>

/* Writes all that the options ask for, and the table. 0, or -1 after saying which failed. */
MUST_CHECK int report_write(const struct result *result);

void report_text(const struct result *result, FILE *out);

/*
 * The object of --json. Stable names: connections_open, connections_failed, handshakes_per_second,
 * server_cpu_us_per_connection, server_cpu_us_per_heartbeat, user_bytes_per_connection,
 * kernel_bytes_per_connection, baseline_bytes_per_connection, server_pid, seconds; of fanout and
 * echo also deliveries, lost, reordered, duplicated, deliveries_per_second,
 * server_cpu_us_per_delivery, latency_ms_p50, latency_ms_p99, latency_ms_max; null when not
 * measured. NULL when there is no memory. The caller has the reference.
 */
MUST_CHECK json_t *report_json(const struct result *result);

/* One file: no script, no font, no image from elsewhere. */
void report_html(const struct result *result, FILE *out);
