/*
 * Goal: which texts say where and how clients are awaited, and which do not; what counts as the
 * same place, and as one that other hosts cannot reach.
 */
#include "io/endpoint.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

#define BOTH (PROXY_V1 | PROXY_V2)

static struct endpoint endpoint_of(const char *text)
{
    struct endpoint endpoint;

    memset(&endpoint, 0xff, sizeof(endpoint));
    assert_int_equal(endpoint_parse(slice_text(text), &endpoint), 0);
    return endpoint;
}

static void test_good_texts(void **state)
{
    static const struct {
        const char *text;
        const char *formatted;
        int family;
        bool is_plain;
        uint8_t proxy;
        uint32_t mode;
    } cases[] = {
        {"8443", "[::]:8443", AF_INET6, false, 0, 0660},
        {"0.0.0.0:8443", "0.0.0.0:8443", AF_INET, false, 0, 0660},
        {"wss://[::]:8443", "[::]:8443", AF_INET6, false, 0, 0660},
        {"wss://8443", "[::]:8443", AF_INET6, false, 0, 0660},
        {"ws://127.0.0.1:8080", "127.0.0.1:8080", AF_INET, true, 0, 0660},
        {"8443?proxy=v1", "[::]:8443", AF_INET6, false, PROXY_V1, 0660},
        {"ws://[::1]:80?proxy=v2", "[::1]:80", AF_INET6, true, PROXY_V2, 0660},
        {"wss://1.2.3.4:80?proxy=any", "1.2.3.4:80", AF_INET, false, BOTH, 0660},
        {"ws+unix:/run/limpet/ws.sock", "unix:/run/limpet/ws.sock", AF_UNIX, true, 0, 0660},
        {"wss+unix:/a", "unix:/a", AF_UNIX, false, 0, 0660},
        {"ws+unix:/a?mode=0", "unix:/a", AF_UNIX, true, 0, 0},
        {"ws+unix:/a?mode=0777", "unix:/a", AF_UNIX, true, 0, 0777},
        {"ws+unix:/a?proxy=any&mode=600", "unix:/a", AF_UNIX, true, BOTH, 0600},
        {"ws+unix:/a?mode=600&proxy=v1", "unix:/a", AF_UNIX, true, PROXY_V1, 0600},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct endpoint endpoint = endpoint_of(cases[i].text);
        char text[ENDPOINT_TEXT_SIZE];
        endpoint_format(&endpoint, text);
        assert_string_equal(text, cases[i].formatted);
        assert_int_equal(endpoint.address.sin6_family, cases[i].family);
        assert_int_equal(endpoint.is_plain, cases[i].is_plain);
        assert_int_equal(endpoint.proxy, cases[i].proxy);
        assert_int_equal(endpoint.mode, cases[i].mode);
    }
}

static void test_bad_texts(void **state)
{
    static const char *const cases[] = {
        "",
        "?",
        "wss://",
        "ws://?proxy=v1",
        "WSS://8443",
        "https://8443",
        "wss:8443",
        "ws+unix:",
        "ws+unix:/",
        "ws+unix:a",
        "ws+unix:?mode=600",
        "ws+unix:/a?mode=",
        "ws+unix:/a?mode=8",
        "ws+unix:/a?mode=1777",
        "ws+unix:/a?mode=00777",
        "ws+unix:/a?mode=600&",
        "8443?",
        "8443?&",
        "8443?proxy",
        "8443?proxy=",
        "8443?proxy=v3",
        "8443?proxy=V1",
        "8443?proxy=v1&&proxy=v2",
        "8443?mode=600",
        "8443?proxy=v1?proxy=v2",
        "8443?other=1",
    };
    struct endpoint endpoint;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (endpoint_parse(slice_text(cases[i]), &endpoint) != -EINVAL) {
            fail_msg("%s is taken", cases[i]);
        }
    }
    assert_int_equal(endpoint_parse(slice_from("ws+unix:/a\0b", 12), &endpoint), -EINVAL);
    assert_int_equal(endpoint_parse((struct slice){0}, &endpoint), -EINVAL);
}

static void test_the_longest_path(void **state)
{
    static const char scheme[] = "ws+unix:";
    char text[sizeof(scheme) + ENDPOINT_PATH_SIZE + 1] = "";
    char formatted[ENDPOINT_TEXT_SIZE];
    struct endpoint endpoint;

    (void)state;
    memset(text, '/', sizeof(text));
    memcpy(text, scheme, sizeof(scheme) - 1);
    const size_t longest = sizeof(scheme) - 1 + ENDPOINT_PATH_SIZE - 1;
    assert_int_equal(endpoint_parse(slice_from(text, longest), &endpoint), 0);
    assert_int_equal(strlen(endpoint.path), ENDPOINT_PATH_SIZE - 1);
    endpoint_format(&endpoint, formatted);
    assert_int_equal(strlen(formatted), strlen("unix:") + ENDPOINT_PATH_SIZE - 1);
    assert_int_equal(endpoint_parse(slice_from(text, longest + 1), &endpoint), -EINVAL);
}

static void test_the_same_place(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool is_same;
    } cases[] = {
        {"8443", "[::]:8443", true},
        {"8443", "ws://8443?proxy=v1", true},
        {"8443", "8444", false},
        {"8443", "0.0.0.0:8443", false}, /* the kernel decides whether both can be */
        {"127.0.0.1:1", "127.0.0.2:1", false},
        {"127.0.0.1:0", "127.0.0.1:0", false},
        {"ws+unix:/a", "wss+unix:/a?mode=600", true},
        {"ws+unix:/a", "ws+unix:/b", false},
        {"ws+unix:/a", "1", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct endpoint a = endpoint_of(cases[i].a);
        const struct endpoint b = endpoint_of(cases[i].b);
        assert_int_equal(endpoint_same(&a, &b), cases[i].is_same);
        assert_int_equal(endpoint_same(&b, &a), cases[i].is_same);
    }
}

static void test_what_is_local(void **state)
{
    static const struct {
        const char *text;
        bool is_local;
    } cases[] = {
        {"127.0.0.1:1", true}, {"127.255.255.255:1", true},    {"[::1]:1", true},
        {"ws+unix:/a", true},  {"[::ffff:127.0.0.1]:1", true}, {"1", false},
        {"0.0.0.0:1", false},  {"128.0.0.1:1", false},         {"[::2]:1", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct endpoint endpoint = endpoint_of(cases[i].text);
        assert_int_equal(endpoint_is_local(&endpoint), cases[i].is_local);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_texts),       cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_the_longest_path), cmocka_unit_test(test_the_same_place),
        cmocka_unit_test(test_what_is_local),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
