/*
 * client_ticket.h - what a client keeps to come back with (TLS 1.3): the ticket and its secrets.
 * For client.c; apart from it because the library's own header, which this needs, has names of
 * ours.
 */
#pragma once

#include "base/bytes.h"

struct WOLFSSL;
struct client_ticket;

/* The one that ssl was sent, a copy; NULL: none, or no memory. */
MUST_CHECK struct client_ticket *client_ticket_take(const struct WOLFSSL *ssl);
void client_ticket_free(struct client_ticket *ticket);

/* Before the ClientHello is made. False when there is no memory. */
MUST_CHECK bool client_ticket_offer(const struct client_ticket *ticket, struct WOLFSSL *ssl);
