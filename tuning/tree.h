/*
 * tree.h - files below a root, "" for the host itself, else a folder that stands for "/": symbolic
 * links are followed as a process would that had this folder as its root.
 *
 * Paths are absolute, as on the host ("/etc/sysctl.d"). Whatever changes a name is on disk when the
 * function returns (fsync of the file, then of its folder). Results are 0 or -errno.
 */
#pragma once

#include "base/bytes.h"

#include <sys/types.h>

#define TREE_PATH_SIZE 192 /* of our own paths, with the zero */

struct tree {
    int fd;
    const char *root; /* borrowed; for messages */
};

struct tree_attributes {
    mode_t mode; /* permissions alone */
    uid_t owner;
    gid_t group;
};

MUST_CHECK int tree_open(struct tree *tree, const char *root);
void tree_close(struct tree *tree);

/* A descriptor, close-on-exec, or -errno. */
MUST_CHECK int tree_open_file(const struct tree *tree, const char *path, int flags);

/* A whole file with a zero behind; its size, or -errno: -EFBIG when it is size or longer, -EISDIR,
 * -EINVAL when it is neither a file nor, to be told by its error, a folder. */
MUST_CHECK int64_t tree_read(const struct tree *tree, const char *path, char *out, size_t size);

/* What has the name, a link itself: S_IFREG and so on, 0 when nothing has it, or -errno. */
MUST_CHECK int64_t tree_type(const struct tree *tree, const char *path);

/* Both names are the same file. */
MUST_CHECK bool tree_same(const struct tree *tree, const char *path, const char *other);

/* Writes a new file under a name of its own (tree_spare) and gives it the path in one step, so that
 * at any time the path has the old content or the new. attributes NULL: those of the old file, or
 * 0644 and our own. */
MUST_CHECK int tree_replace(const struct tree *tree, const char *path, struct slice content,
                            const struct tree_attributes *attributes);

/* The name next to path that begins with a dot and ends with suffix: "/etc/x/90.conf" and "new"
 * give
 * "/etc/x/.90.conf.new". Readers of folders of *.conf pass it over. */
void tree_spare(const char *path, const char *suffix, char out[TREE_PATH_SIZE]);

MUST_CHECK int tree_link(const struct tree *tree, const char *path, const char *name);
MUST_CHECK int tree_rename(const struct tree *tree, const char *path, const char *name);
int tree_unlink(const struct tree *tree, const char *path); /* 0 when there is none */
MUST_CHECK int tree_make_folder(const struct tree *tree, const char *path);
int tree_remove_folder(const struct tree *tree, const char *path);

/* Whether this process could make or change it: 0, -EROFS, -EACCES, -ENOENT and so on. */
MUST_CHECK int tree_may_write(const struct tree *tree, const char *path);
