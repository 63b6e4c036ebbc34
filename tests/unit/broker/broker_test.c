/*
 * Goal: a client has recovered when, and only when, the answer holds all that it missed; every
 * outcome has a name of its own.
 */
#include "broker/broker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void test_recovery(void **state)
{
    const struct {
        const char *epoch;
        uint64_t offset;
        uint64_t first; /* of the publications; 0: there are none */
        uint64_t last;
        uint64_t top;
        bool recovered;
    } cases[] = {
        {"abc", 5, 0, 0, 5, true},  {"abc", 0, 0, 0, 0, true},  {"", 5, 0, 0, 5, true},
        {"xyz", 5, 0, 0, 5, false}, {"_", 5, 6, 7, 7, false},   {"abc", 4, 0, 0, 5, false},
        {"abc", 6, 0, 0, 5, false}, {"abc", 5, 6, 7, 7, true},  {"abc", 5, 6, 6, 6, true},
        {"abc", 5, 7, 7, 7, false}, {"abc", 5, 6, 7, 8, false}, {"", 0, 1, 3, 3, true},
        {"abc", 0, 2, 3, 3, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct broker_publication publications[8] = {0};
        struct broker_position client = {.offset = cases[i].offset};
        struct broker_event event = {.kind = BROKER_HISTORY,
                                     .position = {.offset = cases[i].top, .epoch = "abc"},
                                     .publications = publications};
        if (cases[i].first > 0) {
            event.publication_count = (uint32_t)(cases[i].last - cases[i].first + 1);
        }
        for (uint32_t j = 0; j < event.publication_count; j++) {
            publications[j].offset = cases[i].first + j;
        }
        (void)snprintf(client.epoch, sizeof(client.epoch), "%s", cases[i].epoch);
        assert_int_equal(broker_has_recovered(&client, &event), cases[i].recovered);
        event.outcome = BROKER_UNRECOVERABLE;
        assert_false(broker_has_recovered(&client, &event));
    }
}

static void test_names(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < BROKER_OUTCOMES; i++) {
        const char *name = broker_outcome_name((enum broker_outcome)i);
        assert_true(name[0] != '\0');
        for (uint32_t j = 0; j < i; j++) {
            assert_string_not_equal(name, broker_outcome_name((enum broker_outcome)j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recovery),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
