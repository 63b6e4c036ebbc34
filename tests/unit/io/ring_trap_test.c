/*
 * Goal: what the kernel punishes. The first test shows on a bare ring why closing with an armed
 * poll is forbidden; the next ones that ring.c stops such mistakes where they are made; the last
 * ones that a completion queue far too small loses nothing.
 */
#include "tests/unit/io/loopback.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <liburing.h>

/* --- the kernel ---------------------------------------------------------------------------------
 */

struct completion {
    uint64_t user_data;
    int32_t result;
};

static struct completion next_completion(struct io_uring *uring)
{
    struct io_uring_cqe *cqe = NULL;

    assert_true(io_uring_submit_and_wait(uring, 1) >= 0);
    assert_int_equal(io_uring_peek_cqe(uring, &cqe), 0);
    const struct completion completion = {.user_data = cqe->user_data, .result = cqe->res};
    io_uring_cqe_seen(uring, cqe);
    return completion;
}

/* user_data is "generation, operation" by hand: the ring of ring.h would not let us do this. */
enum {
    OLD_POLL = 0x101,
    OLD_CLOSE = 0x102,
    NEW_ACCEPT = 0x203,
    CANCEL = 0x304
};

static void test_closing_with_an_armed_poll_sends_no_fin_and_its_event_comes_late(void **state)
{
    struct loopback *loopback = *state;
    struct io_uring uring;
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    };

    ring_cancel_accept(loopback->ring, LISTENER); /* only the listener is wanted here */
    assert_int_equal(loopback_await(loopback, RING_ACCEPT, LISTENER).result, -ECANCELED);
    assert_int_equal(io_uring_queue_init_params(8, &uring, &params), 0);
    assert_int_equal(io_uring_register_files_sparse(&uring, 1), 0);
    int fd = loopback_connect(loopback);
    struct io_uring_sqe *entry = io_uring_get_sqe(&uring);
    io_uring_prep_accept_direct(entry, loopback->listener_fd, NULL, NULL, 0, 0);
    assert_int_equal(next_completion(&uring).result, 0);

    entry = io_uring_get_sqe(&uring);
    io_uring_prep_poll_add(entry, 0, POLLIN | POLLRDHUP);
    entry->flags |= IOSQE_FIXED_FILE;
    entry->user_data = OLD_POLL;
    entry = io_uring_get_sqe(&uring);
    io_uring_prep_close_direct(entry, 0);
    entry->user_data = OLD_CLOSE;
    struct completion completion = next_completion(&uring);
    assert_int_equal(completion.user_data, OLD_CLOSE);
    assert_int_equal(completion.result, 0);
    assert_true(loopback_is_quiet(fd)); /* closed, says the kernel: but the peer sees nothing */

    int second = loopback_connect(loopback);
    entry = io_uring_get_sqe(&uring);
    io_uring_prep_accept_direct(entry, loopback->listener_fd, NULL, NULL, 0, 0);
    entry->user_data = NEW_ACCEPT;
    assert_int_equal(next_completion(&uring).result, 0); /* the slot has a new owner */
    assert_true(loopback_is_quiet(fd));

    entry = io_uring_get_sqe(&uring);
    io_uring_prep_poll_remove(entry, OLD_POLL);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = CANCEL;
    completion = next_completion(&uring);
    assert_int_equal(completion.user_data,
                     OLD_POLL); /* of the old generation, long after the new one came */
    assert_int_equal(completion.result, -ECANCELED);
    assert_int_equal(loopback_read_byte(fd), -1); /* only now the FIN */
    assert_true(loopback_is_quiet(second));
    io_uring_queue_exit(&uring);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(second), 0);
}

/* --- our own mistakes ---------------------------------------------------------------------------
 */

static void send_twice(struct loopback *loopback, uint32_t number)
{
    ring_send(loopback->ring, number, GENERATION, (const uint8_t *)"a", 1);
    ring_send(loopback->ring, number, GENERATION, (const uint8_t *)"b", 1);
}

static void poll_twice(struct loopback *loopback, uint32_t number)
{
    ring_poll(loopback->ring, number, GENERATION);
    ring_poll(loopback->ring, number, GENERATION);
}

static void receive_twice(struct loopback *loopback, uint32_t number)
{
    ring_receive(loopback->ring, number, GENERATION);
    ring_receive(loopback->ring, number, GENERATION);
}

static void close_with_an_armed_poll(struct loopback *loopback, uint32_t number)
{
    ring_poll(loopback->ring, number, GENERATION);
    ring_close_socket(loopback->ring, number, GENERATION);
}

static void close_before_the_cancelled_poll_has_come(struct loopback *loopback, uint32_t number)
{
    ring_poll(loopback->ring, number, GENERATION);
    ring_cancel_poll(loopback->ring, number, GENERATION);
    ring_close_socket(loopback->ring, number, GENERATION);
}

static void close_with_a_send_in_flight(struct loopback *loopback, uint32_t number)
{
    ring_send(loopback->ring, number, GENERATION, (const uint8_t *)"a", 1);
    ring_close_socket(loopback->ring, number, GENERATION);
}

static void close_twice(struct loopback *loopback, uint32_t number)
{
    ring_close_socket(loopback->ring, number, GENERATION);
    ring_close_socket(loopback->ring, number, GENERATION);
}

static void use_while_closing(struct loopback *loopback, uint32_t number)
{
    ring_close_socket(loopback->ring, number, GENERATION);
    ring_poll(loopback->ring, number, GENERATION);
}

static void use_after_close(struct loopback *loopback, uint32_t number)
{
    ring_close_socket(loopback->ring, number, GENERATION);
    loopback_turn(loopback);
    ring_poll(loopback->ring, number, GENERATION);
}

static void use_of_a_free_number(struct loopback *loopback, uint32_t number)
{
    ring_receive(loopback->ring, number + 1, GENERATION);
}

static void use_of_a_number_above_the_table(struct loopback *loopback, uint32_t number)
{
    (void)number;
    ring_poll(loopback->ring, loopback_options.sockets_max, GENERATION);
}

static void give_a_buffer_that_was_not_taken(struct loopback *loopback, uint32_t number)
{
    (void)number;
    ring_buffer_give(loopback->ring, 0);
}

static void give_a_buffer_above_the_last(struct loopback *loopback, uint32_t number)
{
    (void)number;
    ring_buffer_give(loopback->ring, loopback_options.buffer_count);
}

/* In the child, which must die of it. */
static void make_mistake(void (*mistake)(struct loopback *, uint32_t))
{
    const struct rlimit no_core = {0, 0};
    struct loopback loopback;
    uint32_t number = 0;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)setrlimit(RLIMIT_CORE, &no_core);
    loopback_open(&loopback, &loopback_options, "127.0.0.1:0");
    if (loopback_accepted(&loopback, &number) >= 0 && null >= 0) {
        (void)dup2(null, STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        mistake(&loopback, number);
    }
}

static void test_each_mistake_stops_the_process(void **state)
{
    static void (*const mistakes[])(struct loopback *, uint32_t) = {
        send_twice,
        poll_twice,
        receive_twice,
        close_with_an_armed_poll,
        close_before_the_cancelled_poll_has_come,
        close_with_a_send_in_flight,
        close_twice,
        use_while_closing,
        use_after_close,
        use_of_a_free_number,
        use_of_a_number_above_the_table,
        give_a_buffer_that_was_not_taken,
        give_a_buffer_above_the_last,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            make_mistake(mistakes[i]);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
            fail_msg("mistake %zu was not noticed", i);
        }
    }
}

/* --- overflow -----------------------------------------------------------------------------------
 */

#define TINY  8u
#define CROWD 30u

static const struct ring_options tiny = {
    .sockets_max = 64,
    .buffer_count = 64,
    .buffer_size = 64,
    .submit_max = TINY,
    .complete_max = TINY,
};

/* Connects a crowd and accepts all of it, arming the accept again whenever it ended. */
static uint32_t accept_crowd(struct loopback *loopback, int fds[CROWD], bool taken[CROWD])
{
    uint32_t ended = 0;

    for (uint32_t i = 0; i < CROWD; i++) {
        fds[i] = loopback_connect(loopback);
        taken[i] = false;
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        struct ring_event event = loopback_await(loopback, RING_ACCEPT, LISTENER);
        assert_in_range(event.result, 0, CROWD - 1);
        assert_false(taken[event.result]);
        taken[event.result] = true;
        if (!event.more) {
            ended++;
            ring_accept(loopback->ring, loopback->listener_fd, LISTENER);
        }
    }
    return ended;
}

static void test_a_full_completion_queue_loses_nothing(void **state)
{
    struct loopback loopback;
    struct ring_counts counts;
    int fds[CROWD];
    bool taken[CROWD];

    (void)state;
    loopback_open(&loopback, &tiny, "127.0.0.1:0");
    /* All arrive before the ring looks: the accept overflows the queue, which ends it. */
    assert_true(accept_crowd(&loopback, fds, taken) > 0);
    ring_read_counts(loopback.ring, &counts);
    assert_true(counts.completion_overflows > 0);

    for (uint32_t i = 0; i < CROWD; i++) {
        ring_poll(loopback.ring, i, i);
    }
    loopback_turn(&loopback);
    for (uint32_t i = 0; i < CROWD; i++) {
        loopback_put(fds[i], "x");
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        struct ring_event event = loopback_await(&loopback, RING_POLL, i);
        assert_int_equal(event.result, POLLIN);
        assert_int_equal(event.generation, i);
    }
    for (uint32_t i = 0; i < CROWD; i++) { /* these complete while they are submitted */
        ring_receive(loopback.ring, i, i);
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        struct ring_event event = loopback_await(&loopback, RING_RECEIVE, i);
        assert_int_equal(event.result, 1);
        ring_buffer_give(loopback.ring, event.buffer);
    }
    ring_read_counts(loopback.ring, &counts);
    assert_int_equal(counts.completions_lost, 0);
    assert_int_equal(counts.buffers_free, tiny.buffer_count);
    assert_int_equal(loopback.held_count, 0);
    for (uint32_t i = 0; i < CROWD; i++) {
        assert_int_equal(close(fds[i]), 0);
    }
    loopback_close(&loopback);
}

static void test_wakes_above_the_completion_queue_all_arrive(void **state)
{
    struct loopback target;
    struct loopback *sender = *state;

    (void)state;
    loopback_open(&target, &tiny, "127.0.0.1:0");
    for (uint32_t i = 0; i < 5 * TINY; i++) {
        ring_wake(sender->ring, ring_fd(target.ring));
    }
    loopback_turn(sender);
    for (uint32_t i = 0; i < 5 * TINY; i++) {
        assert_int_equal(loopback_await(&target, RING_WAKE, 0).result, 0);
    }
    assert_false(loopback_has(&target, RING_WAKE, 0));
    loopback_close(&target);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, loopback_setup, loopback_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_closing_with_an_armed_poll_sends_no_fin_and_its_event_comes_late),
        cmocka_unit_test(test_each_mistake_stops_the_process),
        cmocka_unit_test(test_a_full_completion_queue_loses_nothing),
        TEST(test_wakes_above_the_completion_queue_all_arrive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
