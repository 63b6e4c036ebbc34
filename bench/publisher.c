#include "bench/publisher.h"

#include "base/text.h"
#include "bench/client.h"
#include "bench/stamp.h"
#include "bench/wire.h"
#include "io/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_SIZE   65536
#define INPUT_SIZE    65536
#define COMMAND_MAX   (MESSAGE_SIZE_MAX + 1024)
#define WAIT_NS_MAX   100000000u
#define HOST_SIZE     64
#define NAME_SIZE_MAX (2 * AUDIENCE_NAME_SIZE)

/* One publisher's connection. */
struct line {
    uint32_t output_size;
    uint32_t input_size;
    uint32_t first; /* of the channels whose answers are awaited, a ring */
    uint32_t waiting;
    uint32_t channels[PUBLISHER_PIPELINE_MAX];
    uint8_t output[OUTPUT_SIZE];
    uint8_t input[INPUT_SIZE];
};

struct publisher {
    struct publisher_options options;
    uint32_t pipeline_max;
    struct line *lines;
    struct pollfd *waits; /* one a line, its socket */
    uint32_t count;
    uint32_t next; /* whose turn it is */
    char host[HOST_SIZE];
    const char *key; /* NULL: none */
    pthread_t thread;
    bool is_running;
    struct counter stop;
    struct counter failed;
};

/* --- connecting ------------------------------------------------------------------------------- */

static int connect_to(const struct sockaddr_in6 *address)
{
    socklen_t size =
        address->sin6_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = socket(address->sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd >= 0 && connect(fd, (const struct sockaddr *)address, size) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
        fcntl(fd, F_SETFL, O_NONBLOCK) == 0) {
        return fd;
    }
    int error = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return -error;
}

static int find_address(const struct publisher_options *options, struct sockaddr_in6 *address)
{
    const struct bench_messages *messages = options->messages;
    const char *text = messages->via == VIA_REDIS ? messages->redis : messages->api;

    if (!text && options->spawn) {
        memcpy(address, &options->spawn->admin, sizeof(*address));
        return 0;
    }
    return text ? address_parse(slice_text(text), address) : -1;
}

static int open_lines(struct publisher *publisher, char *message, size_t message_size)
{
    struct sockaddr_in6 address;
    uint32_t count = publisher->options.messages->publishers;

    if (find_address(&publisher->options, &address) != 0) {
        (void)snprintf(message, message_size, "--redis and --api: expected HOST:PORT in numbers");
        return -1;
    }
    char text[ADDRESS_TEXT_SIZE];
    address_format(&address, text);
    (void)snprintf(publisher->host, sizeof(publisher->host), "%.60s", text);
    publisher->lines = calloc(count, sizeof(struct line));
    publisher->waits = calloc(count, sizeof(struct pollfd));
    if (!publisher->lines || !publisher->waits) {
        (void)snprintf(message, message_size, "no memory for publishers");
        return -1;
    }
    while (publisher->count < count) {
        int fd = connect_to(&address);
        if (fd < 0) {
            (void)snprintf(message, message_size, "%s: nobody to publish to (errno %d)",
                           publisher->host, -fd);
            return -1;
        }
        publisher->waits[publisher->count++].fd = fd;
    }
    return 0;
}

struct publisher *publisher_open(const struct publisher_options *options, char *message,
                                 size_t message_size)
{
    struct publisher *publisher = calloc(1, sizeof(*publisher));

    if (!publisher) {
        (void)snprintf(message, message_size, "no memory for publishers");
        return NULL;
    }
    publisher->options = *options;
    publisher->key = options->messages->api_key;
    if (!publisher->key && options->spawn && options->spawn->api_key[0] != '\0') {
        publisher->key = options->spawn->api_key;
    }
    publisher->pipeline_max = options->messages->via == VIA_REDIS ? PUBLISHER_PIPELINE_MAX : 1;
    if (open_lines(publisher, message, message_size) != 0) {
        publisher_close(publisher);
        return NULL;
    }
    return publisher;
}

/* --- publishing ------------------------------------------------------------------------------- */

static uint64_t heard(const struct publisher_options *options)
{
    uint64_t received = 0;

    for (uint32_t i = 0; i < options->heard_count; i++) {
        received += counter_read(&options->heard[i]->received);
    }
    return received;
}

static bool has_room(const struct publisher *publisher, const struct line *line)
{
    return line->waiting < publisher->pipeline_max &&
           sizeof(line->output) - line->output_size >= COMMAND_MAX;
}

static size_t write_command(const struct publisher *publisher, uint32_t channel,
                            struct slice payload, uint8_t *out)
{
    const struct bench_messages *messages = publisher->options.messages;
    char name[AUDIENCE_NAME_SIZE];
    char full_name[NAME_SIZE_MAX];

    audience_name(publisher->options.audience, messages->channel, channel, name);
    if (messages->via == VIA_REDIS) {
        (void)snprintf(full_name, sizeof(full_name), "%.120s%s", messages->redis_prefix, name);
        return redis_write_publish(slice_text(full_name), payload, out, COMMAND_MAX);
    }
    const struct api_request request = {.host = publisher->host,
                                        .key = publisher->key,
                                        .channel = slice_text(name),
                                        .payload = payload};
    return api_write_publish(&request, out, COMMAND_MAX);
}

static void publish_one(struct publisher *publisher, uint32_t number, uint64_t now)
{
    static _Thread_local uint8_t message[MESSAGE_SIZE_MAX];
    struct feed *feed = publisher->options.feed;
    struct line *line = &publisher->lines[number];
    uint32_t channel = feed_channel(feed);

    feed_next(feed, now, number, channel, message);
    size_t size = write_command(publisher, channel, slice_from(message, feed->options.size),
                                line->output + line->output_size);
    ASSERT(size > 0); /* names are shorter than the room beside a message */
    line->output_size += (uint32_t)size;
    line->channels[(line->first + line->waiting++) % PUBLISHER_PIPELINE_MAX] = channel;
}

static void publish_some(struct publisher *publisher, uint64_t now)
{
    uint32_t due = feed_due(publisher->options.feed, now, heard(&publisher->options));
    uint32_t skipped = 0;

    while (due > 0 && skipped < publisher->count) {
        uint32_t number = publisher->next++ % publisher->count;
        if (has_room(publisher, &publisher->lines[number])) {
            publish_one(publisher, number, now);
            due--;
            skipped = 0;
        } else {
            skipped++;
        }
    }
}

/* --- sockets ---------------------------------------------------------------------------------- */

/* False when the connection is lost. */
static bool send_output(struct line *line, int fd)
{
    ssize_t sent = line->output_size == 0
                       ? 0
                       : send(fd, line->output, line->output_size, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    line->output_size -= (uint32_t)sent;
    memmove(line->output, line->output + sent, line->output_size);
    return true;
}

/* False for what is not understood. */
static bool take_replies(const struct publisher *publisher, struct line *line)
{
    bool is_redis = publisher->options.messages->via == VIA_REDIS;
    size_t used = 0;

    while (used < line->input_size && line->waiting > 0) {
        struct slice rest = slice_from(line->input + used, line->input_size - used);
        size_t consumed = 0;
        enum reply reply =
            is_redis ? redis_read_reply(rest, &consumed) : api_read_reply(rest, &consumed);
        if (reply == REPLY_MORE) {
            break;
        }
        if (reply == REPLY_BAD) {
            return false;
        }
        if (reply == REPLY_REFUSED) {
            feed_refuse(publisher->options.feed, line->channels[line->first]);
        }
        line->first = (line->first + 1) % PUBLISHER_PIPELINE_MAX;
        line->waiting--;
        used += consumed;
    }
    line->input_size -= (uint32_t)used;
    memmove(line->input, line->input + used, line->input_size);
    return line->input_size < sizeof(line->input);
}

/* False when the connection is lost. */
static bool read_input(const struct publisher *publisher, struct line *line, int fd)
{
    ssize_t taken = recv(fd, line->input + line->input_size, sizeof(line->input) - line->input_size,
                         MSG_DONTWAIT);

    if (taken < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    line->input_size += (uint32_t)taken;
    return taken > 0 && take_replies(publisher, line);
}

static bool serve_lines(struct publisher *publisher)
{
    for (uint32_t i = 0; i < publisher->count; i++) {
        struct line *line = &publisher->lines[i];
        struct pollfd *wait = &publisher->waits[i];
        if ((wait->revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
            !read_input(publisher, line, wait->fd)) {
            return false;
        }
        if (!send_output(line, wait->fd)) {
            return false;
        }
        wait->events = (short)(POLLIN | (line->output_size > 0 ? POLLOUT : 0));
        wait->revents = 0;
    }
    return true;
}

static void *run(void *argument)
{
    struct publisher *publisher = argument;
    struct feed *feed = publisher->options.feed;

    feed_start(feed, client_clock());
    while (counter_read(&publisher->stop) == 0) {
        uint64_t now = client_clock();
        publish_some(publisher, now);
        if (!serve_lines(publisher)) {
            text_print(stderr, "%s: the connection to publish on was lost\n", publisher->host);
            counter_set(&publisher->failed, 1);
            break;
        }
        uint64_t wait_ns =
            counter_read(&feed->is_done) == 1 ? WAIT_NS_MAX : feed_wait_ns(feed, now);
        const struct timespec timeout = {.tv_nsec =
                                             (long)(wait_ns < WAIT_NS_MAX ? wait_ns : WAIT_NS_MAX)};
        (void)ppoll(publisher->waits, publisher->count, &timeout, NULL);
    }
    return NULL;
}

void publisher_start(struct publisher *publisher)
{
    publisher->is_running = pthread_create(&publisher->thread, NULL, run, publisher) == 0;
    if (!publisher->is_running) {
        text_print(stderr, "no thread to publish: raise RLIMIT_NPROC or pid_max\n");
        counter_set(&publisher->failed, 1);
    }
}

bool publisher_failed(const struct publisher *publisher)
{
    return counter_read(&publisher->failed) == 1;
}

void publisher_stop(struct publisher *publisher)
{
    counter_set(&publisher->stop, 1);
    if (publisher->is_running) {
        ASSERT(pthread_join(publisher->thread, NULL) == 0);
        publisher->is_running = false;
    }
}

void publisher_close(struct publisher *publisher)
{
    publisher_stop(publisher);
    for (uint32_t i = 0; i < publisher->count; i++) {
        (void)close(publisher->waits[i].fd);
    }
    free(publisher->lines);
    free(publisher->waits);
    free(publisher);
}
