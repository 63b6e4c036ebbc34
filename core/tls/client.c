#include "tls/client.h"

#include "base/pool.h"
#include "tls/alert.h"
#include "tls/exchange.h"
#include "tls/heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <wolfssl/ssl.h>

/* As in handshake.c; checking a chain takes more than sending one. */
#define HANDSHAKE_HEAP_MAX INT64_C(32768)
#define CALL_HEAP_MAX      INT64_C(262144)

struct client_handshake {
    struct exchange exchange;
    struct tls_keys keys;
    struct exchange_failure failure;
    enum handshake_status status;
    bool is_open;
    bool is_started; /* the hello was made */
};

struct tls_client {
    WOLFSSL_CTX *context;
    struct pool handshakes;
    int64_t heap_size;
    char *host_name;
    bool verifies;
};

static const char *suite_names(enum tls_version version, enum tls_suite suite)
{
    switch (suite) {
    case TLS_AES_128_GCM:
        return version == TLS_1_3 ? "TLS13-AES128-GCM-SHA256"
                                  : "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256";
    case TLS_AES_256_GCM:
        return version == TLS_1_3 ? "TLS13-AES256-GCM-SHA384"
                                  : "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
    case TLS_CHACHA20_POLY1305:
        return version == TLS_1_3 ? "TLS13-CHACHA20-POLY1305-SHA256"
                                  : "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
    }
    ASSERT(false);
    return NULL;
}

#ifdef WOLFSSL_HAVE_MLKEM
#define HAS_HYBRID true
#else
#define HAS_HYBRID false
#endif
#define GROUP_X25519MLKEM768 0x11ec /* only 5.9's header has a name for it */

/* The first group's share is sent. */
static bool context_groups(WOLFSSL_CTX *context, const struct tls_client_options *options)
{
    int hybrid[] = {GROUP_X25519MLKEM768, WOLFSSL_ECC_X25519};
    int usual[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1};
    /*
     * In 1.2 X25519 is left out: against an ECDSA certificate every third handshake of 5.9.2's
     * client then ends with keys that differ from the server's (5.7.2: none).
     */
    int old[] = {WOLFSSL_ECC_SECP256R1};
    if (options->hybrid) {
        return wolfSSL_CTX_set_groups(context, hybrid, 2) == WOLFSSL_SUCCESS;
    }
    if (options->version == TLS_1_3) {
        return wolfSSL_CTX_set_groups(context, usual, 2) == WOLFSSL_SUCCESS;
    }
    return wolfSSL_CTX_set_groups(context, old, 1) == WOLFSSL_SUCCESS;
}

static bool context_setup(WOLFSSL_CTX *context, const struct tls_client_options *options)
{
    exchange_context(context);
    wolfSSL_CTX_set_verify(context, options->ca_path ? WOLFSSL_VERIFY_PEER : WOLFSSL_VERIFY_NONE,
                           NULL);
    return wolfSSL_CTX_set_cipher_list(context, suite_names(options->version, options->suite)) ==
               WOLFSSL_SUCCESS &&
           context_groups(context, options) &&
           (!options->host_name ||
            wolfSSL_CTX_UseSNI(context, WOLFSSL_SNI_HOST_NAME, options->host_name,
                               (unsigned short)strlen(options->host_name)) == WOLFSSL_SUCCESS);
}

/* NULL with a message. */
static WOLFSSL_CTX *context_open(const struct tls_client_options *options, char *message,
                                 size_t message_size)
{
    if (options->hybrid && !HAS_HYBRID) {
        (void)snprintf(message, message_size,
                       "X25519MLKEM768 needs wolfSSL 5.9 or newer; this is built with %s",
                       LIBWOLFSSL_VERSION_STRING);
        return NULL;
    }
    WOLFSSL_CTX *context = wolfSSL_CTX_new(
        options->version == TLS_1_3 ? wolfTLSv1_3_client_method() : wolfTLSv1_2_client_method());
    if (!context || !context_setup(context, options)) {
        (void)snprintf(message, message_size, "no memory for a TLS client");
        wolfSSL_CTX_free(context);
        return NULL;
    }
    if (options->ca_path &&
        wolfSSL_CTX_load_verify_locations(context, options->ca_path, NULL) != WOLFSSL_SUCCESS) {
        (void)snprintf(message, message_size, "%s: no certificates to verify with can be read",
                       options->ca_path);
        wolfSSL_CTX_free(context);
        return NULL;
    }
    return context;
}

struct tls_client *tls_client_open(const struct tls_client_options *options, char *message,
                                   size_t message_size)
{
    if (options->hybrid) {
        ASSERT(options->version == TLS_1_3);
    }
    heap_install();
    struct tls_client *client = calloc(1, sizeof(*client));
    if (client && options->host_name) {
        client->host_name = strdup(options->host_name);
    }
    if (!client || (options->host_name && !client->host_name) ||
        pool_open(&client->handshakes, POOL_SECRET, sizeof(struct client_handshake),
                  options->handshakes_max) < 0) {
        (void)snprintf(message, message_size, "no memory for %u client handshakes",
                       options->handshakes_max);
        goto no_pool;
    }
    client->verifies = options->ca_path != NULL;
    client->context = context_open(options, message, message_size);
    if (!client->context) {
        pool_close(&client->handshakes);
        goto no_pool;
    }
    client->heap_size = options->handshakes_max * HANDSHAKE_HEAP_MAX + CALL_HEAP_MAX;
    heap_allow(client->heap_size);
    return client;

no_pool:
    if (client) {
        free(client->host_name);
    }
    free(client);
    return NULL;
}

static struct client_handshake *handshake_at(const struct tls_client *client, uint32_t number)
{
    ASSERT(pool_is_taken(&client->handshakes, number));
    return pool_at(&client->handshakes, number);
}

void tls_client_close(struct tls_client *client)
{
    if (!client) {
        return;
    }
    for (uint32_t number = 0; client->handshakes.count > 0; number++) {
        if (pool_is_taken(&client->handshakes, number)) {
            client_handshake_end(client, number);
        }
    }
    wolfSSL_CTX_free(client->context);
    pool_close(&client->handshakes);
    heap_allow(-client->heap_size);
    free(client->host_name);
    free(client);
}

uint32_t client_handshake_start(struct tls_client *client)
{
    const uint32_t number = pool_take(&client->handshakes);
    if (number == NONE) {
        return NONE;
    }
    struct client_handshake *handshake = pool_at(&client->handshakes, number);
    memset(handshake, 0, sizeof(*handshake));
    handshake->is_open = exchange_open(&handshake->exchange, client->context);
    if (handshake->is_open && client->verifies && client->host_name) {
        heap_enter();
        const int checks = wolfSSL_check_domain_name(handshake->exchange.ssl, client->host_name);
        heap_leave();
        if (checks != WOLFSSL_SUCCESS) {
            exchange_close(&handshake->exchange);
            handshake->is_open = false;
        }
    }
    if (!handshake->is_open) {
        handshake->status = HANDSHAKE_FAILED;
        handshake->failure.alert = ALERT_INTERNAL_ERROR;
    }
    return number;
}

uint32_t client_handshake_resume(struct tls_client *client, const struct client_ticket *ticket)
{
    const uint32_t number = client_handshake_start(client);
    struct client_handshake *handshake = number == NONE ? NULL : handshake_at(client, number);

    if (handshake && handshake->is_open) {
        heap_enter();
        const bool is_offered = client_ticket_offer(ticket, handshake->exchange.ssl);
        heap_leave();
        if (!is_offered) {
            client_handshake_end(client, number);
            return NONE;
        }
    }
    return number;
}

/* The library reads the server's records, too, to find the ticket; it has the same keys. */
struct client_ticket *client_handshake_ticket(struct tls_client *client, uint32_t number,
                                              struct slice records)
{
    struct client_handshake *handshake = handshake_at(client, number);
    uint8_t data[1];

    ASSERT(handshake->status == HANDSHAKE_DONE);
    handshake->exchange.input = records;
    heap_enter();
    (void)wolfSSL_peek(handshake->exchange.ssl, data, sizeof(data));
    heap_leave();
    handshake->exchange.input = slice_from(NULL, 0);
    return client_ticket_take(handshake->exchange.ssl);
}

static void run(struct client_handshake *handshake, struct slice record)
{
    switch (exchange_run(&handshake->exchange, record, &handshake->keys, &handshake->failure)) {
    case EXCHANGE_MORE:
        handshake->status = HANDSHAKE_MORE;
        break;
    case EXCHANGE_DONE:
        handshake->status = HANDSHAKE_DONE;
        break;
    case EXCHANGE_FAILED:
        handshake->status = HANDSHAKE_FAILED;
        break;
    }
}

/* Returns the bytes that were taken. */
static size_t run_records(struct client_handshake *handshake, struct slice input)
{
    struct slice rest = input;
    while (handshake->status == HANDSHAKE_MORE) {
        uint8_t alert = 0;
        const size_t size = wire_frame(rest, &alert);
        if (alert) {
            exchange_refuse(&handshake->exchange, alert, &handshake->failure);
            handshake->status = HANDSHAKE_FAILED;
        }
        if (size == 0) {
            break;
        }
        run(handshake, slice_from(rest.data, size));
        rest = slice_from(rest.data + size, rest.size - size);
    }
    return input.size - rest.size;
}

enum handshake_status client_handshake_feed(struct tls_client *client, uint32_t number,
                                            const uint8_t *input, size_t size,
                                            struct handshake_result *result)
{
    struct client_handshake *handshake = handshake_at(client, number);
    *result = (struct handshake_result){.consumed = 0};
    if (handshake->is_open) {
        exchange_clear_output(&handshake->exchange);
        if (!handshake->is_started) {
            handshake->is_started = true;
            run(handshake, slice_from(NULL, 0));
        }
        result->consumed = run_records(handshake, slice_from(input, size));
        result->output = slice_from(handshake->exchange.output, handshake->exchange.output_size);
    }
    if (handshake->status == HANDSHAKE_FAILED) {
        result->alert = handshake->failure.alert;
        result->alert_received = handshake->failure.alert_received;
        result->error = handshake->failure.error;
    } else if (handshake->status == HANDSHAKE_DONE) {
        result->resumed = wolfSSL_session_reused(handshake->exchange.ssl) == 1;
    }
    return handshake->status;
}

void client_handshake_keys(struct tls_client *client, uint32_t number, struct tls_keys *keys)
{
    const struct client_handshake *handshake = handshake_at(client, number);
    ASSERT(handshake->status == HANDSHAKE_DONE);
    *keys = handshake->keys;
}

void client_handshake_end(struct tls_client *client, uint32_t number)
{
    struct client_handshake *handshake = handshake_at(client, number);
    if (handshake->is_open) {
        exchange_close(&handshake->exchange);
    }
    secret_wipe(handshake, sizeof(*handshake));
    pool_give(&client->handshakes, number);
}
