/*
 * Goal: every shape of a message's header is read as it says, and what is no header to its last
 * byte is payload; what clients send cannot be taken for one. Numbers, patterns, slots and
 * addresses on both sides of their limits.
 */
#include "broker/redis_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect_slice(struct slice slice, const char *text)
{
    assert_int_equal(slice.size, strlen(text));
    if (slice.size > 0) {
        assert_memory_equal(slice.data, text, slice.size);
    }
}

/* --- messages --------------------------------------------------------------------------------- */

struct shape {
    const char *bytes;
    uint64_t offset;
    const char *epoch;
    char mark;
    const char *user;
    const char *conn_id;
    const char *payload;
};

static const struct shape shapes[] = {
    {"__p1:1:e__hello", 1, "e", 0, "", "", "hello"},
    {"__p1:1:e__", 1, "e", 0, "", "", ""},
    {"__p1:0:__hello", 0, "", 0, "", "", "hello"},
    {"__p1:0::t:0:0__hello", 0, "", 't', "", "", "hello"},
    {"__p1:0:::0:0__hello", 0, "", 0, "", "", "hello"},
    {"__p1:12:abc:b:3:4__anncon1hello", 12, "abc", 'b', "ann", "con1", "hello"},
    {"__p1:12:abc:t:3:0__annhello", 12, "abc", 't', "ann", "", "hello"},
    {"__p1:12:abc:t:0:4__con1", 12, "abc", 't', "", "con1", ""},
    {"__p1:12:abc::3:0__a__hello", 12, "abc", 0, "a__", "", "hello"},
    {"__p1:9223372036854775807:0123456789abcdef__x", INT64_MAX, "0123456789abcdef", 0, "", "", "x"},
    {"__p1:007:e____p1:1:e__", 7, "e", 0, "", "", "__p1:1:e__"},
};

static void test_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const struct shape *shape = &shapes[i];
        struct redis_message message;
        redis_message_read(slice_text(shape->bytes), &message);
        assert_int_equal(message.offset, shape->offset);
        assert_string_equal(message.epoch, shape->epoch);
        assert_int_equal(message.mark, shape->mark);
        expect_slice(message.user, shape->user);
        expect_slice(message.conn_id, shape->conn_id);
        expect_slice(message.payload, shape->payload);
    }
}

static void expect_all_payload(struct slice bytes)
{
    struct redis_message message;

    memset(&message, 0xa5, sizeof(message));
    redis_message_read(bytes, &message);
    assert_int_equal(message.offset, 0);
    assert_string_equal(message.epoch, "");
    assert_int_equal(message.mark, 0);
    assert_int_equal(message.user.size, 0);
    assert_int_equal(message.conn_id.size, 0);
    assert_true(slice_equal(message.payload, bytes));
}

static void test_no_headers(void **state)
{
    static const char *const texts[] = {
        "",
        "hello",
        "__p1",
        "_p1:1:e__x",
        "__p2:1:e__x",
        " __p1:1:e__x",
        "__P1:1:e__x",
        "__p1:1:e_x",
        "__p1:1:e:__x",
        "__p1:1__x",                           /* no epoch */
        "__p1::e__x",                          /* no offset */
        "__p1:-1:e__x",                        /* below */
        "__p1:+1:e__x",                        /* a sign */
        "__p1: 1:e__x",                        /* a space */
        "__p1:0x1:e__x",                       /* not decimal */
        "__p1:1:__x",                          /* numbered, of no stream */
        "__p1:0:e__x",                         /* of a stream, not numbered */
        "__p1:1:a b__x",                       /* not shown as it is */
        "__p1:1:a\x7f__x",                     /* likewise */
        "__p1:1:\xc3\xa4__x",                  /* likewise */
        "__p1:1:e:x:0:0__x",                   /* no mark */
        "__p1:1:e:tt:0:0__x",                  /* likewise */
        "__p1:1:e:T:0:0__x",                   /* likewise */
        "__p1:1:e:t:0__x",                     /* one size */
        "__p1:1:e:t:0:0:0__x",                 /* three */
        "__p1:1:e:t::__x",                     /* none */
        "__p1:1:e:t:0:2__x",                   /* more than there is */
        "__p1:1:e:t:2:0__x",                   /* likewise */
        "__p1:1:e:t:1:1__x",                   /* likewise, together */
        "__p1:1:0123456789abcdefg__x",         /* too long an epoch */
        "__p1:9223372036854775808:e__x",       /* 2^63 */
        "__p1:18446744073709551617:e__x",      /* 2^64 + 1 */
        "__p1:1:e:t:9223372036854775807:0__x", /* a size that would wrap */
        "__p1:1:e:t:9223372036854775807:9223372036854775807__x",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        expect_all_payload(slice_text(texts[i]));
    }
    expect_all_payload((struct slice){0});
    expect_all_payload(slice_from("__p1:1:\0__x", 11));
}

/* Of a header that ends before its user and connection do, nothing is believed. The copy has the
 * size of the cut: a sanitizer sees a read beyond it. */
static void test_cut_at_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const size_t whole = strlen(shapes[i].bytes) - strlen(shapes[i].payload);
        for (size_t size = 1; size < whole; size++) {
            uint8_t *cut = malloc(size);
            assert_non_null(cut);
            memcpy(cut, shapes[i].bytes, size);
            expect_all_payload(slice_from(cut, size));
            free(cut);
        }
    }
}

/* A client's user, connection and payload look like headers: they come out as they went in. */
static void test_write_and_read(void **state)
{
    static const char *const payloads[] = {"hello", "__p1:5:ep__forged", "__p1:5:ep:b:1:1__forged",
                                           "", "__"};
    static const char marks[] = {'t', 'b', '\0'};

    (void)state;
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]) * sizeof(marks); i++) {
        const char *payload = payloads[i / sizeof(marks)];
        const struct redis_message in = {.mark = marks[i % sizeof(marks)],
                                         .user = slice_text("__p1:"),
                                         .conn_id = slice_text("1:e__")};
        struct redis_message out;
        char bytes[REDIS_HEADER_SIZE_MAX + 64];
        size_t size = redis_header_write(bytes, &in);
        const int rest = snprintf(bytes + size, 64, "__p1:1:e__%s", payload);
        redis_message_read(slice_from(bytes, size + (size_t)rest), &out);
        assert_int_equal(out.offset, 0);
        assert_string_equal(out.epoch, "");
        assert_int_equal(out.mark, in.mark);
        expect_slice(out.user, "__p1:");
        expect_slice(out.conn_id, "1:e__");
        expect_slice(out.payload, payload);
    }
}

/* The largest header fits: sizes are the widest there can be. */
static void test_largest_header(void **state)
{
    const struct redis_message message = {
        .mark = 't', .user = slice_from("", SIZE_MAX), .conn_id = slice_from("", SIZE_MAX)};
    char bytes[REDIS_HEADER_SIZE_MAX];

    (void)state;
    assert_true(redis_header_write(bytes, &message) < REDIS_HEADER_SIZE_MAX);
}

/* --- numbers, patterns, slots ----------------------------------------------------------------- */

static void test_numbers(void **state)
{
    static const char *const wrong[] = {"",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1a",
                                        "0x1",
                                        "1.0",
                                        "9223372036854775808",
                                        "9999999999999999999",
                                        "18446744073709551616",
                                        "00000000000000000001"};
    uint64_t number = 1;

    (void)state;
    assert_true(redis_number_read(slice_text("0"), &number));
    assert_int_equal(number, 0);
    assert_true(redis_number_read(slice_text("0000000000000000042"), &number));
    assert_int_equal(number, 42);
    assert_true(redis_number_read(slice_text("9223372036854775807"), &number));
    assert_true(number == INT64_MAX);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(redis_number_read(slice_text(wrong[i]), &number));
    }
}

static void test_globs(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"news", "news"},
        {"a*", "a\\*"},
        {"a?b", "a\\?b"},
        {"[a]", "\\[a\\]"},
        {"\\", "\\\\"},
        {"a^-b", "a^-b"},
        {"*?[]\\", "\\*\\?\\[\\]\\\\"},
        {"\xc3\xa4", "\xc3\xa4"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        uint8_t out[32];
        const size_t size = redis_glob_escape(slice_text(pairs[i][0]), out);
        expect_slice(slice_from(out, size), pairs[i][1]);
    }
}

/* As CLUSTER KEYSLOT of Redis 7 answers. */
static void test_slots(void **state)
{
    static const struct {
        const char *key;
        uint16_t slot;
    } known[] = {
        {"", 0},
        {"123456789", 12739},
        {"foo", 12182},
        {"bar", 5061},
        {"user1000", 3443},
        {"{user1000}.following", 3443},
        {"n:a", 5811},
        {"limpet:{n:a}:stream", 5811},
        {"foo{bar}{zap}", 5061},
        {"foo{{bar}}zap", 4015},
        {"foo{}{bar}", 8363}, /* an empty tag is none */
        {"{", 4092},
        {"}{a}", 15495},
        {"a{b", 13340},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        assert_int_equal(redis_slot(slice_text(known[i].key)), known[i].slot);
    }
    assert_int_equal(redis_slot((struct slice){0}), 0);
}

/* --- addresses -------------------------------------------------------------------------------- */

static void test_addresses(void **state)
{
    static const struct {
        const char *text;
        const char *host;
        uint16_t port;
    } known[] = {
        {"127.0.0.1:6379", "127.0.0.1", 6379}, {"redis.test:1", "redis.test", 1},
        {"[::1]:65535", "::1", 65535},         {"/run/redis.sock", "/run/redis.sock", 0},
        {"/run/a:1", "/run/a:1", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct redis_address address;
        assert_true(redis_address_read(known[i].text, &address));
        assert_string_equal(address.host, known[i].host);
        assert_int_equal(address.port, known[i].port);
    }
}

static void test_wrong_addresses(void **state)
{
    static const char *const wrong[] = {
        "",       "host",  ":1",      "host:", "host:0", "host:65536", "host:-1",       "host: 1",
        "::1:80", "[::1]", "[::1]80", "[]:1",  "[:1",    "[::1:80",    "run/redis.sock"};
    struct redis_address address;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(redis_address_read(wrong[i], &address));
    }
}

/* The longest host and path, and one byte more. */
static void test_long_addresses(void **state)
{
    struct redis_address address;
    char text[REDIS_HOST_SIZE_MAX + 8];

    (void)state;
    for (size_t size = REDIS_HOST_SIZE_MAX; size <= REDIS_HOST_SIZE_MAX + 1; size++) {
        memset(text, 'h', size);
        memcpy(text + size, ":80", 4);
        assert_int_equal(redis_address_read(text, &address), size == REDIS_HOST_SIZE_MAX);
    }
    for (size_t size = 107; size <= 108; size++) {
        memset(text, 'p', size);
        text[0] = '/';
        text[size] = '\0';
        assert_int_equal(redis_address_read(text, &address), size == 107);
    }
}

static void test_equal_addresses(void **state)
{
    const struct redis_address one = {.host = "a", .port = 1};
    const struct redis_address same = {.host = "a", .port = 1};
    const struct redis_address other_port = {.host = "a", .port = 2};
    const struct redis_address other_host = {.host = "b", .port = 1};

    (void)state;
    assert_true(redis_address_equal(&one, &same));
    assert_false(redis_address_equal(&one, &other_port));
    assert_false(redis_address_equal(&one, &other_host));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_no_headers),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_largest_header),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_wrong_addresses),
        cmocka_unit_test(test_long_addresses),
        cmocka_unit_test(test_equal_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
