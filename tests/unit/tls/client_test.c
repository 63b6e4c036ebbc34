/*
 * Goal: our client gets through with our server and with OpenSSL's, in every suite; it verifies
 * when it is told to; and what a server sends behind the handshake does not disturb it.
 */
#include "pki.h"
#include "tls/alert.h"
#include "twins.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <wolfssl/version.h>

/* Not by the library's own macros: a build that forgets the group is to fail here. */
#if LIBWOLFSSL_VERSION_HEX >= 0x05009000
#define HAS_HYBRID true
#else
#define HAS_HYBRID false
#endif

static struct {
    struct pki pki;
    struct certificate_files ecdsa_files;
    struct certificate_files rsa_files;
    struct certificate_set *ecdsa;
    struct certificate_set *rsa;
    struct ticket_keys *tickets;
    char message[512];
} fixture;

static int open_fixture(void **state)
{
    (void)state;
    pki_open(&fixture.pki);
    fixture.ecdsa_files = pki_simple(&fixture.pki, "ecdsa", PKI_ECDSA, "DNS:localhost");
    fixture.rsa_files = pki_simple(&fixture.pki, "rsa", PKI_RSA_2048, "DNS:localhost");
    fixture.ecdsa =
        certificate_set_open(&fixture.ecdsa_files, 1, fixture.message, sizeof(fixture.message));
    fixture.rsa =
        certificate_set_open(&fixture.rsa_files, 1, fixture.message, sizeof(fixture.message));
    fixture.tickets = ticket_keys_open(NULL, 3600, fixture.message, sizeof(fixture.message));
    return fixture.ecdsa && fixture.rsa && fixture.tickets ? 0 : -1;
}

static int close_fixture(void **state)
{
    (void)state;
    ticket_keys_close(fixture.tickets);
    certificate_set_close(fixture.rsa);
    certificate_set_close(fixture.ecdsa);
    pki_close(&fixture.pki);
    return 0;
}

static struct tls_client *client_with(const struct tls_client_options *options)
{
    struct tls_client *client = tls_client_open(options, fixture.message, sizeof(fixture.message));
    assert_non_null(client);
    return client;
}

static const struct {
    enum tls_version version;
    enum tls_suite suite;
} suites[] = {
    {TLS_1_3, TLS_AES_128_GCM}, {TLS_1_3, TLS_AES_256_GCM}, {TLS_1_3, TLS_CHACHA20_POLY1305},
    {TLS_1_2, TLS_AES_128_GCM}, {TLS_1_2, TLS_AES_256_GCM}, {TLS_1_2, TLS_CHACHA20_POLY1305},
};
#define SUITES (sizeof(suites) / sizeof(suites[0]))

/* --- with our server --- */

/* On from the server's first flight. piece_size: what the client is fed with; 0: all there is. */
static void run(struct twins *twins, size_t piece_size)
{
    for (size_t seen = 0; twins->client_status == HANDSHAKE_MORE && twins->to_client.size > 0;) {
        const size_t size_before = twins->to_client.size;
        seen += piece_size ? piece_size : size_before;
        twins_client(twins, seen < size_before ? seen : size_before);
        seen -=
            size_before - twins->to_client.size < seen ? size_before - twins->to_client.size : seen;
        if (twins->server_status == HANDSHAKE_MORE && twins->to_server.size > 0) {
            twins_server(twins);
        }
    }
}

static void send_one(struct tls_state *from, struct tls_state *to, struct pipe *before)
{
    static const uint8_t text[] = "The quick brown fox";
    uint8_t record[sizeof(text) + TLS_OVERHEAD_MAX];
    struct tls_record opened;
    memcpy(record + tls_headroom(from), text, sizeof(text));
    pipe_push(before, record, tls_seal(from, record, sizeof(text)));
    do { /* a ticket may come first */
        assert_int_equal(tls_open(to, before->bytes, before->size, &opened), TLS_DATA);
        if (opened.data.size > 0) {
            assert_int_equal(opened.data.size, sizeof(text));
            assert_memory_equal(opened.data.data, text, sizeof(text));
        }
        pipe_drop(before, opened.consumed);
    } while (before->size > 0);
}

static void talk(struct twins *twins)
{
    _Alignas(8) uint8_t client[TLS_STATE_SIZE_MAX];
    _Alignas(8) uint8_t server[TLS_STATE_SIZE_MAX];
    struct tls_keys keys;
    client_handshake_keys(twins->client, twins->client_number, &keys);
    assert_true(keys.client);
    tls_state_init((struct tls_state *)client, &keys);
    client_handshake_end(twins->client, twins->client_number);
    handshake_keys(twins->server, twins->server_number, &keys);
    assert_false(keys.client);
    tls_state_init((struct tls_state *)server, &keys);
    handshake_end(twins->server, twins->server_number);
    for (int i = 0; i < 3; i++) {
        send_one((struct tls_state *)server, (struct tls_state *)client, &twins->to_client);
        send_one((struct tls_state *)client, (struct tls_state *)server, &twins->to_server);
    }
}

static void open_twins(struct twins *twins, const struct tls_client_options *options,
                       const struct certificate_set *set)
{
    const struct tls_server_options server_options = {.certificates = set,
                                                      .tickets = fixture.tickets,
                                                      .handshakes_max = 2,
                                                      .tls_1_2 = options->version == TLS_1_2};
    struct tls_client *client = client_with(options);
    struct tls_server *server =
        tls_server_open(&server_options, fixture.message, sizeof(fixture.message));
    assert_non_null(server);
    twins_start(twins, client, server);
}

static void close_twins(struct twins *twins)
{
    tls_client_close(twins->client); /* with the handshakes that are still there */
    tls_server_close(twins->server);
    assert_int_equal(handshake_heap(), 0);
}

static void check_twins(size_t suite, const struct certificate_set *set, size_t piece_size)
{
    static struct twins twins;
    const struct tls_client_options options = {.host_name = "localhost",
                                               .handshakes_max = 2,
                                               .version = suites[suite].version,
                                               .suite = suites[suite].suite};
    open_twins(&twins, &options, set);
    twins_greet(&twins);
    run(&twins, piece_size);
    assert_int_equal(twins.client_status, HANDSHAKE_DONE);
    assert_int_equal(twins.server_status, HANDSHAKE_DONE);
    talk(&twins);
    close_twins(&twins);
}

static void every_suite_works_with_our_server(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITES; i++) {
        check_twins(i, fixture.ecdsa, 0);
        check_twins(i, fixture.rsa, 0);
        check_twins(i, fixture.ecdsa, 1);
    }
}

/* The hello in to_server names a key of ours. */
static bool offers_our_ticket(const struct twins *twins)
{
    struct hello hello;

    assert_int_equal(hello_read(twins->to_server.bytes, twins->to_server.size, &hello, NULL),
                     HELLO_WHOLE);
    return hello.offers_ticket && ticket_is_known(fixture.tickets, hello.ticket_name);
}

/* On from the ClientHello to the end: the ticket that came behind the handshake. */
static struct client_ticket *visit(struct twins *twins)
{
    twins_greet(twins);
    run(twins, 0);
    assert_int_equal(twins->client_status, HANDSHAKE_DONE);
    assert_int_equal(twins->server_status, HANDSHAKE_DONE);
    assert_int_equal(twins->client_result.resumed, twins->server_result.resumed);
    struct client_ticket *ticket =
        client_handshake_ticket(twins->client, twins->client_number,
                                slice_from(twins->to_client.bytes, twins->to_client.size));
    assert_non_null(ticket);
    talk(twins);
    return ticket;
}

static struct client_ticket *visit_again(struct twins *twins, const struct client_ticket *ticket)
{
    twins_resume(twins, twins->client, twins->server, ticket);
    assert_true(offers_our_ticket(twins));
    struct client_ticket *next = visit(twins);
    assert_true(twins->client_result.resumed);
    return next;
}

static void a_ticket_brings_it_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITES && suites[i].version == TLS_1_3; i++) {
        static struct twins twins;
        const struct tls_client_options options = {
            .handshakes_max = 2, .version = suites[i].version, .suite = suites[i].suite};
        open_twins(&twins, &options, fixture.ecdsa);
        assert_false(offers_our_ticket(&twins));
        struct client_ticket *first = visit(&twins);
        assert_false(twins.client_result.resumed);
        struct client_ticket *second = visit_again(&twins, first);
        client_ticket_free(visit_again(&twins, first)); /* twice with one */
        client_ticket_free(visit_again(&twins, second));
        client_ticket_free(first);
        client_ticket_free(second);
        close_twins(&twins);
    }
}

static void nothing_in_common_is_told_to_both(void **state)
{
    (void)state;
    static struct twins twins;
    const struct tls_client_options client = {
        .handshakes_max = 1, .version = TLS_1_2, .suite = TLS_AES_128_GCM};
    const struct tls_server_options server = {.certificates = fixture.ecdsa, .handshakes_max = 1};
    twins_start(&twins, client_with(&client),
                tls_server_open(&server, fixture.message, sizeof(fixture.message)));
    twins_greet(&twins);
    run(&twins, 0);
    assert_int_equal(twins.server_status, HANDSHAKE_FAILED);
    assert_int_equal(twins.server_result.alert, ALERT_PROTOCOL_VERSION);
    assert_false(twins.server_result.alert_received);
    assert_int_equal(twins.client_status, HANDSHAKE_FAILED);
    assert_int_equal(twins.client_result.alert, ALERT_PROTOCOL_VERSION);
    assert_true(twins.client_result.alert_received);
    close_twins(&twins);
}

/* --- the hybrid group --- */

static const struct tls_client_options hybrid = {.host_name = "localhost",
                                                 .handshakes_max = 2,
                                                 .version = TLS_1_3,
                                                 .suite = TLS_AES_128_GCM,
                                                 .hybrid = true};

/* Whether a hello in the pipe carries a key share of X25519MLKEM768, which has this size. */
static bool has_hybrid_share(const struct pipe *pipe, uint16_t size)
{
    uint8_t entry[] = {0x11, 0xec, 0, 0};
    store_be16(entry + 2, size);
    return memmem(pipe->bytes, pipe->size, entry, sizeof(entry)) != NULL;
}

static void check_hybrid(const struct certificate_set *set, size_t piece_size)
{
    static struct twins twins;
    open_twins(&twins, &hybrid, set);
    assert_true(has_hybrid_share(&twins.to_server, 1216));
    twins_greet(&twins);
    assert_true(has_hybrid_share(&twins.to_client, 1120)); /* without a retry */
    run(&twins, piece_size);
    assert_int_equal(twins.client_status, HANDSHAKE_DONE);
    assert_int_equal(twins.server_status, HANDSHAKE_DONE);
    talk(&twins);
    close_twins(&twins);
}

static void the_hybrid_group_is_agreed_on(void **state)
{
    (void)state;
    if (!HAS_HYBRID) {
        skip();
    }
    check_hybrid(fixture.ecdsa, 0);
    check_hybrid(fixture.rsa, 0);
    check_hybrid(fixture.ecdsa, 1);
}

/* What is no key of ML-KEM: a coefficient over the modulus (FIPS 203, section 7.2). */
static void a_wrong_hybrid_share_is_refused(void **state)
{
    (void)state;
    if (!HAS_HYBRID) {
        skip();
    }
    static struct twins twins;
    open_twins(&twins, &hybrid, fixture.ecdsa);
    uint8_t *share = memmem(twins.to_server.bytes, twins.to_server.size, "\x11\xec\x04\xc0", 4);
    assert_non_null(share);
    memset(share + 4, 0xff, 3);
    twins_greet(&twins);
    assert_int_equal(twins.server_status, HANDSHAKE_FAILED);
    assert_int_equal(twins.server_result.alert, ALERT_ILLEGAL_PARAMETER);
    close_twins(&twins);
}

static void the_hybrid_group_needs_the_library(void **state)
{
    (void)state;
    if (HAS_HYBRID) {
        skip();
    }
    assert_null(tls_client_open(&hybrid, fixture.message, sizeof(fixture.message)));
    assert_non_null(strstr(fixture.message, "X25519MLKEM768"));
}

/* --- with OpenSSL's server --- */

struct guest {
    struct tls_client *client;
    uint32_t number;
    SSL_CTX *context;
    SSL *ssl;
    struct pipe to_client;
    enum handshake_status status;
    struct handshake_result result;
};

static void guest_open(struct guest *guest, const struct tls_client_options *options,
                       const struct certificate_files *files)
{
    memset(guest, 0, sizeof(*guest));
    guest->client = client_with(options);
    guest->context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate_chain_file(guest->context, files->certificate_path);
    SSL_CTX_use_PrivateKey_file(guest->context, files->key_path, SSL_FILETYPE_PEM);
    guest->ssl = SSL_new(guest->context);
    SSL_set_bio(guest->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(guest->ssl);
    guest->number = client_handshake_start(guest->client);
    assert_int_not_equal(guest->number, NONE);
}

static void guest_close(struct guest *guest)
{
    client_handshake_end(guest->client, guest->number);
    assert_int_equal(handshake_heap(), 0);
    SSL_free(guest->ssl);
    SSL_CTX_free(guest->context);
    tls_client_close(guest->client);
}

static void guest_server(struct guest *guest, const uint8_t *data, size_t size)
{
    uint8_t piece[16384];
    int got = 0;
    if (size > 0) {
        BIO_write(SSL_get_rbio(guest->ssl), data, (int)size);
    }
    (void)SSL_do_handshake(guest->ssl);
    while ((got = BIO_read(SSL_get_wbio(guest->ssl), piece, sizeof(piece))) > 0) {
        pipe_push(&guest->to_client, piece, (size_t)got);
    }
}

static void guest_run(struct guest *guest)
{
    do {
        guest->status = client_handshake_feed(guest->client, guest->number, guest->to_client.bytes,
                                              guest->to_client.size, &guest->result);
        pipe_drop(&guest->to_client, guest->result.consumed);
        guest_server(guest, guest->result.output.data, guest->result.output.size);
    } while (guest->status == HANDSHAKE_MORE && guest->to_client.size > 0);
}

/* The server says something, with two tickets and a KeyUpdate before it; then the client. */
static void guest_talk(struct guest *guest)
{
    _Alignas(8) uint8_t memory[TLS_STATE_SIZE_MAX];
    struct tls_state *tls = (struct tls_state *)memory;
    struct tls_keys keys;
    struct tls_record record;
    client_handshake_keys(guest->client, guest->number, &keys);
    tls_state_init(tls, &keys);
    if (keys.version == TLS_1_3) {
        SSL_key_update(guest->ssl, SSL_KEY_UPDATE_REQUESTED);
    }
    assert_int_equal(SSL_write(guest->ssl, "from the server", 15), 15);
    guest_server(guest, NULL, 0);
    size_t heard = 0;
    while (guest->to_client.size > 0) {
        assert_int_equal(tls_open(tls, guest->to_client.bytes, guest->to_client.size, &record),
                         TLS_DATA);
        heard += record.data.size;
        pipe_drop(&guest->to_client, record.consumed);
    }
    assert_int_equal(heard, 15);
    uint8_t out[64 + TLS_OVERHEAD_MAX];
    if (keys.version == TLS_1_3) {
        assert_true(tls_update_due(tls));
        const size_t size = tls_seal_update(tls, out);
        guest_server(guest, out, size);
    }
    static const char answer[] = "from the client";
    memcpy(out + tls_headroom(tls), answer, sizeof(answer));
    const size_t size = tls_seal(tls, out, sizeof(answer));
    guest_server(guest, out, size);
    char text[32] = "";
    assert_int_equal(SSL_read(guest->ssl, text, sizeof(text)), sizeof(answer));
    assert_string_equal(text, answer);
}

static void every_suite_works_with_openssl(void **state)
{
    (void)state;
    static struct guest guest;
    for (size_t i = 0; i < SUITES * 2; i++) {
        const struct certificate_files *files =
            i % 2 == 0 ? &fixture.ecdsa_files : &fixture.rsa_files;
        const struct tls_client_options options = {.host_name = "localhost",
                                                   .ca_path = files->certificate_path,
                                                   .handshakes_max = 1,
                                                   .version = suites[i / 2].version,
                                                   .suite = suites[i / 2].suite};
        guest_open(&guest, &options, files);
        guest_run(&guest);
        assert_int_equal(guest.status, HANDSHAKE_DONE);
        assert_string_equal(SSL_get_servername(guest.ssl, TLSEXT_NAMETYPE_host_name), "localhost");
        guest_talk(&guest);
        guest_close(&guest);
    }
}

static void check_retry(const struct tls_client_options *options, const char *group)
{
    static struct guest guest;
    guest_open(&guest, options, &fixture.ecdsa_files);
    SSL_set1_groups_list(guest.ssl, group);
    guest_run(&guest);
    assert_int_equal(guest.status, HANDSHAKE_DONE);
    guest_talk(&guest);
    guest_close(&guest);
}

static void a_retry_is_followed(void **state)
{
    (void)state;
    const struct tls_client_options options = {
        .handshakes_max = 1, .version = TLS_1_3, .suite = TLS_AES_128_GCM};
    check_retry(&options, "P-256");
    if (HAS_HYBRID) {
        check_retry(&hybrid, "X25519");
    }
}

static void check_refused(const struct tls_client_options *options,
                          const struct certificate_files *files)
{
    static struct guest guest;
    guest_open(&guest, options, files);
    guest_run(&guest);
    assert_int_equal(guest.status, HANDSHAKE_FAILED);
    assert_false(guest.result.alert_received);
    assert_int_not_equal(guest.result.error, 0);
    assert_true(guest.result.output.size > 0); /* the server hears of it */
    guest_close(&guest);
}

static void it_verifies_when_told(void **state)
{
    (void)state;
    for (int version = TLS_1_2; version <= TLS_1_3; version++) {
        struct tls_client_options options = {.host_name = "localhost",
                                             .ca_path = fixture.ecdsa_files.certificate_path,
                                             .handshakes_max = 1,
                                             .version = (enum tls_version)version,
                                             .suite = TLS_AES_128_GCM};
        check_refused(&options, &fixture.rsa_files); /* signed by somebody else */
        options.host_name = "elsewhere.example";
        check_refused(&options, &fixture.ecdsa_files);
    }
}

static void open_errors_are_named(void **state)
{
    (void)state;
    const struct tls_client_options options = {.ca_path = "/nonexistent/ca.pem",
                                               .handshakes_max = 1,
                                               .version = TLS_1_3,
                                               .suite = TLS_AES_128_GCM};
    assert_null(tls_client_open(&options, fixture.message, sizeof(fixture.message)));
    assert_non_null(strstr(fixture.message, "/nonexistent/ca.pem"));
}

static void handshakes_are_bounded(void **state)
{
    (void)state;
    const struct tls_client_options options = {
        .handshakes_max = 2, .version = TLS_1_3, .suite = TLS_AES_128_GCM};
    struct tls_client *client = client_with(&options);
    const uint32_t one = client_handshake_start(client);
    assert_int_not_equal(one, NONE);
    assert_int_not_equal(client_handshake_start(client), NONE);
    assert_int_equal(client_handshake_start(client), NONE);
    client_handshake_end(client, one);
    assert_int_equal(client_handshake_start(client), one);
    tls_client_close(client);
    assert_int_equal(handshake_heap(), 0);
}

static void a_server_that_speaks_no_tls_is_refused(void **state)
{
    (void)state;
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    const struct tls_client_options options = {
        .handshakes_max = 1, .version = TLS_1_3, .suite = TLS_AES_128_GCM};
    struct tls_client *client = client_with(&options);
    const uint32_t number = client_handshake_start(client);
    struct handshake_result result;
    assert_int_equal(
        client_handshake_feed(client, number, (const uint8_t *)answer, sizeof(answer) - 1, &result),
        HANDSHAKE_FAILED);
    assert_int_equal(result.alert, ALERT_UNEXPECTED_MESSAGE);
    client_handshake_end(client, number);
    tls_client_close(client);
    assert_int_equal(handshake_heap(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_suite_works_with_our_server),
        cmocka_unit_test(a_ticket_brings_it_back),
        cmocka_unit_test(nothing_in_common_is_told_to_both),
        cmocka_unit_test(the_hybrid_group_is_agreed_on),
        cmocka_unit_test(a_wrong_hybrid_share_is_refused),
        cmocka_unit_test(the_hybrid_group_needs_the_library),
        cmocka_unit_test(every_suite_works_with_openssl),
        cmocka_unit_test(a_retry_is_followed),
        cmocka_unit_test(it_verifies_when_told),
        cmocka_unit_test(open_errors_are_named),
        cmocka_unit_test(handshakes_are_bounded),
        cmocka_unit_test(a_server_that_speaks_no_tls_is_refused),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
