/*
 * Goal: whatever is taken and given in whatever order, blocks do not overlap, a free place that
 * fits is found, and all of it is whole again at the end. The model is a map of who owns each unit.
 */
#include "base/arena.h"

#define ARENA_SIZE 16384U
#define UNITS      (ARENA_SIZE / ARENA_BLOCK_MIN)
#define SLOTS      64U

static struct arena arena;
static uint32_t blocks[SLOTS]; /* NONE: nothing taken */
static uint8_t owner[UNITS];   /* slot + 1, or 0 */
static size_t used;

static uint32_t units_for(size_t size)
{
    uint32_t units = 1;

    while ((size_t)units * ARENA_BLOCK_MIN < size) {
        units *= 2;
    }
    return units;
}

static bool is_free(uint32_t first, uint32_t units)
{
    for (uint32_t unit = first; unit < first + units; unit++) {
        if (owner[unit] != 0) {
            return false;
        }
    }
    return true;
}

static bool has_room(uint32_t units)
{
    for (uint32_t first = 0; first + units <= UNITS; first += units) {
        if (is_free(first, units)) {
            return true;
        }
    }
    return false;
}

static void take(uint32_t slot, size_t size)
{
    uint32_t units = units_for(size);
    bool room = has_room(units);

    blocks[slot] = arena_take(&arena, size);
    ASSERT((blocks[slot] != NONE) == room);
    if (!room) {
        return;
    }
    ASSERT(blocks[slot] % units == 0);
    ASSERT(blocks[slot] + units <= UNITS);
    ASSERT(is_free(blocks[slot], units));
    ASSERT(arena_block_size(&arena, blocks[slot]) == (size_t)units * ARENA_BLOCK_MIN);
    memset(&owner[blocks[slot]], (int)slot + 1, units);
    memset(arena_at(&arena, blocks[slot]), (int)slot + 1, (size_t)units * ARENA_BLOCK_MIN);
    used += (size_t)units * ARENA_BLOCK_MIN;
}

/* The bytes are as they were written: neither another block nor a list went through them. */
static void give(uint32_t slot)
{
    size_t size = arena_block_size(&arena, blocks[slot]);
    const uint8_t *bytes = arena_at(&arena, blocks[slot]);

    for (size_t i = 0; i < size; i++) {
        ASSERT(bytes[i] == slot + 1);
    }
    memset(&owner[blocks[slot]], 0, size / ARENA_BLOCK_MIN);
    arena_give(&arena, blocks[slot]);
    blocks[slot] = NONE;
    used -= size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int result = arena_open(&arena, ARENA_SIZE);

    ASSERT(result == 0);
    memset(blocks, 0xff, sizeof(blocks));
    memset(owner, 0, sizeof(owner));
    used = 0;
    for (size_t at = 0; at + 2 <= size; at += 2) {
        uint32_t slot = data[at] % SLOTS;
        if (data[at] >= 0xf8) {
            arena_trim(&arena);
        } else if (blocks[slot] != NONE) {
            give(slot);
        } else {
            take(slot, ((size_t)(data[at + 1] & 63) + 1) << data[at + 1] / 64 * 3);
        }
        ASSERT(arena.used == used);
        arena_check(&arena);
    }
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        if (blocks[slot] != NONE) {
            give(slot);
        }
    }
    arena_check(&arena);
    take(0, ARENA_SIZE); /* all merged */
    arena_close(&arena);
    return 0;
}
