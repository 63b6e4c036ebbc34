#include "tls/exchange.h"

#include "tls/alert.h"
#include "tls/heap.h"

#include <wolfssl/error-ssl.h>
#include <wolfssl/internal.h> /* SendAlert, TranslateErrorToAlert: no public call sends a chosen alert */
#include <wolfssl/ssl.h>

#define OUTPUT_ROOM_MIN 1024

static int exchange_receive(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    struct exchange *exchange = context;
    (void)ssl;
    if (exchange->input.size == 0) {
        return WOLFSSL_CBIO_ERR_WANT_READ;
    }
    const size_t taken = (size_t)size < exchange->input.size ? (size_t)size : exchange->input.size;
    memcpy(buffer, exchange->input.data, taken);
    exchange->input.data += taken;
    exchange->input.size -= taken;
    return (int)taken;
}

static bool output_append(struct exchange *exchange, struct slice bytes)
{
    const size_t size = exchange->output_size + bytes.size;
    if (size > exchange->output_room) {
        size_t room = exchange->output_room ? exchange->output_room * 2 : OUTPUT_ROOM_MIN;
        while (room < size) {
            room *= 2;
        }
        uint8_t *larger = heap_take(room);
        if (!larger) {
            return false;
        }
        if (exchange->output_size > 0) {
            memcpy(larger, exchange->output, exchange->output_size);
        }
        heap_give(exchange->output);
        exchange->output = larger;
        exchange->output_room = (uint32_t)room;
    }
    memcpy(exchange->output + exchange->output_size, bytes.data, bytes.size);
    exchange->output_size = (uint32_t)size;
    return true;
}

/* The library writes whole records, one or several at a time. */
static int exchange_send(WOLFSSL *ssl, char *buffer, int size, void *context)
{
    struct exchange *exchange = context;
    struct slice rest = slice_from(buffer, (size_t)size);
    WOLFSSL_ALERT_HISTORY history;
    if (exchange->output_ended) {
        return size;
    }
    while (rest.size >= RECORD_HEADER_SIZE) {
        const size_t record_size = RECORD_HEADER_SIZE + (size_t)load_be16(rest.data + 3);
        ASSERT(record_size <= rest.size);
        const struct slice record = slice_from(rest.data, record_size);
        if (!output_append(exchange, record)) {
            return WOLFSSL_CBIO_ERR_GENERAL;
        }
        if (wire_sent(&exchange->wire, record) &&
            !output_append(exchange, slice_from(change_cipher_record, CHANGE_CIPHER_SIZE))) {
            return WOLFSSL_CBIO_ERR_GENERAL;
        }
        rest = slice_from(rest.data + record_size, rest.size - record_size);
    }
    ASSERT(rest.size == 0);
    /* It sends two alerts in a row at times; the first one counts, sealed or not. */
    (void)wolfSSL_get_alert_history(ssl, &history);
    if (history.last_tx.level == alert_fatal) {
        exchange->output_ended = true;
        exchange->alert = (uint8_t)history.last_tx.code;
    }
    return size;
}

void exchange_context(struct WOLFSSL_CTX *context)
{
    wolfSSL_CTX_SetIORecv(context, exchange_receive);
    wolfSSL_CTX_SetIOSend(context, exchange_send);
}

bool exchange_open(struct exchange *exchange, struct WOLFSSL_CTX *context)
{
    memset(exchange, 0, sizeof(*exchange));
    heap_enter();
    exchange->ssl = wolfSSL_new(context);
    if (exchange->ssl) {
        wolfSSL_SetIOReadCtx(exchange->ssl, exchange);
        wolfSSL_SetIOWriteCtx(exchange->ssl, exchange);
        capture_begin(&exchange->capture, exchange->ssl);
    }
    heap_leave();
    return exchange->ssl != NULL;
}

void exchange_close(struct exchange *exchange)
{
    heap_enter();
    wolfSSL_free(exchange->ssl);
    heap_leave();
    heap_give(exchange->output);
    secret_wipe(exchange, sizeof(*exchange));
}

/* For what the library ends without a word (all measured; none of them names the peer's fault). */
static uint8_t alert_of(int error)
{
    const int alert = TranslateErrorToAlert(error);
    if (alert >= 0) {
        return (uint8_t)alert;
    }
    switch (error) {
    case PARSE_ERROR:
    case HANDSHAKE_SIZE_ERROR:
    case BUFFER_E:
    case BAD_TICKET_MSG_SZ:
        return ALERT_DECODE_ERROR;
    case DUPLICATE_TLS_EXT_E:
    case COMPRESSION_ERROR:
    case PUBLIC_KEY_E: /* a share of the hybrid group that is no key of ML-KEM */
        return ALERT_ILLEGAL_PARAMETER;
    case UNKNOWN_RECORD_TYPE:
    case OUT_OF_ORDER_E:
    case DUPLICATE_MSG_E:
        return ALERT_UNEXPECTED_MESSAGE;
    default:
        return ALERT_INTERNAL_ERROR;
    }
}

/* Fills failure, and sends an alert where none was sent or received. */
static void fail(struct exchange *exchange, int error, uint8_t alert,
                 struct exchange_failure *failure)
{
    WOLFSSL_ALERT_HISTORY history;
    (void)wolfSSL_get_alert_history(exchange->ssl, &history);
    failure->error = error;
    failure->alert_received = history.last_rx.level == alert_fatal;
    if (failure->alert_received) {
        failure->alert = (uint8_t)history.last_rx.code;
        return;
    }
    if (!exchange->output_ended) {
        (void)SendAlert(exchange->ssl, alert_fatal, alert);
    }
    failure->alert = exchange->output_ended ? exchange->alert : alert;
}

void exchange_refuse(struct exchange *exchange, uint8_t alert, struct exchange_failure *failure)
{
    heap_enter();
    fail(exchange, 0, alert, failure);
    heap_leave();
}

/* The wire must be at a record boundary, with nothing read ahead: what follows is for other keys.
 */
static bool is_at_boundary(const struct exchange *exchange)
{
    return exchange->input.size == 0 && wolfSSL_pending(exchange->ssl) == 0 &&
           exchange->ssl->buffers.inputBuffer.length == exchange->ssl->buffers.inputBuffer.idx;
}

static enum exchange_status run(struct exchange *exchange, struct tls_keys *keys,
                                struct exchange_failure *failure)
{
    const int result = wolfSSL_is_server(exchange->ssl) ? wolfSSL_accept(exchange->ssl)
                                                        : wolfSSL_connect(exchange->ssl);
    if (result == WOLFSSL_SUCCESS) {
        if (!is_at_boundary(exchange)) {
            fail(exchange, 0, ALERT_UNEXPECTED_MESSAGE, failure);
            return EXCHANGE_FAILED;
        }
        if (!capture_keys(&exchange->capture, &exchange->wire, exchange->ssl, keys)) {
            secret_wipe(keys, sizeof(*keys));
            fail(exchange, 0, ALERT_INTERNAL_ERROR, failure);
            return EXCHANGE_FAILED;
        }
        return EXCHANGE_DONE;
    }
    const int error = wolfSSL_get_error(exchange->ssl, result);
    if (error == WOLFSSL_ERROR_WANT_READ) {
        return EXCHANGE_MORE;
    }
    fail(exchange, error, alert_of(error), failure);
    return EXCHANGE_FAILED;
}

/*
 * A ticket's nonce must differ from those of its own connection (RFC 8446, section 4.6.1), and ours
 * sends one. The library goes on counting from the ticket that a client came with, and 5.9.2 fails
 * when that makes 256: a client that only ever resumes would be turned away.
 */
static void restart_ticket_nonce(const struct exchange *exchange)
{
    if (exchange->wire.hello_sent && exchange->wire.is_tls_1_3) {
        exchange->ssl->session->ticketNonce.len = 0;
    }
}

enum exchange_status exchange_run(struct exchange *exchange, struct slice record,
                                  struct tls_keys *keys, struct exchange_failure *failure)
{
    exchange->input = record;
    restart_ticket_nonce(exchange);
    heap_enter();
    const enum exchange_status status = run(exchange, keys, failure);
    heap_leave();
    exchange->input = slice_from(NULL, 0);
    return status;
}

void exchange_clear_output(struct exchange *exchange)
{
    heap_give(exchange->output);
    exchange->output = NULL;
    exchange->output_size = 0;
    exchange->output_room = 0;
}
