#include "tuning/drop_in.h"

#include "base/text.h"
#include "tuning/page.h"

#define COLUMNS 100

static const char *const paths[] = {
    [CHANGE_SYSCTL] = DROP_IN_SYSCTL,
    [CHANGE_UNIT_LIMIT] = DROP_IN_UNIT,
    [CHANGE_LOGIN_LIMIT] = DROP_IN_LOGIN,
};

static const char sysctl_head[] = "Kernel settings for Limpet.";
static const char unit_head[] = "Limits of the service. They hold from its next start.";
static const char login_head[] =
    "Hard limits of login shells alone, from the next login: for limpet and limpet-bench started "
    "by hand, which raise their own soft limits. Services do not read this file.";

static const char *const heads[] = {
    [CHANGE_SYSCTL] = sysctl_head,
    [CHANGE_UNIT_LIMIT] = unit_head,
    [CHANGE_LOGIN_LIMIT] = login_head,
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
    char margin[16];

    (void)snprintf(margin, sizeof(margin), "#%s", indent);
    text_print(out, "%s", margin);
    page_fill(out, margin, (uint32_t)strlen(margin), COLUMNS, text);
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

static void write_login_limit(FILE *out, const struct journal_value *value)
{
    /* What systemd calls infinity is "unlimited" to PAM. The wild card leaves out root. */
    const char *limit = strcmp(value->to, "infinity") == 0 ? "unlimited" : value->to;

    text_print(out, "*     hard  %-8s %s\n", value->key, limit);
    text_print(out, "root  hard  %-8s %s\n", value->key, limit);
}

static void write_before(FILE *out, const struct journal_value *value)
{
    char before[LIVE_SIZE];

    live_tidy(value->old[GOAL_ORIGINAL], before);
    if (value->is_absent) {
        text_print(out, "#   before: absent from this kernel\n");
    } else if (before[0] != '\0' && value->source[0] != '\0') {
        text_print(out, "#   before: %s (%s)\n", before, value->source);
    } else if (before[0] != '\0') {
        text_print(out, "#   before: %s\n", before);
    }
}

static void write_value(FILE *out, const struct journal_value *value)
{
    text_print(out, "\n");
    if (value->why[0] != '\0') {
        write_comment(out, " ", value->why);
    }
    write_before(out, value);
    switch (value->kind) {
    case CHANGE_SYSCTL:
        text_print(out, "%s%s = %s\n", value->is_absent || value->may_be_absent ? "-" : "",
                   value->key, value->to);
        break;
    case CHANGE_UNIT_LIMIT:
        text_print(out, "%s=%s\n", value->key, value->to);
        break;
    case CHANGE_LOGIN_LIMIT:
        write_login_limit(out, value);
        break;
    }
}

bool drop_in_write(const struct journal *journal, enum change_kind kind,
                   char out[JOURNAL_TEXT_SIZE])
{
    FILE *file = open_text(out);

    if (file == NULL) {
        return false;
    }
    write_head(file, heads[kind], journal->inputs);
    if (kind == CHANGE_UNIT_LIMIT) {
        text_print(file, "\n[Service]\n");
    }
    for (size_t i = 0; i < journal->value_count; i++) {
        if (journal->values[i].kind == kind) {
            write_value(file, &journal->values[i]);
        }
    }
    return close_text(file, out);
}
