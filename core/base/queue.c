#include "base/queue.h"

#include <errno.h>
#include <sys/mman.h>

int queue_open(struct queue *queue, uint32_t count_max)
{
    uint32_t size = 1024; /* a page at least */

    while (size < count_max) {
        ASSERT(size <= UINT32_MAX / 4);
        size *= 2;
    }
    void *memory = mmap(NULL, size * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    *queue = (struct queue){.numbers = memory, .size = size};
    return 0;
}

void queue_close(struct queue *queue)
{
    if (queue->numbers) {
        munmap(queue->numbers, queue->size * sizeof(uint32_t));
    }
    *queue = (struct queue){0};
}

void queue_push(struct queue *queue, uint32_t number)
{
    ASSERT(queue_count(queue) < queue->size);
    queue->numbers[queue->head++ & (queue->size - 1)] = number;
    queue->may_hold = true;
}

uint32_t queue_peek(const struct queue *queue)
{
    return queue->head == queue->tail ? NONE : queue->numbers[queue->tail & (queue->size - 1)];
}

uint32_t queue_pop(struct queue *queue)
{
    uint32_t number = queue_peek(queue);

    if (number != NONE) {
        queue->tail++;
    }
    return number;
}

uint32_t queue_pop_newest(struct queue *queue)
{
    return queue->head == queue->tail ? NONE : queue->numbers[--queue->head & (queue->size - 1)];
}

void queue_trim(struct queue *queue)
{
    if (queue->head == queue->tail && queue->may_hold) {
        queue->head = 0;
        queue->tail = 0;
        queue->may_hold = false;
        madvise(queue->numbers, queue->size * sizeof(uint32_t), MADV_DONTNEED);
    }
}
