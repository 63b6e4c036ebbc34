#include "tuning/session.h"

#include "base/text.h"
#include "tuning/store.h"
#include "tuning/undo.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const char *shown_root(const struct session *session)
{
    return *session->tree.root != '\0' ? session->tree.root : "/";
}

/* 0, or -1 after a message. */
static int take_lock(struct session *session)
{
    FILE *errors = session->options->errors;
    char who[STORE_MESSAGE_SIZE] = "another process";
    int result = store_lock(&session->tree, &session->lock, who);

    if (result == 0) {
        return 0;
    }
    if (result == -EWOULDBLOCK) {
        text_print(
            errors,
            "limpet-tune: %s is at work on %s already: wait for its end; nothing was changed\n",
            who, shown_root(session));
    } else if (result == -ENOENT || result == -ENOTDIR) {
        text_print(
            errors,
            "limpet-tune: there is no folder %s/var/lib to keep what was before in: make it, "
            "or give the right --root; nothing was changed\n",
            session->tree.root);
    } else {
        text_print(errors, "limpet-tune: %s/var/lib cannot be opened: %s; nothing was changed\n",
                   session->tree.root, strerrordesc_np(-result));
    }
    return -1;
}

/* Takes back what a killed apply did. 0, or -1 after a message. */
static int recover(struct session *session, bool *was_killed, unsigned *left)
{
    const struct apply_options *options = session->options;
    char message[STORE_MESSAGE_SIZE];
    struct journal *journal = malloc(sizeof(*journal));
    int result = 0;

    if (journal == NULL) {
        text_print(options->errors, "limpet-tune: no memory\n");
        return -1;
    }
    switch (store_load(&session->tree, STORE_JOURNAL, journal, message)) {
    case STORE_NOTHING:
        break;
    case STORE_BAD:
        text_print(options->errors, "limpet-tune: %s; nothing was changed\n", message);
        result = -1;
        break;
    case STORE_READ:
        *was_killed = true;
        if (options->dry_run) {
            text_print(options->out,
                       "The apply of %s was interrupted; it would be taken back first.\n",
                       journal->time);
            break;
        }
        session_hold_signals(true);
        struct undo undo = {.tree = &session->tree,
                            .journal = journal,
                            .goal = GOAL_BEFORE,
                            .out = options->out,
                            .errors = options->errors};
        text_print(options->out, "The apply of %s was interrupted; it is taken back:\n",
                   journal->time);
        undo_run(&undo);
        *left = undo.left;
        if (undo.failed == 0) {
            result = store_drop(&session->tree, STORE_JOURNAL, journal);
        }
        session_hold_signals(false);
        if (undo.failed != 0 || result != 0) {
            text_print(
                options->errors,
                "limpet-tune: not all of the interrupted apply could be taken back%s%s: mend "
                "the cause and run limpet-tune revert\n",
                result != 0 ? ": " : "", result != 0 ? strerrordesc_np(-result) : "");
            result = -1;
        }
        break;
    }
    free(journal);
    return result;
}

int session_open(struct session *session, const struct apply_options *options, bool *was_killed,
                 unsigned *left)
{
    bool killed = false;
    unsigned remains = 0;

    *session = (struct session){.options = options, .lock = -1};
    int result = tree_open(&session->tree, options->root);
    if (result != 0) {
        text_print(options->errors, "limpet-tune: --root %s: %s\n", options->root,
                   strerrordesc_np(-result));
        return -1;
    }
    if (*session->tree.root == '\0' && geteuid() != 0 && !options->dry_run) {
        text_print(options->errors, "limpet-tune: this changes /etc and /proc/sys: run it as root "
                                    "(sudo), or see what it would do by --dry-run; nothing was "
                                    "changed\n");
        tree_close(&session->tree);
        return -1;
    }
    if (!options->dry_run) {
        result = take_lock(session);
        if (result == 0) {
            store_tidy(&session->tree);
        }
    }
    if (result == 0) {
        result = recover(session, &killed, &remains);
    }
    if (result != 0) {
        session_close(session);
        return -1;
    }
    if (was_killed) {
        *was_killed = killed;
    }
    if (left) {
        *left = remains;
    }
    return 0;
}

void session_close(struct session *session)
{
    if (session->lock >= 0) {
        (void)close(session->lock);
    }
    tree_close(&session->tree);
}

struct journal *session_load_state(const struct session *session, bool *failed)
{
    char message[STORE_MESSAGE_SIZE] = "no memory";
    struct journal *journal = malloc(sizeof(*journal));
    enum store_reading reading =
        journal ? store_load(&session->tree, STORE_STATE, journal, message) : STORE_BAD;

    *failed = reading == STORE_BAD;
    if (reading == STORE_READ) {
        if (!session->options->dry_run) {
            undo_forget_earlier(&session->tree, journal); /* of a run killed once it was complete */
        }
        return journal;
    }
    free(journal);
    if (*failed) {
        text_print(session->options->errors, "limpet-tune: %s; nothing was changed\n", message);
    }
    return NULL;
}

bool session_ask(const struct session *session, const char *question)
{
    const struct apply_options *options = session->options;
    char answer[16];

    if (options->yes) {
        return true;
    }
    if (!isatty(fileno(options->in))) {
        text_print(options->errors, "limpet-tune: there is no terminal to ask at: say --yes, or "
                                    "--dry-run to look only; nothing was changed\n");
        return false;
    }
    text_print(options->out, "%s [y/N] ", question);
    (void)fflush(options->out);
    if (fgets(answer, sizeof(answer), options->in) &&
        (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0)) {
        return true;
    }
    text_print(options->errors, "limpet-tune: nothing was changed\n");
    return false;
}

void session_hold_signals(bool hold)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP};
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++) {
        (void)sigaddset(&set, ending[i]);
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread. */
    (void)sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}
