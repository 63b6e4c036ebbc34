#include "server/reload.h"

#include "server/shard.h"

#define MESSAGE_SIZE 1024

static void reload_tickets(const struct server *server, const char *path)
{
    char message[MESSAGE_SIZE];

    if (ticket_keys_reload(server->tickets, message, sizeof(message)) != 0) {
        LOG(LOG_ERROR, "ticket keys not reloaded, the old ones stay", log_text("reason", message));
    } else {
        LOG(LOG_INFO, "ticket keys reloaded", log_text("file", path));
    }
}

static void reload_api_keys(struct api_keys *keys, const char *path)
{
    char message[MESSAGE_SIZE];

    if (api_keys_reload(keys, message, sizeof(message)) != 0) {
        LOG(LOG_ERROR, "API keys not reloaded, the old ones stay", log_text("reason", message));
    } else {
        LOG(LOG_INFO, "API keys reloaded", log_text("file", path));
    }
}

void reload_keys(const struct server *server, struct api_keys *api_keys)
{
    const struct options *options = server->options;
    bool has_tickets = server->tickets && options->tls.ticket_key_file;

    if (has_tickets) {
        reload_tickets(server, options->tls.ticket_key_file);
    }
    if (api_keys) {
        reload_api_keys(api_keys, options->admin.api_key_file);
    }
    if (!has_tickets && !api_keys) {
        LOG(LOG_WARN,
            "nothing to reload: there is neither tls.ticket_key_file nor admin.api_key_file",
            log_text("signal", "SIGHUP"));
    }
}
