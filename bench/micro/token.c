/*
 * What checking a token costs: microseconds of CPU for each algorithm, as minimum, median and
 * maximum of ROUNDS rounds of about five milliseconds; then with two threads at once, which share
 * the keys.
 */
#include "session/token.h"
#include "tests/unit/session/signer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS   51
#define ROUND_NS 5e6
#define NOW      1800000000.0

static const char payload[] = "{\"iat\":1790000000,\"exp\":1800003600,\"sub\":\"user-12345\","
                              "\"channels\":[\"news\",\"chat:lobby\",\"user:12345\"]}";

/* One token and the keys for it. */
struct subject {
    struct token_keys *keys;
    const char *token;
    enum token_outcome outcome; /* that is expected */
};

static void require(bool holds, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "token: %s\n", what);
        abort();
    }
}

static double now_ns(void)
{
    struct timespec now;

    require(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0, "no clock");
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double check_many(const struct subject *subject, size_t count)
{
    double start = now_ns();

    for (size_t i = 0; i < count; i++) {
        struct token_claims claims;
        enum token_outcome outcome =
            token_check(subject->keys, slice_text(subject->token), NOW, &claims);

        require(outcome == subject->outcome, token_outcome_name(outcome));
        token_claims_free(&claims);
    }
    return (now_ns() - start) / (double)count;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

static size_t count_for_a_round(const struct subject *subject)
{
    double once = check_many(subject, 50);

    return once < ROUND_NS ? (size_t)(ROUND_NS / once) : 1;
}

static void measure(const char *name, const struct subject *subject)
{
    double rounds[ROUNDS];
    size_t count = count_for_a_round(subject);

    for (size_t i = 0; i < ROUNDS; i++) {
        rounds[i] = check_many(subject, count);
    }
    qsort(rounds, ROUNDS, sizeof(rounds[0]), compare);
    printf("%-22s %4zu bytes  %8.2f %8.2f %8.2f us\n", name, strlen(subject->token),
           rounds[0] / 1e3, rounds[ROUNDS / 2] / 1e3, rounds[ROUNDS - 1] / 1e3);
}

static void *run_thread(void *context)
{
    const struct subject *subject = context;
    double *ns = malloc(sizeof(*ns));

    require(ns != NULL, "no memory");
    *ns = check_many(subject, 20000);
    return ns;
}

static void measure_threads(const char *name, struct subject *subject)
{
    pthread_t threads[2];
    double sum = 0;

    for (size_t i = 0; i < 2; i++) {
        require(pthread_create(&threads[i], NULL, run_thread, subject) == 0, "no thread");
    }
    for (size_t i = 0; i < 2; i++) {
        void *ns;
        require(pthread_join(threads[i], &ns) == 0, "no thread");
        sum += *(double *)ns;
        free(ns);
    }
    printf("%-22s two threads at once, each %8.2f us\n", name, sum / 2 / 1e3);
}

static struct token_keys *open_keys(const struct signer *signer)
{
    struct token_key_options key = {.algorithm = signer->algorithm, .path = signer->path};
    struct token_options options = {.keys = &key,
                                    .key_count = 1,
                                    .require_expiry = true,
                                    .token_size_max = 8192,
                                    .channels_max = 128,
                                    .channel_size_max = 255};
    char message[256];
    struct token_keys *keys = token_keys_open(&options, message, sizeof(message));

    require(keys != NULL, message);
    return keys;
}

int main(void)
{
    static const char *const algorithms[] = {"HS256", "HS384", "HS512", "RS256", "RS384",
                                             "RS512", "PS256", "PS384", "PS512", "ES256",
                                             "ES384", "ES512", "EdDSA"};
    char folder[SIGNER_FOLDER_MAX];

    folder_make(folder);
    printf("%-34s  %8s %8s %8s\n", "", "minimum", "median", "maximum");
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        struct signer signer;
        struct subject subject = {.outcome = TOKEN_GOOD};
        char *token;

        signer_open(&signer, folder, "key", algorithms[i]);
        subject.keys = open_keys(&signer);
        token = signer_sign(&signer, payload);
        subject.token = token;
        measure(algorithms[i], &subject);
        if (i == 0) {
            measure_threads(algorithms[i], &subject);
            token[strlen(token) - 5] ^= 1;
            subject.outcome = TOKEN_BAD_SIGNATURE;
            measure("HS256, bad signature", &subject);
        }
        free(token);
        token_keys_close(subject.keys);
        signer_close(&signer);
    }
    folder_remove(folder);
    return 0;
}
