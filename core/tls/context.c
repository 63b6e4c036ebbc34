#include "tls/context.h"

#include "tls/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <wolfssl/ssl.h>

/* AES-128 first: a connection then rests in 144 bytes instead of 208. No CBC: the record layer is
 * AEAD only. */
#define SUITES                                                                                     \
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:"              \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* NOLINTBEGIN(readability-function-size,readability-non-const-parameter): the library's type */
static int ticket_callback(WOLFSSL *ssl, unsigned char *name, unsigned char *iv, unsigned char *tag,
                           int is_sealing, unsigned char *content, int size, int *size_out,
                           void *context)
{
    const struct exchange *exchange = wolfSSL_GetIOReadCtx(ssl);
    const struct ticket ticket = {
        .name = name,
        .iv = iv,
        .tag = tag,
        .content = content,
        .size = (size_t)size,
        .server_name = slice_from(exchange->server_name, exchange->server_name_size),
    };
    *size_out = size;
    if (is_sealing) {
        return ticket_seal(context, &ticket) ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_FATAL;
    }
    switch (ticket_open(context, &ticket)) {
    case TICKET_OPENED:
        return WOLFSSL_TICKET_RET_OK;
    case TICKET_AGED:
        /* In 1.3 a new ticket follows anyway, and 5.7.2 does not resume from "create". */
        return wolfSSL_GetVersion(ssl) == WOLFSSL_TLSV1_3 ? WOLFSSL_TICKET_RET_OK
                                                          : WOLFSSL_TICKET_RET_CREATE;
    case TICKET_REFUSED:
        break;
    }
    return WOLFSSL_TICKET_RET_REJECT;
}
/* NOLINTEND(readability-function-size,readability-non-const-parameter) */

static bool context_tickets(WOLFSSL_CTX *context, struct ticket_keys *tickets)
{
    if (!tickets) {
        return wolfSSL_CTX_no_ticket_TLSv13(context) == 0 &&
               wolfSSL_CTX_NoTicketTLSv12(context) == WOLFSSL_SUCCESS &&
               wolfSSL_CTX_set_TicketEncCb(context, NULL) == WOLFSSL_SUCCESS;
    }
    return wolfSSL_CTX_set_TicketEncCb(context, ticket_callback) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_TicketEncCtx(context, tickets) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_TicketHint(context, (int)ticket_life_s(tickets)) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_only_dhe_psk(context) == 0;
}

static bool context_setup(WOLFSSL_CTX *context, const struct context_options *options,
                          const struct certificate *certificate)
{
    int groups[] = {
#ifdef WOLFSSL_HAVE_MLKEM
        WOLFSSL_X25519MLKEM768,
#endif
        WOLFSSL_ECC_X25519,
        WOLFSSL_ECC_SECP256R1,
    };
    exchange_context(context);
    return wolfSSL_CTX_SetMinVersion(
               context, options->tls_1_2 ? WOLFSSL_TLSV1_2 : WOLFSSL_TLSV1_3) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_cipher_list(context, SUITES) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_groups(context, groups, sizeof(groups) / sizeof(groups[0])) ==
               WOLFSSL_SUCCESS &&
           wolfSSL_CTX_use_certificate_chain_buffer(context, certificate->chain.data,
                                                    (long)certificate->chain.size) ==
               WOLFSSL_SUCCESS &&
           wolfSSL_CTX_use_PrivateKey_buffer(context, certificate->key.data,
                                             (long)certificate->key.size,
                                             WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS &&
           context_tickets(context, options->tickets);
}

void contexts_close(struct contexts *contexts)
{
    /* The library counts references: handshakes in flight keep their own. */
    for (uint32_t i = 0; i < contexts->count; i++) {
        wolfSSL_CTX_free(contexts->list[i]);
    }
    free(contexts->list);
    *contexts = (struct contexts){.list = NULL};
}

int contexts_open(struct contexts *contexts, const struct certificate_set *certificates,
                  const struct context_options *options, char *message, size_t message_size)
{
    const uint32_t count = certificates ? certificate_set_count(certificates) : 0;
    contexts->certificates = certificates;
    contexts->count = 0;
    contexts->list = calloc(count ? count : 1, sizeof(WOLFSSL_CTX *));
    while (contexts->list && contexts->count < count) {
        WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLS_server_method());
        if (!context) {
            break;
        }
        contexts->list[contexts->count] = context;
        contexts->count++;
        if (!context_setup(context, options,
                           certificate_set_at(certificates, contexts->count - 1))) {
            break;
        }
    }
    if (!contexts->list || contexts->count < count) {
        (void)snprintf(message, message_size, "no memory for the TLS contexts of %u certificates",
                       count);
        contexts_close(contexts);
        return -1;
    }
    return 0;
}
