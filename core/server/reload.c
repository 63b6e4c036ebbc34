#include "server/reload.h"

#include "server/options_change.h"
#include "server/run.h"
#include "server/supervisor.h"

#include <stdlib.h>
#include <time.h>

#define MESSAGE_SIZE 4096
#define NAMES_SIZE   1024
#define TAKE_MS_MAX  5000 /* a shard whose tick takes longer takes it later */

#define COUNTED(value, field)                                                                      \
    {                                                                                              \
        "limpet_reloads_total", "Reloads of options and keys, by result.", METRIC_COUNTER,         \
            "result", value, offsetof(struct reload_counts, field), 0, NULL, NULL                  \
    }

const struct metric reload_metrics[] = {
    COUNTED("taken", taken),
    COUNTED("refused", refused),
    {"limpet_certificate_expiry_timestamp_seconds",
     "When the first of the certificates in use expires, in Unix time; 0: there is none.",
     METRIC_GAUGE, NULL, NULL, offsetof(struct reload_counts, certificate_expires_s), 0, NULL,
     NULL},
};
const size_t reload_metrics_size = sizeof(reload_metrics) / sizeof(reload_metrics[0]);

/* What was read, until it is taken or thrown away; then what came of it. */
struct reload {
    struct settings *settings;
    struct ticket_keys *tickets; /* NULL: they are not from a file */
    struct api_keys *api_keys;   /* NULL: there is no HTTP API */
    struct options_change change;
    uint32_t certificates_changed;
    bool is_taken;              /* by every thread */
    char message[MESSAGE_SIZE]; /* why not; lines */
};

/* --- reading ---------------------------------------------------------------------------------- */

static const struct settings *running(const struct run *run)
{
    return run->service.desk.newest;
}

/* What was wrong with the options, without the newline at its end. */
static bool take_errors(struct reload *reload, const char *errors, size_t size)
{
    const bool is_ended = size > 0 && errors[size - 1] == '\n';

    (void)snprintf(reload->message, sizeof(reload->message), "%.*s",
                   (int)(is_ended ? size - 1 : size), errors);
    return false;
}

/* The options of what will hold, with what cannot change set back. */
static bool read_options(const struct run *run, struct reload *reload, struct options *options)
{
    char *errors = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&errors, &size);
    bool good = true;

    ASSERT(file != NULL);
    int result = arguments_read_again(run->arguments, options, file);
    if (result == 0) {
        options_change_merge(run->service.server.options, running(run)->options, options,
                             &reload->change);
        result = options_validate(options, file);
        if (result != 0) {
            (void)fprintf(file, "(with what needs a new start left as it is)\n");
        }
    }
    (void)fclose(file);
    if (result != 0) {
        good = take_errors(reload, errors, size);
    }
    free(errors);
    return good;
}

static bool open_settings(const struct run *run, struct reload *reload)
{
    struct options *options = malloc(sizeof(*options));

    ASSERT(options != NULL);
    if (!read_options(run, reload, options)) {
        options_free(options);
        free(options);
        return false;
    }
    reload->settings = settings_new(options, options);
    ASSERT(reload->settings != NULL);
    struct key_sources *sources = run->service.key_sources;
    return settings_open_certificates(reload->settings, reload->message, MESSAGE_SIZE) == 0 &&
           (!options->token.required ||
            key_sources_add(sources, options, reload->message, MESSAGE_SIZE) == 0) &&
           settings_open_token_keys(reload->settings, sources, reload->message, MESSAGE_SIZE) ==
               0 &&
           settings_open_networks(reload->settings, reload->message, MESSAGE_SIZE) == 0;
}

static bool has_certificate(const struct certificate_set *set,
                            const struct certificate *certificate)
{
    for (uint32_t i = 0; i < certificate_set_count(set); i++) {
        const struct certificate *other = certificate_set_at(set, i);
        if (slice_equal(other->chain, certificate->chain) &&
            slice_equal(other->key, certificate->key)) {
            return true;
        }
    }
    return false;
}

/* NULL: clients can take it. Clocks of clients differ, so that one of a minute ago is no surprise,
 * and one of tomorrow is a mistake. */
static const char *problem_of(const struct certificate *certificate, int64_t now_s)
{
    if (certificate->expires_s < now_s) {
        return "has expired";
    }
    return certificate->begins_s > now_s ? "is not valid yet" : NULL;
}

/* One that is out of its time is taken only when it is in use already: so that it does not stand in
 * the way of a reload for another reason. */
static bool check_certificates(const struct run *run, struct reload *reload)
{
    const struct certificate_set *fresh = reload->settings->certificates;
    const int64_t now_s = (int64_t)time(NULL);

    for (uint32_t i = 0; i < certificate_set_count(fresh); i++) {
        const struct certificate *certificate = certificate_set_at(fresh, i);
        if (has_certificate(running(run)->certificates, certificate)) {
            continue;
        }
        reload->certificates_changed++;
        const char *problem = problem_of(certificate, now_s);
        if (problem) {
            (void)snprintf(reload->message, sizeof(reload->message),
                           "%s: the certificate %s; the one in use stays",
                           reload->settings->options->tls.certificates[i].certificate, problem);
            return false;
        }
    }
    return true;
}

static bool open_keys(const struct run *run, struct reload *reload)
{
    const struct options *options = running(run)->options;

    if (run->service.server.tickets && options->tls.ticket_key_file) {
        reload->tickets =
            ticket_keys_open(options->tls.ticket_key_file, options->tls.ticket_rotate_s,
                             reload->message, sizeof(reload->message));
        if (!reload->tickets) {
            return false;
        }
    }
    if (run->service.api_keys) {
        reload->api_keys =
            api_keys_open(options->admin.api_key_file, reload->message, sizeof(reload->message));
    }
    return !run->service.api_keys || reload->api_keys;
}

/* --- taking over ------------------------------------------------------------------------------ */

static void wake_all(const struct run *run)
{
    const struct server *server = &run->service.server;
    struct ring_event event;
    uint64_t now_ns;

    for (uint32_t i = 0; i < server->shard_count; i++) {
        ring_wake(run->ring, server->ring_fds[i]);
    }
    uint32_t count = ring_wait(run->ring, 0, &event, 1, &now_ns);
    (void)count; /* only sends the wake-ups on their way */
    relay_wake(server->relay);
    api_wake(run->api);
}

/* Nobody holds older settings any more. */
static bool await_all(struct run *run)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (uint32_t i = 0; i < TAKE_MS_MAX; i++) {
        if (settings_sweep(&run->service.desk)) {
            return true;
        }
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

static void take(struct run *run, struct reload *reload)
{
    log_set_level(reload->settings->options->log.level);
    if (reload->tickets) {
        ticket_keys_replace(run->service.server.tickets, reload->tickets);
    }
    if (reload->api_keys) {
        api_keys_replace(run->service.api_keys, reload->api_keys);
    }
    namespace_places_assign(&run->service.places, &reload->settings->options_own->namespaces);
    settings_publish(&run->service.desk, reload->settings);
    wake_all(run);
    reload->is_taken = await_all(run);
}

void reload_token_keys(struct run *run)
{
    char message[MESSAGE_SIZE];

    if (!key_sources_changed(run->service.key_sources)) {
        return;
    }
    struct settings *settings =
        settings_renew_keys(&run->service.desk, run->service.key_sources, message, sizeof(message));
    if (!settings) {
        if (!run->keys_refused) {
            LOG(LOG_ERROR, "new token keys cannot be used, the old ones stay; tries on",
                log_text("reason", message));
        }
        run->keys_refused = true;
        key_sources_again(run->service.key_sources);
        return;
    }
    run->keys_refused = false;
    settings_publish(&run->service.desk, settings);
    wake_all(run);
    (void)await_all(run);
    LOG(LOG_INFO, "token keys renewed", log_number("settings", (int64_t)settings->number));
}

static void throw_away(struct reload *reload)
{
    settings_free(reload->settings);
    ticket_keys_close(reload->tickets);
    api_keys_close(reload->api_keys);
}

/* "a, b" */
static const char *join(const char *const *names, uint32_t count, char out[NAMES_SIZE])
{
    size_t size = 0;

    out[0] = '\0';
    for (uint32_t i = 0; i < count && size < NAMES_SIZE; i++) {
        size +=
            (size_t)snprintf(out + size, NAMES_SIZE - size, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    return out;
}

static void log_taken(const struct run *run, const struct reload *reload)
{
    const struct options_change *change = &reload->change;
    char changed[NAMES_SIZE];
    char kept[NAMES_SIZE];

    LOG(LOG_INFO, "reloaded",
        log_text("changed", join(change->changed, change->changed_count, changed)),
        log_number("certificates_changed", reload->certificates_changed),
        log_number("networks_banned", running(run)->banned.count),
        log_number("networks_allowed", running(run)->allowed.count),
        log_text("need_restart", join(change->kept, change->kept_count, kept)));
    if (change->kept_count > 0) {
        LOG(LOG_WARN, "options that differ now need a new start to change",
            log_text("options", kept));
    }
    if (!reload->is_taken) {
        LOG(LOG_WARN, "a thread is busy and takes the reload later",
            log_number("waited_ms", TAKE_MS_MAX));
    }
}

/* Everything, or nothing. */
static bool run_reload(struct run *run, struct reload *reload)
{
    supervisor_reloading();
    const bool good =
        open_settings(run, reload) && check_certificates(run, reload) && open_keys(run, reload);
    if (good) {
        take(run, reload);
        counter_add(&run->reload_counts.taken, 1);
        reload_note_expiry(run);
        log_taken(run, reload);
    } else {
        throw_away(reload);
        counter_add(&run->reload_counts.refused, 1);
        LOG(LOG_ERROR, "not reloaded, nothing has changed", log_text("reason", reload->message));
    }
    key_sources_use(run->service.key_sources, running(run)->options);
    supervisor_ready(run->drain.is_on ? "drains its connections" : "accepts connections");
    return good;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void write_names(struct json_out *out, const char *name, const char *const *names,
                        uint32_t count)
{
    json_out_text(out, ",");
    json_out_string(out, slice_text(name));
    json_out_text(out, ":[");
    for (uint32_t i = 0; i < count; i++) {
        json_out_text(out, i > 0 ? "," : "");
        json_out_string(out, slice_text(names[i]));
    }
    json_out_text(out, "]");
}

static void write_json(struct json_out *out, const struct run *run, const struct reload *reload)
{
    const struct options_change *change = &reload->change;

    json_out_text(out, reload->is_taken ? "{\"taken\":true" : "{\"taken\":false");
    write_names(out, "changed", change->changed, change->changed_count);
    write_names(out, "need_restart", change->kept, change->kept_count);
    json_out_text(out, ",\"certificates\":");
    json_out_number(out, certificate_set_count(running(run)->certificates));
    json_out_text(out, ",\"certificates_changed\":");
    json_out_number(out, reload->certificates_changed);
    json_out_text(out, ",\"networks_banned\":");
    json_out_number(out, running(run)->banned.count);
    json_out_text(out, ",\"networks_allowed\":");
    json_out_number(out, running(run)->allowed.count);
    json_out_text(out, reload->tickets ? ",\"ticket_keys\":true" : ",\"ticket_keys\":false");
    json_out_text(out, reload->api_keys ? ",\"api_keys\":true}" : ",\"api_keys\":false}");
}

static void write_lines(struct json_out *out, const struct run *run, const struct reload *reload)
{
    const struct options_change *change = &reload->change;
    char names[NAMES_SIZE];

    json_out_text(out, "options: ");
    json_out_text(out, change->changed_count > 0
                           ? join(change->changed, change->changed_count, names)
                           : "none changed");
    json_out_text(out, "\ncertificates: ");
    json_out_number(out, certificate_set_count(running(run)->certificates));
    json_out_text(out, ", of which new: ");
    json_out_number(out, reload->certificates_changed);
    json_out_text(out, "\naddress ranges banned: ");
    json_out_number(out, running(run)->banned.count);
    json_out_text(out, ", allowed: ");
    if (running(run)->allows_all) {
        json_out_text(out, "all");
    } else {
        json_out_number(out, running(run)->allowed.count);
    }
    json_out_text(out, running(run)->token_keys ? "\ntoken keys: read again\n" : "\n");
    json_out_text(out, reload->tickets ? "ticket keys: read again\n" : "");
    json_out_text(out, reload->api_keys ? "API keys: read again\n" : "");
    if (change->kept_count > 0) {
        json_out_text(out, "need a new start, and stay as they are: ");
        json_out_text(out, join(change->kept, change->kept_count, names));
        json_out_text(out, "\n");
    }
    if (!reload->is_taken) {
        json_out_text(out, "a thread is busy and takes it later\n");
    }
}

void reload_note_expiry(struct run *run)
{
    const struct certificate_set *set = running(run)->certificates;
    int64_t first_s = 0;

    for (uint32_t i = 0; i < certificate_set_count(set); i++) {
        const int64_t expires_s = certificate_set_at(set, i)->expires_s;
        first_s = first_s == 0 || expires_s < first_s ? expires_s : first_s;
    }
    counter_set(&run->reload_counts.certificate_expires_s, first_s > 0 ? (uint64_t)first_s : 0);
}

void reload_signal(struct run *run)
{
    struct reload reload = {.settings = NULL};

    (void)run_reload(run, &reload);
}

void reload_control(struct run *run, const struct control_request *request,
                    struct control_answer *answer)
{
    const char *format = control_argument(request, "format");
    struct reload reload = {.settings = NULL};

    answer->is_text = format && strcmp(format, "text") == 0;
    if (!run_reload(run, &reload)) {
        control_refuse(answer, 422, reload.message);
        return;
    }
    answer->status = 200;
    if (answer->is_text) {
        write_lines(&answer->out, run, &reload);
    } else {
        write_json(&answer->out, run, &reload);
    }
}
