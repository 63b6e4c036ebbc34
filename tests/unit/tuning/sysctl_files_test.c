/*
 * Goal: everybody who sets a key is found, and who wins at boot: folders in systemd's order by base
 * name, with masking; /etc/sysctl.conf with and without its link; the kernel's command line; ufw;
 * tuned, before or after the files; a unit and its drop-ins.
 */
#include "base/bytes.h"
#include "tests/unit/tuning/replica.h"
#include "tuning/drop_in.h"
#include "tuning/sysctl_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY "net.core.somaxconn"

struct host {
    struct replica replica;
    struct tree tree;
    struct sysctl_setters setters;
};

static int set_up(void **state)
{
    struct host *host = calloc(1, sizeof(*host));

    assert_non_null(host);
    replica_open(&host->replica);
    assert_int_equal(tree_open(&host->tree, host->replica.root), 0);
    *state = host;
    return 0;
}

static int tear_down(void **state)
{
    struct host *host = *state;

    tree_close(&host->tree);
    replica_close(&host->replica);
    free(host);
    return 0;
}

/* The places and values of all setters, in their order, and "*" before the winner. */
static void expect(struct host *host, const char *wanted)
{
    char now[2048] = "";
    char place[256];

    sysctl_files_find(&host->tree, KEY, &host->setters);
    const struct sysctl_setter *winner = sysctl_files_winner(&host->setters, NULL);
    for (size_t i = 0; i < host->setters.count; i++) {
        const struct sysctl_setter *setter = &host->setters.all[i];
        sysctl_files_place(setter, place, sizeof(place));
        const size_t used = strlen(now);
        (void)snprintf(now + used, sizeof(now) - used, "%s%s %s\n", setter == winner ? "*" : "",
                       place, setter->value);
    }
    assert_string_equal(now, wanted);
}

static void put(struct host *host, const char *path, const char *text)
{
    replica_write(&host->replica, path, text);
}

static void put_link(struct host *host, const char *path, const char *target)
{
    assert_int_equal(symlink(target, replica_path(&host->replica, path)), 0);
}

static void test_nobody(void **state)
{
    expect(*state, "");
}

static void test_order_by_base_name(void **state)
{
    struct host *host = *state;

    put(host, "/etc/sysctl.d/10-a.conf", "net.core.somaxconn=1\n");
    put(host, "/usr/lib/sysctl.d/50-b.conf", "x=1\n-net/core/somaxconn = 2\n");
    put(host, "/run/sysctl.d/30-c.conf", "net.core.somaxconn=3\nnet.core.somaxconn=4\n");
    put(host, "/usr/local/lib/sysctl.d/20-d.conf", "net.core.somaxconn=5\n");
    put(host, "/etc/sysctl.d/99-not-read", "net.core.somaxconn=6\n");
    put(host, "/etc/sysctl.d/.99-hidden.conf", "net.core.somaxconn=7\n");
    expect(host, "/etc/sysctl.d/10-a.conf:1 1\n"
                 "/usr/local/lib/sysctl.d/20-d.conf:1 5\n"
                 "/run/sysctl.d/30-c.conf:1 3\n"
                 "/run/sysctl.d/30-c.conf:2 4\n"
                 "*/usr/lib/sysctl.d/50-b.conf:2 2\n");
}

static void test_masking(void **state)
{
    struct host *host = *state;

    put(host, "/usr/lib/sysctl.d/50-a.conf", "net.core.somaxconn=1\n");
    put(host, "/run/sysctl.d/50-a.conf", "net.core.somaxconn=2\n");
    expect(host, "*/run/sysctl.d/50-a.conf:1 2\n");
    put_link(host, "/etc/sysctl.d/50-a.conf", "/dev/null");
    expect(host, "");
    put(host, "/usr/lib/sysctl.d/60-b.conf", "net.core.somaxconn=3\n");
    expect(host, "*/usr/lib/sysctl.d/60-b.conf:1 3\n");
    put(host, "/etc/sysctl.d/60-b.conf", "");
    expect(host, "");
}

static void test_sysctl_conf(void **state)
{
    struct host *host = *state;

    put(host, "/etc/sysctl.conf", "net.core.somaxconn=1\n");
    put(host, "/etc/sysctl.d/50-a.conf", "net.core.somaxconn=2\n");
    expect(host, "*/etc/sysctl.d/50-a.conf:1 2\n/etc/sysctl.conf:1 1\n");
    put_link(host, "/etc/sysctl.d/99-sysctl.conf", "../sysctl.conf");
    expect(host, "/etc/sysctl.d/50-a.conf:1 2\n*/etc/sysctl.d/99-sysctl.conf:1 1\n");
    assert_true(sysctl_files_beats(&host->setters.all[1], DROP_IN_SYSCTL));
    assert_false(sysctl_files_beats(&host->setters.all[0], DROP_IN_SYSCTL));
}

static void test_globs_give_way(void **state)
{
    struct host *host = *state;

    put(host, "/etc/sysctl.d/99-glob.conf", "net.core.*=1\n");
    expect(host, "*/etc/sysctl.d/99-glob.conf:1 1\n");
    put(host, "/etc/sysctl.d/10-name.conf", "net.core.somaxconn=2\n");
    expect(host, "*/etc/sysctl.d/10-name.conf:1 2\n/etc/sysctl.d/99-glob.conf:1 1\n");
    assert_false(sysctl_files_beats(&host->setters.all[1], DROP_IN_SYSCTL));
}

static void test_kernel_line(void **state)
{
    struct host *host = *state;

    put(host, "/proc/cmdline",
        "quiet sysctl.net.core.somaxconn=1 sysctl=x xsysctl.net.core.somaxconn=2 "
        "sysctl/net/core/somaxconn=3\n");
    expect(host, "the kernel's command line 1\n*the kernel's command line 3\n");
    put(host, "/etc/sysctl.d/00.conf", "net.core.somaxconn=4\n");
    expect(host, "the kernel's command line 1\nthe kernel's command line 3\n"
                 "*/etc/sysctl.d/00.conf:1 4\n");
}

static void test_ufw(void **state)
{
    struct host *host = *state;

    put(host, "/etc/ufw/sysctl.conf", "net/core/somaxconn=1\n");
    put(host, "/etc/sysctl.d/99.conf", "net.core.somaxconn=2\n");
    expect(host, "*/etc/sysctl.d/99.conf:1 2\n");
    put(host, "/etc/ufw/ufw.conf", "ENABLED=no\n");
    expect(host, "*/etc/sysctl.d/99.conf:1 2\n");
    put(host, "/etc/ufw/ufw.conf", "# ENABLED=no\nENABLED=yes\n");
    expect(host, "/etc/sysctl.d/99.conf:1 2\n*/etc/ufw/sysctl.conf:1 1\n");
    assert_true(sysctl_files_beats(&host->setters.all[1], DROP_IN_SYSCTL));
    put(host, "/etc/default/ufw", "IPT_SYSCTL=\"/etc/ufw/other.conf\"\n");
    put(host, "/etc/ufw/other.conf", "net/core/somaxconn=3\n");
    expect(host, "/etc/sysctl.d/99.conf:1 2\n*/etc/ufw/other.conf:1 3\n");
}

static void test_tuned(void **state)
{
    struct host *host = *state;

    put(host, "/usr/lib/tuned/latency/tuned.conf",
        "[main]\ninclude=base\n[sysctl]\nnet.core.somaxconn=1\n[vm]\nnet.core.somaxconn=9\n");
    put(host, "/usr/lib/tuned/profiles/base/tuned.conf", "[sysctl]\nnet.core.somaxconn=2\n");
    put(host, "/etc/sysctl.d/10.conf", "net.core.somaxconn=3\n");
    expect(host, "*/etc/sysctl.d/10.conf:1 3\n");
    put(host, "/etc/tuned/active_profile", "latency\n");
    /* By default tuned applies the files again after its own values. */
    expect(host, "/usr/lib/tuned/profiles/base/tuned.conf:2 2\n"
                 "/usr/lib/tuned/latency/tuned.conf:4 1\n"
                 "*/etc/sysctl.d/10.conf:1 3\n");
    put(host, "/etc/tuned/tuned-main.conf", "reapply_sysctl = 0\n");
    expect(host, "/etc/sysctl.d/10.conf:1 3\n"
                 "/usr/lib/tuned/profiles/base/tuned.conf:2 2\n"
                 "*/usr/lib/tuned/latency/tuned.conf:4 1\n");
    /* One's own profile is found first; one that includes itself ends. */
    put(host, "/etc/tuned/latency/tuned.conf", "[main]\ninclude=latency\n[sysctl]\n");
    expect(host, "*/etc/sysctl.d/10.conf:1 3\n");
    put(host, "/etc/tuned/active_profile", "../../etc\n");
    expect(host, "*/etc/sysctl.d/10.conf:1 3\n");
}

static void test_unit(void **state)
{
    struct host *host = *state;
    const char *key = "LimitNOFILE";

    put(host, "/usr/lib/systemd/system/limpet.service", "[Service]\nLimitNOFILE=1\n");
    put(host, "/etc/systemd/system/limpet.service.d/10.conf",
        "[Unit]\nLimitNOFILE=2\n[Service]\nLimitNOFILESoft=3\nLimitNOFILE = 4\n");
    put(host, "/usr/lib/systemd/system/limpet.service.d/override.conf",
        "[Service]\nLimitNOFILE=5\n");
    sysctl_files_find_unit(&host->tree, key, &host->setters);
    assert_int_equal(host->setters.count, 3);
    assert_string_equal(host->setters.all[0].value, "1");
    assert_string_equal(host->setters.all[1].value, "4");
    assert_string_equal(host->setters.all[2].value, "5");
    assert_false(sysctl_files_beats(&host->setters.all[0], DROP_IN_UNIT));
    assert_false(sysctl_files_beats(&host->setters.all[1], DROP_IN_UNIT));
    assert_true(sysctl_files_beats(&host->setters.all[2], DROP_IN_UNIT));
    put(host, "/etc/systemd/system/limpet.service", "[Service]\n");
    sysctl_files_find_unit(&host->tree, key, &host->setters);
    assert_int_equal(host->setters.count, 2);
}

/* More than there is room for: the last ones count. */
static void test_many(void **state)
{
    struct host *host = *state;
    char text[4096] = "";

    for (int i = 0; i < SYSCTL_SETTERS_MAX + 5; i++) {
        const size_t used = strlen(text);
        (void)snprintf(text + used, sizeof(text) - used, "net.core.somaxconn=%d\n", i);
    }
    put(host, "/etc/sysctl.d/10.conf", text);
    sysctl_files_find(&host->tree, KEY, &host->setters);
    assert_int_equal(host->setters.count, SYSCTL_SETTERS_MAX);
    assert_string_equal(host->setters.all[SYSCTL_SETTERS_MAX - 1].value, "28");
    assert_string_equal(host->setters.all[0].value, "5");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nobody),
        TEST(test_order_by_base_name),
        TEST(test_masking),
        TEST(test_sysctl_conf),
        TEST(test_globs_give_way),
        TEST(test_kernel_line),
        TEST(test_ufw),
        TEST(test_tuned),
        TEST(test_unit),
        TEST(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
