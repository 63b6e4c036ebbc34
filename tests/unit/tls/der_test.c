/*
 * Goal: lengths are written in the shortest form at every edge of a form, values nest, and what
 * does not fit is known as not fitting.
 */
#include "tls/der.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct der der;
static const uint8_t content[DER_ROOM];

static void assert_written(const void *bytes, size_t size)
{
    struct slice written = der_written(&der);

    assert_false(der.is_full);
    assert_int_equal(written.size, size);
    assert_memory_equal(written.data, bytes, size);
}

static void nothing_is_written_at_first(void **state)
{
    (void)state;
    der_init(&der);
    assert_int_equal(der_written(&der).size, 0);
    der_put(&der, slice_from(NULL, 0));
    assert_int_equal(der_written(&der).size, 0);
    assert_false(der.is_full);
}

static void lengths_take_the_shortest_form(void **state)
{
    static const struct {
        size_t size;
        uint8_t header[4];
        size_t header_size;
    } cases[] = {
        {0, {0x04, 0}, 2},
        {1, {0x04, 1}, 2},
        {0x7f, {0x04, 0x7f}, 2},
        {0x80, {0x04, 0x81, 0x80}, 3},
        {0xff, {0x04, 0x81, 0xff}, 3},
        {0x100, {0x04, 0x82, 0x01, 0x00}, 4},
        {DER_ROOM - 4, {0x04, 0x82, 0x0f, 0xfc}, 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        der_init(&der);
        der_value(&der, DER_OCTET_STRING, slice_from(content, cases[i].size));
        struct slice written = der_written(&der);
        assert_false(der.is_full);
        assert_int_equal(written.size, cases[i].header_size + cases[i].size);
        assert_memory_equal(written.data, cases[i].header, cases[i].header_size);
        assert_memory_equal(written.data + cases[i].header_size, content, cases[i].size);
    }
}

static void values_nest(void **state)
{
    /* SEQUENCE { INTEGER 5, SEQUENCE { OCTET STRING "ab" } }, written from the end. */
    static const uint8_t expected[] = {0x30, 9, 2, 1, 5, 0x30, 4, 4, 2, 'a', 'b'};
    static const uint8_t five = 5;

    (void)state;
    der_init(&der);
    size_t end = der.start;
    der_value(&der, DER_OCTET_STRING, slice_text("ab"));
    der_wrap(&der, DER_SEQUENCE, end);
    der_value(&der, DER_INTEGER, slice_from(&five, 1));
    der_wrap(&der, DER_SEQUENCE, end);
    assert_written(expected, sizeof(expected));

    /* Only what was written since the end is wrapped; what lay there stays behind it. */
    static const uint8_t tail[] = {0x31, 2, 5, 0, 4, 0};
    der_init(&der);
    der_value(&der, DER_OCTET_STRING, slice_from(NULL, 0));
    end = der.start;
    der_put(&der, slice_from((const uint8_t[]){5, 0}, 2));
    der_wrap(&der, DER_SET, end);
    assert_written(tail, sizeof(tail));
}

static void what_does_not_fit_is_known(void **state)
{
    (void)state;
    /* To the last byte, and one more. */
    der_init(&der);
    der_put(&der, slice_from(content, DER_ROOM));
    assert_false(der.is_full);
    assert_int_equal(der_written(&der).size, DER_ROOM);
    der_put(&der, slice_from(content, 1));
    assert_true(der.is_full);

    /* The content fits and its header does not. */
    der_init(&der);
    der_value(&der, DER_OCTET_STRING, slice_from(content, DER_ROOM - 3));
    assert_true(der.is_full);

    /* Known for good, though a smaller value would fit again. */
    der_init(&der);
    der_put(&der, slice_from(content, DER_ROOM - 2));
    der_put(&der, slice_from(content, 3));
    assert_true(der.is_full);
    der_put(&der, slice_from(content, 1));
    assert_true(der.is_full);
    der_init(&der);
    assert_false(der.is_full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_written_at_first),
        cmocka_unit_test(lengths_take_the_shortest_form),
        cmocka_unit_test(values_nest),
        cmocka_unit_test(what_does_not_fit_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
