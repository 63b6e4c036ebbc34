/*
 * Goal: the published vectors of SHA-1 (FIPS 180-4), base64 (RFC 4648), SipHash-2-4 and the accept
 * key of RFC 6455; every length around a block; and base64 that is not strict is refused.
 */
#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void assert_sha1(struct slice input, const char *hex)
{
    uint8_t out[SHA1_SIZE];
    char text[2 * SHA1_SIZE + 1];

    sha1(input, out);
    for (size_t i = 0; i < SHA1_SIZE; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", out[i]);
    }
    assert_string_equal(text, hex);
}

static void test_sha1(void **state)
{
    static char million[1000000];

    (void)state;
    assert_sha1(slice_from(NULL, 0), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_sha1(slice_text("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_sha1(slice_text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    memset(million, 'a', sizeof(million));
    assert_sha1(slice_from(million, sizeof(million)), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    /* 55 bytes leave room for the length in the block, 56 do not, 64 fill it. */
    assert_sha1(slice_from(million, 55), "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    assert_sha1(slice_from(million, 56), "c2db330f6083854c99d4b5bfb6e8f29f201be699");
    assert_sha1(slice_from(million, 63), "03f09f5b158a7a8cdad920bddc29b81c18a551f5");
    assert_sha1(slice_from(million, 64), "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    assert_sha1(slice_from(million, 65), "11655326c708d70319be2610e8a57d9a5b959d3b");
}

static void test_accept_key(void **state)
{
    uint8_t digest[SHA1_SIZE];
    char out[BASE64_SIZE(SHA1_SIZE)];

    (void)state;
    sha1(slice_text("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), digest);
    assert_int_equal(base64_encode(slice_from(digest, SHA1_SIZE), out), 28);
    assert_memory_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28);
}

static void test_base64(void **state)
{
    const char *const cases[][2] = {{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"foobar", "Zm9vYmFy"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice plain = slice_text(cases[i][0]);
        struct slice encoded = slice_text(cases[i][1]);
        char text[16];
        uint8_t bytes[16];
        assert_int_equal(BASE64_SIZE(plain.size), encoded.size);
        assert_int_equal(base64_encode(plain, text), encoded.size);
        assert_memory_equal(text, encoded.data, encoded.size);
        assert_int_equal(base64_decode(encoded, bytes), plain.size);
        assert_memory_equal(bytes, plain.data, plain.size);
    }
}

static void test_base64_round(void **state)
{
    uint8_t plain[256];
    char text[BASE64_SIZE(256)];
    uint8_t back[BASE64_SIZE(256) / 4 * 3];

    (void)state;
    for (size_t size = 0; size <= sizeof(plain); size++) {
        for (size_t i = 0; i < size; i++) {
            plain[i] = (uint8_t)(255 - i * 7);
        }
        size_t encoded = base64_encode(slice_from(plain, size), text);
        assert_int_equal(encoded, BASE64_SIZE(size));
        assert_int_equal(base64_decode(slice_from(text, encoded), back), size);
        assert_memory_equal(back, plain, size);
    }
}

static void test_base64_refused(void **state)
{
    const char *const bad[] = {"Z",        "Zg",       "Zg=",     "Z===",     "====",   "=",
                               "Zm9v=",    "Zh==",     "Zm9=",    "Zg==Zg==", "Zm9vZg", " Zg=",
                               "Zg=\n",    "Zm-v",     "Zm_v",    "Z=g=",     "Zg=v",   "Zm9v\n",
                               "====Zm9v", "Zm9vZ===", "Zm9v===="};
    uint8_t out[16];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(base64_decode(slice_text(bad[i]), out), -1);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        uint8_t text[4] = {'A', 'A', (uint8_t)byte, 'A'};
        bool good = byte != 0 && strchr(alphabet, (int)byte) != NULL;
        assert_int_equal(base64_decode(slice_from(text, 4), out), good ? 3 : -1);
    }
}

/* The vectors of the paper's authors: key 00 01 .. 0f, inputs of 0, 1, 2 .. bytes 00 01 .. */
static void test_siphash(void **state)
{
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    const uint64_t expected[] = {
        0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
        0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
        0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
        0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5};
    uint8_t input[64];

    (void)state;
    for (size_t i = 0; i < sizeof(input); i++) {
        input[i] = (uint8_t)i;
    }
    for (size_t size = 0; size < sizeof(expected) / sizeof(expected[0]); size++) {
        assert_true(siphash(key, slice_from(input, size)) == expected[size]);
    }
    assert_true(siphash(key, slice_from(NULL, 0)) == expected[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha1),           cmocka_unit_test(test_accept_key),
        cmocka_unit_test(test_base64),         cmocka_unit_test(test_base64_round),
        cmocka_unit_test(test_base64_refused), cmocka_unit_test(test_siphash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
