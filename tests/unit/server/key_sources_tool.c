#include "key_sources_tool.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

struct child_folder folder;
struct https_host *host;
struct options options;
struct key_sources *sources;
const struct key_source_counts *counts;
char message[1024];

void set(const char *name, const char *value)
{
    if (options_set(&options, name, value, message, sizeof(message)) != 0) {
        fail_msg("%s", message);
    }
}

int open_all(void **state)
{
    (void)state;
    child_folder_open(&folder);
    host = https_host_open(&folder);
    options_init(&options);
    set("token.jwks_ca_file", https_host_ca(host));
    set("token.jwks_cooldown", "1h");
    set("token.keys", https_host_url(host, "/keys"));
    https_host_give(host, "/keys", 200, "", ONE);
    sources = key_sources_open(message, sizeof(message));
    counts = sources ? key_sources_counts(sources) : NULL;
    return sources ? 0 : -1;
}

int close_all(void **state)
{
    (void)state;
    key_sources_close(sources);
    options_free(&options);
    https_host_close(host);
    child_folder_close(&folder);
    return 0;
}

void add(void)
{
    if (key_sources_add(sources, &options, message, sizeof(message)) != 0) {
        fail_msg("%s", message);
    }
}

void expect_document(const char *path, const char *expected)
{
    size_t size = 0;
    char *document = key_sources_copy(sources, https_host_url(host, path), &size);

    if (expected) {
        assert_non_null(document);
        assert_int_equal(size, strlen(expected));
        assert_memory_equal(document, expected, size);
    } else {
        assert_null(document);
    }
    free(document);
}

void await_change(void)
{
    struct pollfd wait = {.fd = key_sources_fd(sources), .events = POLLIN};

    do {
        assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
    } while (!key_sources_changed(sources));
}

void await_count(const struct counter *counter, uint64_t value)
{
    static const struct timespec pause = {.tv_nsec = 1000000};

    for (uint32_t i = 0; i < WAIT_MS && counter_read(counter) < value; i++) {
        (void)nanosleep(&pause, NULL);
    }
    assert_in_range(counter_read(counter), value, UINT64_MAX);
}

void set_keys(const char *first, const char *second)
{
    char keys[512];

    (void)snprintf(keys, sizeof(keys), "%s,%s", first, second);
    set("token.keys", keys);
}
