#include "https_host.h"

#include "base/counter.h"
#include "tls/certificate.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGES_MAX    4
#define URLS         8
#define REQUEST_SIZE 4096
#define LOOK_MS      20 /* for the end */

struct page {
    const char *path;
    int status;
    const char *headers;
    char *body;
};

struct https_host {
    SSL_CTX *context;
    char certificate[128];
    char key[128];
    int fd;
    uint16_t port;
    struct counter stop;
    struct counter count;
    pthread_t thread;
    pthread_mutex_t mutex; /* of the pages */
    struct page pages[PAGES_MAX];
};

/* --- the thread ------------------------------------------------------------------------------- */

/* "GET /path HTTP/1.1": the page, or NULL. */
static const struct page *find(const struct https_host *host, const char *request)
{
    for (uint32_t i = 0; i < PAGES_MAX; i++) {
        const char *path = host->pages[i].path;
        if (path && strncmp(request, "GET ", 4) == 0 &&
            strncmp(request + 4, path, strlen(path)) == 0 && request[4 + strlen(path)] == ' ') {
            return &host->pages[i];
        }
    }
    return NULL;
}

/* To free(). */
static char *make_answer(struct https_host *host, const char *request, int *size)
{
    static const struct page missing = {.status = 404, .headers = ""};
    char *answer = NULL;

    pthread_mutex_lock(&host->mutex);
    const struct page *page = find(host, request);
    page = page ? page : &missing;
    const char *body = page->body ? page->body : "";
    *size =
        asprintf(&answer, "HTTP/1.1 %d x\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                 page->status, page->headers, strlen(body), body);
    pthread_mutex_unlock(&host->mutex);
    ASSERT(*size > 0);
    return answer;
}

static void serve_one(struct https_host *host, SSL *ssl)
{
    char request[REQUEST_SIZE] = "";
    size_t size = 0;
    int got = 1;

    if (SSL_accept(ssl) != 1) {
        return;
    }
    while (got > 0 && !strstr(request, "\r\n\r\n")) {
        got = SSL_read(ssl, request + size, (int)(sizeof(request) - 1 - size));
        size += got > 0 ? (size_t)got : 0;
        request[size] = '\0';
    }
    if (got > 0) {
        int answer_size;
        char *answer = make_answer(host, request, &answer_size);
        counter_add(&host->count, 1);
        (void)SSL_write(ssl, answer, answer_size);
        (void)SSL_shutdown(ssl);
        free(answer);
    }
}

static void *run(void *context)
{
    struct https_host *host = context;
    struct pollfd wait = {.fd = host->fd, .events = POLLIN};

    while (counter_read(&host->stop) == 0) {
        if (poll(&wait, 1, LOOK_MS) != 1) {
            continue;
        }
        const int fd = accept4(host->fd, NULL, NULL, SOCK_CLOEXEC);
        SSL *ssl = SSL_new(host->context);
        ASSERT(fd >= 0);
        ASSERT(ssl != NULL);
        ASSERT(SSL_set_fd(ssl, fd) == 1);
        serve_one(host, ssl);
        SSL_free(ssl);
        (void)close(fd);
    }
    return NULL;
}

/* --- the test --------------------------------------------------------------------------------- */

static void make_certificate(struct https_host *host, const char *folder)
{
    static const char *const names[] = {"127.0.0.1"};
    const struct certificate_files files = {.certificate_path = host->certificate,
                                            .key_path = host->key};
    char message[256];

    (void)snprintf(host->certificate, sizeof(host->certificate), "%s/host.pem", folder);
    (void)snprintf(host->key, sizeof(host->key), "%s/host.key", folder);
    ASSERT(certificate_make(names, 1, &files, message, sizeof(message)) == 0);
    host->context = SSL_CTX_new(TLS_server_method());
    ASSERT(host->context != NULL);
    ASSERT(SSL_CTX_use_certificate_chain_file(host->context, host->certificate) == 1);
    ASSERT(SSL_CTX_use_PrivateKey_file(host->context, host->key, SSL_FILETYPE_PEM) == 1);
}

static void listen_on_loopback(struct https_host *host)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    host->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(host->fd >= 0);
    ASSERT(bind(host->fd, (const struct sockaddr *)&address, size) == 0);
    ASSERT(listen(host->fd, 16) == 0);
    ASSERT(getsockname(host->fd, (struct sockaddr *)&address, &size) == 0);
    host->port = ntohs(address.sin_port);
}

struct https_host *https_host_open(const struct child_folder *folder)
{
    struct https_host *host = calloc(1, sizeof(*host));

    ASSERT(host != NULL);
    make_certificate(host, folder->path);
    listen_on_loopback(host);
    pthread_mutex_init(&host->mutex, NULL);
    ASSERT(pthread_create(&host->thread, NULL, run, host) == 0);
    return host;
}

void https_host_close(struct https_host *host)
{
    counter_set(&host->stop, 1);
    ASSERT(pthread_join(host->thread, NULL) == 0);
    for (uint32_t i = 0; i < PAGES_MAX; i++) {
        free(host->pages[i].body);
    }
    (void)close(host->fd);
    SSL_CTX_free(host->context);
    pthread_mutex_destroy(&host->mutex);
    free(host);
}

const char *https_host_ca(const struct https_host *host)
{
    return host->certificate;
}

const char *https_host_url(const struct https_host *host, const char *path)
{
    static char urls[URLS][128];
    static unsigned next;
    char *url = urls[next++ % URLS];

    (void)snprintf(url, sizeof(urls[0]), "https://127.0.0.1:%u%s", host->port, path);
    return url;
}

void https_host_give(struct https_host *host, const char *path, int status, const char *headers,
                     const char *body)
{
    char *copied = strdup(body);
    uint32_t i = 0;

    ASSERT(copied != NULL);
    pthread_mutex_lock(&host->mutex);
    while (i < PAGES_MAX && host->pages[i].path && strcmp(host->pages[i].path, path) != 0) {
        i++;
    }
    ASSERT(i < PAGES_MAX);
    free(host->pages[i].body);
    host->pages[i] =
        (struct page){.path = path, .status = status, .headers = headers, .body = copied};
    pthread_mutex_unlock(&host->mutex);
}

uint32_t https_host_count(struct https_host *host)
{
    return (uint32_t)counter_read(&host->count);
}
