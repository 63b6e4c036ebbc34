#include "server/options_change.h"

#include "server/options_table.h"
#include "server/options_value.h"

#include <stdlib.h>

/*
 * What a thread reads from its settings in every use. Not here: what memory, sockets, threads and
 * the broker were made from, and what connections were promised when they opened
 * (plain.publish_channel, who is present).
 */
static const char *const live[] = {
    "tls.certificates",
    "upgrade.path",
    "upgrade.origins",
    "upgrade.protocols",
    "upgrade.deflate_size_min",
    "token.required",
    "token.in_authorization",
    "token.in_protocol",
    "token.in_cookie",
    "token.in_query",
    "token.cookie_name",
    "token.query_name",
    "token.keys",
    "token.issuer",
    "token.audience",
    "token.leeway",
    "token.require_expiry",
    "token.size_max",
    "token.jwks_ca_file",
    "token.jwks_cache",
    "token.jwks_refresh",
    "token.jwks_cooldown",
    "token.jwks_timeout",
    "token.channels_max",
    "token.channel_size_max",
    "limits.banned",
    "limits.banned_file",
    "limits.allowed",
    "limits.allowed_file",
    "limits.connections_per_address_max",
    "limits.connections_per_user_max",
    "limits.handshakes_per_tick_max",
    "limits.admissions_per_s",
    "limits.admission_burst",
    "heartbeat.ping_interval",
    "heartbeat.pong_timeout",
    "deadlines.admission_wait",
    "deadlines.handshake",
    "deadlines.upgrade",
    "deadlines.close",
    "deadlines.token_grace",
    "deadlines.age_max",
    "deadlines.age_jitter_percent",
    "deadlines.shutdown",
    "plain.channels_query",
    "broker.when_away",
    "broker.queue_bytes_max",
    "proxy.trusted",
    "namespaces",
    "admin.api_namespaces_only",
    "admin.answer_timeout",
    "admin.ready_high_water",
    "log.level",
};

#define LIVE (sizeof(live) / sizeof(live[0]))

static bool is_live(const struct option_row *row)
{
    for (size_t i = 0; i < LIVE; i++) {
        if (strcmp(live[i], row->info.name) == 0) {
            return true;
        }
    }
    return false;
}

/* --- one option of two ------------------------------------------------------------------------ */

static const void *place_in(const struct options *options, const struct option_row *row)
{
    return (const uint8_t *)options + row->offset;
}

/* The table gives lists to write to; here they are only read. */
static struct option_list list_in(const struct options *options, const struct option_row *row)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): the way to take a const away without a warning. */
    return option_list_of((struct options *)(uintptr_t)options, row);
}

static bool texts_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool lists_equal(const struct option_list *a, const struct option_list *b)
{
    if (*a->count != *b->count) {
        return false;
    }
    for (uint32_t i = 0; i < *a->count * a->text_count; i++) {
        if (!texts_equal(a->texts[i], b->texts[i])) {
            return false;
        }
    }
    return true;
}

static bool equal(const struct options *a, const struct options *b, const struct option_row *row)
{
    if (option_is_list(row)) {
        const struct option_list list_a = list_in(a, row);
        const struct option_list list_b = list_in(b, row);
        return lists_equal(&list_a, &list_b);
    }
    if (row->kind == OPTION_TEXT) {
        return texts_equal(*(char *const *)place_in(a, row), *(char *const *)place_in(b, row));
    }
    const size_t size = row->kind == OPTION_BOOL ? sizeof(bool) : sizeof(uint32_t);
    return memcmp(place_in(a, row), place_in(b, row), size) == 0;
}

static void copy_list(struct options *to, const struct options *from, const struct option_row *row)
{
    struct option_list list = option_list_of(to, row);
    const struct option_list source = list_in(from, row);
    char message[512];

    option_list_clear(&list);
    for (uint32_t i = 0; i < *source.count; i++) {
        const char *const *texts =
            (const char *const *)&source.texts[(size_t)i * source.text_count];
        int result = option_entry_add(to, row, texts, message, sizeof(message));
        ASSERT(result == 0); /* it was checked when it was read */
    }
}

static void copy(struct options *to, const struct options *from, const struct option_row *row)
{
    if (option_is_list(row)) {
        copy_list(to, from, row);
    } else if (row->kind == OPTION_TEXT) {
        char **place = option_place(to, row);
        const char *text = *(char *const *)place_in(from, row);
        free(*place);
        *place = text ? strdup(text) : NULL;
        ASSERT(!text || *place);
    } else {
        const size_t size = row->kind == OPTION_BOOL ? sizeof(bool) : sizeof(uint32_t);
        memcpy(option_place(to, row), place_in(from, row), size);
    }
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Every channel of a's namespaces has presence in b as it has in a. */
static bool same_presence_in(const struct namespaces *a, const struct namespaces *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        bool has_presence = false;
        for (uint32_t j = 0; j < b->count; j++) {
            if (strcmp(a->entries[i].name, b->entries[j].name) == 0) {
                has_presence = b->entries[j].has_presence;
            }
        }
        if (a->entries[i].has_presence != has_presence) {
            return false;
        }
    }
    return true;
}

/* Some can change only when the server was started with what they need, or not all of them. */
static bool can_change(const struct option_row *row, const struct options *start,
                       const struct options *running, const struct options *next)
{
    const char *name = row->info.name;

    if (strcmp(name, "limits.connections_per_address_max") == 0) {
        return start->limits.connections_per_address_max > 0; /* else nothing is counted */
    }
    if (strcmp(name, "limits.connections_per_user_max") == 0) {
        return start->limits.connections_per_user_max > 0;
    }
    if (strcmp(name, "namespaces") == 0) {
        /* Who has joined must leave, and who has not must not. */
        return same_presence_in(&running->namespaces, &next->namespaces) &&
               same_presence_in(&next->namespaces, &running->namespaces);
    }
    return is_live(row);
}

void options_change_merge(const struct options *start, const struct options *running,
                          struct options *next, struct options_change *change)
{
    const struct option_row *row;

    *change = (struct options_change){.changed_count = 0};
    for (size_t i = 0; (row = option_row_at(i)); i++) {
        if (equal(running, next, row)) {
            continue;
        }
        ASSERT(i < OPTIONS_CHANGES_MAX);
        if (can_change(row, start, running, next)) {
            change->changed[change->changed_count++] = row->info.name;
        } else {
            change->kept[change->kept_count++] = row->info.name;
            copy(next, running, row);
        }
    }
}
