#include "dice.h"

static uint64_t state;

void dice_seed(uint64_t seed)
{
    state = seed;
}

/* Vigna's splitmix64. */
uint32_t dice_roll(uint32_t sides)
{
    state += 0x9e3779b97f4a7c15;

    uint64_t mixed = state;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return (uint32_t)((mixed ^ mixed >> 31) >> 32) % sides;
}

uint32_t dice_roll_bits(uint32_t bits_max)
{
    return dice_roll(1U << dice_roll(bits_max + 1));
}
