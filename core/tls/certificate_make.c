/* The dev mode's certificate: written here, so that the library needs none of its certificate
 * making, which would enlarge what every handshake allocates. */
#include "tls/certificate.h"

#include "base/digest.h"
#include "tls/der.h"
#include "tls/heap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/sha256.h>

#define DAY_S       86400
#define VALID_DAYS  397 /* browsers refuse longer ones */
#define KEY_DER_MAX 256
#define PEM_LINE    64
#define PEM_ROOM    (DER_ROOM * 2)
#define PATH_ROOM   4096

#define BYTES(...)                                                                                 \
    slice_from((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Object identifiers with tag and length. */
#define OID_ECDSA_SHA256       BYTES(0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2)
#define OID_COMMON_NAME        BYTES(0x06, 3, 0x55, 4, 3)
#define OID_BASIC_CONSTRAINTS  BYTES(0x06, 3, 0x55, 0x1d, 19)
#define OID_KEY_USAGE          BYTES(0x06, 3, 0x55, 0x1d, 15)
#define OID_EXTENDED_KEY_USAGE BYTES(0x06, 3, 0x55, 0x1d, 37)
#define OID_ALTERNATIVE_NAMES  BYTES(0x06, 3, 0x55, 0x1d, 17)
#define CRITICAL               BYTES(0x01, 1, 0xff)

/* --- the certificate, from its end to its start --- */

static void put_algorithm(struct der *der)
{
    der_value(der, DER_SEQUENCE, OID_ECDSA_SHA256);
}

static void put_common_name(struct der *der, const char *name)
{
    const size_t end = der->start;
    der_value(der, DER_UTF8_STRING, slice_text(name));
    der_put(der, OID_COMMON_NAME);
    der_wrap(der, DER_SEQUENCE, end);
    der_wrap(der, DER_SET, end);
    der_wrap(der, DER_SEQUENCE, end);
}

/* Two digits of the year until 2049 (RFC 5280, section 4.1.2.5). */
static void put_time(struct der *der, time_t when)
{
    struct tm calendar;
    char text[sizeof("YYYYMMDDHHMMSSZ")];
    (void)gmtime_r(&when, &calendar);
    const size_t size = strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &calendar);
    if (calendar.tm_year + 1900 < 2050) {
        der_value(der, DER_UTC_TIME, slice_from(text + 2, size - 2));
    } else {
        der_value(der, DER_GENERALIZED_TIME, slice_from(text, size));
    }
}

/* Wraps the extension's value, which was written since end. */
static void wrap_extension(struct der *der, struct slice oid, bool is_critical, size_t end)
{
    der_wrap(der, DER_OCTET_STRING, end);
    if (is_critical) {
        der_put(der, CRITICAL);
    }
    der_put(der, oid);
    der_wrap(der, DER_SEQUENCE, end);
}

static void put_names(struct der *der, const char *const *names, size_t name_count)
{
    const size_t end = der->start;
    for (size_t i = name_count; i-- > 0;) {
        uint8_t address[16];
        if (inet_pton(AF_INET, names[i], address) == 1) {
            der_value(der, DER_CONTEXT_PLAIN + 7, slice_from(address, 4));
        } else if (inet_pton(AF_INET6, names[i], address) == 1) {
            der_value(der, DER_CONTEXT_PLAIN + 7, slice_from(address, 16));
        } else {
            der_value(der, DER_CONTEXT_PLAIN + 2, slice_text(names[i]));
        }
    }
    der_wrap(der, DER_SEQUENCE, end);
    wrap_extension(der, OID_ALTERNATIVE_NAMES, false, end);
}

static void put_extensions(struct der *der, const char *const *names, size_t name_count)
{
    const size_t end = der->start;
    put_names(der, names, name_count);
    size_t value_end = der->start;
    der_put(der, BYTES(DER_SEQUENCE, 10, 0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1)); /* serverAuth */
    wrap_extension(der, OID_EXTENDED_KEY_USAGE, false, value_end);
    value_end = der->start;
    der_put(der, BYTES(DER_BIT_STRING, 2, 7, 0x80)); /* digitalSignature */
    wrap_extension(der, OID_KEY_USAGE, true, value_end);
    value_end = der->start;
    der_put(der, BYTES(DER_SEQUENCE, 0)); /* no authority: it can sign nothing for others */
    wrap_extension(der, OID_BASIC_CONSTRAINTS, true, value_end);
    der_wrap(der, DER_SEQUENCE, end);
    der_wrap(der, DER_CONTEXT + 3, end);
}

/* The part that is signed. serial: 16 random bytes. */
static void put_body(struct der *der, const char *const *names, size_t name_count,
                     struct slice public_key, uint8_t serial[16])
{
    const size_t end = der->start;
    const time_t now = time(NULL);
    put_extensions(der, names, name_count);
    der_put(der, public_key);
    put_common_name(der, names[0]);
    const size_t validity_end = der->start;
    put_time(der, now + (time_t)VALID_DAYS * DAY_S - DAY_S);
    put_time(der, now - DAY_S);
    der_wrap(der, DER_SEQUENCE, validity_end);
    put_common_name(der, names[0]);
    put_algorithm(der);
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and of full length */
    der_value(der, DER_INTEGER, slice_from(serial, 16));
    der_put(der, BYTES(DER_CONTEXT, 3, DER_INTEGER, 1, 2)); /* version 3 */
    der_wrap(der, DER_SEQUENCE, end);
}

struct made {
    ecc_key key;
    WC_RNG random;
    uint8_t key_der[KEY_DER_MAX];
    size_t key_size;
    struct der certificate;
};

static bool sign(struct made *made, struct slice body)
{
    uint8_t hash[WC_SHA256_DIGEST_SIZE];
    uint8_t signature[1 + ECC_MAX_SIG_SIZE] = {0}; /* no unused bits */
    word32 size = ECC_MAX_SIG_SIZE;
    if (wc_Sha256Hash(body.data, (word32)body.size, hash) != 0 ||
        wc_ecc_sign_hash(hash, sizeof(hash), signature + 1, &size, &made->random, &made->key) !=
            0) {
        return false;
    }
    der_init(&made->certificate);
    const size_t end = made->certificate.start;
    der_value(&made->certificate, DER_BIT_STRING, slice_from(signature, 1 + size));
    put_algorithm(&made->certificate);
    der_put(&made->certificate, body);
    der_wrap(&made->certificate, DER_SEQUENCE, end);
    return true;
}

static bool make(struct made *made, const char *const *names, size_t name_count)
{
    struct der body;
    uint8_t public_key[KEY_DER_MAX];
    uint8_t serial[16];
    der_init(&body);
    if (wc_ecc_make_key_ex(&made->random, 32, &made->key, ECC_SECP256R1) != 0 ||
        wc_RNG_GenerateBlock(&made->random, serial, sizeof(serial)) != 0) {
        return false;
    }
    const int public_size = wc_EccPublicKeyToDer(&made->key, public_key, sizeof(public_key), 1);
    const int key_size = wc_EccKeyToDer(&made->key, made->key_der, sizeof(made->key_der));
    if (public_size <= 0 || key_size <= 0) {
        return false;
    }
    made->key_size = (size_t)key_size;
    put_body(&body, names, name_count, slice_from(public_key, (size_t)public_size), serial);
    return !body.is_full && sign(made, der_written(&body)) && !made->certificate.is_full;
}

/* --- files --- */

static size_t pem_encode(struct slice der, const char *label, char *out)
{
    char text[BASE64_SIZE(DER_ROOM)];
    const size_t text_size = base64_encode(der, text);
    size_t size = (size_t)sprintf(out, "-----BEGIN %s-----\n", label);
    for (size_t i = 0; i < text_size; i += PEM_LINE) {
        const size_t line = text_size - i < PEM_LINE ? text_size - i : PEM_LINE;
        memcpy(out + size, text + i, line);
        size += line;
        out[size] = '\n';
        size++;
    }
    size += (size_t)sprintf(out + size, "-----END %s-----\n", label);
    secret_wipe(text, sizeof(text));
    return size;
}

static int write_whole(int fd, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(fd, data, size);
        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* Under another name first: a reader sees the old file or the whole new one. */
static int write_file(const char *path, struct slice der, const char *label)
{
    char partial[PATH_ROOM];
    char text[PEM_ROOM];
    const int length = snprintf(partial, sizeof(partial), "%s.XXXXXX", path);
    if (length < 0 || (size_t)length >= sizeof(partial)) {
        return -ENAMETOOLONG;
    }
    const int fd = mkostemp(partial, O_CLOEXEC); /* makes it 0600 */
    if (fd < 0) {
        return -errno;
    }
    int result = write_whole(fd, text, pem_encode(der, label, text));
    secret_wipe(text, sizeof(text));
    if (close(fd) < 0 && result == 0) {
        result = -errno;
    }
    if (result == 0 && rename(partial, path) < 0) {
        result = -errno;
    }
    if (result < 0) {
        (void)unlink(partial);
    }
    return result;
}

static int complain(int error, const char *path, char *message, size_t message_size)
{
    (void)snprintf(message, message_size, "%s: cannot be written: %s", path,
                   strerrordesc_np(-error));
    return error;
}

int certificate_make(const char *const *names, size_t name_count,
                     const struct certificate_files *files, char *message, size_t message_size)
{
    ASSERT(name_count > 0);
    heap_install();
    struct made made;
    memset(&made, 0, sizeof(made));
    int result = -ENOMEM;
    if (wc_InitRng(&made.random) == 0 && wc_ecc_init(&made.key) == 0 &&
        make(&made, names, name_count)) {
        result = 0;
    }
    if (result < 0) {
        (void)snprintf(message, message_size, "no certificate could be made: names too long?");
    } else {
        result =
            write_file(files->key_path, slice_from(made.key_der, made.key_size), "EC PRIVATE KEY");
        if (result < 0) {
            (void)complain(result, files->key_path, message, message_size);
        }
    }
    if (result == 0) {
        result = write_file(files->certificate_path, der_written(&made.certificate), "CERTIFICATE");
        if (result < 0) {
            (void)complain(result, files->certificate_path, message, message_size);
        }
    }
    (void)wc_ecc_free(&made.key);
    (void)wc_FreeRng(&made.random);
    secret_wipe(&made, sizeof(made));
    return result;
}
