#include "tuning/settings_parts.h"

#include <stdarg.h>

PRINTF_LIKE(2, 0)
static void write_why(struct want *want, const char *format, va_list arguments)
{
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the analyser does not see va_start. */
    int size = vsnprintf(want->why, sizeof(want->why), format, arguments);

    ASSERT(size > 0);
    ASSERT((size_t)size < sizeof(want->why));
}

void want_number(struct want *want, uint64_t number, const char *format, ...)
{
    va_list arguments;

    ASSERT(want->count == 0);
    want->numbers[want->count++] = number;
    va_start(arguments, format);
    write_why(want, format, arguments);
    va_end(arguments);
}

void want_more(struct want *want, uint64_t number)
{
    ASSERT(want->count > 0);
    ASSERT(want->count < WANT_NUMBERS_MAX);
    want->numbers[want->count++] = number;
}

void want_text(struct want *want, const char *text, const char *format, ...)
{
    va_list arguments;

    want->text = text;
    va_start(arguments, format);
    write_why(want, format, arguments);
    va_end(arguments);
}

void want_nothing(struct want *want, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_why(want, format, arguments);
    va_end(arguments);
}

void want_cost(struct want *want, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the analyser does not see va_start. */
    (void)vsnprintf(want->cost, sizeof(want->cost), format, arguments);
    va_end(arguments);
}

const struct setting *setting_at(size_t index)
{
    const struct {
        const struct setting *rows;
        size_t count;
    } parts[] = {
        {settings_files, settings_files_count},
        {settings_accept, settings_accept_count},
        {settings_memory, settings_memory_count},
        {settings_network, settings_network_count},
    };

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (index < parts[i].count) {
            return &parts[i].rows[index];
        }
        index -= parts[i].count;
    }
    return NULL;
}

const struct setting *setting_find(const char *key)
{
    const struct setting *setting;

    for (size_t i = 0; (setting = setting_at(i)) != NULL; i++) {
        if (strcmp(setting->key, key) == 0) {
            return setting;
        }
    }
    return NULL;
}

void setting_want(const struct setting *setting, const struct target *target, struct want *want)
{
    *want = (struct want){0};
    if (setting->formula) {
        setting->formula(target, want);
    } else {
        want_nothing(want, "%s", setting->why);
    }
    if (want->cost[0] == '\0' && setting->cost) {
        want_cost(want, "%s", setting->cost);
    }
    ASSERT(want->why[0] != '\0');
}

const char *setting_effect_text(enum setting_effect effect)
{
    switch (effect) {
    case EFFECT_NOW:
        return "at once";
    case EFFECT_NEW_SOCKETS:
        return "for new connections";
    case EFFECT_LOGIN:
        return "next login";
    case EFFECT_RESTART:
        return "restart of limpet";
    case EFFECT_REBOOT:
        return "reboot";
    }
    return "";
}

const char *setting_kind_text(enum setting_kind kind)
{
    switch (kind) {
    case SETTING_SYSCTL:
        return "sysctl";
    case SETTING_UNIT:
        return "unit";
    case SETTING_LOGIN:
        return "login limit";
    case SETTING_BOOT:
        return "kernel command line";
    case SETTING_OPTION:
        return "option of limpet";
    case SETTING_ADVICE:
        return "by hand";
    case SETTING_LEAVE:
        return "no change needed";
    }
    return "";
}
