#include "io/mailbox.h"

#include <stdatomic.h>
#include <stdlib.h>

/*
 * The ring of bytes holds parcels one after the other, each a header word and its bytes, padded to
 * 8:
 *
 *   head .. tail          reserved by writers: written, or still being written
 *   tail .. head + size   free, and all zero
 *
 * A writer moves tail, fills in its parcel and stores the header last (release). The reader takes a
 * parcel whose header is not zero (acquire), uses it, zeroes it and moves head (release). So a
 * writer that sees the new head finds zeroes, and the reader never takes an old header for a new
 * one. head and tail only grow; a place in the bytes is their lower bits.
 *
 * A parcel is never split: where it does not fit before the end of the bytes, a gap fills the rest
 * and the parcel starts over at 0. Half the size always fits, wherever tail stands.
 */
#define HEADER_SIZE   sizeof(uint64_t)
#define SIZE_MIN      4096u
#define CACHE_LINE    64
#define HEADER_PARCEL (UINT64_C(1) << 63)
#define HEADER_GAP    (UINT64_C(1) << 62)
#define HEADER_BYTES  UINT64_C(0xffffffff)

struct mailbox {
    /* The writers' line. */
    _Alignas(CACHE_LINE) _Atomic uint64_t tail;
    _Atomic bool woken; /* a writer was told to wake the reader since its last look */
    /* The reader's line; a writer that needs size needs head too. */
    _Alignas(CACHE_LINE) _Atomic uint64_t head;
    uint8_t *bytes;
    size_t size;
};

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static uint8_t *bytes_at(const struct mailbox *mailbox, uint64_t position)
{
    return mailbox->bytes + (position & (mailbox->size - 1));
}

static _Atomic uint64_t *header_at(const struct mailbox *mailbox, uint64_t position)
{
    return (_Atomic uint64_t *)(void *)bytes_at(mailbox, position);
}

struct mailbox *mailbox_open(size_t size)
{
    size_t rounded = SIZE_MIN;

    while (rounded < size && rounded < (size_t)1 << 31) {
        rounded *= 2;
    }
    struct mailbox *mailbox = aligned_alloc(CACHE_LINE, sizeof(*mailbox));
    if (mailbox == NULL) {
        return NULL;
    }
    memset(mailbox, 0, sizeof(*mailbox));
    mailbox->size = rounded;
    mailbox->bytes = calloc(1, rounded);
    if (mailbox->bytes == NULL) {
        free(mailbox);
        return NULL;
    }
    return mailbox;
}

void mailbox_close(struct mailbox *mailbox)
{
    if (mailbox != NULL) {
        free(mailbox->bytes);
        free(mailbox);
    }
}

size_t mailbox_parcel_max(const struct mailbox *mailbox)
{
    return mailbox->size / 2 - HEADER_SIZE;
}

/* Reserves size bytes in one piece; false when there is no room. *position: where. */
static bool reserve(struct mailbox *mailbox, size_t size, uint64_t *position)
{
    uint64_t tail = 0;
    size_t gap = 0;

    do {
        /* head first: a tail that is older than head would make the room look negative. */
        uint64_t head = atomic_load_explicit(&mailbox->head, memory_order_acquire);
        tail = atomic_load_explicit(&mailbox->tail, memory_order_relaxed);
        size_t left = mailbox->size - (size_t)(tail & (mailbox->size - 1));
        gap = size > left ? left : 0;
        if (tail + gap + size - head > mailbox->size) {
            return false;
        }
        /* Relaxed: the header's release store publishes the parcel, tail only shares out places. */
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->tail, &tail, tail + gap + size,
                                                    memory_order_relaxed, memory_order_relaxed));
    if (gap > 0) {
        atomic_store_explicit(header_at(mailbox, tail), HEADER_GAP | gap, memory_order_release);
    }
    *position = tail + gap;
    return true;
}

bool mailbox_post(struct mailbox *mailbox, struct slice head, struct slice body, bool *wake)
{
    uint64_t position = 0;

    *wake = false;
    if (head.size > mailbox_parcel_max(mailbox) ||
        body.size > mailbox_parcel_max(mailbox) - head.size ||
        !reserve(mailbox, HEADER_SIZE + padded(head.size + body.size), &position)) {
        return false;
    }
    uint8_t *bytes = bytes_at(mailbox, position) + HEADER_SIZE;
    if (head.size > 0) {
        memcpy(bytes, head.data, head.size);
    }
    if (body.size > 0) {
        memcpy(bytes + head.size, body.data, body.size);
    }
    atomic_store_explicit(header_at(mailbox, position), HEADER_PARCEL | (head.size + body.size),
                          memory_order_release);
    /*
     * No wake is lost: both sides exchange. Either the reader's exchange comes later than this one
     * and then, by release and acquire, its look sees the parcel; or it came earlier, this one
     * finds false and the writer wakes.
     */
    *wake = !atomic_exchange_explicit(&mailbox->woken, true, memory_order_acq_rel);
    return true;
}

void mailbox_attend(struct mailbox *mailbox)
{
    (void)atomic_exchange_explicit(&mailbox->woken, false, memory_order_acq_rel);
}

/* Zeroes size bytes at head, of which only used were written, and gives them back to the writers.
 */
static void advance(struct mailbox *mailbox, size_t used, size_t size)
{
    uint64_t head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);

    memset(bytes_at(mailbox, head), 0, used);
    atomic_store_explicit(&mailbox->head, head + size, memory_order_release);
}

struct slice mailbox_next(struct mailbox *mailbox)
{
    for (;;) {
        uint64_t head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
        uint64_t header = atomic_load_explicit(header_at(mailbox, head), memory_order_acquire);
        if (header == 0) {
            return slice_from(NULL, 0); /* empty, or its writer has not finished: it wakes then */
        }
        if ((header & HEADER_PARCEL) != 0) {
            return slice_from(bytes_at(mailbox, head) + HEADER_SIZE,
                              (size_t)(header & HEADER_BYTES));
        }
        ASSERT((header & HEADER_GAP) != 0);
        advance(mailbox, HEADER_SIZE, (size_t)(header & HEADER_BYTES));
    }
}

void mailbox_release(struct mailbox *mailbox, struct slice parcel)
{
    uint64_t head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
    size_t size = HEADER_SIZE + padded(parcel.size);

    ASSERT(parcel.data == bytes_at(mailbox, head) + HEADER_SIZE);
    advance(mailbox, size, size);
}
