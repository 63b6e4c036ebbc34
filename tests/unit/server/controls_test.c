/*
 * Goal: the control socket is where the options say; a path that there is not, or not with this
 * method, is refused as such, whatever it is asked with. (What the paths do is for the tests of the
 * real server.)
 */
#include "server/controls.h"

#include "admin/fetch.h"
#include "child.h"
#include "server/run.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 60000 /* only a broken one lets it pass */

static struct child_folder folder;
static struct arguments *arguments;
static struct run *run;
static char message[512];

static void set(const char *name, const char *value)
{
    if (options_set(&arguments->options, name, value, message, sizeof(message)) != 0) {
        fail_msg("%s", message);
    }
}

static int open_run(void **state)
{
    char path[128];

    (void)state;
    child_folder_open(&folder);
    arguments = calloc(1, sizeof(*arguments));
    run = calloc(1, sizeof(*run));
    if (!arguments || !run) {
        return -1;
    }
    run->arguments = arguments;
    options_init(&arguments->options);
    (void)snprintf(path, sizeof(path), "%s/control", folder.path);
    set("admin.control", path);
    return controls_open(run);
}

static int close_run(void **state)
{
    (void)state;
    control_close(run->control);
    options_free(&arguments->options);
    free(run);
    free(arguments);
    child_folder_close(&folder);
    return 0;
}

/* --- a client, in a thread: it waits for its answer --------------------------------------------
 */

struct asking {
    const char *method;
    const char *url;
    struct fetch_answer answer;
    int result;
};

static void *ask(void *context)
{
    struct asking *asking = context;
    char reason[512];
    const struct fetch_request request = {
        .url = asking->url,
        .method = asking->method,
        .unix_socket = arguments->options.admin.control,
        .timeout_ms = WAIT_MS,
        .size_max = CONTROL_ANSWER_SIZE_MAX,
    };

    asking->result = fetch(&request, &asking->answer, reason, sizeof(reason));
    return NULL;
}

static void expect(const char *method, const char *url, long status, const char *body)
{
    struct asking asking = {.method = method, .url = url};
    struct pollfd wait = {.fd = control_fd(run->control), .events = POLLIN};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, ask, &asking), 0);
    const int ready = poll(&wait, 1, WAIT_MS);
    controls_answer(run);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(ready, 1);
    assert_int_equal(asking.result, 0);
    assert_int_equal(asking.answer.status, status);
    assert_string_equal(asking.answer.data, body);
    free(asking.answer.data);
}

static void test_paths_that_there_are_not(void **state)
{
    static const char missing[] = "{\"error\":\"there is no such path\"}";

    (void)state;
    expect("POST", "http://limpet/", 404, missing);
    expect("POST", "http://limpet/reload/", 404, missing);
    expect("POST", "http://limpet/reloads", 404, missing);
    expect("POST", "http://limpet/RELOAD", 404, missing);
    expect("GET", "http://limpet/metrics?format=text", 404, missing);
}

static void test_methods_that_there_are_not(void **state)
{
    static const char not_so[] = "{\"error\":\"this path has no such method\"}";

    (void)state;
    expect("GET", "http://limpet/reload", 405, not_so);
    expect("DELETE", "http://limpet/reload?format=text", 405, not_so);
    expect("PUT", "http://limpet/drain", 405, not_so);
}

static void test_nothing_waits(void **state)
{
    struct control *control = run->control;

    (void)state;
    controls_answer(run);
    run->control = NULL; /* there is no socket */
    controls_answer(run);
    run->control = control;
    expect("GET", "http://limpet/x", 404, "{\"error\":\"there is no such path\"}");
}

static void test_where_it_is(void **state)
{
    char path[CONTROL_PATH_SIZE];
    char long_path[CONTROL_PATH_SIZE + 64];

    (void)state;
    assert_true(controls_path(&arguments->options, path));
    assert_string_equal(path, arguments->options.admin.control);

    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[0] = '/';
    long_path[sizeof(long_path) - 1] = '\0';
    set("admin.control", long_path);
    assert_true(controls_path(&arguments->options, path)); /* cut: it is refused when opened */
    assert_int_equal(strlen(path), CONTROL_PATH_SIZE - 1);

    set("admin.control", "");
    assert_false(controls_path(&arguments->options, path));
}

/* Unset: only when its folder is there, and this user's. */
static void test_where_it_is_by_itself(void **state)
{
    struct options options;
    struct stat status;
    char path[CONTROL_PATH_SIZE];
    const bool is_ours = stat("/run/limpet", &status) == 0 && status.st_uid == geteuid();

    (void)state;
    options_init(&options);
    assert_int_equal(controls_path(&options, path), is_ours);
    assert_string_equal(is_ours ? path : CONTROL_PATH_STANDARD, "/run/limpet/control");
    options_free(&options);
}

static int open_controls(const void *context)
{
    (void)context;
    return controls_open(run) == 0 ? 0 : 1;
}

static void test_a_socket_that_cannot_be(void **state)
{
    static struct child child;

    (void)state;
    control_close(run->control);
    run->control = NULL;
    set("admin.control", "/nowhere/control");
    child_run(&child, open_controls, NULL);
    assert_int_equal(child.status, 1);
    assert_non_null(strstr(child.err, "limpet: control socket /nowhere/control: "));
    set("admin.control", "");
    assert_int_equal(controls_open(run), 0);
    assert_null(run->control);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_run, close_run)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_paths_that_there_are_not),
        TEST(test_methods_that_there_are_not),
        TEST(test_nothing_waits),
        TEST(test_where_it_is),
        TEST(test_where_it_is_by_itself),
        TEST(test_a_socket_that_cannot_be),
    };

    fetch_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
