#include "bare.h"

void bare_open(struct bare *bare, struct WOLFSSL_CTX *context, SSL *ssl)
{
    *bare = (struct bare){.ssl = ssl, .status = EXCHANGE_MORE};
    const bool is_open = exchange_open(&bare->exchange, context);
    ASSERT(is_open);
}

void bare_close(struct bare *bare)
{
    exchange_close(&bare->exchange);
    SSL_set_shutdown(bare->ssl, SSL_SENT_SHUTDOWN); /* else its session counts as broken */
    SSL_free(bare->ssl);
}

size_t bare_client(struct bare *bare, uint8_t *out)
{
    (void)SSL_do_handshake(bare->ssl);
    const int size = BIO_read(SSL_get_wbio(bare->ssl), out, (int)PIPE_ROOM);
    return size > 0 ? (size_t)size : 0;
}

void bare_feed(struct bare *bare, const uint8_t *flight, size_t size)
{
    for (size_t at = 0; at < size && bare->status == EXCHANGE_MORE;) {
        uint8_t alert = 0;
        const size_t record_size = wire_frame(slice_from(flight + at, size - at), &alert);
        ASSERT(record_size > 0);
        bare->status = exchange_run(&bare->exchange, slice_from(flight + at, record_size),
                                    &bare->keys, &bare->failure);
        at += record_size;
    }
}

void bare_answer(struct bare *bare)
{
    if (bare->exchange.output_size > 0) {
        BIO_write(SSL_get_rbio(bare->ssl), bare->exchange.output, (int)bare->exchange.output_size);
    }
    exchange_clear_output(&bare->exchange);
}

void bare_run(struct bare *bare)
{
    static uint8_t flight[PIPE_ROOM];
    while (bare->status == EXCHANGE_MORE) {
        const size_t size = bare_client(bare, flight);
        ASSERT(size > 0);
        bare_feed(bare, flight, size);
        bare_answer(bare);
    }
    (void)SSL_do_handshake(bare->ssl);
}
