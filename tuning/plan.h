/*
 * plan.h - the table of settings against one host and one target: what is, what is wanted, and
 * whether that will do.
 */
#pragma once

#include "tuning/bounds.h"
#include "tuning/change.h"
#include "tuning/reading.h"

#define FINDINGS_MAX 128

enum verdict {
    VERDICT_OK,
    VERDICT_LOW,     /* less than the target needs, or not as it should be */
    VERDICT_RISKY,   /* works, until the day when it matters */
    VERDICT_ABSENT,  /* there is nothing to set: other kernel, no such module, no server */
    VERDICT_SEEN,    /* of counters: it happened since the host was started */
    VERDICT_UNKNOWN, /* could not be read */
};

struct finding {
    const struct setting *setting;
    enum verdict verdict;
    struct reading now;
    struct want want;
    uint64_t numbers[WANT_NUMBERS_MAX]; /* to write: want, but what is better already stays */
};

struct plan {
    struct target target;
    struct machine machine;
    struct finding findings[FINDINGS_MAX];
    uint32_t count;
    struct bounds bounds;
};

/* One setting by itself. */
void finding_make(struct finding *finding, const struct setting *setting,
                  const struct machine *machine, const struct target *target);

/* Reads the host. The plan borrows nothing of the target; the machine's root. */
void plan_make(struct plan *plan, const struct machine *machine, const struct target *target);

/*
 * What `apply` is to write: sysctls, limits of the unit and of login shells that are not as wanted.
 * A key that is right already is left out, also when an earlier apply made it so; one that the host
 * does not have, too. Returns the count; more than max is our bug.
 */
MUST_CHECK uint32_t plan_changes(const struct plan *plan, struct change *changes, uint32_t max);

/* Adds the sysctls that are right, wanted as they are: apply finds out whether they will be so at
 * the next boot. Returns the new count. */
MUST_CHECK uint32_t plan_holding(const struct plan *plan, struct change *changes, uint32_t count,
                                 uint32_t max);

/* What it is to be: "8192", "infinity", "madvise"; "" when nothing is wanted. for_people: "25 s".
 */
void plan_wanted(const struct finding *finding, bool for_people, char *out, size_t size);

/* What it is, for people; when it could not be read, why. */
void plan_now(const struct finding *finding, char *out, size_t size);

MUST_CHECK const char *verdict_text(enum verdict verdict);

/* True when something has to be done for it. */
MUST_CHECK bool verdict_is_bad(enum verdict verdict);
