#include "tuning/undo.h"

#include "base/text.h"
#include "tuning/drop_in.h"
#include "tuning/in_use.h"
#include "tuning/sysctl_files.h"

#include <errno.h>
#include <stdlib.h>

/* What a file's name has now. */
enum file_state {
    FILE_ABSENT,
    FILE_OURS,
    FILE_FOREIGN,
    FILE_UNREADABLE
};

void undo_read_boot(const struct tree *tree, char boot[JOURNAL_WORD_SIZE],
                    char kernel[JOURNAL_WORD_SIZE])
{
    char text[LIVE_SIZE];

    boot[0] = '\0';
    kernel[0] = '\0';
    if (live_read(tree, "kernel.random.boot_id", text) == 0) {
        text[strcspn(text, "\n")] = '\0';
        (void)snprintf(boot, JOURNAL_WORD_SIZE, "%.90s", text);
    }
    if (live_read(tree, "kernel.osrelease", text) == 0) {
        text[strcspn(text, "\n")] = '\0';
        (void)snprintf(kernel, JOURNAL_WORD_SIZE, "%.90s", text);
    }
}

static void tell_restored(struct undo *undo, const char *what, const char *how)
{
    undo->restored++;
    if (!undo->is_quiet) {
        text_print(undo->out, "  %s %s%s\n", what, undo->dry_run ? "would be " : "", how);
    }
}

static void tell_failed(struct undo *undo, const char *what, int error)
{
    undo->failed++;
    text_print(undo->errors, "limpet-tune: %s%s cannot be taken back: %s\n", undo->tree->root, what,
               strerrordesc_np(error));
}

/* ---------------------------------------------------------------------------------------------- */

static enum file_state read_state(const struct undo *undo, const struct journal_file *file)
{
    char *text = malloc(JOURNAL_TEXT_SIZE + 1);
    enum file_state state = FILE_UNREADABLE;
    int64_t type = tree_type(undo->tree, file->path);

    if (type == 0 || type == -ENOENT || type == -ENOTDIR) {
        state = FILE_ABSENT;
    } else if (text && type > 0) {
        int64_t size = tree_read(undo->tree, file->path, text, JOURNAL_TEXT_SIZE + 1);
        if (size >= 0) {
            const bool is_ours =
                slice_equal(slice_from(text, (size_t)size), slice_text(file->text));
            state = is_ours ? FILE_OURS : FILE_FOREIGN;
        } else if (size == -EFBIG || size == -EISDIR || size == -EINVAL || size == -ENOENT) {
            state = FILE_FOREIGN; /* also a link that leads nowhere */
        }
    }
    free(text);
    return state;
}

/* The file that was there is kept under another name, which is there. */
static void restore_kept(struct undo *undo, const struct journal_file *file, const char *kept)
{
    enum file_state state = read_state(undo, file);
    int result = 0;

    if (tree_same(undo->tree, file->path, kept)) {
        /* Killed between keeping the old file and putting ours in its place. */
        result = undo->dry_run ? 0 : tree_unlink(undo->tree, kept);
    } else if (state == FILE_OURS) {
        result = undo->dry_run ? 0 : tree_rename(undo->tree, kept, file->path);
        if (result == 0) {
            tell_restored(undo, file->path, "back as it was");
        }
    } else {
        undo->left++;
        text_print(
            undo->errors,
            "limpet-tune: %s%s was %s since: it is left alone; what was there before is %s\n",
            undo->tree->root, file->path, state == FILE_ABSENT ? "removed" : "changed", kept);
    }
    if (result != 0) {
        tell_failed(undo, file->path, -result);
    }
}

static void undo_file(struct undo *undo, const struct journal_file *file)
{
    const enum journal_kept kept = file->old[undo->goal];
    char name[TREE_PATH_SIZE];
    enum file_state state;

    if (kept == KEPT_SAME) {
        return;
    }
    if (!undo->dry_run) {
        tree_spare(file->path, "new", name);
        (void)tree_unlink(undo->tree, name);
    }
    if (kept != KEPT_NOTHING) {
        journal_kept_name(file->path, kept, name);
        if (tree_type(undo->tree, name) > 0) {
            restore_kept(undo, file, name);
            return;
        }
    }
    state = read_state(undo, file);
    if (state == FILE_ABSENT) {
        return;
    }
    if (state == FILE_OURS && kept == KEPT_NOTHING) {
        int result = undo->dry_run ? 0 : tree_unlink(undo->tree, file->path);
        if (result == 0) {
            tell_restored(undo, file->path, "removed");
        } else {
            tell_failed(undo, file->path, -result);
        }
    } else if (state == FILE_OURS) {
        undo->failed++;
        text_print(undo->errors,
                   "limpet-tune: %s%s is ours, but %s, which has what was before, is "
                   "gone: put the right file there by hand\n",
                   undo->tree->root, file->path, name);
    } else if (kept == KEPT_NOTHING) {
        undo->left++;
        text_print(undo->errors, "limpet-tune: %s%s was changed since: it is left alone\n",
                   undo->tree->root, file->path);
    }
    /* With something kept that has no second name, what is there is what was there: killed before
     * it was given one, or restored already. */
}

static void undo_folder(struct undo *undo, const struct journal_folder *folder)
{
    int result;

    if (undo->goal == GOAL_BEFORE && folder->is_earlier) {
        return;
    }
    if (undo->dry_run) {
        tell_restored(undo, folder->path, "removed, if it is empty then");
        return;
    }
    result = tree_remove_folder(undo->tree, folder->path);
    if (result == 0) {
        tell_restored(undo, folder->path, "removed");
    } else if (result == -ENOTEMPTY || result == -EEXIST) {
        undo->left++;
        text_print(undo->errors, "limpet-tune: %s%s holds files of others now: it is left alone\n",
                   undo->tree->root, folder->path);
    } else if (result != -ENOENT && result != -ENOTDIR) {
        tell_failed(undo, folder->path, -result);
    }
}

/* ---------------------------------------------------------------------------------------------- */

/* What the value goes back to. After a reboot that is what the remaining files give, or else the
 * default, which is known when the kernel is the same and nobody had set it. False: not known.
 * has_files: our own are still there. */
static bool find_target(const struct undo *undo, const struct journal_value *value, bool has_files,
                        char out[LIVE_SIZE])
{
    const struct journal *journal = undo->journal;
    struct sysctl_setters setters;
    char boot[JOURNAL_WORD_SIZE];
    char kernel[JOURNAL_WORD_SIZE];

    undo_read_boot(undo->tree, boot, kernel);
    (void)snprintf(out, LIVE_SIZE, "%s", value->old[undo->goal]);
    if (strcmp(boot, journal->boot) == 0) {
        return true;
    }
    sysctl_files_find(undo->tree, value->key, &setters);
    const struct sysctl_setter *winner =
        sysctl_files_winner(&setters, has_files ? DROP_IN_SYSCTL : NULL);
    if (winner) {
        (void)snprintf(out, LIVE_SIZE, "%s", winner->value);
        return true;
    }
    return strcmp(kernel, journal->kernel) == 0;
}

static void undo_value(struct undo *undo, const struct journal_value *value)
{
    char now[LIVE_SIZE];
    char target[LIVE_SIZE];
    char tidy[LIVE_SIZE];
    char path[TREE_PATH_SIZE];
    int result;

    if (value->kind != CHANGE_SYSCTL || value->is_absent ||
        live_equal(value->to, value->old[undo->goal])) {
        return;
    }
    live_path(value->key, path);
    if (!undo->dry_run) {
        tree_spare(path, "new", tidy);
        (void)tree_unlink(undo->tree, tidy); /* of a root that does not run; none in /proc */
    }
    result = live_read(undo->tree, value->key, now);
    if (result != 0) {
        tell_failed(undo, value->key, -result);
        return;
    }
    if (!find_target(undo, value, undo->dry_run, target)) {
        undo->left++;
        text_print(undo->errors,
                   "limpet-tune: %s stays as it is until the next boot: this kernel (another than "
                   "at apply) has its own default, which only a boot brings back\n",
                   value->key);
        return;
    }
    if (live_equal(now, target)) {
        return;
    }
    if (!live_equal(now, value->to)) {
        undo->left++;
        live_tidy(now, tidy);
        text_print(undo->errors,
                   "limpet-tune: %s is %s, not the %s of apply: somebody changed it since, it is "
                   "left alone\n",
                   value->key, tidy, value->to);
        return;
    }
    result = undo->dry_run ? 0 : live_write(undo->tree, value->key, target);
    if (result != 0) {
        tell_failed(undo, value->key, -result);
        return;
    }
    live_tidy(target, tidy);
    char how[LIVE_SIZE + 16];
    (void)snprintf(how, sizeof(how), "back to %s", tidy);
    tell_restored(undo, value->key, how);
}

void undo_run(struct undo *undo)
{
    const struct journal *journal = undo->journal;

    for (size_t i = journal->file_count; i > 0; i--) {
        undo_file(undo, &journal->files[i - 1]);
    }
    for (size_t i = journal->folder_count; i > 0; i--) {
        undo_folder(undo, &journal->folders[i - 1]);
    }
    for (size_t i = journal->value_count; i > 0; i--) {
        undo_value(undo, &journal->values[i - 1]);
    }
}

unsigned undo_forbidden(struct undo *undo)
{
    unsigned count = 0;

    for (size_t i = 0; i < undo->journal->value_count; i++) {
        const struct journal_value *value = &undo->journal->values[i];
        char now[LIVE_SIZE];
        char target[LIVE_SIZE];
        char why[IN_USE_WHY_SIZE];
        if (value->kind != CHANGE_SYSCTL || value->is_absent ||
            live_read(undo->tree, value->key, now) != 0 || !live_equal(now, value->to) ||
            !find_target(undo, value, true, target) ||
            !in_use_forbids(undo->tree, value->key, now, target, why)) {
            continue;
        }
        live_tidy(target, now);
        text_print(undo->errors,
                   "limpet-tune: %s must not go down to %s now: %s; drain or stop limpet first\n",
                   value->key, now, why);
        count++;
    }
    return count;
}

void undo_forget_earlier(const struct tree *tree, const struct journal *journal)
{
    char name[TREE_PATH_SIZE];

    for (size_t i = 0; i < journal->file_count; i++) {
        journal_kept_name(journal->files[i].path, KEPT_EARLIER, name);
        (void)tree_unlink(tree, name);
    }
}
