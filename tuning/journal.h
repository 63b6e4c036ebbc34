/*
 * journal.h - what was before an apply, and what apply makes of it: enough to take it back.
 *
 * The same text is the journal of an apply under way and, once that is complete, the state that
 * revert goes by (store.h keeps both). One line a fact, values escaped, a digest at the end: a file
 * that is cut or changed is refused whole.
 */
#pragma once

#include "tuning/change.h"
#include "tuning/live.h"

#include <stdio.h>

#define JOURNAL_VALUES_MAX  96
#define JOURNAL_FILES_MAX   3
#define JOURNAL_FOLDERS_MAX 8
#define JOURNAL_TEXT_SIZE   32768  /* of a file that apply writes, with a zero */
#define JOURNAL_SIZE_MAX    262144 /* of its own text, with a zero */
#define JOURNAL_WORD_SIZE   96
#define JOURNAL_LINE_SIZE   256

/* Goals of taking back: what was before this apply, and what was before the first of several. */
enum journal_goal {
    GOAL_BEFORE,
    GOAL_ORIGINAL
};
#define JOURNAL_GOALS 2

/* A setting: a live value and its line in a file, or a limit, which is a line only. */
struct journal_value {
    enum change_kind kind;
    char key[JOURNAL_WORD_SIZE];
    char to[JOURNAL_WORD_SIZE];
    char old[JOURNAL_GOALS][LIVE_SIZE]; /* as read, by goal; of a limit the original alone, or "" */
    char source[JOURNAL_LINE_SIZE];     /* what had set the original */
    char why[JOURNAL_LINE_SIZE];
    bool is_absent;     /* this kernel lacks it: in the file only, and nothing to take back */
    bool may_be_absent; /* '-' in the file */
};

/* What had a file's name, by goal. A file that is kept has a second name (tree_spare). */
enum journal_kept {
    KEPT_NOTHING,  /* there was no file */
    KEPT_ORIGINAL, /* ".NAME.before": not of limpet-tune */
    KEPT_EARLIER,  /* ".NAME.rollback": of an earlier apply; until this one is complete */
    KEPT_SAME      /* the file is as it should be: not touched by this apply */
};

struct journal_file {
    char path[JOURNAL_WORD_SIZE];
    enum journal_kept old[JOURNAL_GOALS];
    char text[JOURNAL_TEXT_SIZE]; /* what apply writes */
};

struct journal_folder {
    char path[JOURNAL_WORD_SIZE];
    bool is_earlier; /* made by an earlier apply */
};

struct journal {
    char time[JOURNAL_WORD_SIZE]; /* UTC */
    char boot[JOURNAL_WORD_SIZE]; /* the kernel's boot id; "" not known */
    char kernel[JOURNAL_WORD_SIZE];
    char inputs[JOURNAL_LINE_SIZE];
    bool made_store; /* the folder of the journal itself did not exist */
    size_t value_count;
    size_t file_count;
    size_t folder_count; /* made, in this order */
    struct journal_value values[JOURNAL_VALUES_MAX];
    struct journal_file files[JOURNAL_FILES_MAX];
    struct journal_folder folders[JOURNAL_FOLDERS_MAX];
};

/* The second name of a file, with kept KEPT_ORIGINAL or KEPT_EARLIER. */
void journal_kept_name(const char *path, enum journal_kept kept, char out[TREE_PATH_SIZE]);

/* NULL when there is none. */
MUST_CHECK struct journal_value *journal_find(struct journal *journal, const char *key);

/* Errors stay in the stream. */
void journal_encode(const struct journal *journal, FILE *out);

/* text: size bytes; cut up in place. False: message says which line is not as it should be. Paths
 * and keys in what is accepted are those that apply could have written. */
MUST_CHECK bool journal_decode(struct journal *journal, char *text, size_t size,
                               char message[JOURNAL_LINE_SIZE]);

/* Of all lines before the last: what stands in that one. */
MUST_CHECK uint64_t journal_digest(struct slice text);
