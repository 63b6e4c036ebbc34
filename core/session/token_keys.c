#include "session/token_keys.h"

#include "base/file.h"
#include "session/base64url.h"
#include "session/token_pem.h"

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A token without a kid is tried with every key that has none: so there must be few. */
#define KEYS_WITHOUT_KID_MAX 8
#define ALGORITHM_NAMES                                                                            \
    "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"

/* Sizes: RFC 7518, sections 3.2, 3.3, 3.5. libjwt wants the same, but says so only with a token. */
static const struct token_algorithm algorithms[] = {
    {"HS256", JWT_ALG_HS256, JWK_KEY_TYPE_OCT, 256, NULL},
    {"HS384", JWT_ALG_HS384, JWK_KEY_TYPE_OCT, 384, NULL},
    {"HS512", JWT_ALG_HS512, JWK_KEY_TYPE_OCT, 512, NULL},
    {"RS256", JWT_ALG_RS256, JWK_KEY_TYPE_RSA, 2048, NULL},
    {"RS384", JWT_ALG_RS384, JWK_KEY_TYPE_RSA, 2048, NULL},
    {"RS512", JWT_ALG_RS512, JWK_KEY_TYPE_RSA, 2048, NULL},
    {"PS256", JWT_ALG_PS256, JWK_KEY_TYPE_RSA, 2048, NULL},
    {"PS384", JWT_ALG_PS384, JWK_KEY_TYPE_RSA, 2048, NULL},
    {"PS512", JWT_ALG_PS512, JWK_KEY_TYPE_RSA, 2048, NULL},
    {"ES256", JWT_ALG_ES256, JWK_KEY_TYPE_EC, 256, "P-256"},
    {"ES384", JWT_ALG_ES384, JWK_KEY_TYPE_EC, 384, "P-384"},
    {"ES512", JWT_ALG_ES512, JWK_KEY_TYPE_EC, 521, "P-521"},
    {"EdDSA", JWT_ALG_EDDSA, JWK_KEY_TYPE_OKP, 256, NULL},
};

#define ALGORITHM_COUNT (sizeof(algorithms) / sizeof(algorithms[0]))

/* One entry of the options while its file is loaded. */
struct loader {
    struct token_keys *keys;
    const char *path;
    const char *kid;                         /* of the options, or NULL */
    const struct token_algorithm *algorithm; /* of the options, or NULL */
    char *message;
    size_t message_size;
};

const struct token_algorithm *token_algorithm_find(const char *name)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
        if (strcmp(algorithms[i].name, name) == 0) {
            return &algorithms[i];
        }
    }
    return NULL;
}

/* Writes "PATH: reason"; false, so that it can be returned. */
static PRINTF_LIKE(2, 3) bool fail(const struct loader *loader, const char *format, ...)
{
    char reason[512];
    va_list list;

    va_start(list, format);
    (void)vsnprintf(reason, sizeof(reason), format, list);
    va_end(list);
    (void)snprintf(loader->message, loader->message_size, "%s: %s", loader->path, reason);
    return false;
}

/* libjwt keeps copies of every key as JSON, and of every token: both are wiped as they are freed.
 */
static void free_wiped(void *memory)
{
    if (memory) {
        secret_wipe(memory, malloc_usable_size(memory));
        free(memory);
    }
}

static void set_up_library(void)
{
    /* The first call of both, so before any other thread uses them. Jansson's, too, is set. */
    jwt_set_alloc(malloc, free_wiped);
    /* JWT_CRYPTO in the environment must not choose another one. */
    int result = jwt_set_crypto_ops_t(JWT_CRYPTO_OPS_OPENSSL);
    ASSERT(result == 0);
}

/* --- one key ---------------------------------------------------------------------------------- */

static bool has_room(const struct loader *loader, const char *kid)
{
    const struct token_keys *keys = loader->keys;
    size_t without_kid = 0;

    if (keys->count == TOKEN_KEYS_MAX) {
        return fail(loader, "more than %d keys", TOKEN_KEYS_MAX);
    }
    for (size_t i = 0; i < keys->count; i++) {
        if (!kid && !keys->keys[i].kid) {
            without_kid++;
        }
        if (kid && keys->keys[i].kid && strcmp(kid, keys->keys[i].kid) == 0) {
            return fail(loader, "two keys have the kid \"%s\"", kid);
        }
    }
    if (without_kid == KEYS_WITHOUT_KID_MAX) {
        return fail(loader, "more than %d keys without a kid", KEYS_WITHOUT_KID_MAX);
    }
    return true;
}

static bool fits(const struct loader *loader, const struct token_algorithm *algorithm,
                 const jwk_item_t *item)
{
    const char *curve = jwks_item_curve(item);
    int bits = jwks_item_key_bits(item);

    if (jwks_item_kty(item) != algorithm->type) {
        return fail(loader, "the key's type does not fit %s", algorithm->name);
    }
    if (algorithm->curve && (!curve || strcmp(curve, algorithm->curve) != 0)) {
        return fail(loader, "the key's curve does not fit %s, which is for %s", algorithm->name,
                    algorithm->curve);
    }
    if (bits < algorithm->bits_min) {
        if (algorithm->type == JWK_KEY_TYPE_OCT) {
            return fail(loader, "%d bytes; %s needs a secret of at least %d", bits / 8,
                        algorithm->name, algorithm->bits_min / 8);
        }
        return fail(loader, "%d bits; %s needs at least %d", bits, algorithm->name,
                    algorithm->bits_min);
    }
    if (algorithm->type != JWK_KEY_TYPE_OCT && jwks_item_is_private(item)) {
        return fail(loader, "holds a private key; only the public part belongs here");
    }
    return true;
}

static bool add_key(struct loader *loader, struct slice jwk,
                    const struct token_algorithm *algorithm, const char *kid)
{
    struct token_keys *keys = loader->keys;
    const jwk_item_t *item;
    char *kid_copy = NULL;

    if (!has_room(loader, kid)) {
        return false;
    }
    if (!jwks_load_strn(keys->set, (const char *)jwk.data, jwk.size) || jwks_error(keys->set)) {
        return fail(loader, "%s", jwks_error_msg(keys->set));
    }
    item = jwks_item_get(keys->set, keys->count);
    if (!item) {
        return fail(loader, "no memory");
    }
    if (jwks_item_error(item)) {
        return fail(loader, "%s", jwks_item_error_msg(item));
    }
    if (!fits(loader, algorithm, item)) {
        return false;
    }
    if (kid) {
        kid_copy = strdup(kid);
        if (!kid_copy) {
            return fail(loader, "no memory");
        }
    }
    keys->keys[keys->count++] =
        (struct token_key){.kid = kid_copy, .algorithm = algorithm, .item = item};
    return true;
}

/* --- a file of each kind ---------------------------------------------------------------------- */

static bool load_secret(struct loader *loader, struct slice file)
{
    static const char begin[] = "{\"kty\":\"oct\",\"k\":\"";
    static const char end[] = "\"}";
    size_t room = sizeof(begin) + BASE64URL_SIZE(file.size) + sizeof(end);
    size_t size = sizeof(begin) - 1;
    bool good;
    char *jwk;

    /* A public key as an HMAC secret: anybody could sign. */
    if (file.size >= 10 && memcmp(file.data, "-----BEGIN", 10) == 0) {
        return fail(loader, "a PEM key; %s needs a secret", loader->algorithm->name);
    }
    if (file.size > 0 && file.data[file.size - 1] == '\n') {
        file.size--;
    }
    if (file.size * 8 < (size_t)loader->algorithm->bits_min) {
        return fail(loader, "%zu bytes; %s needs a secret of at least %d", file.size,
                    loader->algorithm->name, loader->algorithm->bits_min / 8);
    }
    jwk = malloc(room);
    if (!jwk) {
        return fail(loader, "no memory");
    }
    memcpy(jwk, begin, size);
    size += base64url_encode(file, jwk + size);
    memcpy(jwk + size, end, sizeof(end) - 1);
    size += sizeof(end) - 1;
    good = add_key(loader, slice_from(jwk, size), loader->algorithm, loader->kid);
    secret_wipe(jwk, room);
    free(jwk);
    return good;
}

static bool load_pem(struct loader *loader, struct slice file)
{
    char jwk[TOKEN_JWK_MAX];
    const char *reason = token_pem_to_jwk(file, jwk);

    if (reason) {
        return fail(loader, "%s", reason);
    }
    return add_key(loader, slice_text(jwk), loader->algorithm, loader->kid);
}

static bool text_is(const json_t *object, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(object, name));

    return value && strcmp(value, text) == 0;
}

/* RFC 7517, sections 4.2 and 4.3: whether signatures may be checked with the key. */
static bool is_for_signatures(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use");
    const json_t *operations = json_object_get(jwk, "key_ops");
    bool verify = !operations;
    const json_t *operation;
    size_t i;

    json_array_foreach(operations, i, operation)
    {
        const char *name = json_string_value(operation);
        verify = verify || (name && strcmp(name, "verify") == 0);
    }
    return verify && (!use || text_is(jwk, "use", "sig"));
}

/*
 * The algorithm of a JWK: what it names, else what its type and curve leave no doubt about, else
 * what the options say. Keys of other kinds, of other curves and for other algorithms are left out
 * (RFC 7517, section 5): *known is false then.
 */
static const struct token_algorithm *algorithm_of(const struct loader *loader, const json_t *jwk,
                                                  bool *known)
{
    const json_t *named = json_object_get(jwk, "alg");
    const struct token_algorithm *found = NULL;

    *known = true;
    if (named) {
        const char *name = json_string_value(named);
        found = name ? token_algorithm_find(name) : NULL;
    } else if (text_is(jwk, "kty", "EC")) {
        for (size_t i = 0; i < ALGORITHM_COUNT && !found; i++) {
            if (algorithms[i].curve && text_is(jwk, "crv", algorithms[i].curve)) {
                found = &algorithms[i];
            }
        }
    } else if (text_is(jwk, "kty", "OKP")) {
        if (text_is(jwk, "crv", "Ed25519") || text_is(jwk, "crv", "Ed448")) {
            found = token_algorithm_find("EdDSA");
        }
    } else if (text_is(jwk, "kty", "RSA") || text_is(jwk, "kty", "oct")) {
        jwk_key_type_t type = text_is(jwk, "kty", "RSA") ? JWK_KEY_TYPE_RSA : JWK_KEY_TYPE_OCT;

        return loader->algorithm && loader->algorithm->type == type ? loader->algorithm : NULL;
    }
    *known = found != NULL;
    return found;
}

static bool load_jwk(struct loader *loader, const json_t *jwk)
{
    const json_t *kid = json_object_get(jwk, "kid");
    const struct token_algorithm *algorithm;
    bool known;
    bool good;
    char *text;

    if (!json_is_object(jwk)) {
        return fail(loader, "a key is not a JSON object");
    }
    if (kid && (json_string_length(kid) == 0 || json_string_length(kid) > TOKEN_KID_MAX)) {
        return fail(loader, "a kid is not a text of 1 to %d bytes", TOKEN_KID_MAX);
    }
    /* Whoever may read the set could sign with it: and a URL is for anybody to read. */
    if (token_key_is_url(loader->path) && text_is(jwk, "kty", "oct")) {
        loader->keys->symmetric_count++;
        return true;
    }
    algorithm = algorithm_of(loader, jwk, &known);
    if (!known || !is_for_signatures(jwk)) {
        return true;
    }
    if (!algorithm) {
        return fail(loader,
                    "the key %s names no alg, and its kty fits several: say which (algorithm)",
                    kid ? json_string_value(kid) : "without a kid");
    }
    text = json_dumps(jwk, JSON_COMPACT);
    if (!text) {
        return fail(loader, "no memory");
    }
    good = add_key(loader, slice_text(text), algorithm, json_string_value(kid));
    free_wiped(text);
    return good;
}

static bool load_jwks(struct loader *loader, struct slice file)
{
    size_t count_before = loader->keys->count;
    size_t symmetric_before = loader->keys->symmetric_count;
    json_error_t error;
    json_t *set = json_loadb((const char *)file.data, file.size, JSON_REJECT_DUPLICATES, &error);
    const json_t *list = json_object_get(set, "keys");
    const json_t *jwk;
    bool good = true;
    size_t i;

    /* error.text may quote the file, which may hold secrets: only the place is told. */
    if (!set) {
        return fail(loader, "not JSON: see line %d, column %d", error.line, error.column);
    }
    if (loader->kid) {
        good = fail(loader, "the kids of a key set stand in its file: leave kid out");
    } else if (!json_is_array(list)) {
        good = fail(loader, "not a JSON Web Key Set: no array \"keys\"");
    }
    json_array_foreach(list, i, jwk)
    {
        good = good && load_jwk(loader, jwk);
    }
    json_decref(set);
    if (good && loader->keys->count == count_before) {
        if (loader->keys->symmetric_count > symmetric_before) {
            return fail(loader, "only symmetric keys, which no URL may give away");
        }
        return fail(loader, "no key in it is for one of %s", ALGORITHM_NAMES);
    }
    return good;
}

/* --- files ------------------------------------------------------------------------------------ */

/* The whole file, for the caller to wipe and free, or NULL. */
static uint8_t *read_file(const struct loader *loader, size_t *size)
{
    const char *reason = NULL;
    int fd = file_open(loader->path, &reason);
    uint8_t *bytes = NULL;
    struct stat status;

    if (fd < 0) {
        fail(loader, "%s", reason);
        return NULL;
    }
    if (fstat(fd, &status) != 0) {
        fail(loader, "%s", strerrordesc_np(errno));
    } else if (status.st_size > TOKEN_KEY_FILE_MAX) {
        fail(loader, "larger than %d bytes", TOKEN_KEY_FILE_MAX);
    } else {
        *size = (size_t)status.st_size;
        bytes = malloc(*size + 1);
        if (!bytes || read(fd, bytes, *size + 1) != status.st_size) {
            fail(loader, "cannot be read whole");
            free(bytes);
            bytes = NULL;
        }
    }
    close(fd);
    return bytes;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    size_t end_size = strlen(end);

    return size > end_size && strcmp(text + size - end_size, end) == 0;
}

bool token_key_is_url(const char *path)
{
    return strncmp(path, "https://", 8) == 0;
}

static bool load_file(struct loader *loader, const char *algorithm, struct slice document)
{
    bool is_url = token_key_is_url(loader->path);
    bool is_key_set = is_url || ends_with(loader->path, ".json");
    uint8_t *bytes;
    size_t size = 0;
    bool good;

    loader->algorithm = algorithm ? token_algorithm_find(algorithm) : NULL;
    if (!loader->algorithm && (algorithm || !is_key_set)) {
        return fail(loader, "algorithm %s is none of %s", algorithm ? algorithm : "(missing)",
                    ALGORITHM_NAMES);
    }
    if (loader->kid && (loader->kid[0] == 0 || strlen(loader->kid) > TOKEN_KID_MAX)) {
        return fail(loader, "its kid is not a text of 1 to %d bytes", TOKEN_KID_MAX);
    }
    if (is_url && loader->algorithm && loader->algorithm->type == JWK_KEY_TYPE_OCT) {
        return fail(loader, "%s is for secrets, which no URL may give away", algorithm);
    }
    if (is_url) {
        return !document.data || load_jwks(loader, document);
    }
    bytes = read_file(loader, &size);
    if (!bytes) {
        return false;
    }
    if (is_key_set) {
        good = load_jwks(loader, slice_from(bytes, size));
    } else if (loader->algorithm->type == JWK_KEY_TYPE_OCT) {
        good = load_secret(loader, slice_from(bytes, size));
    } else {
        good = load_pem(loader, slice_from(bytes, size));
    }
    secret_wipe(bytes, size);
    free(bytes);
    return good;
}

static bool copy_text(const char *text, char **copy)
{
    *copy = text ? strdup(text) : NULL;
    return !text || *copy;
}

struct token_keys *token_keys_open(const struct token_options *options, char *message,
                                   size_t message_size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct token_keys *keys = calloc(1, sizeof(*keys));

    ASSERT(options->token_size_max > 0);
    pthread_once(&once, set_up_library);
    if (keys) {
        keys->set = jwks_create(NULL);
    }
    if (!keys || !keys->set || !copy_text(options->issuer, &keys->issuer) ||
        !copy_text(options->audience, &keys->audience)) {
        (void)snprintf(message, message_size, "no memory for the token keys");
        token_keys_close(keys);
        return NULL;
    }
    keys->leeway_s = options->leeway_s;
    keys->require_expiry = options->require_expiry;
    keys->token_size_max = options->token_size_max;
    keys->channels_max = options->channels_max;
    keys->channel_size_max = options->channel_size_max;
    for (size_t i = 0; i < options->key_count; i++) {
        struct loader loader = {
            .keys = keys,
            .path = options->keys[i].path,
            .kid = options->keys[i].kid,
            .message = message,
            .message_size = message_size,
        };

        if (!load_file(&loader, options->keys[i].algorithm, options->keys[i].document)) {
            token_keys_close(keys);
            return NULL;
        }
    }
    return keys;
}

size_t token_keys_symmetric(const struct token_keys *keys)
{
    return keys->symmetric_count;
}

void token_keys_close(struct token_keys *keys)
{
    if (!keys) {
        return;
    }
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->keys[i].kid);
    }
    free(keys->issuer);
    free(keys->audience);
    jwks_free(keys->set);
    free(keys);
}
