#include "base/wheel.h"

#include "base/pool.h" /* POOL_CHUNK_ITEMS */

#include <errno.h>
#include <sys/mman.h>

/*
 * Where an entry stands follows from its deadline and the wheel's tick alone: the level is that of
 * the highest byte in which the two differ, the slot is that byte of the deadline. So the tick may
 * move freely up to the first slot that is not empty, and nothing has to be remembered about an
 * entry.
 *
 * Ticks are kept in 31 bits: bit 31 marks a set entry, and the top level goes round in 128 slots. A
 * deadline less than 127 of these slots ahead is never mistaken for one of the past.
 */
#define SET        0x80000000U
#define LEVEL_BITS 8
#define TOP        (WHEEL_LEVELS - 1)
#define TOP_SLOTS  128U
#define AHEAD_MAX  (127ULL << TOP * LEVEL_BITS)
#define FALL_MAX   256 /* entries that one call moves: 0.1 ms when all are out of the cache */

static_assert(WHEEL_SLOTS == 1 << LEVEL_BITS, "a slot is a byte of the tick");

struct place {
    uint32_t level;
    uint32_t slot;
};

/* deadline differs from the wheel's tick. */
static struct place place_of(const struct wheel *wheel, uint32_t deadline)
{
    uint32_t difference = (deadline ^ (uint32_t)wheel->tick) & ~SET;
    uint32_t level = (31 - (uint32_t)__builtin_clz(difference)) / LEVEL_BITS;
    uint32_t slot = (deadline & ~SET) >> level * LEVEL_BITS & (WHEEL_SLOTS - 1);

    return (struct place){.level = level, .slot = slot};
}

static bool is_due(const struct wheel *wheel, uint32_t deadline)
{
    return deadline == ((uint32_t)wheel->tick | SET);
}

static struct wheel_entry *entry_at(const struct wheel *wheel, uint32_t link)
{
    return &wheel->entries[link - 1];
}

static void push(const struct wheel *wheel, uint32_t *head, uint32_t link)
{
    struct wheel_entry *entry = entry_at(wheel, link);

    entry->previous = 0;
    entry->next = *head;
    if (entry->next != 0) {
        entry_at(wheel, entry->next)->previous = link;
    }
    *head = link;
}

/* Puts an entry, whose deadline is set, where it belongs now. */
static void place_entry(struct wheel *wheel, uint32_t link)
{
    uint32_t deadline = entry_at(wheel, link)->deadline;

    if (is_due(wheel, deadline)) {
        push(wheel, &wheel->expired_head, link);
        return;
    }
    struct place place = place_of(wheel, deadline);
    push(wheel, &wheel->heads[place.level][place.slot], link);
    wheel->occupied[place.level][place.slot / 64] |= 1ULL << place.slot % 64;
}

/* The first entry of a slot's list leaves: the bitmap follows. */
static void pop_slot(struct wheel *wheel, struct place place, uint32_t next)
{
    wheel->heads[place.level][place.slot] = next;
    if (next == 0) {
        wheel->occupied[place.level][place.slot / 64] &= ~(1ULL << place.slot % 64);
    }
}

static void unlink_entry(struct wheel *wheel, uint32_t link)
{
    struct wheel_entry *entry = entry_at(wheel, link);

    if (entry->next != 0) {
        entry_at(wheel, entry->next)->previous = entry->previous;
    }
    if (entry->previous != 0) {
        entry_at(wheel, entry->previous)->next = entry->next;
    } else if (wheel->expired_head == link) {
        wheel->expired_head = entry->next;
    } else if (wheel->falling_head == link) {
        wheel->falling_head = entry->next;
    } else {
        pop_slot(wheel, place_of(wheel, entry->deadline), entry->next);
    }
    *entry = (struct wheel_entry){0};
}

static size_t entries_size(uint32_t count_max)
{
    size_t chunks = ((size_t)count_max + POOL_CHUNK_ITEMS - 1) / POOL_CHUNK_ITEMS;

    return chunks * POOL_CHUNK_ITEMS * sizeof(struct wheel_entry);
}

int wheel_open(struct wheel *wheel, uint32_t count_max, uint64_t now_ms)
{
    *wheel = (struct wheel){.count_max = count_max, .tick = now_ms / WHEEL_TICK_MS};
    if (count_max == 0) {
        return -EINVAL;
    }
    void *memory = mmap(NULL, entries_size(count_max), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    wheel->entries = memory;
    return 0;
}

void wheel_close(struct wheel *wheel)
{
    if (wheel->entries == NULL) {
        return;
    }
    munmap(wheel->entries, entries_size(wheel->count_max));
    *wheel = (struct wheel){0};
}

void wheel_set(struct wheel *wheel, uint32_t number, uint64_t deadline_ms)
{
    ASSERT(number < wheel->count_max);
    wheel_clear(wheel, number);

    /* Rounded up, so that nothing is early; what is past or too far becomes now or the furthest. */
    uint64_t tick = deadline_ms / WHEEL_TICK_MS + (deadline_ms % WHEEL_TICK_MS != 0);
    if (tick < wheel->tick) {
        tick = wheel->tick;
    }
    if (tick - wheel->tick > AHEAD_MAX) {
        tick = wheel->tick + AHEAD_MAX;
    }
    wheel->entries[number].deadline = (uint32_t)tick | SET;
    place_entry(wheel, number + 1);
    wheel->count++;
}

void wheel_clear(struct wheel *wheel, uint32_t number)
{
    if (wheel_is_set(wheel, number)) {
        unlink_entry(wheel, number + 1);
        wheel->count--;
    }
}

bool wheel_is_set(const struct wheel *wheel, uint32_t number)
{
    ASSERT(number < wheel->count_max);
    return wheel->entries[number].deadline != 0;
}

/* The first slot from `slot` on that is not empty, or WHEEL_SLOTS. */
static uint32_t find_occupied(const uint64_t *occupied, uint32_t slot)
{
    uint64_t mask = ~0ULL << slot % 64;

    for (uint32_t word = slot / 64; word < WHEEL_SLOTS / 64; word++) {
        uint64_t found = occupied[word] & mask;
        if (found != 0) {
            return word * 64 + (uint32_t)__builtin_ctzll(found);
        }
        mask = ~0ULL;
    }
    return WHEEL_SLOTS;
}

/*
 * The first slot that the tick will come to. Below the top no occupied slot lies behind the tick,
 * so the first one found on the lowest level is the one.
 */
static struct place next_place(const struct wheel *wheel)
{
    struct place place = {0};

    for (; place.level < TOP; place.level++) {
        place.slot = find_occupied(wheel->occupied[place.level], 0);
        if (place.slot < WHEEL_SLOTS) {
            return place;
        }
    }
    uint32_t now = (uint32_t)(wheel->tick >> TOP * LEVEL_BITS) % TOP_SLOTS;
    place.slot = find_occupied(wheel->occupied[TOP], now);
    if (place.slot == WHEEL_SLOTS) {
        place.slot = find_occupied(wheel->occupied[TOP], 0);
    }
    return place;
}

/* The tick at which the slot begins. */
static uint64_t place_tick(const struct wheel *wheel, struct place place)
{
    uint32_t shift = place.level * LEVEL_BITS;
    uint64_t units = wheel->tick >> shift; /* its low byte is the tick's own slot on this level */
    uint32_t slots = place.level == TOP ? TOP_SLOTS : WHEEL_SLOTS;

    return (units + ((place.slot - (uint32_t)units) & (slots - 1))) << shift;
}

uint64_t wheel_next_ms(const struct wheel *wheel, uint64_t now_ms)
{
    if (wheel->count == 0) {
        return UINT64_MAX;
    }
    if (wheel->expired_head != 0 || wheel->falling_head != 0) {
        return 0;
    }
    uint64_t next_ms = place_tick(wheel, next_place(wheel)) * WHEEL_TICK_MS;
    return next_ms > now_ms ? next_ms - now_ms : 0;
}

/* Moves up to *budget entries of the falling list to where they belong. */
static void fall(struct wheel *wheel, uint32_t *budget)
{
    while (wheel->falling_head != 0 && *budget > 0) {
        uint32_t link = wheel->falling_head;
        uint32_t next = entry_at(wheel, link)->next;

        wheel->falling_head = next;
        if (next != 0) {
            entry_at(wheel, next)->previous = 0;
        }
        place_entry(wheel, link);
        (*budget)--;
    }
}

/* Moves the tick to the next slot that is not empty, but not beyond target. True when it was one.
 */
static bool advance(struct wheel *wheel, uint64_t target)
{
    if (wheel->tick >= target) {
        return false;
    }
    struct place place = next_place(wheel);
    uint64_t tick = wheel->count == 0 ? UINT64_MAX : place_tick(wheel, place);
    if (tick > target) {
        wheel->tick = target;
        return false;
    }

    uint32_t head = wheel->heads[place.level][place.slot];
    pop_slot(wheel, place, 0);
    wheel->tick = tick;
    if (place.level == 0) {
        wheel->expired_head = head; /* a slot of the lowest level is one tick: all of it is due */
    } else {
        wheel->falling_head = head;
    }
    return true;
}

/*
 * The tick stands still while anything is due or falling: so what is due has the tick for its
 * deadline, however late it is taken, and the order of deadlines is kept.
 */
uint32_t wheel_expire(struct wheel *wheel, uint64_t now_ms)
{
    uint32_t budget = FALL_MAX;

    while (wheel->expired_head == 0) {
        fall(wheel, &budget);
        if (wheel->falling_head != 0) {
            break;
        }
        if (wheel->expired_head == 0 && !advance(wheel, now_ms / WHEEL_TICK_MS)) {
            return NONE;
        }
    }
    uint32_t link = wheel->expired_head;
    if (link == 0) {
        return NONE;
    }
    unlink_entry(wheel, link);
    wheel->count--;
    return link - 1;
}

void wheel_trim(struct wheel *wheel, uint32_t first_number)
{
    ASSERT(first_number < wheel->count_max);
    ASSERT(first_number % POOL_CHUNK_ITEMS == 0);

    struct wheel_entry *entries = &wheel->entries[first_number];
    for (uint32_t i = 0; i < POOL_CHUNK_ITEMS; i++) {
        ASSERT(entries[i].deadline == 0);
    }
    /* When the system refuses, the memory stays: nothing else depends on it. */
    (void)madvise(entries, entries_size(POOL_CHUNK_ITEMS), MADV_DONTNEED);
}

/* Returns the length of a sound list. */
static uint32_t check_list(const struct wheel *wheel, uint32_t head)
{
    uint32_t count = 0;
    uint32_t previous = 0;

    for (uint32_t link = head; link != 0; link = entry_at(wheel, link)->next) {
        ASSERT(link <= wheel->count_max);
        ASSERT(entry_at(wheel, link)->previous == previous);
        ASSERT((entry_at(wheel, link)->deadline & SET) != 0);
        previous = link;
        count++;
    }
    return count;
}

static uint32_t check_slot(const struct wheel *wheel, uint32_t level, uint32_t slot)
{
    uint32_t head = wheel->heads[level][slot];
    bool occupied = (wheel->occupied[level][slot / 64] >> slot % 64 & 1) != 0;

    ASSERT(occupied == (head != 0));
    for (uint32_t link = head; link != 0; link = entry_at(wheel, link)->next) {
        ASSERT(!is_due(wheel, entry_at(wheel, link)->deadline));
        struct place place = place_of(wheel, entry_at(wheel, link)->deadline);
        ASSERT(place.level == level);
        ASSERT(place.slot == slot);
    }
    if (occupied && level < TOP) {
        uint64_t now = wheel->tick >> level * LEVEL_BITS & (WHEEL_SLOTS - 1);
        ASSERT(slot > now);
    }
    return check_list(wheel, head);
}

void wheel_check(const struct wheel *wheel)
{
    uint32_t listed = check_list(wheel, wheel->expired_head);
    uint32_t set = 0;

    for (uint32_t link = wheel->expired_head; link != 0; link = entry_at(wheel, link)->next) {
        ASSERT(is_due(wheel, entry_at(wheel, link)->deadline));
    }
    listed += check_list(wheel, wheel->falling_head);
    for (uint32_t level = 0; level < WHEEL_LEVELS; level++) {
        for (uint32_t slot = 0; slot < WHEEL_SLOTS; slot++) {
            listed += check_slot(wheel, level, slot);
        }
    }
    for (uint32_t number = 0; number < wheel->count_max; number++) {
        set += wheel_is_set(wheel, number);
    }
    ASSERT(listed == wheel->count);
    ASSERT(set == wheel->count);
}
