#include "tuning/survey.h"

#include "base/text.h"
#include "tuning/apply.h"
#include "tuning/drop_in.h"
#include "tuning/in_use.h"
#include "tuning/sysctl_files.h"
#include "tuning/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Live values are written in this order, others after them, and taken back in reverse: what bounds
 * how much may be held comes before what lets more in. */
static const char *const order[] = {
    "fs.file-max",
    "fs.nr_open",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_max_orphans",
    "net.netfilter.nf_conntrack_buckets",
    "net.netfilter.nf_conntrack_max",
    "net.core.somaxconn",
};
#define ORDER_COUNT (sizeof(order) / sizeof(order[0]))

static size_t rank(const struct journal_value *value)
{
    size_t i = 0;

    while (i < ORDER_COUNT && strcmp(order[i], value->key) != 0) {
        i++;
    }
    return i + (size_t)value->kind * (ORDER_COUNT + 1);
}

bool survey_changes_value(const struct journal_value *value)
{
    return value->kind == CHANGE_SYSCTL && !value->is_absent &&
           !live_equal(value->to, value->old[GOAL_BEFORE]);
}

bool survey_changes_file(const struct journal_file *file)
{
    return file->old[GOAL_BEFORE] != KEPT_SAME;
}

/* A text on one line: it becomes part of a comment. */
static void copy_line(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text);
    for (char *p = out; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20) {
            *p = ' ';
        }
    }
}

/* Who had set a key that nothing of ours sets. */
static void find_source(const struct survey *survey, struct journal_value *value)
{
    struct sysctl_setters setters;

    sysctl_files_find(survey->tree, value->key, &setters);
    const struct sysctl_setter *winner = sysctl_files_winner(&setters, DROP_IN_SYSCTL);
    if (winner == NULL) {
        (void)snprintf(value->source, sizeof(value->source), "no file sets it");
    } else if (live_equal(winner->value, value->old[GOAL_ORIGINAL])) {
        sysctl_files_place(winner, value->source, sizeof(value->source));
    } else {
        (void)snprintf(value->source, sizeof(value->source), "set by hand");
    }
}

/* What was before the first apply: what the earlier one says, if the value is still the one it set;
 * otherwise somebody has set it since. After a reboot it is what the other files give. */
static void find_original(const struct survey *survey, const struct journal_value *known,
                          const struct journal *journal, struct journal_value *value)
{
    const bool is_ours = survey->earlier && known && !known->is_absent &&
                         live_equal(value->old[GOAL_BEFORE], known->to);
    struct sysctl_setters setters;

    memcpy(value->old[GOAL_ORIGINAL], value->old[GOAL_BEFORE], LIVE_SIZE);
    if (is_ours) {
        memcpy(value->old[GOAL_ORIGINAL], known->old[GOAL_ORIGINAL], LIVE_SIZE);
    }
    if (is_ours && survey->earlier && strcmp(survey->earlier->boot, journal->boot) != 0) {
        sysctl_files_find(survey->tree, value->key, &setters);
        const struct sysctl_setter *winner = sysctl_files_winner(&setters, DROP_IN_SYSCTL);
        if (winner) {
            (void)snprintf(value->old[GOAL_ORIGINAL], LIVE_SIZE, "%s\n", winner->value);
        }
    }
    find_source(survey, value);
}

/* Reads what is live. 0 or -errno; a key that is absent is 0, too. */
static int read_live(const struct survey *survey, struct journal_value *value)
{
    int result = live_read(survey->tree, value->key, value->old[GOAL_BEFORE]);

    value->is_absent = result == -ENOENT;
    value->may_be_absent = value->may_be_absent || value->is_absent;
    return value->is_absent ? 0 : result;
}

static bool tell_unreadable(const struct survey *survey, const char *key, int error)
{
    text_print(survey->errors, "limpet-tune: %s cannot be read: %s; nothing was changed\n", key,
               strerrordesc_np(error));
    return false;
}

static const struct journal_value *find_known(const struct survey *survey, const char *key)
{
    for (size_t i = 0; survey->earlier && i < survey->earlier->value_count; i++) {
        if (strcmp(survey->earlier->values[i].key, key) == 0) {
            return &survey->earlier->values[i];
        }
    }
    return NULL;
}

/* A limit that a file of the unit gives already, by its last word, is left out. */
static bool wants_limit(const struct survey *survey, const struct change *change,
                        struct journal_value *value)
{
    const struct journal_value *known = find_known(survey, change->key);
    const struct sysctl_setter *winner = NULL;
    struct sysctl_setters setters;

    if (change->kind == CHANGE_UNIT_LIMIT) {
        sysctl_files_find_unit(survey->tree, change->key, &setters);
        winner = sysctl_files_winner(&setters, DROP_IN_UNIT);
    }
    if (known) {
        memcpy(value->old[GOAL_ORIGINAL], known->old[GOAL_ORIGINAL], LIVE_SIZE);
        memcpy(value->source, known->source, sizeof(value->source));
    } else if (winner) {
        (void)snprintf(value->old[GOAL_ORIGINAL], LIVE_SIZE, "%s", winner->value);
        sysctl_files_place(winner, value->source, sizeof(value->source));
    } else {
        copy_line(value->old[GOAL_ORIGINAL], LIVE_SIZE, change->now);
    }
    return known || !winner || strcmp(winner->value, change->wanted) != 0;
}

/* A number of a vector is lower than the one in its place. */
static bool is_lower(const char *value, const char *than)
{
    for (;;) {
        char *value_end;
        char *than_end;
        const unsigned long long number = strtoull(value, &value_end, 10);
        const unsigned long long other = strtoull(than, &than_end, 10);
        if (value_end == value || than_end == than) {
            return false;
        }
        if (number < other) {
            return true;
        }
        value = value_end;
        than = than_end;
    }
}

/* The other files would lower the live value at the next boot: it holds by hand only. */
static bool holds_by_hand(const struct survey *survey, const struct journal_value *value)
{
    struct sysctl_setters setters;

    sysctl_files_find(survey->tree, value->key, &setters);
    const struct sysctl_setter *winner = sysctl_files_winner(&setters, DROP_IN_SYSCTL);
    return winner && is_lower(winner->value, value->old[GOAL_BEFORE]);
}

/* False when it cannot be read; *wants: it has to be set, or stay set. */
static bool wants_sysctl(const struct survey *survey, const struct journal *journal,
                         struct journal_value *value, bool *wants)
{
    const struct journal_value *known = find_known(survey, value->key);
    int result = read_live(survey, value);

    if (result != 0) {
        return tell_unreadable(survey, value->key, -result);
    }
    if (!value->is_absent) {
        find_original(survey, known, journal, value);
    }
    *wants = known || value->is_absent || !live_equal(value->to, value->old[GOAL_BEFORE]) ||
             holds_by_hand(survey, value);
    return true;
}

static bool add_change(const struct survey *survey, const struct change *change,
                       struct journal *journal)
{
    struct journal_value value = {.kind = change->kind, .may_be_absent = change->may_be_absent};
    bool wants = true;

    ASSERT(live_is_key(change->key));
    ASSERT(journal->value_count < JOURNAL_VALUES_MAX);
    copy_line(value.key, sizeof(value.key), change->key);
    copy_line(value.to, sizeof(value.to), change->wanted);
    copy_line(value.why, sizeof(value.why), change->why);
    if (change->kind != CHANGE_SYSCTL) {
        wants = wants_limit(survey, change, &value);
    } else if (!wants_sysctl(survey, journal, &value, &wants)) {
        return false;
    }
    if (wants) {
        journal->values[journal->value_count++] = value;
    }
    return true;
}

/* What an earlier apply set and this one does not want otherwise stays as it is. */
static bool keep_earlier_values(const struct survey *survey, struct journal *journal)
{
    for (size_t i = 0; survey->earlier && i < survey->earlier->value_count; i++) {
        const struct journal_value *known = &survey->earlier->values[i];
        if (journal_find(journal, known->key)) {
            continue;
        }
        ASSERT(journal->value_count < JOURNAL_VALUES_MAX);
        struct journal_value *value = &journal->values[journal->value_count++];
        bool wants;
        *value = *known;
        if (known->kind == CHANGE_SYSCTL && !wants_sysctl(survey, journal, value, &wants)) {
            return false;
        }
    }
    return true;
}

/* By rank; those of one rank stay in their order. */
static void sort_values(struct journal *journal)
{
    struct journal_value *values = journal->values;

    for (size_t i = 1; i < journal->value_count; i++) {
        for (size_t j = i; j > 0 && rank(&values[j]) < rank(&values[j - 1]); j--) {
            struct journal_value value = values[j];
            values[j] = values[j - 1];
            values[j - 1] = value;
        }
    }
}

static bool check_values(const struct survey *survey, const struct journal *journal)
{
    bool is_good = true;

    for (size_t i = 0; i < journal->value_count; i++) {
        const struct journal_value *value = &journal->values[i];
        char path[TREE_PATH_SIZE];
        char why[IN_USE_WHY_SIZE];
        if (!survey_changes_value(value)) {
            continue;
        }
        if (in_use_forbids(survey->tree, value->key, value->old[GOAL_BEFORE], value->to, why)) {
            text_print(survey->errors, "limpet-tune: %s must not go down to %s now: %s\n",
                       value->key, value->to, why);
            is_good = false;
            continue;
        }
        live_path(value->key, path);
        int result = tree_may_write(survey->tree, path);
        if (result == -EROFS || result == -EACCES) {
            text_print(survey->errors, "limpet-tune: %s cannot be set from here (%s): %s\n",
                       value->key, strerrordesc_np(-result),
                       geteuid() != 0 ? "run this as root"
                                      : "in a container it belongs to the host: run limpet-tune "
                                        "there, or start the container with --sysctl");
            is_good = false;
        }
    }
    return is_good;
}

/* ---------------------------------------------------------------------------------------------- */

static bool tell_in_the_way(const struct survey *survey, const char *path, const char *why)
{
    text_print(survey->errors, "limpet-tune: %s%s %s; nothing was changed\n", survey->tree->root,
               path, why);
    return false;
}

static bool is_folder(const struct tree *tree, const char *path, int *error)
{
    int fd = tree_open_file(tree, path, O_PATH | O_DIRECTORY);

    *error = fd < 0 ? -fd : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

static void add_folder(struct journal *journal, const char *path)
{
    for (size_t i = 0; i < journal->folder_count; i++) {
        if (strcmp(journal->folders[i].path, path) == 0) {
            journal->folders[i].is_earlier = false; /* somebody has removed it since */
            return;
        }
    }
    ASSERT(journal->folder_count < JOURNAL_FOLDERS_MAX);
    struct journal_folder *folder = &journal->folders[journal->folder_count++];
    (void)snprintf(folder->path, sizeof(folder->path), "%s", path);
}

/* The folders above path that have to be made; the last one that is there must take a new name. */
static bool plan_folders(const struct survey *survey, const char *path, struct journal *journal)
{
    char folder[JOURNAL_WORD_SIZE];
    char parent[JOURNAL_WORD_SIZE] = "/etc";
    int error;

    if (!is_folder(survey->tree, parent, &error)) {
        return tell_in_the_way(survey, parent, "is not there: give the right --root");
    }
    for (const char *slash = strchr(path + strlen("/etc/"), '/'); slash;
         slash = strchr(slash + 1, '/')) {
        (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
        if (is_folder(survey->tree, folder, &error)) {
            (void)snprintf(parent, sizeof(parent), "%s", folder);
        } else if (error == ENOENT && tree_type(survey->tree, folder) <= 0) {
            add_folder(journal, folder);
        } else {
            return tell_in_the_way(survey, folder, "is no folder: move it away");
        }
    }
    int result = tree_may_write(survey->tree, parent);
    if (result == -EROFS) {
        return tell_in_the_way(survey, parent,
                               "is on a read-only file system: mount it for writing, "
                               "or put the profile into the image");
    }
    if (result != 0) {
        char why[JOURNAL_LINE_SIZE];
        (void)snprintf(why, sizeof(why), "cannot be written to (%s): run this as root",
                       strerrordesc_np(-result));
        return tell_in_the_way(survey, parent, why);
    }
    return true;
}

/* What has the name of a file now, and under which name it will be kept. */
static bool plan_kept(const struct survey *survey, const struct journal_file *known,
                      struct journal_file *file)
{
    char *text = malloc(JOURNAL_TEXT_SIZE + 1);
    char name[TREE_PATH_SIZE];
    const int64_t type = tree_type(survey->tree, file->path);
    int64_t size = -ENOMEM;

    file->old[GOAL_BEFORE] = KEPT_NOTHING;
    file->old[GOAL_ORIGINAL] = known ? known->old[GOAL_ORIGINAL] : KEPT_NOTHING;
    if (type == S_IFREG && text) {
        size = tree_read(survey->tree, file->path, text, JOURNAL_TEXT_SIZE + 1);
    }
    const bool is_known =
        known && size >= 0 && slice_equal(slice_from(text, (size_t)size), slice_text(known->text));
    free(text);
    if (type == 0 || type == -ENOENT || type == -ENOTDIR) {
        return true;
    }
    if (type != S_IFREG) {
        return tell_in_the_way(survey, file->path,
                               "is no plain file (a link to /dev/null turns it off): remove it");
    }
    if (known && !is_known) {
        return tell_in_the_way(
            survey, file->path,
            "was changed by hand since the last apply: move your lines to a file "
            "of your own, then limpet-tune revert, and apply again");
    }
    if (known) {
        const bool is_same = strcmp(file->text, known->text) == 0;
        file->old[GOAL_BEFORE] = is_same ? KEPT_SAME : KEPT_EARLIER;
        return true;
    }
    file->old[GOAL_BEFORE] = KEPT_ORIGINAL;
    file->old[GOAL_ORIGINAL] = KEPT_ORIGINAL;
    journal_kept_name(file->path, KEPT_ORIGINAL, name);
    return tree_type(survey->tree, name) <= 0 ||
           tell_in_the_way(survey, name,
                           "is in the way: an earlier revert has left it, move it away");
}

static bool plan_file(const struct survey *survey, enum change_kind kind, struct journal *journal)
{
    const char *path = drop_in_path(kind);
    struct journal_file *file = &journal->files[journal->file_count];
    const struct journal_file *known = NULL;
    bool is_needed = false;

    for (size_t i = 0; survey->earlier && i < survey->earlier->file_count; i++) {
        if (strcmp(survey->earlier->files[i].path, path) == 0) {
            known = &survey->earlier->files[i];
        }
    }
    for (size_t i = 0; i < journal->value_count; i++) {
        is_needed = is_needed || journal->values[i].kind == kind;
    }
    if (!is_needed) {
        return true;
    }
    journal->file_count++;
    (void)snprintf(file->path, sizeof(file->path), "%s", path);
    if (!drop_in_write(journal, kind, file->text)) {
        return tell_in_the_way(survey, path, "would be longer than this can write");
    }
    return plan_kept(survey, known, file) && plan_folders(survey, path, journal);
}

static void begin(const struct survey *survey, const char *inputs, struct journal *journal)
{
    const time_t now = time(NULL);
    struct tm utc;

    memset(journal, 0, sizeof(*journal));
    copy_line(journal->inputs, sizeof(journal->inputs), inputs);
    undo_read_boot(survey->tree, journal->boot, journal->kernel);
    if (gmtime_r(&now, &utc)) {
        (void)strftime(journal->time, sizeof(journal->time), "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    if (survey->earlier == NULL) {
        return;
    }
    journal->made_store = survey->earlier->made_store;
    journal->folder_count = survey->earlier->folder_count;
    for (size_t i = 0; i < journal->folder_count; i++) {
        journal->folders[i] = survey->earlier->folders[i];
        journal->folders[i].is_earlier = true;
    }
}

bool survey_run(const struct survey *survey, const char *inputs, struct journal *journal)
{
    begin(survey, inputs, journal);
    for (size_t i = 0; i < survey->change_count; i++) {
        if (!add_change(survey, &survey->changes[i], journal)) {
            return false;
        }
    }
    if (!keep_earlier_values(survey, journal)) {
        return false;
    }
    sort_values(journal);
    if (!check_values(survey, journal)) {
        text_print(survey->errors, "limpet-tune: nothing was changed\n");
        return false;
    }
    for (enum change_kind kind = CHANGE_SYSCTL; kind <= CHANGE_LOGIN_LIMIT; kind++) {
        if (!plan_file(survey, kind, journal)) {
            return false;
        }
    }
    return true;
}
