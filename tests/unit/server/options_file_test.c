/*
 * Goal: an options file sets what it says over the defaults; whatever is wrong with it is told with
 * its line, its key and what is allowed.
 */
#include "io/endpoint.h"
#include "server/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *path; /* of the test's file */

static int set_up(void **state)
{
    static char name[] = "/tmp/limpet-options.XXXXXX";
    int fd = mkstemp(name);

    (void)state;
    path = name;
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

/* Reads the text as a file over the defaults; what it says about it, with PATH for the path;
 * free(). */
static char *read_text(struct options *options, const char *text, size_t size)
{
    FILE *file = fopen(path, "we");
    char *messages = NULL;
    size_t messages_size;
    FILE *errors = open_memstream(&messages, &messages_size);
    int result;

    assert_non_null(file);
    assert_non_null(errors);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    options_init(options);
    result = options_read_file(options, path, errors);
    assert_int_equal(fclose(errors), 0);
    assert_int_equal(result, messages[0] ? -1 : 0);
    return messages;
}

static void expect_good(struct options *options, const char *text)
{
    char *messages = read_text(options, text, strlen(text));

    assert_string_equal(messages, "");
    free(messages);
}

/* expected: all lines, each without the path in front. */
static void expect_messages(const char *text, const char *expected)
{
    struct options options;
    char *messages = read_text(&options, text, strlen(text));
    size_t path_size = strlen(path);
    const char *line = messages;

    while (*line) {
        size_t size = strcspn(line, "\n") + 1;

        assert_memory_equal(line, path, path_size);
        if (strncmp(line + path_size, expected, size - path_size) != 0) {
            print_error("%s\nexpected:\n%s\n", messages, expected);
        }
        assert_memory_equal(line + path_size, expected, size - path_size);
        expected += size - path_size;
        line += size;
    }
    assert_string_equal(expected, "");
    free(messages);
    options_free(&options);
}

static void a_file_of_everything(void **state)
{
    struct options options;

    (void)state;
    expect_good(&options, "# comment\n"
                          "listen: [ \"0.0.0.0:443\", '[::]:443' ]\n"
                          "shards: 4\n"
                          "tls:\n"
                          "  certificates:\n"
                          "    - certificate: /a.pem\n"
                          "      key: /a.key\n"
                          "    - { key: /b.key, certificate: /b.pem }\n"
                          "  tls_1_2: no\n"
                          "token:\n"
                          "  keys:\n"
                          "    - kid: \"2026\"\n"
                          "      algorithm: ES256\n"
                          "      path: /k.pem\n"
                          "    - path: /set.json\n"
                          "  issuer: https://id.example/\n"
                          "upgrade:\n"
                          "  origins: https://one.example\n"
                          "heartbeat: {ping_interval: 20s}\n"
                          "plain:\n"
                          "  publish_channel: \"\"\n"
                          "log:\n"
                          "  format: json\n");
    assert_int_equal(options.listen.count, 2);
    assert_string_equal(options.listen.names[1], "[::]:443");
    assert_int_equal(options.shards, 4);
    assert_int_equal(options.tls.certificate_count, 2);
    assert_string_equal(options.tls.certificates[0].key, "/a.key");
    assert_string_equal(options.tls.certificates[1].certificate, "/b.pem");
    assert_false(options.tls.tls_1_2);
    assert_int_equal(options.token.key_count, 2);
    assert_string_equal(options.token.keys[0].kid, "2026");
    assert_string_equal(options.token.keys[0].path, "/k.pem");
    assert_null(options.token.keys[1].algorithm);
    assert_string_equal(options.token.issuer, "https://id.example/");
    assert_int_equal(options.upgrade.origins.count, 1); /* one name may stand alone */
    assert_int_equal(options.heartbeat.ping_interval_ms, 20000);
    assert_string_equal(options.plain.publish_channel, "");
    assert_int_equal(options.log.format, LOG_JSON);
    assert_int_equal(options_validate(&options, stderr), 0);
    options_free(&options);
}

/* What is wrong between two options stands where the one that is named does. */
static void contradictions_have_their_place(void **state)
{
    struct options options;
    char *messages = NULL;
    char expected[256];
    size_t size;
    FILE *errors = open_memstream(&messages, &size);

    (void)state;
    assert_non_null(errors);
    expect_good(&options, "listen: [\"ws://127.0.0.1:0\"]\n"
                          "token: {required: false}\n"
                          "limits:\n"
                          "  message_size_max: 64KB\n"
                          "  queue_bytes_max: 4KB\n");
    assert_int_equal(options_validate(&options, errors), -1);
    assert_int_equal(fflush(errors), 0);
    (void)snprintf(expected, sizeof(expected), "%s:5: limits.queue_bytes_max: ", options.file);
    assert_memory_equal(messages, expected, strlen(expected));
    for (size_t i = 0; i < OPTIONS_ROWS_MAX; i++) {
        options.lines[i] = 0; /* a flag */
    }
    rewind(errors);
    assert_int_equal(options_validate(&options, errors), -1);
    assert_int_equal(fclose(errors), 0);
    (void)snprintf(expected, sizeof(expected), "%s: limits.queue_bytes_max: ", options.file);
    assert_memory_equal(messages, expected, strlen(expected));
    free(messages);
    options_free(&options);
}

static void empty_files_are_all_defaults(void **state)
{
    static const char *const texts[] = {
        "", "\n", "# nothing\n", "{}\n", "upgrade: {}\n", "upgrade:\n  origins: []\n"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct options options;

        expect_good(&options, texts[i]);
        assert_int_equal(options.listen.count, 1);
        options_free(&options);
    }
}

static void unknown_names(void **state)
{
    (void)state;
    expect_messages("shard: 4\n", ":1: shard: there is no such option; did you mean shards?\n");
    expect_messages("heartbeat:\n  ping_intervall: 3s\n",
                    ":2: heartbeat.ping_intervall: there is no such option; did you mean "
                    "ping_interval?\n");
    expect_messages("heartbeat:\n  x: 3s\n",
                    ":2: heartbeat.x: there is no such option; allowed: ping_interval, "
                    "pong_timeout\n");
    expect_messages("x: 1\n",
                    ":1: x: there is no such option; allowed: listen, shards, "
                    "listen_backlog, tcp_user_timeout, socket_receive_size, "
                    "socket_send_size, tls, upgrade, token, limits, heartbeat, deadlines, "
                    "plain, broker, memory, redis, proxy, namespaces, admin, log\n");
    expect_messages("heartbeat.ping_interval: 3s\n",
                    ":1: heartbeat.ping_interval: write it in its section: heartbeat: and the rest "
                    "below it\n");
    expect_messages("\nheartbeat: 3s\n",
                    ":2: heartbeat: is a section; allowed: its options, further to the right\n");
    expect_messages("[1]: 1\n", ":1: the name of an option is not a text\n");
    expect_messages("log:\n  [1]: 1\n", ":2: log: the name of an option is not a text\n");
    expect_messages("\"shards\\0x\": 1\n", ":1: the name of an option is not a text\n");
}

static void wrong_values(void **state)
{
    (void)state;
    expect_messages("shards: many\nlisten: nowhere\n",
                    ":1: shards: \"many\" is not a whole number; allowed: 0, or 1 to 256\n"
                    ":2: listen: \"nowhere\" is not allowed; allowed: " ENDPOINT_ALLOWED "\n");
    expect_messages("shards:\n", ":1: shards: has no value; allowed: one, or leave it out for the "
                                 "default\n");
    expect_messages("shards: ~\n",
                    ":1: shards: has no value; allowed: one, or leave it out for the "
                    "default\n");
    expect_messages("token:\n  issuer: null\n", ":2: token.issuer: has no value; allowed: one, or "
                                                "leave it out for the default\n");
    expect_messages("token:\n  issuer: \"a\\0b\"\n",
                    ":2: token.issuer: has no value; allowed: one, "
                    "or leave it out for the default\n");
    expect_messages("shards: [1]\n", ":1: shards: has no value; allowed: one, or leave it out for "
                                     "the default\n");
    expect_messages("shards: 1\nshards: 2\n", ":2: shards: stands in the file twice\n");
    expect_messages("log:\n  level: info\nlog:\n  level: warn\n",
                    ":4: log.level: stands in the file twice\n");
    expect_messages("listen:\n  - 1\n  - [2]\n", ":3: listen: an entry is not a text\n");
    expect_messages("listen: {a: 1}\n",
                    ":1: listen: not a list; allowed: lines that begin with \"- \"\n");
    expect_messages("tls:\n  certificates: a.pem\n",
                    ":2: tls.certificates: not a list; allowed: lines that begin with \"- \"\n");
    expect_messages("tls:\n  certificates:\n    - a.pem\n",
                    ":3: tls.certificates: an entry is not \"name: value\" pairs\n");
    expect_messages("tls:\n  certificates:\n    - certificate: a.pem\n",
                    ":3: tls.certificates: an entry without key\n");
    expect_messages("tls:\n  certificates:\n    - certificate: a.pem\n      keys: b\n",
                    ":4: tls.certificates: an entry has no \"keys\"; allowed: certificate, key\n");
    expect_messages("token:\n  keys:\n    - path: a\n      path: b\n      x: c\n",
                    ":4: token.keys: an entry has its path twice\n"
                    ":5: token.keys: an entry has no \"x\"; allowed: kid, algorithm, path\n");
    expect_messages("token:\n  keys:\n    - path: [a]\n", ":3: token.keys: path is not a text\n");
    expect_messages("token:\n  keys:\n    - path: \"\"\n",
                    ":3: token.keys: \"\" is not allowed; allowed: text that is not empty\n");
}

static void namespaces_in_full(void **state)
{
    struct options options;

    (void)state;
    expect_good(&options, "namespaces:\n"
                          "  - name: chat\n"
                          "    subscribe: client\n"
                          "    publish: subscriber\n"
                          "    see_presence: nobody\n"
                          "    see_history: client\n"
                          "    presence: true\n"
                          "    history_size: 100\n"
                          "    history_age: 10m\n"
                          "    slow: keep_latest\n"
                          "    frame: binary\n"
                          "  - {name: \"\"}\n");
    assert_int_equal(options.namespaces.count, 2);
    const struct namespace *chat = &options.namespaces.entries[0];
    assert_string_equal(chat->name, "chat");
    assert_int_equal(chat->who[NAMESPACE_SUBSCRIBE], WHO_CLIENT);
    assert_int_equal(chat->who[NAMESPACE_PUBLISH], WHO_SUBSCRIBER);
    assert_int_equal(chat->who[NAMESPACE_PRESENCE], WHO_NOBODY);
    assert_int_equal(chat->who[NAMESPACE_HISTORY], WHO_CLIENT);
    assert_true(chat->has_presence);
    assert_int_equal(chat->history_size, 100);
    assert_int_equal(chat->history_age_s, 600);
    assert_int_equal(chat->slow, SLOW_KEEP_LATEST);
    assert_int_equal(chat->frame, FRAME_BINARY);
    const struct namespace *others = &options.namespaces.entries[1];
    assert_string_equal(others->name, "");
    for (int i = 0; i < NAMESPACE_ACTIONS; i++) {
        assert_int_equal(others->who[i], WHO_CLAIM);
    }
    assert_false(others->has_presence);
    assert_int_equal(others->history_size, 0);
    assert_int_equal(others->history_age_s, 3600);
    assert_int_equal(others->slow, SLOW_CLOSE);
    assert_int_equal(others->frame, FRAME_AUTO);
    options_free(&options);
}

static void namespaces_that_are_wrong(void **state)
{
    (void)state;
    expect_messages("namespaces:\n  - subscribe: claim\n",
                    ":2: namespaces: an entry without name\n");
    expect_messages("namespaces:\n  - name: a\n    who: b\n",
                    ":3: namespaces: an entry has no \"who\"; allowed: name, subscribe, publish, "
                    "see_presence, see_history, presence, history_size, history_age, slow, "
                    "frame\n");
    expect_messages("namespaces:\n  - name: a:b\n  - name: a\n  - name: a\n",
                    ":2: namespaces: name: \"a:b\" is not allowed; allowed: letters, digits, - . "
                    "and _, at most 64, or \"\" for channels without a colon\n"
                    ":4: namespaces: name: \"a\" is there already; allowed: each once\n");
    expect_messages("namespaces:\n  - {name: a, subscribe: subscriber}\n",
                    ":2: namespaces: subscribe: \"subscriber\" is not allowed; allowed: "
                    "nobody|claim|client\n");
    expect_messages("namespaces:\n  - {name: a, publish: all}\n",
                    ":2: namespaces: publish: \"all\" is not allowed; allowed: "
                    "nobody|claim|client|subscriber\n");
    expect_messages("namespaces:\n  - {name: a, presence: 1}\n",
                    ":2: namespaces: presence: \"1\" is not allowed; allowed: true or false\n");
    expect_messages("namespaces:\n  - {name: a, history_size: 100001}\n",
                    ":2: namespaces: history_size: 100001 is out of range; allowed: 0, or 1 to "
                    "100000\n");
    expect_messages("namespaces:\n  - {name: a, history_age: 1500ms}\n",
                    ":2: namespaces: history_age: 1500ms: whole seconds are allowed only\n");
    expect_messages("namespaces:\n  - {name: a, slow: drop}\n",
                    ":2: namespaces: slow: \"drop\" is not allowed; allowed: "
                    "close|drop_oldest|keep_latest\n");
    expect_messages("namespaces:\n  - {name: a, frame: \"\"}\n",
                    ":2: namespaces: frame: \"\" is not allowed; allowed: auto|text|binary\n");
    expect_messages("namespaces: a\n",
                    ":1: namespaces: not a list; allowed: lines that begin with \"- \"\n");
}

static void files_that_are_not_yaml(void **state)
{
    (void)state;
    expect_messages("shards: 1\n  x: 2\n",
                    ":2: not YAML: mapping values are not allowed in this context\n");
    expect_messages("a: [1,\n", ":2: not YAML: did not find expected node content while parsing a "
                                "flow node\n");
    expect_messages("shards: *x\n", ":1: not YAML: found undefined alias\n");
    expect_messages("- 1\n", ":1: not an options file; allowed: lines \"name: value\"\n");
    expect_messages("hello\n", ":1: not an options file; allowed: lines \"name: value\"\n");
    expect_messages("---\n", ":2: not an options file; allowed: lines \"name: value\"\n");
    expect_messages("shards: 1\n---\nshards: 2\n", ":3: a second document; allowed: one\n");
    expect_messages("shards: 1\n...\n@\n", ":3: not YAML: found character that cannot start any "
                                           "token while scanning for the next token\n");
}

static void many_problems_are_cut(void **state)
{
    char text[1024] = "log:\n";
    char expected[2048] = "";

    (void)state;
    for (size_t i = 0; i < 25; i++) {
        (void)sprintf(text + strlen(text), "  x%02zu: 1\n", i);
        if (i < 20) {
            (void)sprintf(expected + strlen(expected),
                          ":%zu: log.x%02zu: there is no such option; allowed: format, level\n",
                          i + 2, i);
        }
    }
    strcat(expected, ": and 5 more\n");
    expect_messages(text, expected);
}

static void files_that_cannot_be_read(void **state)
{
    static const char *const paths[] = {"/nowhere/options.yaml", "/"};
    size_t size = (size_t)256 * 1024;
    char *text = malloc(size + 1);
    struct options options;
    char *messages;

    (void)state;
    assert_non_null(text);
    memset(text, '\n', size + 1);
    messages = read_text(&options, text, size);
    assert_string_equal(messages, "");
    free(messages);
    options_free(&options);
    messages = read_text(&options, text, size + 1);
    assert_non_null(strstr(messages, "larger than 262144 bytes"));
    free(messages);
    options_free(&options);
    free(text);

    for (size_t i = 0; i < COUNT(paths); i++) {
        FILE *errors = open_memstream(&messages, &size);

        assert_non_null(errors);
        options_init(&options);
        assert_int_equal(options_read_file(&options, paths[i], errors), -1);
        assert_int_equal(fclose(errors), 0);
        assert_memory_equal(messages, paths[i], strlen(paths[i]));
        free(messages);
        options_free(&options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_everything),
        cmocka_unit_test(contradictions_have_their_place),
        cmocka_unit_test(empty_files_are_all_defaults),
        cmocka_unit_test(unknown_names),
        cmocka_unit_test(wrong_values),
        cmocka_unit_test(namespaces_in_full),
        cmocka_unit_test(namespaces_that_are_wrong),
        cmocka_unit_test(files_that_are_not_yaml),
        cmocka_unit_test(many_problems_are_cut),
        cmocka_unit_test(files_that_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
