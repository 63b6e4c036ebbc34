/*
 * der.h - writes DER (X.690) from its end to its start, so that every length is known when its turn
 * comes.
 */
#pragma once

#include "base/bytes.h"

#define DER_ROOM 4096

enum der_tag {
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_UTF8_STRING = 0x0c,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT = 0xa0,       /* constructed: DER_CONTEXT + number */
    DER_CONTEXT_PLAIN = 0x80, /* primitive */
};

struct der {
    uint8_t bytes[DER_ROOM];
    size_t start; /* what is written lies in [start, DER_ROOM) */
    bool is_full; /* something did not fit: nothing of it may be used */
};

void der_init(struct der *der);
void der_put(struct der *der, struct slice bytes);

/* Puts tag and length before what was written since end was the start. */
void der_wrap(struct der *der, uint8_t tag, size_t end);

/* A whole value of plain bytes. */
void der_value(struct der *der, uint8_t tag, struct slice content);

MUST_CHECK struct slice der_written(const struct der *der);
