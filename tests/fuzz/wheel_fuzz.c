/*
 * Goal: with any clock and any order of set, move, clear and take, the wheel tells what a plain
 * array of deadlines tells: nothing early, nothing forgotten, and never a sleep past a deadline.
 */
#include "base/wheel.h"

#define COUNT     32U
#define AHEAD_MAX (127ULL << 24) /* ticks: where the wheel clamps */

static struct wheel wheel;
static uint64_t deadlines[COUNT]; /* ticks, UINT64_MAX: not set */
static uint64_t now_ms;

struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t next_byte(struct input *input)
{
    if (input->size == 0) {
        return 0;
    }
    input->size--;
    return *input->data++;
}

/* Of every size: 8 bits shifted by up to 31. */
static uint64_t next_distance(struct input *input)
{
    uint64_t bits = next_byte(input);

    return bits << next_byte(input) % 32;
}

static uint64_t earliest(void)
{
    uint64_t tick = UINT64_MAX;

    for (uint32_t number = 0; number < COUNT; number++) {
        tick = deadlines[number] < tick ? deadlines[number] : tick;
    }
    return tick;
}

static void set(uint32_t number, uint64_t deadline_ms)
{
    uint64_t tick = (deadline_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;

    tick = tick < wheel.tick ? wheel.tick : tick;
    deadlines[number] = tick < wheel.tick + AHEAD_MAX ? tick : wheel.tick + AHEAD_MAX;
    wheel_set(&wheel, number, deadline_ms);
}

static void clear(uint32_t number)
{
    deadlines[number] = UINT64_MAX;
    wheel_clear(&wheel, number);
}

/* Takes up to count expired numbers; false when there are no more. */
static bool take(uint32_t count)
{
    while (count-- > 0) {
        uint32_t number = NONE;
        do {
            number = wheel_expire(&wheel, now_ms);
        } while (number == NONE && wheel_next_ms(&wheel, now_ms) == 0);
        if (number == NONE) {
            ASSERT(earliest() > now_ms / WHEEL_TICK_MS);
            return false;
        }
        ASSERT(deadlines[number] <= now_ms / WHEEL_TICK_MS);
        ASSERT(deadlines[number] == earliest()); /* in their order */
        ASSERT(!wheel_is_set(&wheel, number));
        deadlines[number] = UINT64_MAX;
    }
    return true;
}

static void check(void)
{
    uint64_t next_ms = wheel_next_ms(&wheel, now_ms);

    wheel_check(&wheel);
    if (earliest() == UINT64_MAX) {
        ASSERT(next_ms == UINT64_MAX);
    } else if (earliest() * WHEEL_TICK_MS <= now_ms) {
        ASSERT(next_ms == 0);
    } else {
        ASSERT(next_ms <= earliest() * WHEEL_TICK_MS - now_ms);
    }
    for (uint32_t number = 0; number < COUNT; number++) {
        ASSERT(wheel_is_set(&wheel, number) == (deadlines[number] != UINT64_MAX));
    }
}

static void step(struct input *input)
{
    uint8_t operation = next_byte(input);
    uint32_t number = operation % COUNT;

    switch (operation / COUNT) {
    case 0:
    case 1:
    case 2:
        set(number, now_ms + next_distance(input));
        break;
    case 3: {
        uint64_t back = next_distance(input);
        set(number, back < now_ms ? now_ms - back : 0);
        break;
    }
    case 4:
        clear(number);
        break;
    case 5:
        now_ms += next_distance(input);
        break;
    case 6:
        (void)take(number);
        break;
    default:
        now_ms += next_distance(input) % 1000;
        while (take(COUNT)) {
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.data = data, .size = size};

    /* Near the places where the kept part of the tick goes round, as well as anywhere else. */
    now_ms = (1ULL << next_byte(&input) % 40) * WHEEL_TICK_MS;
    now_ms -= next_byte(&input) % (now_ms + 1);
    memset(deadlines, 0xff, sizeof(deadlines));
    int result = wheel_open(&wheel, COUNT, now_ms);
    ASSERT(result == 0);
    while (input.size > 0) {
        step(&input);
        check();
    }
    wheel_close(&wheel);
    return 0;
}
