#include "broker/redis_link.h"

#include "base/random.h"
#include "broker/redis_resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_SIZE          16384u
#define READ_PER_TURN_MAX  (1u << 20)
#define UNREAD_MAX         (4u << 20)   /* whole replies wait to be taken: no more is read */
#define REPLY_SIZE_MAX     (256u << 20) /* bytes; no reply of ours is as large */
#define REPLY_ELEMENTS_MAX (1 << 22)
#define DELAY_MS           100u /* before the second attempt, at most; doubled with each */
#define DELAY_MS_MAX       10000u
#define STEADY_MS          5000u /* up for so long: what ends it then is a new failure */
#define LINES_INTERVAL_MS  60000u

/* --- the end of a connection ------------------------------------------------------------------ */

/* The greeting has the password. */
static void wipe_out(struct redis_link *link)
{
    if (link->state == REDIS_LINK_GREETING && link->out.data) {
        secret_wipe(link->out.data, link->out.capacity);
    }
}

static void release(struct redis_link *link)
{
    redis_resolver_end(link->resolver);
    redis_tls_end(link->tls);
    if (link->reader) {
        redisReaderFree(link->reader);
    }
    if (link->fd >= 0) {
        (void)close(link->fd);
    }
    wipe_out(link);
    redis_bytes_free(&link->out);
    link->resolver = NULL;
    link->tls = NULL;
    link->reader = NULL;
    link->fd = -1;
    link->out_sent = 0;
    link->greeting_count = 0;
    link->greeted = 0;
    link->is_drained = true;
    link->is_behind = false;
    link->is_closing = false;
    link->tls_wants_write = false;
}

/* One line a change: another reason, or that it had been up. */
static void tell(struct redis_link *link, const char *reason, uint64_t now_ms)
{
    const bool is_news = link->state == REDIS_LINK_UP || strcmp(link->reason, reason) != 0;
    uint64_t suppressed = 0;

    if (!log_limit_pass_some(&link->lines, now_ms, LINES_INTERVAL_MS, is_news ? 10 : 1,
                             &suppressed)) {
        return;
    }
    LOG(LOG_WARN,
        link->state == REDIS_LINK_UP ? "redis connection lost" : "redis connection failed",
        log_text("for", link->purpose), log_text("host", link->address.host),
        log_number("port", link->address.port), log_text("reason", reason),
        log_number("suppressed", (int64_t)suppressed));
}

void redis_link_end(struct redis_link *link, const char *reason, uint64_t now_ms)
{
    uint64_t delay_ms = DELAY_MS;

    if (link->state == REDIS_LINK_DOWN) {
        return;
    }
    tell(link, reason, now_ms);
    (void)snprintf(link->reason, sizeof(link->reason), "%s", reason);
    if (link->state == REDIS_LINK_UP) {
        link->has_ended = true;
        if (now_ms - link->since_ms >= STEADY_MS) {
            link->failures = 0;
        }
    }
    for (uint32_t i = 0; i < link->failures && delay_ms < DELAY_MS_MAX; i++) {
        delay_ms *= 2;
    }
    if (link->failures < UINT32_MAX) {
        link->failures++;
    }
    /* Full jitter: all hosts lose their Redis at the same moment. */
    link->retry_ms = now_ms + random_below(delay_ms < DELAY_MS_MAX ? delay_ms : DELAY_MS_MAX) + 1;
    release(link);
    link->state = REDIS_LINK_DOWN;
}

void redis_link_init(struct redis_link *link, const struct redis_login *login, const char *purpose)
{
    *link = (struct redis_link){.login = login, .purpose = purpose, .fd = -1, .is_drained = true};
}

void redis_link_close(struct redis_link *link)
{
    link->is_wanted = false;
    if (link->state == REDIS_LINK_UP) {
        link->has_ended = true;
    }
    release(link);
    link->state = REDIS_LINK_DOWN;
}

void redis_link_connect(struct redis_link *link, const struct redis_address *address,
                        uint64_t now_ms)
{
    if (!redis_address_equal(&link->address, address)) {
        redis_link_end(link, "it is to connect to another node", now_ms);
        link->address = *address;
        link->failures = 0;
        link->retry_ms = now_ms;
    }
    link->is_wanted = true;
}

/* --- up to the greeting ----------------------------------------------------------------------- */

static void enter(struct redis_link *link, enum redis_link_state state, uint64_t now_ms)
{
    link->state = state;
    link->since_ms = now_ms;
}

static void end_by_errno(struct redis_link *link, int error, uint64_t now_ms)
{
    redis_link_end(link, error == 0 ? "closed by the peer" : strerrordesc_np(error), now_ms);
}

static void connect_to(struct redis_link *link, const struct sockaddr *address, socklen_t size,
                       uint64_t now_ms)
{
    const int on = 1;
    const int patience_ms = (int)link->login->timeout_ms;

    link->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        end_by_errno(link, errno, now_ms);
        return;
    }
    if (address->sa_family != AF_UNIX) {
        (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)setsockopt(link->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms,
                         sizeof(patience_ms));
    }
    if (connect(link->fd, address, size) != 0 && errno != EINPROGRESS) {
        end_by_errno(link, errno, now_ms);
    }
}

static void connect_unix(struct redis_link *link, uint64_t now_ms)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    ASSERT(strlen(link->address.host) < sizeof(address.sun_path));
    memcpy(address.sun_path, link->address.host, strlen(link->address.host));
    connect_to(link, (const struct sockaddr *)&address, sizeof(address), now_ms);
}

/* True when the host is a numeric address: nobody needs to be asked. */
static bool connect_numeric(struct redis_link *link, uint64_t now_ms)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(link->address.port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(link->address.port)};

    if (inet_pton(AF_INET, link->address.host, &v4.sin_addr) == 1) {
        connect_to(link, (const struct sockaddr *)&v4, sizeof(v4), now_ms);
        return true;
    }
    if (inet_pton(AF_INET6, link->address.host, &v6.sin6_addr) == 1) {
        connect_to(link, (const struct sockaddr *)&v6, sizeof(v6), now_ms);
        return true;
    }
    return false;
}

static void start(struct redis_link *link, uint64_t now_ms)
{
    enter(link, REDIS_LINK_CONNECTING, now_ms);
    if (link->address.port == 0) {
        connect_unix(link, now_ms);
    } else if (!connect_numeric(link, now_ms)) {
        enter(link, REDIS_LINK_RESOLVING, now_ms);
        link->resolver = redis_resolver_start(&link->address);
        if (!link->resolver) {
            redis_link_end(link, "no memory to resolve the host's name", now_ms);
        }
    }
}

static void resolve(struct redis_link *link, uint64_t now_ms)
{
    struct addrinfo *list;
    const int status = redis_resolver_result(link->resolver, &list);
    const struct addrinfo *each = list;
    uint32_t count = 0;

    if (status == EAI_INPROGRESS) {
        return;
    }
    if (status != 0 || !list) {
        redis_link_end(link, gai_strerror(status), now_ms);
        return;
    }
    do {
        count++;
        each = each->ai_next;
    } while (each);
    /* Another of the host's addresses after each failure. */
    for (uint32_t skip = link->failures % count; skip > 0; skip--) {
        list = list->ai_next;
    }
    enter(link, REDIS_LINK_CONNECTING, now_ms);
    connect_to(link, list->ai_addr, list->ai_addrlen, now_ms);
    redis_resolver_end(link->resolver);
    link->resolver = NULL;
}

static void begin_greeting(struct redis_link *link, uint64_t now_ms)
{
    enter(link, REDIS_LINK_GREETING, now_ms);
    link->reader = redisReaderCreate();
    if (!link->reader) {
        redis_link_end(link, "no memory", now_ms);
        return;
    }
    link->reader->maxelements = REPLY_ELEMENTS_MAX;
    if (!redis_greeting_send(link)) {
        redis_link_end(link, "no password can be read from redis.password_file", now_ms);
    }
}

static void finish_connecting(struct redis_link *link, uint64_t now_ms)
{
    int error = 0;
    socklen_t size = sizeof(error);
    const char *name = link->login->tls_name ? link->login->tls_name : link->address.host;

    (void)getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        end_by_errno(link, error, now_ms);
    } else if (!link->login->tls || link->address.port == 0) {
        begin_greeting(link, now_ms);
    } else {
        enter(link, REDIS_LINK_SECURING, now_ms);
        link->tls = redis_tls_start(link->login->tls, link->fd, name);
        if (!link->tls) {
            redis_link_end(link, "no memory", now_ms);
        }
    }
}

static void secure(struct redis_link *link, uint64_t now_ms)
{
    char message[160];
    const ssize_t result = redis_tls_handshake(link->tls, message, sizeof(message));

    link->tls_wants_write = result == REDIS_TLS_WANT_WRITE;
    if (result == 1) {
        begin_greeting(link, now_ms);
    } else if (result != -EAGAIN && result != REDIS_TLS_WANT_WRITE) {
        redis_link_end(link, message, now_ms);
    }
}

static void come_up(struct redis_link *link, uint64_t now_ms)
{
    wipe_out(link);
    enter(link, REDIS_LINK_UP, now_ms);
    link->has_come_up = true;
    LOG(LOG_INFO, "redis connected", log_text("for", link->purpose),
        log_text("host", link->address.host), log_number("port", link->address.port));
    if (link->failures > 0) {
        link->reconnects++;
    }
    link->reason[0] = '\0';
}

static redisReply *read_reply(struct redis_link *link, uint64_t now_ms)
{
    void *reply = NULL;

    if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
        redis_link_end(link, link->reader->errstr, now_ms);
        return NULL;
    }
    link->is_drained = !reply;
    return reply;
}

static void take_greetings(struct redis_link *link, uint64_t now_ms)
{
    while (link->state == REDIS_LINK_GREETING) {
        redisReply *reply = read_reply(link, now_ms);
        if (!reply) {
            return;
        }
        const char *fault = redis_greeting_fault(link->greetings[link->greeted++], reply);
        if (fault) {
            char reason[160];
            (void)snprintf(reason, sizeof(reason), "%s", fault);
            redis_link_end(link, reason, now_ms);
        } else if (link->greeted == link->greeting_count) {
            come_up(link, now_ms);
        }
        freeReplyObject(reply);
    }
}

/* --- bytes ------------------------------------------------------------------------------------ */

static ssize_t receive(struct redis_link *link, uint8_t *data, size_t size)
{
    if (link->tls) {
        return redis_tls_read(link->tls, data, size);
    }
    const ssize_t count = recv(link->fd, data, size, 0);
    return count >= 0 ? count : -errno;
}

static ssize_t transmit(struct redis_link *link, struct slice bytes)
{
    if (link->tls) {
        return redis_tls_write(link->tls, bytes);
    }
    const ssize_t count = send(link->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
    return count >= 0 ? count : -errno;
}

static bool must_wait(ssize_t result)
{
    return result == -EAGAIN || result == -EINTR || result == REDIS_TLS_WANT_WRITE;
}

static void flush(struct redis_link *link, uint64_t now_ms)
{
    if (link->out.failed) {
        redis_link_end(link, "no memory for what is sent", now_ms);
        return;
    }
    while (link->out_sent < link->out.size) {
        const ssize_t count = transmit(
            link, slice_from(link->out.data + link->out_sent, link->out.size - link->out_sent));
        if (must_wait(count)) {
            return;
        }
        if (count <= 0) {
            end_by_errno(link, (int)-count, now_ms);
            return;
        }
        link->out_sent += (size_t)count;
        link->sent += (uint64_t)count;
    }
    /* Kept small: what a burst needed is given back. */
    if (link->out.capacity > READ_SIZE) {
        redis_bytes_free(&link->out);
    }
    link->out.size = 0;
    link->out_sent = 0;
}

/* Reads until there is no more, or enough for one turn. What came before the end of the stream is
 * still taken: answers that were given, and why a Redis that refuses closes. */
static void fill(struct redis_link *link, uint64_t now_ms)
{
    uint8_t data[READ_SIZE];
    ssize_t count = 1;
    size_t total = 0;

    link->is_behind = false;
    while (total < READ_PER_TURN_MAX) {
        count = receive(link, data, sizeof(data));
        if (count <= 0) {
            break;
        }
        total += (size_t)count;
        if (redisReaderFeed(link->reader, (const char *)data, (size_t)count) != REDIS_OK) {
            redis_link_end(link, "no memory for its replies", now_ms);
            return;
        }
    }
    link->is_behind = count > 0;
    link->is_drained &= total == 0;
    if (link->reader->len - link->reader->pos > REPLY_SIZE_MAX) {
        redis_link_end(link, "its reply is too large", now_ms);
        return;
    }
    if (link->state == REDIS_LINK_GREETING) {
        take_greetings(link, now_ms);
    }
    if (count > 0 || must_wait(count)) {
        return;
    }
    if (link->state == REDIS_LINK_UP && !link->is_drained) {
        link->is_closing = true;
        link->close_error = (int)-count;
    } else if (link->state != REDIS_LINK_DOWN) {
        end_by_errno(link, (int)-count, now_ms);
    }
}

static bool may_read(const struct redis_link *link)
{
    return link->is_drained || link->reader->len - link->reader->pos < UNREAD_MAX;
}

redisReply *redis_link_next(struct redis_link *link, uint64_t now_ms)
{
    redisReply *reply = link->state == REDIS_LINK_UP ? read_reply(link, now_ms) : NULL;

    if (!reply && link->is_closing) {
        end_by_errno(link, link->close_error, now_ms);
    }
    return reply;
}

/* --- the turn --------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool redis_link_poll(struct redis_link *link, struct pollfd *poll, uint64_t now_ms,
                     uint64_t *wake_ms)
{
    if (link->state >= REDIS_LINK_GREETING) {
        flush(link, now_ms);
    }
    *poll = (struct pollfd){.fd = link->fd};
    switch (link->state) {
    case REDIS_LINK_DOWN:
        *wake_ms = earlier(*wake_ms, link->is_wanted ? link->retry_ms : UINT64_MAX);
        return false;
    case REDIS_LINK_RESOLVING:
        poll->fd = redis_resolver_fd(link->resolver);
        poll->events = POLLIN;
        break;
    case REDIS_LINK_CONNECTING:
        poll->events = POLLOUT;
        break;
    case REDIS_LINK_SECURING:
        poll->events = link->tls_wants_write ? POLLOUT : POLLIN;
        break;
    case REDIS_LINK_GREETING:
    case REDIS_LINK_UP:
        poll->events = (short)((may_read(link) ? POLLIN : 0) |
                               (link->out_sent < link->out.size ? POLLOUT : 0));
        break;
    }
    if (link->is_closing) {
        *wake_ms = now_ms;
        return false;
    }
    if (link->state != REDIS_LINK_UP) {
        *wake_ms = earlier(*wake_ms, link->since_ms + link->login->timeout_ms);
    } else if (link->is_behind && may_read(link)) {
        *wake_ms = now_ms;
    }
    return true;
}

static void advance(struct redis_link *link, short revents, uint64_t now_ms)
{
    if (link->state == REDIS_LINK_RESOLVING) {
        resolve(link, now_ms);
    } else if (link->state == REDIS_LINK_CONNECTING && revents != 0) {
        finish_connecting(link, now_ms);
    }
    if (link->state == REDIS_LINK_SECURING) {
        secure(link, now_ms);
    }
    if (link->state < REDIS_LINK_GREETING) {
        return;
    }
    flush(link, now_ms);
    if (link->state >= REDIS_LINK_GREETING && may_read(link) &&
        ((revents & (POLLIN | POLLERR | POLLHUP)) || link->is_behind)) {
        fill(link, now_ms);
    }
}

void redis_link_turn(struct redis_link *link, short revents, uint64_t now_ms)
{
    if (link->state == REDIS_LINK_DOWN) {
        if (link->is_wanted && now_ms >= link->retry_ms) {
            start(link, now_ms);
        }
        return;
    }
    if (!link->is_closing) {
        advance(link, revents, now_ms);
    }
    if (link->state != REDIS_LINK_DOWN && link->state != REDIS_LINK_UP &&
        now_ms >= link->since_ms + link->login->timeout_ms) {
        redis_link_end(link, "no answer in time", now_ms);
    }
}
