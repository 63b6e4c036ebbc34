#include "server/key_sources.h"

#include "base/clock.h"
#include "io/bell.h"
#include "server/key_cache.h"
#include "server/key_fetch.h"
#include "server/supervisor.h"
#include "session/token.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_SIZE   KEY_FETCH_MESSAGE_SIZE
#define TIMEOUT_MS_MIN 200u /* for a host that answers, when others have used up the time */
#define WAIT_MS_MAX    60000
#define FIRST_RETRY_MS 2000 /* while there are no keys */

#define FETCHES(value, field)                                                                      \
    {                                                                                              \
        "limpet_jwks_fetches_total", "Key sets asked for by URL, by result.", METRIC_COUNTER,      \
            "result", value, offsetof(struct key_source_counts, field), 0, NULL, NULL              \
    }

const struct metric key_source_metrics[] = {
    FETCHES("good", fetched),
    FETCHES("failed", failed),
    FETCHES("clashing", clashing),
    {"limpet_jwks_symmetric_keys_total", "Symmetric keys in fetched key sets, left out.",
     METRIC_COUNTER, NULL, NULL, offsetof(struct key_source_counts, symmetric), 0, NULL, NULL},
    {"limpet_jwks_missing", "Key sets by URL that have not come yet.", METRIC_GAUGE, NULL, NULL,
     offsetof(struct key_source_counts, missing), 0, NULL, NULL},
    {"limpet_jwks_from_cache", "Key sets in use from the cache, not fetched since the start.",
     METRIC_GAUGE, NULL, NULL, offsetof(struct key_source_counts, cached), 0, NULL, NULL},
    {"limpet_jwks_age_seconds", "Since the oldest key set in use was fetched.", METRIC_AGE_MS, NULL,
     NULL, offsetof(struct key_source_counts, oldest_ms), 0, NULL, NULL},
};
const size_t key_source_metrics_size = sizeof(key_source_metrics) / sizeof(key_source_metrics[0]);

struct key_source {
    char *url;
    char *document; /* NULL: none yet */
    size_t size;
    bool is_from_cache; /* and was not fetched since */
    bool is_unsaved;
    int64_t fetched_s; /* Unix time, for the cache */
    uint64_t fetched_ms;
    uint64_t tried_ms;
    uint64_t next_ms;
};

struct key_sources {
    struct bell wishes;    /* for the thread */
    struct bell changes;   /* for the main thread */
    atomic_bool is_wished; /* a token named a key that is in none */
    uint64_t wished_ms;    /* the thread's: when it saw the wish; 0: there is none */
    struct counter stop;
    pthread_t thread;
    bool has_thread;
    bool cannot_save; /* the thread's: it was said */
    struct key_source_counts counts;

    pthread_mutex_t mutex; /* of what follows */
    struct key_source list[OPTIONS_KEYS_MAX];
    uint32_t count;
    struct key_fetch_rules rules;
    struct key_list keys; /* of the options, without documents */
    bool has_changed;
};

static char *copy(const char *text)
{
    char *copied = text ? strdup(text) : NULL;

    ASSERT(!text || copied);
    return copied;
}

static char *copy_document(const struct key_source *source)
{
    char *document = malloc(source->size + 1);

    ASSERT(document != NULL);
    memcpy(document, source->document, source->size);
    return document;
}

/* --- one fetch -------------------------------------------------------------------------------- */

/* With the mutex. */
static void prepare(const struct key_sources *sources, const char *url, struct key_fetch *job)
{
    job->url = copy(url);
    key_fetch_rules_copy(&job->rules, &sources->rules);
    key_list_copy(&job->keys, &sources->keys);
    for (uint32_t i = 0; i < sources->count; i++) {
        const struct key_source *source = &sources->list[i];
        struct key_list_entry *entry = key_list_find(&job->keys, source->url);
        if (entry && source->document) {
            entry->document = copy_document(source);
            entry->size = source->size;
        }
    }
}

static void note_what_is_there(struct key_sources *sources)
{
    uint64_t oldest_ms = 0;
    uint64_t missing = 0;
    uint64_t cached = 0;

    for (uint32_t i = 0; i < sources->count; i++) {
        const struct key_source *source = &sources->list[i];
        missing += !source->document;
        cached += source->is_from_cache;
        if (source->document && (oldest_ms == 0 || source->fetched_ms < oldest_ms)) {
            oldest_ms = source->fetched_ms;
        }
    }
    counter_set(&sources->counts.oldest_ms, oldest_ms);
    counter_set(&sources->counts.missing, missing);
    counter_set(&sources->counts.cached, cached);
}

static struct key_source *find(struct key_sources *sources, const char *url)
{
    for (uint32_t i = 0; i < sources->count; i++) {
        if (strcmp(sources->list[i].url, url) == 0) {
            return &sources->list[i];
        }
    }
    return NULL;
}

/* Between refreshes at most token.jwks_refresh, and at least token.jwks_cooldown. */
static uint64_t next_after(const struct key_fetch_rules *rules, uint32_t max_age_s)
{
    uint64_t wait_ms = rules->refresh_ms;

    if ((uint64_t)max_age_s * 1000 < wait_ms) {
        wait_ms = (uint64_t)max_age_s * 1000;
    }
    return wait_ms < rules->cooldown_ms ? rules->cooldown_ms : wait_ms;
}

/* True when it is news. The source may have been forgotten meanwhile. Takes the answer's block. */
static bool take_document(struct key_sources *sources, const char *url, struct fetch_answer *answer,
                          size_t symmetric)
{
    bool is_news = false;

    pthread_mutex_lock(&sources->mutex);
    struct key_source *source = find(sources, url);
    counter_add(&sources->counts.fetched, 1);
    counter_add(&sources->counts.symmetric, symmetric);
    if (!source) {
        free(answer->data);
    } else {
        is_news = !source->document || source->size != answer->size ||
                  memcmp(source->document, answer->data, answer->size) != 0;
        free(source->document);
        source->document = answer->data;
        source->size = answer->size;
        source->is_from_cache = false;
        source->is_unsaved = true;
        source->fetched_s = (int64_t)time(NULL);
        source->fetched_ms = clock_now_ms();
        source->tried_ms = source->fetched_ms;
        source->next_ms = source->fetched_ms + next_after(&sources->rules, answer->max_age_s);
        sources->has_changed = sources->has_changed || is_news;
        note_what_is_there(sources);
    }
    pthread_mutex_unlock(&sources->mutex);
    return is_news;
}

static void note_failure(struct key_sources *sources, const char *url,
                         enum key_list_outcome outcome)
{
    pthread_mutex_lock(&sources->mutex);
    struct key_source *source = find(sources, url);
    counter_add(outcome == KEY_LIST_CLASHING ? &sources->counts.clashing : &sources->counts.failed,
                1);
    if (source) {
        source->tried_ms = clock_now_ms();
        source->next_ms =
            source->tried_ms + (source->document ? sources->rules.cooldown_ms : FIRST_RETRY_MS);
    }
    pthread_mutex_unlock(&sources->mutex);
}

static bool refresh(struct key_sources *sources, const struct key_fetch *job, char *message)
{
    struct fetch_answer answer;
    size_t symmetric = 0;

    const enum key_list_outcome outcome =
        key_fetch_run(job, &sources->stop, &answer, &symmetric, message);
    if (outcome != KEY_LIST_GOOD) {
        note_failure(sources, job->url, outcome);
        return false;
    }
    if (take_document(sources, job->url, &answer, symmetric) && symmetric > 0) {
        LOG(LOG_WARN, "symmetric keys in a key set by URL are left out: who reads it could sign",
            log_text("url", job->url), log_number("count", (int64_t)symmetric));
    }
    return true;
}

/* --- the cache -------------------------------------------------------------------------------- */

/* A copy of one that is not in the cache yet; false: there is none. */
static bool next_unsaved(struct key_sources *sources, char **folder, char **url,
                         struct key_cache_entry *entry)
{
    bool found = false;

    pthread_mutex_lock(&sources->mutex);
    for (uint32_t i = 0; i < sources->count && sources->rules.cache && !found; i++) {
        struct key_source *source = &sources->list[i];
        if (source->is_unsaved) {
            source->is_unsaved = false;
            *folder = copy(sources->rules.cache);
            *url = copy(source->url);
            *entry = (struct key_cache_entry){.document = copy_document(source),
                                              .size = source->size,
                                              .fetched_s = source->fetched_s};
            found = true;
        }
    }
    pthread_mutex_unlock(&sources->mutex);
    return found;
}

/* The thread's, for a disk may be slow. What cannot be written is written after the next fetch. */
static void save(struct key_sources *sources)
{
    char message[MESSAGE_SIZE];
    char *folder;
    char *url;
    struct key_cache_entry entry;

    while (next_unsaved(sources, &folder, &url, &entry)) {
        const bool is_saved = key_cache_write(folder, url, &entry, message, sizeof(message)) == 0;
        if (!is_saved && !sources->cannot_save) {
            LOG(LOG_WARN, "a key set cannot be kept on disk", log_text("reason", message));
        }
        sources->cannot_save = !is_saved;
        free(folder);
        free(url);
        free(entry.document);
    }
}

/* Takes the entry's block. */
static void put_back(struct key_sources *sources, const char *url,
                     const struct key_cache_entry *entry)
{
    const int64_t age_s = (int64_t)time(NULL) - entry->fetched_s;
    const uint64_t age_ms = age_s > 0 ? (uint64_t)age_s * 1000 : 0;

    LOG(LOG_WARN, "a key set is from the cache until its host can be reached", log_text("url", url),
        log_number("age_s", age_s));
    pthread_mutex_lock(&sources->mutex);
    struct key_source *source = find(sources, url);
    ASSERT(source != NULL);
    ASSERT(source->document == NULL);
    const uint64_t now_ms = clock_now_ms();
    source->document = entry->document;
    source->size = entry->size;
    source->is_from_cache = true;
    source->fetched_s = entry->fetched_s;
    source->fetched_ms = now_ms > age_ms ? now_ms - age_ms : 1; /* not before the machine's start */
    note_what_is_there(sources);
    pthread_mutex_unlock(&sources->mutex);
}

static void restore(struct key_sources *sources, const struct key_fetch *job)
{
    char message[MESSAGE_SIZE];
    struct key_cache_entry entry;
    size_t symmetric;
    const enum key_cache_outcome outcome =
        key_cache_read(job->rules.cache, job->url, &entry, message, sizeof(message));

    if (outcome == KEY_CACHE_NONE) {
        return;
    }
    if (outcome == KEY_CACHE_FOUND &&
        key_list_check(&job->keys, job->url, slice_from(entry.document, entry.size), &symmetric,
                       message, sizeof(message)) == KEY_LIST_GOOD) {
        put_back(sources, job->url, &entry);
        return;
    }
    LOG(LOG_WARN, "a key set in the cache is of no use", log_text("reason", message));
    free(entry.document);
}

/* --- the thread ------------------------------------------------------------------------------- */

/* The next source that is due, or *wait_ms until one is. */
static bool next_due(struct key_sources *sources, struct key_fetch *due, uint32_t *wait_ms)
{
    const bool is_wished = atomic_load(&sources->is_wished);
    bool found = false;
    bool is_granted = true;

    *wait_ms = WAIT_MS_MAX;
    pthread_mutex_lock(&sources->mutex);
    const uint64_t now_ms = clock_now_ms();
    if (is_wished && sources->wished_ms == 0) {
        sources->wished_ms = now_ms;
    }
    for (uint32_t i = 0; i < sources->count && !found; i++) {
        const struct key_source *source = &sources->list[i];
        const bool is_wanted = is_wished && source->tried_ms <= sources->wished_ms;
        const uint64_t cool_ms = source->tried_ms + sources->rules.cooldown_ms;
        const uint64_t at_ms = is_wanted && cool_ms < source->next_ms ? cool_ms : source->next_ms;
        if (at_ms <= now_ms) {
            prepare(sources, source->url, due);
            found = true;
        } else if (at_ms - now_ms < *wait_ms) {
            *wait_ms = (uint32_t)(at_ms - now_ms);
        }
        is_granted = is_granted && !is_wanted;
    }
    /* A wish is granted when every source was asked since. */
    if (is_wished && is_granted) {
        sources->wished_ms = 0;
        atomic_store(&sources->is_wished, false);
    }
    pthread_mutex_unlock(&sources->mutex);
    return found;
}

static void refresh_due(struct key_sources *sources, struct key_fetch *due)
{
    char message[MESSAGE_SIZE];

    if (refresh(sources, due, message)) {
        bell_ring(&sources->changes);
    } else if (counter_read(&sources->stop) == 0) {
        LOG(LOG_ERROR, "key set not fetched, the keys that are there stay",
            log_text("reason", message));
    }
    key_fetch_free(due);
}

static void *run(void *context)
{
    struct key_sources *sources = context;
    struct key_fetch due;
    uint32_t wait_ms;

    pthread_setname_np(pthread_self(), "keys");
    while (counter_read(&sources->stop) == 0) {
        save(sources);
        if (next_due(sources, &due, &wait_ms)) {
            refresh_due(sources, &due);
            continue;
        }
        struct pollfd bell = {.fd = sources->wishes.fd, .events = POLLIN};
        (void)poll(&bell, 1, (int)wait_ms);
        bell_silence(&sources->wishes);
    }
    save(sources);
    return NULL;
}

/* --- the main thread -------------------------------------------------------------------------- */

struct key_sources *key_sources_open(char *message, size_t message_size)
{
    struct key_sources *sources = calloc(1, sizeof(*sources));

    if (sources) {
        sources->changes.fd = -1;
    }
    if (!sources || bell_open(&sources->wishes) != 0 || bell_open(&sources->changes) != 0) {
        (void)snprintf(message, message_size, "no memory or descriptor for key sets by URL");
        if (sources) {
            bell_close(&sources->wishes);
        }
        free(sources);
        return NULL;
    }
    pthread_mutex_init(&sources->mutex, NULL);
    return sources;
}

static void forget(struct key_source *source)
{
    free(source->url);
    free(source->document);
}

void key_sources_close(struct key_sources *sources)
{
    if (!sources) {
        return;
    }
    counter_set(&sources->stop, 1);
    bell_ring(&sources->wishes);
    if (sources->has_thread) {
        ASSERT(pthread_join(sources->thread, NULL) == 0);
    }
    for (uint32_t i = 0; i < sources->count; i++) {
        forget(&sources->list[i]);
    }
    key_fetch_rules_free(&sources->rules);
    key_list_free(&sources->keys);
    bell_close(&sources->wishes);
    bell_close(&sources->changes);
    pthread_mutex_destroy(&sources->mutex);
    free(sources);
}

static void set_rules(struct key_sources *sources, const struct options *options)
{
    key_list_free(&sources->keys);
    key_list_from(&sources->keys, options);
    key_fetch_rules_free(&sources->rules);
    key_fetch_rules_from(&sources->rules, options);
}

/* The new ones, without their documents. */
static void add_missing(struct key_sources *sources, const struct options *options)
{
    pthread_mutex_lock(&sources->mutex);
    set_rules(sources, options);
    for (uint32_t i = 0; i < options->token.key_count; i++) {
        const struct option_token_key *key = &options->token.keys[i];
        if (token_key_is_url(key->path) && sources->count < OPTIONS_KEYS_MAX &&
            !find(sources, key->path)) {
            sources->list[sources->count++] =
                (struct key_source){.url = copy(key->path), .next_ms = UINT64_MAX};
        }
    }
    note_what_is_there(sources);
    pthread_mutex_unlock(&sources->mutex);
}

/* The source has no document and was never asked: after that it is the thread's to ask again. */
static bool open_first_job(struct key_sources *sources, const char *url, struct key_fetch *job)
{
    pthread_mutex_lock(&sources->mutex);
    const struct key_source *source = find(sources, url);
    const bool is_first = source && !source->document && source->tried_ms == 0;
    if (is_first) {
        prepare(sources, url, job);
    }
    pthread_mutex_unlock(&sources->mutex);
    return is_first;
}

/* One that has no document; it was asked for one. */
static bool open_missing_job(struct key_sources *sources, uint32_t number, struct key_fetch *job)
{
    pthread_mutex_lock(&sources->mutex);
    const bool is_missing = sources->rules.cache && !sources->list[number].document;
    if (is_missing) {
        prepare(sources, sources->list[number].url, job);
    }
    pthread_mutex_unlock(&sources->mutex);
    return is_missing;
}

bool key_sources_restore(struct key_sources *sources)
{
    ASSERT(!sources->has_thread);
    for (uint32_t i = 0; i < sources->count; i++) {
        struct key_fetch job;
        if (open_missing_job(sources, i, &job)) {
            restore(sources, &job);
            key_fetch_free(&job);
        }
    }
    return counter_read(&sources->counts.missing) == 0;
}

/* The main thread hears nothing meanwhile: hosts that are silent share the time of one. */
static uint32_t time_left(uint64_t end_ms)
{
    const uint64_t now_ms = clock_now_ms();

    return end_ms > now_ms + TIMEOUT_MS_MIN ? (uint32_t)(end_ms - now_ms) : TIMEOUT_MS_MIN;
}

int key_sources_add(struct key_sources *sources, const struct options *options, char *message,
                    size_t message_size)
{
    const uint64_t end_ms = clock_now_ms() + options->token.jwks_timeout_ms;
    char reason[MESSAGE_SIZE];
    int result = 0;

    add_missing(sources, options);
    for (uint32_t i = 0; i < options->token.key_count; i++) {
        struct key_fetch job;
        if (!open_first_job(sources, options->token.keys[i].path, &job)) {
            continue;
        }
        job.rules.timeout_ms = time_left(end_ms);
        supervisor_alive(); /* the main thread waits, but goes on */
        if (!refresh(sources, &job, reason)) {
            (void)snprintf(message, message_size, "token.keys: %s", reason);
            result = -1;
        }
        key_fetch_free(&job);
    }
    return result;
}

void key_sources_use(struct key_sources *sources, const struct options *options)
{
    uint32_t kept = 0;

    pthread_mutex_lock(&sources->mutex);
    set_rules(sources, options);
    for (uint32_t i = 0; i < sources->count; i++) {
        if (key_list_find(&sources->keys, sources->list[i].url)) {
            const uint64_t latest_ms = clock_now_ms() + sources->rules.refresh_ms;
            if (sources->list[i].document && sources->list[i].next_ms > latest_ms) {
                sources->list[i].next_ms = latest_ms;
            }
            sources->list[kept++] = sources->list[i];
        } else {
            forget(&sources->list[i]);
        }
    }
    sources->count = kept;
    note_what_is_there(sources);
    pthread_mutex_unlock(&sources->mutex);
    if (kept > 0 && !sources->has_thread) {
        sources->has_thread = pthread_create(&sources->thread, NULL, run, sources) == 0;
        if (!sources->has_thread) {
            LOG(LOG_ERROR, "no thread to fetch key sets with", log_number("sources", kept));
        }
    }
    bell_ring(&sources->wishes);
}

char *key_sources_copy(struct key_sources *sources, const char *url, size_t *size)
{
    char *document = NULL;

    pthread_mutex_lock(&sources->mutex);
    const struct key_source *source = find(sources, url);
    if (source && source->document) {
        document = copy_document(source);
        *size = source->size;
    }
    pthread_mutex_unlock(&sources->mutex);
    return document;
}

int key_sources_fd(const struct key_sources *sources)
{
    return sources->changes.fd;
}

bool key_sources_changed(struct key_sources *sources)
{
    bell_silence(&sources->changes);
    pthread_mutex_lock(&sources->mutex);
    const bool has_changed = sources->has_changed;
    sources->has_changed = false;
    pthread_mutex_unlock(&sources->mutex);
    return has_changed;
}

void key_sources_again(struct key_sources *sources)
{
    pthread_mutex_lock(&sources->mutex);
    sources->has_changed = true;
    pthread_mutex_unlock(&sources->mutex);
}

void key_sources_wish(struct key_sources *sources)
{
    if (!atomic_load_explicit(&sources->is_wished, memory_order_relaxed) &&
        !atomic_exchange(&sources->is_wished, true)) {
        bell_ring(&sources->wishes);
    }
}

const struct key_source_counts *key_sources_counts(const struct key_sources *sources)
{
    return &sources->counts;
}
