#include "server/options_namespace.h"

#include "server/options_table.h"
#include "server/options_value.h"

#define IN(field)       offsetof(struct namespace, field)
#define ANYBODY         "nobody|claim|client|subscriber"
#define HISTORY_AGE_MAX (30u * 86400)
#define PROBLEM_SIZE    400

#define CHOICE(name, field, names, standard, help)                                                 \
    {                                                                                              \
        {name, names, standard, help}, IN(field), 0, 0, OPTION_CHOICE, OPTION_ANY                  \
    }

static const struct option_row keys[] = {
    CHOICE("subscribe", who[NAMESPACE_SUBSCRIBE], "nobody|claim|client", "claim",
           "Who may ask for its channels: those whose token names them, or every client"),
    CHOICE("publish", who[NAMESPACE_PUBLISH], ANYBODY, "claim", "Who may publish"),
    CHOICE("see_presence", who[NAMESPACE_PRESENCE], ANYBODY, "claim", "Who may see who is there"),
    CHOICE("see_history", who[NAMESPACE_HISTORY], ANYBODY, "claim", "Who may read the history"),
    {{"presence", "BOOL", "false", "Keep who is there"},
     IN(has_presence),
     0,
     0,
     OPTION_BOOL,
     OPTION_ANY},
    {{"history_size", "NUMBER", "0", "Publications that a channel keeps"},
     IN(history_size),
     1,
     100000,
     OPTION_NUMBER,
     OPTION_ZERO},
    {{"history_age", "DURATION", "1h", "Age at which they are forgotten"},
     IN(history_age_s),
     1,
     HISTORY_AGE_MAX,
     OPTION_DURATION_S,
     OPTION_ANY},
    CHOICE("slow", slow, "close|drop_oldest|keep_latest", "close",
           "What a consumer that reads too slowly loses: its connection, or messages"),
    CHOICE("frame", frame, "auto|text|binary", "auto",
           "Form of publications that do not say it; auto: text when it is UTF-8"),
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))
static_assert(KEYS == OPTION_TEXTS_MAX - 1, "all but the name");
/* A choice is set as a number. */
static_assert(sizeof(enum namespace_who) == sizeof(unsigned), "see option_value_set");
static_assert(sizeof(enum slow_policy) == sizeof(unsigned), "see option_value_set");
static_assert(sizeof(enum frame_choice) == sizeof(unsigned), "see option_value_set");

const struct option_row *option_namespace_key_at(size_t index)
{
    return index < KEYS ? &keys[index] : NULL;
}

static bool is_name(const char *text)
{
    for (const char *p = text; *p; p++) {
        bool alphanumeric =
            (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z');
        if (!alphanumeric && !strchr("-._", *p)) {
            return false;
        }
    }
    return strlen(text) <= NAMESPACE_NAME_SIZE_MAX;
}

int option_namespace_make(const struct namespaces *others, const char *const *texts,
                          struct namespace *made, char *message, size_t message_size)
{
    *made = (struct namespace){.place = (uint8_t)(others->count + 1)};
    if (!is_name(texts[0])) {
        (void)snprintf(message, message_size,
                       "name: \"%s\" is not allowed; allowed: letters, digits, - . and _, at most "
                       "%d, or \"\" for channels without a colon",
                       texts[0], NAMESPACE_NAME_SIZE_MAX);
        return -1;
    }
    for (uint32_t i = 0; i < others->count; i++) {
        if (strcmp(others->entries[i].name, texts[0]) == 0) {
            (void)snprintf(message, message_size,
                           "name: \"%s\" is there already; allowed: each once", texts[0]);
            return -1;
        }
    }
    for (size_t i = 0; i < KEYS; i++) {
        const char *text = texts[i + 1] ? texts[i + 1] : keys[i].info.standard;
        char problem[PROBLEM_SIZE];

        if (option_value_set((uint8_t *)made + keys[i].offset, &keys[i], text, problem,
                             sizeof(problem)) != 0) {
            (void)snprintf(message, message_size, "%s: %s", keys[i].info.name, problem);
            return -1;
        }
    }
    return 0;
}

void option_namespace_describe_keys(FILE *out)
{
    char name[64];

    for (size_t i = 0; i < KEYS; i++) {
        (void)snprintf(name, sizeof(name), "namespaces: - %s", keys[i].info.name);
        (void)fprintf(out, "%-34s %-16s %s%s%s%s\n", name, keys[i].info.standard, keys[i].info.help,
                      keys[i].kind == OPTION_CHOICE ? " (" : "",
                      keys[i].kind == OPTION_CHOICE ? keys[i].info.value : "",
                      keys[i].kind == OPTION_CHOICE ? ")" : "");
    }
}

void option_namespace_describe(const struct namespace *space, FILE *out)
{
    (void)fprintf(out, "namespace %s:", space->name[0] ? space->name : "\"\"");
    for (size_t i = 0; i < KEYS; i++) {
        (void)fprintf(out, " %s=", keys[i].info.name);
        option_value_print((const uint8_t *)space + keys[i].offset, &keys[i], out);
    }
    (void)fputc('\n', out);
}
