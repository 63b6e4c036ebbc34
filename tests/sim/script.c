/* script.c - what a client is up to, and what may become of it. */
#include "tests/sim/client.h"

#include <stdlib.h>

#define NS_PER_MS    1000000ull
#define FIN          0x80
#define REQUEST_SIZE 4096
#define SLACK_MS     2500 /* rounds take time, and shards skip some */
#define PINGS_AWAY   20   /* unanswered at a time */
#define USERS        8
#define DOUBT_ROUNDS 60

const char *client_role_name(enum role role)
{
    static const char *const names[ROLES] = {"talker",   "slow",        "silent",
                                             "offender", "stranger",    "stopper",
                                             "vanisher", "half closer", "vandal"};

    return names[role];
}

bool client_behaves(const struct client *client)
{
    return client->role == ROLE_TALKER || client->role == ROLE_SLOW;
}

/* --- the script ---------------------------------------------------------------------------------
 */

static enum role choose_role(void)
{
    const uint32_t choice = weather_between(0, 99);

    if (choice < 50) {
        return ROLE_TALKER;
    }
    return choice < 58 ? ROLE_SLOW : (enum role)weather_between(ROLE_SILENT, ROLES - 1);
}

static uint16_t choose_close(void)
{
    static const uint16_t codes[] = {
        0, 0, 0, WS_CLOSE_NORMAL, WS_CLOSE_GOING_AWAY, WS_CLOSE_NO_STATUS, 3999, 4000};

    return codes[weather_between(0, sizeof(codes) / sizeof(codes[0]) - 1)];
}

void script_write(struct client *client)
{
    const struct options *options = &client->world->options;
    const uint32_t size_max = options->limits.message_size_max;

    client->role = choose_role();
    client->stage = (enum stage)weather_between(0, STAGES - 1);
    client->kind = weather_between(0, 1000);
    client->arrives_ns =
        ring_sim_now_ns() + (weather_chance(50) ? 0 : ring_sim_random(3000)) * NS_PER_MS;
    client->slow_until_ns = client->arrives_ns + weather_between(500, 8000) * NS_PER_MS;
    client->message_count = weather_chance(30) ? 0 : weather_between(1, 12);
    if (world_drops(client->world)) {
        client->message_count *= 5; /* until queues are full */
    }
    if (options->plain.publish_channel == NULL && weather_chance(80)) {
        client->message_count = 0;
    }
    if (client->role >= ROLE_STOPPER && client->stage == STAGE_TALKED) {
        client->message_count = 1; /* so that its stage comes */
    }
    client->message_size_max = weather_chance(50) ? size_max : size_max / 4;
    if (options->plain.publish_channel != NULL && options->plain.publish_channel[0] != '\0' &&
        client->message_size_max > options->limits.queue_bytes_max / 32) {
        client->message_size_max = options->limits.queue_bytes_max / 32;
    }
    if (client->message_size_max < LEDGER_SIZE_MIN) {
        client->message_size_max = LEDGER_SIZE_MIN;
    }
    client->ping_count = weather_chance(70) ? 0 : weather_between(1, 100);
    client->close_code = choose_close();
    client->subscribes = options->token.required && weather_chance(70);
    /* Whom the server closes for a reserved bit offers nothing that would make it a good one. */
    client->offers_deflate = client->role != ROLE_OFFENDER && weather_chance(60);
    client->deflates = client->offers_deflate && options->upgrade.deflate;
    client->token_life_s = weather_chance(80) ? 0 : weather_between(1, 20);
    client->version = options->tls.tls_1_2 && weather_chance(30) ? TLS_1_2 : TLS_1_3;
    client->suite = (enum tls_suite)weather_between(0, 2);
}

bool script_reached(struct client *client, enum stage stage)
{
    uint8_t garbage[600];

    if (client->role < ROLE_STOPPER || client->stage != stage || client->astray) {
        return false;
    }
    client->astray = true;
    world_say(client->world, client, "goes astray at stage %d", (int)stage);
    if (stage == STAGE_HELLO) {
        client->output_size = weather_between(1, client->output_size - 1);
    }
    if (client->role == ROLE_VANISHER) {
        ring_sim_client_reset(client->connection);
        client_leave(client);
        return true;
    }
    if (client->role == ROLE_VANDAL) {
        const uint32_t size = weather_between(1, sizeof(garbage));
        for (uint32_t i = 0; i < size; i++) {
            garbage[i] = (uint8_t)ring_sim_random(256);
        }
        if (weather_chance(30)) {
            memcpy(garbage, "GET / HTTP/1.1\r\n\r\n", size < 18 ? size : 18);
        }
        if (client->has_keys && client->speech_size == 0 && weather_chance(50)) {
            garbage[0] |= 0x70; /* reserved bits: it is no message by chance */
            client_write(client, garbage, size);
        } else {
            client_write_raw(client, garbage, size);
        }
    }
    client->finish_due = client->role == ROLE_HALF_CLOSER;
    client->mute = true;
    return true;
}

/* --- the request --------------------------------------------------------------------------------
 */

enum strangeness {
    STRANGE_TOKEN,   /* no token at all in its place: 401 */
    STRANGE_MISSING, /* no token: 401 */
    STRANGE_FORGED,  /* 401 */
    STRANGE_EXPIRED, /* 401 */
    STRANGE_METHOD,  /* 405 */
    STRANGE_VERSION, /* 426 */
    STRANGE_KEY,     /* 400 */
    STRANGENESSES
};

static enum strangeness strangeness_of(const struct client *client)
{
    if (!client->world->options.token.required) {
        return STRANGE_METHOD + client->kind % (STRANGENESSES - STRANGE_METHOD);
    }
    return client->kind % STRANGENESSES;
}

static uint16_t strange_status(const struct client *client)
{
    static const uint16_t statuses[STRANGENESSES] = {401, 401, 401, 401, 405, 426, 400};

    return statuses[strangeness_of(client)];
}

static bool is_strange(const struct client *client, enum strangeness strangeness)
{
    return client->role == ROLE_STRANGER && strangeness_of(client) == strangeness;
}

static char *make_token(struct client *client)
{
    struct world *world = client->world;
    char subject[16];
    char other[24];
    char message[256];
    /* Whoever is subscribed twice gets a message once all the same. */
    static const char *const subscribed[] = {WORLD_CHANNEL, "ro*", "*", "room*", WORLD_CHANNEL};
    const char *channels[] = {other, subscribed[client->kind % 4],
                              subscribed[client->kind % 4 + 1]};
    const uint64_t now_s = ring_unix_ms(NULL) / 1000;
    const bool expired = is_strange(client, STRANGE_EXPIRED);
    const struct token_request request = {
        .subject = subject,
        .channels = channels,
        .channel_count = !client->subscribes     ? 1
                         : client->kind % 3 == 0 ? 3
                                                 : 2,
        .now_s = (double)(now_s - (expired ? 100 : 0)),
        .lifetime_s = expired ? 10 : client->token_life_s,
    };

    (void)snprintf(subject, sizeof(subject), "user-%u", client->number % USERS);
    (void)snprintf(other, sizeof(other), "other-%u", client->number % 3);
    client->token_ends_ms = (now_s + client->token_life_s) * 1000;
    char *token = token_make(&world->keyring->token_options, &request, message, sizeof(message));
    if (token == NULL) {
        world_fail(world, client, "token: %s", message);
    }
    if (is_strange(client, STRANGE_FORGED)) {
        char *at = strrchr(token, '.') + 3;
        *at = *at == 'A' ? 'B' : 'A';
    }
    return token;
}

void script_request(struct client *client)
{
    const bool has_token =
        client->world->options.token.required && !is_strange(client, STRANGE_MISSING);
    char *token = has_token ? make_token(client) : NULL;
    char text[REQUEST_SIZE];
    const int size = snprintf(
        text, sizeof(text),
        "%s /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: %s\r\n%s%s%s%s\r\n",
        is_strange(client, STRANGE_METHOD) ? "POST" : "GET",
        is_strange(client, STRANGE_KEY) ? "short" : "AAAAAAAAAAAAAAAAAAAAAA==",
        is_strange(client, STRANGE_VERSION) ? "8" : "13", has_token ? "Authorization: Bearer " : "",
        !has_token ? "" : (is_strange(client, STRANGE_TOKEN) ? "no.such.token" : token),
        has_token ? "\r\n" : "",
        client->offers_deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");

    ASSERT(size > 0);
    ASSERT((size_t)size < sizeof(text));
    free(token);
    if (client->role >= ROLE_STOPPER && client->stage == STAGE_REQUEST) {
        client_write(client, text, weather_between(1, (uint32_t)size - 1));
        (void)script_reached(client, STAGE_REQUEST);
        return;
    }
    client_write(client, text, (uint32_t)size);
}

/* --- talk ---------------------------------------------------------------------------------------
 */

enum offence {
    OFFENCE_UNMASKED,
    OFFENCE_RESERVED_BIT,
    OFFENCE_RESERVED_OPCODE,
    OFFENCE_PIECES_OF_PING,
    OFFENCE_LONG_PING,
    OFFENCE_LOOSE_CONTINUATION,
    OFFENCE_TEXT,
    OFFENCE_TOO_BIG,
    OFFENCE_CLOSE_CODE,
    OFFENCE_CLOSE_SIZE,
    OFFENCE_CLOSE_REASON,
    OFFENCES
};

static enum offence offence_of(const struct client *client)
{
    return client->kind % OFFENCES;
}

static uint16_t offence_code(const struct client *client)
{
    static const uint16_t codes[OFFENCES] = {
        [OFFENCE_UNMASKED] = WS_CLOSE_PROTOCOL_ERROR,
        [OFFENCE_RESERVED_BIT] = WS_CLOSE_PROTOCOL_ERROR,
        [OFFENCE_RESERVED_OPCODE] = WS_CLOSE_PROTOCOL_ERROR,
        [OFFENCE_PIECES_OF_PING] = WS_CLOSE_PROTOCOL_ERROR,
        [OFFENCE_LONG_PING] = WS_CLOSE_PROTOCOL_ERROR,
        [OFFENCE_LOOSE_CONTINUATION] = WS_CLOSE_PROTOCOL_ERROR,
        [OFFENCE_TEXT] = WS_CLOSE_INVALID_PAYLOAD,
        [OFFENCE_TOO_BIG] = WS_CLOSE_TOO_BIG,
        [OFFENCE_CLOSE_CODE] = WS_CLOSE_PROTOCOL_ERROR,
        [OFFENCE_CLOSE_SIZE] = WS_CLOSE_PROTOCOL_ERROR,
        [OFFENCE_CLOSE_REASON] = WS_CLOSE_INVALID_PAYLOAD,
    };

    return codes[offence_of(client)];
}

static void offend(struct client *client)
{
    static uint8_t bytes[CLIENT_SPEECH_MAX];
    const uint32_t too_big = client->world->options.limits.message_size_max + 1;

    memset(bytes, 'x', sizeof(bytes));
    switch (offence_of(client)) {
    case OFFENCE_UNMASKED:
        client_write(client, (const uint8_t[]){FIN | WS_TEXT, 1, 'x'}, 3);
        break;
    case OFFENCE_RESERVED_BIT:
        speech_frame(client, FIN | 0x40 | WS_TEXT, bytes, 5);
        break;
    case OFFENCE_RESERVED_OPCODE:
        speech_frame(client, FIN | 0xb, bytes, 5);
        break;
    case OFFENCE_PIECES_OF_PING:
        speech_frame(client, WS_PING, bytes, 5);
        break;
    case OFFENCE_LONG_PING:
        speech_frame(client, FIN | WS_PING, bytes, WS_CONTROL_SIZE_MAX + 1);
        break;
    case OFFENCE_LOOSE_CONTINUATION:
        speech_frame(client, FIN | WS_CONTINUATION, bytes, 5);
        break;
    case OFFENCE_TEXT:
        bytes[1] = 0xff;
        speech_frame(client, FIN | WS_TEXT, bytes, 5);
        break;
    case OFFENCE_TOO_BIG:
        speech_frame(client, FIN | WS_BINARY, bytes, too_big);
        break;
    case OFFENCE_CLOSE_CODE:
        store_be16(bytes, 999);
        speech_frame(client, FIN | WS_CLOSE, bytes, 2);
        break;
    case OFFENCE_CLOSE_SIZE:
        speech_frame(client, FIN | WS_CLOSE, bytes, 1);
        break;
    case OFFENCE_CLOSE_REASON:
        store_be16(bytes, 1000);
        bytes[2] = 0xff;
        speech_frame(client, FIN | WS_CLOSE, bytes, 3);
        break;
    case OFFENCES:
        ASSERT(false);
    }
    client->astray = true;
}

static bool has_said_all(const struct client *client)
{
    return client->sent >= client->message_count && client->pings_sent >= client->ping_count &&
           client->pongs == client->pings_sent;
}

static bool has_its_echoes(const struct client *client)
{
    const char *channel = client->world->options.plain.publish_channel;

    return channel == NULL || channel[0] != '\0' || client->bytes_away == 0;
}

void script_talk(struct client *client)
{
    if (client->role == ROLE_SILENT || client->close_sent || client->close_received) {
        return;
    }
    if (client->role == ROLE_OFFENDER && client->speech_size == 0 && weather_chance(10)) {
        offend(client);
        return;
    }
    if (client->sent < client->message_count && weather_chance(40) && speech_message(client)) {
        if (client->version == TLS_1_3 && weather_chance(10)) {
            client_turn_keys(client);
        }
        if (script_reached(client, STAGE_TALKED)) {
            return;
        }
    }
    while (client->pings_sent < client->ping_count && weather_chance(50) &&
           client->pings_sent - client->pongs < PINGS_AWAY) {
        speech_ping(client);
    }
    if (client->close_code != 0 && has_said_all(client) && has_its_echoes(client)) {
        speech_close(client, client->close_code);
    }
}

bool script_is_done(const struct client *client)
{
    if (client->life == LIFE_ENDED) {
        return true;
    }
    return client_behaves(client) && client->life == LIFE_OPEN && client->close_code == 0 &&
           has_said_all(client) && has_its_echoes(client) && !client->close_sent &&
           client->output_size == 0 && client->speech_size == 0;
}

/* --- the end ------------------------------------------------------------------------------------
 */

static uint64_t elapsed_ms(uint64_t from_ns)
{
    return (ring_sim_now_ns() - from_ns) / NS_PER_MS;
}

static bool age_fits(const struct client *client)
{
    const struct options *options = &client->world->options;
    const uint64_t age_ms = (client->close_received_ns - client->opened_ns) / NS_PER_MS;
    const uint64_t jitter_ms =
        (uint64_t)options->deadlines.age_max_ms * options->deadlines.age_jitter_percent / 100;

    return options->deadlines.age_max_ms > 0 &&
           age_ms + 1000 >= options->deadlines.age_max_ms - jitter_ms &&
           age_ms <= options->deadlines.age_max_ms + jitter_ms + 1000 + SLACK_MS;
}

static bool expiry_fits(const struct client *client)
{
    const struct options *options = &client->world->options;
    const uint64_t end_ms = client->token_ends_ms + options->deadlines.token_grace_ms +
                            options->token.leeway_s * 1000ull;
    const uint64_t closed_ms = ring_unix_ms(NULL) - elapsed_ms(client->close_received_ns);

    return client->token_life_s > 0 && closed_ms + 1 >= end_ms &&
           closed_ms <= end_ms + 2000 + SLACK_MS;
}

/* A client that hears and says nothing is given up in time, and not too early. */
static bool silence_fits(const struct client *client)
{
    const struct options *options = &client->world->options;
    const uint64_t silent_ms = (client->close_received_ns - client->opened_ns) / NS_PER_MS;
    const uint64_t least_ms =
        options->heartbeat.ping_interval_ms / 2 + options->heartbeat.pong_timeout_ms;

    return silent_ms + 500 >= least_ms &&
           silent_ms <= least_ms + options->heartbeat.ping_interval_ms + SLACK_MS;
}

static bool is_silent(const struct client *client)
{
    return client->role == ROLE_SILENT || client->role == ROLE_SLOW || client->astray;
}

/* A close code that this client may get. */
static bool code_fits(const struct client *client)
{
    const struct world *world = client->world;

    switch (client->close_received_code) {
    case WS_CLOSE_GOING_AWAY:
        return world->stopping ||
               (client->close_sent && client->close_sent_code == WS_CLOSE_GOING_AWAY);
    case WS_CLOSE_SERVICE_RESTART:
        return world->stopping || age_fits(client); /* a drain, or its age */
    case WS_CLOSE_UNAUTHORIZED:
        return expiry_fits(client);
    case WS_CLOSE_TIMEOUT:
        return is_silent(client) && (client->role != ROLE_SILENT || silence_fits(client));
    case WS_CLOSE_POLICY_VIOLATION:
        return world->options.plain.publish_channel == NULL && client->sent > 0;
    default:
        break;
    }
    if (client->role == ROLE_OFFENDER && client->astray) {
        return client->close_received_code == offence_code(client);
    }
    return client->close_sent && client->close_received_code == client->close_sent_code;
}

/* The deadlines of those who stop half way, to the early side. */
static bool stop_fits(const struct client *client)
{
    const struct options *options = &client->world->options;
    const uint64_t held_ms = elapsed_ms(client->connected_ns);

    if (client->life == LIFE_OPEN || client->world->stopping ||
        WORLD_COUNT(client->world, handshakes[HANDSHAKE_OUTCOME_GAVE_WAY]) > 0) {
        return true;
    }
    const uint32_t least_ms = client->life == LIFE_HANDSHAKE ? options->deadlines.handshake_ms
                                                             : options->deadlines.upgrade_ms;
    return held_ms + 20 >= least_ms &&
           held_ms <= options->deadlines.handshake_ms + options->deadlines.upgrade_ms + SLACK_MS;
}

static bool is_clean(const struct client *client, enum ring_sim_end end)
{
    return client->close_received && code_fits(client) && client->notified && end == SIM_FIN;
}

static bool end_fits(const struct client *client, enum ring_sim_end end)
{
    const struct world *world = client->world;

    if (world->stopping && client->life < LIFE_OPEN) {
        return true; /* 503, or cut off at the end */
    }
    if (world->weather == WEATHER_TIGHT && client->life < LIFE_OPEN &&
        (WORLD_COUNT(world, handshakes[HANDSHAKE_OUTCOME_TIMEOUT]) > 0 ||
         WORLD_COUNT(world, handshakes[HANDSHAKE_OUTCOME_GAVE_WAY]) > 0)) {
        return true; /* all the handshakes were held until its time was over, or it gave way */
    }
    switch (client->role) {
    case ROLE_TALKER:
        return is_clean(client, end);
    case ROLE_OFFENDER: /* one that sends on may outlast the linger: the goodbye came all the same
                         */
        return is_clean(client, SIM_FIN);
    case ROLE_SLOW:
        return is_clean(client, end) || WORLD_COUNT(world, closed[CAUSE_SLOW_CONSUMER]) > 0 ||
               WORLD_COUNT(world, close_timeouts) > 0;
    case ROLE_SILENT:
        return client->close_received && code_fits(client);
    case ROLE_STRANGER:
        return client->status == strange_status(client) && client->notified && end == SIM_FIN;
    case ROLE_STOPPER:
        return stop_fits(client);
    case ROLE_VANISHER:
    case ROLE_HALF_CLOSER:
    case ROLE_VANDAL:
        /* Those whose stage never came behaved until now. */
        return client->astray || is_clean(client, end);
    case ROLES:
        break;
    }
    ASSERT(false);
    return false;
}

void script_ended(struct client *client, enum ring_sim_end end)
{
    struct world *world = client->world;

    world_say(world, client, "ends: %s, close %u, notified %d, alert %u, status %u",
              end == SIM_FIN ? "FIN" : "reset", client->close_received_code, (int)client->notified,
              client->alert, client->status);
    client->end = end;
    if (!end_fits(client, end)) {
        client->doubt = DOUBT_ROUNDS;
    }
}

void script_doubt(struct client *client)
{
    struct world *world = client->world;

    if (client->doubt == 0 || --client->doubt > 0 || world_has_excuse(world)) {
        return;
    }
    world_fail(world, client,
               "must not end like that: %s, close %u (received %d, sent %d), notified %d, "
               "alert %u, status %u",
               client->end == SIM_FIN ? "FIN" : "reset", client->close_received_code,
               (int)client->close_received, (int)client->close_sent, (int)client->notified,
               client->alert, client->status);
}
