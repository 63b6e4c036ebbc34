#include "server/renewal.h"

#include "server/settings.h"
#include "server/shard.h"

#define RETRY_MS     1000
#define MESSAGE_SIZE 256

static void set_rules(struct shard *shard)
{
    const struct options *options = shard->options;
    unsigned places = 0;

    if (shard->token_keys) {
        places |= options->token.in_authorization ? TOKEN_AUTHORIZATION : 0;
        places |= options->token.in_protocol ? TOKEN_PROTOCOL : 0;
        places |= options->token.in_cookie ? TOKEN_COOKIE : 0;
        places |= options->token.in_query ? TOKEN_QUERY : 0;
    }
    shard->rules = (struct upgrade_rules){
        .request_size_max = options->upgrade.request_size_max,
        .path = options->upgrade.path,
        .origins = (const char *const *)options->upgrade.origins.names,
        .origin_count = options->upgrade.origins.count,
        .protocols = (const char *const *)options->upgrade.protocols.names,
        .protocol_count = options->upgrade.protocols.count,
        .token_places = places,
        .cookie_name = options->token.cookie_name,
        .query_name = options->token.query_name,
        .deflate = options->upgrade.deflate,
    };
}

static void use(struct shard *shard, const struct settings *settings)
{
    shard->settings = settings;
    shard->options = settings->options;
    shard->token_keys = settings->token_keys;
    set_rules(shard);
}

void renewal_begin(struct shard *shard)
{
    const struct server *server = shard->server;

    if (server->desk) {
        use(shard, settings_take(server->desk));
        return;
    }
    shard->options = server->options;
    shard->token_keys = server->token_keys;
    set_rules(shard);
}

static bool renew_contexts(struct shard *shard, const struct settings *settings)
{
    char message[MESSAGE_SIZE];

    if (settings->certificates == shard->settings->certificates ||
        tls_server_renew(shard->tls_server, settings->certificates, message, sizeof(message)) ==
            0) {
        return true;
    }
    LOG(LOG_ERROR, "a shard cannot take the new certificates, and tries again",
        log_number("shard", shard->number), log_text("reason", message));
    return false;
}

void renewal_step(struct shard *shard)
{
    struct settings_desk *desk = shard->server->desk;

    if (!desk || !settings_are_old(desk, shard->settings) || shard->now_ms < shard->renew_next_ms) {
        return;
    }
    const struct settings *before = shard->settings;
    const struct settings *settings = settings_take(desk);
    if (renew_contexts(shard, settings)) {
        use(shard, settings);
        settings_let_go(desk, before);
    } else {
        settings_let_go(desk, settings);
        shard->renew_next_ms = shard->now_ms + RETRY_MS;
    }
}

void renewal_end(struct shard *shard)
{
    if (shard->settings) {
        settings_let_go(shard->server->desk, shard->settings);
        shard->settings = NULL;
    }
}
