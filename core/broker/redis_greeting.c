/* What a link says first, and what Redis may answer: logs in, loads scripts, sees who is there. */
#include "base/file.h"
#include "broker/redis_link.h"
#include "broker/redis_scripts.h"

#include <unistd.h>

static void greet(struct redis_link *link, enum redis_greeting greeting)
{
    ASSERT(link->greeting_count < REDIS_GREETINGS_MAX);
    link->greetings[link->greeting_count++] = greeting;
}

size_t redis_password_read(const char *path, char password[REDIS_PASSWORD_SIZE_MAX])
{
    const char *reason; /* the link ends, with one reason for all */
    const int fd = file_open(path, &reason);
    ssize_t size = 0;

    if (fd >= 0) {
        size = read(fd, password, REDIS_PASSWORD_SIZE_MAX);
        (void)close(fd);
    }
    if (size <= 0) {
        return 0;
    }
    const char *end = memchr(password, '\n', (size_t)size);
    return end ? (size_t)(end - password) : (size_t)size;
}

/* False when there should be a password, and is none. */
static bool send_password(struct redis_link *link)
{
    char password[REDIS_PASSWORD_SIZE_MAX];
    const struct redis_login *login = link->login;

    if (!login->password_file) {
        return true;
    }
    const size_t size = redis_password_read(login->password_file, password);
    greet(link, REDIS_GREETING_AUTH);
    redis_bytes_command(&link->out, login->user ? 3 : 2);
    redis_bytes_text(&link->out, "AUTH");
    if (login->user) {
        redis_bytes_text(&link->out, login->user);
    }
    redis_bytes_argument(&link->out, slice_from(password, size));
    secret_wipe(password, sizeof(password));
    return size > 0;
}

bool redis_greeting_send(struct redis_link *link)
{
    struct redis_bytes *out = &link->out;

    if (!send_password(link)) {
        return false;
    }
    greet(link, REDIS_GREETING_NAME);
    redis_bytes_command(out, 3);
    redis_bytes_text(out, "CLIENT");
    redis_bytes_text(out, "SETNAME");
    redis_bytes_text(out, "limpet");
    for (enum redis_script i = REDIS_PUBLISH; link->loads_scripts && i < REDIS_SCRIPTS; i++) {
        greet(link, REDIS_GREETING_SCRIPT);
        redis_bytes_command(out, 3);
        redis_bytes_text(out, "SCRIPT");
        redis_bytes_text(out, "LOAD");
        redis_bytes_argument(out, redis_script_text(i));
    }
    if (link->wants_master) {
        greet(link, REDIS_GREETING_ROLE);
        redis_bytes_command(out, 1);
        redis_bytes_text(out, "ROLE");
    }
    greet(link, REDIS_GREETING_PING);
    redis_bytes_command(out, 1);
    redis_bytes_text(out, "PING");
    return true;
}

/* Errors that every later command would have, too. The others do no harm in a greeting: a user need
 * not be allowed SCRIPT or CLIENT. */
static bool is_hopeless(const redisReply *reply)
{
    static const char *const errors[] = {"NOAUTH", "WRONGPASS", "LOADING", "MASTERDOWN",
                                         "BUSY",   "ERR max",   "DENIED"};

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strncmp(reply->str, errors[i], strlen(errors[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_master(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
           reply->element[0]->type == REDIS_REPLY_STRING &&
           strcmp(reply->element[0]->str, "master") == 0;
}

const char *redis_greeting_fault(enum redis_greeting greeting, const redisReply *reply)
{
    const bool is_error = reply->type == REDIS_REPLY_ERROR;

    if (is_error && (greeting == REDIS_GREETING_AUTH || is_hopeless(reply))) {
        return reply->str;
    }
    if (greeting == REDIS_GREETING_ROLE && !is_error && !is_master(reply)) {
        return "it is no master";
    }
    if (greeting == REDIS_GREETING_PING && !is_error && reply->type != REDIS_REPLY_STATUS) {
        return "it does not speak the protocol of Redis";
    }
    return NULL;
}
