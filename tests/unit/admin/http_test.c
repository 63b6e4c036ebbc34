/*
 * Goal: the admin port over real sockets: every path and method has its answer, readiness follows
 * the server's flag, one request a connection, and nobody can hold it: sizes, connections and time
 * are bounded, and the next client is served. The port has no API here (http_call_test.c has).
 */
#include "admin/http.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ANSWER_MAX     65536
#define SILENT_CLIENTS 200 /* more than there are places */

static struct admin_state ready_state;
static struct counter block;
static const void *const blocks[] = {&block};
static const struct metric table[] = {
    {"t_open", "Open.", METRIC_GAUGE, NULL, NULL, 0, 0, NULL, NULL}};
static const struct metrics metrics = {
    .table = table, .table_size = 1, .blocks = blocks, .block_count = 1};

static struct sockaddr_in6 loopback_4(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 storage = {0};

    memcpy(&storage, &address, sizeof(address));
    return storage;
}

static struct admin *open_on(const struct sockaddr_in6 *address, char *message, size_t message_size)
{
    const struct admin_options options = {
        .address = address, .metrics = &metrics, .state = &ready_state};

    return admin_open(&options, message, message_size);
}

/* The port's own thread. */
static pthread_t thread;
static struct counter stopping;
static struct counter has_problem;
static const struct admin_health well;
static const struct admin_health ill = {.not_live = "not live: shard 3 hangs\n",
                                        .not_ready = "not ready: the broker is away\n"
                                                     "not ready: full\n"};

static void *run(void *argument)
{
    while (counter_read(&stopping) == 0) {
        admin_wait(argument, 1000);
        admin_set_health(argument, counter_read(&has_problem) ? &ill : &well);
        admin_turn(argument);
    }
    return NULL;
}

static int setup(void **state)
{
    char message[256];
    const struct sockaddr_in6 address = loopback_4(0);

    counter_set(&ready_state.ready, 1);
    *state = open_on(&address, message, sizeof(message));
    return *state ? pthread_create(&thread, NULL, run, *state) : -1;
}

static int teardown(void **state)
{
    counter_set(&stopping, 1);
    admin_wake(*state);
    assert_int_equal(pthread_join(thread, NULL), 0);
    admin_close(*state);
    return 0;
}

static int client_open(uint16_t port)
{
    const struct sockaddr_in6 address = loopback_4(port);
    const struct timeval limit = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(struct sockaddr_in)), 0);
    return fd;
}

/* Everything until the end of the stream; the answer is a terminated text. */
static char *read_all(int fd)
{
    static char answer[ANSWER_MAX];
    size_t size = 0;
    ssize_t taken;

    while ((taken = recv(fd, answer + size, sizeof(answer) - 1 - size, 0)) > 0) {
        size += (size_t)taken;
    }
    answer[size] = '\0';
    return answer;
}

static char *ask(const struct admin *admin, const char *request)
{
    int fd = client_open(admin_port(admin));

    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    char *answer = read_all(fd);
    assert_int_equal(close(fd), 0);
    return answer;
}

static void assert_status(const char *answer, const char *status)
{
    if (strncmp(answer, "HTTP/1.1 ", 9) != 0 || strncmp(answer + 9, status, 3) != 0) {
        fail_msg("expected %s, got: %.80s", status, answer);
    }
}

#define HEAD " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void test_paths(void **state)
{
    counter_set(&block, 42);
    char *answer = ask(*state, "GET /metrics" HEAD);
    assert_status(answer, "200");
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
    assert_non_null(strstr(answer, "\r\n\r\n# HELP t_open Open.\n"));
    assert_non_null(strstr(answer, "\nt_open{shard=\"0\"} 42\n"));
    assert_status(ask(*state, "GET /metrics?x=1" HEAD), "200");
    assert_status(ask(*state, "GET /health/live" HEAD), "200");
    assert_status(ask(*state, "GET /health/ready" HEAD), "200");
    assert_status(ask(*state, "GET /" HEAD), "404");
    assert_status(ask(*state, "GET /metrics/" HEAD), "404");
    assert_status(ask(*state, "GET /health" HEAD), "404");
    assert_status(ask(*state, "POST /nothing" HEAD), "404");
    assert_status(ask(*state, "POST /api/info" HEAD), "404"); /* there are no keys */
}

static void test_methods(void **state)
{
    char *answer = ask(*state, "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_status(answer, "405");
    assert_non_null(strstr(answer, "Allow: GET, HEAD"));
    assert_status(ask(*state, "DELETE /health/ready" HEAD), "405");
    answer = ask(*state, "HEAD /health/live" HEAD);
    assert_status(answer, "200");
    assert_null(strstr(answer, "live\n"));
    answer = ask(*state, "GET /health/live HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_status(answer, "200");
}

static void test_readiness_follows_the_server(void **state)
{
    counter_set(&ready_state.ready, 0);
    char *answer = ask(*state, "GET /health/ready" HEAD);
    assert_status(answer, "503");
    assert_non_null(strstr(answer, "not ready: "));
    assert_status(ask(*state, "GET /health/live" HEAD), "200");
    counter_set(&ready_state.ready, 1);
    assert_status(ask(*state, "GET /health/ready" HEAD), "200");
}

/* A turn that is under way still tells what it was told before. */
static char *ask_until_status(struct admin *admin, const char *path, const char *status)
{
    char *answer = NULL;

    for (uint32_t i = 0; i < 1000; i++) {
        char request[64];
        (void)snprintf(request, sizeof(request), "GET %s" HEAD, path);
        answer = ask(admin, request);
        if (strncmp(answer + 9, status, 3) == 0) {
            break;
        }
    }
    assert_status(answer, status);
    return answer;
}

static void test_health_says_what_the_problems_are(void **state)
{
    counter_set(&has_problem, 1);
    assert_non_null(strstr(ask_until_status(*state, "/health/ready", "503"),
                           "\r\n\r\nnot ready: the broker is away\nnot ready: full\n"));
    assert_non_null(strstr(ask_until_status(*state, "/health/live", "503"),
                           "\r\n\r\nnot live: shard 3 hangs\n"));
    counter_set(&ready_state.ready, 0);
    assert_non_null(strstr(ask(*state, "GET /health/ready" HEAD),
                           "are not accepted\nnot ready: the broker is away\nnot ready: full\n"));
    counter_set(&ready_state.ready, 1);
    counter_set(&has_problem, 0);
    (void)ask_until_status(*state, "/health/ready", "200");
    (void)ask_until_status(*state, "/health/live", "200");
}

static void test_one_request_a_connection(void **state)
{
    const char *two = "GET /health/live" HEAD "GET /health/live" HEAD;
    char *answer = ask(*state, two);

    assert_status(answer, "200");
    assert_non_null(strstr(answer, "Connection: close"));
    assert_null(strstr(answer + 9, "HTTP/1.1"));
}

static void test_large_requests_are_refused(void **state)
{
    static char request[40000];
    size_t size =
        (size_t)snprintf(request, sizeof(request), "GET /metrics HTTP/1.1\r\nHost: a\r\nX: ");

    memset(request + size, 'x', sizeof(request) - size - 1);
    int fd = client_open(admin_port(*state));
    (void)send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
    char *answer = read_all(fd); /* may be lost in a reset; but it is no 200, and the stream ends */
    if (answer[0] != '\0') {
        assert_status(answer, "431");
    }
    assert_int_equal(close(fd), 0);
    assert_status(ask(*state, "GET /health/live" HEAD), "200");
}

static uint64_t now_ms(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Silent clients fill every place; the next one is served when their time is over. */
static void test_silent_clients_do_not_shut_others_out(void **state)
{
    int silent[SILENT_CLIENTS];

    for (size_t i = 0; i < SILENT_CLIENTS; i++) {
        silent[i] = client_open(admin_port(*state));
    }
    assert_status(ask(*state, "GET /health/live" HEAD), "200");
    for (size_t i = 0; i < SILENT_CLIENTS; i++) {
        assert_int_equal(close(silent[i]), 0);
    }
}

/* A byte now and then is no idle connection, and still has an end. */
static void test_a_trickle_has_an_end(void **state)
{
    const char *byte = "G";
    int fd = client_open(admin_port(*state));
    uint64_t start = now_ms();
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    while (poll(&wait, 1, 200) == 0) {
        assert_true(now_ms() - start < 9000);
        assert_int_equal(send(fd, byte, 1, MSG_NOSIGNAL), 1);
    }
    assert_true(now_ms() - start >= 4000); /* not cut short by something else */
    assert_int_equal(close(fd), 0);
    assert_status(ask(*state, "GET /health/live" HEAD), "200");
}

static void test_a_port_in_use_is_named(void **state)
{
    char message[256];
    char port[32];
    const struct sockaddr_in6 address = loopback_4(admin_port(*state));

    assert_null(open_on(&address, message, sizeof(message)));
    (void)snprintf(port, sizeof(port), "127.0.0.1:%u", (unsigned)admin_port(*state));
    assert_non_null(strstr(message, port));
    assert_non_null(strstr(message, "admin.listen"));
}

static void test_ipv6(void **state)
{
    char message[256];
    const struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                         .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct admin *admin = open_on(&address, message, sizeof(message));

    (void)state;
    if (!admin) {
        skip(); /* a host without IPv6 */
    }
    struct sockaddr_in6 target = address;
    target.sin6_port = htons(admin_port(admin));
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&target, sizeof(target)), 0);
    assert_int_equal(close(fd), 0);
    admin_close(admin);
}

static void test_closing_ends_connections(void **state)
{
    char message[256];
    const struct sockaddr_in6 address = loopback_4(0);
    struct admin *admin = open_on(&address, message, sizeof(message));

    (void)state;
    assert_non_null(admin);
    int fd = client_open(admin_port(admin));
    admin_wait(admin, 1000);
    admin_turn(admin); /* takes it */
    admin_close(admin);
    (void)read_all(fd);
    assert_int_equal(close(fd), 0);
    admin_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_readiness_follows_the_server),
        cmocka_unit_test(test_health_says_what_the_problems_are),
        cmocka_unit_test(test_one_request_a_connection),
        cmocka_unit_test(test_large_requests_are_refused),
        cmocka_unit_test(test_silent_clients_do_not_shut_others_out),
        cmocka_unit_test(test_a_trickle_has_an_end),
        cmocka_unit_test(test_a_port_in_use_is_named),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_closing_ends_connections),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
