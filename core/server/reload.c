#include "server/reload.h"

#include "server/run.h"

#define MESSAGE_SIZE 1024

/* What came of it, as text for an answer. */
struct report {
    char text[MESSAGE_SIZE];
    bool failed;
};

static void reload_tickets(const struct server *server, const char *path, struct report *report)
{
    char message[MESSAGE_SIZE];

    if (ticket_keys_reload(server->tickets, message, sizeof(message)) != 0) {
        LOG(LOG_ERROR, "ticket keys not reloaded, the old ones stay", log_text("reason", message));
        report->failed = true;
        (void)snprintf(report->text, sizeof(report->text), "%s", message);
    } else {
        LOG(LOG_INFO, "ticket keys reloaded", log_text("file", path));
    }
}

static void reload_api_keys(struct api_keys *keys, const char *path, struct report *report)
{
    char message[MESSAGE_SIZE];

    if (api_keys_reload(keys, message, sizeof(message)) != 0) {
        LOG(LOG_ERROR, "API keys not reloaded, the old ones stay", log_text("reason", message));
        report->failed = true;
        (void)snprintf(report->text, sizeof(report->text), "%s", message);
    } else {
        LOG(LOG_INFO, "API keys reloaded", log_text("file", path));
    }
}

static void reload_keys(const struct run *run, struct report *report)
{
    const struct server *server = &run->service.server;
    const struct options *options = server->options;
    bool has_tickets = server->tickets && options->tls.ticket_key_file;

    if (has_tickets) {
        reload_tickets(server, options->tls.ticket_key_file, report);
    }
    if (run->service.api_keys) {
        reload_api_keys(run->service.api_keys, options->admin.api_key_file, report);
    }
    if (!has_tickets && !run->service.api_keys) {
        LOG(LOG_WARN,
            "nothing to reload: there is neither tls.ticket_key_file nor admin.api_key_file",
            log_text("signal", "SIGHUP"));
    }
}

void reload_signal(struct run *run)
{
    struct report report = {.failed = false};

    reload_keys(run, &report);
}

void reload_control(struct run *run, const struct control_request *request,
                    struct control_answer *answer)
{
    struct report report = {.failed = false};

    (void)request;
    reload_keys(run, &report);
    if (report.failed) {
        control_refuse(answer, 422, report.text);
        return;
    }
    answer->status = 200;
    json_out_text(&answer->out, "{}");
}
