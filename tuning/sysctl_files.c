#include "tuning/sysctl_files.h"

#include "tuning/setting_lines.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX   65536
#define NAMES_MAX       256
#define NAME_SIZE       128
#define PROFILES_MAX    8
#define FOLDERS_MAX     5
#define SYSCTL_CONF     "/etc/sysctl.conf"
#define UNIT            "limpet.service"
#define TUNED_MAIN      "/etc/tuned/tuned-main.conf"
#define TUNED_ACTIVE    "/etc/tuned/active_profile"
#define UFW_CONF        "/etc/ufw/ufw.conf"
#define UFW_DEFAULT     "/etc/default/ufw"
#define UFW_SYSCTL_CONF "/etc/ufw/sysctl.conf"

/* Where files of one kind lie: a name in an earlier folder hides it in the later ones. */
struct places {
    const char *folders[FOLDERS_MAX];
};

static const struct places sysctl_places = {{
    "/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d",
    "/lib/sysctl.d", /* the same where /lib is a link */
}};

static const struct places unit_places = {{
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
}};

static const struct places tuned_places = {{
    "/etc/tuned/profiles",
    "/etc/tuned",
    "/usr/lib/tuned/profiles",
    "/usr/lib/tuned",
    NULL,
}};

/* A base name and the folder that has it. */
struct name {
    char text[NAME_SIZE];
    size_t folder;
};

/* What is looked for, and where what is found goes. */
struct search {
    const struct tree *tree;
    const char *key;
    const char *section; /* of a file with sections; NULL: sysctl.d */
    bool is_late;
    struct sysctl_setters *setters;
};

static void append(struct sysctl_setters *setters, struct sysctl_setter setter, struct slice value)
{
    const int size = value.size < SYSCTL_VALUE_SIZE ? (int)value.size : SYSCTL_VALUE_SIZE - 1;

    (void)snprintf(setter.value, sizeof(setter.value), "%.*s", size, (const char *)value.data);
    if (setters->count == SYSCTL_SETTERS_MAX) {
        memmove(&setters->all[0], &setters->all[1],
                sizeof(setters->all[0]) * (SYSCTL_SETTERS_MAX - 1));
        setters->count--;
    }
    setters->all[setters->count++] = setter;
}

/* The lines of a file that set the key. False when it cannot be read. */
static bool search_file(const struct search *search, const char *path, enum sysctl_setter_kind kind)
{
    struct sysctl_setter setter = {.kind = kind, .is_late = search->is_late};
    char text[FILE_SIZE_MAX];
    struct setting_line line = {.rest = text};

    if (tree_read(search->tree, path, text, sizeof(text)) < 0) {
        return false;
    }
    (void)snprintf(setter.path, sizeof(setter.path), "%s", path);
    while (setting_line_next(&line)) {
        const bool is_unit = search->section && strcmp(search->section, "Service") == 0;
        enum setting_match match = MATCH_NOT;
        if (is_unit) {
            match = setting_line_is(&line, search->section, search->key) ? MATCH_NAME : MATCH_NOT;
        } else if (!search->section || slice_equal(line.section, slice_text(search->section))) {
            match = setting_line_sets(&line, search->key);
        }
        if (match != MATCH_NOT) {
            setter.line = line.number;
            setter.is_glob = match == MATCH_GLOB;
            append(search->setters, setter, line.value);
        }
    }
    return true;
}

/* The value of a name that stands alone in a file ("ENABLED=yes", "IPT_SYSCTL=..."), without
 * quotes; the last one. False when there is none. */
static bool read_setting(const struct tree *tree, const char *path, const char *section,
                         const char *key, char out[NAME_SIZE])
{
    char text[FILE_SIZE_MAX];
    struct setting_line line = {.rest = text};
    bool found = false;

    if (tree_read(tree, path, text, sizeof(text)) < 0) {
        return false;
    }
    while (setting_line_next(&line)) {
        if (!setting_line_is(&line, section, key) || line.value.size >= NAME_SIZE) {
            continue;
        }
        struct slice value = line.value;
        if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"') {
            value = slice_from(value.data + 1, value.size - 2);
        }
        (void)snprintf(out, NAME_SIZE, "%.*s", (int)value.size, (const char *)value.data);
        found = true;
    }
    return found;
}

static bool is_known(const struct name *names, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i].text, text) == 0) {
            return true;
        }
    }
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static bool is_conf(const char *name)
{
    const size_t size = strlen(name);

    return size > strlen(".conf") && size < NAME_SIZE && name[0] != '.' &&
           strcmp(name + size - strlen(".conf"), ".conf") == 0;
}

/* Adds the *.conf names of a folder that no earlier folder has. */
static size_t add_names(const struct tree *tree, const char *path, size_t folder,
                        struct name *names, size_t count)
{
    int fd = tree_open_file(tree, path, O_RDONLY | O_DIRECTORY);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    const size_t known = count;

    if (entries == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return count;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own. */
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        if (count < NAMES_MAX && is_conf(entry->d_name) && !is_known(names, known, entry->d_name)) {
            (void)snprintf(names[count].text, NAME_SIZE, "%.*s", NAME_SIZE - 1, entry->d_name);
            names[count++].folder = folder;
        }
    }
    (void)closedir(entries);
    return count;
}

/* Both are, after links, one file. */
static bool is_same_file(const struct tree *tree, const char *path, const char *other)
{
    int fds[2] = {tree_open_file(tree, path, O_PATH), tree_open_file(tree, other, O_PATH)};
    struct stat status[2];
    const bool is_same = fds[0] >= 0 && fds[1] >= 0 && fstat(fds[0], &status[0]) == 0 &&
                         fstat(fds[1], &status[1]) == 0 && status[0].st_dev == status[1].st_dev &&
                         status[0].st_ino == status[1].st_ino;

    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    return is_same;
}

/* All *.conf files of the folders, each below (NULL: in) them, in the order of their base names. A
 * file that hides others by being a link to /dev/null, or empty, has no lines. Returns whether
 * /etc/sysctl.conf was among them. */
static bool search_places(const struct search *search, const struct places *places,
                          const char *below)
{
    static struct name names[NAMES_MAX];
    char path[TREE_PATH_SIZE * 2];
    size_t count = 0;
    bool has_sysctl_conf = false;

    for (size_t i = 0; i < FOLDERS_MAX && places->folders[i]; i++) {
        (void)snprintf(path, sizeof(path), "%s%s", places->folders[i], below ? below : "");
        count = add_names(search->tree, path, i, names, count);
    }
    qsort(names, count, sizeof(names[0]), compare_names);
    for (size_t i = 0; i < count; i++) {
        int size = snprintf(path, sizeof(path), "%s%s/%s", places->folders[names[i].folder],
                            below ? below : "", names[i].text);
        if (size >= TREE_PATH_SIZE) {
            continue;
        }
        (void)search_file(search, path, SETTER_FILE);
        has_sysctl_conf = has_sysctl_conf || is_same_file(search->tree, path, SYSCTL_CONF);
    }
    return has_sysctl_conf;
}

/* sysctl.*= : the kernel sets these itself before it starts init. */
static void search_kernel_line(const struct search *search)
{
    static const char prefix[] = "sysctl";
    struct sysctl_setter setter = {.kind = SETTER_KERNEL_LINE, .path = "the kernel's command line"};
    char text[FILE_SIZE_MAX];
    char *rest = text;

    if (tree_read(search->tree, "/proc/cmdline", text, sizeof(text)) < 0) {
        return;
    }
    while (rest) {
        const char *word = strsep(&rest, " \n");
        const size_t size = strlen(prefix);
        if (strncmp(word, prefix, size) != 0 || (word[size] != '.' && word[size] != '/')) {
            continue;
        }
        struct setting_line line = {.rest = word + size + 1};
        if (setting_line_next(&line) && setting_line_sets(&line, search->key) == MATCH_NAME) {
            append(search->setters, setter, line.value);
        }
    }
}

static void search_ufw(const struct search *search)
{
    char value[NAME_SIZE];

    if (!read_setting(search->tree, UFW_CONF, "", "ENABLED", value) || strcmp(value, "yes") != 0) {
        return;
    }
    if (!read_setting(search->tree, UFW_DEFAULT, "", "IPT_SYSCTL", value)) {
        (void)snprintf(value, sizeof(value), "%s", UFW_SYSCTL_CONF);
    }
    if (value[0] == '/') {
        (void)search_file(search, value, SETTER_UFW);
    }
}

/* The tuned.conf of a profile; false when there is none. */
static bool find_profile(const struct tree *tree, const char *name, char out[TREE_PATH_SIZE])
{
    for (size_t i = 0; i < FOLDERS_MAX && tuned_places.folders[i]; i++) {
        int size = snprintf(out, TREE_PATH_SIZE, "%s/%s/tuned.conf", tuned_places.folders[i], name);
        if (size < TREE_PATH_SIZE && tree_type(tree, out) > 0) {
            return true;
        }
    }
    return false;
}

/* The active profile and what it includes, what is included first. */
static void search_tuned(const struct search *search)
{
    struct search profile_search = *search;
    char paths[PROFILES_MAX][TREE_PATH_SIZE];
    char name[FILE_SIZE_MAX];
    size_t count = 0;

    if (tree_read(search->tree, TUNED_ACTIVE, name, sizeof(name)) <= 0) {
        return;
    }
    while (count < PROFILES_MAX) {
        name[strcspn(name, " ,\t\n")] = '\0'; /* of several, the first */
        if (strchr(name, '/') || !find_profile(search->tree, name, paths[count])) {
            break;
        }
        if (!read_setting(search->tree, paths[count++], "main", "include", name)) {
            break;
        }
    }
    profile_search.section = "sysctl";
    while (count > 0) {
        (void)search_file(&profile_search, paths[--count], SETTER_TUNED);
    }
}

void sysctl_files_find(const struct tree *tree, const char *key, struct sysctl_setters *setters)
{
    struct search search = {.tree = tree, .key = key, .setters = setters};
    char value[NAME_SIZE];
    bool reapplies = true;

    setters->count = 0;
    if (read_setting(tree, TUNED_MAIN, "", "reapply_sysctl", value)) {
        reapplies = strcmp(value, "0") != 0 && strcasecmp(value, "false") != 0;
    }
    search_kernel_line(&search);
    if (reapplies) {
        search_tuned(&search);
    }
    if (!search_places(&search, &sysctl_places, NULL)) {
        (void)search_file(&search, SYSCTL_CONF, SETTER_SYSTEM_COMMAND);
    }
    search.is_late = true;
    search_ufw(&search);
    if (!reapplies) {
        search_tuned(&search);
    }
}

void sysctl_files_find_unit(const struct tree *tree, const char *key,
                            struct sysctl_setters *setters)
{
    const struct search search = {
        .tree = tree, .key = key, .section = "Service", .setters = setters};
    char path[TREE_PATH_SIZE];

    setters->count = 0;
    for (size_t i = 0; i < FOLDERS_MAX; i++) {
        (void)snprintf(path, sizeof(path), "%s/" UNIT, unit_places.folders[i]);
        if (search_file(&search, path, SETTER_FILE)) {
            break;
        }
    }
    (void)search_places(&search, &unit_places, "/" UNIT ".d");
}

const struct sysctl_setter *sysctl_files_winner(const struct sysctl_setters *setters,
                                                const char *without)
{
    const struct sysctl_setter *winner = NULL;

    for (size_t i = 0; i < setters->count; i++) {
        const struct sysctl_setter *setter = &setters->all[i];
        const bool gives_way = setter->is_glob && winner && !winner->is_glob &&
                               winner->kind == SETTER_FILE && setter->kind == SETTER_FILE;
        if (setter->kind == SETTER_SYSTEM_COMMAND || gives_way ||
            (without && strcmp(setter->path, without) == 0)) {
            continue;
        }
        winner = setter;
    }
    return winner;
}

bool sysctl_files_beats(const struct sysctl_setter *setter, const char *path)
{
    const char *own = strrchr(path, '/') + 1;
    const char *name = strrchr(setter->path, '/');

    if (setter->is_late) {
        return true;
    }
    return setter->kind == SETTER_FILE && !setter->is_glob && name && is_conf(name + 1) &&
           strcmp(name + 1, own) > 0;
}

void sysctl_files_place(const struct sysctl_setter *setter, char *out, size_t size)
{
    if (setter->line > 0) {
        (void)snprintf(out, size, "%s:%d", setter->path, setter->line);
    } else {
        (void)snprintf(out, size, "%s", setter->path);
    }
}
