/*
 * wheel.c - the timer wheel against a binary heap with a place for every number.
 *
 * The load is a shard's: COUNT connections, each with a deadline 12.5 to 25 s ahead that is set
 * again when it expires; and for each that expires, four others are moved, as received bytes move
 * them.
 *
 * Prints the mean of an operation, and of a second run, in which every call is timed, the longest
 * call: what a tick may have to wait for. All of it is processor time of this thread.
 *
 *   usage: wheel [COUNT]        (default 1000000)
 */
#include "base/wheel.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define INTERVAL_MS 25000
#define MOVES       4
#define STEP_MS     1
#define RUN_MS      60000

static uint64_t random_state = 1;

static uint64_t clock_ns(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint32_t roll(uint32_t sides)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;
    return (uint32_t)((random_state >> 32) * sides >> 32);
}

/* --- the heap --------------------------------------------------------------------------------- */

struct heap {
    uint64_t *deadlines; /* by number */
    uint32_t *numbers;   /* the earliest first */
    uint32_t *places;    /* by number; NONE: not set */
    uint32_t count;
};

static void heap_put(struct heap *heap, uint32_t place, uint32_t number)
{
    heap->numbers[place] = number;
    heap->places[number] = place;
}

static void heap_rise(struct heap *heap, uint32_t place)
{
    uint32_t number = heap->numbers[place];

    while (place > 0) {
        uint32_t above = (place - 1) / 2;
        if (heap->deadlines[heap->numbers[above]] <= heap->deadlines[number]) {
            break;
        }
        heap_put(heap, place, heap->numbers[above]);
        place = above;
    }
    heap_put(heap, place, number);
}

static void heap_sink(struct heap *heap, uint32_t place)
{
    uint32_t number = heap->numbers[place];

    for (;;) {
        uint32_t below = 2 * place + 1;
        if (below >= heap->count) {
            break;
        }
        if (below + 1 < heap->count &&
            heap->deadlines[heap->numbers[below + 1]] < heap->deadlines[heap->numbers[below]]) {
            below++;
        }
        if (heap->deadlines[number] <= heap->deadlines[heap->numbers[below]]) {
            break;
        }
        heap_put(heap, place, heap->numbers[below]);
        place = below;
    }
    heap_put(heap, place, number);
}

static void heap_set(struct heap *heap, uint32_t number, uint64_t deadline_ms)
{
    if (heap->places[number] == NONE) {
        heap_put(heap, heap->count++, number);
    }
    heap->deadlines[number] = deadline_ms;
    heap_rise(heap, heap->places[number]);
    heap_sink(heap, heap->places[number]);
}

static uint32_t heap_expire(struct heap *heap, uint64_t now_ms)
{
    if (heap->count == 0 || heap->deadlines[heap->numbers[0]] > now_ms) {
        return NONE;
    }
    uint32_t number = heap->numbers[0];
    heap->places[number] = NONE;
    heap->count--;
    if (heap->count > 0) {
        heap_put(heap, 0, heap->numbers[heap->count]);
        heap_sink(heap, 0);
    }
    return number;
}

static int heap_open(struct heap *heap, uint32_t count_max)
{
    heap->deadlines = calloc(count_max, sizeof(*heap->deadlines));
    heap->numbers = calloc(count_max, sizeof(*heap->numbers));
    heap->places = calloc(count_max, sizeof(*heap->places));
    if (heap->deadlines == NULL || heap->numbers == NULL || heap->places == NULL) {
        return -1;
    }
    memset(heap->places, 0xff, count_max * sizeof(*heap->places));
    return 0;
}

/* --- the run ---------------------------------------------------------------------------------- */

struct result {
    bool timed; /* every call */
    uint64_t operations;
    uint64_t ns;
    uint64_t longest_ns;
};

static struct wheel wheel;
static struct heap heap;

static void set(bool is_heap, uint32_t number, uint64_t deadline_ms)
{
    if (is_heap) {
        heap_set(&heap, number, deadline_ms);
    } else {
        wheel_set(&wheel, number, deadline_ms);
    }
}

static uint32_t expire(bool is_heap, uint64_t now_ms, struct result *result)
{
    uint64_t start = result->timed ? clock_ns() : 0;
    uint32_t number = is_heap ? heap_expire(&heap, now_ms) : wheel_expire(&wheel, now_ms);

    if (result->timed) {
        uint64_t ns = clock_ns() - start;
        result->longest_ns = ns > result->longest_ns ? ns : result->longest_ns;
    }
    return number;
}

static struct result run(bool is_heap, bool timed, uint32_t count)
{
    struct result result = {.timed = timed};
    uint64_t first_ms = timed ? RUN_MS : 0; /* the clock does not go back */

    for (uint32_t number = 0; number < count; number++) {
        set(is_heap, number, first_ms + INTERVAL_MS / 2 + roll(INTERVAL_MS / 2));
    }
    uint64_t start = clock_ns();
    for (uint64_t now_ms = first_ms; now_ms < first_ms + RUN_MS; now_ms += STEP_MS) {
        uint32_t number = expire(is_heap, now_ms, &result);
        while (number != NONE) {
            set(is_heap, number, now_ms + INTERVAL_MS / 2 + roll(INTERVAL_MS / 2));
            for (uint32_t i = 0; i < MOVES; i++) {
                set(is_heap, roll(count), now_ms + INTERVAL_MS / 2 + roll(INTERVAL_MS / 2));
            }
            result.operations += 2 + MOVES;
            number = expire(is_heap, now_ms, &result);
        }
    }
    result.ns = clock_ns() - start;
    return result;
}

static void compare(const char *name, bool is_heap, uint32_t count)
{
    struct result mean = run(is_heap, false, count);
    struct result longest = run(is_heap, true, count);

    (void)printf("%-6s %9lu operations %6.0f ns each, longest call %8.1f us\n", name,
                 (unsigned long)mean.operations, (double)mean.ns / (double)mean.operations,
                 (double)longest.longest_ns / 1000);
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;

    if (count == 0 || count > 100000000 || wheel_open(&wheel, (uint32_t)count, 0) != 0 ||
        heap_open(&heap, (uint32_t)count) != 0) {
        (void)fprintf(stderr, "usage: wheel [COUNT]; or there is no memory for so many\n");
        return 1;
    }
    compare("wheel", false, (uint32_t)count);
    compare("heap", true, (uint32_t)count);
    return 0;
}
