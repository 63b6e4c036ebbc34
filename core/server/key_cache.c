#include "server/key_cache.h"

#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEGIN         "limpet-key-set 1 "
#define HEAD_SIZE_MAX 4096 /* a URL and a line more */

/* The name says nothing of the URL, which may be too long for one. */
static int path_of(char path[PATH_MAX], const char *folder, const char *url)
{
    static const uint64_t key[2] = {0, 0};
    const int size =
        snprintf(path, PATH_MAX, "%s/%016" PRIx64 ".jwks", folder, siphash(key, slice_text(url)));

    return size > 0 && size < PATH_MAX ? 0 : -1;
}

/* Everything before the document; its size, or 0 when it has no room. */
static size_t write_head(char head[HEAD_SIZE_MAX], const char *url, struct slice document,
                         int64_t fetched_s)
{
    const uint64_t key[2] = {(uint64_t)fetched_s, document.size};
    const int size = snprintf(head, HEAD_SIZE_MAX, BEGIN "%" PRId64 " %zu %016" PRIx64 "\n%s\n",
                              fetched_s, document.size, siphash(key, document), url);

    return size > 0 && size < HEAD_SIZE_MAX ? (size_t)size : 0;
}

/* Writes what went wrong with errno; -1, so that it can be returned. */
static int fail(const char *path, const char *doing, char *message, size_t message_size)
{
    (void)snprintf(message, message_size,
                   "%s: %s: %s: token.jwks_cache has to be a folder that this user may write to",
                   path, doing, strerrordesc_np(errno));
    return -1;
}

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(fd, bytes, size);
        if (written <= 0) {
            return false;
        }
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

/* Whole and on the disk before it has its name: after a power cut there is the old or the new. */
int key_cache_write(const char *folder, const char *url, const struct key_cache_entry *entry,
                    char *message, size_t message_size)
{
    const struct slice document = slice_from(entry->document, entry->size);
    char head[HEAD_SIZE_MAX];
    char path[PATH_MAX];
    char fresh[PATH_MAX + 8];
    const size_t head_size = write_head(head, url, document, entry->fetched_s);

    if (head_size == 0 || path_of(path, folder, url) != 0) {
        (void)snprintf(message, message_size, "%s: the path or the URL is too long", folder);
        return -1;
    }
    (void)snprintf(fresh, sizeof(fresh), "%s.XXXXXX", path);
    const int fd = mkostemp(fresh, O_CLOEXEC); /* 0600 */
    if (fd < 0) {
        return fail(path, "making it", message, message_size);
    }
    bool good = write_all(fd, head, head_size) && write_all(fd, entry->document, entry->size) &&
                fsync(fd) == 0;
    good = close(fd) == 0 && good;
    if (!good || rename(fresh, path) != 0) {
        (void)fail(path, "writing it", message, message_size);
        (void)unlink(fresh);
        return -1;
    }
    return 0;
}

/* Why the file is not one that we wrote; NULL: it may be. */
static const char *stranger(const struct stat *status)
{
    if (!S_ISREG(status->st_mode)) {
        return "not a file";
    }
    if (status->st_uid != geteuid()) {
        return "it belongs to another user";
    }
    if ((status->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return "others may write to it";
    }
    if (status->st_size > KEY_CACHE_DOCUMENT_MAX + HEAD_SIZE_MAX) {
        return "it is too large";
    }
    return NULL;
}

/* The head has to be what would be written for such a document at such a time. */
bool key_cache_parse(char *bytes, size_t size, const char *url, struct key_cache_entry *entry)
{
    char head[HEAD_SIZE_MAX];
    char *end;

    if (strncmp(bytes, BEGIN, sizeof(BEGIN) - 1) != 0) {
        return false;
    }
    const int64_t fetched_s = strtoll(bytes + sizeof(BEGIN) - 1, &end, 10);
    const char *line = strchr(end, '\n');
    char *url_end = line ? strchr(line + 1, '\n') : NULL;
    if (!url_end || fetched_s < 0) {
        return false;
    }
    const size_t head_size = (size_t)(url_end + 1 - bytes);
    *entry = (struct key_cache_entry){
        .document = url_end + 1, .size = size - head_size, .fetched_s = fetched_s};
    return entry->size <= KEY_CACHE_DOCUMENT_MAX &&
           write_head(head, url, slice_from(entry->document, entry->size), fetched_s) ==
               head_size &&
           memcmp(head, bytes, head_size) == 0;
}

static const char *read_file(int fd, const char *url, struct key_cache_entry *entry)
{
    struct stat status;

    if (fstat(fd, &status) != 0) {
        return strerrordesc_np(errno);
    }
    const char *reason = stranger(&status);
    if (reason) {
        return reason;
    }
    const size_t size = (size_t)status.st_size;
    char *bytes = malloc(size + 1);
    ASSERT(bytes != NULL);
    if (read(fd, bytes, size) != status.st_size) {
        reason = "it cannot be read whole";
    } else {
        bytes[size] = '\0';
        if (key_cache_parse(bytes, size, url, entry)) {
            memmove(bytes, entry->document, entry->size);
            entry->document = bytes;
            return NULL;
        }
        reason = "it is not whole, or not a key set of this URL";
    }
    free(bytes);
    return reason;
}

enum key_cache_outcome key_cache_read(const char *folder, const char *url,
                                      struct key_cache_entry *entry, char *message,
                                      size_t message_size)
{
    char path[PATH_MAX];

    *entry = (struct key_cache_entry){.document = NULL};
    if (path_of(path, folder, url) != 0) {
        (void)snprintf(message, message_size, "%s: the path is too long", folder);
        return KEY_CACHE_REFUSED;
    }
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        return KEY_CACHE_NONE;
    }
    const char *reason = fd < 0 ? strerrordesc_np(errno) : read_file(fd, url, entry);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (reason) {
        (void)snprintf(message, message_size, "%s: %s", path, reason);
        *entry = (struct key_cache_entry){.document = NULL};
        return KEY_CACHE_REFUSED;
    }
    return KEY_CACHE_FOUND;
}
