#include "server/service.h"

#include "io/listener.h"
#include "server/host_target.h"
#include "tuning/preflight.h"

#include <unistd.h>

#define MESSAGE_SIZE 1024

int service_fail(const char *message)
{
    (void)fprintf(stderr, "limpet: %s\n", message);
    return -1;
}

static int open_certificates(struct settings *settings)
{
    char message[MESSAGE_SIZE];

    return settings_open_certificates(settings, message, sizeof(message)) == 0
               ? 0
               : service_fail(message);
}

static int open_token_keys(struct settings *settings, struct key_sources *sources)
{
    char message[MESSAGE_SIZE];

    return settings_open_token_keys(settings, sources, message, sizeof(message)) == 0
               ? 0
               : service_fail(message);
}

static int open_networks(struct settings *settings)
{
    char message[MESSAGE_SIZE];

    return settings_open_networks(settings, message, sizeof(message)) == 0 ? 0
                                                                           : service_fail(message);
}

static int open_ticket_keys(struct service *service, const struct options *options)
{
    char message[MESSAGE_SIZE];

    if (!options->tls.tickets || options->tls.certificate_count == 0) {
        return 0;
    }
    service->server.tickets = ticket_keys_open(
        options->tls.ticket_key_file, options->tls.ticket_rotate_s, message, sizeof(message));
    return service->server.tickets ? 0 : service_fail(message);
}

static int open_api_keys(struct service *service, const struct options *options)
{
    char message[MESSAGE_SIZE];

    if (!options->admin.api_key_file) {
        return 0;
    }
    service->api_keys = api_keys_open(options->admin.api_key_file, message, sizeof(message));
    return service->api_keys ? 0 : service_fail(message);
}

/* The counts that all shards share; one that no limit needs is left out. */
static int open_tallies(struct service *service, const struct options *options)
{
    struct server *server = &service->server;
    uint32_t sockets = service->budget.sockets_max * service->budget.shard_count;

    server->open = tally_open(64);
    if (options->limits.connections_per_address_max > 0) {
        server->addresses = tally_open(sockets);
    }
    if (options->limits.connections_per_user_max > 0) {
        server->users = tally_open(sockets);
    }
    if (!server->open || (options->limits.connections_per_address_max > 0 && !server->addresses) ||
        (options->limits.connections_per_user_max > 0 && !server->users)) {
        return service_fail("no memory for the counts per address and user");
    }
    for (uint32_t i = 0; i < server->shard_count; i++) {
        server->mailboxes[i] = mailbox_open(options->limits.mailbox_size);
        if (!server->mailboxes[i]) {
            return service_fail("no memory for the shards' mailboxes: lower limits.mailbox_size");
        }
    }
    return 0;
}

/* Key sets by URL. When a host is away at the start the server starts all the same, and answers 503
 * until the keys have come: both may be starting after a power cut, each before the other. */
static int open_key_sources(struct service *service, const struct options *options, bool is_check)
{
    char message[MESSAGE_SIZE];

    service->key_sources = key_sources_open(message, sizeof(message));
    if (!service->key_sources) {
        return service_fail(message);
    }
    if (!options->token.required ||
        key_sources_add(service->key_sources, options, message, sizeof(message)) == 0) {
        return 0;
    }
    if (is_check) {
        return service_fail(message);
    }
    if (key_sources_restore(service->key_sources)) {
        LOG(LOG_ERROR, "a key set could not be fetched", log_text("reason", message));
        return 0;
    }
    LOG(LOG_ERROR, "a key set is not there: 503 until it has come", log_text("reason", message));
    return 0;
}

/* What a reload can change, for the first time. */
static int open_settings(struct service *service, const struct options *options)
{
    struct settings *settings = settings_new(options, NULL);

    if (!settings) {
        return service_fail("no memory");
    }
    if (open_certificates(settings) != 0 || open_token_keys(settings, service->key_sources) != 0 ||
        open_networks(settings) != 0) {
        settings_free(settings);
        return -1;
    }
    namespace_places_open(&service->places, &options->namespaces);
    settings_desk_open(&service->desk);
    settings_publish(&service->desk, settings);
    service->server.desk = &service->desk;
    service->server.key_sources = service->key_sources;
    return 0;
}

/* What else will not do; it is for the operator to judge, and stops nothing. */
static void warn_of_host(const struct options *options, const struct budget *budget)
{
    struct target_options target;

    host_target_options(options, &target);
    (void)preflight_warn("", getpid(), &target, budget->connections_max);
}

int service_open(struct service *service, const struct options *options)
{
    char message[MESSAGE_SIZE];

    if (budget_make(options, "", &service->budget, message, sizeof(message)) != 0) {
        return service_fail(message);
    }
    service->server.options = options;
    service->server.budget = &service->budget;
    service->server.shard_count = service->budget.shard_count;
    listener_warn_of_backlog(options->listen_backlog);
    warn_of_host(options, &service->budget);
    if (open_key_sources(service, options, false) != 0 || open_settings(service, options) != 0 ||
        open_ticket_keys(service, options) != 0 || open_api_keys(service, options) != 0) {
        return -1;
    }
    return open_tallies(service, options);
}

int service_check(struct service *service, const struct options *options)
{
    struct settings *settings = settings_new(options, NULL);
    char message[MESSAGE_SIZE];
    int result = 0;

    ASSERT(settings != NULL);
    if (budget_make(options, "", &service->budget, message, sizeof(message)) != 0) {
        result = service_fail(message);
    }
    if (open_key_sources(service, options, true) != 0) {
        result = -1;
    }
    const int results[] = {open_certificates(settings), open_ticket_keys(service, options),
                           open_token_keys(settings, service->key_sources), open_networks(settings),
                           open_api_keys(service, options)};
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        result = results[i] != 0 ? -1 : result;
    }
    settings_free(settings);
    listener_warn_of_backlog(options->listen_backlog);
    return result;
}

void service_close(struct service *service)
{
    struct server *server = &service->server;

    key_sources_close(service->key_sources);

    for (uint32_t i = 0; i < server->shard_count; i++) {
        if (server->mailboxes[i]) {
            mailbox_close(server->mailboxes[i]);
        }
    }
    struct tally *tallies[] = {server->open, server->addresses, server->users};
    for (size_t i = 0; i < sizeof(tallies) / sizeof(tallies[0]); i++) {
        if (tallies[i]) {
            tally_close(tallies[i]);
        }
    }
    api_keys_close(service->api_keys);
    ticket_keys_close(server->tickets);
    if (server->desk) {
        settings_desk_close(server->desk);
    }
}
