/*
 * Goal: requests of the API over real sockets: keys, methods, bodies up to their bound and one
 * byte more, in pieces, chunked, with Expect; kept connections and pipelines; answers that come
 * late; refusals that can be read; and the end of the port while calls wait.
 */
#include "admin/http.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ANSWER_MAX    65536
#define BODY_SIZE_MAX 4096
#define KEY           "0123456789abcdef"
#define KEPT_MAX      128 /* as http_call.c has it */

static struct admin_state ready_state;
static const struct metrics metrics;
static struct api_counts counts;
static struct api_keys *keys;
static struct admin *admin;
static pthread_t thread;
static struct counter stopping;
static struct counter holding;  /* calls are taken, and not answered */
static struct counter held;     /* how many */
static struct admin_call *last; /* of those; read when held says so */

/* {"method":...,"size":...}, from what came. */
static void answer(struct admin_call *call)
{
    struct json_out out = {.size_max = 1024};

    json_out_text(&out, "{\"method\":");
    json_out_string(&out, slice_text(api_method_name(call->method)));
    json_out_text(&out, ",\"size\":");
    json_out_number(&out, call->body_size);
    json_out_text(&out, call->is_bare ? ",\"bare\":1}" : "}");
    if (call->body_size > 0 && call->body[0] == '!') {
        free(out.data);
        admin_refuse(admin, call, "an exclamation mark");
    } else {
        out.failed = call->body_size > 0 && call->body[0] == '?';
        admin_answer(admin, call, 200, &out);
    }
}

static void *run(void *argument)
{
    struct admin_call *call;

    (void)argument;
    while (counter_read(&stopping) == 0) {
        admin_wait(admin, 1000);
        admin_turn(admin);
        if (last && counter_read(&holding) == 0) {
            answer(last);
            last = NULL;
        }
        while ((call = admin_next(admin))) {
            if (counter_read(&holding) != 0) {
                last = call;
                counter_add(&held, 1);
            } else {
                answer(call);
            }
        }
    }
    return NULL;
}

static int setup(void **state)
{
    static const char text[] = KEY "\n";
    char path[64];
    char message[256];
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 storage = {0};

    (void)state;
    memcpy(&storage, &address, sizeof(address));
    (void)snprintf(path, sizeof(path), "/tmp/limpet-http-call-%d", (int)getpid());
    FILE *file = fopen(path, "we");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0) {
        return -1;
    }
    keys = api_keys_open(path, message, sizeof(message));
    (void)unlink(path);
    const struct admin_options options = {.address = &storage,
                                          .metrics = &metrics,
                                          .state = &ready_state,
                                          .keys = keys,
                                          .body_size_max = BODY_SIZE_MAX,
                                          .counts = &counts};
    memset(&counts, 0, sizeof(counts));
    counter_set(&stopping, 0);
    counter_set(&holding, 0);
    counter_set(&held, 0);
    admin = keys ? admin_open(&options, message, sizeof(message)) : NULL;
    return admin ? pthread_create(&thread, NULL, run, NULL) : -1;
}

static void stop(void)
{
    counter_set(&stopping, 1);
    admin_wake(admin);
    assert_int_equal(pthread_join(thread, NULL), 0);
    admin_close(admin);
    admin = NULL;
}

static int teardown(void **state)
{
    (void)state;
    if (admin) {
        stop();
    }
    last = NULL;
    api_keys_close(keys);
    return 0;
}

/* --- client ----------------------------------------------------------------------------------- */

static int client_open(void)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(admin_port(admin)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void client_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* One answer, head and body; what comes after it stays. */
static const char *client_read(int fd)
{
    static char text[ANSWER_MAX];
    const char *body = NULL;
    size_t size = 0;
    size_t needed = 1;

    text[0] = '\0';
    while (size < needed) {
        ssize_t taken = recv(fd, text + size, body ? needed - size : 1, 0);
        if (taken <= 0) {
            return text;
        }
        size += (size_t)taken;
        text[size] = '\0';
        const char *end = body ? NULL : strstr(text, "\r\n\r\n");
        const char *length = end ? strstr(text, "Content-Length: ") : NULL;
        if (end) {
            body = end + 4;
            needed = size + (length ? strtoul(length + 16, NULL, 10) : 0);
        } else if (!body) {
            needed = size + 1;
        }
    }
    return text;
}

static bool at_end(int fd)
{
    char byte;

    return recv(fd, &byte, 1, 0) <= 0;
}

static void assert_status(const char *text, const char *status)
{
    if (strncmp(text, "HTTP/1.1 ", 9) != 0 || strncmp(text + 9, status, 3) != 0) {
        fail_msg("expected %s, got: %.200s", status, text);
    }
}

static void assert_part(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("%s is not in: %s", part, text);
    }
}

#define AUTHORIZED "Host: a\r\nX-API-Key: " KEY "\r\n"

/* A connection of its own for one request. */
static const char *ask(const char *request)
{
    int fd = client_open();

    client_send(fd, request);
    const char *text = client_read(fd);
    assert_int_equal(close(fd), 0);
    return text;
}

static void send_sized(int fd, size_t size)
{
    static char body[8 * BODY_SIZE_MAX + 1];
    char head[256];

    assert_true(size < sizeof(body));
    memset(body, 'x', size);
    body[size] = '\0';
    (void)snprintf(head, sizeof(head),
                   "POST /api/publish HTTP/1.1\r\n" AUTHORIZED "Content-Length: %zu\r\n\r\n", size);
    client_send(fd, head);
    client_send(fd, body);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_keys(void **state)
{
    (void)state;
    const char *text = ask("POST /api/info HTTP/1.1\r\nHost: a\r\nX-API-Key: " KEY "\r\n\r\n");
    assert_status(text, "200");
    assert_part(text, "Content-Type: application/json\r\n");
    assert_part(text, "{\"method\":\"info\",\"size\":0}");
    assert_status(ask("POST /api/info HTTP/1.1\r\nHost: a\r\nAuthorization: apikey " KEY
                      "\r\nContent-Length: 2\r\n\r\n{}"),
                  "200");
    assert_status(
        ask("POST /api/info HTTP/1.1\r\nHost: a\r\nauthorization: ApiKey " KEY "\r\n\r\n"), "200");
    static const char *const wrong[] = {"",
                                        "X-API-Key: 0123456789abcdeF\r\n",
                                        "X-API-Key:\r\n",
                                        "Authorization: Bearer " KEY "\r\n",
                                        "Authorization: apikey\r\n",
                                        "X-API-Key: x\r\nAuthorization: apikey " KEY "\r\n"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char request[256];
        (void)snprintf(request, sizeof(request), "POST /api/info HTTP/1.1\r\nHost: a\r\n%s\r\n",
                       wrong[i]);
        text = ask(request);
        assert_status(text, "401");
        assert_part(text, "Content-Length: 0\r\n");
        assert_part(text, "Connection: close\r\n");
    }
    /* The query is off. */
    assert_status(ask("POST /api/info?api_key=" KEY " HTTP/1.1\r\nHost: a\r\n\r\n"), "401");
    assert_int_equal(counter_read(&counts.refused[API_REFUSED_KEY]), 7);
}

static void test_methods(void **state)
{
    char request[256];

    (void)state;
    for (uint32_t i = 0; i < API_METHODS; i++) {
        const char *name = api_method_name((enum api_method)i);
        (void)snprintf(request, sizeof(request),
                       "POST /api/%s HTTP/1.1\r\n" AUTHORIZED "Content-Length: 2\r\n\r\n{}", name);
        const char *text = ask(request);
        assert_status(text, "200");
        assert_part(text, name);
    }
    const char *text =
        ask("POST /api/subscribe HTTP/1.1\r\n" AUTHORIZED "Content-Length: 2\r\n\r\n{}");
    assert_status(text, "404");
    assert_part(text, "\r\n\r\n{\"error\":{\"code\":104,\"message\":\"method not found\"}}");
    text = ask("POST /api/ HTTP/1.1\r\n" AUTHORIZED
               "X-Centrifugo-Error-Mode: transport\r\nContent-Length: 2\r\n\r\n{}");
    assert_status(text, "404");
    assert_part(text, "\r\n\r\n{\"code\":104,\"message\":\"method not found\"}");
    text = ask("GET /api/info HTTP/1.1\r\n" AUTHORIZED "\r\n");
    assert_status(text, "405");
    assert_part(text, "Allow: POST\r\n");
    text = ask("POST /api/info HTTP/1.1\r\n" AUTHORIZED
               "X-Centrifugo-Error-Mode: transport\r\nContent-Length: 0\r\n\r\n");
    assert_part(text, "\"bare\":1");
    assert_int_equal(counter_read(&counts.refused[API_REFUSED_METHOD]), 2);
    assert_int_equal(counter_read(&counts.refused[API_REFUSED_VERB]), 1);
}

static void test_body_sizes(void **state)
{
    (void)state;
    int fd = client_open();
    send_sized(fd, BODY_SIZE_MAX);
    const char *text = client_read(fd);
    assert_status(text, "200");
    assert_part(text, "\"size\":4096}");
    send_sized(fd, BODY_SIZE_MAX + 1);
    assert_status(client_read(fd), "413");
    send_sized(fd, (size_t)4 * BODY_SIZE_MAX); /* read away, and the connection goes on */
    assert_status(client_read(fd), "413");
    send_sized(fd, 1);
    assert_status(client_read(fd), "200");
    assert_int_equal(close(fd), 0);
    fd = client_open();
    client_send(fd,
                "POST /api/publish HTTP/1.1\r\n" AUTHORIZED "Content-Length: 999999999\r\n\r\n");
    assert_status(client_read(fd), "413"); /* at once */
    assert_true(at_end(fd));
    assert_int_equal(close(fd), 0);
    assert_int_equal(counter_read(&counts.refused[API_REFUSED_SIZE]), 3);
}

static void send_chunks(int fd, uint32_t count)
{
    char chunk[1024 + 8];

    client_send(fd,
                "POST /api/publish HTTP/1.1\r\n" AUTHORIZED "Transfer-Encoding: chunked\r\n\r\n");
    memcpy(chunk, "400\r\n", 5);
    memset(chunk + 5, 'x', 1024);
    memcpy(chunk + 5 + 1024, "\r\n", 3);
    for (uint32_t i = 0; i < count; i++) {
        client_send(fd, chunk);
    }
    client_send(fd, "0\r\n\r\n");
}

static void test_chunks(void **state)
{
    (void)state;
    int fd = client_open();
    send_chunks(fd, BODY_SIZE_MAX / 1024);
    const char *text = client_read(fd);
    assert_status(text, "200");
    assert_part(text, "\"size\":4096}");
    send_chunks(fd, BODY_SIZE_MAX / 1024 + 1);
    assert_status(client_read(fd), "413");
    assert_int_equal(close(fd), 0);
}

static void test_a_body_in_single_bytes(void **state)
{
    static const char body[] = "{\"channel\":\"a\"}";
    char head[256];
    int fd = client_open();

    (void)state;
    (void)snprintf(head, sizeof(head),
                   "POST /api/publish HTTP/1.1\r\n" AUTHORIZED "Content-Length: %zu\r\n\r\n",
                   strlen(body));
    client_send(fd, head);
    for (size_t i = 0; i < strlen(body); i++) {
        client_send(fd, (const char[]){body[i], '\0'});
    }
    assert_part(client_read(fd), "\"size\":15}");
    assert_int_equal(close(fd), 0);
}

static void test_expect(void **state)
{
    int fd = client_open();

    (void)state;
    client_send(fd, "POST /api/publish HTTP/1.1\r\n" AUTHORIZED
                    "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_status(client_read(fd), "100");
    client_send(fd, "{}");
    assert_status(client_read(fd), "200");
    client_send(fd, "POST /api/publish HTTP/1.1\r\n" AUTHORIZED
                    "Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
    assert_status(client_read(fd), "413"); /* and nothing has to be sent */
    assert_true(at_end(fd));
    assert_int_equal(close(fd), 0);
    fd = client_open();
    client_send(fd, "POST /api/publish HTTP/1.1\r\nHost: a\r\n"
                    "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_status(client_read(fd), "401");
    assert_int_equal(close(fd), 0);
}

static void test_a_connection_is_kept(void **state)
{
    int fd = client_open();

    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        client_send(fd, "POST /api/info HTTP/1.1\r\n" AUTHORIZED "Content-Length: 2\r\n\r\n{}");
        const char *text = client_read(fd);
        assert_status(text, "200");
        assert_null(strstr(text, "Connection: close"));
    }
    client_send(fd, "POST /api/nothing HTTP/1.1\r\n" AUTHORIZED "Content-Length: 2\r\n\r\n{}");
    assert_status(client_read(fd), "404");
    client_send(fd, "POST /api/info HTTP/1.1\r\n" AUTHORIZED "Content-Length: 1\r\n\r\n!");
    const char *text = client_read(fd);
    assert_status(text, "400");
    assert_part(text, "\r\n\r\nan exclamation mark\n");
    client_send(fd, "POST /api/info HTTP/1.1\r\n" AUTHORIZED "Content-Length: 1\r\n\r\n?");
    text = client_read(fd);
    assert_status(text, "503");
    assert_part(text, "out of memory");
    client_send(fd, "POST /api/info HTTP/1.1\r\n" AUTHORIZED "Connection: close\r\n\r\n");
    assert_status(client_read(fd), "200");
    assert_true(at_end(fd));
    assert_int_equal(close(fd), 0);
}

/* Requests that come without waiting for answers are answered in their order. */
static void test_a_pipeline(void **state)
{
    static const char *const names[] = {"info", "publish", "presence"};
    int fd = client_open();

    (void)state;
    client_send(fd, "POST /api/info HTTP/1.1\r\n" AUTHORIZED "Content-Length: 2\r\n\r\n{}"
                    "POST /api/publish HTTP/1.1\r\n" AUTHORIZED "Content-Length: 3\r\n\r\n{ }"
                    "POST /api/presence HTTP/1.1\r\n" AUTHORIZED "Content-Length: 4\r\n\r\n{  }");
    for (uint32_t i = 0; i < 3; i++) {
        char expected[64];
        (void)snprintf(expected, sizeof(expected), "{\"method\":\"%s\",\"size\":%u}", names[i],
                       i + 2);
        assert_part(client_read(fd), expected);
    }
    assert_int_equal(close(fd), 0);
}

static void wait_for(const struct counter *counter, uint64_t value)
{
    for (uint32_t i = 0; counter_read(counter) != value; i++) {
        assert_true(i < 20000);
        (void)usleep(1000);
    }
}

/* While one waits for its answer the others are served. */
static void test_a_late_answer(void **state)
{
    int fd = client_open();

    (void)state;
    counter_set(&holding, 1);
    client_send(fd, "POST /api/info HTTP/1.1\r\n" AUTHORIZED "Content-Length: 2\r\n\r\n{}");
    wait_for(&held, 1);
    assert_status(ask("GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"), "200");
    counter_set(&holding, 0);
    admin_wake(admin);
    assert_status(client_read(fd), "200");
    assert_int_equal(close(fd), 0);
}

/* The client has gone; its call is answered all the same, and nothing breaks. */
static void test_a_client_that_left(void **state)
{
    int fd = client_open();

    (void)state;
    counter_set(&holding, 1);
    client_send(fd, "POST /api/info HTTP/1.1\r\n" AUTHORIZED "Content-Length: 2\r\n\r\n{}");
    wait_for(&held, 1);
    const struct linger reset = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    assert_int_equal(close(fd), 0);
    counter_set(&holding, 0);
    admin_wake(admin);
    assert_status(ask("POST /api/info HTTP/1.1\r\n" AUTHORIZED "\r\n"), "200");
    fd = client_open(); /* in the middle of a body */
    client_send(fd, "POST /api/info HTTP/1.1\r\n" AUTHORIZED "Content-Length: 2\r\n\r\n{");
    assert_int_equal(close(fd), 0);
    assert_status(ask("POST /api/info HTTP/1.1\r\n" AUTHORIZED "\r\n"), "200");
}

static void test_the_end_while_a_call_waits(void **state)
{
    int fd = client_open();
    int untaken = client_open();

    (void)state;
    counter_set(&holding, 1);
    client_send(fd, "POST /api/info HTTP/1.1\r\n" AUTHORIZED "Content-Length: 2\r\n\r\n{}");
    wait_for(&held, 1);
    stop();
    const char *text = client_read(fd);
    assert_status(text, "503");
    assert_part(text, "stopping");
    assert_true(at_end(fd));
    assert_true(at_end(untaken));
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(untaken), 0);
    assert_int_equal(counter_read(&counts.refused[API_REFUSED_STOPPING]), 1);
}

/* However many connections the API's clients keep, somebody who asks for metrics finds a place. */
static void test_kept_connections_leave_room(void **state)
{
    int fds[KEPT_MAX + 8];
    uint32_t closed = 0;

    (void)state;
    for (uint32_t i = 0; i < KEPT_MAX + 8; i++) {
        fds[i] = client_open();
        client_send(fds[i], "POST /api/info HTTP/1.1\r\n" AUTHORIZED "Content-Length: 2\r\n\r\n{}");
        const char *text = client_read(fds[i]);
        assert_status(text, "200");
        closed += strstr(text, "Connection: close") ? 1 : 0;
    }
    assert_int_equal(closed, 8);
    assert_status(ask("GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"), "200");
    for (uint32_t i = 0; i < KEPT_MAX + 8; i++) {
        assert_int_equal(close(fds[i]), 0);
    }
}

/* A body that does not go on is not waited for. */
static void test_a_stalled_body_has_an_end(void **state)
{
    int fd = client_open();

    (void)state;
    client_send(fd, "POST /api/publish HTTP/1.1\r\n" AUTHORIZED "Content-Length: 100\r\n\r\n{");
    assert_true(at_end(fd));
    assert_int_equal(close(fd), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_keys),
        TEST(test_methods),
        TEST(test_body_sizes),
        TEST(test_chunks),
        TEST(test_a_body_in_single_bytes),
        TEST(test_expect),
        TEST(test_a_connection_is_kept),
        TEST(test_a_pipeline),
        TEST(test_a_late_answer),
        TEST(test_a_client_that_left),
        TEST(test_the_end_while_a_call_waits),
        TEST(test_kept_connections_leave_room),
        TEST(test_a_stalled_body_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
