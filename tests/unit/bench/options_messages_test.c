/*
 * Goal: the words of fanout and echo end up where they belong, numbers are taken at both of their
 * bounds and refused beyond, and what does not fit together is refused with its name. A refusal
 * ends the program: those are read in a child.
 */
#include "bench/options.h"

#include "bench/stamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define STATUS_USAGE   64
#define SAID_SIZE      4096
#define READ(...)      read_words((char *[]){"fanout", __VA_ARGS__, NULL})
#define REFUSED(...)   assert_refused(SCENARIO_FANOUT, (char *[]){"fanout", __VA_ARGS__, NULL})
#define ECHO_FAIL(...) assert_refused(SCENARIO_ECHO, (char *[]){"echo", __VA_ARGS__, NULL})

static int count_words(char **words)
{
    int count = 0;

    while (words[count]) {
        count++;
    }
    return count;
}

static struct bench_options read_as(enum bench_scenario scenario, char **words)
{
    struct bench_options options;

    bench_options_read(&options, scenario, count_words(words), words);
    return options;
}

static struct bench_messages read_words(char **words)
{
    return read_as(SCENARIO_FANOUT, words).messages;
}

/* The last word is what the message must say. */
static void assert_refused(enum bench_scenario scenario, char **words)
{
    char said[SAID_SIZE] = "";
    size_t size = 0;
    int fds[2];
    int status;
    int count = count_words(words) - 1;
    const char *expected = words[count];
    ssize_t taken;

    words[count] = NULL;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        (void)read_as(scenario, words);
        _exit(0);
    }
    (void)close(fds[1]);
    while ((taken = read(fds[0], said + size, sizeof(said) - 1 - size)) > 0) {
        size += (size_t)taken;
    }
    (void)close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), STATUS_USAGE);
    if (!strstr(said, expected)) {
        fail_msg("\"%s\" does not say \"%s\"", said, expected);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    struct bench_messages messages = READ("--spawn");
    assert_int_equal(messages.via, VIA_CLIENT);
    assert_int_equal(messages.channels, 1);
    assert_int_equal(messages.channels_each, 1);
    assert_int_equal(messages.publishers, 1);
    assert_int_equal(messages.size, 100);
    assert_int_equal(messages.count, 100);
    assert_int_equal(messages.duration_s, 0);
    assert_int_equal(messages.rate, 0);
    assert_int_equal(messages.drain_s, 5);
    assert_string_equal(messages.channel, "bench");
    assert_string_equal(messages.redis, "127.0.0.1:6379");
    assert_string_equal(messages.redis_prefix, "limpet:");
}

static void test_every_word(void **state)
{
    (void)state;
    struct bench_messages messages =
        READ("--spawn", "--via", "redis", "--channels", "50", "--channels-each", "7");
    assert_int_equal(messages.via, VIA_REDIS);
    assert_int_equal(messages.channels, 50);
    assert_int_equal(messages.channels_each, 7);
    messages = READ("--spawn", "--duration", "9");
    assert_int_equal(messages.count, 0); /* as many as come about */
    messages = READ("--spawn", "--duration", "9", "--messages", "7");
    assert_int_equal(messages.count, 7);
    messages = READ("--spawn", "--publishers", "3", "--messages", "0", "--duration", "9",
                    "--message-rate", "5", "--window", "6", "--drain", "8");
    assert_int_equal(messages.publishers, 3);
    assert_int_equal(messages.count, 0);
    assert_int_equal(messages.duration_s, 9);
    assert_int_equal(messages.rate, 5);
    assert_int_equal(messages.window, 6);
    assert_int_equal(messages.drain_s, 8);
    messages = READ("--url", "wss://127.0.0.1/", "--via", "http", "--api", "[::1]:2", "--api-key",
                    "k", "--channel", "c");
    assert_int_equal(messages.via, VIA_HTTP);
    assert_string_equal(messages.api, "[::1]:2");
    assert_string_equal(messages.api_key, "k");
    assert_string_equal(messages.channel, "c");
    messages = READ("--spawn", "--redis", "127.0.0.1:1", "--redis-prefix", "p:", "--publish-url",
                    "wss://127.0.0.1:2/", "--publish-token", "t");
    assert_string_equal(messages.redis, "127.0.0.1:1");
    assert_string_equal(messages.redis_prefix, "p:");
    assert_string_equal(messages.publish_url, "wss://127.0.0.1:2/");
    assert_string_equal(messages.publish_token, "t");
}

static void test_sizes_at_both_bounds(void **state)
{
    (void)state;
    assert_int_equal(READ("--spawn", "--size", "48").size, MESSAGE_SIZE_MIN);
    assert_int_equal(READ("--spawn", "--size", "16000").size, MESSAGE_SIZE_MAX);
    REFUSED("--spawn", "--size", "47", "--size");
    REFUSED("--spawn", "--size", "16001", "--size");
    REFUSED("--spawn", "--size", "4x", "--size");
    REFUSED("--spawn", "--size", "-1", "--size");
    REFUSED("--spawn", "--size", "99999999999999999999", "--size");
}

static void test_the_window_is_about_10000_deliveries_or_64_kb(void **state)
{
    (void)state;
    assert_int_equal(READ("--spawn", "-n", "100").window, 100);
    assert_int_equal(READ("--spawn", "-n", "50000").window, 1);
    assert_int_equal(READ("--spawn", "-n", "1").window, 655);
    assert_int_equal(READ("--spawn", "-n", "200", "--size", "16000").window, 4);
    assert_int_equal(READ("--spawn", "-n", "1000", "--via", "http", "--channels", "100").window,
                     1000);
}

static void test_echo_has_a_channel_for_each(void **state)
{
    char *words[] = {"echo", "--spawn", "-n", "70", "--messages", "5", NULL};

    (void)state;
    const struct bench_options options = read_as(SCENARIO_ECHO, words);
    assert_int_equal(options.messages.channels, 70);
    assert_int_equal(options.messages.count, 5);
    ECHO_FAIL("--spawn", "--via", "http", "--via");
}

static void test_arrivals_are_planned_for(void **state)
{
    char *words[] = {"fanout",     "--spawn", "--arrivals",   "100", "--duration", "10",
                     "--messages", "0",       "--publishers", "2",   NULL};

    (void)state;
    assert_int_equal(read_as(SCENARIO_FANOUT, words).others_max, 1002);
}

static void test_what_does_not_fit_together(void **state)
{
    char name[102] = "";

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    REFUSED("--spawn", "--messages", "0", "needs a --duration");
    REFUSED("--spawn", "--via", "carrier", "carrier");
    REFUSED("--spawn", "--via", "http", "--channels", "2", "--channels-each", "3",
            "--channels-each");
    REFUSED("--spawn", "--channels", "2", "--via client");
    REFUSED("--url", "wss://127.0.0.1/", "--via", "http", "--api");
    REFUSED("--spawn", "--channel", name, "--channel");
    name[100] = '\0';
    assert_string_equal(READ("--spawn", "--channel", name).channel, name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_word),
        cmocka_unit_test(test_sizes_at_both_bounds),
        cmocka_unit_test(test_the_window_is_about_10000_deliveries_or_64_kb),
        cmocka_unit_test(test_echo_has_a_channel_for_each),
        cmocka_unit_test(test_arrivals_are_planned_for),
        cmocka_unit_test(test_what_does_not_fit_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
