/*
 * Goal: the simulated kernel answers as the real one does (tests/unit/io), and stops what the real
 * one punishes.
 */
#include "tests/sim/ring_sim.h"

#include "base/random.h"
#include "io/address.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LISTENER   3u
#define GENERATION 0x1234u
#define NS_PER_MS  1000000ull

static const struct ring_options options = {
    .sockets_max = 8,
    .buffer_count = 4,
    .buffer_size = 64,
};

struct world {
    struct ring *ring;
    int listener_fd;
    struct sockaddr_in6 peer;
};

static struct ring *open_ring(void)
{
    char message[256] = "";
    int error = 0;
    struct ring *ring = ring_open(&options, &error, message, sizeof(message));

    assert_non_null(ring);
    assert_int_equal(error, 0);
    return ring;
}

static int open_world(void **state)
{
    static struct world world;

    ring_sim_seed(1);
    world.ring = open_ring();
    world.listener_fd = ring_sim_listen(16);
    assert_int_equal(address_parse(slice_text("10.0.0.1:4000"), &world.peer), 0);
    ring_accept(world.ring, world.listener_fd, LISTENER);
    *state = &world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;

    ring_sim_check();
    ring_close(world->ring);
    return 0;
}

/* The one event of a wait. */
static struct ring_event next_event(struct ring *ring)
{
    struct ring_event events[2];
    uint64_t now_ns = 0;

    assert_int_equal(ring_wait(ring, 0, events, 2, &now_ns), 1);
    return events[0];
}

static void no_event(struct ring *ring)
{
    struct ring_event event;
    uint64_t now_ns = 0;

    assert_int_equal(ring_wait(ring, 0, &event, 1, &now_ns), 0);
}

static uint32_t accepted(const struct world *world, uint32_t *number)
{
    uint32_t client = ring_sim_connect(world->listener_fd, &world->peer);
    struct ring_event event = next_event(world->ring);

    assert_int_not_equal(client, NONE);
    assert_int_equal(event.operation, RING_ACCEPT);
    assert_int_equal(event.number, LISTENER);
    assert_in_range(event.result, 0, options.sockets_max - 1);
    assert_true(event.more);
    *number = (uint32_t)event.result;
    return client;
}

static int32_t poll_now(const struct world *world, uint32_t number)
{
    ring_poll(world->ring, number, GENERATION);
    struct ring_event event = next_event(world->ring);
    assert_int_equal(event.operation, RING_POLL);
    assert_int_equal(event.generation, GENERATION);
    return event.result;
}

static struct ring_event receive_now(const struct world *world, uint32_t number)
{
    ring_receive(world->ring, number, GENERATION);
    struct ring_event event = next_event(world->ring);
    assert_int_equal(event.operation, RING_RECEIVE);
    return event;
}

/* --- as the real ring ---------------------------------------------------------------------------
 */

static void test_data_end_and_nothing(void **state)
{
    const struct world *world = *state;
    uint32_t number = 0;
    uint32_t client = accepted(world, &number);

    assert_int_equal(receive_now(world, number).result, -EAGAIN);
    ring_poll(world->ring, number, GENERATION);
    no_event(world->ring);
    assert_int_equal(ring_sim_client_send(client, "hello", 5), 5);
    assert_int_equal(next_event(world->ring).result, POLLIN);
    struct ring_event event = receive_now(world, number);
    assert_int_equal(event.result, 5);
    assert_memory_equal(ring_buffer_at(world->ring, event.buffer), "hello", 5);
    ring_buffer_give(world->ring, event.buffer);
    ring_sim_client_finish(client);
    assert_int_equal(poll_now(world, number), POLLIN | POLLRDHUP);
    event = receive_now(world, number);
    assert_int_equal(event.result, 0);
    assert_int_equal(event.buffer, NONE);
    ring_close_socket(world->ring, number, GENERATION);
    assert_int_equal(next_event(world->ring).operation, RING_CLOSE);
    assert_int_equal(ring_sim_client_end(client), SIM_FIN);
    ring_sim_client_close(client);
}

static void test_a_reset_comes_after_the_bytes_before_it(void **state)
{
    const struct world *world = *state;
    uint32_t number = 0;
    uint32_t client = accepted(world, &number);

    assert_int_equal(ring_sim_client_send(client, "abc", 3), 3);
    ring_sim_client_reset(client);
    struct ring_event event = receive_now(world, number);
    assert_int_equal(event.result, 3);
    ring_buffer_give(world->ring, event.buffer);
    assert_int_equal(poll_now(world, number), POLLIN | POLLRDHUP | POLLERR | POLLHUP);
    assert_int_equal(receive_now(world, number).result, -ECONNRESET);
    assert_int_equal(receive_now(world, number).result, 0);
    ring_send(world->ring, number, GENERATION, (const uint8_t *)"x", 1);
    assert_int_equal(next_event(world->ring).result, -EPIPE);
}

static void test_buffers_run_out_and_come_back(void **state)
{
    const struct world *world = *state;
    struct ring_counts counts;
    uint32_t buffers[4];
    uint32_t number = 0;
    uint32_t client = accepted(world, &number);

    for (uint32_t i = 0; i < options.buffer_count; i++) {
        assert_int_equal(ring_sim_client_send(client, "x", 1), 1);
        buffers[i] = receive_now(world, number).buffer;
    }
    assert_int_equal(receive_now(world, number).result, -ENOBUFS);
    ring_read_counts(world->ring, &counts);
    assert_int_equal(counts.buffers_free, 0);
    ring_buffer_give(world->ring, buffers[2]);
    assert_int_equal(receive_now(world, number).result, -EAGAIN);
}

static void test_a_large_send_waits_for_the_reader(void **state)
{
    const struct world *world = *state;
    static uint8_t data[100000];
    static uint8_t got[100000];
    uint32_t number = 0;
    uint32_t client = accepted(world, &number);
    uint32_t size = 0;

    for (uint32_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i % 251);
    }
    ring_send(world->ring, number, GENERATION, data, sizeof(data));
    no_event(world->ring);
    while (size < sizeof(data)) {
        size += ring_sim_client_receive(client, got + size, (uint32_t)sizeof(data) - size);
        struct ring_event event;
        uint64_t now_ns = 0;
        if (ring_wait(world->ring, 0, &event, 1, &now_ns) == 1) {
            assert_int_equal(event.operation, RING_SEND);
            assert_int_equal(event.result, sizeof(data));
        }
    }
    assert_memory_equal(data, got, sizeof(data));
    assert_int_equal(ring_sim_in_flight(world->ring), 0);
}

static void test_cancels(void **state)
{
    const struct world *world = *state;
    static const uint8_t data[100000];
    uint32_t number = 0;
    uint32_t client = accepted(world, &number);

    ring_poll(world->ring, number, GENERATION);
    ring_cancel_poll(world->ring, number, GENERATION + 1);
    struct ring_event event = next_event(world->ring);
    assert_int_equal(event.operation, RING_CANCEL);
    assert_int_equal(event.result, -ENOENT);
    ring_cancel_poll(world->ring, number, GENERATION);
    event = next_event(world->ring);
    assert_int_equal(event.operation, RING_POLL);
    assert_int_equal(event.result, -ECANCELED);

    ring_send(world->ring, number, GENERATION, data, sizeof(data));
    no_event(world->ring);
    ring_cancel_send(world->ring, number, GENERATION);
    event = next_event(world->ring);
    assert_int_equal(event.operation, RING_SEND);
    assert_in_range(event.result, 1, sizeof(data) - 1); /* what was taken */

    ring_cancel_accept(world->ring, LISTENER);
    event = next_event(world->ring);
    assert_int_equal(event.operation, RING_ACCEPT);
    assert_int_equal(event.result, -ECANCELED);
    assert_false(event.more);
    ring_cancel_accept(world->ring, LISTENER);
    assert_int_equal(next_event(world->ring).result, -ENOENT);
    assert_int_equal(ring_sim_client_end(client), SIM_OPEN);
}

static void test_a_full_table_ends_the_accept(void **state)
{
    const struct world *world = *state;
    uint32_t number = 0;
    struct ring_event event;

    for (uint32_t i = 0; i < options.sockets_max; i++) {
        (void)accepted(world, &number);
    }
    uint32_t surplus = ring_sim_connect(world->listener_fd, &world->peer);
    event = next_event(world->ring);
    assert_int_equal(event.result, -ENFILE);
    assert_false(event.more);
    assert_int_equal(ring_sim_client_end(surplus), SIM_FIN);
    ring_close_socket(world->ring, number, GENERATION);
    assert_int_equal(next_event(world->ring).operation, RING_CLOSE);
    assert_int_equal(ring_sim_sockets(world->ring), options.sockets_max - 1);
    ring_accept(world->ring, world->listener_fd, LISTENER);
    (void)accepted(world, &number);
}

static void test_a_close_with_unread_bytes_resets(void **state)
{
    const struct world *world = *state;
    uint32_t number = 0;
    uint32_t client = accepted(world, &number);

    assert_int_equal(ring_sim_client_send(client, "x", 1), 1);
    ring_close_socket(world->ring, number, GENERATION);
    assert_int_equal(next_event(world->ring).result, 0);
    assert_int_equal(ring_sim_client_end(client), SIM_WAS_RESET);
}

static void test_names(void **state)
{
    const struct world *world = *state;
    struct sockaddr_in6 address = {0};
    char text[ADDRESS_TEXT_SIZE];
    uint32_t number = 0;

    (void)accepted(world, &number);
    ring_peer_name(world->ring, number, GENERATION, false, &address);
    assert_int_equal(next_event(world->ring).result, 16);
    address_format(&address, text);
    assert_string_equal(text, "10.0.0.1:4000");
    ring_peer_name(world->ring, number, GENERATION, true, &address);
    assert_int_equal(next_event(world->ring).result, -EINVAL);
}

static void test_wakes_and_time(void **state)
{
    const struct world *world = *state;
    struct ring *other = open_ring();
    struct ring_event event;
    uint64_t start_ns = ring_sim_now_ns();
    uint64_t now_ns = 0;

    ring_wake(other, ring_fd(world->ring));
    no_event(other);
    assert_int_equal(next_event(world->ring).operation, RING_WAKE);
    ring_close(other);

    ring_sim_set_sleep(50 * NS_PER_MS);
    assert_int_equal(ring_wait(world->ring, 20 * NS_PER_MS, &event, 1, &now_ns), 0);
    assert_in_range(now_ns - start_ns, 20 * NS_PER_MS, 21 * NS_PER_MS);
    assert_int_equal(ring_wait(world->ring, UINT64_MAX, &event, 1, &now_ns), 0);
    assert_in_range(now_ns - start_ns, 70 * NS_PER_MS, 71 * NS_PER_MS);
    uint64_t unix_ms = ring_unix_ms(world->ring);
    ring_sim_advance(1000 * NS_PER_MS);
    assert_int_equal(ring_unix_ms(world->ring), unix_ms + 1000);
    assert_int_equal(ring_clock_ns(world->ring), ring_sim_now_ns());
}

static void test_random_bytes_repeat(void **state)
{
    uint8_t a[37];
    uint8_t b[37];

    (void)state;
    random_source_seed(5);
    random_source(a, sizeof(a));
    random_source_seed(5);
    random_source(b, sizeof(b));
    assert_memory_equal(a, b, sizeof(a));
    random_source(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

/* --- mistakes -----------------------------------------------------------------------------------
 */

static void send_twice(const struct world *world, uint32_t number)
{
    ring_send(world->ring, number, GENERATION, (const uint8_t *)"a", 1);
    ring_send(world->ring, number, GENERATION, (const uint8_t *)"b", 1);
}

static void poll_twice(const struct world *world, uint32_t number)
{
    ring_poll(world->ring, number, GENERATION);
    ring_poll(world->ring, number, GENERATION);
}

static void close_with_an_armed_poll(const struct world *world, uint32_t number)
{
    ring_poll(world->ring, number, GENERATION);
    no_event(world->ring);
    ring_close_socket(world->ring, number, GENERATION);
}

static void use_of_a_free_number(const struct world *world, uint32_t number)
{
    ring_poll(world->ring, (number + 1) % options.sockets_max, GENERATION);
}

static void use_after_close(const struct world *world, uint32_t number)
{
    ring_close_socket(world->ring, number, GENERATION);
    (void)next_event(world->ring);
    ring_receive(world->ring, number, GENERATION);
}

static void change_of_data_in_flight(const struct world *world, uint32_t number)
{
    static uint8_t data[100000];

    ring_send(world->ring, number, GENERATION, data, sizeof(data));
    no_event(world->ring);
    data[sizeof(data) - 1] = 1;
    no_event(world->ring);
}

static void give_of_a_buffer_twice(const struct world *world, uint32_t number)
{
    (void)number;
    ring_buffer_give(world->ring, 0);
}

static void arm_an_accept_twice(const struct world *world, uint32_t number)
{
    (void)number;
    ring_accept(world->ring, world->listener_fd, LISTENER);
    no_event(world->ring);
}

static void test_each_mistake_stops_the_process(void **state)
{
    static void (*const mistakes[])(const struct world *, uint32_t) = {
        send_twice,
        poll_twice,
        close_with_an_armed_poll,
        use_of_a_free_number,
        use_after_close,
        change_of_data_in_flight,
        give_of_a_buffer_twice,
        arm_an_accept_twice,
    };
    const struct rlimit no_core = {0, 0};
    const struct world *world = *state;
    uint32_t number = 0;

    (void)accepted(world, &number);
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
            (void)dup2(null, STDERR_FILENO);
            (void)setrlimit(RLIMIT_CORE, &no_core);
            (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
            mistakes[i](world, number);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
            fail_msg("mistake %zu was not noticed", i);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_data_end_and_nothing),
        TEST(test_a_reset_comes_after_the_bytes_before_it),
        TEST(test_buffers_run_out_and_come_back),
        TEST(test_a_large_send_waits_for_the_reader),
        TEST(test_cancels),
        TEST(test_a_full_table_ends_the_accept),
        TEST(test_a_close_with_unread_bytes_resets),
        TEST(test_names),
        TEST(test_wakes_and_time),
        cmocka_unit_test(test_random_bytes_repeat),
        TEST(test_each_mistake_stops_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
