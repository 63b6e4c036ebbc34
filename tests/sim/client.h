/*
 * client.h - a simulated client: a real TLS and WebSocket client whose role is written by the seed.
 *
 *   client.c  its life: connect, handshake, upgrade, bytes in and out, the end
 *   speech.c  what it says and hears once it is open: frames
 *   script.c  what it is up to, and what may become of it
 *   ledger.c  messages: who sent what, who must have got it
 */
#pragma once

#include "tests/sim/world.h"
#include "ws/frame.h"

#define CLIENT_INPUT_MAX  (TLS_RECORD_SIZE_MAX + 2048)
#define CLIENT_OUTPUT_MAX (256u * 1024)
#define CLIENT_SPEECH_MAX (96u * 1024)
#define CLIENT_ANSWER_MAX (TLS_DATA_SIZE_MAX + 2048) /* frames may follow in its record */

enum role {
    ROLE_TALKER,      /* behaves: talks, listens, answers pings */
    ROLE_SLOW,        /* behaves, but reads little for a while */
    ROLE_SILENT,      /* opens, then says nothing: 3008 */
    ROLE_OFFENDER,    /* breaks a rule of RFC 6455: a close code */
    ROLE_STRANGER,    /* asks for what it does not get: an HTTP status */
    ROLE_STOPPER,     /* goes quiet at its stage */
    ROLE_VANISHER,    /* RST at its stage */
    ROLE_HALF_CLOSER, /* FIN at its stage */
    ROLE_VANDAL,      /* bytes by chance at its stage */
    ROLES
};

/* Where a client can go astray. */
enum stage {
    STAGE_CONNECTED,
    STAGE_HELLO,   /* after a part of the ClientHello */
    STAGE_FLIGHT,  /* the server's flight was read, our Finished is not sent, or a part of it */
    STAGE_KEYS,    /* the handshake is done */
    STAGE_REQUEST, /* a part of the upgrade request is sent */
    STAGE_OPEN,    /* the 101 was read */
    STAGE_TALKED,  /* the first message was sent */
    STAGES
};

enum life {
    LIFE_WAITING, /* has not connected yet */
    LIFE_HANDSHAKE,
    LIFE_UPGRADE,
    LIFE_OPEN,
    LIFE_ENDED,
};

struct client {
    struct world *world;
    uint32_t number;

    /* the script */
    enum role role;
    enum stage stage;
    uint32_t kind; /* of offence, strangeness or slowness */
    uint64_t arrives_ns;
    uint64_t slow_until_ns;
    uint32_t message_count; /* to send */
    uint32_t message_size_max;
    uint32_t ping_count;
    uint16_t close_code; /* to close with after all that; 0: stays */
    bool subscribes;
    bool offers_deflate;
    bool deflates;         /* the server agrees */
    uint32_t token_life_s; /* 0: no end */
    enum tls_version version;
    enum tls_suite suite;

    /* its life */
    enum life life;
    uint32_t shard;
    uint32_t connection; /* of the network */
    uint32_t handshake;
    uint64_t connected_ns;
    uint64_t opened_ns;
    uint64_t token_ends_ms; /* Unix time */
    bool has_keys;
    bool mute;       /* makes no more bytes */
    bool finish_due; /* FIN when all is sent */
    bool finished;
    bool astray; /* the role's deed was done */
    uint16_t status;
    bool close_sent;
    uint16_t close_sent_code;
    bool close_received;
    uint16_t close_received_code;
    uint64_t close_received_ns;
    bool notified; /* close_notify came */
    uint8_t alert;
    enum ring_sim_end end;
    uint32_t doubt; /* rounds until a bad end counts */

    /* messages */
    uint32_t sent;       /* messages handed to TLS */
    uint32_t bytes_away; /* echo: sent and not back yet */
    uint32_t pings_sent;
    uint32_t pongs;
    uint32_t got;                     /* messages in all */
    uint32_t next[WORLD_CLIENTS_MAX]; /* the sequence number that must come next, by sender */
    bool heard[WORLD_CLIENTS_MAX]; /* something came of this sender; before, next is the latest */

    uint64_t keys[TLS_STATE_SIZE_MAX / 8];
    struct ws_reader reader;
    uint32_t control_size;
    uint32_t message_size;
    uint32_t answer_size;
    uint32_t input_size;
    uint32_t speech_size;
    uint32_t output_size;
    uint8_t control[WS_CONTROL_SIZE_MAX];
    uint8_t answer[CLIENT_ANSWER_MAX + 1];
    uint8_t input[CLIENT_INPUT_MAX];    /* off the wire */
    uint8_t message[CLIENT_SPEECH_MAX]; /* being put together */
    uint8_t speech[CLIENT_SPEECH_MAX];  /* to be sealed */
    uint8_t output[CLIENT_OUTPUT_MAX];  /* to the wire */
};

/* client.c */
MUST_CHECK struct client *client_new(struct world *world, uint32_t number);
void client_free(struct client *client);
void client_step(struct client *client);
void client_leave(struct client *client); /* at once, with FIN or RST */
void client_write(struct client *client, const void *bytes, uint32_t size);
void client_write_raw(struct client *client, const void *bytes, uint32_t size);
void client_turn_keys(struct client *client);
MUST_CHECK struct tls_state *client_keys(struct client *client);

/* speech.c */
void speech_frame(struct client *client, uint8_t first_byte, const uint8_t *payload, uint32_t size);
/* False when it must wait: nothing was said. */
MUST_CHECK bool speech_message(struct client *client);
void speech_ping(struct client *client);
void speech_close(struct client *client, uint16_t code);
void speech_heard(struct client *client, uint8_t *bytes, size_t size);

/* script.c */
MUST_CHECK const char *client_role_name(enum role role);
void script_write(struct client *client);
/* The stage is reached: what the role does there. True when the client has gone for good. */
bool script_reached(struct client *client, enum stage stage);
void script_request(struct client *client);
void script_talk(struct client *client);
/* All that it had to do is done. */
MUST_CHECK bool script_is_done(const struct client *client);
/* Judges the end of a connection. A bad one counts some rounds later, when no counter gives a
 * reason for it: a shard may learn of the reason after the client. */
void script_ended(struct client *client, enum ring_sim_end end);
void script_doubt(struct client *client);
MUST_CHECK bool client_behaves(const struct client *client);

/* ledger.c: every message names its sender and number, so that its receiver can tell what it should
 * be. */
void ledger_write(uint8_t *out, uint32_t sender, uint32_t sequence, uint32_t size);
void ledger_opened(struct client *client);
void ledger_received(struct client *client, const uint8_t *message, uint32_t size);
MUST_CHECK bool ledger_may_send(const struct client *client, uint32_t size);
/* Nothing moves any more: every listener must have got all. */
void ledger_settle(struct world *world);
#define LEDGER_SIZE_MIN 18u
