/*
 * Goal: every message of RFC 7692, section 7.2.3, is understood; what is broken, cut off or blown
 * up ends in its outcome, at both sides of the limit; what we compress keeps to our window and
 * comes back as it was.
 */
#define ZLIB_CONST /* input is const */
#include "ws/deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

#define SIZE_MAX_OF_MESSAGE 65536u

static struct deflater *deflater;

static int set_up(void **state)
{
    (void)state;
    deflater = deflate_open(1, SIZE_MAX_OF_MESSAGE);
    return deflater ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    deflate_close(deflater);
    deflate_close(NULL);
    return 0;
}

/* In a heap block of its own, so that a byte read beyond it is found. */
static enum inflate_outcome decode(const void *bytes, size_t size, struct slice *message)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    enum inflate_outcome outcome = deflate_decode(deflater, slice_from(copy, size), message);
    free(copy);
    return outcome;
}

#define VECTOR(bytes, text)                                                                        \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, text                                                             \
    }

static void the_examples_of_the_rfc(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *text;
    } vectors[] = {
        VECTOR("\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello"),                 /* 7.2.3.1 */
        VECTOR("\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello"),                 /* again */
        VECTOR("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"), /* 7.2.3.3 */
        VECTOR("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"),             /* 7.2.3.4 */
        VECTOR("\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello"),                 /* without its 00 */
        VECTOR("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"), /* 7.2.3.5 */
        VECTOR("\x00", ""),                                                      /* 7.2.3.6 */
        VECTOR("", ""),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct slice message;

        assert_int_equal(decode(vectors[i].bytes, vectors[i].size, &message), INFLATE_GOOD);
        assert_true(slice_equal(message, slice_text(vectors[i].text)));
    }
}

static void what_is_broken(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *why;
    } vectors[] = {
        VECTOR("\xf2\x00\x11\x00\x00", "7.2.3.2: reaches into the message before"),
        VECTOR("\xf2\x48\xcd\xc9\xc9\x07", "cut off"),
        VECTOR("\xf2\x48\xcd", "cut off inside a block"),
        VECTOR("\x00\x05\x00\xfa\xff\x48\x65\x6c", "cut off inside a stored block"),
        VECTOR("\x00\x05\x00\xfb\xff\x48\x65\x6c\x6c\x6f\x00", "LEN and NLEN"),
        VECTOR("\x07", "block type 3"),
        VECTOR("\xf3\x48\xcd\xc9\xc9\x07\x00\xff", "another stream, of nonsense"),
        VECTOR("\x78\x9c\xf3\x48\xcd\xc9\xc9\x07\x00\x05\x8c\x01\xf5", "with zlib's header"),
        VECTOR("\x1f\x8b\x08\x00\x00\x00\x00\x00", "gzip"),
        VECTOR("Hello", "not compressed at all"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct slice message;

        if (decode(vectors[i].bytes, vectors[i].size, &message) != INFLATE_BAD) {
            fail_msg("%s", vectors[i].why);
        }
        /* The next message does not suffer. */
        assert_int_equal(decode("\xf2\x48\xcd\xc9\xc9\x07\x00", 7, &message), INFLATE_GOOD);
    }
}

static void streams_in_one_message_are_bounded(void **state)
{
    uint8_t input[2 * 17];
    struct slice message;

    (void)state;
    for (size_t i = 0; i < sizeof(input); i += 2) {
        input[i] = 0x03; /* a final block of nothing */
        input[i + 1] = 0x00;
    }
    assert_int_equal(decode(input, sizeof(input) - 2, &message), INFLATE_GOOD);
    assert_int_equal(message.size, 0);
    assert_int_equal(decode(input, sizeof(input), &message), INFLATE_BAD);
}

/* What zlib makes of a message, for a client: stripped of its tail. */
static uint8_t *compress_as_client(struct slice message, int window_bits, size_t *size)
{
    z_stream stream = {0};
    size_t room = message.size + message.size / 8 + 64;
    uint8_t *out = malloc(room);

    assert_non_null(out);
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -window_bits, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
    stream.next_in = message.data;
    stream.avail_in = (uInt)message.size;
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
    *size = room - stream.avail_out - 4;
    (void)deflateEnd(&stream);
    return out;
}

static void bombs_at_both_sides_of_the_limit(void **state)
{
    static const struct {
        size_t size;
        enum inflate_outcome outcome;
    } cases[] = {
        {SIZE_MAX_OF_MESSAGE - 1, INFLATE_GOOD},
        {SIZE_MAX_OF_MESSAGE, INFLATE_GOOD},
        {SIZE_MAX_OF_MESSAGE + 1, INFLATE_TOO_BIG},
        {SIZE_MAX_OF_MESSAGE + 258, INFLATE_TOO_BIG},
        {64u << 20, INFLATE_TOO_BIG},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *zeros = calloc(1, cases[i].size);
        size_t size;
        struct slice message;

        assert_non_null(zeros);
        uint8_t *bomb = compress_as_client(slice_from(zeros, cases[i].size), 15, &size);
        assert_true(size < cases[i].size / 500); /* 1000 : 1, and a header */
        assert_int_equal(decode(bomb, size, &message), cases[i].outcome);
        assert_true(message.size <= SIZE_MAX_OF_MESSAGE + 1);
        if (cases[i].outcome == INFLATE_GOOD) {
            assert_true(slice_equal(message, slice_from(zeros, cases[i].size)));
        }
        free(bomb);
        free(zeros);
    }
}

/* Text that repeats itself near and far, and noise. */
static void fill(uint8_t *bytes, size_t size, bool is_noise)
{
    uint32_t dice = 12345;

    for (size_t i = 0; i < size; i++) {
        dice = dice * 1103515245u + 12345u;
        bytes[i] = is_noise ? (uint8_t)(dice >> 24) : (uint8_t)("abcdefgh"[(dice >> 28) & 7]);
        if (!is_noise && i >= 5000 && (dice >> 16) % 4 != 0) {
            bytes[i] = bytes[i - 5000]; /* farther than our window */
        }
    }
}

static void clients_may_use_any_window(void **state)
{
    uint8_t *bytes = malloc(SIZE_MAX_OF_MESSAGE);

    (void)state;
    assert_non_null(bytes);
    fill(bytes, SIZE_MAX_OF_MESSAGE, false);
    for (int window_bits = 9; window_bits <= 15; window_bits++) {
        size_t size;
        struct slice message;
        uint8_t *payload =
            compress_as_client(slice_from(bytes, SIZE_MAX_OF_MESSAGE), window_bits, &size);

        assert_int_equal(decode(payload, size, &message), INFLATE_GOOD);
        assert_true(slice_equal(message, slice_from(bytes, SIZE_MAX_OF_MESSAGE)));
        free(payload);
    }
    free(bytes);
}

/* Noise grows when it is compressed, but fits into what the wire may have. */
static void noise_of_the_largest_size(void **state)
{
    uint8_t *bytes = malloc(SIZE_MAX_OF_MESSAGE);
    struct slice payload;
    struct slice message;
    size_t size;

    (void)state;
    assert_non_null(bytes);
    fill(bytes, SIZE_MAX_OF_MESSAGE, true);
    uint8_t *stored = compress_as_client(slice_from(bytes, SIZE_MAX_OF_MESSAGE), 15, &size);
    assert_in_range(size, SIZE_MAX_OF_MESSAGE, deflate_wire_size_max(SIZE_MAX_OF_MESSAGE));
    assert_int_equal(decode(stored, size, &message), INFLATE_GOOD);
    assert_int_equal(message.size, SIZE_MAX_OF_MESSAGE);
    assert_false(deflate_encode(deflater, slice_from(bytes, SIZE_MAX_OF_MESSAGE), &payload));
    assert_false(deflate_encode(deflater, slice_from(bytes, 100), &payload));
    free(stored);
    free(bytes);
}

/* A client's inflater, with the window that the answer names. */
static void expect_inflates(struct slice payload, struct slice message)
{
    z_stream stream = {0};
    uint8_t *in = malloc(payload.size + 4);
    uint8_t *out = malloc(message.size + 1);

    assert_non_null(in);
    assert_non_null(out);
    memcpy(in, payload.data, payload.size);
    memcpy(in + payload.size, "\x00\x00\xff\xff", 4);
    assert_int_equal(inflateInit2(&stream, -DEFLATE_WINDOW_BITS), Z_OK);
    stream.next_in = in;
    stream.avail_in = (uInt)payload.size + 4;
    stream.next_out = out;
    stream.avail_out = (uInt)message.size + 1;
    /* In small steps: so that its window is what it reads from, and not what it has written. */
    while (stream.avail_in > 0) {
        uInt left = stream.avail_out;
        stream.avail_out = left < 64 ? left : 64;
        uInt step = stream.avail_out;
        assert_int_equal(inflate(&stream, Z_NO_FLUSH), Z_OK);
        stream.avail_out = left - (step - stream.avail_out);
    }
    assert_int_equal(stream.avail_out, 1);
    assert_memory_equal(out, message.data, message.size);
    (void)inflateEnd(&stream);
    free(in);
    free(out);
}

static void what_we_send_comes_back(void **state)
{
    static const size_t sizes[] = {1,    5,    64,   255,   256,   1000,  4095,
                                   4096, 4097, 5001, 16384, 65535, 65536, 200000};
    uint8_t *bytes = malloc(200000);
    struct slice payload;
    struct slice again;

    (void)state;
    assert_non_null(bytes);
    for (int repeats = 0; repeats < 2; repeats++) {
        fill(bytes, 200000, false);
        if (repeats) {
            memset(bytes, 'x', 200000);
        }
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct slice message = slice_from(bytes, sizes[i]);

            bool is_smaller = deflate_encode(deflater, message, &payload);
            assert_true(is_smaller || sizes[i] <= 5 || sizes[i] > SIZE_MAX_OF_MESSAGE);
            if (!is_smaller) {
                continue;
            }
            assert_true(payload.size < message.size);
            expect_inflates(payload, message);
            if (sizes[i] <= SIZE_MAX_OF_MESSAGE) {
                assert_int_equal(deflate_decode(deflater, payload, &again), INFLATE_GOOD);
                assert_true(slice_equal(again, message));
                /* A decoded message may be encoded: as when it is published. */
                assert_true(deflate_encode(deflater, again, &payload));
                assert_int_equal(deflate_decode(deflater, payload, &again), INFLATE_GOOD);
                assert_true(slice_equal(again, message));
            }
        }
    }
    assert_false(deflate_encode(deflater, slice_from(NULL, 0), &payload));
    free(bytes);
}

/* Without context takeover the same message always gives the same bytes. */
static void nothing_is_taken_over(void **state)
{
    uint8_t bytes[600];
    uint8_t first[600];
    struct slice payload;

    (void)state;
    fill(bytes, sizeof(bytes), false);
    assert_true(deflate_encode(deflater, slice_from(bytes, sizeof(bytes)), &payload));
    size_t size = payload.size;
    memcpy(first, payload.data, size);
    assert_true(deflate_encode(deflater, slice_from(bytes, sizeof(bytes)), &payload));
    assert_int_equal(payload.size, size);
    assert_memory_equal(payload.data, first, size);
}

static void every_level_and_the_smallest_limit(void **state)
{
    (void)state;
    for (int level = 1; level <= 9; level++) {
        struct deflater *other = deflate_open(level, 125);
        uint8_t bytes[126] = {0};
        struct slice payload;
        struct slice message;

        assert_non_null(other);
        assert_true(deflate_encode(other, slice_from(bytes, 125), &payload));
        assert_int_equal(deflate_decode(other, payload, &message), INFLATE_GOOD);
        assert_int_equal(message.size, 125);
        /* What is published by others may be larger than what clients may send. */
        assert_true(deflate_encode(other, slice_from(bytes, 126), &payload));
        assert_int_equal(deflate_decode(other, payload, &message), INFLATE_TOO_BIG);
        deflate_close(other);
    }
    assert_in_range(deflate_memory_size(SIZE_MAX_OF_MESSAGE), 2 * SIZE_MAX_OF_MESSAGE,
                    2 * SIZE_MAX_OF_MESSAGE + 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc),
        cmocka_unit_test(what_is_broken),
        cmocka_unit_test(streams_in_one_message_are_bounded),
        cmocka_unit_test(bombs_at_both_sides_of_the_limit),
        cmocka_unit_test(clients_may_use_any_window),
        cmocka_unit_test(noise_of_the_largest_size),
        cmocka_unit_test(what_we_send_comes_back),
        cmocka_unit_test(nothing_is_taken_over),
        cmocka_unit_test(every_level_and_the_smallest_limit),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
