#include "tests/unit/tuning/replica.h"

#include "base/bytes.h"
#include "base/text.h"
#include "tuning/revert.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH_SIZE 512

const struct change replica_changes[] = {
    {CHANGE_SYSCTL, false, "net.core.somaxconn", "8192", "4096",
     "16 listeners x 8192 = accept rate x 1.5 s"},
    {CHANGE_SYSCTL, false, "net.ipv4.tcp_rmem", "4096 131072 4194304", "4096 131072 33554432",
     "bounds what one client can queue"},
    {CHANGE_SYSCTL, true, "net.netfilter.nf_conntrack_max", "1310720", "", "1.25 x 1,000,000"},
    {CHANGE_SYSCTL, false, "net.ipv4.tcp_mem", "625000 833333 1250000", "190000 250000 380000",
     "1.25 x 1,000,000 pages"},
    {CHANGE_UNIT_LIMIT, false, "LimitNOFILE", "1048576", "524288", "the table of a ring"},
    {CHANGE_UNIT_LIMIT, false, "LimitMEMLOCK", "infinity", "8388608", "rings are charged to it"},
    {CHANGE_LOGIN_LIMIT, false, "nofile", "1048576", "4096", "the same by hand"},
};
const size_t replica_change_count = sizeof(replica_changes) / sizeof(replica_changes[0]);

const char *replica_path(const struct replica *replica, const char *path)
{
    static char out[PATH_SIZE];

    (void)snprintf(out, sizeof(out), "%s%s", replica->root, path);
    return out;
}

void replica_write(const struct replica *replica, const char *path, const char *text)
{
    char full[PATH_SIZE];

    (void)snprintf(full, sizeof(full), "%s", replica_path(replica, path));
    for (char *slash = strchr(full + strlen(replica->root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(full, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static char *read_whole(const char *path, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    FILE *file = fopen(path, "re");
    int c;

    assert_non_null(out);
    while (file && (c = fgetc(file)) != EOF) {
        assert_int_equal(fputc(c, out), c);
    }
    if (file) {
        assert_int_equal(fclose(file), 0);
    }
    assert_int_equal(fclose(out), 0);
    return text;
}

char *replica_read(const struct replica *replica, const char *path, size_t *size)
{
    return read_whole(replica_path(replica, path), size);
}

void replica_expect(const struct replica *replica, const char *path, const char *text)
{
    size_t size;
    char *now = read_whole(replica_path(replica, path), &size);

    assert_string_equal(now, text);
    free(now);
}

void replica_expect_absent(const struct replica *replica, const char *path)
{
    struct stat status;

    assert_int_equal(lstat(replica_path(replica, path), &status), -1);
    assert_int_equal(errno, ENOENT);
}

void replica_populate(const struct replica *replica)
{
    replica_write(replica, "/proc/sys/net/core/somaxconn", "4096\n");
    replica_write(replica, "/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t33554432\n");
    replica_write(replica, "/proc/sys/net/ipv4/tcp_mem", "190000\t250000\t380000\n");
    replica_write(replica, "/proc/sys/kernel/random/boot_id",
                  "11111111-2222-3333-4444-555555555555\n");
    replica_write(replica, "/proc/sys/kernel/osrelease", "6.1.0\n");
    replica_write(replica, "/etc/sysctl.d/10-other.conf", "# other\nvm.swappiness = 10\n");
    assert_int_equal(mkdir(replica_path(replica, "/var"), 0755), 0);
    assert_int_equal(mkdir(replica_path(replica, "/var/lib"), 0755), 0);
}

void replica_open(struct replica *replica)
{
    memset(replica, 0, sizeof(*replica));
    /* In memory, if that is to be had: each step waits for the disk. */
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(replica->root, sizeof(replica->root), "%s/limpet-tune.XXXXXX", parent);
    assert_non_null(mkdtemp(replica->root));
    replica_populate(replica);
    replica->out = open_memstream(&replica->text, &replica->text_size);
    assert_non_null(replica->out);
    replica->options = (struct apply_options){
        .root = replica->root,
        .inputs = "1,000,000 connections, a test",
        .yes = true,
        .in = stdin,
        .out = replica->out,
        .errors = replica->out,
    };
}

static FTS *open_walk(const struct replica *replica,
                      int (*compare)(const FTSENT **, const FTSENT **))
{
    char root[sizeof(replica->root)];
    char *const paths[] = {root, NULL};

    memcpy(root, replica->root, sizeof(root));
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, compare);
    assert_non_null(walk);
    return walk;
}

void replica_close(struct replica *replica)
{
    FTS *walk = open_walk(replica, NULL);

    for (FTSENT *entry = fts_read(walk); entry; entry = fts_read(walk)) {
        if (entry->fts_info != FTS_D) {
            (void)remove(entry->fts_accpath);
        }
    }
    (void)fts_close(walk);
    (void)fclose(replica->out);
    free(replica->text);
}

const char *replica_said(struct replica *replica)
{
    static char *said;

    assert_int_equal(fclose(replica->out), 0);
    free(said);
    said = replica->text;
    replica->out = open_memstream(&replica->text, &replica->text_size);
    assert_non_null(replica->out);
    replica->options.out = replica->out;
    replica->options.errors = replica->out;
    return said;
}

void replica_expect_said(struct replica *replica, const char *part)
{
    const char *said = replica_said(replica);

    if (!strstr(said, part)) {
        fail_msg("'%s' was not said, but:\n%s", part, said);
    }
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void describe_content(FILE *out, const FTSENT *entry, const char *path)
{
    char link[PATH_SIZE] = "";
    size_t size;

    if (entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE) {
        assert_true(readlink(entry->fts_accpath, link, sizeof(link) - 1) >= 0);
        text_print(out, " -> %s", link);
        return;
    }
    if (entry->fts_info != FTS_F) {
        return;
    }
    char *text = read_whole(entry->fts_accpath, &size);
    text_print(out, " links %u size %zu", (unsigned)entry->fts_statp->st_nlink, size);
    if (strncmp(path, "/etc/", 5) == 0) {
        text_print(out, " mtime %lld.%09ld", (long long)entry->fts_statp->st_mtim.tv_sec,
                   entry->fts_statp->st_mtim.tv_nsec);
    }
    text_print(out, "\n%s", text);
    free(text);
}

char *replica_snapshot(const struct replica *replica)
{
    FTS *walk = open_walk(replica, by_name);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    for (FTSENT *entry = fts_read(walk); entry; entry = fts_read(walk)) {
        if (entry->fts_info == FTS_DP) {
            continue;
        }
        const char *path = entry->fts_path + strlen(replica->root);
        text_print(out, "%s %o %u:%u", path, (unsigned)entry->fts_statp->st_mode,
                   (unsigned)entry->fts_statp->st_uid, (unsigned)entry->fts_statp->st_gid);
        describe_content(out, entry, path);
        text_print(out, "\n");
    }
    assert_int_equal(fts_close(walk), 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

void replica_expect_snapshot(const struct replica *replica, const char *before, const char *when)
{
    char *now = replica_snapshot(replica);

    if (strcmp(now, before) != 0) {
        fail_msg("%s the tree is not as it was; before:\n%s\nnow:\n%s", when, before, now);
    }
    free(now);
}

void replica_expect_refused(struct replica *replica, int result, const char *said,
                            const char *before)
{
    assert_int_equal(result, -1);
    replica_expect_said(replica, said);
    replica_expect_snapshot(replica, before, "after it was refused");
}

int replica_set_up(void **state)
{
    struct replica *replica = calloc(1, sizeof(*replica));

    assert_non_null(replica);
    replica_open(replica);
    *state = replica;
    return 0;
}

int replica_tear_down(void **state)
{
    replica_close(*state);
    free(*state);
    return 0;
}

int replica_apply(struct replica *replica)
{
    return apply_run(&replica->options, replica_changes, replica_change_count);
}

int replica_revert(struct replica *replica)
{
    return revert_run(&replica->options);
}
