/*
 * hello.c - see hello.h. Judges strictly from the front.
 */
#include "tls/hello.h"

#include "tls/alert.h"

#include <arpa/inet.h>
#include <wolfssl/wolfcrypt/settings.h>

#define RANDOM_SIZE         32
#define SESSION_ID_SIZE_MAX 32

enum extension_type {
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_SUPPORTED_GROUPS = 10,
    EXTENSION_SIGNATURE_ALGORITHMS = 13,
    EXTENSION_ALPN = 16,
    EXTENSION_SESSION_TICKET = 35,
    EXTENSION_PRE_SHARED_KEY = 41,
    EXTENSION_EARLY_DATA = 42,
    EXTENSION_SUPPORTED_VERSIONS = 43,
    EXTENSION_PSK_MODES = 45,
    EXTENSION_KEY_SHARE = 51,
};

#define VERSION_1_2          0x0303
#define VERSION_1_3          0x0304
#define GROUP_P256           0x0017
#define GROUP_X25519         0x001d
#define GROUP_X25519MLKEM768 0x11ec
#define PSK_DHE_KE           1
#define NAME_TYPE_HOST       0

/* A set of 16-bit numbers: a hello may name thousands, and comparing all pairs would cost more than
 * the handshake. */
struct number_set {
    uint64_t bits[UINT16_MAX / 64 + 1];
};

/* What the walk learns besides struct hello. */
struct walk {
    struct hello *hello;
    struct number_set extensions;
    uint16_t legacy_version;
    bool has_null_compression;
    bool has_versions;
    bool lists_tls_1_2;
    bool has_signature_algorithms;
    bool has_psk;
    bool has_our_group;
    bool signs_ecdsa;     /* ecdsa_secp256r1_sha256 */
    bool signs_rsa_pss;   /* rsa_pss_rsae_*, which 1.3 wants */
    bool signs_rsa_pkcs1; /* rsa_pkcs1_* but SHA-1, good for 1.2 only */
    bool suites_ecdsa;    /* an ECDHE_ECDSA suite of 1.2 that we have */
    bool suites_rsa;      /* an ECDHE_RSA one */
};

/* --- taking bytes apart --- */

static bool take(struct slice *from, size_t size, struct slice *part)
{
    if (from->size < size) {
        return false;
    }
    *part = slice_from(from->data, size);
    *from = slice_from(from->data + size, from->size - size);
    return true;
}

static bool take_u8(struct slice *from, uint8_t *value)
{
    struct slice part;

    if (!take(from, 1, &part)) {
        return false;
    }
    *value = part.data[0];
    return true;
}

static bool take_u16(struct slice *from, uint16_t *value)
{
    struct slice part;

    if (!take(from, 2, &part)) {
        return false;
    }
    *value = load_be16(part.data);
    return true;
}

/* A vector with a length of one byte, or two. */
static bool take_vector8(struct slice *from, struct slice *vector)
{
    uint8_t size;

    return take_u8(from, &size) && take(from, size, vector);
}

static bool take_vector16(struct slice *from, struct slice *vector)
{
    uint16_t size;

    return take_u16(from, &size) && take(from, size, vector);
}

/* data is one vector of 16-bit numbers, at least one, and nothing else. */
static bool take_numbers(struct slice data, size_t length_size, struct slice *numbers)
{
    bool taken = length_size == 1 ? take_vector8(&data, numbers) : take_vector16(&data, numbers);

    return taken && data.size == 0 && numbers->size > 0 && numbers->size % 2 == 0;
}

static bool has_number(const struct number_set *set, uint16_t number)
{
    return (set->bits[number / 64] >> number % 64 & 1) != 0;
}

/* True when number is new. */
static bool add_number(struct number_set *set, uint16_t number)
{
    if (has_number(set, number)) {
        return false;
    }
    set->bits[number / 64] |= UINT64_C(1) << number % 64;
    return true;
}

/* --- extensions: each function returns an alert, or 0 --- */

/* Keeps host if it can be a DNS name at all; what cannot be one is nobody's (RFC 6066, section 3).
 */
static uint8_t keep_name(struct hello *hello, struct slice host)
{
    struct in_addr address;

    if (host.data[host.size - 1] == '.') {
        host.size--;
    }
    if (host.size == 0 || host.size > HELLO_NAME_MAX) {
        return ALERT_UNRECOGNIZED_NAME;
    }
    for (size_t i = 0; i < host.size; i++) {
        uint8_t c = host.data[i];

        if (c <= ' ' || c > '~') {
            return ALERT_UNRECOGNIZED_NAME;
        }
        hello->name[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    hello->name[host.size] = '\0';
    /* Addresses do not belong here, but some clients send them: as if there were no name. */
    if (strchr(hello->name, ':') != NULL || inet_pton(AF_INET, hello->name, &address) == 1) {
        hello->name[0] = '\0';
        return 0;
    }
    hello->name_size = (uint8_t)host.size;
    return 0;
}

static uint8_t read_server_name(struct hello *hello, struct slice data)
{
    struct slice list;
    struct slice host = slice_from(NULL, 0);

    if (!take_vector16(&data, &list) || data.size > 0 || list.size == 0) {
        return ALERT_DECODE_ERROR;
    }
    while (list.size > 0) {
        uint8_t type;
        struct slice name;

        if (!take_u8(&list, &type) || !take_vector16(&list, &name)) {
            return ALERT_DECODE_ERROR;
        }
        if (type == NAME_TYPE_HOST) {
            if (name.size == 0) {
                return ALERT_DECODE_ERROR;
            }
            if (host.size > 0) {
                return ALERT_ILLEGAL_PARAMETER;
            }
            host = name;
        }
    }
    return host.size == 0 ? 0 : keep_name(hello, host);
}

static uint8_t read_signature_algorithms(struct walk *walk, struct slice data)
{
    struct slice algorithms;

    if (!take_numbers(data, 2, &algorithms)) {
        return ALERT_DECODE_ERROR;
    }
    walk->has_signature_algorithms = true;
    for (size_t i = 0; i < algorithms.size; i += 2) {
        switch (load_be16(algorithms.data + i)) {
        case 0x0403:
            walk->signs_ecdsa = true;
            break;
        case 0x0401:
        case 0x0501:
        case 0x0601:
            walk->signs_rsa_pkcs1 = true;
            break;
        case 0x0804:
        case 0x0805:
        case 0x0806:
            walk->signs_rsa_pss = true;
            break;
        default:
            break;
        }
    }
    return 0;
}

static bool is_our_group(uint16_t group)
{
#ifdef WOLFSSL_HAVE_MLKEM
    if (group == GROUP_X25519MLKEM768) {
        return true;
    }
#endif
    return group == GROUP_X25519 || group == GROUP_P256;
}

static uint8_t read_groups(struct walk *walk, struct slice data)
{
    struct slice groups;

    if (!take_numbers(data, 2, &groups)) {
        return ALERT_DECODE_ERROR;
    }
    for (size_t i = 0; i < groups.size; i += 2) {
        walk->has_our_group = walk->has_our_group || is_our_group(load_be16(groups.data + i));
    }
    return 0;
}

static uint8_t read_alpn(struct hello *hello, struct slice data)
{
    struct slice list;
    bool has_h2 = false;
    bool has_http_1_1 = false;

    if (!take_vector16(&data, &list) || data.size > 0 || list.size == 0) {
        return ALERT_DECODE_ERROR;
    }
    while (list.size > 0) {
        struct slice name;

        if (!take_vector8(&list, &name) || name.size == 0) {
            return ALERT_DECODE_ERROR;
        }
        has_h2 = has_h2 || slice_equal(name, slice_text("h2"));
        has_http_1_1 = has_http_1_1 || slice_equal(name, slice_text("http/1.1"));
    }
    hello->only_h2 = has_h2 && !has_http_1_1;
    return 0;
}

static uint8_t read_versions(struct walk *walk, struct slice data)
{
    struct slice versions;

    if (!take_numbers(data, 1, &versions)) {
        return ALERT_DECODE_ERROR;
    }
    walk->has_versions = true;
    for (size_t i = 0; i < versions.size; i += 2) {
        uint16_t version = load_be16(versions.data + i);

        walk->hello->offers_tls_1_3 = walk->hello->offers_tls_1_3 || version == VERSION_1_3;
        walk->lists_tls_1_2 = walk->lists_tls_1_2 || version == VERSION_1_2;
    }
    return 0;
}

static uint8_t read_psk_modes(struct hello *hello, struct slice data)
{
    struct slice modes;

    if (!take_vector8(&data, &modes) || data.size > 0 || modes.size == 0) {
        return ALERT_DECODE_ERROR;
    }
    hello->offers_psk_dhe = memchr(modes.data, PSK_DHE_KE, modes.size) != NULL;
    return 0;
}

/* Two shares of one group are forbidden (RFC 8446, section 4.2.8), and wolfSSL 5.7.2 leaks memory
 * on them. */
static uint8_t read_key_shares(struct hello *hello, struct slice data)
{
    struct number_set groups = {0};
    struct slice list;

    if (!take_vector16(&data, &list) || data.size > 0) {
        return ALERT_DECODE_ERROR;
    }
    while (list.size > 0) {
        uint16_t group;
        struct slice share;

        if (!take_u16(&list, &group) || !take_vector16(&list, &share) || share.size == 0) {
            return ALERT_DECODE_ERROR;
        }
        if (!add_number(&groups, group)) {
            return ALERT_ILLEGAL_PARAMETER;
        }
        hello->offers_hybrid = hello->offers_hybrid || group == GROUP_X25519MLKEM768;
    }
    return 0;
}

/* A ticket of ours begins with the name of its key. */
static void keep_ticket_name(struct hello *hello, struct slice ticket)
{
    if (ticket.size >= TICKET_NAME_SIZE) {
        hello->offers_ticket = true;
        memcpy(hello->ticket_name, ticket.data, TICKET_NAME_SIZE);
    }
}

/* Only the first, the one that clients want most. What is wrong with them the library judges. */
static void read_identities(struct hello *hello, struct slice data)
{
    struct slice identities;
    struct slice identity;

    if (take_vector16(&data, &identities) && take_vector16(&identities, &identity)) {
        keep_ticket_name(hello, identity);
    }
}

/* What we do not know, GREASE among it (RFC 8701), is left alone. */
static uint8_t read_extension(struct walk *walk, uint16_t type, struct slice data)
{
    struct hello *hello = walk->hello;

    switch (type) {
    case EXTENSION_SERVER_NAME:
        return read_server_name(hello, data);
    case EXTENSION_SUPPORTED_GROUPS:
        return read_groups(walk, data);
    case EXTENSION_SIGNATURE_ALGORITHMS:
        return read_signature_algorithms(walk, data);
    case EXTENSION_ALPN:
        return read_alpn(hello, data);
    case EXTENSION_SESSION_TICKET:
        keep_ticket_name(hello, data);
        return 0;
    case EXTENSION_PRE_SHARED_KEY:
        walk->has_psk = true;
        read_identities(hello, data);
        return 0;
    case EXTENSION_EARLY_DATA:
        hello->offers_early_data = true;
        return data.size == 0 ? 0 : ALERT_DECODE_ERROR;
    case EXTENSION_SUPPORTED_VERSIONS:
        return read_versions(walk, data);
    case EXTENSION_PSK_MODES:
        return read_psk_modes(hello, data);
    case EXTENSION_KEY_SHARE:
        return read_key_shares(hello, data);
    default:
        return 0;
    }
}

/* --- the message --- */

static uint8_t read_extensions(struct walk *walk, struct slice body)
{
    struct slice extensions;

    if (body.size == 0) {
        return 0; /* 1.2 may do without */
    }
    if (!take_vector16(&body, &extensions) || body.size > 0) {
        return ALERT_DECODE_ERROR;
    }
    while (extensions.size > 0) {
        uint16_t type;
        struct slice data;

        if (!take_u16(&extensions, &type) || !take_vector16(&extensions, &data)) {
            return ALERT_DECODE_ERROR;
        }
        if (!add_number(&walk->extensions, type)) {
            return ALERT_ILLEGAL_PARAMETER;
        }
        uint8_t alert = read_extension(walk, type, data);
        if (alert != 0) {
            return alert;
        }
    }
    return 0;
}

static void read_suites(struct walk *walk, struct slice suites)
{
    for (size_t i = 0; i < suites.size; i += 2) {
        switch (load_be16(suites.data + i)) {
        case 0xc02b: /* ECDHE_ECDSA with AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305 */
        case 0xc02c:
        case 0xcca9:
            walk->suites_ecdsa = true;
            break;
        case 0xc02f: /* ECDHE_RSA with the same */
        case 0xc030:
        case 0xcca8:
            walk->suites_rsa = true;
            break;
        default:
            break;
        }
    }
}

static uint8_t read_body(struct walk *walk, struct slice body)
{
    struct slice random;
    struct slice session_id;
    struct slice suites;
    struct slice compressions;

    if (!take_u16(&body, &walk->legacy_version) || !take(&body, RANDOM_SIZE, &random) ||
        !take_vector8(&body, &session_id) || !take_vector16(&body, &suites) ||
        !take_vector8(&body, &compressions)) {
        return ALERT_DECODE_ERROR;
    }
    if (session_id.size > SESSION_ID_SIZE_MAX || suites.size == 0 || suites.size % 2 != 0 ||
        compressions.size == 0) {
        return ALERT_DECODE_ERROR;
    }
    walk->has_null_compression = memchr(compressions.data, 0, compressions.size) != NULL;
    read_suites(walk, suites);
    return read_extensions(walk, body);
}

/* What only the whole hello tells. */
static uint8_t conclude(struct walk *walk)
{
    struct hello *hello = walk->hello;
    bool offers_tls_1_2 =
        walk->has_versions ? walk->lists_tls_1_2 : walk->legacy_version >= VERSION_1_2;

    if (!hello->offers_tls_1_3 && !offers_tls_1_2) {
        return ALERT_PROTOCOL_VERSION;
    }
    if (!walk->has_null_compression) {
        return ALERT_ILLEGAL_PARAMETER;
    }
    bool has_groups = has_number(&walk->extensions, EXTENSION_SUPPORTED_GROUPS);
    if (hello->offers_tls_1_3) {
        /* RFC 8446, section 9.2. */
        bool has_shares = has_number(&walk->extensions, EXTENSION_KEY_SHARE);
        if ((!walk->has_signature_algorithms && !walk->has_psk) || has_groups != has_shares) {
            return ALERT_MISSING_EXTENSION;
        }
        hello->offers_ecdsa = walk->signs_ecdsa;
        hello->offers_rsa = walk->signs_rsa_pss;
    } else if (walk->has_signature_algorithms) {
        hello->offers_ecdsa = walk->signs_ecdsa && walk->suites_ecdsa;
        hello->offers_rsa = (walk->signs_rsa_pss || walk->signs_rsa_pkcs1) && walk->suites_rsa;
    } else {
        hello->offers_ecdsa = walk->suites_ecdsa;
        hello->offers_rsa = walk->suites_rsa;
    }
    /* RFC 8446, section 4.1.1. In 1.2 the library would take any curve that it knows: P-521 costs
     * it 2 ms, twenty times a hello of ours, and the client nothing. */
    return has_groups && !walk->has_our_group ? ALERT_HANDSHAKE_FAILURE : 0;
}

uint8_t hello_walk(struct hello *hello, struct slice body)
{
    struct walk walk = {.hello = hello};
    uint8_t alert = read_body(&walk, body);

    return alert != 0 ? alert : conclude(&walk);
}
