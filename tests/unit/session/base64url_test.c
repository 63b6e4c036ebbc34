/*
 * Goal: base64url_decode takes exactly the texts that base64url_encode makes, so that no two texts
 * stand for the same bytes; and both agree with the vectors of RFC 4648, section 10.
 */
#include "session/base64url.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void vectors(void **state)
{
    static const struct {
        const char *bytes;
        const char *text;
    } cases[] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice bytes = slice_text(cases[i].bytes);
        char text[16];
        uint8_t decoded[16];

        assert_int_equal(base64url_encode(bytes, text), strlen(cases[i].text));
        assert_int_equal(BASE64URL_SIZE(bytes.size), strlen(cases[i].text));
        assert_memory_equal(text, cases[i].text, strlen(cases[i].text));
        assert_int_equal(base64url_decode(slice_text(cases[i].text), decoded), bytes.size);
        assert_memory_equal(decoded, bytes.data, bytes.size);
    }
}

/* Of all texts of two and three characters, those decode that are what their bytes encode to. */
static void only_one_text_for_the_same_bytes(void **state)
{
    uint32_t taken = 0;

    (void)state;
    for (uint32_t i = 0; i < 256 * 256 * 2; i++) {
        uint8_t text[3] = {(uint8_t)i, (uint8_t)(i >> 8), 'A'};
        size_t size = i >> 16 ? 3 : 2;
        uint8_t decoded[4];
        char again[4];
        int64_t decoded_size = base64url_decode(slice_from(text, size), decoded);

        if (decoded_size >= 0) {
            taken++;
            assert_int_equal(base64url_encode(slice_from(decoded, (size_t)decoded_size), again),
                             size);
            assert_memory_equal(text, again, size);
        }
    }
    assert_int_equal(taken, 256 + 64 * 64);
}

static void refused(void **state)
{
    static const char *const texts[] = {
        "Z",      "A",     "Zm9vA", "Zg==", "Zg=",  "Zm8=",  "Zh",    "Zm9",
        "Zm9v\n", " Zm9v", "Zm 9v", "Zm+v", "Zm/v", "Zm9vY", "Zm9v.", "Zm\xc3\xa9v"};
    uint8_t decoded[16];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(base64url_decode(slice_text(texts[i]), decoded), -1);
    }
    assert_int_equal(base64url_decode(slice_from("Zg\0", 4), decoded), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(only_one_text_for_the_same_bytes),
        cmocka_unit_test(refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
