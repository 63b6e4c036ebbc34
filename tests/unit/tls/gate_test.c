/*
 * Goal: a ClientHello is taken however it arrives - whole, in records of one byte, cut anywhere -
 * and whatever else comes first is told apart by its first bytes. Hellos of real clients are read
 * rightly.
 */
#include "tls/gate.h"

#include "tests/unit/tls/hellos.h"

/* --- hellos of real clients --- */

static void load(struct writer *writer, const char *client)
{
    char path[200];

    (void)snprintf(path, sizeof(path), "tests/fuzz/corpus/hello/%s", client);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    (void)!fgetc(file); /* how the fuzzer cuts it */
    writer->size = fread(writer->bytes, 1, sizeof(writer->bytes), file);
    assert_int_equal(fclose(file), 0);
}

static void test_real_clients(void **unused)
{
    static const struct {
        const char *client;
        const char *name;
        bool tls_1_3;
        bool hybrid;
        bool psk_dhe;
        bool only_h2;
    } clients[] = {
        {"openssl_1_3", "a.example", true, false, true, false},
        {"openssl_any", "a.example", true, false, true, false}, /* sent A.EXAMPLE. */
        {"openssl_1_2", "", false, false, false, false},
        {"openssl_h2", "", true, false, true, true},
        {"node", "node.example", true, false, true, false},
        {"curl", "", true, false, true, false},
        {"curl_sni", "x.example", true, false, true, false},
        {"python", "py.example", true, false, true, false},
        {"java", "", true, false, true, false},
        {"chromium", "chr.example", true, true, true, false},
    };
    static struct writer input;

    (void)unused;
    for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
        load(&input, clients[i].client);
        assert_int_equal(judge(&input), HELLO_WHOLE);
        assert_int_equal(hello.consumed, input.size);
        assert_string_equal(hello.name, clients[i].name);
        assert_int_equal(hello.name_size, strlen(clients[i].name));
        assert_int_equal(hello.offers_tls_1_3, clients[i].tls_1_3);
        assert_int_equal(hello.offers_hybrid, clients[i].hybrid);
        assert_int_equal(hello.offers_psk_dhe, clients[i].psk_dhe);
        assert_int_equal(hello.only_h2, clients[i].only_h2);
        assert_true(hello.offers_ecdsa);
        assert_true(hello.offers_rsa);
        assert_false(hello.offers_early_data);
    }
    load(&input, "openssl_1_1");
    assert_hello_refused(judge(&input), ALERT_PROTOCOL_VERSION);
}

/* --- records --- */

/* Chromium's hello, in records of every size. */
static void test_split(void **unused)
{
    static const size_t sizes[] = {1, 2, 3, 4, 5, 9, 100, 1448, 1945, 1946};
    static struct writer whole;
    static struct writer input;

    (void)unused;
    load(&whole, "chromium");
    struct slice message = slice_from(whole.bytes + 5, whole.size - 5);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        input.size = 0;
        add_records(&input, message, sizes[i]);
        size_t size = input.size;
        add(&input, "more", 4); /* not ours */
        assert_int_equal(judge(&input), HELLO_WHOLE);
        assert_int_equal(hello.consumed, size);
        assert_int_equal(hello.message_size, message.size);
        assert_memory_equal(joined + 5, message.data, message.size);
        assert_string_equal(hello.name, "chr.example");
    }
}

/* A hello of exactly message_size bytes, padded by extension 21. */
static void add_padded(struct writer *input, size_t message_size, size_t record_size)
{
    static const uint8_t zeros[2 * HELLO_SIZE_MAX];
    static struct writer extensions;
    static struct writer message;
    struct shape shape = {0};

    message.size = 0;
    add_message(&message, &shape, NOTHING, true);
    extensions.size = 0;
    add_extension(&extensions, 21, slice_from(zeros, message_size - message.size - 4));
    message.size = 0;
    add_message(&message, &shape, slice_from(extensions.bytes, extensions.size), true);
    assert_int_equal(message.size, message_size);
    input->size = 0;
    add_records(input, slice_from(message.bytes, message.size), record_size);
}

static void test_large(void **unused)
{
    static struct writer input;

    (void)unused;
    add_padded(&input, 12288, 16384);
    assert_int_equal(judge(&input), HELLO_WHOLE);
    add_padded(&input, HELLO_SIZE_MAX, 16384);
    assert_int_equal(judge(&input), HELLO_WHOLE);
    assert_int_equal(hello.message_size, HELLO_SIZE_MAX);
    add_padded(&input, HELLO_SIZE_MAX, 10);
    assert_int_equal(judge(&input), HELLO_WHOLE);
    add_padded(&input, HELLO_SIZE_MAX + 1, 16384);
    assert_hello_refused(judge(&input), ALERT_DECODE_ERROR);
    add_padded(&input, HELLO_SIZE_MAX + 1, 10);
    assert_hello_refused(judge(&input), ALERT_DECODE_ERROR);
}

/* Headers of tiny records count too: up to HELLO_INPUT_MAX, exactly. */
static void test_input_max(void **unused)
{
    static struct writer input;
    const size_t tiny_max = HELLO_INPUT_MAX / 6; /* of one-byte records; 2 bytes are left over */

    (void)unused;
    add_padded(&input, tiny_max, 1);
    assert_int_equal(judge(&input), HELLO_WHOLE);
    assert_int_equal(hello.consumed, HELLO_INPUT_MAX - 2);
    add_padded(&input, tiny_max + 1, 1);
    assert_hello_refused(judge(&input), ALERT_DECODE_ERROR);
    /* No header would fit any more: it is not waited for. */
    input.size = tiny_max * 6;
    assert_hello_refused(judge(&input), ALERT_DECODE_ERROR);
    /* A record that would end beyond it is refused by its header. */
    add_padded(&input, HELLO_SIZE_MAX, 5);
    assert_int_equal(input.size, HELLO_SIZE_MAX + 5 * 3277);
    assert_hello_refused(judge(&input), ALERT_DECODE_ERROR);
}

static void test_record_headers(void **unused)
{
    static struct writer input;
    static struct writer message;

    (void)unused;
    add_message(&message, &(struct shape){0}, NOTHING, true);
    struct slice all = slice_from(message.bytes, message.size);
    struct slice head = slice_from(all.data, 10);
    struct slice tail = slice_from(all.data + 10, all.size - 10);

    input.size = 0;
    assert_int_equal(judge(&input), HELLO_MORE);

    /* Any content type first. */
    for (unsigned type = 0; type < 256; type++) {
        input.size = 0;
        add_record(&input, (uint8_t)type, all);
        enum hello_status status = judge(&input);
        if (type == 22) {
            assert_int_equal(status, HELLO_WHOLE);
        } else if (type == 21) {
            assert_int_equal(status, HELLO_PEER_ALERT);
        } else if (type >= 'A' && type <= 'Z') {
            assert_int_equal(status, HELLO_PLAIN_HTTP);
        } else {
            assert_hello_refused(status, ALERT_UNEXPECTED_MESSAGE);
        }
    }
    /* Any content type between the parts of a hello: change_cipher_spec, data, HTTP. */
    for (unsigned type = 0; type < 256; type++) {
        input.size = 0;
        add_record(&input, 22, head);
        add_record(&input, (uint8_t)type, tail);
        enum hello_status status = judge(&input);
        if (type == 22) {
            assert_int_equal(status, HELLO_WHOLE);
        } else if (type == 21) {
            assert_int_equal(status, HELLO_PEER_ALERT);
        } else {
            assert_hello_refused(status, ALERT_UNEXPECTED_MESSAGE);
        }
    }
    /* Empty records. */
    input.size = 0;
    add_record(&input, 22, NOTHING);
    assert_hello_refused(judge(&input), ALERT_UNEXPECTED_MESSAGE);
    input.size = 0;
    add_record(&input, 22, head);
    add_record(&input, 22, NOTHING);
    assert_hello_refused(judge(&input), ALERT_UNEXPECTED_MESSAGE);
    /* Too long a record, told by its header alone; 16,384 is waited for. */
    input.size = 0;
    add(&input, "\26\3\1\100\1", 5);
    assert_hello_refused(judge(&input), ALERT_RECORD_OVERFLOW);
    input.size = 0;
    add(&input, "\26\3\1\100\0", 5);
    assert_int_equal(judge(&input), HELLO_MORE);
    /* Any record version will do. */
    input.size = 0;
    add_record(&input, 22, all);
    input.bytes[1] = 9;
    assert_int_equal(judge(&input), HELLO_WHOLE);
}

static void test_other_messages(void **unused)
{
    static struct writer input;

    (void)unused;
    for (unsigned type = 0; type < 256; type++) {
        const uint8_t message[] = {(uint8_t)type, 0, 0, 1};

        input.size = 0;
        add_record(&input, 22, slice_from(message, sizeof(message)));
        if (type == 1) {
            assert_int_equal(judge(&input), HELLO_MORE);
        } else {
            assert_hello_refused(judge(&input), ALERT_UNEXPECTED_MESSAGE);
        }
    }
}

/* A hello ends with its record. */
static void test_trailing(void **unused)
{
    static struct writer input;
    static struct writer message;

    (void)unused;
    add_message(&message, &(struct shape){0}, NOTHING, true);
    size_t size = message.size;
    add_u8(&message, 1);
    input.size = 0;
    add_record(&input, 22, slice_from(message.bytes, message.size));
    assert_hello_refused(judge(&input), ALERT_UNEXPECTED_MESSAGE);
    input.size = 0;
    add_record(&input, 22, slice_from(message.bytes, 10));
    add_record(&input, 22, slice_from(message.bytes + 10, message.size - 10));
    assert_hello_refused(judge(&input), ALERT_UNEXPECTED_MESSAGE);
    /* What is in the next record is none of the gate's business. */
    input.size = 0;
    add_record(&input, 22, slice_from(message.bytes, size));
    add_record(&input, 22, slice_from(message.bytes, size));
    assert_int_equal(judge(&input), HELLO_WHOLE);
    assert_int_equal(hello.consumed, size + 5);
}

static void test_not_tls(void **unused)
{
    static const struct {
        const char *bytes;
        size_t size;
        enum hello_status status;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, HELLO_PLAIN_HTTP},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, HELLO_PLAIN_HTTP},
        {"OPTIONS * HTTP/1.1\r\n", 20, HELLO_PLAIN_HTTP},
        {"get / HTTP/1.1\r\n", 16, HELLO_REFUSED},
        {"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80", 14, HELLO_REFUSED}, /* SSLv2 */
        {"\0\0\0\0\0\0", 6, HELLO_REFUSED},
        {"SSH-2.0-x\r\n", 11, HELLO_PLAIN_HTTP},
        {"\x14\x03\x01\x00\x01\x01", 6, HELLO_REFUSED},        /* change_cipher_spec first */
        {"\x15\x03\x01\x00\x02\x02\x30", 7, HELLO_PEER_ALERT}, /* a scanner that gives up */
        {"\x15", 1, HELLO_PEER_ALERT},
    };
    static struct writer input;

    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        input.size = 0;
        add(&input, cases[i].bytes, cases[i].size);
        assert_int_equal(judge(&input), cases[i].status);
        if (cases[i].status == HELLO_REFUSED) {
            assert_int_equal(hello.alert, ALERT_UNEXPECTED_MESSAGE);
        }
    }
}

static void test_plain_alert(void **unused)
{
    const uint8_t right[PLAIN_ALERT_SIZE] = {21, 3, 3, 0, 2, 2, ALERT_PROTOCOL_VERSION};
    uint8_t out[PLAIN_ALERT_SIZE];

    (void)unused;
    plain_alert(ALERT_PROTOCOL_VERSION, out);
    assert_memory_equal(out, right, sizeof(out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_clients),   cmocka_unit_test(test_split),
        cmocka_unit_test(test_large),          cmocka_unit_test(test_input_max),
        cmocka_unit_test(test_record_headers), cmocka_unit_test(test_other_messages),
        cmocka_unit_test(test_trailing),       cmocka_unit_test(test_not_tls),
        cmocka_unit_test(test_plain_alert),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
