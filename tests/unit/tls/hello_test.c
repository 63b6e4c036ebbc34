/*
 * Goal: what a ClientHello offers is told rightly, and every hello that cannot lead anywhere meets
 * the alert that the RFC names. Field cases: GREASE, spellings of SNI, ALPN, nothing in common.
 */
#include "tls/hello.h"

#include "tests/unit/tls/hellos.h"

/* --- fields before the extensions --- */

static void test_fields(void **unused)
{
    static struct writer message;
    static struct writer input;

    (void)unused;
    /* Nothing at all behind the header, and cut at every byte: nothing is read beyond. */
    add_message(&message, &(struct shape){.session_id_size = 32}, NOTHING, true);
    for (size_t size = 4; size < message.size; size++) {
        static struct writer cut;

        cut.size = 0;
        add(&cut, message.bytes, size);
        cut.bytes[1] = 0;
        store_be16(cut.bytes + 2, (uint16_t)(size - 4));
        input.size = 0;
        add_record(&input, 22, slice_from(cut.bytes, size));
        /* The only legal place to end early is before the extensions. */
        if (size == message.size - 2) {
            assert_int_equal(judge(&input), HELLO_WHOLE);
        } else {
            assert_hello_refused(judge(&input), ALERT_DECODE_ERROR);
        }
    }

    const struct shape id_33 = {.session_id_size = 33};
    const struct shape no_suite = {.suites = slice_from("", 0)};
    const struct shape odd_suites = {.suites = BYTES(0xc0, 0x2b, 0)};
    const struct shape no_compression = {.compressions = slice_from("", 0)};
    const struct shape deflate_only = {.compressions = BYTES(1)};
    const struct shape deflate_and_none = {.compressions = BYTES(1, 0)};
    assert_hello_refused(judge_shape(&id_33, NOTHING), ALERT_DECODE_ERROR);
    assert_hello_refused(judge_shape(&no_suite, NOTHING), ALERT_DECODE_ERROR);
    assert_hello_refused(judge_shape(&odd_suites, NOTHING), ALERT_DECODE_ERROR);
    assert_hello_refused(judge_shape(&no_compression, NOTHING), ALERT_DECODE_ERROR);
    assert_hello_refused(judge_shape(&deflate_only, NOTHING), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(judge_shape(&deflate_and_none, NOTHING), HELLO_WHOLE);
}

static void test_legacy_versions(void **unused)
{
    static const struct {
        uint16_t version;
        bool accepted;
    } cases[] = {
        {0x0200, false}, {0x0300, false}, {0x0301, false}, {0x0302, false},
        {0x0303, true},  {0x0304, true},  {0x7f1c, true},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct shape shape = {.version = cases[i].version};

        if (cases[i].accepted) {
            assert_int_equal(judge_shape(&shape, NOTHING), HELLO_WHOLE);
            assert_false(hello.offers_tls_1_3);
        } else {
            assert_hello_refused(judge_shape(&shape, NOTHING), ALERT_PROTOCOL_VERSION);
        }
    }
}

static void test_extension_framing(void **unused)
{
    static struct writer extensions;

    (void)unused;
    struct shape shape = {0};
    assert_hello_refused(judge_shape(&shape, BYTES(0)), ALERT_DECODE_ERROR);
    assert_hello_refused(judge_shape(&shape, BYTES(0, 23, 0)), ALERT_DECODE_ERROR);
    assert_hello_refused(judge_shape(&shape, BYTES(0, 23, 0, 1)), ALERT_DECODE_ERROR);
    assert_int_equal(judge_shape(&shape, BYTES(0, 23, 0, 0)), HELLO_WHOLE);
    assert_int_equal(judge_shape(&shape, BYTES(0, 23, 0, 1, 9)), HELLO_WHOLE);
    /* Twice the same, known or unknown, adjacent or not. */
    assert_hello_refused(judge_shape(&shape, BYTES(0, 23, 0, 0, 0, 23, 0, 0)),
                         ALERT_ILLEGAL_PARAMETER);
    assert_hello_refused(judge_shape(&shape, BYTES(0xff, 0xff, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 0)),
                         ALERT_ILLEGAL_PARAMETER);
    /* 2,000 different ones, then one of them again. */
    extensions.size = 0;
    for (uint16_t i = 0; i < 2000; i++) {
        add_extension(&extensions, (uint16_t)(i + 1000), NOTHING);
    }
    assert_int_equal(judge_shape(&shape, slice_from(extensions.bytes, extensions.size)),
                     HELLO_WHOLE);
    add_extension(&extensions, 1999, NOTHING);
    assert_hello_refused(judge_shape(&shape, slice_from(extensions.bytes, extensions.size)),
                         ALERT_ILLEGAL_PARAMETER);
    /* Bytes behind the extensions. */
    static struct writer message;
    static struct writer input;
    add_message(&message, &shape, NOTHING, true);
    add_u8(&message, 0);
    message.bytes[3]++;
    add_record(&input, 22, slice_from(message.bytes, message.size));
    assert_hello_refused(judge(&input), ALERT_DECODE_ERROR);
}

/* --- SNI --- */

/* A list of one host name. */
static enum hello_status judge_name(const char *name, size_t size)
{
    static struct writer content;

    content.size = 0;
    add_u16(&content, size + 3);
    add_u8(&content, 0);
    add_vector16(&content, slice_from(name, size));
    return judge_extension(SERVER_NAME, slice_from(content.bytes, content.size));
}

static void test_names(void **unused)
{
    static const struct {
        const char *sent;
        const char *kept;
    } cases[] = {
        {"a.example", "a.example"},
        {"A.EXAMPLE", "a.example"},
        {"a.example.", "a.example"},
        {"x.B.example", "x.b.example"},
        {"localhost", "localhost"},
        {"_x-1.example", "_x-1.example"},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"},
        {"1.2.3.4", ""}, /* addresses: as if there were no name */
        {"1.2.3.4.", ""},
        {"::1", ""},
        {"2001:db8::1", ""},
        {"1.2.3.4.example", "1.2.3.4.example"},
        {"1.2.3.256", "1.2.3.256"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(judge_name(cases[i].sent, strlen(cases[i].sent)), HELLO_WHOLE);
        assert_string_equal(hello.name, cases[i].kept);
        assert_int_equal(hello.name_size, strlen(cases[i].kept));
    }
}

static void test_name_sizes(void **unused)
{
    static char name[1000];

    (void)unused;
    memset(name, 'n', sizeof(name));
    assert_int_equal(judge_name(name, 1), HELLO_WHOLE);
    assert_int_equal(judge_name(name, 255), HELLO_WHOLE);
    assert_int_equal(hello.name_size, 255);
    assert_int_equal(strlen(hello.name), 255);
    assert_hello_refused(judge_name(name, 256), ALERT_UNRECOGNIZED_NAME);
    assert_hello_refused(judge_name(name, sizeof(name)), ALERT_UNRECOGNIZED_NAME);
    name[255] = '.';
    assert_int_equal(judge_name(name, 256), HELLO_WHOLE);
    assert_int_equal(hello.name_size, 255);
    assert_hello_refused(judge_name(".", 1), ALERT_UNRECOGNIZED_NAME);
    assert_hello_refused(judge_name("", 0), ALERT_DECODE_ERROR);
}

static void test_name_bytes(void **unused)
{
    (void)unused;
    for (unsigned c = 0; c < 256; c++) {
        const char name[] = {'a', (char)c, 'b'};

        if (c == ':') {
            assert_int_equal(judge_name(name, 3), HELLO_WHOLE);
            assert_int_equal(hello.name_size, 0);
        } else if (c > ' ' && c < 0x7f) {
            assert_int_equal(judge_name(name, 3), HELLO_WHOLE);
            assert_int_equal(hello.name_size, 3);
        } else {
            assert_hello_refused(judge_name(name, 3), ALERT_UNRECOGNIZED_NAME);
            assert_int_equal(hello.name_size, 0);
        }
    }
}

/* --- the other extensions: malformed ones --- */

static void test_malformed(void **unused)
{
    static const struct {
        uint16_t type;
        uint8_t content[16];
        size_t size;
        uint8_t alert; /* 0: accepted */
    } cases[] = {
        {SERVER_NAME, {0}, 0, ALERT_DECODE_ERROR},
        {SERVER_NAME, {0, 0}, 2, ALERT_DECODE_ERROR}, /* an empty list */
        {SERVER_NAME, {0, 4, 0, 0, 1, 'a'}, 6, 0},
        {SERVER_NAME, {0, 3, 0, 0, 0}, 5, ALERT_DECODE_ERROR},
        {SERVER_NAME, {0, 5, 0, 0, 1, 'a'}, 6, ALERT_DECODE_ERROR},
        {SERVER_NAME, {0, 4, 0, 0, 2, 'a'}, 6, ALERT_DECODE_ERROR},
        {SERVER_NAME, {0, 4, 0, 0, 1, 'a', 0}, 7, ALERT_DECODE_ERROR},
        {SERVER_NAME, {0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'}, 10, ALERT_ILLEGAL_PARAMETER},
        {SERVER_NAME, {0, 8, 7, 0, 1, 'a', 0, 0, 1, 'b'}, 10, 0}, /* an unknown type of name */
        {SERVER_NAME, {0, 4, 7, 0, 1, 'a'}, 6, 0},
        {SIGNATURE_ALGORITHMS, {0}, 0, ALERT_DECODE_ERROR},
        {SIGNATURE_ALGORITHMS, {0, 0}, 2, ALERT_DECODE_ERROR},
        {SIGNATURE_ALGORITHMS, {0, 1, 4}, 3, ALERT_DECODE_ERROR},
        {SIGNATURE_ALGORITHMS, {0, 2, 4, 3}, 4, 0},
        {SIGNATURE_ALGORITHMS, {0, 4, 4, 3}, 4, ALERT_DECODE_ERROR},
        {SIGNATURE_ALGORITHMS, {0, 2, 4, 3, 4}, 5, ALERT_DECODE_ERROR},
        {ALPN, {0}, 0, ALERT_DECODE_ERROR},
        {ALPN, {0, 0}, 2, ALERT_DECODE_ERROR},
        {ALPN, {0, 1, 0}, 3, ALERT_DECODE_ERROR}, /* an empty name */
        {ALPN, {0, 4, 2, 'h', '2', 0}, 6, ALERT_DECODE_ERROR},
        {ALPN, {0, 3, 3, 'h', '2'}, 5, ALERT_DECODE_ERROR},
        {ALPN, {0, 3, 2, 'h', '2'}, 5, 0},
        {ALPN, {0, 3, 2, 'h', '2', 0}, 6, ALERT_DECODE_ERROR},
        {EARLY_DATA, {0}, 0, 0},
        {EARLY_DATA, {0}, 1, ALERT_DECODE_ERROR},
        {SUPPORTED_VERSIONS, {0}, 0, ALERT_DECODE_ERROR},
        {SUPPORTED_VERSIONS, {0}, 1, ALERT_DECODE_ERROR},
        {SUPPORTED_VERSIONS, {2, 3, 3}, 3, 0},
        {SUPPORTED_VERSIONS, {1, 3}, 2, ALERT_DECODE_ERROR},
        {SUPPORTED_VERSIONS, {3, 3, 3, 3}, 4, ALERT_DECODE_ERROR},
        {SUPPORTED_VERSIONS, {4, 3, 3}, 3, ALERT_DECODE_ERROR},
        {SUPPORTED_VERSIONS, {2, 3, 3, 3}, 4, ALERT_DECODE_ERROR},
        {PSK_MODES, {0}, 0, ALERT_DECODE_ERROR},
        {PSK_MODES, {0}, 1, ALERT_DECODE_ERROR},
        {PSK_MODES, {1, 1}, 2, 0},
        {PSK_MODES, {2, 1}, 2, ALERT_DECODE_ERROR},
        {PSK_MODES, {1, 1, 1}, 3, ALERT_DECODE_ERROR},
        {KEY_SHARE, {0}, 0, ALERT_DECODE_ERROR},
        {KEY_SHARE, {0}, 1, ALERT_DECODE_ERROR},
        {KEY_SHARE, {0, 0}, 2, 0}, /* asks for a HelloRetryRequest */
        {KEY_SHARE, {0, 5, 0, 29, 0, 1, 9}, 7, 0},
        {KEY_SHARE, {0, 4, 0, 29, 0, 0}, 6, ALERT_DECODE_ERROR},
        {KEY_SHARE, {0, 5, 0, 29, 0, 2, 9}, 7, ALERT_DECODE_ERROR},
        {KEY_SHARE, {0, 6, 0, 29, 0, 1, 9}, 7, ALERT_DECODE_ERROR},
        {KEY_SHARE, {0, 5, 0, 29, 0, 1, 9, 9}, 8, ALERT_DECODE_ERROR},
        {KEY_SHARE, {0, 6, 0, 29, 0, 1, 9, 9}, 8, ALERT_DECODE_ERROR},
        {KEY_SHARE, {0, 10, 0, 29, 0, 1, 9, 0, 23, 0, 1, 9}, 12, 0},
        {KEY_SHARE, {0, 10, 0, 29, 0, 1, 9, 0, 29, 0, 1, 8}, 12, ALERT_ILLEGAL_PARAMETER},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum hello_status status =
            judge_extension(cases[i].type, slice_from(cases[i].content, cases[i].size));

        if (cases[i].alert == 0) {
            assert_int_equal(status, HELLO_WHOLE);
        } else {
            assert_hello_refused(status, cases[i].alert);
        }
    }
}

/* --- what is offered --- */

static void test_offers(void **unused)
{
    (void)unused;
    assert_int_equal(judge_extension(EARLY_DATA, NOTHING), HELLO_WHOLE);
    assert_true(hello.offers_early_data);
    assert_int_equal(judge_extension(PSK_MODES, BYTES(1, 0)), HELLO_WHOLE); /* psk_ke only */
    assert_false(hello.offers_early_data);
    assert_false(hello.offers_psk_dhe);
    assert_int_equal(judge_extension(PSK_MODES, BYTES(2, 0, 1)), HELLO_WHOLE);
    assert_true(hello.offers_psk_dhe);
    assert_int_equal(judge_extension(KEY_SHARE, BYTES(0, 5, 0x11, 0xec, 0, 1, 0)), HELLO_WHOLE);
    assert_true(hello.offers_hybrid);
    assert_int_equal(judge_extension(KEY_SHARE, BYTES(0, 5, 0, 29, 0, 1, 0)), HELLO_WHOLE);
    assert_false(hello.offers_hybrid);
}

static void test_alpn(void **unused)
{
    static const struct {
        const char *list;
        size_t size;
        bool only_h2;
    } cases[] = {
        {"\2h2\10http/1.1", 12, false},
        {"\10http/1.1\2h2", 12, false},
        {"\10http/1.1", 9, false},
        {"\2h2", 3, true},
        {"\10HTTP/1.1", 9, false},
        {"\2h2\10HTTP/1.1", 12, true},
        {"\2h3", 3, false},
        {"\2\x3a\x3a\2h2", 6, true},
        {"\3h2c", 4, false},
    };
    static struct writer content;

    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        content.size = 0;
        add_vector16(&content, slice_from(cases[i].list, cases[i].size));
        assert_int_equal(judge_extension(ALPN, slice_from(content.bytes, content.size)),
                         HELLO_WHOLE);
        assert_int_equal(hello.only_h2, cases[i].only_h2);
    }
}

/* Versions and signature algorithms, and which alert or certificate they lead to. */
struct offer {
    struct slice suites;     /* NOTHING: ECDHE_ECDSA with AES-128-GCM */
    struct slice versions;   /* NOTHING: no extension, so 1.2 */
    struct slice algorithms; /* NOTHING: no extension */
    bool psk;
};

static enum hello_status judge_offer(const struct offer *offer)
{
    static struct writer extensions;
    static struct writer content;

    extensions.size = 0;
    if (offer->versions.size > 0) {
        content.size = 0;
        add_u8(&content, (uint8_t)offer->versions.size);
        add(&content, offer->versions.data, offer->versions.size);
        add_extension(&extensions, SUPPORTED_VERSIONS, slice_from(content.bytes, content.size));
    }
    if (offer->algorithms.size > 0) {
        content.size = 0;
        add_vector16(&content, offer->algorithms);
        add_extension(&extensions, SIGNATURE_ALGORITHMS, slice_from(content.bytes, content.size));
    }
    if (offer->psk) {
        add_extension(&extensions, PRE_SHARED_KEY, BYTES(0));
    }
    struct shape shape = {.suites = offer->suites};
    return judge_shape(&shape, slice_from(extensions.bytes, extensions.size));
}

static void test_versions(void **unused)
{
    (void)unused;
    const struct slice ecdsa = BYTES(4, 3);
    assert_int_equal(judge_offer(&(struct offer){.versions = BYTES(3, 4), .algorithms = ecdsa}),
                     HELLO_WHOLE);
    assert_true(hello.offers_tls_1_3);
    assert_int_equal(judge_offer(&(struct offer){.versions = BYTES(3, 3)}), HELLO_WHOLE);
    assert_false(hello.offers_tls_1_3);
    /* GREASE first, as Chromium does. */
    assert_int_equal(judge_offer(&(struct offer){.versions = BYTES(0xfa, 0xfa, 3, 4, 3, 3),
                                                 .algorithms = ecdsa}),
                     HELLO_WHOLE);
    assert_true(hello.offers_tls_1_3);
    /* The list alone counts, not the legacy field beside it. */
    assert_hello_refused(judge_offer(&(struct offer){.versions = BYTES(3, 2, 3, 1)}),
                         ALERT_PROTOCOL_VERSION);
    assert_hello_refused(judge_offer(&(struct offer){.versions = BYTES(0x2a, 0x2a)}),
                         ALERT_PROTOCOL_VERSION);
    assert_hello_refused(judge_offer(&(struct offer){.versions = BYTES(3, 5)}),
                         ALERT_PROTOCOL_VERSION);
    /* 1.3 without signature algorithms only with a ticket. */
    assert_hello_refused(judge_offer(&(struct offer){.versions = BYTES(3, 4)}),
                         ALERT_MISSING_EXTENSION);
    assert_hello_refused(judge_offer(&(struct offer){.versions = BYTES(3, 4, 3, 3)}),
                         ALERT_MISSING_EXTENSION);
    assert_int_equal(judge_offer(&(struct offer){.versions = BYTES(3, 4), .psk = true}),
                     HELLO_WHOLE);
    assert_false(hello.offers_ecdsa);
    assert_false(hello.offers_rsa);
}

static void test_certificates(void **unused)
{
    const struct slice both = BYTES(0xc0, 0x2b, 0xc0, 0x2f);
    const struct slice tls_1_3 = BYTES(3, 4);
    const struct {
        struct offer offer;
        bool ecdsa;
        bool rsa;
    } cases[] = {
        /* 1.2: suites and algorithms together; without algorithms the suites alone. */
        {{.suites = BYTES(0xc0, 0x2b)}, true, false},
        {{.suites = BYTES(0xc0, 0x2c)}, true, false},
        {{.suites = BYTES(0xcc, 0xa9)}, true, false},
        {{.suites = BYTES(0xc0, 0x2f)}, false, true},
        {{.suites = BYTES(0xc0, 0x30)}, false, true},
        {{.suites = BYTES(0xcc, 0xa8)}, false, true},
        {{.suites = both}, true, true},
        {{.suites = BYTES(0, 0x2f, 0xc0, 0x13)}, false, false}, /* CBC only */
        {{.suites = BYTES(0x0a, 0x0a, 0x13, 1)}, false, false}, /* 1.3 suites without 1.3 */
        {{.suites = both, .algorithms = BYTES(4, 3)}, true, false},
        {{.suites = both, .algorithms = BYTES(4, 1)}, false, true},
        {{.suites = both, .algorithms = BYTES(5, 1)}, false, true},
        {{.suites = both, .algorithms = BYTES(6, 1)}, false, true},
        {{.suites = both, .algorithms = BYTES(8, 4)}, false, true},
        {{.suites = both, .algorithms = BYTES(0x1a, 0x1a, 4, 3, 8, 4)}, true, true},
        {{.suites = both, .algorithms = BYTES(2, 1, 2, 3)}, false, false}, /* SHA-1 only */
        {{.suites = BYTES(0xc0, 0x2f), .algorithms = BYTES(4, 3)}, false, false},
        {{.suites = BYTES(0xc0, 0x2b), .algorithms = BYTES(4, 1)}, false, false},
        /* 1.3: algorithms alone, and no PKCS #1. */
        {{.versions = tls_1_3, .algorithms = BYTES(4, 3)}, true, false},
        {{.versions = tls_1_3, .algorithms = BYTES(8, 4)}, false, true},
        {{.versions = tls_1_3, .algorithms = BYTES(8, 5)}, false, true},
        {{.versions = tls_1_3, .algorithms = BYTES(8, 6)}, false, true},
        {{.versions = tls_1_3, .algorithms = BYTES(4, 1)}, false, false},
        {{.versions = tls_1_3, .algorithms = BYTES(5, 3)}, false, false}, /* P-384 */
        {{.versions = tls_1_3, .algorithms = BYTES(4, 3, 8, 4)}, true, true},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(judge_offer(&cases[i].offer), HELLO_WHOLE);
        assert_int_equal(hello.offers_ecdsa, cases[i].ecdsa);
        assert_int_equal(hello.offers_rsa, cases[i].rsa);
    }
}

/* GREASE in every list, and unknown extensions, empty and not, first and last. */
static void test_grease(void **unused)
{
    static struct writer extensions;
    struct shape shape = {.suites = BYTES(0xba, 0xba, 0x13, 1, 0xc0, 0x2b), .session_id_size = 32};

    (void)unused;
    extensions.size = 0;
    add_extension(&extensions, 0x2a2a, NOTHING);
    add_extension(&extensions, SUPPORTED_VERSIONS, BYTES(6, 0x6a, 0x6a, 3, 4, 3, 3));
    add_extension(&extensions, SIGNATURE_ALGORITHMS, BYTES(0, 4, 0x8a, 0x8a, 4, 3));
    add_extension(&extensions, KEY_SHARE, BYTES(0, 10, 0x3a, 0x3a, 0, 1, 0, 0, 29, 0, 1, 0x77));
    add_extension(&extensions, 10, BYTES(0, 4, 0x3a, 0x3a, 0, 29));
    add_extension(&extensions, PSK_MODES, BYTES(2, 0x0b, 1));
    add_extension(&extensions, ALPN,
                  BYTES(0, 12, 2, 0xca, 0xca, 8, 'h', 't', 't', 'p', '/', '1', '.', '1'));
    add_extension(&extensions, 0xeaea, BYTES(0));
    assert_int_equal(judge_shape(&shape, slice_from(extensions.bytes, extensions.size)),
                     HELLO_WHOLE);
    assert_true(hello.offers_tls_1_3);
    assert_true(hello.offers_ecdsa);
    assert_true(hello.offers_psk_dhe);
    assert_false(hello.only_h2);
    assert_false(hello.offers_hybrid);
}

/* A post-quantum hello as the field sends it: in two segments, cut anywhere (judge tries all). */
static void test_hybrid(void **unused)
{
    static uint8_t share[1216 + 4];
    static struct writer content;
    static struct writer extensions;
    struct shape shape = {.suites = BYTES(0x13, 1), .session_id_size = 32};

    (void)unused;
    store_be16(share, 0x11ec);
    store_be16(share + 2, 1216);
    content.size = 0;
    add_u16(&content, sizeof(share) + 36);
    add(&content, share, sizeof(share));
    add_u16(&content, 29);
    add_vector16(&content, slice_from(share, 32));
    extensions.size = 0;
    add_extension(&extensions, SUPPORTED_VERSIONS, BYTES(2, 3, 4));
    add_extension(&extensions, SIGNATURE_ALGORITHMS, BYTES(0, 2, 4, 3));
    add_extension(&extensions, KEY_SHARE, slice_from(content.bytes, content.size));
    /* Shares without the groups that they are of (RFC 8446, section 9.2). */
    assert_hello_refused(judge_shape(&shape, slice_from(extensions.bytes, extensions.size)),
                         ALERT_MISSING_EXTENSION);
    add_extension(&extensions, 10, BYTES(0, 4, 0x11, 0xec, 0, 29));
    assert_int_equal(judge_shape(&shape, slice_from(extensions.bytes, extensions.size)),
                     HELLO_WHOLE);
    assert_true(hello.offers_hybrid);
    assert_true(hello.message_size > 1280);
}

/* --- tickets --- */

#define TICKET 35

/* Whether a ticket is offered whose key has the name that the bytes 1 to 16 make. */
static bool offers_name(void)
{
    for (uint8_t i = 0; i < TICKET_NAME_SIZE; i++) {
        if (hello.ticket_name[i] != i + 1) {
            return false;
        }
    }
    return hello.offers_ticket;
}

static void test_tickets(void **unused)
{
    static const uint8_t name[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
    static struct writer identities;
    static struct writer content;

    (void)unused;
    /* 1.2: the extension is the ticket; empty, it only asks for one. */
    assert_int_equal(judge_extension(TICKET, NOTHING), HELLO_WHOLE);
    assert_false(hello.offers_ticket);
    assert_int_equal(judge_extension(TICKET, slice_from(name, 15)), HELLO_WHOLE);
    assert_false(hello.offers_ticket);
    assert_int_equal(judge_extension(TICKET, slice_from(name, 16)), HELLO_WHOLE);
    assert_true(offers_name());
    assert_int_equal(judge_extension(TICKET, slice_from(name, 17)), HELLO_WHOLE);
    assert_true(offers_name());
    /* 1.3: the first identity, with its age behind it. */
    for (size_t size = 0; size <= sizeof(name); size++) {
        identities.size = 0;
        add_vector16(&identities, slice_from(name, size));
        add(&identities, "age.", 4);
        add_vector16(&identities, slice_from("a second one that is not ours", 29));
        add(&identities, "age.", 4);
        content.size = 0;
        add_vector16(&content, slice_from(identities.bytes, identities.size));
        assert_int_equal(judge_extension(PRE_SHARED_KEY, slice_from(content.bytes, content.size)),
                         HELLO_WHOLE);
        assert_int_equal(offers_name(), size >= TICKET_NAME_SIZE);
        /* Cut anywhere: what is wrong with it the library says, and nothing is read beyond. */
        for (size_t cut = 0; cut < 2 + 2 + size; cut++) {
            assert_int_equal(judge_extension(PRE_SHARED_KEY, slice_from(content.bytes, cut)),
                             HELLO_WHOLE);
            assert_false(hello.offers_ticket);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_legacy_versions),
        cmocka_unit_test(test_extension_framing),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_name_sizes),
        cmocka_unit_test(test_name_bytes),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_grease),
        cmocka_unit_test(test_hybrid),
        cmocka_unit_test(test_tickets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
