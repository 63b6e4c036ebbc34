/*
 * Goal: a name becomes addresses on a thread of its own, a wrong one an error; a resolver can end
 * at any moment, before, while and after the answer comes, and leaves nothing behind.
 */
#include "broker/redis_resolver.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct redis_resolver *start(const char *host)
{
    struct redis_address address = {.port = 6379};

    (void)snprintf(address.host, sizeof(address.host), "%s", host);
    struct redis_resolver *resolver = redis_resolver_start(&address);
    assert_non_null(resolver);
    return resolver;
}

static int wait_for_result(struct redis_resolver *resolver, struct addrinfo **list)
{
    struct pollfd poll_fd = {.fd = redis_resolver_fd(resolver), .events = POLLIN};

    assert_int_equal(poll(&poll_fd, 1, 60000), 1);
    return redis_resolver_result(resolver, list);
}

static void a_name(void **state)
{
    struct redis_resolver *resolver = start("localhost");
    struct addrinfo *list = NULL;

    (void)state;
    assert_int_equal(wait_for_result(resolver, &list), 0);
    assert_non_null(list);
    assert_int_equal(list->ai_socktype, SOCK_STREAM);
    assert_int_equal(redis_resolver_result(resolver, &list), 0); /* and again */
    assert_non_null(list);
    redis_resolver_end(resolver);
}

static void no_name(void **state)
{
    struct redis_resolver *resolver = start("no.such.host.invalid"); /* RFC 6761 */
    struct addrinfo *list = NULL;
    const int status = wait_for_result(resolver, &list);

    (void)state;
    assert_int_not_equal(status, 0);
    assert_int_not_equal(status, EAI_INPROGRESS);
    assert_null(list);
    redis_resolver_end(resolver);
}

static void ended_at_any_moment(void **state)
{
    (void)state;
    redis_resolver_end(NULL);
    for (int i = 0; i < 200; i++) {
        struct redis_resolver *resolver = start("localhost");
        struct pollfd poll_fd = {.fd = redis_resolver_fd(resolver), .events = POLLIN};
        if (i % 4 == 1) {
            assert_true(poll(&poll_fd, 1, 0) >= 0);
        } else if (i % 4 == 2) {
            assert_int_equal(poll(&poll_fd, 1, 60000), 1);
        }
        redis_resolver_end(resolver);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name),
        cmocka_unit_test(no_name),
        cmocka_unit_test(ended_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
