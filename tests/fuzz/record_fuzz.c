/*
 * Fuzzes the record layer: a peer who has the keys and follows the input as a script - data,
 * messages, alerts, KeyUpdates, records of any type, broken ones, bytes that are no record - and
 * whose stream is then cut as the first byte says. Cut or not, the same must come out of it.
 */
#include "tls/record.h"

#include "tests/unit/tls/peer.h"

#define STREAM_SIZE_MAX 100000
#define SIZE_UNIT       66

struct script {
    const uint8_t *bytes;
    size_t size;
};

struct stream {
    uint8_t *bytes;
    size_t size;
};

/* What came out: a hash over statuses, alerts and data, and our state at the end. */
struct outcome {
    uint64_t hash;
    union {
        struct tls_state state;
        uint8_t bytes[TLS_STATE_SIZE_MAX];
    } ours;
};

static uint8_t next(struct script *script)
{
    if (script->size == 0) {
        return 0;
    }
    script->size--;
    return *script->bytes++;
}

static struct slice next_bytes(struct script *script, size_t size)
{
    struct slice part = slice_from(script->bytes, size < script->size ? size : script->size);

    script->bytes += part.size;
    script->size -= part.size;
    return part;
}

/* One step of the script: appends at most one record. */
static void play(struct script *script, struct peer *peer, struct stream *stream)
{
    static const uint8_t zeros[UINT8_MAX * SIZE_UNIT]; /* a little more than a record takes */
    uint8_t *out = stream->bytes + stream->size;
    uint8_t step = next(script);
    size_t size = 0;

    switch (step % 8) {
    case 0:
        size = peer_seal(peer, 23, zeros, (size_t)next(script) * SIZE_UNIT, out);
        break;
    case 1:
    case 2: {
        struct slice content = next_bytes(script, next(script) % 32);
        size = peer_seal(peer, step % 8 == 1 ? 22 : 21, content.data, content.size, out);
        break;
    }
    case 3: {
        const uint8_t update[] = {24, 0, 0, 1, next(script) & 1};
        size = peer_seal(peer, 22, update, sizeof(update), out);
        if (peer->version == TLS_1_3) {
            peer_turn(peer->suite, &peer->send);
        }
        break;
    }
    case 4: {
        struct slice content = next_bytes(script, next(script) % 32);
        memcpy(out, content.data, content.size);
        size = content.size;
        break;
    }
    case 5:
        size = peer_seal(peer, 23, "broken", 6, out);
        out[next(script) % size] ^= next(script);
        break;
    case 6: {
        size_t padding = (size_t)next(script) * SIZE_UNIT;
        size = peer_seal_padded(peer, next(script) % 32, slice_from("padded", 6), padding, out);
        break;
    }
    default: {
        uint8_t type = next(script);
        struct slice content = next_bytes(script, next(script));
        size = peer_seal(peer, type, content.data, content.size, out);
        break;
    }
    }
    stream->size += size;
}

static void mix(uint64_t *hash, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        *hash = (*hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
}

/* Answers what is due; the peer must understand it. */
static void answer(struct outcome *outcome, struct peer *peer)
{
    uint8_t out[TLS_OVERHEAD_MAX + 5];
    uint8_t type;
    struct slice data;

    while (tls_update_due(&outcome->ours.state)) {
        size_t size = tls_seal_update(&outcome->ours.state, out);
        peer_require(size > 0 && size <= sizeof(out));
        peer_require(peer_open(peer, out, size, &type, &data));
        if (peer->version == TLS_1_3) {
            peer_turn(peer->suite, &peer->receive);
        }
    }
}

/* Opens the first record of what arrived; *consumed: the bytes it took. */
static enum tls_status open_one(struct outcome *outcome, const uint8_t *bytes, size_t size,
                                size_t *consumed)
{
    struct tls_record record;
    uint8_t *copy = malloc(size + 1); /* exactly what arrived, and at an odd place */

    peer_require(copy != NULL);
    memcpy(copy + 1, bytes, size);
    enum tls_status status = tls_open(&outcome->ours.state, copy + 1, size, &record);
    if (status == TLS_MORE) {
        peer_require(record.wanted > size && record.wanted <= TLS_RECORD_SIZE_MAX);
    } else {
        const uint8_t summary[] = {(uint8_t)status, record.alert};

        peer_require(record.data.size <= TLS_DATA_SIZE_MAX);
        mix(&outcome->hash, summary, sizeof(summary));
        mix(&outcome->hash, record.data.data, record.data.size);
    }
    if (status == TLS_DATA) {
        peer_require(record.consumed >= 5 && record.consumed <= size);
        *consumed = record.consumed;
    }
    free(copy);
    return status;
}

/* Opens the stream as it arrives, step bytes at a time; stops where nothing more is opened. */
static void run(const struct stream *stream, size_t step, const struct tls_keys *keys,
                struct outcome *outcome)
{
    enum tls_status status = TLS_MORE;
    struct peer peer;
    size_t start = 0;
    size_t arrived = 0;

    *outcome = (struct outcome){.hash = UINT64_C(0xcbf29ce484222325)};
    tls_state_init(&outcome->ours.state, keys);
    peer_init(&peer, keys);
    while (status == TLS_DATA || (status == TLS_MORE && arrived < stream->size)) {
        size_t consumed = 0;

        if (status == TLS_MORE) {
            arrived = arrived + step < stream->size ? arrived + step : stream->size;
        }
        status = open_one(outcome, stream->bytes + start, arrived - start, &consumed);
        start += consumed;
        answer(outcome, &peer);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[STREAM_SIZE_MAX + PEER_RECORD_SIZE_MAX];
    static struct outcome whole;
    static struct outcome cut;
    struct script script = {.bytes = data, .size = size};
    struct stream stream = {.bytes = bytes};
    struct peer peer;

    size_t step = next(&script) * (size_t)7 + 1;
    uint8_t kind = next(&script);
    struct tls_keys keys =
        peer_make_keys((kind & 1) != 0 ? TLS_1_3 : TLS_1_2, (enum tls_suite)(kind / 4 % 3));
    keys.client = (kind & 2) != 0;
    peer_init(&peer, &keys);
    while (script.size > 0 && stream.size < STREAM_SIZE_MAX) {
        play(&script, &peer, &stream);
    }
    run(&stream, stream.size, &keys, &whole);
    /* A long stream is not cut too finely: it would take seconds. */
    run(&stream, step > stream.size / 256 ? step : stream.size / 256, &keys, &cut);
    peer_require(whole.hash == cut.hash);
    peer_require(memcmp(whole.ours.bytes, cut.ours.bytes, sizeof(whole.ours.bytes)) == 0);
    return 0;
}
