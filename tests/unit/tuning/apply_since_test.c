/*
 * Goal: what happened between apply and revert. What somebody else changed is left alone and told,
 * files that went missing too; a reboot, also into another kernel, and one in the middle of apply;
 * values that must not go down now.
 */
#include "base/bytes.h"
#include "tests/unit/tuning/replica.h"
#include "tuning/drop_in.h"
#include "tuning/revert.h"
#include "tuning/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SOMAXCONN "/proc/sys/net/core/somaxconn"

static void test_changed_since(void **state)
{
    struct replica *replica = *state;

    assert_int_equal(replica_apply(replica), 0);
    replica_write(replica, SOMAXCONN, "5000\n");
    replica_write(replica, DROP_IN_LOGIN, "# mine now\n");
    (void)replica_said(replica);
    assert_int_equal(replica_revert(replica), 1);
    const char *said = replica_said(replica);
    assert_non_null(strstr(said, "net.core.somaxconn is 5000, not the 8192 of apply"));
    assert_non_null(strstr(said, "limits.d/90-limpet.conf was changed since"));
    assert_non_null(strstr(said, "limits.d holds files of others now"));
    replica_expect(replica, SOMAXCONN, "5000\n");
    replica_expect(replica, DROP_IN_LOGIN, "# mine now\n");
    replica_expect(replica, "/proc/sys/net/ipv4/tcp_mem", "190000\t250000\t380000\n");
    replica_expect_absent(replica, DROP_IN_SYSCTL);
    replica_expect_absent(replica, STORE_FOLDER);
    assert_int_equal(replica_revert(replica), 0);
    replica_expect_said(replica, "nothing to take back");
}

/* Somebody's file had the name before us, and is kept under another one. */
static void test_kept_file(void **state)
{
    struct replica *replica = *state;
    static const char mine[] = "vm.swappiness = 1\n";
    const char *kept = "/etc/sysctl.d/.90-limpet.conf.before";

    replica_write(replica, DROP_IN_SYSCTL, mine);
    assert_int_equal(replica_apply(replica), 0);
    replica_expect(replica, kept, mine);
    assert_int_equal(unlink(replica_path(replica, kept)), 0);
    assert_int_equal(replica_revert(replica), -1);
    replica_expect_said(replica, "is gone: put the right file there by hand");
    replica_write(replica, DROP_IN_SYSCTL, mine);
    assert_int_equal(replica_revert(replica), 0);
    replica_expect(replica, DROP_IN_SYSCTL, mine);
    replica_expect_absent(replica, STORE_FOLDER);

    /* Ours is gone, the one before it is still there: neither is touched. */
    assert_int_equal(replica_apply(replica), 0);
    assert_int_equal(unlink(replica_path(replica, DROP_IN_SYSCTL)), 0);
    assert_int_equal(replica_revert(replica), 1);
    replica_expect_said(replica, "was removed since: it is left alone; what was there before is");
    replica_expect(replica, kept, mine);
    replica_expect_absent(replica, DROP_IN_SYSCTL);
    /* And does not get lost by the next apply. */
    replica_write(replica, DROP_IN_SYSCTL, "# another\n");
    char *before = replica_snapshot(replica);
    replica_expect_refused(replica, replica_apply(replica), "is in the way", before);
    free(before);
}

/* What a file of ours left behind when it was removed is nothing to take back. */
static void test_removed_since(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);

    assert_int_equal(replica_apply(replica), 0);
    assert_int_equal(unlink(replica_path(replica, DROP_IN_SYSCTL)), 0);
    assert_int_equal(unlink(replica_path(replica, DROP_IN_UNIT)), 0);
    assert_int_equal(rmdir(replica_path(replica, "/etc/systemd/system/limpet.service.d")), 0);
    assert_int_equal(replica_revert(replica), 0);
    replica_expect_snapshot(replica, before, "after revert");
    free(before);
}

/* The power went while apply ran, and the system came up with our file in place. */
static void test_power_failure(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);
    char journal[128];
    char message[512];

    assert_int_equal(replica_apply(replica), 0);
    (void)snprintf(journal, sizeof(journal), "%s", replica_path(replica, STORE_JOURNAL));
    assert_int_equal(rename(replica_path(replica, STORE_STATE), journal), 0);
    assert_int_equal(revert_pending(replica->root, message, sizeof(message)), 2);
    assert_non_null(strstr(message, "was interrupted"));
    replica_write(replica, "/proc/sys/kernel/random/boot_id",
                  "99999999-2222-3333-4444-555555555555\n");
    assert_int_equal(apply_recover(&replica->options), 0);
    replica_expect_said(replica, "was interrupted; it is taken back");
    replica_write(replica, "/proc/sys/kernel/random/boot_id",
                  "11111111-2222-3333-4444-555555555555\n");
    replica_expect_snapshot(replica, before, "after a power failure");
    free(before);
}

static void test_edited_before_apply(void **state)
{
    struct replica *replica = *state;

    assert_int_equal(replica_apply(replica), 0);
    replica_write(replica, DROP_IN_SYSCTL, "vm.swappiness = 1\n");
    (void)replica_said(replica);
    char *before = replica_snapshot(replica);
    replica_expect_refused(replica, replica_apply(replica),
                           "was changed by hand since the last apply", before);
    free(before);
}

static void reboot(struct replica *replica, const char *kernel)
{
    replica_write(replica, "/proc/sys/kernel/random/boot_id",
                  "99999999-2222-3333-4444-555555555555\n");
    replica_write(replica, "/proc/sys/kernel/osrelease", kernel);
}

/* Live values go to what the remaining files give, else to what was before any of ours. */
static void test_reboot(void **state)
{
    struct replica *replica = *state;

    assert_int_equal(replica_apply(replica), 0);
    replica_write(replica, "/run/sysctl.d/20-new.conf", "net/core/somaxconn=6000\n");
    reboot(replica, "6.1.0\n");
    assert_int_equal(replica_revert(replica), 0);
    replica_expect(replica, SOMAXCONN, "6000");
    replica_expect(replica, "/proc/sys/net/ipv4/tcp_mem", "190000\t250000\t380000\n");
}

static void test_reboot_to_another_kernel(void **state)
{
    struct replica *replica = *state;

    assert_int_equal(replica_apply(replica), 0);
    reboot(replica, "6.18.0\n");
    assert_int_equal(replica_revert(replica), 1);
    replica_expect_said(replica, "net.core.somaxconn stays as it is until the next boot");
    replica_expect(replica, SOMAXCONN, "8192");
    replica_expect_absent(replica, DROP_IN_SYSCTL);
    replica_expect_absent(replica, STORE_FOLDER);
}

/* Another apply after the reboot: revert still knows what the other files give. */
static void test_reboot_and_apply(void **state)
{
    struct replica *replica = *state;
    struct change more = replica_changes[0];

    assert_int_equal(replica_apply(replica), 0);
    replica_write(replica, "/run/sysctl.d/20-new.conf", "net.core.somaxconn=6000\n");
    reboot(replica, "6.1.0\n");
    (void)snprintf(more.wanted, sizeof(more.wanted), "16384");
    assert_int_equal(apply_run(&replica->options, &more, 1), 0);
    assert_int_equal(replica_revert(replica), 0);
    replica_expect(replica, SOMAXCONN, "6000\n");
    replica_expect(replica, "/proc/sys/net/ipv4/tcp_mem", "190000\t250000\t380000\n");
}

static void test_in_use(void **state)
{
    struct replica *replica = *state;
    struct change less = replica_changes[3];
    static const char sockstat[] = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 2 alloc 10 mem %d\n";
    char text[128];

    (void)snprintf(less.wanted, sizeof(less.wanted), "1000 2000 3000");
    (void)snprintf(text, sizeof(text), sockstat, 3001);
    replica_write(replica, "/proc/net/sockstat", text);
    char *before = replica_snapshot(replica);
    replica_expect_refused(replica, apply_run(&replica->options, &less, 1),
                           "net.ipv4.tcp_mem must not go down to 1000 2000 3000 now: 3001 pages",
                           before);
    free(before);
    (void)snprintf(text, sizeof(text), sockstat, 3000);
    replica_write(replica, "/proc/net/sockstat", text);
    assert_int_equal(apply_run(&replica->options, &less, 1), 0);
    assert_int_equal(replica_revert(replica), 0);

    assert_int_equal(replica_apply(replica), 0);
    (void)snprintf(text, sizeof(text), sockstat, 380001);
    replica_write(replica, "/proc/net/sockstat", text);
    before = replica_snapshot(replica);
    replica_expect_refused(replica, replica_revert(replica), "drain or stop limpet first", before);
    free(before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, replica_set_up, replica_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_changed_since),
        TEST(test_kept_file),
        TEST(test_removed_since),
        TEST(test_power_failure),
        TEST(test_edited_before_apply),
        TEST(test_reboot),
        TEST(test_reboot_to_another_kernel),
        TEST(test_reboot_and_apply),
        TEST(test_in_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
