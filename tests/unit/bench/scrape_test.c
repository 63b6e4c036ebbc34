/*
 * Goal: a metric is the sum of its series and of no other's; an HTTP answer is read whole, and a
 * port that does not answer gives an error.
 */
#include "bench/scrape.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void test_sums(void **state)
{
    const char *text = "# HELP a_total A.\n# TYPE a_total counter\n"
                       "a_total{shard=\"0\",x=\"{}\"} 5\na_total{shard=\"1\"} 7\n"
                       "a_total_more 100\nb 2.5\nb_total 1\n";

    (void)state;
    assert_true(scrape_sum(text, "a_total") == 12);
    assert_true(scrape_sum(text, "b") == 2.5);
    assert_true(scrape_sum(text, "b_total") == 1);
    assert_true(isnan(scrape_sum(text, "c")));
    assert_true(isnan(scrape_sum("", "a")));
    assert_true(scrape_sum("a 1", "a") == 1);
}

struct answer {
    int listener;
    const char *text;
    size_t repeat; /* times a line of 64 bytes follows */
};

static void *serve_once(void *argument)
{
    static const char line[65] =
        "0123456789012345678901234567890123456789012345678901234567890\n..";
    const struct answer *answer = argument;
    char request[512];
    int fd = accept4(answer->listener, NULL, NULL, SOCK_CLOEXEC);

    if (recv(fd, request, sizeof(request), 0) > 0) {
        (void)send(fd, answer->text, strlen(answer->text), MSG_NOSIGNAL);
        for (size_t i = 0; i < answer->repeat; i++) {
            (void)send(fd, line, 64, MSG_NOSIGNAL);
        }
    }
    (void)close(fd);
    return NULL;
}

static int ask(const char *text, size_t repeat, char **body)
{
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 address = {0};
    socklen_t size = sizeof(address);
    struct answer answer = {.text = text, .repeat = repeat};
    pthread_t thread;

    answer.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(answer.listener, (const struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(answer.listener, 1), 0);
    assert_int_equal(getsockname(answer.listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve_once, &answer), 0);
    int status = scrape_get(&address, "/metrics", body);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(close(answer.listener), 0);
    return status;
}

static void test_answers(void **state)
{
    char *body = NULL;

    (void)state;
    assert_int_equal(ask("HTTP/1.1 200 OK\r\nX: y\r\n\r\nbody", 0, &body), 200);
    assert_string_equal(body, "body");
    free(body);
    assert_int_equal(ask("HTTP/1.1 200 OK\r\n\r\n", 5000, &body), 200);
    assert_int_equal(strlen(body), 5000 * 64);
    free(body);
    assert_int_equal(ask("HTTP/1.1 503 No\r\n\r\n", 0, NULL), 503);
    assert_int_equal(ask("garbage", 0, &body), -EPROTO);
    assert_null(body);
    assert_int_equal(ask("", 0, &body), -EPROTO);
}

static void test_nobody_there(void **state)
{
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 address = {0};
    socklen_t size = sizeof(address);
    int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* and does not listen */

    (void)state;
    assert_int_equal(bind(bound, (const struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(getsockname(bound, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(scrape_get(&address, "/", NULL), -ECONNREFUSED);
    assert_int_equal(close(bound), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
