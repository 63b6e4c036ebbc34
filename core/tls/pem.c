#include "tls/pem.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEGIN  "-----BEGIN "
#define END    "-----END "
#define DASHES "-----"

/* NULL, or why not. */
static const char *read_all(int fd, struct pem_file *file)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return strerrordesc_np(errno);
    }
    if (status.st_size > PEM_FILE_SIZE_MAX) {
        return strerrordesc_np(EFBIG);
    }
    const size_t room = (size_t)status.st_size;
    file->text = malloc(room + 1); /* one more, to see it when the file is longer */
    if (!file->text) {
        return strerrordesc_np(ENOMEM);
    }
    for (;;) {
        const ssize_t got = read(fd, file->text + file->size, room + 1 - file->size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return strerrordesc_np(errno);
        }
        file->size += (size_t)got;
        if (file->size > room) {
            return strerrordesc_np(EFBIG);
        }
        if (got == 0) {
            file->text[file->size] = '\0';
            return NULL;
        }
    }
}

int pem_open(struct pem_file *file, const char *path, char *message, size_t message_size)
{
    *file = (struct pem_file){.text = NULL};
    const char *reason = NULL;
    const int fd = file_open(path, &reason);
    if (fd >= 0) {
        reason = read_all(fd, file);
        (void)close(fd);
    }
    if (reason) {
        (void)snprintf(message, message_size, "%s: cannot be read: %s", path, reason);
        pem_close(file);
    }
    return reason ? -1 : 0;
}

void pem_close(struct pem_file *file)
{
    if (file->text) {
        secret_wipe(file->text, file->size);
    }
    free(file->text);
    *file = (struct pem_file){.text = NULL};
}

static const uint8_t *find(struct slice text, const char *word)
{
    return text.size ? memmem(text.data, text.size, word, strlen(word)) : NULL;
}

static void skip_to(struct slice *rest, const uint8_t *position)
{
    rest->size -= (size_t)(position - rest->data);
    rest->data = position;
}

bool pem_next(struct slice *rest, const char *suffix, struct slice *block)
{
    for (;;) {
        const uint8_t *begin = find(*rest, BEGIN);
        if (!begin) {
            return false;
        }
        skip_to(rest, begin + strlen(BEGIN));
        const uint8_t *label_end = find(*rest, DASHES);
        const uint8_t *end = find(*rest, END);
        if (!label_end || !end) {
            return false;
        }
        const struct slice label = slice_from(rest->data, (size_t)(label_end - rest->data));
        skip_to(rest, end + strlen(END));
        const uint8_t *last = find(*rest, DASHES);
        if (!last) {
            return false;
        }
        skip_to(rest, last + strlen(DASHES));
        const size_t suffix_size = strlen(suffix);
        if (label.size >= suffix_size &&
            memcmp(label.data + label.size - suffix_size, suffix, suffix_size) == 0) {
            *block = slice_from(begin, (size_t)(rest->data - begin));
            return true;
        }
    }
}
