/*
 * close.h - close codes (RFC 6455, section 7.4.1, and the IANA registry of WebSocket close codes).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum ws_close_code {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001, /* shutdown */
    WS_CLOSE_PROTOCOL_ERROR = 1002,
    WS_CLOSE_UNSUPPORTED_DATA = 1003,
    WS_CLOSE_NO_STATUS = 1005, /* never on the wire */
    WS_CLOSE_ABNORMAL = 1006,  /* never on the wire */
    WS_CLOSE_INVALID_PAYLOAD = 1007,
    WS_CLOSE_POLICY_VIOLATION = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_INTERNAL_ERROR = 1011,
    WS_CLOSE_SERVICE_RESTART = 1012, /* age reached: come back, spread out */
    WS_CLOSE_TRY_AGAIN_LATER = 1013, /* full */
    WS_CLOSE_UNAUTHORIZED = 3000,    /* token expired */
    WS_CLOSE_TIMEOUT = 3008,         /* no pong */
};

/* May a peer send this code (section 7.4: 1000-1003, 1007-1014, 3000-4999)? */
static inline bool ws_close_code_is_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}
