#include "tls/client_ticket.h"

#include <stdlib.h>

#include <wolfssl/internal.h> /* sessions: without its own cache the library has no calls for them */
#include <wolfssl/ssl.h>

struct client_ticket {
    WOLFSSL_SESSION *session;
};

struct client_ticket *client_ticket_take(const struct WOLFSSL *ssl)
{
    struct client_ticket *ticket = ssl->session->ticketLen > 0 ? calloc(1, sizeof(*ticket)) : NULL;

    if (ticket) {
        ticket->session = wolfSSL_SESSION_dup(ssl->session);
        if (!ticket->session) {
            free(ticket);
            ticket = NULL;
        }
    }
    return ticket;
}

void client_ticket_free(struct client_ticket *ticket)
{
    if (ticket) {
        wolfSSL_SESSION_free(ticket->session);
    }
    free(ticket);
}

/* What wolfSSL_set_session would do. A copy, for the handshake changes it. */
bool client_ticket_offer(const struct client_ticket *ticket, struct WOLFSSL *ssl)
{
    const WOLFSSL_SESSION *session = ticket->session;

    ssl->options.resuming = 1;
    ssl->options.haveEMS = session->haveEMS != 0;
    ssl->options.cipherSuite0 = session->cipherSuite0;
    ssl->options.cipherSuite = session->cipherSuite;
    return wolfSSL_DupSession(session, ssl->session, 0) == WOLFSSL_SUCCESS;
}
