/*
 * Goal: the JSON keeps its names and says null for what was not measured; the figures that come
 * from several readings are right; samples never run over; the page is whole, and nothing of the
 * outside gets into its markup.
 */
#include "base/text.h"
#include "bench/measure.h"
#include "bench/plot.h"
#include "bench/report.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct bench_options options = {
    .connections = 1000, .rate = 0, .in_flight_max = 256, .threads = 1, .hold_s = 30};
static const struct plan plan = {.rings = 1, .sockets_per_ring = 1000, .source_count = 1};

static struct result *make_result(void)
{
    struct result *result = calloc(1, sizeof(*result));

    assert_non_null(result);
    result->options = &options;
    result->plan = &plan;
    result->open = 990;
    result->opened = 995;
    result->ramp_s = 2;
    result->hold_s = 30;
    result->ended[OUTCOME_OWN_PORTS] = 2;
    result->ended[OUTCOME_TLS_TIMEOUT] = 3;
    result->ended[OUTCOME_LOST_RESET] = 5;
    result->user_bytes = 250;
    result->kernel_bytes = NAN;
    result->baseline_bytes = NAN;
    result->ratio = NAN;
    result->cpu_us_per_connection = 120.5;
    result->cpu_us_per_heartbeat = NAN;
    result->samples.interval_s = 0.2;
    histogram_record(&result->latency[LATENCY_TOTAL], 2000000);
    (void)snprintf(result->url, sizeof(result->url), "wss://h/<script>\"&'");
    return result;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void test_stable_names(void **state)
{
    static const char *const names[] = {"connections_open",
                                        "connections_failed",
                                        "handshakes_per_second",
                                        "server_cpu_us_per_connection",
                                        "server_cpu_us_per_heartbeat",
                                        "user_bytes_per_connection",
                                        "kernel_bytes_per_connection",
                                        "baseline_bytes_per_connection",
                                        "server_pid",
                                        "seconds"};
    struct result *result = make_result();
    json_t *object = report_json(result);

    (void)state;
    assert_non_null(object);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!json_object_get(object, names[i])) {
            fail_msg("%s is missing", names[i]);
        }
    }
    assert_int_equal(json_integer_value(json_object_get(object, "connections_open")), 990);
    assert_int_equal(json_integer_value(json_object_get(object, "connections_failed")), 5);
    assert_int_equal(json_integer_value(json_object_get(object, "connections_failed_here")), 2);
    assert_int_equal(json_integer_value(json_object_get(object, "connections_lost")), 5);
    assert_true(json_real_value(json_object_get(object, "handshakes_per_second")) == 497.5);
    assert_true(json_real_value(json_object_get(object, "seconds")) == 32);
    assert_true(json_real_value(json_object_get(object, "user_bytes_per_connection")) == 250);
    assert_true(json_is_null(json_object_get(object, "kernel_bytes_per_connection")));
    assert_true(json_is_null(json_object_get(object, "server_cpu_us_per_heartbeat")));
    assert_true(json_is_null(json_object_get(object, "server_pid")));
    json_decref(object);
    free(result);
}

static void test_every_outcome_is_there(void **state)
{
    struct result *result = make_result();
    json_t *object = report_json(result);
    const json_t *outcomes = json_object_get(object, "outcomes");

    (void)state;
    assert_int_equal(json_object_size(outcomes), OUTCOMES);
    assert_int_equal(json_integer_value(json_object_get(outcomes, "tls_timeout")), 3);
    json_decref(object);
    free(result);
}

/* --- messages --------------------------------------------------------------------------------- */

static const struct bench_options fanout_options = {
    .scenario = SCENARIO_FANOUT,
    .connections = 1000,
    .in_flight_max = 256,
    .threads = 1,
    .messages = {.publishers = 1, .channels = 1, .channels_each = 1, .size = 100, .arrivals = 5},
};

static struct result *make_fanout(void)
{
    struct result *result = make_result();

    result->options = &fanout_options;
    result->traffic = (struct traffic){.publications = 100,
                                       .refused = 1,
                                       .expected = 99000,
                                       .deliveries = 98990,
                                       .lost = 10,
                                       .reordered = 3,
                                       .duplicated = 2,
                                       .start_s = 4,
                                       .seconds = 2,
                                       .cpu_us_per_delivery = 5.5,
                                       .cpu_us_per_delivery_net = NAN,
                                       .cpu_held_share = NAN,
                                       .cpu_share = 0.4,
                                       .own_cpu_us_per_delivery = NAN};
    for (uint64_t i = 1; i <= 100; i++) {
        histogram_record(&result->traffic.latency, i * 1000000);
    }
    histogram_record(&result->traffic.arrivals_latency, 5000000);
    return result;
}

static double real_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    assert_non_null(value);
    return json_number_value(value);
}

static void test_stable_names_of_messages(void **state)
{
    struct result *result = make_fanout();
    json_t *object = report_json(result);

    (void)state;
    assert_non_null(object);
    assert_true(real_of(object, "deliveries") == 98990);
    assert_true(real_of(object, "lost") == 10);
    assert_true(real_of(object, "reordered") == 3);
    assert_true(real_of(object, "duplicated") == 2);
    assert_true(real_of(object, "deliveries_per_second") == 49495);
    assert_true(real_of(object, "server_cpu_us_per_delivery") == 5.5);
    assert_true(json_is_null(json_object_get(object, "server_cpu_us_per_delivery_net")));
    double p50 = real_of(object, "latency_ms_p50");
    assert_true(p50 >= 50 && p50 < 50.5);
    double p99 = real_of(object, "latency_ms_p99");
    assert_true(p99 >= 99 && p99 < 100);
    assert_true(real_of(object, "latency_ms_max") == 100);
    assert_string_equal(json_string_value(json_object_get(object, "scenario")), "fanout");
    assert_non_null(json_object_get(object, "connections_open"));
    json_decref(object);
    free(result);
}

static void test_without_deliveries_there_is_no_latency(void **state)
{
    struct result *result = make_fanout();

    (void)state;
    result->traffic.deliveries = 0;
    result->traffic.seconds = 0;
    json_t *object = report_json(result);
    assert_true(json_is_null(json_object_get(object, "latency_ms_p50")));
    assert_true(json_is_null(json_object_get(object, "deliveries_per_second")));
    json_decref(object);
    free(result);
}

/* Held for 1 s at 10 %, then 2 s in which 1,000 deliveries cost 500 us each besides. */
static void test_cpu_of_a_delivery(void **state)
{
    struct result *result = make_fanout();
    struct measure measure = {
        .process = {.count = 1},
        .ramp_end = {.time_ns = 1000000000, .cpu_ns = 50000000},
        .hold_end = {.time_ns = 2000000000, .cpu_ns = 150000000},
        .traffic_start = {.time_ns = 3000000000, .cpu_ns = 250000000, .pings_answered = 7},
        .traffic_end = {.time_ns = 5000000000,
                        .cpu_ns = 250000000u + 200000000u + 500000000u,
                        .own_cpu_ns = 30000000,
                        .pings_answered = 12},
    };

    (void)state;
    result->traffic.deliveries = 1000;
    measure_traffic(&measure, result);
    assert_true(fabs(result->traffic.cpu_us_per_delivery - 700) < 0.001);
    assert_true(fabs(result->traffic.cpu_us_per_delivery_net - 500) < 0.001);
    assert_true(fabs(result->traffic.cpu_held_share - 0.1) < 0.001);
    assert_true(fabs(result->traffic.cpu_share - 0.35) < 0.001);
    assert_true(fabs(result->traffic.own_cpu_us_per_delivery - 30) < 0.001);
    assert_int_equal(result->traffic.pings_answered, 5);

    measure.process.count = 0; /* a server elsewhere */
    measure_traffic(&measure, result);
    assert_true(isnan(result->traffic.cpu_us_per_delivery));
    assert_true(!isnan(result->traffic.own_cpu_us_per_delivery));
    free(result);
}

/* --- figures ---------------------------------------------------------------------------------- */

/* 1 s of quiet at 10 %, then a ramp and a hold with heartbeats. */
static struct measure make_measure(double pings)
{
    return (struct measure){
        .process = {.count = 1},
        .idle_start = {.time_ns = 0, .cpu_ns = 0, .pings = pings},
        .idle_end = {.time_ns = 1000000000, .cpu_ns = 100000000, .pings = pings},
        /* 1 s: 100 ms idle, 100 heartbeats of 10 us, 1,000 connections of 150 us */
        .ramp_end = {.time_ns = 2000000000,
                     .cpu_ns = 100000000 + 100000000 + 1000000 + 150000000,
                     .pings = pings + 100,
                     .pings_answered = 100},
        /* 2 s: 200 ms idle, 1,000 heartbeats of 10 us */
        .hold_end = {.time_ns = 4000000000,
                     .cpu_ns = 351000000u + 200000000u + 10000000u,
                     .pings = pings + 1100,
                     .pings_answered = 1100},
    };
}

static bool is_near(double value, double expected)
{
    return fabs(value - expected) < 0.001;
}

static void test_cpu_of_connections_and_heartbeats(void **state)
{
    struct result *result = make_result();
    struct measure measure = make_measure(5000);

    (void)state;
    result->opened = 1000;
    measure_cpu(&measure, result);
    assert_true(is_near(result->cpu_idle_share, 0.1));
    assert_true(is_near(result->cpu_us_per_heartbeat, 10));
    assert_true(is_near(result->cpu_us_per_connection, 150));
    assert_true(is_near(result->cpu_us_per_connection_raw, 251));
    assert_int_equal(result->heartbeats_hold, 1000);
    assert_true(result->is_limpet);

    measure = make_measure(NAN); /* another server: what the clients answered */
    measure_cpu(&measure, result);
    assert_true(is_near(result->cpu_us_per_heartbeat, 10));
    assert_false(result->is_limpet);
    free(result);
}

static void test_too_few_heartbeats_have_no_cost(void **state)
{
    struct result *result = make_result();
    struct measure measure = make_measure(0);

    (void)state;
    measure.hold_end.pings = 199; /* 99 since the ramp */
    measure_cpu(&measure, result);
    assert_true(isnan(result->cpu_us_per_heartbeat));
    measure.hold_end.pings = 200;
    measure_cpu(&measure, result);
    assert_true(!isnan(result->cpu_us_per_heartbeat));
    free(result);
}

static void test_samples_are_thinned_and_not_lost(void **state)
{
    static struct samples samples = {.interval_s = 0.5};

    (void)state;
    for (uint32_t i = 0; i <= 100000; i++) {
        const struct sample sample = {.seconds = i * 0.25, .open = i};
        samples_add(&samples, &sample);
    }
    assert_true(samples.count <= SAMPLES_MAX);
    assert_true(samples.count > SAMPLES_MAX / 4);
    assert_true(samples.items[0].seconds == 0);
    for (uint32_t i = 1; i < samples.count; i++) {
        assert_true(samples.items[i].seconds > samples.items[i - 1].seconds);
    }
    assert_true(samples.items[samples.count - 1].seconds > 24900);
}

static void test_errors_of_connect(void **state)
{
    (void)state;
    assert_int_equal(outcome_of_connect(EADDRNOTAVAIL), OUTCOME_OWN_PORTS);
    assert_int_equal(outcome_of_connect(EADDRINUSE), OUTCOME_OWN_PORTS);
    assert_int_equal(outcome_of_connect(EMFILE), OUTCOME_OWN_DESCRIPTORS);
    assert_int_equal(outcome_of_connect(ENFILE), OUTCOME_OWN_DESCRIPTORS);
    assert_int_equal(outcome_of_connect(ENOMEM), OUTCOME_OWN_MEMORY);
    assert_int_equal(outcome_of_connect(ECONNREFUSED), OUTCOME_CONNECT_REFUSED);
    assert_int_equal(outcome_of_connect(ECONNRESET), OUTCOME_CONNECT_RESET);
    assert_int_equal(outcome_of_connect(ETIMEDOUT), OUTCOME_CONNECT_TIMEOUT);
    assert_int_equal(outcome_of_connect(EINVAL), OUTCOME_OWN_OTHER);
    for (enum outcome outcome = 0; outcome < OUTCOMES; outcome++) {
        assert_true(strlen(outcome_name(outcome)) > 3);
        assert_true(strlen(outcome_text(outcome)) > 3);
    }
}

/* --- text and page ---------------------------------------------------------------------------- */

static void test_numbers_for_people(void **state)
{
    char out[TEXT_SIZE];

    (void)state;
    assert_string_equal(text_count(0, out), "0");
    assert_string_equal(text_count(999, out), "999");
    assert_string_equal(text_count(1000, out), "1,000");
    assert_string_equal(text_count(UINT64_MAX, out), "18,446,744,073,709,551,615");
    assert_string_equal(text_bytes(1023, out), "1023 B");
    assert_string_equal(text_bytes(1024, out), "1.00 KB");
    assert_string_equal(text_bytes(10240, out), "10.0 KB");
    assert_string_equal(text_bytes(4.5e9, out), "4.19 GB");
    assert_string_equal(text_time(999, out), "999 ns");
    assert_string_equal(text_time(1500, out), "1.50 us");
    assert_string_equal(text_time(12340000, out), "12.3 ms");
    assert_string_equal(text_time(3e9, out), "3.00 s");
}

static void test_steps_of_an_axis(void **state)
{
    (void)state;
    assert_true(is_near(plot_step(10, 5), 2));
    assert_true(is_near(plot_step(11, 5), 5));
    assert_true(is_near(plot_step(26, 5), 10));
    assert_true(is_near(plot_step(0.9, 10), 0.1));
    assert_true(is_near(plot_step(106000, 5), 50000));
}

static char *written(void (*report)(const struct result *result, FILE *out),
                     const struct result *result)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    report(result, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void test_the_table(void **state)
{
    struct result *result = make_result();

    (void)state;
    char *text = written(report_text, result);
    assert_non_null(strstr(text, "990   of 1000 wanted"));
    assert_non_null(strstr(text, "TLS handshake not done in time"));
    assert_non_null(strstr(text, "not measured"));
    assert_null(strstr(text, "nan"));
    free(text);
    free(result);
}

static void test_the_page(void **state)
{
    struct result *result = make_result();

    (void)state;
    char *text = written(report_html, result); /* no samples, no slabs, little measured */
    assert_non_null(strstr(text, "</main></body></html>"));
    assert_null(strstr(text, "<script"));
    assert_non_null(strstr(text, "wss://h/&lt;script&gt;&quot;&amp;&#39;"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "href"));
    assert_null(strstr(text, "src="));
    free(text);

    for (uint32_t i = 0; i < 20; i++) {
        const struct sample sample = {.seconds = i, .open = 50u + i, .opened = 50u + i};
        samples_add(&result->samples, &sample);
    }
    result->kernel_bytes = 4100;
    result->baseline_bytes = 3875;
    result->ratio = 1.12;
    result->growths.count = 1;
    (void)snprintf(result->growths.items[0].name, SLAB_NAME_SIZE, "a<b");
    text = written(report_html, result);
    assert_non_null(strstr(text, "<polyline class=\"line blue\""));
    assert_non_null(strstr(text, "a&lt;b"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(text);
    free(result);
}

static void test_table_and_page_of_messages(void **state)
{
    struct result *result = make_fanout();

    (void)state;
    for (uint32_t i = 0; i < 60; i++) {
        const struct sample sample = {
            .seconds = i * 0.2, .opened = 1000, .open = 1000, .received = i < 20 ? 0 : i * 1000u};
        samples_add(&result->samples, &sample);
    }
    char *text = written(report_text, result);
    assert_non_null(strstr(text, "98,990   of 99000 expected"));
    assert_non_null(strstr(text, "refused of them"));
    assert_null(strstr(text, "nan"));
    free(text);
    text = written(report_html, result);
    assert_non_null(strstr(text, "98,990 deliveries to 990 subscribers"));
    assert_non_null(strstr(text, "Latency by percentile"));
    assert_non_null(strstr(text, "Deliveries per second over time"));
    assert_non_null(strstr(text, "opening a connection meanwhile"));
    assert_non_null(strstr(text, "</main></body></html>"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(text);

    result->traffic.deliveries = 0; /* nothing came: no plots */
    text = written(report_html, result);
    assert_null(strstr(text, "Latency by percentile"));
    assert_non_null(strstr(text, "</main></body></html>"));
    free(text);
    free(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stable_names),
        cmocka_unit_test(test_every_outcome_is_there),
        cmocka_unit_test(test_stable_names_of_messages),
        cmocka_unit_test(test_without_deliveries_there_is_no_latency),
        cmocka_unit_test(test_cpu_of_a_delivery),
        cmocka_unit_test(test_table_and_page_of_messages),
        cmocka_unit_test(test_cpu_of_connections_and_heartbeats),
        cmocka_unit_test(test_too_few_heartbeats_have_no_cost),
        cmocka_unit_test(test_samples_are_thinned_and_not_lost),
        cmocka_unit_test(test_errors_of_connect),
        cmocka_unit_test(test_numbers_for_people),
        cmocka_unit_test(test_steps_of_an_axis),
        cmocka_unit_test(test_the_table),
        cmocka_unit_test(test_the_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
