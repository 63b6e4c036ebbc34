#include "base/random.h"

#include <pthread.h>
#include <sys/mman.h>

/*
 * Bytes that nobody has had yet are as secret as the keys they will become. So they have pages of
 * their own, which core dumps leave out and which are zeros in a forked child: left is 0 there, and
 * the child draws its own.
 */
struct random_buffer {
    uint32_t left; /* the last of bytes[], not handed out yet */
    uint8_t bytes[RANDOM_BUFFER_SIZE];
};

static _Thread_local struct random_buffer *thread_buffer;
static pthread_key_t exit_key;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;
static bool exit_key_usable;

static void close_buffer(void *memory)
{
    secret_wipe(memory, sizeof(struct random_buffer));
    munmap(memory, sizeof(struct random_buffer));
    thread_buffer = NULL;
}

static void make_exit_key(void)
{
    exit_key_usable = pthread_key_create(&exit_key, close_buffer) == 0;
}

static struct random_buffer *open_buffer(void)
{
    size_t size = sizeof(struct random_buffer);

    pthread_once(&exit_key_once, make_exit_key);
    if (!exit_key_usable) {
        return NULL;
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    if (madvise(memory, size, MADV_WIPEONFORK) != 0 || madvise(memory, size, MADV_DONTDUMP) != 0 ||
        pthread_setspecific(exit_key, memory) != 0) {
        munmap(memory, size);
        return NULL;
    }
    return memory;
}

static size_t take(struct random_buffer *buffer, uint8_t *out, size_t size)
{
    if (buffer->left == 0) {
        random_source(buffer->bytes, sizeof(buffer->bytes));
        buffer->left = sizeof(buffer->bytes);
    }
    size_t count = size < buffer->left ? size : buffer->left;
    uint8_t *from = buffer->bytes + sizeof(buffer->bytes) - buffer->left;
    memcpy(out, from, count);
    secret_wipe(from, count);
    buffer->left -= (uint32_t)count;
    return count;
}

void random_bytes(void *out, size_t size)
{
    uint8_t *to = out;

    if (thread_buffer == NULL) {
        thread_buffer = open_buffer();
    }
    if (thread_buffer == NULL || size > RANDOM_BUFFER_SIZE) {
        random_source(out, size); /* without a buffer only slower */
        return;
    }
    while (size > 0) {
        size_t count = take(thread_buffer, to, size);
        to += count;
        size -= count;
    }
}

uint64_t random_below(uint64_t bound)
{
    ASSERT(bound > 0);

    /* The lowest 2^64 mod bound values would make some results likelier than others: draw again. */
    uint64_t refused = -bound % bound;
    uint64_t value;
    do {
        random_bytes(&value, sizeof(value));
    } while (value < refused);
    return value % bound;
}
