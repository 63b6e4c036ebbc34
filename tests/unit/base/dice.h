/*
 * dice.h - the same random numbers in every run, for tests against a model.
 */
#pragma once

#include <stdint.h>

void dice_seed(uint64_t seed);

/* In [0, sides), sides > 0. */
uint32_t dice_roll(uint32_t sides);

/* Of every size: below a random power of two, at most 2^bits_max. */
uint32_t dice_roll_bits(uint32_t bits_max);
