/*
 * Goal: readiness turns at the mark, to the connection, and back a twentieth below it; every reason
 * has its line, live is false for a silent shard alone.
 */
#include "server/readiness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct readiness readiness;
static struct admin_health health;
static struct readiness_facts facts;

static int setup(void **state)
{
    (void)state;
    readiness = (struct readiness){0};
    facts = (struct readiness_facts){.capacity = 1000, .high_percent = 95, .silent_shard = NONE};
    return 0;
}

static bool is_ready(uint64_t open)
{
    facts.open = open;
    readiness_look(&readiness, &facts, &health);
    return health.not_ready[0] == '\0';
}

static void test_both_sides_of_the_mark(void **state)
{
    (void)state;
    assert_true(is_ready(0));
    assert_true(is_ready(949));
    assert_false(is_ready(950));
    assert_string_equal(health.not_ready,
                        "not ready: high water: 950 of 1000 connections are open; above 949 until "
                        "below 903 (admin.ready_high_water)\n");
    assert_string_equal(health.not_live, "");
    assert_false(is_ready(949)); /* does not swing */
    assert_false(is_ready(903));
    assert_true(is_ready(902));
    assert_true(is_ready(949));
    assert_false(is_ready(1000));
}

static void test_marks_at_the_ends_of_the_range(void **state)
{
    (void)state;
    facts.high_percent = 0;
    assert_true(is_ready(1000));
    facts.high_percent = 100;
    assert_true(is_ready(999));
    assert_false(is_ready(1000));
    facts.high_percent = 0; /* switched off while it was full */
    assert_true(is_ready(1000));

    facts.capacity = 10;
    facts.high_percent = 1; /* of a connection: then the first one fills it */
    assert_true(is_ready(0));
    assert_false(is_ready(1));
    assert_true(is_ready(0));
}

static void test_every_reason_has_its_line(void **state)
{
    (void)state;
    facts.broker_problem = "the broker is away";
    assert_false(is_ready(0));
    assert_string_equal(health.not_ready, "not ready: the broker is away\n");
    assert_string_equal(health.not_live, "");

    facts.silent_shard = 7;
    assert_false(is_ready(1000));
    assert_non_null(strstr(health.not_ready, "not ready: high water: 1000 of 1000"));
    assert_non_null(strstr(health.not_ready, "\nnot ready: the broker is away\n"));
    assert_non_null(strstr(health.not_ready, "\nnot ready: shard 7 has not ticked for 10 s\n"));
    assert_string_equal(health.not_live, "not live: shard 7 has not ticked for 10 s\n");

    facts.broker_problem = NULL;
    facts.silent_shard = NONE;
    assert_true(is_ready(0));
    assert_string_equal(health.not_live, "");
}

static void test_key_sets_that_have_not_come(void **state)
{
    static const char *const urls[] = {
        "https://id.example:8443/a/secret?key=secret", "https://id.example:8443",
        "https://id.example:8443?key=secret", "https://id.example:8443#secret",
        "https://me:secret@id.example:8443/a@b"};
    char long_url[512] = "https://";

    (void)state;
    facts.missing_count = 1;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        facts.missing_url = urls[i];
        assert_false(is_ready(0));
        assert_string_equal(
            health.not_ready,
            "not ready: the key set of id.example:8443 has not come yet: its tokens "
            "are answered with 503 (token.keys)\n");
        assert_string_equal(health.not_live, ""); /* a new start would not bring it */
    }
    facts.missing_count = 3;
    assert_false(is_ready(0));
    assert_non_null(strstr(health.not_ready, "id.example:8443 has not come yet, nor 2 others: "));
    memset(long_url + 8, 'x', sizeof(long_url) - 9);
    facts.missing_url = long_url;
    assert_false(is_ready(0));
    assert_true(strlen(health.not_ready) < 300); /* other reasons have room */
    facts.missing_url = NULL;
    assert_true(is_ready(0));
}

static void test_a_text_that_is_too_long_ends(void **state)
{
    char text[2 * sizeof(health.not_ready)];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    facts.broker_problem = text;
    facts.silent_shard = 0;
    assert_false(is_ready(1000));
    assert_int_equal(strlen(health.not_ready), sizeof(health.not_ready) - 1);
    assert_string_equal(health.not_live, "not live: shard 0 has not ticked for 10 s\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_both_sides_of_the_mark, setup),
        cmocka_unit_test_setup(test_marks_at_the_ends_of_the_range, setup),
        cmocka_unit_test_setup(test_every_reason_has_its_line, setup),
        cmocka_unit_test_setup(test_key_sets_that_have_not_come, setup),
        cmocka_unit_test_setup(test_a_text_that_is_too_long_ends, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
