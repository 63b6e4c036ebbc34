/*
 * reading.h - what a setting is now: on the host, of the running server, in the server's options.
 */
#pragma once

#include "tuning/machine.h"
#include "tuning/settings.h"

struct reading {
    enum host_reading outcome;
    char text[HOST_TEXT_MAX]; /* as it stands there; when it could not be read, why */
    uint64_t numbers[WANT_NUMBERS_MAX];
    uint32_t count; /* 0: words */
};

void reading_take(const struct setting *setting, const struct machine *machine,
                  const struct target *target, struct reading *reading);

/* "4096 16384 4194304", "infinity"; of milliseconds for people: "25 s". */
void reading_format(const uint64_t *numbers, uint32_t count, const char *unit, char *out,
                    size_t size);
