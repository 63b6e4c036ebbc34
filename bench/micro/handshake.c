/*
 * What one handshake costs the server: CPU microseconds of the thread from the ClientHello to the
 * keys, as minimum, median and maximum of ROUNDS handshakes with OpenSSL's client; the library's
 * heap that it holds while it waits for the client, and at its peak; bytes of the server's first
 * flight. The hybrid group is measured with our own client, as not every OpenSSL has it, and so is
 * X25519 once more: rows of the same client compare.
 */
#include "tests/unit/tls/duel.h"
#include "tests/unit/tls/pki.h"
#include "tests/unit/tls/twins.h"
#include "tls/heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 500

struct subject {
    const char *name;
    enum pki_key key;
    int version;
    const char *groups;
    bool is_resumed;
};

static const struct subject subjects[] = {
    {"1.3 ECDSA P-256, X25519", PKI_ECDSA, TLS1_3_VERSION, "X25519", false},
    {"1.3 ECDSA P-256, P-256", PKI_ECDSA, TLS1_3_VERSION, "P-256", false},
    {"1.3 ECDSA P-256, retry to P-256", PKI_ECDSA, TLS1_3_VERSION, "X448:P-256", false},
    {"1.3 RSA-2048, X25519", PKI_RSA_2048, TLS1_3_VERSION, "X25519", false},
    {"1.3 resumed, X25519", PKI_ECDSA, TLS1_3_VERSION, "X25519", true},
    {"1.2 ECDSA P-256, X25519", PKI_ECDSA, TLS1_2_VERSION, "X25519:P-256", false},
    {"1.2 resumed", PKI_ECDSA, TLS1_2_VERSION, "X25519:P-256", true},
};

struct figures {
    double us[ROUNDS];
    size_t heap_waiting;
    size_t heap_peak;
    size_t flight_size;
};

static double now_us(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) {
        abort();
    }
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static void print_figures(const char *name, struct figures *figures)
{
    qsort(figures->us, ROUNDS, sizeof(figures->us[0]), compare);
    printf("%-32s %7.1f %7.1f %8.1f %8zu %8zu %8zu\n", name, figures->us[0],
           figures->us[ROUNDS / 2], figures->us[ROUNDS - 1], figures->heap_waiting,
           figures->heap_peak, figures->flight_size);
}

/* One handshake; returns the server's time. The client's new session replaces *session. */
static double run(struct duel *duel, const struct subject *subject, struct figures *figures,
                  SSL_SESSION **session)
{
    double spent = 0;
    heap_peak_reset();
    while (duel->status == HANDSHAKE_MORE) {
        duel_client(duel);
        const double start = now_us();
        duel_server(duel);
        spent += now_us() - start;
        if (duel->status == HANDSHAKE_MORE && duel->is_started) {
            figures->heap_waiting = handshake_heap();
        }
        if (figures->flight_size == 0) {
            figures->flight_size = duel->to_client.size;
        }
    }
    if (duel->status != HANDSHAKE_DONE || duel->result.resumed != subject->is_resumed) {
        (void)fprintf(stderr, "%s: not what was to be measured\n", subject->name);
        abort();
    }
    if (heap_peak() > figures->heap_peak) {
        figures->heap_peak = heap_peak();
    }
    duel_client(duel);
    duel_echo(duel, 1); /* takes the ticket */
    if (session) {
        *session = SSL_get1_session(duel->ssl);
        SSL_set_shutdown(duel->ssl, SSL_SENT_SHUTDOWN);
    }
    const double start = now_us();
    handshake_end(duel->server, duel->number);
    spent += now_us() - start;
    duel->is_started = false;
    return spent;
}

static SSL *client_for(SSL_CTX *context, const struct subject *subject, SSL_SESSION *session)
{
    SSL *ssl = duel_client_new(context, "localhost");
    SSL_set_max_proto_version(ssl, subject->version);
    if (SSL_set1_groups_list(ssl, subject->groups) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    if (session) {
        SSL_set_session(ssl, session);
    }
    return ssl;
}

static void measure(struct tls_server *server, SSL_CTX *context, const struct subject *subject)
{
    static struct figures figures;
    SSL_SESSION *session = NULL;
    SSL *ssl = client_for(context, subject, NULL);
    figures = (struct figures){.heap_peak = 0};
    if (!ssl) {
        printf("%-32s this OpenSSL does not have it\n", subject->name);
        return;
    }
    struct duel *duel = duel_open(server, ssl);
    if (subject->is_resumed) {
        struct subject first = *subject;
        struct figures ignored = {.heap_peak = 0};
        first.is_resumed = false;
        (void)run(duel, &first, &ignored, &session);
        duel_close(duel);
        duel = duel_open(server, client_for(context, subject, session));
    }
    for (int round = 0; round < ROUNDS; round++) {
        SSL_SESSION *next = NULL;
        figures.us[round] = run(duel, subject, &figures, subject->is_resumed ? &next : NULL);
        duel_close(duel);
        SSL_SESSION_free(session);
        session = next;
        duel = duel_open(server, client_for(context, subject, session));
    }
    duel_close(duel);
    SSL_SESSION_free(session);
    print_figures(subject->name, &figures);
}

static struct certificate_set *open_set(const struct pki *pki, enum pki_key key)
{
    char message[256];
    const struct certificate_files files = pki_simple(pki, "localhost", key, "DNS:localhost");
    struct certificate_set *set = certificate_set_open(&files, 1, message, sizeof(message));
    if (!set) {
        (void)fprintf(stderr, "%s\n", message);
        abort();
    }
    return set;
}

/*
 * The thread's two sides share the heap's count, and our client's objects are in it: the server's
 * part is what a step of the server adds to what there was when it began.
 */
static double run_twins(struct twins *twins, struct figures *figures)
{
    const size_t heap_client = heap_used();
    heap_peak_reset();
    const double start = now_us();
    twins_greet(twins);
    double spent = now_us() - start;
    const size_t peak = heap_peak() - heap_client;
    figures->heap_peak = peak > figures->heap_peak ? peak : figures->heap_peak;
    figures->heap_waiting = heap_used() - heap_client;
    figures->flight_size = twins->to_client.size;
    twins_client(twins, twins->to_client.size);
    const double second = now_us();
    twins_server(twins);
    handshake_end(twins->server, twins->server_number);
    spent += now_us() - second;
    if (twins->server_status != HANDSHAKE_DONE || twins->client_status != HANDSHAKE_DONE) {
        (void)fprintf(stderr, "our own client and our server do not agree\n");
        abort();
    }
    client_handshake_end(twins->client, twins->client_number);
    return spent;
}

static void measure_twins(struct tls_server *server, const char *name, bool hybrid)
{
    static struct figures figures;
    static struct twins twins;
    char message[256];
    const struct tls_client_options options = {.host_name = "localhost",
                                               .handshakes_max = 1,
                                               .version = TLS_1_3,
                                               .suite = TLS_AES_128_GCM,
                                               .hybrid = hybrid};
    struct tls_client *client = tls_client_open(&options, message, sizeof(message));
    if (!client) {
        printf("%-32s %s\n", name, message);
        return;
    }
    figures = (struct figures){.heap_peak = 0};
    for (int round = 0; round < ROUNDS; round++) {
        twins_start(&twins, client, server);
        figures.us[round] = run_twins(&twins, &figures);
    }
    print_figures(name, &figures);
    tls_client_close(client);
}

static struct tls_server *open_server(const struct certificate_set *set,
                                      struct ticket_keys *tickets)
{
    char message[256];
    const struct tls_server_options options = {
        .certificates = set, .tickets = tickets, .handshakes_max = 4, .tls_1_2 = true};
    struct tls_server *server = tls_server_open(&options, message, sizeof(message));
    if (!server) {
        (void)fprintf(stderr, "%s\n", message);
        abort();
    }
    return server;
}

int main(void)
{
    char message[256];
    struct pki pki = {.folder = ""};
    pki_open(&pki);
    struct ticket_keys *tickets = ticket_keys_open(NULL, 3600, message, sizeof(message));
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    printf("%-32s %7s %7s %8s %8s %8s %8s\n", "server's share of one handshake", "min us", "median",
           "max", "waiting", "peak B", "flight B");
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        struct certificate_set *set = open_set(&pki, subjects[i].key);
        struct tls_server *server = open_server(set, tickets);
        measure(server, context, &subjects[i]);
        tls_server_close(server);
        certificate_set_close(set);
    }
    struct certificate_set *set = open_set(&pki, PKI_ECDSA);
    struct tls_server *server = open_server(set, tickets);
    measure_twins(server, "own client: X25519", false);
    measure_twins(server, "own client: X25519MLKEM768", true);
    tls_server_close(server);
    certificate_set_close(set);
    SSL_CTX_free(context);
    ticket_keys_close(tickets);
    pki_close(&pki);
    return 0;
}
