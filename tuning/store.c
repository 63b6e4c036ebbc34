#include "tuning/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PARENT     "/var/lib"
#define FOLDER_NEW PARENT "/.limpet-tune.new"
#define FOLDER_OLD PARENT "/.limpet-tune.old"

/* The names that are ours in the folder, and what a killed tree_replace leaves. */
static const char *const names[] = {"journal", "state", ".journal.new"};
#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

/* "12345 (limpet-tune)" for who holds a lock on the file, from /proc/locks; "another process" when
 * that cannot be seen from here. */
static void find_holder(const struct stat *file, char who[STORE_MESSAGE_SIZE])
{
    char line[256];
    char wanted[64];
    char name[64] = "";
    FILE *locks = fopen("/proc/locks", "re");
    long pid = 0;

    (void)snprintf(who, STORE_MESSAGE_SIZE, "another process");
    if (locks == NULL) {
        return;
    }
    (void)snprintf(wanted, sizeof(wanted), "%02x:%02x:%llu ", major(file->st_dev),
                   minor(file->st_dev), (unsigned long long)file->st_ino);
    while (fgets(line, sizeof(line), locks)) {
        char *place = strstr(line, wanted);
        const char *kind = strstr(line, "FLOCK");
        if (place == NULL || kind == NULL || place == line) {
            continue;
        }
        place[-1] = '\0';
        const char *number = strrchr(line, ' ');
        pid = number ? strtol(number, NULL, 10) : 0;
    }
    (void)fclose(locks);
    if (pid <= 0) {
        return;
    }
    (void)snprintf(line, sizeof(line), "/proc/%ld/comm", pid);
    FILE *comm = fopen(line, "re");
    if (comm) {
        if (fgets(name, sizeof(name), comm)) {
            name[strcspn(name, "\n")] = '\0';
        }
        (void)fclose(comm);
    }
    (void)snprintf(who, STORE_MESSAGE_SIZE, "process %ld (%s)", pid, name);
}

int store_lock(const struct tree *tree, int *lock, char who[STORE_MESSAGE_SIZE])
{
    struct stat status;
    int fd = tree_open_file(tree, PARENT, O_RDONLY | O_DIRECTORY);

    if (fd < 0) {
        return fd;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const int result = -errno;
        if (fstat(fd, &status) == 0) {
            find_holder(&status, who);
        }
        (void)close(fd);
        return result;
    }
    *lock = fd;
    return 0;
}

static void remove_folder(const struct tree *tree, const char *folder)
{
    char path[TREE_PATH_SIZE];

    if (tree_type(tree, folder) <= 0) {
        return;
    }
    for (size_t i = 0; i < NAME_COUNT; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)tree_unlink(tree, path);
    }
    (void)tree_remove_folder(tree, folder);
}

void store_tidy(const struct tree *tree)
{
    char spare[TREE_PATH_SIZE];

    remove_folder(tree, FOLDER_NEW);
    remove_folder(tree, FOLDER_OLD);
    tree_spare(STORE_JOURNAL, "new", spare);
    (void)tree_unlink(tree, spare);
}

enum store_reading store_load(const struct tree *tree, const char *path, struct journal *journal,
                              char message[STORE_MESSAGE_SIZE])
{
    enum store_reading reading = STORE_BAD;
    char why[JOURNAL_LINE_SIZE];
    char *text = malloc(JOURNAL_SIZE_MAX);
    int64_t size = text ? tree_read(tree, path, text, JOURNAL_SIZE_MAX) : -ENOMEM;

    if (size == -ENOENT || size == -ENOTDIR) {
        reading = STORE_NOTHING;
    } else if (size < 0) {
        (void)snprintf(message, STORE_MESSAGE_SIZE, "%s%s cannot be read: %s", tree->root, path,
                       strerrordesc_np((int)-size));
    } else if (journal_decode(journal, text, (size_t)size, why)) {
        reading = STORE_READ;
    } else {
        (void)snprintf(
            message, STORE_MESSAGE_SIZE,
            "%s%s cannot be used: %s. It says what was before, line by line: set that by "
            "hand (or restore the file), then remove it and run this again",
            tree->root, path, why);
    }
    free(text);
    return reading;
}

static int write_journal(const struct tree *tree, const struct journal *journal, const char *path)
{
    const struct tree_attributes attributes = {
        .mode = 0644, .owner = geteuid(), .group = getegid()};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    int result = -ENOMEM;

    if (out) {
        journal_encode(journal, out);
        if (fclose(out) == 0) {
            result = size < JOURNAL_SIZE_MAX
                         ? tree_replace(tree, path, slice_from(text, size), &attributes)
                         : -EFBIG;
        }
    }
    free(text);
    return result;
}

int store_begin(const struct tree *tree, struct journal *journal)
{
    int64_t type = tree_type(tree, STORE_FOLDER);
    int result;

    if (type < 0) {
        return (int)type;
    }
    if (type != 0) {
        return write_journal(tree, journal, STORE_JOURNAL);
    }
    journal->made_store = true;
    result = tree_make_folder(tree, FOLDER_NEW);
    if (result == 0) {
        result = write_journal(tree, journal, FOLDER_NEW "/journal");
    }
    if (result == 0) {
        result = tree_rename(tree, FOLDER_NEW, STORE_FOLDER);
    }
    if (result != 0) {
        remove_folder(tree, FOLDER_NEW);
    }
    return result;
}

int store_commit(const struct tree *tree)
{
    return tree_rename(tree, STORE_JOURNAL, STORE_STATE);
}

/* True when the folder holds nothing but path's name (and what we would remove with it). */
static bool holds_nothing_else(const struct tree *tree, const char *path)
{
    const char *own = strrchr(path, '/') + 1;
    int fd = tree_open_file(tree, STORE_FOLDER, O_RDONLY | O_DIRECTORY);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    bool is_alone = true;

    if (entries == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return false;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own. */
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        const char *name = entry->d_name;
        is_alone = is_alone &&
                   (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, own) == 0);
    }
    (void)closedir(entries);
    return is_alone;
}

int store_drop(const struct tree *tree, const char *path, const struct journal *journal)
{
    int result;

    if (!journal->made_store || !holds_nothing_else(tree, path)) {
        return tree_unlink(tree, path);
    }
    result = tree_rename(tree, STORE_FOLDER, FOLDER_OLD);
    if (result == 0) {
        remove_folder(tree, FOLDER_OLD);
    }
    return result;
}
