/*
 * Goal: the memory that a process may use is the lowest limit on its way up through the groups, of
 * either version; what is missing, cut or no number limits nothing and breaks nothing.
 */
#include "tuning/cgroup.h"

#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define V2_NAME "the cgroup's memory.max"
#define V1_NAME "the cgroup's memory.limit_in_bytes"
#define MOUNT   "/sys/fs/cgroup"
#define MOUNT_1 "/sys/fs/cgroup/memory"

static struct scratch scratch;

static int open_host(void **state)
{
    (void)state;
    scratch_open(&scratch);
    return 0;
}

static int close_host(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

static void expect(pid_t pid, uint64_t bytes, const char *name)
{
    const struct cgroup_memory memory = cgroup_memory(scratch.root, pid);

    assert_int_equal(memory.bytes, bytes);
    if (name) {
        assert_string_equal(memory.name, name);
    }
}

static void nothing_there_limits_nothing(void **state)
{
    (void)state;
    expect(0, 0, NULL);
    scratch_write(&scratch, "/proc/self/cgroup", "");
    expect(0, 0, NULL);
    scratch_write(&scratch, "/proc/self/cgroup", "0::/a/b\n"); /* no such folder */
    expect(0, 0, NULL);
    expect(77, 0, NULL); /* no such process */
}

static void a_container_has_its_limit_at_the_mount(void **state)
{
    static const char *const paths[] = {
        "",                        /* /proc is not readable */
        "0::/\n",                  /* a namespace of its own */
        "0::/docker/4f5a\n",       /* the host's folder, which is not there */
        "0::/../outside/service\n" /* entered from outside */
    };

    (void)state;
    scratch_write(&scratch, MOUNT "/memory.max", "4294967296\n");
    expect(0, 4ull << 30, V2_NAME);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        scratch_write(&scratch, "/proc/self/cgroup", paths[i]);
        expect(0, 4ull << 30, V2_NAME);
    }
}

static void the_lowest_of_all_ancestors_counts(void **state)
{
    (void)state;
    scratch_write(&scratch, "/proc/self/cgroup", "0::/a/b/c\n");
    scratch_write(&scratch, "/proc/812/cgroup", "0::/a/x\n");
    scratch_write(&scratch, MOUNT "/a/b/c/memory.max", "max\n");
    expect(0, 0, NULL);
    scratch_write(&scratch, MOUNT "/memory.max", "9000\n");
    expect(0, 9000, V2_NAME);
    scratch_write(&scratch, MOUNT "/a/memory.max", "8000\n");
    expect(0, 8000, V2_NAME);
    scratch_write(&scratch, MOUNT "/a/b/memory.max", "9500\n"); /* below it, but not lower */
    expect(0, 8000, V2_NAME);
    scratch_write(&scratch, MOUNT "/a/b/memory.max", "7000\n");
    expect(0, 7000, V2_NAME);
    scratch_write(&scratch, MOUNT "/a/b/c/memory.max", "6000\n");
    expect(0, 6000, V2_NAME);
    scratch_write(&scratch, MOUNT "/a/b/c/d/memory.max", "1\n"); /* not on the way */
    scratch_write(&scratch, MOUNT "/a/b/cc/memory.max", "1\n");
    expect(0, 6000, V2_NAME);
    expect(812, 8000, V2_NAME); /* another process's way */
}

static void what_is_no_number_is_passed_over(void **state)
{
    static const char *const garbage[] = {"max\n", "\n",  "",      "-1\n",
                                          "12x\n", "0\n", "1 2\n", "99999999999999999999999\n"};

    (void)state;
    scratch_write(&scratch, "/proc/self/cgroup", "0::/a\n");
    scratch_write(&scratch, MOUNT "/memory.max", "5000\n");
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        scratch_write(&scratch, MOUNT "/a/memory.max", garbage[i]);
        expect(0, 5000, V2_NAME);
    }
    scratch_write(&scratch, "/proc/self/cgroup", "garbage\n:\n::\n0:/a\n0::a\n0::/a\n");
    scratch_write(&scratch, MOUNT "/a/memory.max", "4000\n");
    expect(0, 4000, V2_NAME);
}

static void version_1_counts_too(void **state)
{
    (void)state;
    scratch_write(&scratch, "/proc/self/cgroup",
                  "5:cpu,cpuacct:/c\n4:memory_x:/no\n3:hugetlb,memory,x:/m/n\n0::/\n");
    scratch_write(&scratch, MOUNT_1 "/memory.limit_in_bytes", "9223372036854771712\n");
    expect(0, 9223372036854771712u, V1_NAME); /* none, as it is written there */
    scratch_write(&scratch, MOUNT_1 "/c/memory.limit_in_bytes", "1\n");
    scratch_write(&scratch, MOUNT_1 "/no/memory.limit_in_bytes", "1\n");
    scratch_write(&scratch, MOUNT_1 "/m/memory.limit_in_bytes", "7000\n");
    expect(0, 7000, V1_NAME);
    scratch_write(&scratch, MOUNT_1 "/m/n/memory.limit_in_bytes", "6000\n");
    expect(0, 6000, V1_NAME);
    scratch_write(&scratch, MOUNT "/memory.max", "5000\n");
    expect(0, 5000, V2_NAME);
    scratch_write(&scratch, MOUNT "/memory.max", "6001\n");
    expect(0, 6000, V1_NAME);
}

static void long_paths_do_no_harm(void **state)
{
    static char line[HOST_PATH_MAX + 64];
    char path[HOST_PATH_MAX];

    (void)state;
    scratch_write(&scratch, MOUNT "/memory.max", "5000\n");
    /* One byte too long for a line, and one that fits, but not behind the mount. */
    for (size_t size = HOST_PATH_MAX - 8; size < HOST_PATH_MAX + 8; size++) {
        memset(line, 'a', sizeof(line));
        memcpy(line, "0::/", 4);
        memcpy(line + size - 1, "\n", 2);
        scratch_write(&scratch, "/proc/self/cgroup", line);
        const struct cgroup_memory memory = cgroup_memory(scratch.root, 0);
        assert_true(memory.bytes == 0 || memory.bytes == 5000);
    }
    /* As service managers of containers name them: longer than a value may be. */
    scratch_write(&scratch, "/proc/self/cgroup",
                  "0::/kubepods.slice/kubepods-burstable.slice/"
                  "kubepods-burstable-pod0123456789012345678901234567890123456789.slice/"
                  "cri-containerd-0123456789012345678901234567890123456789.scope\n");
    assert_true(cgroup_path(scratch.root, 0, path));
    assert_non_null(strstr(path, "56789.scope"));
    scratch_write(&scratch, MOUNT "/kubepods.slice/memory.max", "4000\n");
    expect(0, 4000, V2_NAME);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_host, close_host)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_there_limits_nothing),
        TEST(a_container_has_its_limit_at_the_mount),
        TEST(the_lowest_of_all_ancestors_counts),
        TEST(what_is_no_number_is_passed_over),
        TEST(version_1_counts_too),
        TEST(long_paths_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
