/*
 * Goal: a namespace's counters stay its own, whatever reloads do to the list; labels are bounded.
 */
#include "server/namespace_counts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct namespaces namespaces_of(const char *const *names, uint32_t count)
{
    struct namespaces made = {.count = count};

    for (uint32_t i = 0; i < count; i++) {
        made.entries[i] = (struct namespace){.name = names[i], .place = (uint8_t)(i + 1)};
    }
    return made;
}

static void test_places_stay_over_reloads(void **state)
{
    static struct namespace_places places;
    const struct namespaces first = namespaces_of((const char *const[]){"chat", "news"}, 2);
    struct namespaces second = namespaces_of((const char *const[]){"news", "", "chat"}, 3);
    struct namespaces third = namespaces_of((const char *const[]){"", "feeds"}, 2);

    (void)state;
    namespace_places_open(&places, &first);
    namespace_places_assign(&places, &second);
    assert_int_equal(second.entries[0].place, 2);
    assert_int_equal(second.entries[1].place, 3);
    assert_int_equal(second.entries[2].place, 1);
    namespace_places_assign(&places, &third); /* those that are gone keep theirs */
    assert_int_equal(third.entries[0].place, 3);
    assert_int_equal(third.entries[1].place, 4);
}

static void test_places_are_bounded(void **state)
{
    static struct namespace_places places;
    const struct namespaces none = {.count = 0};
    char name[NAMESPACE_PLACES][8];

    (void)state;
    namespace_places_open(&places, &none);
    for (uint32_t i = 0; i < NAMESPACE_PLACES; i++) {
        (void)snprintf(name[i], sizeof(name[i]), "n%u", i);
        struct namespaces one = namespaces_of((const char *const[]){name[i]}, 1);
        namespace_places_assign(&places, &one);
        assert_int_equal(one.entries[0].place, i + 1 < NAMESPACE_PLACES ? i + 1 : 0);
    }
    struct namespaces again = namespaces_of((const char *const[]){name[5]}, 1);
    namespace_places_assign(&places, &again);
    assert_int_equal(again.entries[0].place, 6);
}

static void test_the_table_names_each_place(void **state)
{
    static struct metric table[NAMESPACE_METRICS_MAX];
    struct namespaces namespaces = namespaces_of((const char *const[]){"chat", "late", ""}, 3);

    (void)state;
    namespaces.entries[1].place = 0; /* no place was left: among the others */
    size_t count = namespace_metrics_make(&namespaces, 1000, table);
    assert_int_equal(count, 9);
    for (size_t i = 0; i < count; i++) {
        static const char *const labels[] = {NAMESPACE_OTHERS, "chat", ""};
        static const size_t places[] = {0, 1, 3};
        const size_t block = 1000 + places[i % 3] * sizeof(struct namespace_counts);
        assert_string_equal(table[i].label, "namespace");
        assert_string_equal(table[i].label_value, labels[i % 3]);
        assert_int_equal(table[i].offset, block + i / 3 * sizeof(struct counter));
        assert_string_equal(table[i].name, table[i / 3 * 3].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places_stay_over_reloads),
        cmocka_unit_test(test_places_are_bounded),
        cmocka_unit_test(test_the_table_names_each_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
