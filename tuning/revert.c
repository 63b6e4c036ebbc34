#include "tuning/revert.h"

#include "base/text.h"
#include "tuning/session.h"
#include "tuning/store.h"
#include "tuning/undo.h"

#include <stdlib.h>
#include <unistd.h>

/* Takes back the state of the last complete apply. */
static int take_back(const struct session *session, const struct journal *state)
{
    const struct apply_options *options = session->options;
    struct undo undo = {.tree = &session->tree,
                        .journal = state,
                        .goal = GOAL_ORIGINAL,
                        .dry_run = options->dry_run,
                        .out = options->out,
                        .errors = options->errors};
    int result = 0;

    undo_run(&undo);
    if (options->dry_run) {
        text_print(options->out, "A dry run: nothing was changed.\n");
        return 0;
    }
    if (undo.failed == 0) {
        result = store_drop(&session->tree, STORE_STATE, state);
    }
    if (undo.failed != 0 || result != 0) {
        text_print(options->errors,
                   "limpet-tune: not all could be taken back%s%s: mend the cause and run "
                   "limpet-tune revert again\n",
                   result != 0 ? ": " : "", result != 0 ? strerrordesc_np(-result) : "");
        return -1;
    }
    text_print(options->out, "Taken back what the apply of %s did%s.\n", state->time,
               undo.left != 0 ? ", but for what is named above" : "");
    text_print(options->out, "Limits of the service change with its next start: systemctl "
                             "daemon-reload && systemctl restart limpet\n");
    return undo.left != 0;
}

static int run(const struct session *session, const struct journal *state)
{
    const struct apply_options *options = session->options;
    struct undo undo = {.tree = &session->tree,
                        .journal = state,
                        .goal = GOAL_ORIGINAL,
                        .dry_run = true,
                        .out = options->out,
                        .errors = options->errors};

    if (undo_forbidden(&undo) != 0) {
        text_print(options->errors, "limpet-tune: nothing was changed\n");
        return -1;
    }
    text_print(options->out, "The apply of %s, for %s:\n", state->time, state->inputs);
    if (!options->yes && !options->dry_run) {
        undo_run(&undo); /* shows */
        if (!session_ask(session, "Take it back?")) {
            return -1;
        }
    }
    session_hold_signals(true);
    int result = take_back(session, state);
    session_hold_signals(false);
    return result;
}

int revert_run(const struct apply_options *options)
{
    struct session session;
    bool was_killed;
    bool failed;
    unsigned left;

    if (session_open(&session, options, &was_killed, &left) != 0) {
        return -1;
    }
    struct journal *state = session_load_state(&session, &failed);
    int result = failed ? -1 : left != 0;
    if (state) {
        result = run(&session, state);
        result = result == 0 ? left != 0 : result;
    } else if (!failed && !was_killed) {
        text_print(options->out, "Nothing is applied: nothing to take back.\n");
    }
    free(state);
    session_close(&session);
    return result;
}

int revert_pending(const char *root, char *message, size_t size)
{
    char why[STORE_MESSAGE_SIZE];
    struct tree tree;
    int pending = 0;
    struct journal *journal = malloc(sizeof(*journal));

    message[0] = '\0';
    if (journal == NULL || tree_open(&tree, root) != 0) {
        free(journal);
        (void)snprintf(message, size, "%s cannot be opened", root);
        return -1;
    }
    enum store_reading reading = store_load(&tree, STORE_JOURNAL, journal, why);
    if (reading == STORE_READ) {
        (void)snprintf(message, size,
                       "the apply of %s was interrupted: limpet-tune revert takes it back, "
                       "limpet-tune apply takes it back and makes it anew",
                       journal->time);
        pending = 2;
    } else if (reading == STORE_NOTHING) {
        reading = store_load(&tree, STORE_STATE, journal, why);
        pending = reading == STORE_READ;
    }
    if (reading == STORE_BAD) {
        (void)snprintf(message, size, "%s", why);
        pending = -1;
    }
    tree_close(&tree);
    free(journal);
    return pending;
}
