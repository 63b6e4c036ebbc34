/*
 * Fuzzes the options. The first byte chooses: the rest is an options file, or "NAME=VALUE" as of a
 * flag. A file is read whole, so there is nothing to cut. What was taken can be described, checked
 * and freed; what was not has a message.
 */
#include "server/options.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Validates and now and then (it takes its time) describes them into nowhere. */
static void use(struct options *options, bool describe)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    require(out != NULL);
    int result = options_validate(options, out);
    require(fflush(out) == 0 && (result == 0) == (size == 0));
    if (describe) {
        options_describe(options, out);
        require(fflush(out) == 0 && size > 0);
    }
    (void)fclose(out);
    free(text);
    options_free(options);
}

static void read_file(const uint8_t *data, size_t size)
{
    int fd = memfd_create("options", MFD_CLOEXEC);
    char path[64];
    char *messages = NULL;
    size_t messages_size = 0;
    FILE *errors = open_memstream(&messages, &messages_size);
    struct options options;

    require(fd >= 0 && errors && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    options_init(&options);
    int result = options_read_file(&options, path, errors);
    (void)fclose(errors);
    require((result == 0) == (messages_size == 0));
    require(result == 0 || strncmp(messages, path, strlen(path)) == 0);
    free(messages);
    (void)close(fd);
    use(&options, size % 16 == 0);
}

static void set_one(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    char message[256] = "";
    struct options options;
    char *value;

    require(text != NULL);
    memcpy(text, data, size);
    text[size] = 0;
    value = strchr(text, '=');
    options_init(&options);
    if (value) {
        *value = 0;
        int result = options_set(&options, text, value + 1, message, sizeof(message));
        require((result == 0) == (message[0] == 0));
    }
    free(text);
    use(&options, size % 16 == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        read_file(data + 1, size - 1);
    } else {
        set_one(data + 1, size - 1);
    }
    return 0;
}
