/*
 * Fuzzes the gate: bytes from a socket that may be a ClientHello. The first byte says how they are
 * cut; cut or not, the verdict is the same, and a whole hello, joined, reads as itself.
 */
#include "tls/gate.h"

#include <stdlib.h>

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Reads a copy of exactly this size, so that every step beyond it is seen. */
static enum hello_status read_exactly(const uint8_t *bytes, size_t size, struct hello *hello,
                                      uint8_t *joined)
{
    uint8_t *copy = malloc(size + 1);

    require(copy != NULL);
    memcpy(copy + 1, bytes, size); /* odd on purpose */
    enum hello_status status = hello_read(copy + 1, size, hello, joined);
    free(copy);
    return status;
}

static bool is_same(const struct hello *a, const struct hello *b)
{
    return slice_equal(slice_from(a, sizeof(*a)), slice_from(b, sizeof(*b)));
}

static void check_whole(const struct hello *hello, size_t size, const uint8_t *joined)
{
    struct hello again;

    require(hello->consumed <= size && hello->consumed <= HELLO_INPUT_MAX);
    require(hello->message_size <= HELLO_SIZE_MAX);
    require(strlen(hello->name) == hello->name_size);
    require(read_exactly(joined, 5 + hello->message_size, &again, NULL) == HELLO_WHOLE);
    require(again.consumed == 5 + hello->message_size);
    again.consumed = hello->consumed;
    require(is_same(&again, hello));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t joined[HELLO_SIZE_MAX + 5];
    struct hello whole;
    struct hello cut;

    if (size < 2) {
        return 0;
    }
    size_t step = data[0] + (size_t)1;
    const uint8_t *input = data + 1;
    size_t input_size = size - 1;
    enum hello_status verdict = read_exactly(input, input_size, &whole, joined);
    require(verdict != HELLO_MORE || input_size < HELLO_INPUT_MAX);
    if (verdict == HELLO_WHOLE) {
        check_whole(&whole, input_size, joined);
    }

    if (step < input_size / 256) {
        step = input_size / 256; /* or a long one would take seconds */
    }
    size_t arrived = 0;
    enum hello_status status = HELLO_MORE;
    while (status == HELLO_MORE && arrived < input_size) {
        arrived = arrived + step < input_size ? arrived + step : input_size;
        status = read_exactly(input, arrived, &cut, joined);
    }
    require(status == verdict);
    require(is_same(&cut, &whole));
    return 0;
}
