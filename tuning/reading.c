#include "tuning/reading.h"

#include "base/text.h"
#include "tuning/interrupts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static void say(struct reading *reading, enum host_reading outcome, const char *text)
{
    reading->outcome = outcome;
    (void)snprintf(reading->text, sizeof(reading->text), "%s", text);
}

static void take_number(struct reading *reading, uint64_t number)
{
    reading->outcome = HOST_READ;
    reading->numbers[0] = number;
    reading->count = 1;
    reading_format(reading->numbers, 1, NULL, reading->text, sizeof(reading->text));
}

/* Numbers with blanks between; false when something else stands there. */
static bool parse_numbers(struct reading *reading, bool may_be_negative)
{
    const char *at = reading->text;

    while (*at != '\0') {
        char *end = NULL;
        errno = 0;
        /* tcp_ehash_entries of a network namespace that shares the host's table is negative. */
        at += *at == '-' && may_be_negative ? 1 : 0;
        unsigned long long number = strtoull(at, &end, 10);
        if (*at < '0' || *at > '9' || (*end != '\0' && *end != ' ') || errno == ERANGE ||
            reading->count == WANT_NUMBERS_MAX) {
            return false;
        }
        reading->numbers[reading->count++] = number;
        at = *end == ' ' ? end + 1 : end;
    }
    return reading->count > 0;
}

static void parse_value(const struct setting *setting, struct reading *reading)
{
    char text[HOST_TEXT_MAX];

    if (reading->outcome == HOST_ABSENT) {
        say(reading, HOST_ABSENT, "absent");
        return;
    }
    if (reading->outcome == HOST_UNREADABLE) {
        say(reading, HOST_UNREADABLE, "cannot be read: permission, or an error");
        return;
    }
    const bool is_endless =
        strcmp(reading->text, "max") == 0 || strcmp(reading->text, "unlimited") == 0;
    if (is_endless && strlen(setting->compare) <= 1) { /* a vector has no such word */
        take_number(reading, WANT_INFINITE);
        return;
    }
    if (setting->compare[0] == '\0') {
        return;
    }
    if (!parse_numbers(reading, setting->kind == SETTING_BOOT) ||
        reading->count != strlen(setting->compare)) {
        (void)snprintf(text, sizeof(text), "'%.40s' is not %s", reading->text,
                       strlen(setting->compare) == 1   ? "a number"
                       : strlen(setting->compare) == 2 ? "two numbers"
                                                       : "three numbers");
        say(reading, HOST_UNREADABLE, text);
    }
}

/* Of "always [madvise] never" the word in brackets. */
static void take_bracketed(struct reading *reading)
{
    char *from = strchr(reading->text, '[');
    char *to = from ? strchr(from, ']') : NULL;

    if (to) {
        *to = '\0';
        memmove(reading->text, from + 1, (size_t)(to - from));
    }
}

/* "Max open files            1024                 524288               files": the soft one. */
static void take_limit(const struct setting *setting, const struct machine *machine,
                       struct reading *reading)
{
    char path[64];
    char full[HOST_PATH_MAX];
    char line[256];
    const size_t name_size = strlen(setting->place);

    (void)snprintf(path, sizeof(path), "/proc/%d/limits", (int)machine->pid);
    FILE *file = host_path(machine->root, path, full) ? fopen(full, "re") : NULL;
    reading->outcome = file || errno != ENOENT ? HOST_UNREADABLE : HOST_ABSENT;
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, setting->place, name_size) == 0 &&
            sscanf(line + name_size, " %30s", reading->text) == 1) {
            reading->outcome = HOST_READ;
            break;
        }
    }
    if (file) {
        (void)fclose(file);
    }
}

static void take_own_limit(int resource, struct reading *reading)
{
    struct rlimit limit;

    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0) {
        say(reading, HOST_UNREADABLE, strerrordesc_np(errno));
        return;
    }
    take_number(reading, limit.rlim_cur == RLIM_INFINITY ? WANT_INFINITE : limit.rlim_cur);
}

static void take_cgroup(const struct setting *setting, const struct machine *machine,
                        struct reading *reading)
{
    char path[HOST_PATH_MAX];
    int size = snprintf(path, sizeof(path), "/sys/fs/cgroup%s/%s", machine->cgroup, setting->place);

    if (size < 0 || (size_t)size >= sizeof(path)) {
        reading->outcome = HOST_UNREADABLE;
        return;
    }
    reading->outcome = host_read_text(machine->root, path, reading->text);
}

/* file: below the interface's queues. */
static void take_steering(const struct machine *machine, const char *file, struct reading *reading)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "/sys/class/net/%s/queues/%s", machine->nic, file);
    reading->outcome = host_read_text(machine->root, path, reading->text);
    if (reading->text[0] != '\0' && strspn(reading->text, "0,") == strlen(reading->text)) {
        say(reading, HOST_READ, "0");
    }
}

void reading_take(const struct setting *setting, const struct machine *machine,
                  const struct target *target, struct reading *reading)
{
    const bool needs_server = setting->source == SOURCE_LIMIT || setting->source == SOURCE_CGROUP;

    *reading = (struct reading){.outcome = HOST_ABSENT};
    if (needs_server && machine->pid == 0) {
        say(reading, HOST_ABSENT, "no server");
        return;
    }
    switch (setting->source) {
    case SOURCE_SYSCTL:
        reading->outcome = host_read_sysctl(
            machine->root, setting->place ? setting->place : setting->key, reading->text);
        break;
    case SOURCE_FILE:
        reading->outcome = host_read_text(machine->root, setting->place, reading->text);
        take_bracketed(reading);
        break;
    case SOURCE_LIMIT:
        take_limit(setting, machine, reading);
        break;
    case SOURCE_CGROUP:
        take_cgroup(setting, machine, reading);
        break;
    case SOURCE_OWN_NOFILE:
        take_own_limit(RLIMIT_NOFILE, reading);
        return;
    case SOURCE_BACKLOG:
        take_number(reading, target->options.listen_backlog);
        return;
    case SOURCE_PING_INTERVAL:
        take_number(reading, target->options.ping_interval_ms);
        return;
    case SOURCE_USER_TIMEOUT:
        take_number(reading, target->options.user_timeout_ms);
        return;
    case SOURCE_QUEUES:
        if (machine->rx_queues > 0) {
            take_number(reading, machine->rx_queues);
            return;
        }
        break;
    case SOURCE_INTERRUPTS: {
        const uint32_t cpus = interrupts_count_cpus(machine->root, machine->nic);
        if (cpus > 0) {
            take_number(reading, cpus);
            return;
        }
        break;
    }
    case SOURCE_RPS:
        take_steering(machine, "rx-0/rps_cpus", reading);
        break;
    case SOURCE_XPS:
        take_steering(machine, "tx-0/xps_cpus", reading);
        break;
    case SOURCE_IRQBALANCE:
        say(reading, HOST_READ,
            machine_find_process(machine->root, "irqbalance") ? "running" : "not running");
        return;
    case SOURCE_NOTHING:
        say(reading, HOST_ABSENT, "");
        return;
    }
    parse_value(setting, reading);
}

static void format_one(uint64_t number, const char *unit, char *out, size_t size)
{
    char bytes[TEXT_SIZE];

    if (number == WANT_INFINITE) {
        (void)snprintf(out, size, "infinity");
    } else if (unit && strcmp(unit, "ms") == 0 && number % 1000 == 0) {
        (void)snprintf(out, size, "%" PRIu64 " s", number / 1000);
    } else if (unit && strcmp(unit, "ms") == 0) {
        (void)snprintf(out, size, "%" PRIu64 " ms", number);
    } else if (unit && strcmp(unit, "bytes") == 0 && number >= 1024) {
        (void)text_bytes((double)number, bytes);
        (void)snprintf(out, size, "%s", bytes);
    } else {
        (void)snprintf(out, size, "%" PRIu64, number);
    }
}

void reading_format(const uint64_t *numbers, uint32_t count, const char *unit, char *out,
                    size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        char one[TEXT_SIZE];
        /* Three numbers stay as they are written: the middle one alone would not be known again. */
        format_one(numbers[i], count == 1 ? unit : NULL, one, sizeof(one));
        int more = snprintf(out + used, size - used, "%s%s", i > 0 ? " " : "", one);
        ASSERT(more > 0);
        used += (size_t)more;
        ASSERT(used < size);
    }
}
