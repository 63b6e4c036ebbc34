/*
 * Fuzzes the server's handshake. The first byte says how bytes are cut, the second which of two
 * games is played:
 *
 * - bytes as they are, a ClientHello and what follows it: cut or not, the verdict is the same;
 * - our own client's flights, changed by the rest of the input (four bytes each: where, how, what):
 *   nothing but a crash or a leak is wrong, and every failure has an alert.
 */
#include "tls/certificate.h"
#include "tls/client.h"
#include "tls/handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STREAM_MAX 65536
#define EDIT_SIZE  4

static struct {
    struct tls_server *server;
    struct tls_client *clients[4]; /* 1.3 and 1.2, AES and ChaCha */
} fixture;

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void open_fixture(void)
{
    static const char *const names[] = {"localhost"};
    static char certificate_path[] = "/tmp/limpet-fuzz-XXXXXX.pem";
    static char key_path[] = "/tmp/limpet-fuzz-XXXXXX.key";
    char message[256];
    require(close(mkstemps(certificate_path, 4)) == 0);
    require(close(mkstemps(key_path, 4)) == 0);
    const struct certificate_files files = {certificate_path, key_path};
    require(certificate_make(names, 1, &files, message, sizeof(message)) == 0);
    struct certificate_set *set = certificate_set_open(&files, 1, message, sizeof(message));
    require(set != NULL);
    (void)unlink(certificate_path);
    (void)unlink(key_path);
    struct ticket_keys *tickets = ticket_keys_open(NULL, 3600, message, sizeof(message));
    const struct tls_server_options options = {
        .certificates = set, .tickets = tickets, .handshakes_max = 2, .tls_1_2 = true};
    fixture.server = tls_server_open(&options, message, sizeof(message));
    require(fixture.server != NULL);
    for (int i = 0; i < 4; i++) {
        const struct tls_client_options client = {
            .host_name = "localhost",
            .handshakes_max = 2,
            .version = i < 2 ? TLS_1_3 : TLS_1_2,
            .suite = i % 2 == 0 ? TLS_AES_128_GCM : TLS_CHACHA20_POLY1305,
        };
        fixture.clients[i] = tls_client_open(&client, message, sizeof(message));
        require(fixture.clients[i] != NULL);
    }
}

/* --- the server, fed with a stream in steps --- */

struct verdict {
    enum hello_status hello_status;
    enum handshake_status status;
    uint8_t alert;
    bool alert_received;
};

static void check_result(enum handshake_status status, const struct handshake_result *result,
                         size_t size)
{
    require(result->consumed <= size);
    if (status == HANDSHAKE_FAILED && !result->alert_received) {
        require(result->alert != 0);
        require(result->output.size > 0);
    }
}

/* Feeds what stands at stream from the given handshake; the rest stays. */
static enum handshake_status feed(uint32_t number, struct slice stream, size_t step,
                                  struct handshake_result *result)
{
    size_t consumed = 0;
    size_t seen = 0;
    enum handshake_status status = HANDSHAKE_MORE;
    while (status == HANDSHAKE_MORE && seen < stream.size) {
        seen = stream.size - seen < step ? stream.size : seen + step;
        /* A copy of exactly this size, so that every step beyond it is seen. */
        const size_t size = seen - consumed;
        require(size <= STREAM_MAX);
        uint8_t *copy = malloc(size + 1);
        require(copy != NULL);
        memcpy(copy, stream.data + consumed, size);
        status = handshake_feed(fixture.server, number, copy, size, result);
        free(copy);
        check_result(status, result, size);
        consumed += result->consumed;
    }
    return status;
}

static struct verdict serve(struct slice stream, size_t step)
{
    static uint8_t joined[5 + HELLO_SIZE_MAX];
    struct verdict verdict = {.status = HANDSHAKE_MORE};
    struct hello hello;
    struct handshake_result result;
    verdict.hello_status = hello_read(stream.data, stream.size, &hello, joined);
    if (verdict.hello_status != HELLO_WHOLE) {
        return verdict;
    }
    const uint32_t number = handshake_start(fixture.server, &hello, joined);
    require(number != NONE);
    verdict.status = handshake_feed(fixture.server, number, NULL, 0, &result);
    check_result(verdict.status, &result, 0);
    if (verdict.status == HANDSHAKE_MORE) {
        verdict.status =
            feed(number, slice_from(stream.data + hello.consumed, stream.size - hello.consumed),
                 step, &result);
    }
    verdict.alert = result.alert;
    verdict.alert_received = result.alert_received;
    handshake_end(fixture.server, number);
    require(handshake_heap() == 0);
    return verdict;
}

static void play_bytes(struct slice input, size_t step)
{
    const struct verdict whole = serve(input, SIZE_MAX);
    const struct verdict cut = serve(input, step);
    require(whole.status == cut.status);
    require(whole.alert == cut.alert);
    require(whole.alert_received == cut.alert_received);
}

/* --- a client with a tampered wire --- */

struct stream {
    uint8_t bytes[STREAM_MAX];
    size_t size;
};

static void push(struct stream *stream, struct slice bytes)
{
    if (bytes.size > 0 && bytes.size <= STREAM_MAX - stream->size) {
        memcpy(stream->bytes + stream->size, bytes.data, bytes.size);
        stream->size += bytes.size;
    }
}

static void insert(struct stream *stream, size_t at, uint8_t value, size_t count)
{
    if (count > STREAM_MAX - stream->size) {
        return;
    }
    memmove(stream->bytes + at + count, stream->bytes + at, stream->size - at);
    memset(stream->bytes + at, value, count);
    stream->size += count;
}

static void tamper(struct stream *stream, struct slice *edits)
{
    while (edits->size >= EDIT_SIZE && stream->size > 0) {
        const uint8_t *edit = edits->data;
        const size_t at = load_be16(edit) % stream->size;
        *edits = slice_from(edits->data + EDIT_SIZE, edits->size - EDIT_SIZE);
        switch (edit[2] % 8) {
        case 0:
            stream->bytes[at] ^= edit[3];
            break;
        case 1:
            stream->bytes[at] = edit[3];
            break;
        case 2:
            insert(stream, at, edit[3], 1);
            break;
        case 3:
            insert(stream, at, edit[3], edit[2]);
            break;
        case 4:
            memmove(stream->bytes + at, stream->bytes + at + 1, stream->size - at - 1);
            stream->size--;
            break;
        case 5: /* a change_cipher_spec */
            insert(stream, at, 1, 6);
            memcpy(stream->bytes + at, "\x14\x03\x03\x00\x01", 5);
            break;
        case 6:
            stream->size = at;
            break;
        default: /* this flight is done */
            return;
        }
    }
}

static void play_client(struct tls_client *client, struct slice edits, size_t step)
{
    static struct stream to_server;
    static struct stream to_client;
    static uint8_t joined[5 + HELLO_SIZE_MAX];
    const uint32_t client_number = client_handshake_start(client);
    uint32_t number = NONE;
    struct handshake_result result;
    enum handshake_status status = HANDSHAKE_MORE;
    enum handshake_status client_status = HANDSHAKE_MORE;
    to_client.size = 0;
    require(client_number != NONE);
    for (int flight = 0; flight < 3 && status == HANDSHAKE_MORE; flight++) {
        struct hello hello;
        size_t start = 0;
        to_server.size = 0;
        if (client_status == HANDSHAKE_MORE) {
            client_status = client_handshake_feed(client, client_number, to_client.bytes,
                                                  to_client.size, &result);
            push(&to_server, result.output);
        }
        tamper(&to_server, &edits);
        if (number == NONE) {
            if (hello_read(to_server.bytes, to_server.size, &hello, joined) != HELLO_WHOLE) {
                break;
            }
            number = handshake_start(fixture.server, &hello, joined);
            require(number != NONE);
            start = hello.consumed;
        }
        to_client.size = 0;
        if (flight == 0) {
            status = handshake_feed(fixture.server, number, NULL, 0, &result);
            push(&to_client, result.output);
        }
        if (status == HANDSHAKE_MORE && to_server.size > start) {
            status = feed(number, slice_from(to_server.bytes + start, to_server.size - start), step,
                          &result);
            push(&to_client, result.output);
        }
    }
    if (number != NONE) {
        handshake_end(fixture.server, number);
    }
    client_handshake_end(client, client_number);
    require(handshake_heap() == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!fixture.server) {
        open_fixture();
    }
    if (size < 2 || size > STREAM_MAX) {
        return 0;
    }
    const size_t step = data[0] + (size_t)1;
    const struct slice input = slice_from(data + 2, size - 2);
    if (data[1] % 2 == 0) {
        play_bytes(input, step);
    } else {
        play_client(fixture.clients[data[1] / 2 % 4], input, step);
    }
    return 0;
}
