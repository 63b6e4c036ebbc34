#include "server/census.h"

#include <stdlib.h>

#define NAMES_HINT     (1u << 14) /* more names share buckets */
#define NAMES_SIZE_MAX (64u << 20)

struct name {
    struct table_entry entry;
    uint32_t subscribers;
    uint8_t size;
    uint8_t text[];
};

bool census_ask(struct census *census, struct relay_ask *asked)
{
    if (census->waiting_count == CENSUS_WAITING_MAX) {
        return false;
    }
    census->waiting[census->waiting_count++] = asked;
    return true;
}

static struct relay_ask *take_waiting(struct census *census)
{
    struct relay_ask *asked = census->waiting[0];

    census->waiting_count--;
    memmove((void *)census->waiting, (void *)(census->waiting + 1),
            census->waiting_count * sizeof(struct relay_ask *));
    return asked;
}

uint32_t census_start(struct census *census, uint32_t shard_count)
{
    ASSERT(shard_count <= CENSUS_SHARDS_MAX);
    if (census->number != 0 || census->waiting_count == 0) {
        return 0;
    }
    census->asked = take_waiting(census);
    census->last_number += census->last_number == UINT32_MAX ? 2 : 1; /* never 0 */
    census->number = census->last_number;
    census->names_size = 0;
    census->is_full = table_open(&census->names, NAMES_HINT) != 0;
    census->awaited_count = shard_count;
    for (uint32_t i = 0; i < shard_count; i++) {
        census->awaited[i] = true;
    }
    return census->number;
}

static struct name *find(const struct census *census, struct slice text)
{
    struct table_entry *entry = table_find(&census->names, table_hash(&census->names, text));

    while (entry &&
           !slice_equal(slice_from(((struct name *)entry)->text, ((struct name *)entry)->size),
                        text)) {
        entry = table_find_next(entry);
    }
    return (struct name *)entry;
}

static void add_name(struct census *census, struct slice text, uint32_t subscribers)
{
    struct name *name = find(census, text);

    if (name) {
        name->subscribers += subscribers;
        return;
    }
    const size_t size = sizeof(*name) + text.size;
    name = census->names_size + size <= NAMES_SIZE_MAX ? malloc(size) : NULL;
    if (!name) {
        census->is_full = true;
        return;
    }
    *name = (struct name){.subscribers = subscribers, .size = (uint8_t)text.size};
    memcpy(name->text, text.data, text.size);
    table_add(&census->names, &name->entry, table_hash(&census->names, text));
    census->names_size += size;
}

void census_forget(struct census *census, uint32_t shard)
{
    if (census->number != 0 && census->awaited[shard]) {
        census->awaited[shard] = false;
        census->awaited_count--;
    }
}

void census_add(struct census *census, uint32_t number, uint32_t shard, struct slice piece,
                bool is_last)
{
    size_t at = 0;

    if (number != census->number) {
        return; /* of a question that was given up */
    }
    while (at < piece.size && !census->is_full) {
        uint32_t subscribers;
        ASSERT(piece.size - at > sizeof(subscribers));
        memcpy(&subscribers, piece.data + at, sizeof(subscribers));
        at += sizeof(subscribers);
        const size_t size = piece.data[at++];
        ASSERT(size <= piece.size - at);
        add_name(census, slice_from(piece.data + at, size), subscribers);
        at += size;
    }
    if (is_last) {
        census_forget(census, shard);
    }
}

struct relay_ask *census_result(struct census *census, struct relay_answer *answer)
{
    uint32_t count = 0;

    if (census->number == 0 || census->awaited_count > 0) {
        return NULL;
    }
    if (!census->is_full) {
        census->lent =
            calloc(census->names.count > 0 ? census->names.count : 1, sizeof(*census->lent));
    }
    for (uint32_t i = 0; census->lent && i <= census->names.bucket_mask; i++) {
        for (const struct table_entry *entry = table_bucket(&census->names, i); entry;
             entry = entry->next) {
            const struct name *name = (const struct name *)entry;
            census->lent[count++] = (struct relay_channel){
                .name = slice_from(name->text, name->size), .subscribers = name->subscribers};
        }
    }
    *answer = (struct relay_answer){.outcome = census->lent ? BROKER_DONE : BROKER_FULL,
                                    .channels = census->lent,
                                    .channel_count = count};
    return census->asked;
}

static void free_names(struct census *census)
{
    for (uint32_t i = 0; census->names.count > 0; i++) {
        struct table_entry *entry;
        while ((entry = table_bucket(&census->names, i))) {
            table_remove(&census->names, entry);
            free(entry);
        }
    }
    table_close(&census->names);
}

static void end(struct census *census)
{
    free_names(census);
    census->number = 0;
    census->asked = NULL;
    census->awaited_count = 0;
}

void census_end(struct census *census)
{
    free(census->lent);
    census->lent = NULL;
    end(census);
}

struct relay_ask *census_drop(struct census *census)
{
    struct relay_ask *asked = census->asked;

    if (asked) {
        end(census);
        return asked;
    }
    return census->waiting_count > 0 ? take_waiting(census) : NULL;
}
