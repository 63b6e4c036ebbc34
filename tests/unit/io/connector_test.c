/*
 * Goal: a chain of socket, options, bind and connect gives exactly one event, whichever step fails,
 * and leaves a slot that can be closed and used again.
 */
#include "io/connector.h"

#include "tests/unit/io/loopback.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOT 3u

static struct sockaddr_in6 parse(const char *text)
{
    struct sockaddr_in6 address;

    assert_int_equal(address_parse(slice_text(text), &address), 0);
    return address;
}

/* A plain listener at the other end of the ring's connections. */
static int listen_on(const char *text, struct sockaddr_in6 *address)
{
    struct listener_options options = {.address = parse(text), .backlog = 16};
    char message[512] = "";
    int fd = listener_open(&options, message, sizeof(message));

    if (fd < 0) {
        fail_msg("%s", message);
    }
    *address = options.address;
    address->sin6_port = htons(listener_port(fd));
    return fd;
}

static void close_slot(struct loopback *loopback, uint32_t number)
{
    ring_close_socket(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_CLOSE, number).generation, GENERATION);
}

static int accept_from(int listener_fd, const char *host)
{
    struct sockaddr_in6 peer = {0};
    socklen_t size = sizeof(peer);
    char text[ADDRESS_TEXT_SIZE];
    int fd = accept4(listener_fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);

    assert_true(fd >= 0);
    address_format(&peer, text);
    assert_memory_equal(text, host, strlen(host));
    return fd;
}

static void test_this_kernel_has_the_operations(void **state)
{
    struct loopback *loopback = *state;
    char message[512] = "";

    assert_int_equal(connector_check(loopback->ring, message, sizeof(message)), 0);
    assert_string_equal(message, "");
}

static void test_a_connection_from_a_chosen_source(void **state)
{
    struct loopback *loopback = *state;
    struct sockaddr_in6 source = parse("127.1.2.3:0");
    struct sockaddr_in6 target;
    int listener_fd = listen_on("127.0.0.1:0", &target);

    connector_open(loopback->ring, SLOT, GENERATION, &source, &target, true);
    struct ring_event event = loopback_await(loopback, RING_CONNECT, SLOT);
    assert_int_equal(event.result, 0);
    assert_int_equal(event.generation, GENERATION);
    assert_int_equal(loopback->held_count, 0); /* one event for the whole chain */
    int fd = accept_from(listener_fd, "127.1.2.3:");
    ring_send(loopback->ring, SLOT, GENERATION, (const uint8_t *)"q", 1);
    assert_int_equal(loopback_await(loopback, RING_SEND, SLOT).result, 1);
    assert_int_equal(loopback_read_byte(fd), 'q');
    close_slot(loopback, SLOT);
    assert_int_equal(loopback_read_byte(fd), -ECONNRESET - 1000); /* SO_LINGER 0 */
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(listener_fd), 0);
}

static void test_a_connection_without_source_or_reset(void **state)
{
    struct loopback *loopback = *state;
    struct sockaddr_in6 target;
    int listener_fd = listen_on("[::1]:0", &target);

    connector_open(loopback->ring, SLOT, GENERATION, NULL, &target, false);
    assert_int_equal(loopback_await(loopback, RING_CONNECT, SLOT).result, 0);
    int fd = accept_from(listener_fd, "[::1]:");
    close_slot(loopback, SLOT);
    assert_int_equal(loopback_read_byte(fd), -1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(listener_fd), 0);
}

static void check_failure(struct loopback *loopback, const char *source_text,
                          const char *target_text, int error)
{
    struct sockaddr_in6 source = parse(source_text);
    struct sockaddr_in6 target = parse(target_text);

    connector_open(loopback->ring, SLOT, GENERATION, &source, &target, true);
    assert_int_equal(loopback_await(loopback, RING_CONNECT, SLOT).result, error);
    loopback_turn(loopback);
    assert_int_equal(loopback->held_count, 0);
    close_slot(loopback, SLOT);
}

static void test_each_failing_step_gives_one_event(void **state)
{
    struct loopback *loopback = *state;

    check_failure(loopback, "127.0.0.1:0", "127.0.0.1:1", -ECONNREFUSED);
    check_failure(loopback, "192.0.2.1:0", "127.0.0.1:1", -EADDRNOTAVAIL); /* bind */
    check_failure(loopback, "[::1]:0", "127.0.0.1:1", -EAFNOSUPPORT);
}

static void test_a_failing_socket_gives_one_event_and_the_slot_is_free_after_close(void **state)
{
    struct loopback *loopback = *state;
    struct sockaddr_in6 source = parse("127.0.0.1:0");
    struct sockaddr_in6 target = parse("127.0.0.1:1");

    target.sin6_family = AF_UNSPEC;
    connector_open(loopback->ring, SLOT, GENERATION, &source, &target, true);
    assert_int_equal(loopback_await(loopback, RING_CONNECT, SLOT).result, -EAFNOSUPPORT);
    ring_close_socket(loopback->ring, SLOT, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_CLOSE, SLOT).result, -EBADF);
    check_failure(loopback, "127.0.0.1:0", "127.0.0.1:1", -ECONNREFUSED);
}

static void test_chains_that_do_not_fit_the_queue_stay_whole(void **state)
{
    struct loopback *loopback = *state;
    struct sockaddr_in6 source = parse("127.0.0.1:0");
    struct sockaddr_in6 target;
    int listener_fd = listen_on("127.0.0.1:0", &target);

    /* 16 chains of 6 steps on a queue of 64. */
    for (uint32_t i = 0; i < loopback_options.sockets_max; i++) {
        connector_open(loopback->ring, i, GENERATION, &source, &target, true);
    }
    for (uint32_t i = 0; i < loopback_options.sockets_max; i++) {
        assert_int_equal(loopback_await(loopback, RING_CONNECT, i).result, 0);
    }
    assert_int_equal(loopback->held_count, 0);
    assert_int_equal(close(listener_fd), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, loopback_setup, loopback_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_this_kernel_has_the_operations),
        TEST(test_a_connection_from_a_chosen_source),
        TEST(test_a_connection_without_source_or_reset),
        TEST(test_each_failing_step_gives_one_event),
        TEST(test_a_failing_socket_gives_one_event_and_the_slot_is_free_after_close),
        TEST(test_chains_that_do_not_fit_the_queue_stay_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
