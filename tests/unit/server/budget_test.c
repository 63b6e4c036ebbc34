/*
 * Goal: every count follows from the options, the descriptor limit and the memory as the formulas
 * say, on both sides of each bound; what cannot be is refused with an advice that helps; the
 * printed table adds up.
 *
 * The limit is lowered from test to test (a process that is not root cannot raise it again), so the
 * order of the tests matters.
 */
#include "server/budget.h"

#include "base/arena.h"
#include "server/shard.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* What getrlimit tells of descriptors, and the bound that setrlimit has then; 0: the machine's. */
static struct {
    struct rlimit limit;
    rlim_t hard_max;
} pretended;

/* A sanitizer asks for limits before it can watch anybody. */
#define NOT_WATCHED __attribute__((no_sanitize("thread", "address", "undefined")))

NOT_WATCHED int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
    if (pretended.hard_max == 0 || resource != RLIMIT_NOFILE) {
        return prlimit(0, resource, NULL, limit);
    }
    *limit = pretended.limit;
    return 0;
}

NOT_WATCHED int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    if (pretended.hard_max == 0 || resource != RLIMIT_NOFILE) {
        return prlimit(0, resource, limit, NULL);
    }
    if (limit->rlim_max > pretended.hard_max) {
        errno = EPERM;
        return -1;
    }
    pretended.limit = *limit;
    return 0;
}

static struct options options;
static struct budget budget;
static char message[512];
static const char *root = "/nowhere"; /* of the cgroups' files */

static int make(void)
{
    message[0] = '\0';
    return budget_make(&options, root, &budget, message, sizeof(message));
}

static int start(void **state)
{
    (void)state;
    options_init(&options);
    options.shards = 2;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    options_free(&options);
    memset(&pretended, 0, sizeof(pretended));
    return 0;
}

/* Soft and hard; the test is skipped where the machine allows less. */
static void limit_descriptors(rlim_t soft, rlim_t hard)
{
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    struct rlimit now;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    if (now.rlim_max < hard) {
        skip();
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* --- shards ----------------------------------------------------------------------------------- */

static void shards_are_one_a_core_or_as_many_as_wanted(void **state)
{
    (void)state;
    options.shards = 0;
    assert_int_equal(make(), 0);
    assert_int_equal(budget.shard_count, sysconf(_SC_NPROCESSORS_ONLN));
    options.shards = 1;
    assert_int_equal(make(), 0);
    assert_int_equal(budget.shard_count, 1);
    options.shards = SHARDS_MAX;
    assert_int_equal(make(), 0);
    assert_int_equal(budget.shard_count, SHARDS_MAX);
    options.shards = SHARDS_MAX + 1;
    assert_int_equal(make(), -1);
    assert_string_equal(message, "shards: 257 is more than 256");
}

/* --- what follows from the sockets ------------------------------------------------------------ */

static void pools_follow_from_the_sockets(void **state)
{
    (void)state;
    limit_descriptors(4096, 4096);
    options.limits.connections_max = 1000;
    options.limits.handshakes_max = 100;
    options.limits.arena_size = 1 << 20;
    assert_int_equal(make(), 0);
    /* 500 a shard, 6 times their root (23, rounded up) for the unevenness, handshakes, and 64. */
    assert_int_equal(budget.sockets_max, 500 + 6 * 23 + 100 + 64);
    assert_int_equal(budget.connections_max, 1000);
    assert_string_equal(budget.bound_by, "option limits.connections_max");
    assert_int_equal(budget.openings_max, budget.sockets_max);
    assert_int_equal(budget.partials_max, budget.sockets_max);
    assert_int_equal(budget.handshakes_max, 100);
    assert_int_equal(budget.subscriptions_max, 2 * budget.sockets_max);
    assert_int_equal(budget.channels_max, options.limits.channels_max);
    assert_int_equal(budget.arena_size, 1 << 20);
    assert_int_equal(budget.nodes_max, 4 * budget.sockets_max + (1 << 20) / ARENA_BLOCK_MIN);

    options.limits.connections_max = 1001; /* an odd one has its place */
    assert_int_equal(make(), 0);
    assert_int_equal(budget.sockets_max, 501 + 6 * 23 + 100 + 64);
    options.limits.connections_max = 1; /* and so has a single one, in any shard */
    assert_int_equal(make(), 0);
    assert_int_equal(budget.sockets_max, 1 + 6 + 100 + 64);
}

static void explicit_counts_are_taken(void **state)
{
    (void)state;
    options.limits.connections_max = 1000;
    options.limits.subscriptions_max = 7;
    options.limits.channels_max = 3;
    assert_int_equal(make(), 0);
    assert_int_equal(budget.subscriptions_max, 7);
    assert_int_equal(budget.channels_max, 3);

    /* More handshakes than sockets are no use. */
    options.limits.handshakes_max = 60000;
    options.limits.connections_max = 0;
    limit_descriptors(4096, 4096);
    assert_int_equal(make(), 0);
    assert_int_equal(budget.handshakes_max, 4096);
}

static void the_arena_is_a_power_of_two(void **state)
{
    (void)state;
    options.limits.connections_max = 100;
    options.limits.arena_size = 64 << 20;
    assert_int_equal(make(), 0);
    assert_int_equal(budget.arena_size, 64 << 20);
    options.limits.arena_size = (64 << 20) - 1;
    assert_int_equal(make(), 0);
    assert_int_equal(budget.arena_size, 64 << 20);
    options.limits.arena_size = (64 << 20) + 1;
    assert_int_equal(make(), 0);
    assert_int_equal(budget.arena_size, 128 << 20);
    options.limits.arena_size = 1u << 31;
    assert_int_equal(make(), 0);
    assert_true(budget.arena_size == (size_t)1 << 31);
    assert_int_equal(budget.nodes_max, 1 << 24); /* what a pool can hold */
}

/* --- the descriptor limit --------------------------------------------------------------------- */

static void the_soft_limit_is_raised(void **state)
{
    struct rlimit limit;

    (void)state;
    limit_descriptors(300, 4000);
    assert_int_equal(make(), 0);
    assert_int_equal(budget.sockets_max, 4000);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limit.rlim_cur, 4000);
    assert_int_equal(limit.rlim_max, 4000);
}

static void without_an_option_the_machine_decides(void **state)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 5120;

    (void)state;
    limit_descriptors(4000, 4000);
    assert_int_equal(make(), 0);
    assert_int_equal(budget.connections_max, 2 * 4000 - 1000); /* an eighth is for handshakes */
    assert_non_null(strstr(budget.bound_by, "RLIMIT_NOFILE x shards"));

    options.shards = SHARDS_MAX;
    assert_int_equal(make(), 0);
    uint64_t descriptors = (uint64_t)SHARDS_MAX * 4000 * 7 / 8;
    assert_int_equal(budget.connections_max, memory < descriptors ? memory : descriptors);
    assert_int_equal(strncmp(budget.bound_by, "memory", 6) == 0, memory < descriptors);
}

static void an_option_that_cannot_be_gets_advice_that_helps(void **state)
{
    unsigned shards = 0;

    (void)state;
    limit_descriptors(2000, 2000);
    options.limits.connections_max = 2 * 1999;
    assert_int_equal(make(), 0);
    assert_int_equal(budget.sockets_max, 2000); /* no room for unevenness, but it can be */
    options.limits.connections_max++;
    assert_int_equal(make(), -1);
    assert_non_null(strstr(message, "limits.connections_max 3999 needs"));
    assert_non_null(strstr(message, "RLIMIT_NOFILE is 2000: raise it"));
    const char *advice = strstr(message, "--shards ");
    assert_non_null(advice);
    assert_int_equal(sscanf(advice, "--shards %u", &shards), 1);
    options.shards = shards;
    assert_int_equal(make(), 0);
    assert_true(budget.shard_count * budget.sockets_max > 3999 + 3999 / 10);
}

static void less_than_256_descriptors_are_too_few(void **state)
{
    (void)state;
    limit_descriptors(256, 256);
    options.limits.connections_max = 10;
    assert_int_equal(make(), 0);
    options.limits.connections_max = 0;
    assert_int_equal(make(), 0);
    assert_int_equal(budget.sockets_max, 256);
    limit_descriptors(255, 255);
    assert_int_equal(make(), -1);
    assert_non_null(strstr(message, "RLIMIT_NOFILE is 255: too low to serve; raise it"));
    options.limits.connections_max = 10;
    assert_int_equal(make(), -1);
}

/* S36: service managers have given 2^30 and no limit at all. Nothing grows with it. */
static void a_huge_limit_makes_nothing_huge(void **state)
{
    const rlim_t huge[] = {1073741816, RLIM_INFINITY - 1, RLIM_INFINITY};

    (void)state;
    for (size_t i = 0; i < sizeof(huge) / sizeof(huge[0]); i++) {
        pretended.limit = (struct rlimit){.rlim_cur = huge[i], .rlim_max = huge[i]};
        pretended.hard_max = RLIM_INFINITY;
        options.limits.connections_max = 0;
        assert_int_equal(make(), 0);
        assert_int_equal(budget.sockets_max, 1 << 20);
        assert_in_range(budget.nodes_max, 1, 1 << 24);
        assert_in_range(budget.connections_max, 1, 2 << 20);
        assert_true(pretended.limit.rlim_cur == huge[i]);

        options.limits.connections_max = 1000;
        assert_int_equal(make(), 0);
        assert_int_equal(budget.sockets_max, 500 + 6 * 23 + options.limits.handshakes_max + 64);

        pretended.limit.rlim_cur = 1024;
        options.limits.connections_max = 0;
        assert_int_equal(make(), 0);
        assert_int_equal(budget.sockets_max, 1 << 20);
        assert_int_equal(pretended.limit.rlim_cur, 1 << 20); /* not more than tables may use */
    }
}

/* S36: fs.nr_open was lowered below a hard limit that was given before. The kernel refuses every
 * change that leaves the hard limit where it is. */
static void a_hard_limit_above_nr_open_is_lowered_to_it(void **state)
{
    unsigned long nr_open = 0;
    FILE *file = fopen("/proc/sys/fs/nr_open", "re");

    (void)state;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &nr_open), 1);
    assert_int_equal(fclose(file), 0);
    pretended.limit = (struct rlimit){.rlim_cur = 1024, .rlim_max = nr_open + 1};
    pretended.hard_max = nr_open;
    assert_int_equal(make(), 0);
    assert_int_equal(pretended.limit.rlim_cur, nr_open);
    assert_int_equal(pretended.limit.rlim_max, nr_open);
    assert_int_equal(budget.sockets_max, nr_open < 1 << 20 ? nr_open : 1 << 20);

    /* Refused for another reason: with what there is, it goes on. */
    pretended.limit = (struct rlimit){.rlim_cur = 1024, .rlim_max = 4096};
    pretended.hard_max = 1;
    assert_int_equal(make(), 0);
    assert_int_equal(budget.sockets_max, 1024);
}

/* --- the cgroup's limit ----------------------------------------------------------------------- */

static char cgroup_root[] = "/tmp/limpet-budget-XXXXXX";
static const char *const cgroup_folders[] = {"/sys", "/sys/fs", "/sys/fs/cgroup"};

static void write_memory_max(const char *text)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/sys/fs/cgroup/memory.max", cgroup_root);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int start_in_cgroup(void **state)
{
    char path[128];

    assert_non_null(mkdtemp(cgroup_root));
    for (size_t i = 0; i < sizeof(cgroup_folders) / sizeof(cgroup_folders[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", cgroup_root, cgroup_folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    root = cgroup_root;
    return start(state);
}

static int stop_in_cgroup(void **state)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/sys/fs/cgroup/memory.max", cgroup_root);
    assert_int_equal(unlink(path), 0);
    for (size_t i = sizeof(cgroup_folders) / sizeof(cgroup_folders[0]); i > 0; i--) {
        (void)snprintf(path, sizeof(path), "%s%s", cgroup_root, cgroup_folders[i - 1]);
        assert_int_equal(rmdir(path), 0);
    }
    assert_int_equal(rmdir(cgroup_root), 0);
    root = "/nowhere";
    return stop(state);
}

/* A container has its own memory, not the machine's. */
static void a_container_holds_what_its_memory_holds(void **state)
{
    const uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    char text[32];

    (void)state;
    pretended.limit = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    pretended.hard_max = 1 << 20;
    write_memory_max("536870912\n");
    assert_int_equal(make(), 0);
    assert_int_equal(budget.connections_max, (512 << 20) / 5120);
    assert_string_equal(budget.bound_by, "the cgroup's memory.max");
    assert_int_equal(budget.queue_bytes_max, 128 << 20); /* half of it, of two shards */
    write_memory_max("4294967296\n");
    if (machine > 4ull << 30) {
        assert_int_equal(make(), 0);
        assert_int_equal(budget.queue_bytes_max, 256 << 20); /* an eighth, and the least, too */
    }

    options.limits.connections_max = 200000; /* somebody knows better */
    assert_int_equal(make(), 0);
    assert_int_equal(budget.connections_max, 200000);
    assert_string_equal(budget.bound_by, "option limits.connections_max");
    options.limits.connections_max = 0;

    /* As much as the machine has is no limit, and so is none. */
    (void)snprintf(text, sizeof(text), "%llu\n", (unsigned long long)machine);
    options.shards = SHARDS_MAX;
    write_memory_max(text);
    assert_int_equal(make(), 0);
    assert_string_equal(budget.bound_by, "memory, at 5 KB a connection");
    write_memory_max("max\n");
    assert_int_equal(make(), 0);
    assert_string_equal(budget.bound_by, "memory, at 5 KB a connection");
    (void)snprintf(text, sizeof(text), "%llu\n", (unsigned long long)machine - 5120);
    write_memory_max(text);
    assert_int_equal(make(), 0);
    assert_string_equal(budget.bound_by, "the cgroup's memory.max");
}

/* --- the table -------------------------------------------------------------------------------- */

static void the_table_adds_up(void **state)
{
    char *text = NULL;
    char *rest = NULL;
    size_t size = 0;
    unsigned rows = 0;

    (void)state;
    limit_descriptors(4096, 4096);
    options.limits.connections_max = 1000;
    assert_int_equal(make(), 0);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    budget_print(&budget, &options, out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "budget of one shard (2 shards;"));
    assert_non_null(strstr(text, "holds up to 1000 connections; bounded by option limits.conn"));
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned long long count = 0;
        unsigned long long each = 0;
        double total = 0;
        if (sscanf(line, "  %*28c %llu x %llu B = %lf MB", &count, &each, &total) != 3) {
            continue;
        }
        rows++;
        assert_true(each > 0);
        double difference = total - (double)(count * each) / 1048576;
        assert_true(difference > -0.051 && difference < 0.051);
        if (memcmp(line + 2, "connection ", 11) == 0) {
            assert_int_equal(count, budget.sockets_max);
            assert_int_equal(each, 64);
        }
    }
    assert_true(rows >= 11);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shards_are_one_a_core_or_as_many_as_wanted, start, stop),
        cmocka_unit_test_setup_teardown(a_huge_limit_makes_nothing_huge, start, stop),
        cmocka_unit_test_setup_teardown(a_hard_limit_above_nr_open_is_lowered_to_it, start, stop),
        cmocka_unit_test_setup_teardown(a_container_holds_what_its_memory_holds, start_in_cgroup,
                                        stop_in_cgroup),
        cmocka_unit_test_setup_teardown(pools_follow_from_the_sockets, start, stop),
        cmocka_unit_test_setup_teardown(explicit_counts_are_taken, start, stop),
        cmocka_unit_test_setup_teardown(the_arena_is_a_power_of_two, start, stop),
        cmocka_unit_test_setup_teardown(the_table_adds_up, start, stop),
        cmocka_unit_test_setup_teardown(the_soft_limit_is_raised, start, stop),
        cmocka_unit_test_setup_teardown(without_an_option_the_machine_decides, start, stop),
        cmocka_unit_test_setup_teardown(an_option_that_cannot_be_gets_advice_that_helps, start,
                                        stop),
        cmocka_unit_test_setup_teardown(less_than_256_descriptors_are_too_few, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
