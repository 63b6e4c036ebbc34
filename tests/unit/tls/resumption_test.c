/*
 * Goal: a ticket brings a client back wherever its key is known, and costs everybody else a full
 * handshake, never an alert.
 */
#include "duel.h"
#include "pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ROTATE_S  10
#define ROTATE_MS (UINT64_C(1000) * ROTATE_S)

static struct {
    struct pki pki;
    struct certificate_set *set;
    struct certificate_set *other_set;
    SSL_CTX *client;
    char message[512];
} fixture;

static struct certificate_set *simple_set(const char *name, enum pki_key key, const char *names)
{
    const struct certificate_files files = pki_simple(&fixture.pki, name, key, names);
    return certificate_set_open(&files, 1, fixture.message, sizeof(fixture.message));
}

static int open_fixture(void **state)
{
    (void)state;
    pki_open(&fixture.pki);
    fixture.set = simple_set("one", PKI_ECDSA, "DNS:a.example,DNS:b.example");
    fixture.other_set = simple_set("other", PKI_ECDSA, "DNS:a.example");
    fixture.client = SSL_CTX_new(TLS_client_method());
    return fixture.set && fixture.other_set && fixture.client ? 0 : -1;
}

static int close_fixture(void **state)
{
    (void)state;
    SSL_CTX_free(fixture.client);
    certificate_set_close(fixture.set);
    certificate_set_close(fixture.other_set);
    pki_close(&fixture.pki);
    return 0;
}

static struct ticket_keys *random_keys(void)
{
    struct ticket_keys *keys =
        ticket_keys_open(NULL, ROTATE_S, fixture.message, sizeof(fixture.message));
    assert_non_null(keys);
    ticket_keys_rotate(keys, 1); /* the first call only starts the clock */
    return keys;
}

static struct tls_server *server_of(const struct certificate_set *set, struct ticket_keys *keys)
{
    const struct tls_server_options options = {
        .certificates = set, .tickets = keys, .handshakes_max = 4, .tls_1_2 = true};
    struct tls_server *server = tls_server_open(&options, fixture.message, sizeof(fixture.message));
    assert_non_null(server);
    return server;
}

/* What a visit was like. session: the ticket's, to come with, and then the one taken home. */
struct visit {
    struct tls_server *server;
    int version;
    const char *name;
    const char *groups;
    SSL_SESSION *session;
};

static bool visit(struct visit *visit)
{
    SSL *ssl = duel_client_new(fixture.client, visit->name ? visit->name : "a.example");
    SSL_set_max_proto_version(ssl, visit->version);
    if (visit->groups) {
        SSL_set1_groups_list(ssl, visit->groups);
    }
    if (visit->session) {
        SSL_set_session(ssl, visit->session);
    }
    struct duel *duel = duel_open(visit->server, ssl);
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    duel_echo(duel, 100);
    const bool is_resumed = duel->result.resumed;
    assert_int_equal(SSL_session_reused(ssl), is_resumed);
    SSL_SESSION_free(visit->session);
    visit->session = SSL_get1_session(ssl);
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN); /* else the session counts as broken */
    duel_close(duel);
    assert_int_equal(handshake_heap(), 0);
    return is_resumed;
}

/* The library answers a refused 1.2 ticket with none: the client asks for one at its next visit. */
static void refused_visit(struct visit *v)
{
    assert_false(visit(v));
    if (v->version == TLS1_2_VERSION) {
        assert_false(visit(v));
    }
}

static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

static void the_same_keys_resume(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ticket_keys *keys = random_keys();
        struct tls_server *one = server_of(fixture.set, keys);
        struct tls_server *two = server_of(fixture.other_set, keys);
        struct visit v = {.server = one, .version = versions[i]};
        assert_false(visit(&v));
        assert_true(visit(&v));
        v.server = two; /* another shard, and another certificate of that name */
        assert_true(visit(&v));
        v.name = "b.example"; /* RFC 6066, section 3 */
        v.server = one;
        refused_visit(&v);
        assert_true(visit(&v));
        SSL_SESSION_free(v.session);
        tls_server_close(one);
        tls_server_close(two);
        ticket_keys_close(keys);
    }
}

static void reload(struct ticket_keys *keys, const char *path)
{
    struct ticket_keys *fresh = ticket_keys_open(path, 0, fixture.message, sizeof(fixture.message));

    assert_non_null(fresh);
    ticket_keys_replace(keys, fresh);
}

static void a_ticket_can_be_used_twice(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ticket_keys *keys = random_keys();
        struct tls_server *server = server_of(fixture.set, keys);
        struct visit v = {.server = server, .version = versions[i]};
        assert_false(visit(&v));
        SSL_SESSION *copy = SSL_SESSION_dup(v.session);
        assert_true(visit(&v));
        SSL_SESSION_free(v.session);
        v.session = copy;
        assert_true(visit(&v));
        SSL_SESSION_free(v.session);
        tls_server_close(server);
        ticket_keys_close(keys);
    }
}

static void two_rotations_resume_and_three_do_not(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        for (unsigned rotations = 0; rotations <= 3; rotations++) {
            struct ticket_keys *keys = random_keys();
            struct tls_server *server = server_of(fixture.set, keys);
            struct visit v = {.server = server, .version = versions[i]};
            assert_false(visit(&v));
            for (unsigned r = 1; r <= rotations; r++) {
                ticket_keys_rotate(keys, 1 + r * ROTATE_MS);
            }
            if (rotations < 3) {
                assert_true(visit(&v));
            } else {
                refused_visit(&v);
            }
            /* What it took home is sealed with a key that lives on. */
            ticket_keys_rotate(keys, 1 + (rotations + 1) * ROTATE_MS);
            ticket_keys_rotate(keys, 1 + (rotations + 2) * ROTATE_MS);
            assert_true(visit(&v));
            SSL_SESSION_free(v.session);
            tls_server_close(server);
            ticket_keys_close(keys);
        }
    }
}

static void a_key_file_outlives_the_process(void **state)
{
    (void)state;
    uint8_t file[2 * TICKET_KEY_FILE_ENTRY];
    for (size_t i = 0; i < sizeof(file); i++) {
        file[i] = (uint8_t)(i * 13 + 5);
    }
    for (int i = 0; i < 2; i++) {
        const char *path = pki_write_text(&fixture.pki, "tickets", file, TICKET_KEY_FILE_ENTRY);
        struct ticket_keys *keys =
            ticket_keys_open(path, 0, fixture.message, sizeof(fixture.message));
        assert_non_null(keys);
        struct tls_server *server = server_of(fixture.set, keys);
        struct visit v = {.server = server, .version = versions[i]};
        assert_false(visit(&v));
        tls_server_close(server);
        ticket_keys_close(keys);

        keys = ticket_keys_open(path, 0, fixture.message, sizeof(fixture.message));
        v.server = server_of(fixture.set, keys);
        assert_true(visit(&v));

        /* The operator puts another key before it. */
        uint8_t turned[2 * TICKET_KEY_FILE_ENTRY];
        memcpy(turned, file + TICKET_KEY_FILE_ENTRY, TICKET_KEY_FILE_ENTRY);
        memcpy(turned + TICKET_KEY_FILE_ENTRY, file, TICKET_KEY_FILE_ENTRY);
        pki_write_text(&fixture.pki, "tickets", turned, sizeof(turned));
        reload(keys, path);
        assert_true(visit(&v));

        /* And takes both away. */
        turned[20] ^= 1;
        pki_write_text(&fixture.pki, "tickets", turned, TICKET_KEY_FILE_ENTRY);
        reload(keys, path);
        assert_false(visit(&v));
        SSL_SESSION_free(v.session);
        tls_server_close(v.server);
        ticket_keys_close(keys);
    }
}

static void foreign_and_damaged_tickets_cost_a_full_handshake(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ticket_keys *keys = random_keys();
        struct ticket_keys *other_keys = random_keys();
        struct tls_server *server = server_of(fixture.set, keys);
        struct tls_server *foreign = server_of(fixture.set, other_keys);
        struct visit v = {.server = foreign, .version = versions[i]};
        assert_false(visit(&v));
        v.server = server;
        refused_visit(&v);
        v.groups = "X448:P-256"; /* and with a retry */
        assert_true(visit(&v));
        v.server = foreign;
        assert_false(visit(&v));
        SSL_SESSION_free(v.session);
        tls_server_close(server);
        tls_server_close(foreign);
        ticket_keys_close(keys);
        ticket_keys_close(other_keys);
    }
}

static void a_client_may_resume_for_ever(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ticket_keys *keys = random_keys();
        struct tls_server *server = server_of(fixture.set, keys);
        struct visit v = {.server = server, .version = versions[i]};
        assert_false(visit(&v));
        for (int visits = 0; visits < 300; visits++) { /* more than fit in a byte */
            assert_true(visit(&v));
        }
        SSL_SESSION_free(v.session);
        tls_server_close(server);
        ticket_keys_close(keys);
    }
}

static void a_ticket_does_not_change_the_version(void **state)
{
    (void)state;
    struct ticket_keys *keys = random_keys();
    struct tls_server *server = server_of(fixture.set, keys);
    struct visit v = {.server = server, .version = TLS1_2_VERSION};
    assert_false(visit(&v));
    v.version = TLS1_3_VERSION;
    assert_false(visit(&v)); /* a 1.2 ticket in a 1.3 hello */
    SSL_SESSION_free(v.session);
    tls_server_close(server);
    ticket_keys_close(keys);
}

static void tickets_say_how_long_they_live(void **state)
{
    (void)state;
    struct ticket_keys *keys = random_keys();
    struct tls_server *server = server_of(fixture.set, keys);
    for (int i = 0; i < 2; i++) {
        struct visit v = {.server = server, .version = versions[i]};
        assert_false(visit(&v));
        assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(v.session), 2 * ROTATE_S);
        SSL_SESSION_free(v.session);
    }
    tls_server_close(server);
    ticket_keys_close(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_keys_resume),
        cmocka_unit_test(a_ticket_can_be_used_twice),
        cmocka_unit_test(two_rotations_resume_and_three_do_not),
        cmocka_unit_test(a_key_file_outlives_the_process),
        cmocka_unit_test(foreign_and_damaged_tickets_cost_a_full_handshake),
        cmocka_unit_test(a_client_may_resume_for_ever),
        cmocka_unit_test(a_ticket_does_not_change_the_version),
        cmocka_unit_test(tickets_say_how_long_they_live),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
