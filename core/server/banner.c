#include "server/banner.h"

#include "session/token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DEV_TOKEN_LIFETIME_S 86400

static void print_dev_mode(const struct arguments *arguments, uint16_t port, uint16_t admin_port)
{
    struct token_key_options keys[OPTIONS_KEYS_MAX];
    struct token_options token_options;
    const char *channels[] = {"news"};
    struct token_request request = {.subject = "dev",
                                    .channels = channels,
                                    .channel_count = 1,
                                    .now_s = (double)time(NULL),
                                    .lifetime_s = DEV_TOKEN_LIFETIME_S};
    char message[512];

    arguments_token_options(&arguments->options, keys, &token_options);
    char *token = token_make(&token_options, &request, message, sizeof(message));
    if (!token) {
        (void)fprintf(stderr, "no token could be made: %s\n", message);
        return;
    }
    (void)printf(
        "\nDev mode: no options file was given. State folder: %s%s\n"
        "It has a self-signed certificate, its key, and the tokens' secret.\n\n"
        "  url     wss://localhost:%u/?token=%s\n"
        "  token   %s\n\n"
        "Try it (what you send comes back):\n\n"
        "  npx wscat --ca %s --connect wss://localhost:%u --header 'Authorization: Bearer %s'\n\n"
        "More tokens:\n\n"
        "  %s token --state %s --sub NAME --channels a,b --ttl 1h\n\n",
        arguments->state.directory, arguments->state.is_new ? " (new)" : "", port, token, token,
        arguments->state.certificate_path, port, token, program_invocation_name,
        arguments->state.directory);
    free(token);
    if (arguments->options.admin.control && arguments->options.admin.control[0] != '\0') {
        (void)printf("Read certificates, keys and flags' files anew (by %s):\n\n"
                     "  %s reload --state %s\n\n",
                     arguments->options.admin.control, program_invocation_name,
                     arguments->state.directory);
    }
    if (admin_port != 0) {
        (void)printf("Publish:\n\n"
                     "  curl -H \"X-API-Key: $(cat '%s')\" http://localhost:%u/api/publish \\\n"
                     "       -d '{\"channel\": \"news\", \"data\": {\"hello\": \"world\"}}'\n\n",
                     arguments->state.api_key_path, admin_port);
    }
}

void banner_print(const struct arguments *arguments, const struct budget *budget, uint16_t port,
                  uint16_t admin_port)
{
    if (!arguments->options_path && arguments->options.token.required) {
        print_dev_mode(arguments, port, admin_port);
        (void)fflush(stdout);
    }
    LOG(LOG_INFO, "listening", log_number("port", port), log_number("admin_port", admin_port),
        log_number("shards", budget->shard_count),
        log_number("connections_max", budget->connections_max),
        log_text("bounded_by", budget->bound_by));
}
