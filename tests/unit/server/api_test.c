/*
 * Goal: the hub between the admin port and a relay that does as the test says: answers late, never,
 * after the end, with every outcome, or has no room. Each request gets exactly one answer, in time;
 * what comes later is dropped; the end waits for nobody and loses no memory.
 */
#include "server/api.h"
#include "server/relay.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ASKS_MAX   64
#define ANSWER_MAX 65536
#define KEY        "0123456789abcdef"

/* --- a relay that waits for the test ---------------------------------------------------------- */

struct asked {
    enum relay_question question;
    char channel[64];
    char payload[64];
    char pattern[64];
    struct broker_history history;
    struct broker_history_query query;
    bool is_binary;
    void (*answered)(void *context, const struct relay_answer *answer);
    void *context;
};

/* Under the mutex. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum broker_outcome refusal; /* BROKER_DONE: asks are taken */
    uint32_t refused;
    uint32_t count;
    struct asked asks[ASKS_MAX];
} relay = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void copy_text(char *out, size_t room, struct slice text)
{
    (void)snprintf(out, room, "%.*s", (int)text.size, text.size > 0 ? (const char *)text.data : "");
}

enum broker_outcome relay_ask(struct relay *unused, const struct relay_request *request,
                              void (*answered)(void *context, const struct relay_answer *answer),
                              void *context)
{
    (void)unused;
    pthread_mutex_lock(&relay.mutex);
    enum broker_outcome outcome = relay.refusal;
    if (outcome == BROKER_DONE) {
        struct asked *asked = &relay.asks[relay.count++];
        ASSERT(relay.count <= ASKS_MAX);
        *asked = (struct asked){.question = request->question,
                                .history = request->publication.history,
                                .query = request->history,
                                .is_binary = request->publication.is_binary,
                                .answered = answered,
                                .context = context};
        copy_text(asked->channel, sizeof(asked->channel), request->publication.channel);
        copy_text(asked->payload, sizeof(asked->payload), request->publication.payload);
        copy_text(asked->pattern, sizeof(asked->pattern), request->pattern);
    } else {
        relay.refused++;
    }
    pthread_cond_broadcast(&relay.changed);
    pthread_mutex_unlock(&relay.mutex);
    return outcome;
}

const char *relay_problem(const struct relay *unused, uint64_t now_ms)
{
    (void)unused;
    (void)now_ms;
    return NULL;
}

static void refuse_with(enum broker_outcome outcome)
{
    pthread_mutex_lock(&relay.mutex);
    relay.refusal = outcome;
    relay.refused = 0;
    pthread_mutex_unlock(&relay.mutex);
}

/* Waits until so many were asked in all; the last of them. */
static struct asked *wait_for_asks(uint32_t count)
{
    pthread_mutex_lock(&relay.mutex);
    while (relay.count < count) {
        pthread_cond_wait(&relay.changed, &relay.mutex);
    }
    assert_int_equal(relay.count, count);
    pthread_mutex_unlock(&relay.mutex);
    return &relay.asks[count - 1];
}

static void answer_published(const struct asked *asked, enum broker_outcome outcome,
                             uint64_t offset)
{
    const struct broker_event event = {
        .kind = BROKER_PUBLISHED, .outcome = outcome, .position = {.offset = offset, .epoch = "e"}};
    const struct relay_answer answer = {.outcome = outcome, .event = &event};

    asked->answered(asked->context, &answer);
}

/* --- the API ---------------------------------------------------------------------------------- */

static struct namespaces namespaces = {
    .entries = {{.name = "kept", .history_size = 5, .history_age_s = 60},
                {.name = "room", .has_presence = true}},
    .count = 2};
static struct options options;
static struct api_keys *keys;
static struct api *api;
static const struct metrics metrics;
static struct admin_state admin_state;

static int setup(void **state)
{
    char path[64];
    char message[256];

    (void)state;
    relay.count = 0;
    relay.refusal = BROKER_DONE;
    (void)snprintf(path, sizeof(path), "/tmp/limpet-api-%d", (int)getpid());
    FILE *file = fopen(path, "we");
    if (!file || fputs(KEY "\n", file) < 0 || fclose(file) != 0) {
        return -1;
    }
    keys = api_keys_open(path, message, sizeof(message));
    (void)unlink(path);
    options_init(&options);
    options.namespaces = namespaces;
    if (options_set(&options, "admin.listen", "127.0.0.1:0", message, sizeof(message)) != 0 ||
        options_set(&options, "admin.answer_timeout", "60s", message, sizeof(message)) != 0) {
        return -1;
    }
    return keys ? 0 : -1;
}

static void start(const char *answer_timeout)
{
    char message[256];
    const struct api_sources sources = {
        .options = &options, .keys = keys, .metrics = &metrics, .state = &admin_state};

    assert_int_equal(
        options_set(&options, "admin.answer_timeout", answer_timeout, message, sizeof(message)), 0);
    api = api_open(&sources, message, sizeof(message));
    assert_non_null(api);
}

static int teardown(void **state)
{
    (void)state;
    api_close(api);
    api = NULL;
    api_keys_close(keys);
    options_free(&options);
    return 0;
}

static int client_open(void)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(api_port(api)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void post(int fd, const char *method, const char *body)
{
    char request[2048];

    int size = snprintf(request, sizeof(request),
                        "POST /api/%s HTTP/1.1\r\nHost: a\r\nX-API-Key: " KEY
                        "\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                        method, strlen(body), body);
    assert_true(size > 0 && (size_t)size < sizeof(request));
    assert_int_equal(send(fd, request, (size_t)size, MSG_NOSIGNAL), size);
}

/* Until the end of the stream, which it closes. */
static const char *read_all(int fd)
{
    static char text[ANSWER_MAX];
    size_t size = 0;
    ssize_t taken;

    while ((taken = recv(fd, text + size, sizeof(text) - 1 - size, 0)) > 0) {
        size += (size_t)taken;
    }
    text[size] = '\0';
    assert_int_equal(close(fd), 0);
    return text;
}

static void assert_body(const char *text, const char *expected)
{
    const char *body = strstr(text, "\r\n\r\n");

    if (!body || strcmp(body + 4, expected) != 0) {
        fail_msg("expected %s, got: %s", expected, text);
    }
}

static int asking(const char *method, const char *body)
{
    int fd = client_open();

    post(fd, method, body);
    return fd;
}

static bool metric_is(const char *line)
{
    int fd = client_open();
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    return strstr(read_all(fd), line) != NULL;
}

static void wait_for_metric(const char *line)
{
    for (uint32_t i = 0; !metric_is(line); i++) {
        assert_true(i < 10000);
    }
}

/* --- what is asked ---------------------------------------------------------------------------- */

static void test_publish(void **state)
{
    (void)state;
    start("60s");
    int fd = asking("publish", "{\"channel\":\"kept:1\",\"data\":{\"a\" : 1}}");
    const struct asked *asked = wait_for_asks(1);
    assert_int_equal(asked->question, RELAY_PUBLISH);
    assert_string_equal(asked->channel, "kept:1");
    assert_string_equal(asked->payload, "{\"a\":1}");
    assert_int_equal(asked->history.size, 5);
    assert_int_equal(asked->history.age_s, 60);
    assert_false(asked->is_binary);
    answer_published(asked, BROKER_DONE, 7);
    assert_body(read_all(fd), "{\"result\":{\"offset\":7,\"epoch\":\"e\"}}");
    fd = asking("publish", "{\"channel\":\"kept:1\",\"b64data\":\"YWI=\",\"skip_history\":true}");
    asked = wait_for_asks(2);
    assert_string_equal(asked->payload, "ab");
    assert_true(asked->is_binary);
    assert_int_equal(asked->history.size, 0);
    answer_published(asked, BROKER_DONE, 0);
    assert_body(read_all(fd), "{\"result\":{}}");
}

static void test_history_is_bounded_by_its_namespace(void **state)
{
    static const struct {
        const char *body;
        uint32_t limit;
    } cases[] = {{"{\"channel\":\"kept:1\"}", 0},
                 {"{\"channel\":\"kept:1\",\"limit\":4}", 4},
                 {"{\"channel\":\"kept:1\",\"limit\":6}", 5},
                 {"{\"channel\":\"kept:1\",\"limit\":-1}", 5},
                 {"{\"channel\":\"kept:1\",\"limit\":9223372036854775807}", 5}};
    const struct broker_publication publications[] = {{.payload = slice_text("1"),
                                                       .offset = 3,
                                                       .conn_id = slice_text("c"),
                                                       .user = slice_text("u")},
                                                      {.payload = slice_text("x"), .offset = 4}};
    const struct broker_event event = {.kind = BROKER_HISTORY,
                                       .position = {.offset = 4, .epoch = "e"},
                                       .publications = publications,
                                       .publication_count = 2};
    const struct relay_answer answer = {.event = &event};

    (void)state;
    start("60s");
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = asking("history", cases[i].body);
        const struct asked *asked = wait_for_asks(i + 1);
        assert_int_equal(asked->question, RELAY_HISTORY);
        assert_int_equal(asked->query.limit, cases[i].limit);
        asked->answered(asked->context, &answer);
        assert_body(read_all(fd),
                    "{\"result\":{\"publications\":[{\"data\":1,\"info\":{\"user\":\"u\","
                    "\"client\":\"c\"},\"offset\":3},{\"b64data\":\"eA==\",\"offset\":4}],"
                    "\"epoch\":\"e\",\"offset\":4}}");
    }
    int fd = asking("history", "{\"channel\":\"kept:1\",\"reverse\":true,"
                               "\"since\":{\"offset\":9,\"epoch\":\"0123456789abcdef\"}}");
    const struct asked *asked = wait_for_asks(6);
    assert_true(asked->query.is_reverse);
    assert_true(asked->query.has_since);
    assert_int_equal(asked->query.since.offset, 9);
    assert_string_equal(asked->query.since.epoch, "0123456789abcdef");
    asked->answered(asked->context, &answer);
    (void)read_all(fd);
    /* An epoch that is longer than any is nobody's, and is not even asked for. */
    assert_body(read_all(asking("history", "{\"channel\":\"kept:1\",\"since\":{\"epoch\":"
                                           "\"0123456789abcdefg\"}}")),
                "{\"error\":{\"code\":112,\"message\":\"unrecoverable position\"}}");
}

static void test_presence_and_channels(void **state)
{
    const struct broker_member members[] = {{.conn_id = slice_text("c1"), .user = slice_text("u")}};
    const struct broker_event event = {
        .kind = BROKER_PRESENCE, .members = members, .member_count = 1};
    const struct relay_answer present = {.event = &event};
    const struct relay_channel names[] = {{.name = slice_text("a"), .subscribers = 2}};
    const struct relay_answer channels = {.channels = names, .channel_count = 1};

    (void)state;
    start("60s");
    int fd = asking("presence", "{\"channel\":\"room:1\"}");
    const struct asked *asked = wait_for_asks(1);
    assert_int_equal(asked->question, RELAY_PRESENCE);
    asked->answered(asked->context, &present);
    assert_body(read_all(fd),
                "{\"result\":{\"presence\":{\"c1\":{\"user\":\"u\",\"client\":\"c1\"}}}}");
    fd = asking("channels", "{\"pattern\":\"a*\"}");
    asked = wait_for_asks(2);
    assert_int_equal(asked->question, RELAY_CHANNELS);
    assert_string_equal(asked->pattern, "a*");
    asked->answered(asked->context, &channels);
    assert_body(read_all(fd), "{\"result\":{\"channels\":{\"a\":{\"num_clients\":2}}}}");
    fd = asking("info", "");
    asked = wait_for_asks(3);
    assert_string_equal(asked->pattern, "*");
    asked->answered(asked->context, &channels);
    assert_non_null(strstr(read_all(fd), "\"num_channels\":1,"));
    fd = asking("history_remove", "{\"channel\":\"kept:1\"}");
    asked = wait_for_asks(4);
    assert_int_equal(asked->question, RELAY_HISTORY_REMOVE);
    answer_published(asked, BROKER_DONE, 0);
    assert_body(read_all(fd), "{\"result\":{}}");
}

/* --- what goes wrong -------------------------------------------------------------------------- */

static void test_every_outcome_has_its_code(void **state)
{
    static const uint32_t codes[BROKER_OUTCOMES] = {
        [BROKER_AWAY] = 100,    [BROKER_UNKNOWN] = 100,     [BROKER_FULL] = 100,
        [BROKER_REFUSED] = 100, [BROKER_UNAVAILABLE] = 108, [BROKER_UNRECOVERABLE] = 112};
    uint32_t count = 0;

    (void)state;
    start("60s");
    for (uint32_t outcome = BROKER_AWAY; outcome < BROKER_OUTCOMES; outcome++) {
        char part[64];
        int fd = asking("publish", "{\"channel\":\"a\",\"data\":1}");
        answer_published(wait_for_asks(++count), (enum broker_outcome)outcome, 0);
        (void)snprintf(part, sizeof(part), "{\"error\":{\"code\":%u,", codes[outcome]);
        assert_non_null(strstr(read_all(fd), part));
    }
    refuse_with(BROKER_REFUSED);
    assert_non_null(strstr(read_all(asking("publish", "{\"channel\":\"a\",\"data\":1}")),
                           "{\"error\":{\"code\":107,"));
    refuse_with(BROKER_AWAY);
    assert_non_null(strstr(read_all(asking("publish", "{\"channel\":\"a\",\"data\":1}")),
                           "{\"error\":{\"code\":100,"));
    assert_true(metric_is("method=\"publish\",outcome=\"error\"} 8\n"));
}

/* Nobody waits for ever, and the answer that comes at last is thrown away. */
static void test_a_late_answer(void **state)
{
    (void)state;
    start("100ms");
    int fd = asking("batch", "{\"commands\":[{\"publish\":{\"channel\":\"a\",\"data\":1}},"
                             "{\"info\":{}}]}");
    const struct asked *asked = wait_for_asks(1);
    assert_body(read_all(fd), "{\"replies\":[{\"error\":{\"code\":100,\"message\":\"timeout\"}},"
                              "{\"error\":{\"code\":100,\"message\":\"timeout\"}}]}");
    assert_true(metric_is("method=\"batch\",outcome=\"timeout\"} 1\n"));
    answer_published(asked, BROKER_DONE, 1);
    wait_for_metric("limpet_api_late_total 1\n");
    assert_true(metric_is("limpet_api_waiting 0\n"));
}

/* A relay without room is asked again; the request is not lost. */
static void test_a_full_relay(void **state)
{
    (void)state;
    start("60s");
    refuse_with(BROKER_FULL);
    int fd = asking("publish", "{\"channel\":\"a\",\"data\":1}");
    pthread_mutex_lock(&relay.mutex);
    while (relay.refused < 5) {
        pthread_cond_wait(&relay.changed, &relay.mutex);
    }
    pthread_mutex_unlock(&relay.mutex);
    refuse_with(BROKER_DONE);
    answer_published(wait_for_asks(1), BROKER_DONE, 0);
    assert_body(read_all(fd), "{\"result\":{}}");
}

static void test_a_relay_that_stays_full(void **state)
{
    (void)state;
    start("100ms");
    refuse_with(BROKER_FULL);
    assert_body(read_all(asking("publish", "{\"channel\":\"a\",\"data\":1}")),
                "{\"error\":{\"code\":100,\"message\":\"timeout\"}}");
}

/* --- order ------------------------------------------------------------------------------------ */

#define TWO                                                                                        \
    "\"commands\":[{\"broadcast\":{\"channels\":[\"a\",\"b\"],\"data\":1}},"                       \
    "{\"publish\":{\"channel\":\"c\",\"data\":2}}]"

static void test_commands_follow_each_other(void **state)
{
    (void)state;
    start("60s");
    int fd = asking("batch", "{" TWO "}");
    (void)wait_for_asks(2); /* the broadcast's, both at once */
    answer_published(&relay.asks[1], BROKER_DONE, 1);
    assert_true(metric_is("limpet_api_waiting 1\n")); /* a turn went by */
    (void)wait_for_asks(2);
    answer_published(&relay.asks[0], BROKER_DONE, 2);
    const struct asked *last = wait_for_asks(3);
    assert_string_equal(last->channel, "c");
    answer_published(last, BROKER_DONE, 3);
    assert_body(read_all(fd), "{\"replies\":[{\"broadcast\":{\"responses\":["
                              "{\"result\":{\"offset\":2,\"epoch\":\"e\"}},"
                              "{\"result\":{\"offset\":1,\"epoch\":\"e\"}}]}},"
                              "{\"publish\":{\"offset\":3,\"epoch\":\"e\"}}]}");
}

static void test_parallel_commands_do_not(void **state)
{
    (void)state;
    start("60s");
    int fd = asking("batch", "{\"parallel\":true," TWO "}");
    (void)wait_for_asks(3);
    for (uint32_t i = 3; i-- > 0;) {
        answer_published(&relay.asks[i], BROKER_DONE, i + 1);
    }
    assert_non_null(strstr(read_all(fd), "{\"publish\":{\"offset\":3,"));
}

/* --- the end ---------------------------------------------------------------------------------- */

/* One ask is answered after the port has closed, one never: neither is lost, nor anything else. */
static void test_the_end_with_requests_in_flight(void **state)
{
    (void)state;
    start("60s");
    int first = asking("publish", "{\"channel\":\"a\",\"data\":1}");
    (void)wait_for_asks(1);
    int second = asking("history", "{\"channel\":\"kept:1\",\"limit\":1}");
    (void)wait_for_asks(2);
    refuse_with(BROKER_FULL);
    int third = asking("publish", "{\"channel\":\"a\",\"data\":1}");
    pthread_mutex_lock(&relay.mutex);
    while (relay.refused == 0) {
        pthread_cond_wait(&relay.changed, &relay.mutex);
    }
    pthread_mutex_unlock(&relay.mutex);
    api_stop(api);
    assert_non_null(strstr(read_all(first), "503 "));
    assert_non_null(strstr(read_all(second), "503 "));
    assert_non_null(strstr(read_all(third), "503 "));
    const struct broker_publication publication = {.payload = slice_text("1"), .offset = 1};
    const struct broker_event event = {
        .kind = BROKER_HISTORY, .publications = &publication, .publication_count = 1};
    const struct relay_answer answer = {.event = &event};
    relay.asks[1].answered(relay.asks[1].context, &answer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_publish),
        TEST(test_history_is_bounded_by_its_namespace),
        TEST(test_presence_and_channels),
        TEST(test_every_outcome_has_its_code),
        TEST(test_a_late_answer),
        TEST(test_a_full_relay),
        TEST(test_a_relay_that_stays_full),
        TEST(test_commands_follow_each_other),
        TEST(test_parallel_commands_do_not),
        TEST(test_the_end_with_requests_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
