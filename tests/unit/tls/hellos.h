/*
 * hellos.h - builds ClientHellos for tests of the gate, and judges them: every input is tried at
 * all its prefixes, because the verdict must not depend on how the bytes come.
 */
#pragma once

#include "tls/alert.h"
#include "tls/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <stdlib.h>

/* --- building hellos --- */

struct writer {
    uint8_t bytes[3 * HELLO_INPUT_MAX];
    size_t size;
};

static inline void add(struct writer *writer, const void *bytes, size_t size)
{
    assert_true(writer->size + size <= sizeof(writer->bytes));
    if (size > 0) {
        memcpy(writer->bytes + writer->size, bytes, size);
    }
    writer->size += size;
}

static inline void add_u8(struct writer *writer, uint8_t value)
{
    add(writer, &value, 1);
}

static inline void add_u16(struct writer *writer, size_t value)
{
    add_u8(writer, (uint8_t)(value >> 8));
    add_u8(writer, (uint8_t)value);
}

static inline void add_vector16(struct writer *writer, struct slice content)
{
    add_u16(writer, content.size);
    add(writer, content.data, content.size);
}

static inline void add_extension(struct writer *writer, uint16_t type, struct slice content)
{
    add_u16(writer, type);
    add_vector16(writer, content);
}

#define BYTES(...)                                                                                 \
    slice_from((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define NOTHING slice_from(NULL, 0)

/* The fields before the extensions; what is left out is as a usual TLS 1.2 client has it. */
struct shape {
    uint16_t version;
    size_t session_id_size;
    struct slice suites;
    struct slice compressions;
};

static inline void add_message(struct writer *writer, const struct shape *shape,
                               struct slice extensions, bool has_extensions)
{
    static struct writer body;
    struct slice suites = shape->suites.data != NULL ? shape->suites : BYTES(0xc0, 0x2b);
    struct slice compressions = shape->compressions.data != NULL ? shape->compressions : BYTES(0);

    body.size = 0;
    add_u16(&body, shape->version != 0 ? shape->version : 0x0303);
    for (int i = 0; i < 32; i++) {
        add_u8(&body, 0x5a);
    }
    add_u8(&body, (uint8_t)shape->session_id_size);
    for (size_t i = 0; i < shape->session_id_size; i++) {
        add_u8(&body, 0x1d);
    }
    add_vector16(&body, suites);
    add_u8(&body, (uint8_t)compressions.size);
    add(&body, compressions.data, compressions.size);
    if (has_extensions) {
        add_vector16(&body, extensions);
    }
    add_u8(writer, 1);
    add_u8(writer, (uint8_t)(body.size >> 16));
    add_u16(writer, body.size & 0xffff);
    add(writer, body.bytes, body.size);
}

static inline void add_record(struct writer *writer, uint8_t type, struct slice body)
{
    add_u8(writer, type);
    add_u16(writer, 0x0301);
    add_vector16(writer, body);
}

/* The message in records of at most record_size bytes. */
static inline void add_records(struct writer *writer, struct slice message, size_t record_size)
{
    while (message.size > 0) {
        size_t size = message.size < record_size ? message.size : record_size;

        add_record(writer, 22, slice_from(message.data, size));
        message = slice_from(message.data + size, message.size - size);
    }
}

/* --- judging --- */

static struct hello hello;
static uint8_t joined[HELLO_SIZE_MAX + 5];

/* Reads a copy of exactly this size, so that ASan sees every step beyond. */
static inline enum hello_status read_exactly(const uint8_t *bytes, size_t size, struct hello *out,
                                             uint8_t *record)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    assert_non_null(copy);
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    enum hello_status status = hello_read(copy, size, out, record);
    free(copy);
    return status;
}

/* The verdict on the input, which is HELLO_MORE up to some prefix and then the same for ever. */
static inline enum hello_status judge(const struct writer *input)
{
    struct hello early;
    enum hello_status verdict = read_exactly(input->bytes, input->size, &hello, joined);
    size_t size = 0;

    while (size < input->size && read_exactly(input->bytes, size, &early, NULL) == HELLO_MORE) {
        size++;
    }
    enum hello_status status = read_exactly(input->bytes, size, &early, NULL);
    assert_int_equal(status, verdict);
    assert_memory_equal(&early, &hello, sizeof(hello));
    if (verdict == HELLO_WHOLE) {
        struct hello again;

        assert_int_equal(hello.consumed, size);
        assert_int_equal(joined[0], 22);
        assert_int_equal(load_be16(joined + 1), 0x0301);
        assert_int_equal(load_be16(joined + 3), hello.message_size);
        assert_int_equal(read_exactly(joined, 5 + hello.message_size, &again, NULL), HELLO_WHOLE);
        assert_int_equal(again.consumed, 5 + hello.message_size);
        again.consumed = hello.consumed;
        assert_memory_equal(&again, &hello, sizeof(hello));
    }
    return verdict;
}

static inline void assert_hello_refused(enum hello_status status, uint8_t alert)
{
    assert_int_equal(status, HELLO_REFUSED);
    assert_int_equal(hello.alert, alert);
}

/* Judges a hello of this shape, in one record. */
static inline enum hello_status judge_shape(const struct shape *shape, struct slice extensions)
{
    static struct writer message;
    static struct writer input;

    message.size = 0;
    input.size = 0;
    add_message(&message, shape, extensions, true);
    add_records(&input, slice_from(message.bytes, message.size), 16384);
    return judge(&input);
}

/* Judges a usual TLS 1.2 hello with one extension. */
static inline enum hello_status judge_extension(uint16_t type, struct slice content)
{
    static struct writer extensions;

    extensions.size = 0;
    add_extension(&extensions, type, content);
    return judge_shape(&(struct shape){0}, slice_from(extensions.bytes, extensions.size));
}

enum {
    SERVER_NAME = 0,
    SIGNATURE_ALGORITHMS = 13,
    ALPN = 16,
    PRE_SHARED_KEY = 41,
    EARLY_DATA = 42,
    SUPPORTED_VERSIONS = 43,
    PSK_MODES = 45,
    KEY_SHARE = 51
};
