#include "tls/handshake.h"

#include "base/pool.h"
#include "tls/alert.h"
#include "tls/context.h"
#include "tls/early.h"
#include "tls/exchange.h"
#include "tls/heap.h"
#include "tls/sieve.h"

#include <stdio.h>
#include <stdlib.h>
#include <wolfssl/ssl.h>

/*
 * What a handshake may hold between two calls (it waits for the client: 8 to 11 KB and its flight,
 * up to 16 KB of a second hello), and what one call needs on top (20 KB, more with RSA-4096 and a
 * hello of 16 KB).
 */
#define HANDSHAKE_HEAP_MAX INT64_C(24576)
#define CALL_HEAP_MAX      INT64_C(196608)

/* What the client gets when there is not even room to begin. */
static const uint8_t no_room_alert[] = {RECORD_ALERT, 3, 3, 0, 2, 2, ALERT_INTERNAL_ERROR};

struct handshake {
    struct exchange exchange;
    struct sieve sieve;
    struct tls_keys keys;
    struct exchange_failure failure;
    enum handshake_status status;
    bool is_open;     /* the exchange holds a library object */
    bool is_reported; /* the caller has seen status and output */
};

struct tls_server {
    struct contexts contexts;
    struct context_options context_options; /* for renewals */
    struct pool handshakes;
    int64_t heap_size; /* what was allowed for it */
    uint8_t scratch[EARLY_SCRATCH_SIZE];
};

struct tls_server *tls_server_open(const struct tls_server_options *options, char *message,
                                   size_t message_size)
{
    heap_install();
    struct tls_server *server = calloc(1, sizeof(*server));
    if (!server) {
        (void)snprintf(message, message_size, "no memory for a TLS server");
        return NULL;
    }
    server->context_options =
        (struct context_options){.tickets = options->tickets, .tls_1_2 = options->tls_1_2};
    if (pool_open(&server->handshakes, POOL_SECRET, sizeof(struct handshake),
                  options->handshakes_max) < 0) {
        (void)snprintf(message, message_size, "no memory for %u handshakes",
                       options->handshakes_max);
        free(server);
        return NULL;
    }
    if (contexts_open(&server->contexts, options->certificates, &server->context_options, message,
                      message_size) < 0) {
        pool_close(&server->handshakes);
        free(server);
        return NULL;
    }
    server->heap_size = options->handshakes_max * HANDSHAKE_HEAP_MAX + CALL_HEAP_MAX;
    heap_allow(server->heap_size);
    return server;
}

static struct handshake *handshake_at(const struct tls_server *server, uint32_t number)
{
    ASSERT(pool_is_taken(&server->handshakes, number));
    return pool_at(&server->handshakes, number);
}

void tls_server_close(struct tls_server *server)
{
    if (!server) {
        return;
    }
    for (uint32_t number = 0; server->handshakes.count > 0; number++) {
        if (pool_is_taken(&server->handshakes, number)) {
            handshake_end(server, number);
        }
    }
    contexts_close(&server->contexts);
    pool_close(&server->handshakes);
    heap_allow(-server->heap_size);
    free(server);
}

int tls_server_renew(struct tls_server *server, const struct certificate_set *set, char *message,
                     size_t message_size)
{
    struct contexts contexts;
    const int result =
        contexts_open(&contexts, set, &server->context_options, message, message_size);
    if (result == 0) {
        contexts_close(&server->contexts);
        server->contexts = contexts;
    }
    return result;
}

/* Hands one record (or the hello) to the library. */
static void run(struct handshake *handshake, struct slice record)
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

static WOLFSSL_CTX *context_for(const struct tls_server *server, const struct hello *hello)
{
    const struct certificate_wish wish = {
        .name = slice_from(hello->name, hello->name_size),
        .ecdsa = hello->offers_ecdsa,
        .rsa = hello->offers_rsa,
    };
    return server->contexts.list[certificate_choose(server->contexts.certificates, &wish)];
}

uint32_t handshake_start(struct tls_server *server, const struct hello *hello,
                         const uint8_t *joined)
{
    const uint32_t number = pool_take(&server->handshakes);
    if (number == NONE) {
        return NONE;
    }
    struct handshake *handshake = pool_at(&server->handshakes, number);
    memset(handshake, 0, sizeof(*handshake));
    sieve_init(&handshake->sieve, hello);
    handshake->is_open = exchange_open(&handshake->exchange, context_for(server, hello));
    if (!handshake->is_open) {
        handshake->status = HANDSHAKE_FAILED;
        handshake->failure.alert = ALERT_INTERNAL_ERROR;
        return number;
    }
    handshake->exchange.server_name_size = hello->name_size;
    memcpy(handshake->exchange.server_name, hello->name, hello->name_size);
    if (!hello->offers_psk_dhe) {
        /* A client that names no mode in which it could come back (RFC 8446, section 4.2.9). */
        (void)wolfSSL_no_ticket_TLSv13(handshake->exchange.ssl);
    }
    run(handshake, slice_from(joined, RECORD_HEADER_SIZE + hello->message_size));
    return number;
}

static void refuse(struct handshake *handshake, uint8_t alert)
{
    exchange_refuse(&handshake->exchange, alert, &handshake->failure);
    handshake->status = HANDSHAKE_FAILED;
}

/* Takes the first record of input; returns its size, 0 when it is not whole or the handshake ended.
 */
static size_t take_record(struct tls_server *server, struct handshake *handshake,
                          struct slice input)
{
    uint8_t alert = 0;
    const size_t size = wire_frame(input, &alert);
    struct slice record = slice_from(input.data, size);
    if (alert) {
        refuse(handshake, alert);
        return 0;
    }
    if (size == 0) {
        return 0;
    }
    switch (sieve_record(&handshake->sieve, &handshake->exchange.wire, &handshake->exchange.capture,
                         &record, server->scratch, &alert)) {
    case SIEVE_PASS:
        run(handshake, record);
        sieve_clear(&handshake->sieve);
        break;
    case SIEVE_DROP:
        break;
    case SIEVE_REFUSE:
        refuse(handshake, alert);
        break;
    }
    return size;
}

enum handshake_status handshake_feed(struct tls_server *server, uint32_t number,
                                     const uint8_t *input, size_t size,
                                     struct handshake_result *result)
{
    struct handshake *handshake = handshake_at(server, number);
    *result = (struct handshake_result){.consumed = 0};
    if (handshake->is_reported) {
        ASSERT(handshake->status == HANDSHAKE_MORE);
        exchange_clear_output(&handshake->exchange);
    }
    struct slice rest = slice_from(input, size);
    while (handshake->status == HANDSHAKE_MORE) {
        const size_t taken = take_record(server, handshake, rest);
        if (taken == 0) {
            break;
        }
        rest = slice_from(rest.data + taken, rest.size - taken);
    }
    result->consumed = size - rest.size;
    handshake->is_reported = true;
    if (handshake->is_open) {
        result->output = slice_from(handshake->exchange.output, handshake->exchange.output_size);
    } else {
        result->output = slice_from(no_room_alert, sizeof(no_room_alert));
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

void handshake_keys(struct tls_server *server, uint32_t number, struct tls_keys *keys)
{
    const struct handshake *handshake = handshake_at(server, number);
    ASSERT(handshake->status == HANDSHAKE_DONE);
    *keys = handshake->keys;
}

void handshake_end(struct tls_server *server, uint32_t number)
{
    struct handshake *handshake = handshake_at(server, number);
    if (handshake->is_open) {
        exchange_close(&handshake->exchange);
    }
    sieve_clear(&handshake->sieve);
    secret_wipe(handshake, sizeof(*handshake));
    pool_give(&server->handshakes, number);
}

uint32_t handshake_count(const struct tls_server *server)
{
    return server->handshakes.count;
}

void handshake_trim(struct tls_server *server)
{
    pool_trim(&server->handshakes, NULL, NULL);
    heap_trim();
}

size_t handshake_heap(void)
{
    return heap_used();
}
