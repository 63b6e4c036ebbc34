/*
 * Goal: the control socket is its owner's alone and never taken from a running server; a request
 * comes whole and taken apart, one at a time, and whatever becomes of it is answered: by the main
 * thread, or with what is too long, too many, busy or stopping.
 */
#include "admin/control.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define TEXT_MAX 16384
#define WAIT_MS  60000 /* only a broken one lets it pass */

static char folder[] = "/tmp/limpet-control-XXXXXX";
static char path[64];
static char message[512];
static char text[TEXT_MAX];
static struct control *control;

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/limpet-control-XXXXXX");
    if (!mkdtemp(folder)) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/control", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static int open_control(void **state)
{
    if (make_folder(state) != 0) {
        return -1;
    }
    control = control_open(path, message, sizeof(message));
    return control ? 0 : -1;
}

static int close_control(void **state)
{
    control_close(control);
    control = NULL;
    assert_int_equal(access(path, F_OK), -1); /* its file goes with it */
    return remove_folder(state);
}

/* --- a client --------------------------------------------------------------------------------- */

static int client_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(address.sun_path, path, sizeof(path));
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static int client_ask(const char *method, const char *target, const char *body)
{
    const int fd = client_open();
    const int size = snprintf(text, sizeof(text),
                              "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
                              method, target, strlen(body), body);

    assert_in_range(size, 1, sizeof(text) - 1);
    assert_int_equal(send(fd, text, (size_t)size, MSG_NOSIGNAL), size);
    return fd;
}

/* The whole answer, up to the end of the connection: its status; *body is good until the next. */
static int client_read(int fd, const char **body)
{
    size_t size = 0;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    ssize_t got;

    do {
        assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        got = recv(fd, text + size, sizeof(text) - 1 - size, 0);
        size += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    assert_int_equal(close(fd), 0);
    text[size] = '\0';
    *body = strstr(text, "\r\n\r\n");
    assert_non_null(*body);
    *body += 4;
    assert_memory_equal(text, "HTTP/1.1 ", 9);
    return (int)strtol(text + 9, NULL, 10);
}

static void expect_answer(int fd, int status, const char *body)
{
    const char *got;

    assert_int_equal(client_read(fd, &got), status);
    assert_string_equal(got, body);
}

/* --- the main thread -------------------------------------------------------------------------- */

static const struct control_request *await_request(void)
{
    struct pollfd wait = {.fd = control_fd(control), .events = POLLIN};

    assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
    const struct control_request *request = control_next(control);
    assert_non_null(request);
    return request;
}

static void answer(unsigned status, bool is_text, const char *body)
{
    struct control_answer out = {
        .status = status, .is_text = is_text, .out = {.size_max = CONTROL_ANSWER_SIZE_MAX}};

    json_out_text(&out.out, body);
    control_answer(control, &out);
}

static void expect_method(const char *verb, enum control_method method)
{
    const int fd = client_ask(verb, "/reload", "");

    assert_int_equal(await_request()->method, method);
    answer(200, false, "{}");
    expect_answer(fd, 200, "{}");
}

static void test_methods(void **state)
{
    (void)state;
    expect_method("GET", CONTROL_GET);
    expect_method("POST", CONTROL_POST);
    expect_method("DELETE", CONTROL_DELETE);
    expect_method("PUT", CONTROL_METHODS);
    expect_method("get", CONTROL_METHODS);
}

static void test_a_request_is_taken_apart(void **state)
{
    (void)state;
    const int fd = client_ask("POST", "/drain?within=5m&reason=a%20b%26c&empty=&bare", "the body");
    const struct control_request *request = await_request();

    assert_string_equal(request->path, "/drain");
    assert_int_equal(request->argument_count, 4);
    assert_string_equal(control_argument(request, "within"), "5m");
    assert_string_equal(control_argument(request, "reason"), "a b&c");
    assert_string_equal(control_argument(request, "empty"), "");
    assert_string_equal(control_argument(request, "bare"), "");
    assert_null(control_argument(request, "other"));
    assert_int_equal(request->body_size, 8);
    assert_string_equal(request->body, "the body");
    answer(202, false, "{\"done\":true}");

    const char *body;
    assert_int_equal(client_read(fd, &body), 202);
    assert_string_equal(body, "{\"done\":true}");
    assert_non_null(strstr(text, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(text, "Connection: close\r\n"));
    assert_null(control_next(control)); /* once */
}

static void test_lines_and_refusals(void **state)
{
    struct control_answer out = {.status = 0};
    const char *body;

    (void)state;
    int fd = client_ask("GET", "/drain?format=text", "");
    assert_string_equal(control_argument(await_request(), "format"), "text");
    answer(200, true, "a line\n");
    assert_int_equal(client_read(fd, &body), 200);
    assert_string_equal(body, "a line\n");
    assert_non_null(strstr(text, "Content-Type: text/plain; charset=utf-8\r\n"));

    fd = client_ask("GET", "/x", "");
    assert_non_null(await_request());
    control_refuse(&out, 422, "with \"quotes\"");
    control_answer(control, &out);
    expect_answer(fd, 422, "{\"error\":\"with \\\"quotes\\\"\"}");

    fd = client_ask("GET", "/x", "");
    assert_non_null(await_request());
    out = (struct control_answer){.is_text = true, .out = {.size_max = CONTROL_ANSWER_SIZE_MAX}};
    json_out_text(&out.out, "begun, and thrown away");
    control_refuse(&out, 404, "no such path");
    control_answer(control, &out);
    expect_answer(fd, 404, "no such path\n");
}

/* Both sides of each limit. */
static void expect_size(const char *target, const char *body, bool fits)
{
    const int fd = client_ask("POST", target, body);

    if (fits) {
        assert_non_null(await_request());
        answer(200, false, "{}");
        expect_answer(fd, 200, "{}");
    } else {
        expect_answer(fd, 413, "{\"error\":\"the request is too long\"}");
    }
}

static const char *repeat(char *out, const char *begin, size_t size)
{
    const size_t begin_size = strlen(begin);

    memcpy(out, begin, begin_size);
    memset(out + begin_size, 'x', size);
    out[begin_size + size] = '\0';
    return out;
}

static void test_what_is_too_long(void **state)
{
    static char long_text[CONTROL_BODY_SIZE_MAX + 64];
    char name[CONTROL_TEXT_SIZE_MAX + 64];

    (void)state;
    expect_size(repeat(long_text, "/", CONTROL_TEXT_SIZE_MAX - 2), "", true);
    expect_size(repeat(long_text, "/", CONTROL_TEXT_SIZE_MAX - 1), "", false);
    expect_size(repeat(long_text, "/?a=", CONTROL_TEXT_SIZE_MAX - 1), "", true);
    expect_size(repeat(long_text, "/?a=", CONTROL_TEXT_SIZE_MAX), "", false);
    expect_size(repeat(name, "/?", CONTROL_TEXT_SIZE_MAX - 1), "", true);
    expect_size(repeat(name, "/?", CONTROL_TEXT_SIZE_MAX), "", false);
    expect_size("/?1&2&3&4&5&6&7&8", "", true);
    expect_size("/?1&2&3&4&5&6&7&8&9", "", false);
    expect_size("/", repeat(long_text, "", CONTROL_BODY_SIZE_MAX), true);
    expect_size("/", repeat(long_text, "", CONTROL_BODY_SIZE_MAX + 1), false);
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    const int first = client_ask("POST", "/reload", "");
    const struct control_request *request = await_request();
    const int second = client_ask("POST", "/drain", "");

    /* One thread serves both, and the first one's answer is waited for in it: so the second, too,
     * waits its turn, and never takes the first one's place. */
    assert_null(control_next(control));
    assert_string_equal(request->path, "/reload");
    answer(200, false, "{\"first\":1}");
    expect_answer(first, 200, "{\"first\":1}");
    assert_string_equal(await_request()->path, "/drain");
    answer(200, false, "{\"second\":2}");
    expect_answer(second, 200, "{\"second\":2}");
}

static void test_a_stop_answers_who_waits(void **state)
{
    (void)state;
    const int waiting = client_ask("POST", "/reload", "");
    assert_non_null(await_request()); /* and its answer does not come in time */
    control_stop(control);
    expect_answer(waiting, 503, "{\"error\":\"the server is stopping\"}");
    answer(200, false, "{\"late\":true}"); /* nobody waits for it */
    expect_answer(client_ask("POST", "/reload", ""), 503, "{\"error\":\"the server is stopping\"}");
    assert_null(control_next(control));
    control_stop(control);
}

static void test_a_client_that_goes(void **state)
{
    (void)state;
    const int gone = client_ask("POST", "/reload", "");
    assert_non_null(await_request());
    assert_int_equal(close(gone), 0);
    answer(200, false, "{}");
    expect_method("GET", CONTROL_GET); /* the next is served */
}

/* --- the socket ------------------------------------------------------------------------------- */

static void test_it_is_its_owners_alone(void **state)
{
    struct stat status;

    (void)state;
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void test_a_running_server_keeps_it(void **state)
{
    (void)state;
    assert_null(control_open(path, message, sizeof(message)));
    assert_non_null(strstr(message, path));
    assert_non_null(strstr(message, "a running server answers on it"));
    expect_method("GET", CONTROL_GET);
}

/* Of a server that was killed: nobody listens. */
static void test_a_dead_servers_file_is_replaced(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    memcpy(address.sun_path, path, sizeof(path));
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(close(fd), 0);
    control = control_open(path, message, sizeof(message));
    assert_non_null(control);
    expect_method("GET", CONTROL_GET);
    control_close(control);
    control = NULL;
    assert_int_equal(access(path, F_OK), -1);
}

static void test_another_file_is_left_alone(void **state)
{
    (void)state;
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_null(control_open(path, message, sizeof(message)));
    assert_non_null(strstr(message, "there is something else at this path"));
    assert_int_equal(access(path, F_OK), 0);

    /* Nor is one removed that has come since to where ours was. */
    assert_int_equal(unlink(path), 0);
    control = control_open(path, message, sizeof(message));
    assert_non_null(control);
    assert_int_equal(unlink(path), 0);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    control_close(control);
    control = NULL;
    assert_int_equal(access(path, F_OK), 0);
}

static void test_paths_that_cannot_be(void **state)
{
    char long_path[256];

    (void)state;
    assert_null(control_open(repeat(long_path, "/tmp/", 200), message, sizeof(message)));
    assert_non_null(strstr(message, "longer than"));
    assert_non_null(strstr(message, "admin.control"));
    assert_null(control_open("/nowhere/at/all", message, sizeof(message)));
    assert_non_null(strstr(message, "/nowhere/at/all"));
    assert_non_null(strstr(message, "No such file"));
    control_close(NULL);
    control_stop(NULL);
}

#define OPEN(test)   cmocka_unit_test_setup_teardown(test, open_control, close_control)
#define CLOSED(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPEN(test_methods),
        OPEN(test_a_request_is_taken_apart),
        OPEN(test_lines_and_refusals),
        OPEN(test_what_is_too_long),
        OPEN(test_one_at_a_time),
        OPEN(test_a_stop_answers_who_waits),
        OPEN(test_a_client_that_goes),
        OPEN(test_it_is_its_owners_alone),
        OPEN(test_a_running_server_keeps_it),
        CLOSED(test_a_dead_servers_file_is_replaced),
        CLOSED(test_another_file_is_left_alone),
        CLOSED(test_paths_that_cannot_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
