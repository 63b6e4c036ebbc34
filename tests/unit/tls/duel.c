#include "duel.h"

#include <openssl/err.h>
#include <stdlib.h>

/* The alert that a client received is kept with it, in its duel. */
static void note_alert(const SSL *ssl, int where, int value)
{
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT) {
        struct duel *duel = SSL_get_ex_data(ssl, 0);
        duel->client_alert = value & 0xff;
    }
}

struct duel *duel_open(struct tls_server *server, SSL *ssl)
{
    struct duel *duel = calloc(1, sizeof(*duel));
    ASSERT(duel != NULL);
    duel->server = server;
    duel->ssl = ssl;
    duel->client_alert = -1;
    SSL_set_ex_data(ssl, 0, duel);
    SSL_set_info_callback(ssl, note_alert);
    return duel;
}

void duel_close(struct duel *duel)
{
    if (duel->is_started) {
        handshake_end(duel->server, duel->number);
    }
    SSL_free(duel->ssl);
    free(duel);
}

bool duel_client(struct duel *duel)
{
    BIO *input = SSL_get_rbio(duel->ssl);
    BIO *output = SSL_get_wbio(duel->ssl);
    const size_t fresh = duel->to_client.size - duel->given;
    uint8_t piece[16384];
    int size = 0;
    bool has_moved = fresh > 0;
    if (fresh > 0) {
        BIO_write(input, duel->to_client.bytes + duel->given, (int)fresh);
        duel->given = duel->to_client.size;
    }
    ERR_clear_error();
    (void)SSL_do_handshake(duel->ssl);
    while ((size = BIO_read(output, piece, sizeof(piece))) > 0) {
        pipe_push(&duel->to_server, piece, (size_t)size);
        has_moved = true;
    }
    return has_moved;
}

static void server_take_result(struct duel *duel)
{
    pipe_push(&duel->to_client, duel->result.output.data, duel->result.output.size);
    pipe_drop(&duel->to_server, duel->result.consumed);
    duel->fed -= duel->result.consumed < duel->fed ? duel->result.consumed : duel->fed;
    if (duel->status == HANDSHAKE_DONE) {
        handshake_keys(duel->server, duel->number, &duel->keys);
        tls_state_init((struct tls_state *)duel->state, &duel->keys);
    }
}

static void server_start(struct duel *duel, size_t size)
{
    static uint8_t joined[5 + HELLO_SIZE_MAX];
    duel->hello_status = hello_read(duel->to_server.bytes, size, &duel->hello, joined);
    if (duel->hello_status == HELLO_REFUSED) {
        uint8_t alert[PLAIN_ALERT_SIZE];
        plain_alert(duel->hello.alert, alert);
        pipe_push(&duel->to_client, alert, sizeof(alert));
        duel->status = HANDSHAKE_FAILED;
        duel->result.alert = duel->hello.alert;
    }
    if (duel->hello_status != HELLO_WHOLE) {
        return;
    }
    pipe_drop(&duel->to_server, duel->hello.consumed);
    duel->fed = 0;
    duel->number = handshake_start(duel->server, &duel->hello, joined);
    ASSERT(duel->number != NONE);
    duel->is_started = true;
    memset(joined, 0xaa, sizeof(joined)); /* it was only borrowed */
    duel->status = handshake_feed(duel->server, duel->number, NULL, 0, &duel->result);
    server_take_result(duel);
}

bool duel_server(struct duel *duel)
{
    bool has_moved = false;
    while (duel->status == HANDSHAKE_MORE && duel->fed < duel->to_server.size) {
        size_t size = duel->to_server.size;
        if (duel->piece_size > 0 && duel->fed + duel->piece_size < size) {
            size = duel->fed + duel->piece_size;
        }
        duel->fed = size;
        if (!duel->is_started) {
            server_start(duel, size);
        } else {
            duel->status = handshake_feed(duel->server, duel->number, duel->to_server.bytes, size,
                                          &duel->result);
            server_take_result(duel);
        }
        has_moved = true;
    }
    return has_moved;
}

void duel_run(struct duel *duel)
{
    bool goes_on = true;
    while (goes_on) {
        goes_on = duel_client(duel);
        goes_on = duel_server(duel) || goes_on;
    }
}

static void open_all(struct duel *duel, uint8_t *out, size_t *out_size)
{
    struct tls_state *state = (struct tls_state *)duel->state;
    struct tls_record record;
    enum tls_status status;
    while ((status = tls_open(state, duel->to_server.bytes, duel->to_server.size, &record)) ==
           TLS_DATA) {
        if (record.data.size > 0) {
            memcpy(out + *out_size, record.data.data, record.data.size);
        }
        *out_size += record.data.size;
        pipe_drop(&duel->to_server, record.consumed);
    }
    ASSERT(status == TLS_MORE);
}

static void seal_all(struct duel *duel, const uint8_t *data, size_t size)
{
    struct tls_state *state = (struct tls_state *)duel->state;
    uint8_t record[TLS_DATA_SIZE_MAX + TLS_OVERHEAD_MAX];
    while (size > 0) {
        const size_t part = size < TLS_DATA_SIZE_MAX ? size : TLS_DATA_SIZE_MAX;
        if (tls_update_due(state)) {
            pipe_push(&duel->to_client, record, tls_seal_update(state, record));
        }
        memcpy(record + tls_headroom(state), data, part);
        pipe_push(&duel->to_client, record, tls_seal(state, record, part));
        data += part;
        size -= part;
    }
}

void duel_echo(struct duel *duel, size_t size)
{
    uint8_t *sent = malloc(size);
    uint8_t *got = malloc(size);
    ASSERT(sent != NULL);
    ASSERT(got != NULL);
    for (size_t i = 0; i < size; i++) {
        sent[i] = (uint8_t)(i * 7 + 3);
    }
    const int written = SSL_write(duel->ssl, sent, (int)size);
    ASSERT(written == (int)size);
    (void)duel_client(duel);
    size_t got_size = 0;
    open_all(duel, got, &got_size);
    ASSERT(got_size == size);
    ASSERT(memcmp(got, sent, size) == 0);
    memset(got, 0, size);
    seal_all(duel, sent, size);
    (void)duel_client(duel);
    for (got_size = 0; got_size < size;) {
        const int part = SSL_read(duel->ssl, got + got_size, (int)(size - got_size));
        ASSERT(part > 0);
        got_size += (size_t)part;
    }
    ASSERT(memcmp(got, sent, size) == 0);
    free(sent);
    free(got);
}

int duel_plain_alert(const struct duel *duel)
{
    const struct pipe *pipe = &duel->to_client;
    for (size_t at = 0; at + 7 <= pipe->size;) {
        const size_t size = load_be16(pipe->bytes + at + 3);
        if (pipe->bytes[at] == 21 && size == 2) {
            return pipe->bytes[at + 6];
        }
        at += 5 + size;
    }
    return -1;
}

int duel_client_alert(const struct duel *duel)
{
    return duel->client_alert;
}

SSL *duel_client_new(SSL_CTX *context, const char *host_name)
{
    SSL *ssl = SSL_new(context);
    ASSERT(ssl != NULL);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    if (host_name) {
        SSL_set_tlsext_host_name(ssl, host_name);
    }
    return ssl;
}
