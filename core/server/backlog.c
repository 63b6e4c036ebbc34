#include "server/backlog.h"

#include <stdlib.h>

/* Moves the bytes of *slice to *to, which moves on. */
static void keep(struct slice *slice, uint8_t **to)
{
    if (slice->size > 0) {
        memcpy(*to, slice->data, slice->size);
    }
    slice->data = *to;
    *to += slice->size;
}

bool backlog_push(struct backlog *backlog, const struct backlog_item *from)
{
    const struct broker_publication *publication = &from->publication;
    const size_t size = sizeof(struct backlog_item) + publication->channel.size +
                        publication->payload.size + publication->user.size +
                        publication->conn_id.size + publication->idempotency_key.size;

    if (size > backlog->bytes_max - backlog->bytes) {
        return false;
    }
    struct backlog_item *item = malloc(size);
    if (!item) {
        return false;
    }
    uint8_t *to = (uint8_t *)(item + 1);
    *item = *from;
    item->next = NULL;
    item->size = size;
    keep(&item->publication.channel, &to);
    keep(&item->publication.payload, &to);
    keep(&item->publication.user, &to);
    keep(&item->publication.conn_id, &to);
    keep(&item->publication.idempotency_key, &to);
    if (backlog->last) {
        backlog->last->next = item;
    } else {
        backlog->first = item;
    }
    backlog->last = item;
    backlog->bytes += size;
    backlog->queued++;
    return true;
}

void backlog_pop(struct backlog *backlog)
{
    struct backlog_item *item = backlog->first;

    ASSERT(item != NULL);
    ASSERT(backlog->bytes >= item->size);
    backlog->first = item->next;
    if (!backlog->first) {
        backlog->last = NULL;
    }
    backlog->bytes -= item->size;
    free(item);
}
