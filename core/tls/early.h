/*
 * early.h - tells refused early data from the client's second flight (RFC 8446, section 4.2.10).
 */
#pragma once

#include "base/bytes.h"

#define EARLY_SCRATCH_SIZE (16384 + 256)

/* True when record opens as the first one under the client's handshake traffic secret. scratch
 * holds EARLY_SCRATCH_SIZE bytes; record stays as it is. */
MUST_CHECK bool early_is_handshake(struct slice secret, uint16_t suite, struct slice record,
                                   uint8_t *scratch);
