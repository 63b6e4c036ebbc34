/*
 * Goal: the kernel's bytes arrive, in any amount, in every byte of the buffer and in none beside
 * it.
 */
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_fills(void **state)
{
    static uint8_t first[100000];
    static uint8_t second[100000];
    const size_t sizes[] = {16, 255, 256, 257, 4096, sizeof(first) - 1};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(first, 0, sizeof(first));
        random_source(first, sizes[i]);
        random_source(second, sizes[i]);
        assert_memory_not_equal(first, second, sizes[i]);
        assert_memory_not_equal(first + sizes[i] - 16, second + sizes[i] - 16, 16);
        assert_int_equal(first[sizes[i]], 0);
    }
    random_source(NULL, 0);
}

/* Every bit is set about half of the time. */
static void test_bits(void **state)
{
    static uint8_t bytes[32768];

    (void)state;
    random_source(bytes, sizeof(bytes));
    for (unsigned bit = 0; bit < 8; bit++) {
        unsigned count = 0;
        for (size_t i = 0; i < sizeof(bytes); i++) {
            count += bytes[i] >> bit & 1;
        }
        assert_in_range(count, 16384 - 600, 16384 + 600); /* more than 6 sigma: once in 10^9 runs */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fills),
        cmocka_unit_test(test_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
