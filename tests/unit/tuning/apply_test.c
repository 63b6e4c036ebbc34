/*
 * Goal: apply makes what is wanted and revert brings back exactly what was, whatever was there
 * before; an apply over an apply keeps what was before the first; what somebody else changed since
 * is left alone and told.
 */
#include "base/bytes.h"
#include "tests/unit/tuning/replica.h"
#include "tuning/drop_in.h"
#include "tuning/revert.h"
#include "tuning/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

#define SOMAXCONN "/proc/sys/net/core/somaxconn"

static void test_there_and_back(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);

    if (replica_apply(replica) != 0) {
        fail_msg("%s", replica_said(replica));
    }
    replica_expect(replica, SOMAXCONN, "8192");
    replica_expect(replica, "/proc/sys/net/ipv4/tcp_mem", "625000 833333 1250000");
    const char *said = replica_said(replica);
    assert_non_null(strstr(said, "net.core.somaxconn: 4096 -> 8192"));
    assert_non_null(strstr(said, "nf_conntrack_max = 1310720: absent"));
    assert_non_null(strstr(said, "systemctl daemon-reload && systemctl restart limpet"));
    assert_int_equal(replica_revert(replica), 0);
    replica_expect_said(replica, "net.core.somaxconn back to 4096");
    replica_expect_snapshot(replica, before, "after revert");
    assert_int_equal(replica_revert(replica), 0);
    replica_expect_said(replica, "nothing to take back");
    free(before);
}

static void test_texts(void **state)
{
    struct replica *replica = *state;

    replica_write(replica, "/usr/lib/sysctl.d/10-distro.conf", "-net.core.somaxconn = 4096\n");
    replica_write(replica, "/usr/lib/systemd/system/limpet.service",
                  "[Service]\nLimitNOFILE=524288\n");
    assert_int_equal(replica_apply(replica), 0);
    replica_expect(
        replica, DROP_IN_SYSCTL,
        "# Kernel settings for Limpet.\n"
        "# Written by `limpet-tune apply`. Taken back by `limpet-tune revert`, unless it "
        "is changed by hand.\n"
        "# Computed from: 1,000,000 connections, a test\n\n"
        "# 1.25 x 1,000,000 pages\n"
        "#   before: 190000 250000 380000 (no file sets it)\n"
        "net.ipv4.tcp_mem = 625000 833333 1250000\n\n"
        "# 1.25 x 1,000,000\n"
        "#   before: absent from this kernel\n"
        "-net.netfilter.nf_conntrack_max = 1310720\n\n"
        "# 16 listeners x 8192 = accept rate x 1.5 s\n"
        "#   before: 4096 (/usr/lib/sysctl.d/10-distro.conf:1)\n"
        "net.core.somaxconn = 8192\n\n"
        "# bounds what one client can queue\n"
        "#   before: 4096 131072 33554432 (no file sets it)\n"
        "net.ipv4.tcp_rmem = 4096 131072 4194304\n");
    replica_expect(
        replica, DROP_IN_UNIT,
        "# Limits of the service. They hold from its next start.\n"
        "# Written by `limpet-tune apply`. Taken back by `limpet-tune revert`, unless it "
        "is changed by hand.\n"
        "# Computed from: 1,000,000 connections, a test\n\n[Service]\n\n"
        "# the table of a ring\n"
        "#   before: 524288 (/usr/lib/systemd/system/limpet.service:2)\n"
        "LimitNOFILE=1048576\n\n"
        "# rings are charged to it\n"
        "#   before: 8388608\n"
        "LimitMEMLOCK=infinity\n");
    replica_expect(
        replica, DROP_IN_LOGIN,
        "# Hard limits of login shells alone, from the next login: for limpet and "
        "limpet-bench started by\n"
        "# hand, which raise their own soft limits. Services do not read this file.\n"
        "# Written by `limpet-tune apply`. Taken back by `limpet-tune revert`, unless it "
        "is changed by hand.\n"
        "# Computed from: 1,000,000 connections, a test\n\n"
        "# the same by hand\n"
        "#   before: 4096\n"
        "*     hard  nofile   1048576\n"
        "root  hard  nofile   1048576\n");
}

static void test_dry_run(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);

    replica->options.dry_run = true;
    assert_int_equal(replica_apply(replica), 0);
    replica_expect_said(replica, "net.core.somaxconn = 8192\n");
    replica_expect_snapshot(replica, before, "after a dry run");
    replica->options.dry_run = false;
    assert_int_equal(replica_apply(replica), 0);
    free(before);
    before = replica_snapshot(replica);
    replica->options.dry_run = true;
    assert_int_equal(replica_revert(replica), 0);
    replica_expect_said(replica, DROP_IN_SYSCTL " would be removed");
    replica_expect_snapshot(replica, before, "after a dry run of revert");
    free(before);
}

static void test_nobody_to_ask(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);
    FILE *in = tmpfile();

    assert_non_null(in);
    replica->options.yes = false;
    replica->options.in = in;
    replica_expect_refused(replica, replica_apply(replica), "say --yes", before);
    assert_int_equal(fclose(in), 0);
    free(before);
}

static void answer(struct replica *replica, const char *text)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int fd = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(fd >= 0);
    assert_int_equal(write(master, text, strlen(text)), strlen(text));
    replica->options.in = fdopen(fd, "r+");
    assert_non_null(replica->options.in);
}

static void test_asks(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);
    static const char *const no[] = {"n\n", "\n", "yellow\n"};

    replica->options.yes = false;
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        answer(replica, no[i]);
        replica_expect_refused(replica, replica_apply(replica), "[y/N]", before);
    }
    answer(replica, "y\n");
    assert_int_equal(replica_apply(replica), 0);
    replica_expect(replica, SOMAXCONN, "8192");
    answer(replica, "yes\n");
    assert_int_equal(replica_revert(replica), 0);
    replica_expect_snapshot(replica, before, "after revert");
    free(before);
}

static void test_again_and_over(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);
    struct change more[] = {replica_changes[0], replica_changes[4]};

    (void)snprintf(more[0].wanted, sizeof(more[0].wanted), "16384");
    (void)snprintf(more[1].wanted, sizeof(more[1].wanted), "2097152");
    assert_int_equal(replica_apply(replica), 0);
    assert_int_equal(replica_apply(replica), 0);
    replica_expect_said(replica, "nothing to do");
    assert_int_equal(apply_run(&replica->options, NULL, 0), 0);
    replica_expect_said(replica, "nothing to do");

    assert_int_equal(apply_run(&replica->options, more, 2), 0);
    replica_expect(replica, SOMAXCONN, "16384");
    replica_expect(replica, "/proc/sys/net/ipv4/tcp_mem", "625000 833333 1250000");
    replica->options.dry_run = true;
    assert_int_equal(apply_run(&replica->options, more, 2), 0);
    replica_expect_said(replica, "nothing to do");
    replica->options.dry_run = false;
    size_t size;
    char *text = replica_read(replica, DROP_IN_UNIT, &size);
    assert_non_null(strstr(text, "LimitNOFILE=2097152\n"));
    assert_non_null(strstr(text, "LimitMEMLOCK=infinity\n"));
    free(text);
    text = replica_read(replica, DROP_IN_SYSCTL, &size);
    assert_non_null(strstr(text, "#   before: 4096 (no file sets it)\nnet.core.somaxconn = 16384"));
    assert_non_null(strstr(text, "net.ipv4.tcp_mem = 625000"));
    free(text);

    assert_int_equal(replica_revert(replica), 0);
    replica_expect_snapshot(replica, before, "after two applies and revert");
    free(before);
}

/* What is so already without us stays out of the files. */
static void test_right_already(void **state)
{
    struct replica *replica = *state;

    replica_write(replica, SOMAXCONN, "8192\n");
    replica_write(replica, "/etc/systemd/system/limpet.service.d/50.conf",
                  "[Service]\nLimitNOFILE=1048576\nLimitMEMLOCK=infinity\n");
    assert_int_equal(replica_apply(replica), 0);
    size_t size;
    char *text = replica_read(replica, DROP_IN_SYSCTL, &size);
    assert_null(strstr(text, "somaxconn"));
    free(text);
    replica_expect_absent(replica, DROP_IN_UNIT);
    assert_int_equal(replica_revert(replica), 0);
    replica_expect(replica, SOMAXCONN, "8192\n");
}

/* What is right only because somebody set it by hand would not be so after a boot. */
static void test_right_by_hand(void **state)
{
    struct replica *replica = *state;
    const struct change *somaxconn = &replica_changes[0];
    size_t size;

    replica_write(replica, SOMAXCONN, "8192\n");
    replica_write(replica, "/etc/sysctl.d/50-old.conf", "net.core.somaxconn = 128\n");
    char *before = replica_snapshot(replica);
    assert_int_equal(apply_run(&replica->options, somaxconn, 1), 0);
    replica_expect_said(replica, "net.core.somaxconn = 8192: stays, and stands in the file");
    char *text = replica_read(replica, DROP_IN_SYSCTL, &size);
    assert_non_null(strstr(text, "#   before: 8192 (set by hand)\nnet.core.somaxconn = 8192\n"));
    free(text);
    assert_int_equal(replica_revert(replica), 0);
    replica_expect_snapshot(replica, before, "after revert");
    replica_write(replica, "/etc/sysctl.d/50-old.conf", "net.core.somaxconn = 9000\n");
    assert_int_equal(apply_run(&replica->options, somaxconn, 1), 0);
    replica_expect_said(replica, "nothing to do");
    free(before);
}

static void test_others_set_it(void **state)
{
    struct replica *replica = *state;

    replica_write(replica, "/etc/sysctl.d/99-mine.conf", "\nnet.core.somaxconn = 128\n");
    replica_write(replica, "/usr/lib/sysctl.d/50-distro.conf", "net.core.somaxconn = 1024\n");
    replica_write(replica, "/etc/sysctl.conf", "net.ipv4.tcp_mem = 1 2 3\n");
    replica_write(replica, "/etc/systemd/system/limpet.service.d/override.conf",
                  "[Service]\nLimitNOFILE=4096\n");
    assert_int_equal(replica_apply(replica), 0);
    const char *said = replica_said(replica);
    assert_non_null(strstr(said, "99-mine.conf:2 sets 128: COMES LATER AND WINS"));
    assert_non_null(strstr(said, "50-distro.conf:1 sets 1024: ours comes later and wins"));
    assert_non_null(strstr(said, "sysctl.conf:1 sets 1 2 3: not read at boot, but"));
    assert_non_null(strstr(said, "override.conf:2 sets 4096: COMES LATER AND WINS"));
    replica_expect(replica, "/etc/sysctl.d/99-mine.conf", "\nnet.core.somaxconn = 128\n");
}

static void test_two_at_once(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);
    char holder[64];
    int fd = open(replica_path(replica, "/var/lib"), O_RDONLY | O_DIRECTORY);

    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    (void)snprintf(holder, sizeof(holder), "process %d (", (int)getpid());
    replica_expect_refused(replica, replica_apply(replica), holder, before);
    replica_expect_refused(replica, replica_revert(replica), "is at work on", before);
    assert_int_equal(close(fd), 0);
    assert_int_equal(replica_apply(replica), 0);
    free(before);
}

static void test_bad_store(void **state)
{
    struct replica *replica = *state;
    char message[512];
    size_t size;

    assert_int_equal(revert_pending(replica->root, message, sizeof(message)), 0);
    assert_int_equal(replica_apply(replica), 0);
    assert_int_equal(revert_pending(replica->root, message, sizeof(message)), 1);
    char *good = replica_read(replica, STORE_STATE, &size);
    static const char *const names[] = {STORE_STATE, STORE_JOURNAL};
    for (size_t i = 0; i < 2; i++) {
        const char *const texts[] = {"", "garbage\n", "limpet-tune journal 1\nend 0\n"};
        for (size_t j = 0; j < 4; j++) {
            char *cut = strdup(good);
            cut[size / 2] = '\0';
            replica_write(replica, names[i], j < 3 ? texts[j] : cut);
            (void)replica_said(replica);
            char *before = replica_snapshot(replica);
            replica_expect_refused(replica, replica_revert(replica), "cannot be used", before);
            replica_expect_refused(replica, replica_apply(replica), "nothing was changed", before);
            assert_int_equal(revert_pending(replica->root, message, sizeof(message)), -1);
            assert_non_null(strstr(message, names[i]));
            free(before);
            free(cut);
        }
        replica_write(replica, STORE_STATE, good);
    }
    free(good);
}

static void test_in_the_way(void **state)
{
    struct replica *replica = *state;

    assert_int_equal(symlink("/dev/null", replica_path(replica, DROP_IN_SYSCTL)), 0);
    char *before = replica_snapshot(replica);
    replica_expect_refused(replica, replica_apply(replica), "is no plain file", before);
    free(before);
    assert_int_equal(unlink(replica_path(replica, DROP_IN_SYSCTL)), 0);

    replica_write(replica, "/etc/security", "a file");
    before = replica_snapshot(replica);
    replica_expect_refused(replica, replica_apply(replica), "is no folder", before);
    free(before);
    assert_int_equal(unlink(replica_path(replica, "/etc/security")), 0);

    assert_int_equal(rmdir(replica_path(replica, "/var/lib")), 0);
    before = replica_snapshot(replica);
    replica_expect_refused(replica, replica_apply(replica), "there is no folder", before);
    replica_expect_refused(replica, replica_revert(replica), "there is no folder", before);
    free(before);

    replica->options.root = "/nonexistent";
    assert_int_equal(replica_apply(replica), -1);
    replica_expect_said(replica, "--root /nonexistent: No such file");
}

/* A link out of the root leads to where it would lead on the host, not to the host's files. */
static void test_links_stay_inside(void **state)
{
    struct replica *replica = *state;

    replica_write(replica, "/moved/90.conf", "net.core.somaxconn = 77\n");
    assert_int_equal(symlink("/real/90.conf", replica_path(replica, "/etc/sysctl.d/98-link.conf")),
                     0);
    assert_int_equal(symlink("../../../../../../moved", replica_path(replica, "/real")), 0);
    assert_int_equal(replica_apply(replica), 0);
    replica_expect_said(replica, "98-link.conf:1 sets 77");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, replica_set_up, replica_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_there_and_back),    TEST(test_texts),         TEST(test_dry_run),
        TEST(test_nobody_to_ask),     TEST(test_asks),          TEST(test_again_and_over),
        TEST(test_right_already),     TEST(test_right_by_hand), TEST(test_others_set_it),
        TEST(test_two_at_once),       TEST(test_bad_store),     TEST(test_in_the_way),
        TEST(test_links_stay_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
