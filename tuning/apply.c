#include "tuning/apply.h"

#include "base/text.h"
#include "tuning/drop_in.h"
#include "tuning/session.h"
#include "tuning/store.h"
#include "tuning/survey.h"
#include "tuning/sysctl_files.h"
#include "tuning/undo.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* What to do about it; empty: the error says it all. */
static const char *hint(int error)
{
    switch (error) {
    case EINVAL:
        return " (this kernel refuses the value)";
    case EIO:
        return " (it reads back as something else)";
    case ENOSPC:
    case EDQUOT:
        return " (make room there, and run this again)";
    case EEXIST:
    case ESTALE:
        return " (somebody else changed it while this ran: run it again)";
    default:
        return "";
    }
}

static bool tell_failed(const struct session *session, const char *what, int result)
{
    text_print(session->options->errors, "limpet-tune: %s: %s%s\n", what, strerrordesc_np(-result),
               hint(-result));
    return false;
}

/* ---------------------------------------------------------------------------------------------- */

static void show_setters(const struct session *session, const struct sysctl_setters *setters,
                         const char *path, const char *wanted)
{
    FILE *out = session->options->out;
    char place[TREE_PATH_SIZE + 16];

    for (size_t i = 0; i < setters->count; i++) {
        const struct sysctl_setter *setter = &setters->all[i];
        const char *outcome = "ours comes later and wins";
        if (strcmp(setter->path, path) == 0) {
            continue;
        }
        if (setter->kind == SETTER_SYSTEM_COMMAND) {
            outcome = "not read at boot, but `sysctl --system` sets it last";
        } else if (live_equal(setter->value, wanted)) {
            outcome = "the same";
        } else if (sysctl_files_beats(setter, path)) {
            outcome = "COMES LATER AND WINS at the next boot: change it there";
        }
        sysctl_files_place(setter, place, sizeof(place));
        text_print(out, "      %s sets %s: %s\n", place, setter->value, outcome);
    }
}

static void show_sysctl(const struct session *session, const struct journal_value *value)
{
    FILE *out = session->options->out;
    char now[LIVE_SIZE];

    live_tidy(value->old[GOAL_BEFORE], now);
    if (value->is_absent) {
        text_print(out, "  %s = %s: absent from this kernel, in the file only\n", value->key,
                   value->to);
    } else if (survey_changes_value(value)) {
        text_print(out, "  %s: %s -> %s\n", value->key, now, value->to);
    } else {
        text_print(out, "  %s = %s: stays, and stands in the file\n", value->key, value->to);
    }
}

static void show_value(const struct session *session, const struct journal_value *value)
{
    FILE *out = session->options->out;
    struct sysctl_setters setters = {.count = 0};

    switch (value->kind) {
    case CHANGE_SYSCTL:
        show_sysctl(session, value);
        sysctl_files_find(&session->tree, value->key, &setters);
        break;
    case CHANGE_UNIT_LIMIT:
        text_print(out, "  %s=%s for the service\n", value->key, value->to);
        sysctl_files_find_unit(&session->tree, value->key, &setters);
        break;
    case CHANGE_LOGIN_LIMIT:
        text_print(out, "  hard %s %s for login shells, not for services\n", value->key, value->to);
        break;
    }
    if (value->why[0] != '\0') {
        text_print(out, "      %s\n", value->why);
    }
    show_setters(session, &setters, drop_in_path(value->kind), value->to);
}

static void show(const struct session *session, const struct journal *journal)
{
    FILE *out = session->options->out;

    text_print(out, "For %s:\n", journal->inputs);
    for (size_t i = 0; i < journal->value_count; i++) {
        show_value(session, &journal->values[i]);
    }
    for (size_t i = 0; i < journal->file_count; i++) {
        const struct journal_file *file = &journal->files[i];
        const bool is_new = file->old[GOAL_BEFORE] == KEPT_NOTHING;
        if (!survey_changes_file(file)) {
            continue;
        }
        text_print(out, "  %s%s: %s\n", session->tree.root, file->path,
                   is_new ? "new" : "replaced; what it is now is kept");
        if (session->options->dry_run) {
            text_print(out, "----\n%s----\n", file->text);
        }
    }
}

/* ---------------------------------------------------------------------------------------------- */

/* A vector that is refused may have changed in part: it must not stay so. */
static void set_back(const struct session *session, const char *key, const char *before)
{
    char now[LIVE_SIZE];

    if (live_read(&session->tree, key, now) == 0 && live_equal(now, before)) {
        return; /* refused as a whole, and another write of it would be, too */
    }
    if (live_write(&session->tree, key, before) != 0) {
        live_tidy(before, now);
        text_print(session->options->errors, "limpet-tune: %s could not be set back to %s\n", key,
                   now);
    }
}

static int set_value(const struct session *session, const struct journal_value *value)
{
    char before[LIVE_SIZE];
    int result = live_read(&session->tree, value->key, before);

    if (result == 0 && !live_equal(before, value->old[GOAL_BEFORE])) {
        result = -ESTALE;
    }
    if (result == 0) {
        result = live_write(&session->tree, value->key, value->to);
        if (result != 0) {
            set_back(session, value->key, before);
        }
    }
    return result;
}

static bool set_values(const struct session *session, const struct journal *journal)
{
    for (size_t i = 0; i < journal->value_count; i++) {
        const struct journal_value *value = &journal->values[i];
        if (!survey_changes_value(value)) {
            continue;
        }
        int result = set_value(session, value);
        if (result != 0) {
            return tell_failed(session, value->key, result);
        }
    }
    return true;
}

/* Keeps what has the name, puts ours in its place, and reads it back. */
static int write_file(const struct session *session, const struct journal_file *file)
{
    const struct tree_attributes attributes = {
        .mode = 0644, .owner = geteuid(), .group = getegid()};
    char *text = malloc(JOURNAL_TEXT_SIZE);
    char name[TREE_PATH_SIZE];
    int64_t size = -ENOMEM;
    int result = text ? 0 : -ENOMEM;

    if (result == 0 && file->old[GOAL_BEFORE] != KEPT_NOTHING) {
        journal_kept_name(file->path, file->old[GOAL_BEFORE], name);
        result = tree_link(&session->tree, file->path, name);
    }
    if (result == 0) {
        result = tree_replace(&session->tree, file->path, slice_text(file->text), &attributes);
    }
    if (result == 0) {
        size = tree_read(&session->tree, file->path, text, JOURNAL_TEXT_SIZE);
        result = size < 0 ? (int)size : 0;
    }
    if (result == 0 && strcmp(text, file->text) != 0) {
        result = -EIO;
    }
    free(text);
    return result;
}

static bool write_files(const struct session *session, const struct journal *journal)
{
    for (size_t i = 0; i < journal->folder_count; i++) {
        if (!journal->folders[i].is_earlier) {
            int result = tree_make_folder(&session->tree, journal->folders[i].path);
            if (result != 0) {
                return tell_failed(session, journal->folders[i].path, result);
            }
        }
    }
    for (size_t i = 0; i < journal->file_count; i++) {
        if (survey_changes_file(&journal->files[i])) {
            int result = write_file(session, &journal->files[i]);
            if (result != 0) {
                return tell_failed(session, journal->files[i].path, result);
            }
        }
    }
    return true;
}

static void take_back(const struct session *session, const struct journal *journal)
{
    FILE *errors = session->options->errors;
    struct undo undo = {.tree = &session->tree,
                        .journal = journal,
                        .goal = GOAL_BEFORE,
                        .is_quiet = true,
                        .out = session->options->out,
                        .errors = errors};

    undo_run(&undo);
    int result = undo.failed == 0 ? store_drop(&session->tree, STORE_JOURNAL, journal) : -EIO;
    if (result == 0 && undo.left == 0) {
        text_print(errors, "limpet-tune: what was done has been taken back: nothing is changed\n");
    } else if (result == 0) {
        text_print(errors, "limpet-tune: the rest of what was done has been taken back\n");
    } else {
        text_print(errors, "limpet-tune: not all could be taken back: mend the cause and run "
                           "limpet-tune revert\n");
    }
}

/* The change itself. From the journal on, a kill at any point is mended by the next run. */
static bool make(const struct session *session, struct journal *journal)
{
    int result = store_begin(&session->tree, journal);

    if (result != 0) {
        (void)tell_failed(session, "the journal in " STORE_FOLDER, result);
        text_print(session->options->errors, "limpet-tune: nothing was changed\n");
        return false;
    }
    bool is_done = set_values(session, journal) && write_files(session, journal);
    if (is_done) {
        result = store_commit(&session->tree);
        is_done = result == 0 || tell_failed(session, STORE_STATE, result);
    }
    if (!is_done) {
        take_back(session, journal);
        return false;
    }
    undo_forget_earlier(&session->tree, journal);
    return true;
}

static bool has_work(const struct journal *journal)
{
    bool has = false;

    for (size_t i = 0; i < journal->value_count; i++) {
        has = has || survey_changes_value(&journal->values[i]);
    }
    for (size_t i = 0; i < journal->file_count; i++) {
        has = has || survey_changes_file(&journal->files[i]);
    }
    return has;
}

static void tell_done(const struct session *session, const struct journal *journal)
{
    FILE *out = session->options->out;

    text_print(out, "Done; `limpet-tune revert` takes it back.\n");
    for (size_t i = 0; i < journal->file_count; i++) {
        if (!survey_changes_file(&journal->files[i])) {
            continue;
        }
        if (strcmp(journal->files[i].path, DROP_IN_UNIT) == 0) {
            text_print(out, "The service has its limits from its next start: "
                            "systemctl daemon-reload && systemctl restart limpet\n");
        } else if (strcmp(journal->files[i].path, DROP_IN_LOGIN) == 0) {
            text_print(out, "Login shells have theirs from the next login.\n");
        }
    }
}

static int run(const struct session *session, const struct change *changes, size_t count,
               struct journal *journal)
{
    const struct apply_options *options = session->options;
    bool failed;
    struct journal *earlier = session_load_state(session, &failed);
    const struct survey survey = {.tree = &session->tree,
                                  .earlier = earlier,
                                  .changes = changes,
                                  .change_count = count,
                                  .errors = options->errors};
    bool is_good = !failed && survey_run(&survey, options->inputs, journal);

    free(earlier);
    if (!is_good) {
        return -1;
    }
    if (!has_work(journal)) {
        text_print(options->out, "Everything is as it should be: nothing to do.\n");
        return 0;
    }
    show(session, journal);
    if (options->dry_run) {
        text_print(options->out, "A dry run: nothing was changed.\n");
        return 0;
    }
    if (!session_ask(session, "Make these changes?")) {
        return -1;
    }
    session_hold_signals(true);
    is_good = make(session, journal);
    session_hold_signals(false);
    if (is_good) {
        tell_done(session, journal);
    }
    return is_good ? 0 : -1;
}

int apply_recover(const struct apply_options *options)
{
    struct session session;

    if (options->dry_run) {
        return 0;
    }
    if (session_open(&session, options, NULL, NULL) != 0) {
        return -1;
    }
    session_close(&session);
    return 0;
}

int apply_run(const struct apply_options *options, const struct change *changes, size_t count)
{
    struct session session;
    int result = -1;

    ASSERT(count <= APPLY_CHANGES_MAX);
    if (session_open(&session, options, NULL, NULL) != 0) {
        return -1;
    }
    struct journal *journal = malloc(sizeof(*journal));
    if (journal) {
        result = run(&session, changes, count, journal);
    } else {
        text_print(options->errors, "limpet-tune: no memory; nothing was changed\n");
    }
    free(journal);
    session_close(&session);
    return result;
}
