#include "bench/outcome.h"

#include <errno.h>

static const struct {
    const char *name;
    const char *text;
} outcomes[OUTCOMES] = {
    [OUTCOME_OWN_PORTS] = {"own_ports", "no free port on our source addresses"},
    [OUTCOME_OWN_DESCRIPTORS] = {"own_descriptors", "our descriptors ran out"},
    [OUTCOME_OWN_MEMORY] = {"own_memory", "our memory or handshake slots ran out"},
    [OUTCOME_OWN_OTHER] = {"own_other", "another failure on our side"},
    [OUTCOME_CONNECT_REFUSED] = {"connect_refused", "connection refused"},
    [OUTCOME_CONNECT_RESET] = {"connect_reset", "reset while connecting"},
    [OUTCOME_CONNECT_TIMEOUT] = {"connect_timeout", "no answer to our SYN in time"},
    [OUTCOME_TLS_FAILED] = {"tls_failed", "TLS handshake failed"},
    [OUTCOME_TLS_CLOSED] = {"tls_closed", "closed during the TLS handshake"},
    [OUTCOME_TLS_TIMEOUT] = {"tls_timeout", "TLS handshake not done in time"},
    [OUTCOME_UPGRADE_REFUSED] = {"upgrade_refused", "upgrade refused"},
    [OUTCOME_UPGRADE_BAD] = {"upgrade_bad", "answer to the upgrade does not fit"},
    [OUTCOME_UPGRADE_CLOSED] = {"upgrade_closed", "closed before the upgrade's answer"},
    [OUTCOME_UPGRADE_TIMEOUT] = {"upgrade_timeout", "upgrade not answered in time"},
    [OUTCOME_LOST_CLOSED] = {"lost_closed", "closed by the server"},
    [OUTCOME_LOST_RESET] = {"lost_reset", "lost without a close frame"},
    [OUTCOME_LOST_PROTOCOL] = {"lost_protocol", "bad record or frame from the server"},
};

const char *outcome_name(enum outcome outcome)
{
    ASSERT(outcome < OUTCOMES);
    return outcomes[outcome].name;
}

const char *outcome_text(enum outcome outcome)
{
    ASSERT(outcome < OUTCOMES);
    return outcomes[outcome].text;
}

enum outcome outcome_of_connect(int error)
{
    switch (error) {
    case EADDRNOTAVAIL:
    case EADDRINUSE:
        return OUTCOME_OWN_PORTS;
    case EMFILE:
    case ENFILE:
        return OUTCOME_OWN_DESCRIPTORS;
    case ENOMEM:
    case ENOBUFS:
        return OUTCOME_OWN_MEMORY;
    case ECONNREFUSED:
        return OUTCOME_CONNECT_REFUSED;
    case ECONNRESET:
    case EPIPE:
        return OUTCOME_CONNECT_RESET;
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return OUTCOME_CONNECT_TIMEOUT;
    default:
        return OUTCOME_OWN_OTHER;
    }
}
