#include "scripted_redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 32
#define TURNS_MAX     100000 /* each is a millisecond to the broker, and takes no time */

struct command {
    struct slice arguments[ARGUMENTS_MAX];
    size_t count;
};

static void send_all(int fd, const char *bytes, size_t size)
{
    assert_true(fd >= 0);
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
}

/* --- commands ------------------------------------------------------------------------------------
 */

static bool read_number(struct slice *bytes, char kind, size_t *number)
{
    char *end;

    if (bytes->size < 4 || !memchr(bytes->data, '\n', bytes->size)) {
        return false;
    }
    assert_int_equal(bytes->data[0], kind);
    *number = strtoul((const char *)bytes->data + 1, &end, 10);
    *bytes = slice_from(end + 2, bytes->size - (size_t)(end + 2 - (const char *)bytes->data));
    return true;
}

/* The first command in bytes, and its size; 0: it is not whole. */
static size_t read_command(struct slice bytes, struct command *command)
{
    const uint8_t *start = bytes.data;
    size_t size;

    if (!read_number(&bytes, '*', &command->count)) {
        return 0;
    }
    assert_in_range(command->count, 1, ARGUMENTS_MAX);
    for (size_t i = 0; i < command->count; i++) {
        if (!read_number(&bytes, '$', &size) || bytes.size < size + 2) {
            return 0;
        }
        command->arguments[i] = slice_from(bytes.data, size);
        bytes = slice_from(bytes.data + size + 2, bytes.size - size - 2);
    }
    return (size_t)(bytes.data - start);
}

static bool is(struct slice argument, const char *text)
{
    return slice_equal(argument, slice_text(text));
}

static bool is_canary(const struct command *command)
{
    return command->count > 1 &&
           memmem(command->arguments[1].data, command->arguments[1].size, "__canary:", 9);
}

static void note(char *lines, size_t lines_size, const char *line)
{
    const size_t size = strlen(lines);

    assert_true(size + strlen(line) + 1 < lines_size);
    (void)snprintf(lines + size, lines_size - size, "%s\n", line);
}

static void note_command(struct scripted_redis *redis, const struct command *command)
{
    const bool is_script =
        is(command->arguments[0], "EVALSHA") || is(command->arguments[0], "EVAL");
    char line[4096];
    size_t size = 0;

    for (size_t i = 0; i < command->count; i++) {
        if (!is_script || i != 1) {
            const struct slice argument = command->arguments[i];
            size += (size_t)snprintf(line + size, sizeof(line) - size, "%s%.*s", i > 0 ? " " : "",
                                     (int)argument.size, (const char *)argument.data);
            assert_true(size < sizeof(line));
        }
    }
    note(redis->asked, sizeof(redis->asked), line);
}

/* What every connection asks first; a stranger that loads scripts is the one for commands. */
static const char *greeting_of(const struct command *command)
{
    if (is(command->arguments[0], "CLIENT")) {
        return "+OK\r\n";
    }
    if (is(command->arguments[0], "SCRIPT")) {
        return "$1\r\nx\r\n";
    }
    return is(command->arguments[0], "PING") ? "+PONG\r\n" : NULL;
}

static void confirm(struct scripted_peer *peer, struct slice name)
{
    char bytes[256];

    const int size =
        snprintf(bytes, sizeof(bytes), "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%.*s\r\n:1\r\n", name.size,
                 (int)name.size, (const char *)name.data);
    send_all(peer->fd, bytes, (size_t)size);
}

static void take_command(struct scripted_redis *redis, struct scripted_peer *peer,
                         const struct command *command)
{
    const char *greeting = greeting_of(command);

    if (greeting) {
        send_all(peer->fd, greeting, strlen(greeting));
    } else if (is_canary(command) && is(command->arguments[0], "SUBSCRIBE")) {
        confirm(peer, command->arguments[1]);
        if (command->count > 2) { /* the others of the command are the test's to confirm */
            struct command rest = {.arguments = {command->arguments[0]}};
            rest.count = command->count - 1;
            memcpy(rest.arguments + 1, command->arguments + 2,
                   (rest.count - 1) * sizeof(struct slice));
            note_command(redis, &rest);
        }
    } else if (is_canary(command)) {
        send_all(peer->fd, ":1\r\n", 4);
    } else {
        note_command(redis, command);
    }
}

/* --- connections
 * ---------------------------------------------------------------------------------- */

static void receive(struct scripted_peer *peer)
{
    while (peer->fd >= 0) {
        const ssize_t count = recv(peer->fd, peer->bytes + peer->size,
                                   sizeof(peer->bytes) - peer->size, MSG_DONTWAIT);
        if (count == 0) {
            (void)close(peer->fd);
            peer->fd = -1;
        }
        if (count <= 0) {
            return;
        }
        peer->size += (size_t)count;
        assert_true(peer->size < sizeof(peer->bytes));
    }
}

static void take_commands(struct scripted_redis *redis, struct scripted_peer *peer)
{
    struct command command;
    size_t size;

    receive(peer);
    while ((size = read_command(slice_from(peer->bytes, peer->size), &command)) > 0) {
        take_command(redis, peer, &command);
        peer->size -= size;
        memmove(peer->bytes, peer->bytes + size, peer->size);
    }
}

/* Its greeting tells which of the two it is. */
static void take_stranger(struct scripted_redis *redis)
{
    struct scripted_peer *stranger = &redis->stranger;

    if (stranger->fd < 0) {
        stranger->fd = accept4(redis->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    receive(stranger);
    if (stranger->fd >= 0 && memmem(stranger->bytes, stranger->size, "PING", 4)) {
        const enum scripted_connection which = memmem(stranger->bytes, stranger->size, "SCRIPT", 6)
                                                   ? SCRIPTED_COMMANDS
                                                   : SCRIPTED_SUBSCRIBER;
        assert_int_equal(redis->peers[which].fd, -1);
        memcpy(&redis->peers[which], stranger, sizeof(*stranger));
        stranger->fd = -1;
        stranger->size = 0;
    }
}

/* --- the broker
 * ----------------------------------------------------------------------------------- */

static void note_event(struct scripted_redis *redis, const struct broker_event *event)
{
    char line[4096];

    if (event->kind == BROKER_PUBLICATION) {
        (void)snprintf(line, sizeof(line), "%.*s", (int)event->publication.payload.size,
                       (const char *)event->publication.payload.data);
    } else {
        (void)snprintf(line, sizeof(line), "%u %s", (unsigned)event->ticket,
                       broker_outcome_name(event->outcome));
    }
    note(redis->events, sizeof(redis->events), line);
}

void scripted_turn(struct scripted_redis *redis)
{
    const struct broker_kind *kind = redis->broker->kind;
    struct pollfd fds[BROKER_FDS_MAX];
    struct broker_event event;
    uint64_t wake_ms;

    redis->now_ms++;
    const uint32_t count = kind->poll(redis->broker, fds, redis->now_ms, &wake_ms);
    assert_true(poll(fds, count, 0) >= 0);
    kind->turn(redis->broker, fds, count, redis->now_ms);
    while (kind->next(redis->broker, &event)) {
        note_event(redis, &event);
    }
    (void)kind->poll(redis->broker, fds, redis->now_ms, &wake_ms); /* what is asked leaves here */
    take_stranger(redis);
    for (size_t i = 0; i < SCRIPTED_CONNECTIONS; i++) {
        take_commands(redis, &redis->peers[i]);
    }
}

static bool has_both(const struct scripted_redis *redis)
{
    return redis->peers[SCRIPTED_COMMANDS].fd >= 0 && redis->peers[SCRIPTED_SUBSCRIBER].fd >= 0;
}

/* Until both connections are up and have nothing to say. */
static void wait_for_both(struct scripted_redis *redis)
{
    for (int i = 0; i < TURNS_MAX && !has_both(redis); i++) {
        scripted_turn(redis);
    }
    assert_true(has_both(redis));
    for (int i = 0; i < 4; i++) {
        scripted_turn(redis);
    }
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

struct scripted_redis *scripted_open(struct redis_options options)
{
    struct scripted_redis *redis = calloc(1, sizeof(*redis));
    char message[200];

    assert_non_null(redis);
    memcpy(redis->folder, "/tmp/limpet-test-XXXXXX", sizeof("/tmp/limpet-test-XXXXXX"));
    assert_non_null(mkdtemp(redis->folder));
    (void)snprintf(redis->path, sizeof(redis->path), "%s/sock", redis->folder);
    redis->listener = listen_at(redis->path);
    redis->now_ms = 1000;
    redis->stranger.fd = -1;
    for (size_t i = 0; i < SCRIPTED_CONNECTIONS; i++) {
        redis->peers[i].fd = -1;
    }
    options.nodes[0] = redis->path;
    options.node_count = 1;
    options.prefix = "p:";
    options.forward_name = "inbound";
    options.requests_max = options.requests_max > 0 ? options.requests_max : 100;
    options.members_max = 8;
    options.timeout_ms = 60000;
    options.canary_interval_ms = 600000;
    options.presence_expiry_s = 60;
    options.subscribes_per_s = 1000000;
    redis->broker = redis_open(&options, redis->now_ms, message, sizeof(message));
    assert_non_null(redis->broker);
    wait_for_both(redis);
    return redis;
}

void scripted_close(struct scripted_redis *redis)
{
    redis->broker->kind->close(redis->broker);
    for (size_t i = 0; i < SCRIPTED_CONNECTIONS; i++) {
        (void)close(redis->peers[i].fd);
    }
    (void)close(redis->listener);
    (void)unlink(redis->path);
    (void)rmdir(redis->folder);
    free(redis);
}

void scripted_say(struct scripted_redis *redis, enum scripted_connection to, const char *bytes)
{
    send_all(redis->peers[to].fd, bytes, strlen(bytes));
}

#define WIRE_SIZE 1024

static void put_on_wire(char *wire, unsigned offset, const char *epoch, const char *payload)
{
    if (offset > 0) {
        (void)snprintf(wire, WIRE_SIZE, "__p1:%u:%s__%s", offset, epoch, payload);
    } else {
        (void)snprintf(wire, WIRE_SIZE, "%s", payload);
    }
}

void scripted_pattern_message(struct scripted_redis *redis, const char *pattern,
                              const char *channel, unsigned offset, const char *epoch,
                              const char *payload)
{
    char wire[WIRE_SIZE];
    char bytes[2 * WIRE_SIZE];

    put_on_wire(wire, offset, epoch, payload);
    (void)snprintf(bytes, sizeof(bytes),
                   "*4\r\n$8\r\npmessage\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
                   strlen(pattern), pattern, strlen(channel), channel, strlen(wire), wire);
    scripted_say(redis, SCRIPTED_SUBSCRIBER, bytes);
}

void scripted_message(struct scripted_redis *redis, const char *channel, unsigned offset,
                      const char *epoch, const char *payload)
{
    char wire[WIRE_SIZE];
    char bytes[2 * WIRE_SIZE];

    put_on_wire(wire, offset, epoch, payload);
    (void)snprintf(bytes, sizeof(bytes), "*3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
                   strlen(channel), channel, strlen(wire), wire);
    scripted_say(redis, SCRIPTED_SUBSCRIBER, bytes);
}

/* The lines are the caller's until the next call. */
static const char *taken(char *lines)
{
    static char copy[1 << 16];

    (void)snprintf(copy, sizeof(copy), "%s", lines);
    lines[0] = '\0';
    return copy;
}

const char *scripted_asked(struct scripted_redis *redis)
{
    return taken(redis->asked);
}

const char *scripted_events(struct scripted_redis *redis)
{
    return taken(redis->events);
}

void scripted_cut(struct scripted_redis *redis, enum scripted_connection which)
{
    (void)close(redis->peers[which].fd);
    redis->peers[which].fd = -1;
    redis->peers[which].size = 0;
    wait_for_both(redis);
}

uint64_t scripted_gaps(struct scripted_redis *redis)
{
    struct broker_health health;

    redis->broker->kind->health(redis->broker, &health, redis->now_ms);
    return health.gaps;
}
