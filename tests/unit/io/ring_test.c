/*
 * Goal: a real ring with real loopback sockets: waiting, accepting, closing and cancelling, names
 * of peers, wake-ups between threads.
 */
#include "tests/unit/io/loopback.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull

/* --- waiting ------------------------------------------------------------------------------------
 */

static void test_wait_without_events_ends_in_time(void **state)
{
    struct loopback *loopback = *state;
    struct ring_event event;
    uint64_t start_ns = 0;
    uint64_t now_ns = 0;

    assert_int_equal(ring_wait(loopback->ring, 0, &event, 1, &start_ns), 0);
    assert_true(start_ns > 0);
    assert_int_equal(ring_wait(loopback->ring, SECOND_NS / 50, &event, 1, &now_ns), 0);
    assert_true(now_ns - start_ns >= SECOND_NS / 50);
}

static void test_each_wait_is_one_enter(void **state)
{
    struct loopback *loopback = *state;
    struct ring_counts before;
    struct ring_counts after;
    struct ring_event event;
    uint64_t now_ns = 0;

    ring_read_counts(loopback->ring, &before);
    assert_int_equal(ring_wait(loopback->ring, 0, &event, 1, &now_ns), 0);
    ring_read_counts(loopback->ring, &after);
    assert_int_equal(after.enters, before.enters + 1);
    assert_int_equal(after.completion_overflows, 0);
    assert_int_equal(after.completions_lost, 0);
}

static void test_events_above_the_maximum_stay_for_the_next_wait(void **state)
{
    struct loopback *loopback = *state;
    struct ring_event events[4];
    uint64_t now_ns = 0;
    int fds[3];

    for (int i = 0; i < 3; i++) {
        fds[i] = loopback_connect(loopback);
    }
    assert_int_equal(ring_wait(loopback->ring, SECOND_NS, events, 1, &now_ns), 1);
    /* No timeout: this must not sleep though nothing new comes. */
    assert_int_equal(ring_wait(loopback->ring, UINT64_MAX, events + 1, 1, &now_ns), 1);
    assert_int_equal(ring_wait(loopback->ring, UINT64_MAX, events + 2, 2, &now_ns), 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(events[i].operation, RING_ACCEPT);
        assert_int_equal(events[i].result, i); /* in order: the kernel fills the table from 0 */
        assert_int_equal(events[i].number, LISTENER);
        assert_int_equal(events[i].buffer, NONE);
        assert_int_equal(close(fds[i]), 0);
    }
}

static void test_more_submissions_than_entries_go_out_by_themselves(void **state)
{
    struct loopback *loopback = *state;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    for (uint32_t i = 0; i < 3 * loopback_options.submit_max; i++) {
        ring_cancel_poll(loopback->ring, number, i); /* nothing to cancel: one event each */
    }
    for (uint32_t i = 0; i < 3 * loopback_options.submit_max; i++) {
        struct ring_event event = loopback_await(loopback, RING_CANCEL, number);
        assert_int_equal(event.result, -ENOENT);
        assert_int_equal(event.generation, i);
    }
    assert_int_equal(close(fd), 0);
}

/* --- close and cancel ---------------------------------------------------------------------------
 */

static void test_cancel_then_close_sends_the_fin(void **state)
{
    struct loopback *loopback = *state;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    ring_poll(loopback->ring, number, GENERATION);
    assert_false(loopback_has(loopback, RING_POLL, number));
    ring_cancel_poll(loopback->ring, number, GENERATION);
    struct ring_event event = loopback_await(loopback, RING_POLL, number);
    assert_int_equal(event.result, -ECANCELED);
    assert_int_equal(event.generation, GENERATION);
    assert_true(loopback_is_quiet(fd));
    ring_close_socket(loopback->ring, number, GENERATION);
    event = loopback_await(loopback, RING_CLOSE, number);
    assert_int_equal(event.result, 0);
    assert_int_equal(event.generation, GENERATION);
    assert_int_equal(loopback_read_byte(fd), -1);
    assert_false(loopback_has(loopback, RING_CANCEL, number)); /* a cancel that worked is silent */
    assert_int_equal(close(fd), 0);
}

static void test_cancel_of_another_generation_cancels_nothing(void **state)
{
    struct loopback *loopback = *state;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    ring_poll(loopback->ring, number, GENERATION);
    ring_cancel_poll(loopback->ring, number, GENERATION + 1);
    assert_int_equal(loopback_await(loopback, RING_CANCEL, number).result, -ENOENT);
    assert_false(loopback_has(loopback, RING_POLL, number));
    loopback_put(fd, "x");
    assert_int_equal(loopback_await(loopback, RING_POLL, number).result, POLLIN);
    assert_int_equal(close(fd), 0);
}

static void test_cancel_after_completion_is_enoent(void **state)
{
    struct loopback *loopback = *state;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    loopback_put(fd, "x");
    ring_poll(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_POLL, number).result, POLLIN);
    ring_cancel_poll(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_CANCEL, number).result, -ENOENT);
    ring_cancel_send(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_CANCEL, number).result, -ENOENT);
    assert_int_equal(close(fd), 0);
}

static void test_close_with_unread_bytes_resets(void **state)
{
    struct loopback *loopback = *state;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    loopback_put(fd, "unread");
    ring_poll(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_POLL, number).result, POLLIN);
    ring_close_socket(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_CLOSE, number).result, 0);
    assert_int_equal(loopback_read_byte(fd), -ECONNRESET - 1000);
    assert_int_equal(close(fd), 0);
}

static void test_a_number_is_used_again_after_its_close(void **state)
{
    struct loopback *loopback = *state;
    uint32_t first = 0;
    uint32_t second = 0;
    int fd = loopback_accepted(loopback, &first);

    ring_close_socket(loopback->ring, first, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_CLOSE, first).result, 0);
    for (uint32_t i = 0; i < loopback_options.sockets_max; i++) { /* the kernel goes round */
        int next = loopback_accepted(loopback, &second);
        ring_close_socket(loopback->ring, second, GENERATION + 1);
        assert_int_equal(loopback_await(loopback, RING_CLOSE, second).generation, GENERATION + 1);
        assert_int_equal(close(next), 0);
    }
    assert_int_equal(close(fd), 0);
}

/* --- accept -------------------------------------------------------------------------------------
 */

static void test_a_full_table_ends_the_accept_and_it_can_be_armed_again(void **state)
{
    struct loopback *loopback = *state;
    int fds[64];
    uint32_t number = 0;

    for (uint32_t i = 0; i < loopback_options.sockets_max; i++) {
        fds[i] = loopback_accepted(loopback, &number);
    }
    int surplus = loopback_connect(loopback);
    struct ring_event event = loopback_await(loopback, RING_ACCEPT, LISTENER);
    assert_int_equal(event.result, -ENFILE);
    assert_false(event.more);
    assert_int_equal(loopback_read_byte(surplus), -1); /* accepted and closed by the kernel */

    int waiting = loopback_connect(loopback); /* stays in the backlog */
    ring_close_socket(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_CLOSE, number).result, 0);
    assert_false(loopback_has(loopback, RING_ACCEPT, LISTENER));
    ring_accept(loopback->ring, loopback->listener_fd, LISTENER);
    event = loopback_await(loopback, RING_ACCEPT, LISTENER);
    assert_int_equal(event.result, number);
    assert_true(event.more);
    assert_int_equal(close(surplus), 0);
    assert_int_equal(close(waiting), 0);
    for (uint32_t i = 0; i < loopback_options.sockets_max; i++) {
        assert_int_equal(close(fds[i]), 0);
    }
}

static void test_a_cancelled_accept_ends_and_takes_no_more(void **state)
{
    struct loopback *loopback = *state;

    ring_cancel_accept(loopback->ring, LISTENER);
    struct ring_event event = loopback_await(loopback, RING_ACCEPT, LISTENER);
    assert_int_equal(event.result, -ECANCELED);
    assert_false(event.more);
    int fd = loopback_connect(loopback);
    assert_false(loopback_has(loopback, RING_ACCEPT, LISTENER));
    assert_int_equal(close(fd), 0);
}

static void test_rings_take_turns_on_one_listener(void **state)
{
    struct loopback *loopback = *state;
    int fd = 0;

    ring_cancel_accept(loopback->ring, LISTENER);
    assert_int_equal(loopback_await(loopback, RING_ACCEPT, LISTENER).result, -ECANCELED);
    ring_accept_one(loopback->ring, loopback->listener_fd, LISTENER);
    fd = loopback_connect(loopback);
    struct ring_event event = loopback_await(loopback, RING_ACCEPT, LISTENER);
    assert_true(event.result >= 0);
    assert_false(event.more);
    assert_int_equal(close(fd), 0);
    fd = loopback_connect(loopback);
    assert_false(loopback_has(loopback, RING_ACCEPT, LISTENER)); /* left to others */
    ring_accept_one(loopback->ring, loopback->listener_fd, LISTENER);
    assert_true(loopback_await(loopback, RING_ACCEPT, LISTENER).result >= 0); /* it had waited */
    assert_int_equal(close(fd), 0);
}

/* --- names --------------------------------------------------------------------------------------
 */

static void check_peer_name(const char *listener, bool is_ipv6, const char *host)
{
    struct loopback loopback;
    struct sockaddr_in6 peer = {0};
    struct sockaddr_in6 own = {0};
    socklen_t own_size = sizeof(own);
    char text[ADDRESS_TEXT_SIZE];
    char wanted[ADDRESS_TEXT_SIZE];
    uint32_t number = 0;

    loopback_open(&loopback, &loopback_options, listener);
    if (is_ipv6 && host[0] != '[') { /* an IPv4 client of an IPv6 listener */
        struct sockaddr_in6 ipv4;
        assert_int_equal(address_parse(slice_text("127.0.0.1:0"), &ipv4), 0);
        ipv4.sin6_port = loopback.address.sin6_port;
        loopback.address = ipv4;
    }
    int fd = loopback_accepted(&loopback, &number);
    ring_peer_name(loopback.ring, number, GENERATION, is_ipv6, &peer);
    struct ring_event event = loopback_await(&loopback, RING_NAME, number);
    assert_int_equal(event.result, is_ipv6 ? 28 : 16);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &own_size), 0);
    address_format(&peer, text);
    (void)snprintf(wanted, sizeof(wanted), "%s:%u", host, ntohs(own.sin6_port));
    assert_string_equal(text, wanted);
    assert_int_equal(close(fd), 0);
    loopback_close(&loopback);
}

static void test_the_peer_of_an_ipv4_listener(void **state)
{
    (void)state;
    check_peer_name("127.0.0.1:0", false, "127.0.0.1");
}

static void test_the_peer_of_an_ipv6_listener(void **state)
{
    (void)state;
    check_peer_name("[::1]:0", true, "[::1]");
    check_peer_name("0", true, "127.0.0.1");
}

static void test_the_peer_of_a_reset_connection_still_has_a_name(void **state)
{
    struct loopback *loopback = *state;
    struct sockaddr_in6 peer = {0};
    uint8_t key[16];
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    loopback_reset(fd);
    ring_poll(loopback->ring, number, GENERATION);
    assert_true((loopback_await(loopback, RING_POLL, number).result & POLLERR) != 0);
    ring_peer_name(loopback->ring, number, GENERATION, false, &peer);
    assert_int_equal(loopback_await(loopback, RING_NAME, number).result, 16);
    address_key(&peer, key);
    assert_memory_equal(key + 12, "\x7f\0\0\1", 4);
}

/* --- wake ---------------------------------------------------------------------------------------
 */

static void *wake_others(void *argument)
{
    const struct ring_options options = loopback_options;
    struct ring_event event;
    char message[512] = "";
    uint64_t now_ns = 0;
    int error = 0;
    struct ring *ring = ring_open(&options, &error, message, sizeof(message));

    if (ring == NULL) {
        return NULL;
    }
    ring_wake(ring, *(const int *)argument);
    uint32_t count = ring_wait(ring, 0, &event, 1, &now_ns);
    ring_close(ring);
    return count == 0 ? argument : NULL; /* the sender sees no event of its own */
}

static void test_another_thread_wakes_a_sleeping_ring(void **state)
{
    struct loopback *loopback = *state;
    int fd = ring_fd(loopback->ring);
    pthread_t thread;
    void *result = NULL;

    assert_int_equal(pthread_create(&thread, NULL, wake_others, &fd), 0);
    struct ring_event event = loopback_await(loopback, RING_WAKE, 0);
    assert_int_equal(event.result, 0);
    assert_false(event.more);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_non_null(result);
}

static void test_a_wake_of_a_closed_ring_is_silent(void **state)
{
    struct loopback *loopback = *state;

    ring_wake(loopback->ring, loopback->listener_fd); /* no ring at all */
    assert_false(loopback_has(loopback, RING_WAKE, 0));
    assert_int_equal(loopback->held_count, 0);
}

static void test_the_wall_clock_is_the_systems(void **state)
{
    const struct loopback *loopback = *state;
    uint64_t before_s = (uint64_t)time(NULL);
    uint64_t now_ms = ring_unix_ms(loopback->ring);

    assert_true(now_ms / 1000 >= before_s);
    assert_true(now_ms / 1000 <= before_s + 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, loopback_setup, loopback_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wait_without_events_ends_in_time),
        TEST(test_each_wait_is_one_enter),
        TEST(test_events_above_the_maximum_stay_for_the_next_wait),
        TEST(test_more_submissions_than_entries_go_out_by_themselves),
        TEST(test_cancel_then_close_sends_the_fin),
        TEST(test_cancel_of_another_generation_cancels_nothing),
        TEST(test_cancel_after_completion_is_enoent),
        TEST(test_close_with_unread_bytes_resets),
        TEST(test_a_number_is_used_again_after_its_close),
        TEST(test_a_full_table_ends_the_accept_and_it_can_be_armed_again),
        TEST(test_a_cancelled_accept_ends_and_takes_no_more),
        TEST(test_rings_take_turns_on_one_listener),
        cmocka_unit_test(test_the_peer_of_an_ipv4_listener),
        cmocka_unit_test(test_the_peer_of_an_ipv6_listener),
        TEST(test_the_peer_of_a_reset_connection_still_has_a_name),
        TEST(test_another_thread_wakes_a_sleeping_ring),
        TEST(test_a_wake_of_a_closed_ring_is_silent),
        TEST(test_the_wall_clock_is_the_systems),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
