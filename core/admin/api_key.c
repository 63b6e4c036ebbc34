#include "admin/api_key.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Two SipHashes under random keys of this process. */
struct key_digest {
    uint64_t halves[2];
};

struct api_keys {
    pthread_mutex_t mutex; /* of what follows */
    uint64_t hash_keys[2][2];
    struct key_digest digests[API_KEYS_MAX];
    uint32_t count;
};

static struct key_digest digest_of(const struct api_keys *keys, struct slice key)
{
    return (struct key_digest){
        .halves = {siphash(keys->hash_keys[0], key), siphash(keys->hash_keys[1], key)}};
}

/* --- file ------------------------------------------------------------------------------------- */

/* The whole file into text. Its size, or -1 with the reason. */
static ssize_t read_file(const char *path, uint8_t *text, size_t room, const char **reason)
{
    size_t size = 0;
    ssize_t taken;
    int fd = file_open(path, reason);

    if (fd < 0) {
        return -1;
    }
    do {
        taken = read(fd, text + size, room - size);
        size += taken > 0 ? (size_t)taken : 0;
    } while (taken > 0 && size < room);
    int error = taken < 0 ? errno : size == room ? EFBIG : 0;
    (void)close(fd);
    *reason = error != 0 ? strerrordesc_np(error) : NULL;
    return error != 0 ? -1 : (ssize_t)size;
}

/* The next line without the white space around it; false at the end. */
static bool next_line(struct slice *text, struct slice *line)
{
    if (text->size == 0) {
        return false;
    }
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end ? (size_t)(end - text->data) : text->size;
    size_t taken = end ? size + 1 : size;
    const uint8_t *start = text->data;
    while (size > 0 && start[size - 1] <= ' ') {
        size--;
    }
    while (size > 0 && start[0] <= ' ') {
        start++;
        size--;
    }
    *line = slice_from(start, size);
    *text = slice_from(text->data + taken, text->size - taken);
    return true;
}

static bool has_only_graphic(struct slice key)
{
    for (size_t i = 0; i < key.size; i++) {
        if (key.data[i] <= ' ' || key.data[i] > '~') {
            return false; /* would not come through a header as it is */
        }
    }
    return true;
}

/* NULL, or what is wrong with a key. */
static const char *key_fault(struct slice key, uint32_t count)
{
    if (count == API_KEYS_MAX) {
        return "too many keys: 32 at most";
    }
    if (key.size < API_SECRET_SIZE_MIN) {
        return "a key has at least 16 characters";
    }
    if (key.size > API_SECRET_SIZE_MAX) {
        return "a key has at most 512 characters";
    }
    return has_only_graphic(key) ? NULL : "a key has printable ASCII characters and no spaces";
}

static int take_keys(struct api_keys *keys, struct slice text, const char *path, char *message,
                     size_t message_size)
{
    struct slice line;

    for (uint32_t number = 1; next_line(&text, &line); number++) {
        if (line.size == 0 || line.data[0] == '#') {
            continue;
        }
        const char *fault = key_fault(line, keys->count);
        if (fault) {
            (void)snprintf(message, message_size, "%s:%u: %s", path, number, fault);
            return -1;
        }
        keys->digests[keys->count++] = digest_of(keys, line);
    }
    if (keys->count == 0) {
        (void)snprintf(message, message_size, "%s: has no key", path);
        return -1;
    }
    return 0;
}

static int read_keys(struct api_keys *keys, const char *path, char *message, size_t message_size)
{
    uint8_t *text = calloc(1, API_KEY_FILE_SIZE_MAX);
    int result = -1;

    if (!text) {
        (void)snprintf(message, message_size, "%s: out of memory", path);
        return -1;
    }
    const char *reason = NULL;
    ssize_t size = read_file(path, text, API_KEY_FILE_SIZE_MAX, &reason);
    if (size < 0) {
        (void)snprintf(message, message_size, "admin.api_key_file %s: %s", path, reason);
    } else {
        result = take_keys(keys, slice_from(text, (size_t)size), path, message, message_size);
    }
    secret_wipe(text, API_KEY_FILE_SIZE_MAX);
    free(text);
    return result;
}

struct api_keys *api_keys_open(const char *path, char *message, size_t message_size)
{
    struct api_keys *keys = calloc(1, sizeof(*keys));

    if (!keys) {
        (void)snprintf(message, message_size, "%s: out of memory", path);
        return NULL;
    }
    random_bytes(keys->hash_keys, sizeof(keys->hash_keys));
    ASSERT(pthread_mutex_init(&keys->mutex, NULL) == 0);
    if (read_keys(keys, path, message, message_size) != 0) {
        api_keys_close(keys);
        return NULL;
    }
    return keys;
}

void api_keys_replace(struct api_keys *keys, struct api_keys *fresh)
{
    pthread_mutex_lock(&keys->mutex);
    memcpy(keys->hash_keys, fresh->hash_keys, sizeof(keys->hash_keys));
    memcpy(keys->digests, fresh->digests, sizeof(keys->digests));
    keys->count = fresh->count;
    pthread_mutex_unlock(&keys->mutex);
    api_keys_close(fresh);
}

void api_keys_close(struct api_keys *keys)
{
    if (!keys) {
        return;
    }
    ASSERT(pthread_mutex_destroy(&keys->mutex) == 0);
    secret_wipe(keys, sizeof(*keys));
    free(keys);
}

bool api_keys_match(struct api_keys *keys, struct slice key)
{
    bool is_one = false;

    pthread_mutex_lock(&keys->mutex);
    const struct key_digest presented = digest_of(keys, key);
    for (uint32_t i = 0; i < keys->count; i++) { /* all of them: which one it is stays untold */
        is_one |= secret_equal(&presented, &keys->digests[i], sizeof(presented));
    }
    pthread_mutex_unlock(&keys->mutex);
    return is_one;
}
