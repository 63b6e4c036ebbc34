#include "server/state.h"

#include "base/random.h"
#include "server/controls.h"
#include "tls/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_SIZE 32 /* bytes, written as twice as many digits */

/* Like mkdir -p, each folder for its owner only. */
static int make_directory(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int made = mkdir(path, 0700);
        *slash = '/';
        if (made != 0 && errno != EEXIST) {
            return -errno;
        }
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

static int choose_directory(struct state *state, const char *directory)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts. */
    const char *state_home = getenv("XDG_STATE_HOME");
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts. */
    const char *home = getenv("HOME");
    int size;

    if (directory) {
        size = snprintf(state->directory, sizeof(state->directory), "%s", directory);
    } else if (state_home && state_home[0] == '/') {
        size = snprintf(state->directory, sizeof(state->directory), "%s/limpet", state_home);
    } else if (home && home[0] == '/') {
        size = snprintf(state->directory, sizeof(state->directory), "%s/.local/state/limpet", home);
    } else {
        return -ENOENT;
    }
    return size > 0 && (size_t)size < sizeof(state->directory) ? 0 : -ENAMETOOLONG;
}

static int make_secret(const char *path)
{
    uint8_t secret[SECRET_SIZE];
    char text[2 * SECRET_SIZE + 2];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        return -errno;
    }
    random_bytes(secret, sizeof(secret));
    for (size_t i = 0; i < sizeof(secret); i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", secret[i]);
    }
    text[sizeof(text) - 2] = '\n';
    ssize_t written = write(fd, text, sizeof(text) - 1);
    secret_wipe(secret, sizeof(secret));
    secret_wipe(text, sizeof(text));
    int closed = close(fd);
    if (written != (ssize_t)sizeof(text) - 1 || closed != 0) {
        unlink(path);
        return -EIO;
    }
    return 0;
}

static int make_missing(struct state *state, char *message, size_t message_size)
{
    char host_name[256] = "localhost";
    const char *names[] = {"localhost", host_name, "127.0.0.1", "::1"};
    struct certificate_files files = {.certificate_path = state->certificate_path,
                                      .key_path = state->key_path};

    (void)gethostname(host_name, sizeof(host_name) - 1);
    if (access(state->certificate_path, F_OK) != 0 || access(state->key_path, F_OK) != 0) {
        if (certificate_make(names, sizeof(names) / sizeof(names[0]), &files, message,
                             message_size) != 0) {
            return -1;
        }
        state->is_new = true;
    }
    const char *secrets[] = {state->secret_path, state->api_key_path};
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        int error = access(secrets[i], F_OK) == 0 ? -EEXIST : make_secret(secrets[i]);
        if (error != 0 && error != -EEXIST) {
            (void)snprintf(message, message_size, "%s: %s", secrets[i], strerrordesc_np(-error));
            return -1;
        }
        state->is_new = state->is_new || error == 0;
    }
    return 0;
}

int state_locate(struct state *state, const char *directory)
{
    *state = (struct state){0};
    int error = choose_directory(state, directory);
    (void)snprintf(state->certificate_path, sizeof(state->certificate_path), "%s/certificate.pem",
                   state->directory);
    (void)snprintf(state->key_path, sizeof(state->key_path), "%s/key.pem", state->directory);
    (void)snprintf(state->secret_path, sizeof(state->secret_path), "%s/secret", state->directory);
    (void)snprintf(state->api_key_path, sizeof(state->api_key_path), "%s/api-key",
                   state->directory);
    (void)snprintf(state->control_path, sizeof(state->control_path), "%s/control",
                   state->directory);
    return error;
}

int state_open(struct state *state, const char *directory, char *message, size_t message_size)
{
    int error = state_locate(state, directory);
    if (error == 0) {
        error = make_directory(state->directory);
    }
    if (error != 0) {
        (void)snprintf(message, message_size, "state folder %s: %s; name another with --state DIR",
                       state->directory, strerrordesc_np(-error));
        return -1;
    }
    return make_missing(state, message, message_size);
}

static char *copy(const char *text)
{
    char *copied = strdup(text);

    ASSERT(copied != NULL);
    return copied;
}

void state_set_options(const struct state *state, struct options *options)
{
    for (uint32_t i = 0; i < options->listen.count; i++) {
        free(options->listen.names[i]);
    }
    options->listen.names[0] = copy("127.0.0.1:8443");
    options->listen.count = 1;
    options->tls.certificates[0] = (struct option_certificate){
        .certificate = copy(state->certificate_path), .key = copy(state->key_path)};
    options->tls.certificate_count = 1;
    options->token.keys[0] =
        (struct option_token_key){.algorithm = copy("HS256"), .path = copy(state->secret_path)};
    options->token.key_count = 1;
    free(options->admin.control);
    /* A folder far down has no room for a socket's path: then there is none, but a server. */
    options->admin.control =
        copy(strlen(state->control_path) < CONTROL_PATH_SIZE ? state->control_path : "");
    free(options->admin.api_key_file);
    options->admin.api_key_file = copy(state->api_key_path);
    options->token.in_authorization = true;
    options->token.in_protocol = true;
    options->token.in_cookie = true;
    options->token.in_query = true;
    free(options->plain.publish_channel);
    options->plain.publish_channel = copy("");
}
