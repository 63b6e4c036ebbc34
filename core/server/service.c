#include "server/service.h"

#include "io/listener.h"
#include "server/arguments.h"

#define MESSAGE_SIZE 1024

int service_fail(const char *message)
{
    (void)fprintf(stderr, "limpet: %s\n", message);
    return -1;
}

static int open_certificates(struct service *service, const struct options *options)
{
    struct certificate_files files[OPTIONS_CERTIFICATES_MAX];
    char message[MESSAGE_SIZE];

    for (uint32_t i = 0; i < options->tls.certificate_count; i++) {
        files[i] =
            (struct certificate_files){.certificate_path = options->tls.certificates[i].certificate,
                                       .key_path = options->tls.certificates[i].key};
    }
    service->certificates =
        certificate_set_open(files, options->tls.certificate_count, message, sizeof(message));
    if (!service->certificates) {
        return service_fail(message);
    }
    service->server.certificates = service->certificates;
    if (options->tls.tickets) {
        service->server.tickets = ticket_keys_open(
            options->tls.ticket_key_file, options->tls.ticket_rotate_s, message, sizeof(message));
        if (!service->server.tickets) {
            return service_fail(message);
        }
    }
    return 0;
}

static int open_token_keys(struct service *service, const struct options *options)
{
    struct token_key_options keys[OPTIONS_KEYS_MAX];
    struct token_options token_options;
    char message[MESSAGE_SIZE];

    if (!options->token.required) {
        return 0;
    }
    arguments_token_options(options, keys, &token_options);
    service->token_keys = token_keys_open(&token_options, message, sizeof(message));
    if (!service->token_keys) {
        return service_fail(message);
    }
    service->server.token_keys = service->token_keys;
    return 0;
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

int service_open(struct service *service, const struct options *options)
{
    char message[MESSAGE_SIZE];

    if (budget_make(options, &service->budget, message, sizeof(message)) != 0) {
        return service_fail(message);
    }
    service->server.options = options;
    service->server.budget = &service->budget;
    service->server.shard_count = service->budget.shard_count;
    listener_warn_of_backlog(options->listen_backlog);
    if (open_certificates(service, options) != 0 || open_token_keys(service, options) != 0 ||
        open_api_keys(service, options) != 0) {
        return -1;
    }
    return open_tallies(service, options);
}

int service_check(struct service *service, const struct options *options)
{
    char message[MESSAGE_SIZE];
    int result = 0;

    if (budget_make(options, &service->budget, message, sizeof(message)) != 0) {
        result = service_fail(message);
    }
    if (open_certificates(service, options) != 0) {
        result = -1;
    }
    if (open_token_keys(service, options) != 0) {
        result = -1;
    }
    if (open_api_keys(service, options) != 0) {
        result = -1;
    }
    listener_warn_of_backlog(options->listen_backlog);
    return result;
}

void service_close(struct service *service)
{
    struct server *server = &service->server;

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
    if (service->token_keys) {
        token_keys_close(service->token_keys);
    }
    if (server->tickets) {
        ticket_keys_close(server->tickets);
    }
    if (service->certificates) {
        certificate_set_close(service->certificates);
    }
}
