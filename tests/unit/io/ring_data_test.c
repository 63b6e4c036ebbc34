/*
 * Goal: polls, receives and sends on a real ring with real loopback sockets: what the event says
 * when there is data, an end, a reset, nothing, or no room.
 */
#include "tests/unit/io/loopback.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG_SIZE (1u << 20)

/* --- poll and receive ---------------------------------------------------------------------------
 */

static void test_poll_tells_of_data_and_receive_takes_it(void **state)
{
    struct loopback *loopback = *state;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    ring_poll(loopback->ring, number, GENERATION);
    assert_false(loopback_has(loopback, RING_POLL, number));
    loopback_put(fd, "hello");
    struct ring_event event = loopback_await(loopback, RING_POLL, number);
    assert_int_equal(event.result, POLLIN);
    assert_int_equal(event.generation, GENERATION);
    assert_false(event.more);

    ring_receive(loopback->ring, number, RING_GENERATION_MAX);
    event = loopback_await(loopback, RING_RECEIVE, number);
    assert_int_equal(event.result, 5);
    assert_int_equal(event.generation, RING_GENERATION_MAX);
    assert_false(event.nonempty);
    assert_memory_equal(ring_buffer_at(loopback->ring, event.buffer), "hello", 5);
    ring_buffer_give(loopback->ring, event.buffer);
    assert_int_equal(close(fd), 0);
}

static void test_receive_without_data_is_eagain_and_takes_no_buffer(void **state)
{
    struct loopback *loopback = *state;
    struct ring_counts counts;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    for (uint32_t i = 0; i < 2 * loopback_options.buffer_count; i++) {
        ring_receive(loopback->ring, number, GENERATION);
        struct ring_event event = loopback_await(loopback, RING_RECEIVE, number);
        assert_int_equal(event.result, -EAGAIN);
        assert_int_equal(event.buffer, NONE);
    }
    ring_read_counts(loopback->ring, &counts);
    assert_int_equal(counts.buffers_free, loopback_options.buffer_count);
    assert_int_equal(close(fd), 0);
}

static void test_receive_says_that_more_waits(void **state)
{
    struct loopback *loopback = *state;
    char text[100];
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    memset(text, 'x', sizeof(text));
    assert_int_equal(send(fd, text, sizeof(text), 0), sizeof(text));
    ring_receive(loopback->ring, number, GENERATION);
    struct ring_event event = loopback_await(loopback, RING_RECEIVE, number);
    assert_int_equal(event.result, loopback_options.buffer_size);
    assert_true(event.nonempty);
    ring_buffer_give(loopback->ring, event.buffer);
    ring_receive(loopback->ring, number, GENERATION);
    event = loopback_await(loopback, RING_RECEIVE, number);
    assert_int_equal(event.result, sizeof(text) - loopback_options.buffer_size);
    assert_false(event.nonempty);
    ring_buffer_give(loopback->ring, event.buffer);
    assert_int_equal(close(fd), 0);
}

static void test_no_buffer_is_enobufs_and_a_buffer_given_back_helps(void **state)
{
    struct loopback *loopback = *state;
    struct ring_counts counts;
    uint32_t buffers[8];
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    for (uint32_t i = 0; i < loopback_options.buffer_count; i++) {
        char text[2] = {(char)('a' + i), '\0'};
        loopback_put(fd, text);
        ring_receive(loopback->ring, number, GENERATION);
        struct ring_event event = loopback_await(loopback, RING_RECEIVE, number);
        assert_int_equal(event.result, 1);
        buffers[i] = event.buffer;
    }
    loopback_put(fd, "z");
    ring_receive(loopback->ring, number, GENERATION);
    struct ring_event event = loopback_await(loopback, RING_RECEIVE, number);
    assert_int_equal(event.result, -ENOBUFS);
    assert_int_equal(event.buffer, NONE);
    ring_read_counts(loopback->ring, &counts);
    assert_int_equal(counts.buffers_free, 0);

    /* What the caller holds is untouched until it is given back. */
    for (uint32_t i = 0; i < loopback_options.buffer_count; i++) {
        assert_int_equal(*ring_buffer_at(loopback->ring, buffers[i]), 'a' + i);
    }
    ring_buffer_give(loopback->ring, buffers[2]);
    ring_receive(loopback->ring, number, GENERATION);
    event = loopback_await(loopback, RING_RECEIVE, number);
    assert_int_equal(event.result, 1);
    assert_int_equal(event.buffer, buffers[2]);
    assert_int_equal(*ring_buffer_at(loopback->ring, event.buffer), 'z');
    for (uint32_t i = 0; i < loopback_options.buffer_count; i++) {
        ring_buffer_give(loopback->ring, buffers[i]);
    }
    ring_read_counts(loopback->ring, &counts);
    assert_int_equal(counts.buffers_free, loopback_options.buffer_count);
    assert_int_equal(close(fd), 0);
}

static void test_a_fin_is_one_poll_and_a_receive_of_zero(void **state)
{
    struct loopback *loopback = *state;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    ring_poll(loopback->ring, number, GENERATION);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    struct ring_event event = loopback_await(loopback, RING_POLL, number);
    assert_int_equal(event.result, POLLIN | POLLRDHUP);
    assert_false(event.more);
    ring_receive(loopback->ring, number, GENERATION);
    event = loopback_await(loopback, RING_RECEIVE, number);
    assert_int_equal(event.result, 0);
    assert_int_equal(event.buffer, NONE);
    assert_int_equal(close(fd), 0);
}

static void test_data_and_fin_before_the_event_lose_nothing(void **state)
{
    struct loopback *loopback = *state;
    struct ring_counts counts;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    ring_poll(loopback->ring, number, GENERATION);
    assert_false(loopback_has(loopback, RING_POLL, number));
    loopback_put(fd, "bye");
    assert_int_equal(close(fd), 0);
    /* A single-shot poll says what woke it first: the data. The end shows when it is armed again.
     */
    assert_int_equal(loopback_await(loopback, RING_POLL, number).result, POLLIN);
    ring_receive(loopback->ring, number, GENERATION);
    struct ring_event event = loopback_await(loopback, RING_RECEIVE, number);
    assert_int_equal(event.result, 3);
    ring_buffer_give(loopback->ring, event.buffer);
    ring_poll(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_POLL, number).result, POLLIN | POLLRDHUP);
    ring_receive(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_RECEIVE, number).result, 0);
    ring_read_counts(loopback->ring, &counts);
    assert_int_equal(counts.buffers_free, loopback_options.buffer_count);
}

static void test_a_poll_armed_after_data_and_fin_tells_both(void **state)
{
    struct loopback *loopback = *state;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    loopback_put(fd, "bye");
    assert_int_equal(close(fd), 0);
    ring_poll(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_POLL, number).result, POLLIN | POLLRDHUP);
}

static void test_a_reset_is_a_poll_with_error_and_econnreset(void **state)
{
    struct loopback *loopback = *state;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    ring_poll(loopback->ring, number, GENERATION);
    loopback_reset(fd);
    assert_int_equal(loopback_await(loopback, RING_POLL, number).result,
                     POLLIN | POLLRDHUP | POLLERR | POLLHUP);
    ring_receive(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_RECEIVE, number).result, -ECONNRESET);
}

static void test_a_poll_looks_at_what_is_there_already(void **state)
{
    struct loopback *loopback = *state;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    loopback_put(fd, "x");
    for (int i = 0; i < 2; i++) { /* unread data fires a single-shot poll each time it is armed */
        ring_poll(loopback->ring, number, GENERATION);
        assert_int_equal(loopback_await(loopback, RING_POLL, number).result, POLLIN);
    }
    assert_int_equal(close(fd), 0);
}

/* --- send ---------------------------------------------------------------------------------------
 */

static void test_a_megabyte_goes_whole_though_the_socket_is_smaller(void **state)
{
    struct loopback *loopback = *state;
    uint8_t *data = malloc(BIG_SIZE);
    uint8_t *got = malloc(BIG_SIZE);
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    assert_non_null(data);
    assert_non_null(got);
    for (uint32_t i = 0; i < BIG_SIZE; i++) {
        data[i] = (uint8_t)(i * 2654435761u >> 24);
    }
    ring_send(loopback->ring, number, GENERATION, data, BIG_SIZE);
    assert_false(loopback_has(loopback, RING_SEND, number)); /* full: in flight, not short */
    size_t size = 0;
    while (size < BIG_SIZE) {
        ssize_t part = recv(fd, got + size, BIG_SIZE - size, MSG_DONTWAIT);
        assert_int_not_equal(part, 0);
        if (part > 0) {
            size += (size_t)part;
        }
        loopback_turn(loopback); /* lets the ring's deferred work run */
    }
    struct ring_event event = loopback_await(loopback, RING_SEND, number);
    assert_int_equal(event.result, BIG_SIZE);
    assert_int_equal(event.generation, GENERATION);
    assert_memory_equal(data, got, BIG_SIZE);
    free(data);
    free(got);
    assert_int_equal(close(fd), 0);
}

/* What the peer does not read stays with the kernel, and it says how much that is. */
static void test_the_kernel_says_what_it_holds(void **state)
{
    struct loopback *loopback = *state;
    uint8_t *data = calloc(1, BIG_SIZE);
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    assert_non_null(data);
    ring_unsent(loopback->ring, number, GENERATION);
    assert_int_equal(loopback_await(loopback, RING_UNSENT, number).result, 0);
    ring_send(loopback->ring, number, GENERATION, data, BIG_SIZE);
    assert_false(loopback_has(loopback, RING_SEND, number));
    ring_unsent(loopback->ring, number, GENERATION); /* beside the send */
    struct ring_event event = loopback_await(loopback, RING_UNSENT, number);
    assert_true(event.result > 0);
    assert_true(event.result < (int)BIG_SIZE);
    assert_int_equal(event.generation, GENERATION);
    ring_cancel_send(loopback->ring, number, GENERATION);
    assert_true(loopback_await(loopback, RING_SEND, number).result > 0);
    free(data);
    assert_int_equal(close(fd), 0);
}

static void test_a_cancelled_send_says_what_was_taken(void **state)
{
    struct loopback *loopback = *state;
    uint8_t *data = calloc(1, BIG_SIZE);
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    assert_non_null(data);
    ring_send(loopback->ring, number, GENERATION, data, BIG_SIZE);
    assert_false(loopback_has(loopback, RING_SEND, number));
    ring_cancel_send(loopback->ring, number, GENERATION);
    struct ring_event event = loopback_await(loopback, RING_SEND, number);
    assert_true(event.result > 0); /* a full socket had taken some */
    assert_true(event.result < (int)BIG_SIZE);
    ring_close_socket(loopback->ring, number, GENERATION); /* nothing is in flight any more */
    assert_int_equal(loopback_await(loopback, RING_CLOSE, number).result, 0);
    free(data);
    assert_int_equal(close(fd), 0);
}

static void test_sends_after_a_reset_fail_and_raise_no_signal(void **state)
{
    struct loopback *loopback = *state;
    uint32_t number = 0;
    int fd = loopback_accepted(loopback, &number);

    loopback_reset(fd);
    ring_send(loopback->ring, number, GENERATION, (const uint8_t *)"a", 1);
    assert_int_equal(loopback_await(loopback, RING_SEND, number).result, -ECONNRESET);
    ring_send(loopback->ring, number, GENERATION, (const uint8_t *)"b", 1);
    assert_int_equal(loopback_await(loopback, RING_SEND, number).result, -EPIPE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, loopback_setup, loopback_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_poll_tells_of_data_and_receive_takes_it),
        TEST(test_receive_without_data_is_eagain_and_takes_no_buffer),
        TEST(test_receive_says_that_more_waits),
        TEST(test_no_buffer_is_enobufs_and_a_buffer_given_back_helps),
        TEST(test_a_fin_is_one_poll_and_a_receive_of_zero),
        TEST(test_data_and_fin_before_the_event_lose_nothing),
        TEST(test_a_poll_armed_after_data_and_fin_tells_both),
        TEST(test_a_reset_is_a_poll_with_error_and_econnreset),
        TEST(test_a_poll_looks_at_what_is_there_already),
        TEST(test_a_megabyte_goes_whole_though_the_socket_is_smaller),
        TEST(test_the_kernel_says_what_it_holds),
        TEST(test_a_cancelled_send_says_what_was_taken),
        TEST(test_sends_after_a_reset_fail_and_raise_no_signal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
