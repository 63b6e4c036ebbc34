#include "broker/redis_tls.h"

#include "broker/redis_format.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct redis_tls {
    SSL_CTX *context;
};

struct redis_tls_stream {
    SSL *ssl;
};

static bool is_readable(const char *option, const char *file, char *message, size_t message_size)
{
    char byte;
    const int fd = open(file, O_RDONLY | O_CLOEXEC);
    const bool is = fd >= 0 && read(fd, &byte, 1) >= 0;

    if (!is) {
        (void)snprintf(message, message_size, "%s: %s: %s", option, file, strerrordesc_np(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return is;
}

static const char *reason_of(unsigned long error)
{
    const char *reason = ERR_reason_error_string(error);

    return reason ? reason : "unknown error";
}

/* What OpenSSL says first is the nearest to the cause. */
static bool check(bool is_well, const char *option, const char *file, char *message,
                  size_t message_size)
{
    if (!is_well) {
        const char *reason = ERR_reason_error_string(ERR_peek_error());
        (void)snprintf(message, message_size, "%s: %s: %s", option,
                       file ? file : "the system's authorities", reason ? reason : "unknown error");
    }
    ERR_clear_error();
    return is_well;
}

static bool load_files(SSL_CTX *context, const struct redis_options *options, char *message,
                       size_t message_size)
{
    const char *const names[] = {"redis.tls_ca_file", "redis.tls_certificate_file",
                                 "redis.tls_key_file"};
    const char *const files[] = {options->tls_ca_file, options->tls_certificate_file,
                                 options->tls_key_file};

    for (size_t i = 0; i < 3; i++) {
        if (files[i] && !is_readable(names[i], files[i], message, message_size)) {
            return false;
        }
    }
    return check(files[0] ? SSL_CTX_load_verify_file(context, files[0]) == 1
                          : SSL_CTX_set_default_verify_paths(context) == 1,
                 names[0], files[0], message, message_size) &&
           check(!files[1] || SSL_CTX_use_certificate_chain_file(context, files[1]) == 1, names[1],
                 files[1], message, message_size) &&
           check(!files[2] ||
                     (SSL_CTX_use_PrivateKey_file(context, files[2], SSL_FILETYPE_PEM) == 1 &&
                      SSL_CTX_check_private_key(context) == 1),
                 names[2], files[2], message, message_size);
}

struct redis_tls *redis_tls_open(const struct redis_options *options, char *message,
                                 size_t message_size)
{
    struct redis_tls *tls = calloc(1, sizeof(*tls));

    if (tls) {
        tls->context = SSL_CTX_new(TLS_client_method());
    }
    if (!tls || !tls->context) {
        (void)snprintf(message, message_size, "no memory for TLS to Redis");
        free(tls);
        return NULL;
    }
    (void)SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION); /* writes never wait for reads */
    SSL_CTX_set_mode(tls->context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    if (!load_files(tls->context, options, message, message_size)) {
        redis_tls_close(tls);
        return NULL;
    }
    return tls;
}

void redis_tls_close(struct redis_tls *tls)
{
    if (tls) {
        SSL_CTX_free(tls->context);
        free(tls);
    }
}

static bool is_ip(const char *name)
{
    uint8_t address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

/* A certificate for another host is refused; SNI holds names only (RFC 6066, section 3). */
static bool set_name(SSL *ssl, const char *name)
{
    char host[REDIS_HOST_SIZE_MAX + 1]; /* SNI is set by a macro that takes no const */

    if (is_ip(name)) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    }
    (void)snprintf(host, sizeof(host), "%s", name);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct redis_tls_stream *redis_tls_start(struct redis_tls *tls, int fd, const char *name)
{
    struct redis_tls_stream *stream = calloc(1, sizeof(*stream));

    if (!stream) {
        return NULL;
    }
    stream->ssl = SSL_new(tls->context);
    if (!stream->ssl || SSL_set_fd(stream->ssl, fd) != 1 || !set_name(stream->ssl, name)) {
        ERR_clear_error();
        redis_tls_end(stream);
        return NULL;
    }
    SSL_set_connect_state(stream->ssl);
    return stream;
}

void redis_tls_end(struct redis_tls_stream *stream)
{
    if (stream) {
        SSL_free(stream->ssl);
        free(stream);
    }
}

/* What a call that did not go well returns. */
static ssize_t result_of(SSL *ssl, int result)
{
    const int error = errno;

    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        return REDIS_TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return error != 0 ? -error : 0;
    default:
        return -EPROTO;
    }
}

ssize_t redis_tls_handshake(struct redis_tls_stream *stream, char *message, size_t message_size)
{
    ERR_clear_error();
    errno = 0;
    const int result = SSL_do_handshake(stream->ssl);
    if (result == 1) {
        return 1;
    }
    const ssize_t status = result_of(stream->ssl, result);
    if (status == -EPROTO) {
        const long verified = SSL_get_verify_result(stream->ssl);
        if (verified != X509_V_OK) {
            (void)snprintf(message, message_size, "TLS: %s",
                           X509_verify_cert_error_string(verified));
        } else {
            (void)snprintf(message, message_size, "TLS: %s", reason_of(ERR_peek_last_error()));
        }
    } else {
        (void)snprintf(message, message_size, "TLS: the handshake was cut off");
    }
    ERR_clear_error();
    return status;
}

ssize_t redis_tls_read(struct redis_tls_stream *stream, void *data, size_t size)
{
    ERR_clear_error();
    errno = 0;
    const int result = SSL_read(stream->ssl, data, size < INT32_MAX ? (int)size : INT32_MAX);
    return result > 0 ? result : result_of(stream->ssl, result);
}

ssize_t redis_tls_write(struct redis_tls_stream *stream, struct slice bytes)
{
    ERR_clear_error();
    errno = 0;
    const int result =
        SSL_write(stream->ssl, bytes.data, bytes.size < INT32_MAX ? (int)bytes.size : INT32_MAX);
    return result > 0 ? result : result_of(stream->ssl, result);
}
