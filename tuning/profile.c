#include "tuning/profile.h"

#include "base/text.h"
#include "tuning/page.h"
#include "tuning/reading.h"

#include <inttypes.h>

#define COLUMNS     100u
#define LABEL_WIDTH 8u
#define PREFIX      "limpet-"
#define GIGABYTE    (1ull << 30)
/* The server's defaults; machine.c has them for a real host. */
#define OPTIONS                                                                                    \
    {                                                                                              \
        .listen_backlog = 4096, .user_timeout_ms = 30000, .ping_interval_ms = 25000,               \
        .handshakes_max = 1024, .receive_buffer_count = 256, .receive_buffer_size = 4096           \
    }

static const struct profile profiles[] = {
    {PREFIX "100k",
     "8 cores, 8 GB of memory",
     {.connections = 100000,
      .connect_rate = 5000,
      .threads = 8,
      .cores = 8,
      .options = OPTIONS,
      .memory_bytes = 8 * GIGABYTE,
      .is_tracked = true}},
    {PREFIX "1m",
     "16 cores, 16 GB of memory",
     {.connections = 1000000,
      .connect_rate = 50000,
      .threads = 16,
      .cores = 16,
      .options = OPTIONS,
      .memory_bytes = 16 * GIGABYTE,
      .is_tracked = true}},
    {PREFIX "5m",
     "32 cores, 64 GB of memory",
     {.connections = 5000000,
      .is_in_lab = true, /* nobody but a load test brings so many from so few addresses */
      .connect_rate = 250000,
      .threads = 32,
      .cores = 32,
      .options = OPTIONS,
      .memory_bytes = 64 * GIGABYTE,
      .is_tracked = true}},
    {PREFIX "load",
     "16 cores, 16 GB of memory",
     {.connections = 1000000,
      .connect_rate = 50000,
      .is_load_host = true,
      .threads = 16,
      .cores = 16,
      .options = OPTIONS,
      .memory_bytes = 16 * GIGABYTE}},
};

const struct profile *profile_at(size_t index)
{
    return index < sizeof(profiles) / sizeof(profiles[0]) ? &profiles[index] : NULL;
}

const struct profile *profile_find(const char *name)
{
    const struct profile *profile;

    for (size_t i = 0; (profile = profile_at(i)) != NULL; i++) {
        if (strcmp(profile->name, name) == 0 || strcmp(profile->name + strlen(PREFIX), name) == 0) {
            return profile;
        }
    }
    return NULL;
}

/* "#   label    words", wrapped. */
static void write_comment(FILE *out, const char *label, const char *words)
{
    text_print(out, "#   %-*s ", (int)LABEL_WIDTH, label);
    page_fill(out, "#", 4 + LABEL_WIDTH + 1, COLUMNS, words);
}

static void write_setting(const struct setting *setting, const struct want *want, FILE *out)
{
    char value[HOST_TEXT_MAX];

    reading_format(want->numbers, want->count, NULL, value, sizeof(value));
    text_print(out, "\n# %s%s%s\n", setting->key, setting->unit ? ", " : "",
               setting->unit ? setting->unit : "");
    write_comment(out, "why", want->why);
    write_comment(out, "default", setting->standard);
    write_comment(out, "cost", want->cost);
    write_comment(out, "risk", setting->risk);
    switch (setting->kind) {
    case SETTING_SYSCTL:
        /* With the dash a host that does not have the key goes on without a word. */
        text_print(out, "%s%s = %s\n", setting->flags & SETTING_OPTIONAL ? "-" : "", setting->key,
                   value);
        return;
    case SETTING_BOOT:
        text_print(out, "# No sysctl: append %s=%s to the kernel's command line.\n", setting->key,
                   value);
        return;
    case SETTING_UNIT:
    case SETTING_LOGIN:
    case SETTING_OPTION:
    case SETTING_ADVICE:
    case SETTING_LEAVE:
        break;
    }
    ASSERT(!"stands in no profile");
}

/* A profile knows no host: what is the kernel's own on most is left out, or it would lower it. */
static bool is_in_profile(const struct setting *setting, const struct target *target,
                          const struct want *want)
{
    const unsigned role = target->is_load_host ? SETTING_LOAD : SETTING_SERVER;

    return (setting->flags & SETTING_PROFILE) && (setting->flags & role) && want->count > 0 &&
           want->numbers[0] > setting->profile_above;
}

void profile_write(const struct profile *profile, FILE *out)
{
    const struct target *target = &profile->target;
    const struct setting *setting;
    struct want want;
    char count[TEXT_SIZE];

    text_print(out,
               "# %s.conf - a host that %s %s connections: %s.\n"
               "#\n"
               "# Made by `limpet-tune profile %s`. It holds nothing until it is copied to\n"
               "# /etc/sysctl.d/90-limpet.conf and `sysctl --system` is run, or at the next boot.\n"
               "# Better: `limpet-tune apply --connections %" PRIu64
               "%s`, which does this arithmetic\n"
               "# with the host's own numbers, lowers nothing by accident and can be taken back.\n",
               profile->name, target->is_load_host ? "opens" : "takes",
               text_count(target->connections, count), profile->host, profile->name,
               target->connections, target->is_load_host ? " --load-host" : "");
    for (size_t i = 0; (setting = setting_at(i)) != NULL; i++) {
        setting_want(setting, target, &want);
        if (is_in_profile(setting, target, &want)) {
            write_setting(setting, &want, out);
        }
    }
}
