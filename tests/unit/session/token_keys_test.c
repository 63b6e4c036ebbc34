/*
 * Goal: token_keys_open takes every kind of key file that can check signatures, and refuses the
 * others with a message that names the file and the reason, and nothing of what is in it.
 */
#include "token_tool.h"

#include "session/token_pem.h"

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

static char path[SIGNER_FOLDER_MAX + 32];

/* The message of an open that must fail: it names the path, and holds the reason. */
static void expect_refusal(const struct token_key_options *list, size_t count, const char *reason)
{
    struct token_options options = options_of(list, count);
    char message[1024] = "";
    struct token_keys *keys = token_keys_open(&options, message, sizeof(message));

    assert_null(keys);
    assert_memory_equal(message, list[count - 1].path, strlen(list[count - 1].path));
    if (!strstr(message, reason)) {
        print_error("\"%s\" lacks \"%s\"\n", message, reason);
    }
    assert_non_null(strstr(message, reason));
}

static void expect_refused_file(const char *name, const char *algorithm, struct slice content,
                                const char *reason)
{
    struct token_key_options key = {.algorithm = algorithm, .path = path};

    file_write(path, folder, name, content);
    expect_refusal(&key, 1, reason);
}

static void secrets_have_a_least_size(void **state)
{
    static const struct {
        const char *algorithm;
        size_t size;
        const char *reason;
    } cases[] = {{"HS256", 32, "31 bytes; HS256 needs a secret of at least 32"},
                 {"HS384", 48, "47 bytes; HS384 needs a secret of at least 48"},
                 {"HS512", 64, "63 bytes; HS512 needs a secret of at least 64"}};
    uint8_t secret[64];

    (void)state;
    memset(secret, 's', sizeof(secret));
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct token_key_options key = {.algorithm = cases[i].algorithm, .path = path};
        struct token_options options = options_of(&key, 1);

        expect_refused_file("short", cases[i].algorithm, slice_from(secret, cases[i].size - 1),
                            cases[i].reason);
        file_write(path, folder, "enough", slice_from(secret, cases[i].size));
        token_keys_close(open_options(&options));
    }
    expect_refused_file("empty", "HS256", slice_from(secret, 0), "0 bytes");
    expect_refused_file("newline", "HS256", slice_text("\n"), "0 bytes");
}

/* A secret of raw bytes: only one newline at its end is not part of it. */
static void one_newline_is_taken_off(void **state)
{
    static const char *const contents[] = {
        "0123456789abcdef0123456789abcdef",     "0123456789abcdef0123456789abcdef\n",
        "0123456789abcdef0123456789abcdef\n\n", "0123456789abcdef0123456789abcdef\r\n",
        "0123456789abcdef0123456789abcdef ",
    };
    struct token_key_options key = {.algorithm = "HS256", .path = path};
    struct token_options options = options_of(&key, 1);
    struct signer signer = {.algorithm = "HS256", .secret_size = 32};

    (void)state;
    memcpy(signer.secret, contents[0], 32);
    for (size_t i = 0; i < COUNT(contents); i++) {
        struct token_keys *keys;

        file_write(path, folder, "secret", slice_text(contents[i]));
        keys = open_options(&options);
        expect(keys, signer_sign(&signer, "{" EXPIRES "}"),
               i < 2 ? TOKEN_GOOD : TOKEN_BAD_SIGNATURE);
        token_keys_close(keys);
    }
}

static void a_secret_may_hold_any_byte(void **state)
{
    struct token_key_options key = {.algorithm = "HS256", .path = path};
    struct token_options options = options_of(&key, 1);
    struct signer signer = {.algorithm = "HS256", .secret_size = 256};
    struct token_keys *keys;

    (void)state;
    for (size_t i = 0; i < 256; i++) {
        signer.secret[i] = (uint8_t)i;
    }
    file_write(path, folder, "bytes", slice_from(signer.secret, 256));
    keys = open_options(&options);
    expect(keys, signer_sign(&signer, "{" EXPIRES "}"), TOKEN_GOOD);
    token_keys_close(keys);
}

static void algorithms_have_names(void **state)
{
    static const char *const names[] = {"none", "", "hs256", "HS257", "ES256K", "RSA", "dir"};
    struct token_key_options key = {.path = hs256.path};

    (void)state;
    expect_refusal(&key, 1, "algorithm (missing) is none of HS256, ");
    for (size_t i = 0; i < COUNT(names); i++) {
        key.algorithm = names[i];
        expect_refusal(&key, 1, "is none of HS256, ");
    }
}

static void keys_fit_their_algorithm(void **state)
{
    struct token_key_options key = {.algorithm = "ES384", .path = es256.path};

    (void)state;
    expect_refusal(&key, 1, "the key's curve does not fit ES384, which is for P-384");
    key.algorithm = "RS256";
    expect_refusal(&key, 1, "the key's type does not fit RS256");
    key.path = rs256.path;
    key.algorithm = "EdDSA";
    expect_refusal(&key, 1, "the key's type does not fit EdDSA");
    key.algorithm = "HS256";
    expect_refusal(&key, 1, "a PEM key; HS256 needs a secret");
    key.algorithm = "RS256";
    key.path = hs256.path;
    expect_refusal(&key, 1, "not a PEM public key");
}

static void write_pem(EVP_PKEY *key, bool private_key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    long size;

    assert_non_null(key);
    if (private_key) {
        assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    } else {
        assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    }
    size = BIO_get_mem_data(bio, &pem);
    file_write(path, folder, "pem", slice_from(pem, (size_t)size));
    BIO_free(bio);
}

static void pem_keys_that_are_not_taken(void **state)
{
    struct token_key_options key = {.algorithm = "RS256", .path = path};
    EVP_PKEY *weak = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    EVP_PKEY *other_curve = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1");
    EVP_PKEY *agreement = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");

    (void)state;
    write_pem(weak, false);
    expect_refusal(&key, 1, "1024 bits; RS256 needs at least 2048");
    write_pem(rs256.key, true);
    expect_refusal(&key, 1, "not a PEM public key");
    key.algorithm = "ES256";
    write_pem(other_curve, false);
    expect_refusal(&key, 1, "its curve is none of P-256, P-384, P-521");
    key.algorithm = "EdDSA";
    write_pem(agreement, false);
    expect_refusal(&key, 1, "its kind of key is none of RSA, EC, Ed25519, Ed448");
    EVP_PKEY_free(weak);
    EVP_PKEY_free(other_curve);
    EVP_PKEY_free(agreement);
}

static void ed448_is_taken(void **state)
{
    struct signer signer = {.algorithm = "EdDSA", .key = EVP_PKEY_Q_keygen(NULL, NULL, "ED448")};
    struct token_key_options key = {.algorithm = "EdDSA", .path = path};
    struct token_options options = options_of(&key, 1);
    struct token_keys *keys;

    (void)state;
    write_pem(signer.key, false);
    keys = open_options(&options);
    expect(keys, signer_sign(&signer, "{" EXPIRES "}"), TOKEN_GOOD);
    token_keys_close(keys);
    signer_close(&signer);
}

static void files_that_cannot_be_read(void **state)
{
    struct token_key_options key = {.algorithm = "HS256", .path = "/nowhere/secret"};
    size_t size = (1 << 20) + 1;
    uint8_t *large = calloc(1, size);

    (void)state;
    assert_non_null(large);
    expect_refusal(&key, 1, "No such file or directory");
    key.path = folder;
    expect_refusal(&key, 1, "Is a directory");
    key.path = path;
    file_write(path, folder, "pipe", slice_from("", 0));
    assert_int_equal(remove(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refusal(&key, 1, "not a file"); /* and does not wait for a writer */
    expect_refused_file("large", "HS256", slice_from(large, size), "larger than 1048576 bytes");
    file_write(path, folder, "as-large", slice_from(large, size - 1));
    struct token_options options = options_of(&key, 1);
    token_keys_close(open_options(&options));
    free(large);
}

/* --- key sets --------------------------------------------------------------------------------- */

/* A JWK of the signer's public key, with more members in front ("\"kid\":\"a\","). */
static void jwk_of(const struct signer *signer, const char *members, char *out, size_t out_size)
{
    char pem[2048];
    char jwk[TOKEN_JWK_MAX];
    FILE *file;
    size_t size;

    if (!signer->key) {
        char *secret = base64url_text(slice_from(signer->secret, signer->secret_size));
        (void)snprintf(out, out_size, "{%s\"kty\":\"oct\",\"k\":\"%s\"}", members, secret);
        free(secret);
        return;
    }
    file = fopen(signer->path, "re");
    assert_non_null(file);
    size = fread(pem, 1, sizeof(pem), file);
    assert_int_equal(fclose(file), 0);
    assert_null(token_pem_to_jwk(slice_from(pem, size), jwk));
    (void)snprintf(out, out_size, "{%s%.3000s", members, jwk + 1);
}

static PRINTF_LIKE(1, 2) void write_set(const char *format, ...)
{
    char text[16384];
    va_list list;

    va_start(list, format);
    (void)vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    file_write(path, folder, "set.json", slice_text(text));
}

static void a_key_set_has_keys_of_all_kinds(void **state)
{
    static const char *const algorithms[] = {"HS512", "RS384", "PS256", "ES256",
                                             "ES384", "ES512", "EdDSA"};
    struct token_key_options key = {.path = path};
    struct token_options options = options_of(&key, 1);
    struct signer signers[COUNT(algorithms)];
    char set[16384] = "";
    size_t size = 0;
    struct token_keys *keys;

    (void)state;
    for (size_t i = 0; i < COUNT(algorithms); i++) {
        char members[64];
        char jwk[4096];

        signer_open(&signers[i], folder, "signer", algorithms[i]);
        /* Where type and curve say enough, alg is left out. */
        (void)snprintf(members, sizeof(members),
                       i < 3 ? "\"kid\":\"%zu\",\"alg\":\"%s\"," : "\"kid\":\"%zu\",", i,
                       algorithms[i]);
        jwk_of(&signers[i], members, jwk, sizeof(jwk));
        size += (size_t)snprintf(set + size, sizeof(set) - size, "%s%s", i ? "," : "", jwk);
    }
    write_set("{\"keys\":[%s]}", set);
    keys = open_options(&options);
    for (size_t i = 0; i < COUNT(algorithms); i++) {
        char header[64];

        (void)snprintf(header, sizeof(header), "{\"kid\":\"%zu\",\"alg\":\"%s\"}", i,
                       algorithms[i]);
        expect(keys, signer_token(&signers[i], header, "{" EXPIRES "}"), TOKEN_GOOD);
        (void)snprintf(header, sizeof(header), "{\"kid\":\"%zu\",\"alg\":\"%s\"}",
                       (i + 1) % COUNT(algorithms), algorithms[i]);
        expect(keys, signer_token(&signers[i], header, "{" EXPIRES "}"), TOKEN_ALGORITHM);
        signer_close(&signers[i]);
    }
    token_keys_close(keys);
}

/* An RSA key without alg fits six algorithms: the options say which, and only that one is taken. */
static void an_open_algorithm_is_said_by_the_options(void **state)
{
    struct token_key_options key = {.path = path};
    struct token_options options = options_of(&key, 1);
    struct token_keys *keys;
    char jwk[4096];

    (void)state;
    jwk_of(&rs256, "\"kid\":\"a\",\"use\":\"sig\",", jwk, sizeof(jwk));
    write_set("{\"keys\":[%s]}", jwk);
    expect_refusal(&key, 1, "the key a names no alg");
    key.algorithm = "HS256";
    expect_refusal(&key, 1, "the key a names no alg");
    key.algorithm = "RS256";
    keys = open_options(&options);
    expect(keys, signer_token(&rs256, "{\"kid\":\"a\",\"alg\":\"RS256\"}", "{" EXPIRES "}"),
           TOKEN_GOOD);
    token_keys_close(keys);
    key.algorithm = "PS256";
    keys = open_options(&options);
    struct signer ps256 = {.algorithm = "PS256", .key = rs256.key};
    expect(keys, signer_token(&ps256, "{\"kid\":\"a\",\"alg\":\"PS256\"}", "{" EXPIRES "}"),
           TOKEN_GOOD);
    expect(keys, signer_token(&rs256, "{\"kid\":\"a\",\"alg\":\"RS256\"}", "{" EXPIRES "}"),
           TOKEN_ALGORITHM);
    token_keys_close(keys);
}

/* RFC 7517, section 5: keys of a kind or for a use that is not ours are left out, the others hold.
 */
static void other_keys_of_a_set_are_left_out(void **state)
{
    static const char *const others[] = {
        "{\"kty\":\"PQ\",\"alg\":\"ML-DSA-65\",\"pub\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"RSA\",\"alg\":\"RSA-OAEP\",\"n\":\"AA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"EC\",\"alg\":\"ES256K\"}",
        "{\"kty\":\"EC\",\"alg\":\"none\"}",
        "{\"kty\":\"EC\",\"alg\":1}",
        "{}",
    };
    struct token_key_options key = {.path = path};
    struct token_options options = options_of(&key, 1);
    char jwk[4096];
    char other_use[4096];
    char other_operation[4096];

    (void)state;
    jwk_of(&es256, "\"kid\":\"a\",", jwk, sizeof(jwk));
    for (size_t i = 0; i < COUNT(others); i++) {
        write_set("{\"keys\":[%s,%s]}", others[i], jwk);
        token_keys_close(open_options(&options));
        write_set("{\"keys\":[%s]}", others[i]);
        expect_refusal(&key, 1, "no key in it is for one of");
    }
    jwk_of(&es256, "\"kid\":\"b\",\"use\":\"enc\",", other_use, sizeof(other_use));
    jwk_of(&es256, "\"kid\":\"c\",\"key_ops\":[\"sign\",\"encrypt\"],", other_operation,
           sizeof(other_operation));
    write_set("{\"keys\":[%s,%s,%s]}", other_use, jwk, other_operation);
    struct token_keys *keys = open_options(&options);
    expect(keys, signer_token(&es256, "{\"alg\":\"ES256\",\"kid\":\"a\"}", "{" EXPIRES "}"),
           TOKEN_GOOD);
    expect(keys, signer_token(&es256, "{\"alg\":\"ES256\",\"kid\":\"b\"}", "{" EXPIRES "}"),
           TOKEN_UNKNOWN_KEY);
    expect(keys, signer_token(&es256, "{\"alg\":\"ES256\",\"kid\":\"c\"}", "{" EXPIRES "}"),
           TOKEN_UNKNOWN_KEY);
    token_keys_close(keys);
}

static void key_sets_that_are_not_taken(void **state)
{
    struct token_key_options key = {.path = path};
    char jwk[4096];
    char again[4096];

    (void)state;
    write_set("{\"keys\":[");
    expect_refusal(&key, 1, "not JSON: see line 1, column ");
    write_set("{\"keys\":[],\"keys\":[]}");
    expect_refusal(&key, 1, "not JSON: see line 1");
    write_set("[]");
    expect_refusal(&key, 1, "not a JSON Web Key Set: no array \"keys\"");
    write_set("{\"keys\":{}}");
    expect_refusal(&key, 1, "not a JSON Web Key Set");
    write_set("{\"keys\":[]}");
    expect_refusal(&key, 1, "no key in it is for one of");
    write_set("{\"keys\":[1]}");
    expect_refusal(&key, 1, "a key is not a JSON object");

    /* S25: two keys with one kid, in one file and in two. */
    jwk_of(&es256, "\"kid\":\"a\",", jwk, sizeof(jwk));
    jwk_of(&rs256, "\"kid\":\"a\",\"alg\":\"RS256\",", again, sizeof(again));
    write_set("{\"keys\":[%s,%s]}", jwk, again);
    expect_refusal(&key, 1, "two keys have the kid \"a\"");
    struct token_key_options two[] = {{.kid = "a", .algorithm = "RS256", .path = rs256.path}, key};
    write_set("{\"keys\":[%s]}", jwk);
    expect_refusal(two, 2, "two keys have the kid \"a\"");

    key.kid = "a";
    expect_refusal(&key, 1, "the kids of a key set stand in its file");
    key.kid = NULL;
    jwk_of(&es256, "\"kid\":7,", jwk, sizeof(jwk));
    write_set("{\"keys\":[%s]}", jwk);
    expect_refusal(&key, 1, "a kid is not a text of 1 to 255 bytes");
    jwk_of(&es256, "\"kid\":\"\",", jwk, sizeof(jwk));
    write_set("{\"keys\":[%s]}", jwk);
    expect_refusal(&key, 1, "a kid is not a text of 1 to 255 bytes");

    jwk_of(&es256, "\"alg\":\"ES384\",", jwk, sizeof(jwk));
    write_set("{\"keys\":[%s]}", jwk);
    expect_refusal(&key, 1, "the key's curve does not fit ES384");
    jwk_of(&es256, "\"alg\":\"HS256\",", jwk, sizeof(jwk));
    write_set("{\"keys\":[%s]}", jwk);
    expect_refusal(&key, 1, "the key's type does not fit HS256");
    write_set("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}");
    expect_refusal(&key, 1, "");
    write_set("{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"c2hvcnQ\"}]}");
    expect_refusal(&key, 1, "5 bytes; HS256 needs a secret of at least 32");
    write_set("{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"\"}]}");
    expect_refusal(&key, 1, "");
    /* RFC 8037, appendix A.1. */
    write_set("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
              "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
              "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}");
    expect_refusal(&key, 1, "holds a private key");
}

static void numbers_of_keys_are_bounded(void **state)
{
    struct token_key_options list[9] = {0};
    struct token_options options = options_of(list, 8);
    char *set = malloc(1 << 20);
    size_t size = 0;
    struct token_key_options key = {.path = path};

    (void)state;
    assert_non_null(set);
    for (size_t i = 0; i < COUNT(list); i++) {
        list[i] = (struct token_key_options){.algorithm = "HS256", .path = hs256.path};
    }
    token_keys_close(open_options(&options));
    expect_refusal(list, 9, "more than 8 keys without a kid");

    for (uint32_t i = 0; i < 257; i++) {
        char members[64];
        char jwk[256];

        (void)snprintf(members, sizeof(members), "\"kid\":\"%u\",\"alg\":\"HS256\",", i);
        jwk_of(&hs256, members, jwk, sizeof(jwk));
        size += (size_t)sprintf(set + size, "%s%s", i ? "," : "{\"keys\":[", jwk);
        if (i >= 255) {
            file_write(path, folder, "many.json", slice_text(strcat(set, "]}")));
            set[size] = 0;
            if (i == 255) {
                options = options_of(&key, 1);
                token_keys_close(open_options(&options));
            } else {
                expect_refusal(&key, 1, "more than 256 keys");
            }
        }
    }
    free(set);
}

/* S40: whatever goes wrong, the message has no part of the secret. */
static void messages_hold_no_secret(void **state)
{
    static const char *const contents[] = {
        "MARKMARKMARK", "{\"keys\":[{\"k\":\"MARKMARKMARK",
        "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"MARKMARKMARK\"}]}"};

    (void)state;
    for (size_t i = 0; i < COUNT(contents); i++) {
        struct token_key_options key = {.algorithm = "HS256", .path = path};
        struct token_options options = options_of(&key, 1);
        char message[1024] = "";

        file_write(path, folder, i == 0 ? "m" : "m.json", slice_text(contents[i]));
        assert_null(token_keys_open(&options, message, sizeof(message)));
        assert_null(strstr(message, "MARK"));
        assert_true(strlen(message) > strlen(path));
    }
}

/* A message of any size is cut, not overrun. */
static void messages_are_cut(void **state)
{
    struct token_key_options key = {.algorithm = "HS256", .path = "/nowhere/secret"};
    struct token_options options = options_of(&key, 1);
    char message[8] = "zzzzzzz";

    (void)state;
    assert_null(token_keys_open(&options, message, 5));
    assert_memory_equal(message, "/now\0zz", 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_have_a_least_size),
        cmocka_unit_test(one_newline_is_taken_off),
        cmocka_unit_test(a_secret_may_hold_any_byte),
        cmocka_unit_test(algorithms_have_names),
        cmocka_unit_test(keys_fit_their_algorithm),
        cmocka_unit_test(pem_keys_that_are_not_taken),
        cmocka_unit_test(ed448_is_taken),
        cmocka_unit_test(files_that_cannot_be_read),
        cmocka_unit_test(a_key_set_has_keys_of_all_kinds),
        cmocka_unit_test(an_open_algorithm_is_said_by_the_options),
        cmocka_unit_test(other_keys_of_a_set_are_left_out),
        cmocka_unit_test(key_sets_that_are_not_taken),
        cmocka_unit_test(numbers_of_keys_are_bounded),
        cmocka_unit_test(messages_hold_no_secret),
        cmocka_unit_test(messages_are_cut),
    };

    return cmocka_run_group_tests(tests, tool_set_up, tool_tear_down);
}
