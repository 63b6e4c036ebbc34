#include "server/key_fetch.h"

#include "server/key_cache.h"

#include <stdlib.h>

#define HTTP_OK 200

static char *copy(const char *text)
{
    char *copied = text ? strdup(text) : NULL;

    ASSERT(!text || copied);
    return copied;
}

void key_fetch_rules_from(struct key_fetch_rules *rules, const struct options *options)
{
    *rules = (struct key_fetch_rules){
        .ca_file = copy(options->token.jwks_ca_file),
        .cache = copy(options->token.jwks_cache),
        .refresh_ms = (uint64_t)options->token.jwks_refresh_s * 1000,
        .cooldown_ms = (uint64_t)options->token.jwks_cooldown_s * 1000,
        .timeout_ms = options->token.jwks_timeout_ms,
    };
}

void key_fetch_rules_copy(struct key_fetch_rules *rules, const struct key_fetch_rules *from)
{
    *rules = *from;
    rules->ca_file = copy(from->ca_file);
    rules->cache = copy(from->cache);
}

void key_fetch_rules_free(struct key_fetch_rules *rules)
{
    free(rules->ca_file);
    free(rules->cache);
    rules->ca_file = NULL;
    rules->cache = NULL;
}

void key_fetch_free(struct key_fetch *fetch)
{
    free(fetch->url);
    key_fetch_rules_free(&fetch->rules);
    key_list_free(&fetch->keys);
}

enum key_list_outcome key_fetch_run(const struct key_fetch *wanted, const struct counter *stop,
                                    struct fetch_answer *answer, size_t *symmetric,
                                    char message[KEY_FETCH_MESSAGE_SIZE])
{
    const struct fetch_request request = {
        .url = wanted->url,
        .ca_file = wanted->rules.ca_file,
        .stop = stop,
        .timeout_ms = wanted->rules.timeout_ms,
        .size_max = KEY_CACHE_DOCUMENT_MAX,
    };
    enum key_list_outcome outcome = KEY_LIST_BAD;

    if (fetch(&request, answer, message, KEY_FETCH_MESSAGE_SIZE) != 0) {
        return KEY_LIST_BAD;
    }
    if (answer->status != HTTP_OK) {
        (void)snprintf(message, KEY_FETCH_MESSAGE_SIZE, "%s: answers with status %ld", wanted->url,
                       answer->status);
    } else {
        outcome = key_list_check(&wanted->keys, wanted->url, slice_from(answer->data, answer->size),
                                 symmetric, message, KEY_FETCH_MESSAGE_SIZE);
    }
    if (outcome != KEY_LIST_GOOD) {
        free(answer->data);
    }
    return outcome;
}
