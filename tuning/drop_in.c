#include "tuning/drop_in.h"

#include "base/text.h"

#define COLUMNS 100

static const char *const paths[] = {
    [CHANGE_SYSCTL] = DROP_IN_SYSCTL,
    [CHANGE_UNIT_LIMIT] = DROP_IN_UNIT,
    [CHANGE_LOGIN_LIMIT] = DROP_IN_LOGIN,
};

const char *drop_in_path(enum change_kind kind)
{
    return paths[kind];
}

bool drop_in_is_file(const char *path)
{
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strcmp(path, paths[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool drop_in_is_folder(const char *path)
{
    const size_t size = strlen(path);

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (size > strlen("/etc/") && strncmp(path, paths[i], size) == 0 && paths[i][size] == '/') {
            return true;
        }
    }
    return false;
}

/* A comment of as many lines as it takes, broken at blanks. */
static void write_comment(FILE *out, const char *indent, const char *text)
{
    size_t column = 0;

    while (*text != '\0') {
        const size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > COLUMNS) {
            text_print(out, "\n");
            column = 0;
        }
        if (column == 0) {
            text_print(out, "#%s", indent);
            column = strlen(indent) + 1;
        } else {
            text_print(out, " ");
            column++;
        }
        text_print(out, "%.*s", (int)word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    text_print(out, "\n");
}

static void write_head(FILE *out, const char *what, const char *inputs)
{
    write_comment(out, " ", what);
    write_comment(
        out, " ",
        "Written by `limpet-tune apply`. Taken back by `limpet-tune revert`, unless it is "
        "changed by hand.");
    text_print(out, "# Computed from: ");
    text_print(out, "%s\n", inputs);
}

static FILE *open_text(char out[JOURNAL_TEXT_SIZE])
{
    out[0] = '\0';
    return fmemopen(out, JOURNAL_TEXT_SIZE, "w");
}

/* False when the text did not fit. */
static bool close_text(FILE *out, const char *text)
{
    const bool is_good = fflush(out) == 0 && ferror(out) == 0;

    return fclose(out) == 0 && is_good && strlen(text) < JOURNAL_TEXT_SIZE - 1;
}

bool drop_in_write_sysctls(const struct journal *journal, char out[JOURNAL_TEXT_SIZE])
{
    FILE *file = open_text(out);
    char before[LIVE_SIZE];

    if (file == NULL) {
        return false;
    }
    write_head(file, "Kernel settings for Limpet.", journal->inputs);
    for (size_t i = 0; i < journal->value_count; i++) {
        const struct journal_value *value = &journal->values[i];
        text_print(file, "\n");
        write_comment(file, " ", value->why);
        if (value->is_absent) {
            text_print(file, "#   before: absent from this kernel\n");
        } else {
            live_tidy(value->old[GOAL_ORIGINAL], before);
            text_print(file, "#   before: %s (%s)\n", before, value->source);
        }
        text_print(file, "%s%s = %s\n", value->is_absent || value->may_be_absent ? "-" : "",
                   value->key, value->to);
    }
    return close_text(file, out);
}

static void write_login_limit(FILE *out, const struct change *change)
{
    /* What systemd calls infinity is "unlimited" to PAM. The wild card leaves out root. */
    const char *value = strcmp(change->wanted, "infinity") == 0 ? "unlimited" : change->wanted;

    text_print(out, "*     hard  %-8s %s\n", change->key, value);
    text_print(out, "root  hard  %-8s %s\n", change->key, value);
}

bool drop_in_write_limits(const char *inputs, const struct change *changes, size_t count,
                          enum change_kind kind, char out[JOURNAL_TEXT_SIZE])
{
    FILE *file = open_text(out);

    if (file == NULL) {
        return false;
    }
    if (kind == CHANGE_UNIT_LIMIT) {
        write_head(file, "Limits of the service. They hold from its next start.", inputs);
        text_print(file, "\n[Service]\n");
    } else {
        write_head(file,
                   "Hard limits of login shells alone, from the next login: for limpet and "
                   "limpet-bench started by hand, which raise their own soft limits. Services do "
                   "not read this file.",
                   inputs);
    }
    for (size_t i = 0; i < count; i++) {
        if (changes[i].kind != kind) {
            continue;
        }
        text_print(file, "\n");
        write_comment(file, " ", changes[i].why);
        if (changes[i].now[0] != '\0') {
            text_print(file, "#   before: %s\n", changes[i].now);
        }
        if (kind == CHANGE_UNIT_LIMIT) {
            text_print(file, "%s=%s\n", changes[i].key, changes[i].wanted);
        } else {
            write_login_limit(file, &changes[i]);
        }
    }
    return close_text(file, out);
}
