/*
 * sysctl_files.h - who else sets a key, and who wins.
 *
 * At boot systemd-sysctl reads the files of all sysctl.d folders in the order of their base names;
 * a name in /etc hides the same name in /run, /usr/local/lib and /usr/lib; the last line wins. So
 * it is with the drop-ins of a unit, too. /etc/sysctl.conf is read only through a link, often
 * 99-sysctl.conf; `sysctl --system` reads it last in any case. Then come those who set values when
 * they start: ufw, and tuned unless it applies the system's files again.
 */
#pragma once

#include "tuning/tree.h"

#define SYSCTL_SETTERS_MAX 24
#define SYSCTL_VALUE_SIZE  96

enum sysctl_setter_kind {
    SETTER_KERNEL_LINE,    /* sysctl.*= : before any file */
    SETTER_FILE,           /* at boot */
    SETTER_SYSTEM_COMMAND, /* /etc/sysctl.conf without a link: by `sysctl --system`, not at boot */
    SETTER_UFW,            /* when the firewall starts */
    SETTER_TUNED           /* when tuned starts */
};

struct sysctl_setter {
    enum sysctl_setter_kind kind;
    bool is_glob; /* gives way to a file that names the key itself */
    bool is_late; /* comes after all files */
    char path[TREE_PATH_SIZE];
    int line;                      /* from 1; 0: of a line by itself */
    char value[SYSCTL_VALUE_SIZE]; /* blanks as they are; longer ones are cut */
};

struct sysctl_setters {
    size_t count;                                 /* when there are more, the first are left out */
    struct sysctl_setter all[SYSCTL_SETTERS_MAX]; /* in order */
};

/* Who sets a sysctl ("net.core.somaxconn"), our own file included. What cannot be read is passed
 * over. */
void sysctl_files_find(const struct tree *tree, const char *key, struct sysctl_setters *setters);

/* The same for a key ("LimitNOFILE") in the [Service] section of limpet.service and its drop-ins.
 */
void sysctl_files_find_unit(const struct tree *tree, const char *key,
                            struct sysctl_setters *setters);

/* Who has the last word at boot; NULL when nobody sets the key. without: a path that is left out
 * (our own file), or NULL. */
MUST_CHECK const struct sysctl_setter *sysctl_files_winner(const struct sysctl_setters *setters,
                                                           const char *without);

/* Whether a setter has its way over path, which sets the key too (or will). */
MUST_CHECK bool sysctl_files_beats(const struct sysctl_setter *setter, const char *path);

/* "/etc/sysctl.d/10.conf:3" */
void sysctl_files_place(const struct sysctl_setter *setter, char *out, size_t size);
