#include "server/settings.h"

#include "server/arguments.h"
#include "server/key_sources.h"

#include <stdlib.h>

struct settings *settings_new(const struct options *options, struct options *own)
{
    struct settings *settings = calloc(1, sizeof(*settings));

    if (settings) {
        settings->options = options;
        settings->options_own = own;
    }
    return settings;
}

int settings_open_certificates(struct settings *settings, char *message, size_t message_size)
{
    struct certificate_files files[OPTIONS_CERTIFICATES_MAX];
    const struct options *options = settings->options;

    if (options->tls.certificate_count == 0) {
        return 0; /* no listener has TLS */
    }
    for (uint32_t i = 0; i < options->tls.certificate_count; i++) {
        files[i] =
            (struct certificate_files){.certificate_path = options->tls.certificates[i].certificate,
                                       .key_path = options->tls.certificates[i].key};
    }
    settings->certificates_own =
        certificate_set_open(files, options->tls.certificate_count, message, message_size);
    settings->certificates = settings->certificates_own;
    return settings->certificates ? 0 : -1;
}

/* The documents of key sets by URL: copies, the caller's to free. */
static void copy_documents(struct settings *settings, struct key_sources *sources,
                           struct token_key_options *keys, char **documents)
{
    settings->missing_count = 0;
    settings->missing_url = NULL;
    for (uint32_t i = 0; i < settings->options->token.key_count; i++) {
        size_t size = 0;
        if (token_key_is_url(keys[i].path)) {
            documents[i] = key_sources_copy(sources, keys[i].path, &size);
            keys[i].document = slice_from(documents[i], size);
            if (!documents[i]) {
                settings->missing_url =
                    settings->missing_url ? settings->missing_url : keys[i].path;
                settings->missing_count++;
            }
        }
    }
}

int settings_open_token_keys(struct settings *settings, struct key_sources *sources, char *message,
                             size_t message_size)
{
    struct token_key_options keys[OPTIONS_KEYS_MAX];
    struct token_options token_options;
    char *documents[OPTIONS_KEYS_MAX] = {NULL};

    if (!settings->options->token.required) {
        return 0;
    }
    arguments_token_options(settings->options, keys, &token_options);
    copy_documents(settings, sources, keys, documents);
    settings->token_keys_own = token_keys_open(&token_options, message, message_size);
    for (uint32_t i = 0; i < OPTIONS_KEYS_MAX; i++) {
        free(documents[i]);
    }
    settings->token_keys = settings->token_keys_own;
    return settings->token_keys ? 0 : -1;
}

/* A list and a file together. */
static int open_networks(struct networks *networks, const struct option_names *list,
                         const char *path, char *message, size_t message_size)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const int error = networks_add(networks, slice_text(list->names[i]));
        ASSERT(error == 0); /* as it was set */
    }
    if (path && networks_add_file(networks, path, message, message_size) != 0) {
        return -1;
    }
    networks_sort(networks);
    return 0;
}

int settings_open_networks(struct settings *settings, char *message, size_t message_size)
{
    const struct options *options = settings->options;

    settings->allows_all = options->limits.allowed.count == 0 && !options->limits.allowed_file;
    return open_networks(&settings->banned, &options->limits.banned, options->limits.banned_file,
                         message, message_size) == 0 &&
                   open_networks(&settings->allowed, &options->limits.allowed,
                                 options->limits.allowed_file, message, message_size) == 0 &&
                   open_networks(&settings->trusted, &options->proxy.trusted, NULL, message,
                                 message_size) == 0
               ? 0
               : -1;
}

void settings_desk_open(struct settings_desk *desk)
{
    *desk = (struct settings_desk){.oldest = NULL};
    pthread_mutex_init(&desk->mutex, NULL);
}

void settings_free(struct settings *settings)
{
    if (!settings) {
        return;
    }
    token_keys_close(settings->token_keys_own);
    certificate_set_close(settings->certificates_own);
    if (!settings->base) {
        networks_close(&settings->banned);
        networks_close(&settings->allowed);
        networks_close(&settings->trusted);
    }
    if (settings->options_own) {
        options_free(settings->options_own);
        free(settings->options_own);
    }
    free(settings);
}

void settings_publish(struct settings_desk *desk, struct settings *settings)
{
    pthread_mutex_lock(&desk->mutex);
    settings->number = desk->newest ? desk->newest->number + 1 : 1;
    settings->holders = 0;
    settings->newer = NULL;
    if (desk->newest) {
        desk->newest->newer = settings;
    } else {
        desk->oldest = settings;
    }
    desk->newest = settings;
    counter_set(&desk->number, settings->number);
    pthread_mutex_unlock(&desk->mutex);
}

struct settings *settings_renew_keys(struct settings_desk *desk, struct key_sources *sources,
                                     char *message, size_t message_size)
{
    struct settings *settings = calloc(1, sizeof(*settings));

    if (!settings) {
        (void)snprintf(message, message_size, "no memory");
        return NULL;
    }
    pthread_mutex_lock(&desk->mutex);
    *settings = *desk->newest;
    settings->base = desk->newest->base ? desk->newest->base : desk->newest;
    settings->dependents = 0;
    settings->options_own = NULL;
    settings->certificates_own = NULL;
    settings->token_keys_own = NULL;
    pthread_mutex_unlock(&desk->mutex);
    if (settings_open_token_keys(settings, sources, message, message_size) != 0) {
        settings_free(settings);
        return NULL;
    }
    settings->base->dependents++; /* the main thread's alone */
    return settings;
}

/* Takes one out that may go; NULL: there is none. Freed without the lock: keys are wiped. */
static struct settings *take_out(struct settings_desk *desk)
{
    struct settings *found = NULL;

    pthread_mutex_lock(&desk->mutex);
    for (struct settings **place = &desk->oldest; *place != desk->newest && !found;) {
        if ((*place)->holders == 0 && (*place)->dependents == 0) {
            found = *place;
            *place = found->newer;
        } else {
            place = &(*place)->newer;
        }
    }
    pthread_mutex_unlock(&desk->mutex);
    return found;
}

static bool only_newest_is_held(struct settings_desk *desk)
{
    bool is_only = true;

    pthread_mutex_lock(&desk->mutex);
    for (const struct settings *entry = desk->oldest; entry != desk->newest; entry = entry->newer) {
        is_only = is_only && entry->holders == 0;
    }
    pthread_mutex_unlock(&desk->mutex);
    return is_only;
}

bool settings_sweep(struct settings_desk *desk)
{
    struct settings *old;

    while ((old = take_out(desk))) {
        if (old->base) {
            old->base->dependents--;
        }
        settings_free(old);
    }
    return only_newest_is_held(desk);
}

void settings_desk_close(struct settings_desk *desk)
{
    struct settings *newer;

    for (struct settings *settings = desk->oldest; settings; settings = newer) {
        ASSERT(settings->holders == 0);
        newer = settings->newer;
        settings_free(settings);
    }
    pthread_mutex_destroy(&desk->mutex);
}

const struct settings *settings_take(struct settings_desk *desk)
{
    pthread_mutex_lock(&desk->mutex);
    struct settings *settings = desk->newest;
    ASSERT(settings != NULL);
    settings->holders++;
    pthread_mutex_unlock(&desk->mutex);
    return settings;
}

void settings_let_go(struct settings_desk *desk, const struct settings *settings)
{
    struct settings *entry;

    pthread_mutex_lock(&desk->mutex);
    for (entry = desk->oldest; entry != settings; entry = entry->newer) {
        ASSERT(entry != NULL);
    }
    ASSERT(entry->holders > 0);
    entry->holders--;
    pthread_mutex_unlock(&desk->mutex);
}
