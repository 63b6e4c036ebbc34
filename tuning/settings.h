/*
 * settings.h - the one table of all that a host can be set to: how to read it, how much is wanted
 * and why, what it costs, what can go wrong. Plan, check, apply, the profiles and the server's own
 * check at its start all walk this table. It is in four parts, settings_*.c, each entry below its
 * formula; a new setting is one entry.
 *
 * Pure: no reading, no writing.
 */
#pragma once

#include "tuning/target.h"

#define WANT_NUMBERS_MAX 3
#define WANT_INFINITE    UINT64_MAX /* "infinity", "max", "unlimited" */

enum setting_kind {
    SETTING_SYSCTL, /* in /proc/sys; apply writes it */
    SETTING_UNIT,   /* a limit of the service's unit; apply writes it */
    SETTING_LOGIN,  /* a limit of login shells; apply writes it */
    SETTING_BOOT,   /* a word of the kernel's command line */
    SETTING_OPTION, /* of the server's options */
    SETTING_ADVICE, /* done by hand: interface, firewall, provider */
    SETTING_LEAVE,  /* on every list, of no use here: no change needed */
};

/* How its value is found. */
enum setting_source {
    SOURCE_SYSCTL,     /* place, or else the key: a sysctl */
    SOURCE_FILE,       /* place: a file; of "a [b] c" the word in brackets holds */
    SOURCE_LIMIT,      /* place: a line of /proc/PID/limits of the server, soft */
    SOURCE_CGROUP,     /* place: a file of the server's cgroup */
    SOURCE_OWN_NOFILE, /* of this shell */
    SOURCE_BACKLOG,    /* this and the next two: the server's options */
    SOURCE_PING_INTERVAL,
    SOURCE_USER_TIMEOUT,
    SOURCE_QUEUES, /* of the interface */
    SOURCE_RPS,    /* this and the next of the interface's first queue: "0" or the mask */
    SOURCE_XPS,
    SOURCE_INTERRUPTS, /* CPUs that take the interface's interrupts */
    SOURCE_IRQBALANCE, /* "running" or "not running" */
    SOURCE_NOTHING,    /* cannot be read here */
};

enum setting_effect {
    EFFECT_NOW,
    EFFECT_NEW_SOCKETS, /* those that are open keep theirs */
    EFFECT_LOGIN,       /* the next one */
    EFFECT_RESTART,     /* of the server */
    EFFECT_REBOOT,
};

enum setting_group {
    GROUP_FILES,
    GROUP_ACCEPT,
    GROUP_MEMORY,
    GROUP_NETWORK,
    GROUP_COUNT
};

enum setting_flag {
    SETTING_SERVER = 1, /* matters on a host that takes connections */
    SETTING_LOAD = 2,   /* matters on a host that opens them */
    SETTING_BOTH = 3,
    SETTING_PROFILE = 4,   /* stands in the shipped profiles when the formula wants it */
    SETTING_AT_START = 8,  /* the server looks at it when it starts */
    SETTING_OPTIONAL = 16, /* some kernels, or hosts without a module, do not have it */
    SETTING_RISKY = 32,    /* what is not as wanted is risky, not low */
};

/* What a formula says. No numbers and no text: as it is. */
struct want {
    uint64_t numbers[WANT_NUMBERS_MAX];
    uint32_t count;
    uint64_t enough;  /* less than the number to write, but it will do; 0: only that number will */
    const char *text; /* of settings that are words; borrowed, static */
    char why[256];    /* one sentence with the target's own numbers */
    char cost[160];   /* "": the setting's */
};

struct setting {
    const char *key;
    enum setting_kind kind;
    enum setting_source source;
    const char *place; /* see source; NULL: the key */
    /* How each number is held against its wanted one: '>' at least, '<' at most, '=' equal, '.'
     * never looked at. "": words, which must be equal. */
    const char *compare;
    const char *unit;
    enum setting_effect effect;
    enum setting_group group;
    unsigned flags;                                                  /* enum setting_flag */
    void (*formula)(const struct target *target, struct want *want); /* NULL: why holds */
    const char *why; /* instead of a formula: wants nothing, and says why */
    /* Numbers that are enough, and yet ask for trouble. NULL: none do. */
    bool (*is_risky)(const struct target *target, const uint64_t *numbers);
    uint64_t profile_above; /* a profile leaves it out when the first number is not above this */
    const char *standard;   /* what the kernel or systemd starts with */
    const char *cost;
    const char *risk; /* what happens when it is too high or too low, and where that is seen */
};

/* NULL past the last. */
MUST_CHECK const struct setting *setting_at(size_t index);
MUST_CHECK const struct setting *setting_find(const char *key);

/* What the setting's formula says of the target. */
void setting_want(const struct setting *setting, const struct target *target, struct want *want);

/* "restart limpet", "reboot", ...: what it takes after the change. */
MUST_CHECK const char *setting_effect_text(enum setting_effect effect);
MUST_CHECK const char *setting_kind_text(enum setting_kind kind);
