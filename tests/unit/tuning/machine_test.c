/*
 * Goal: what the host is comes out of /proc and /sys as it stands there; what is missing or garbage
 * is said or left at a safe value, and an interface or process that is not there is refused by
 * name.
 */
#include "tuning/interrupts.h"
#include "tuning/machine.h"

#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct scratch scratch;
static struct machine machine;
static char message[512];

static int open_host(void **state)
{
    (void)state;
    scratch_open(&scratch);
    scratch_host(&scratch);
    return 0;
}

static int close_host(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

static int read_machine(const char *nic, pid_t pid)
{
    return machine_read(&machine, scratch.root, nic, pid, message, sizeof(message));
}

static void test_a_host(void **state)
{
    (void)state;
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_int_equal(machine.cores, 4);
    assert_int_equal(machine.memory_bytes, 16ull << 30);
    assert_int_equal(machine.memory_max.bytes, 0);
    assert_string_equal(machine.nic, "eth0");
    assert_int_equal(machine.link_mbit, 10000);
    assert_int_equal(machine.rx_queues, 4);
    assert_int_equal(machine.pid, 0);
    assert_false(machine.is_tracked);
    assert_false(machine.is_steered);
    assert_int_equal(machine.provider, PROVIDER_NONE);
}

static void test_cores(void **state)
{
    static const struct {
        const char *text;
        uint32_t cores;
    } cases[] = {{"0\n", 1}, {"0-63\n", 64}, {"0,2,4-5\n", 4}, {"\n", 1},
                 {"x\n", 1}, {"5-2\n", 1},   {"0-\n", 1},      {"0-99999999\n", 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        scratch_write(&scratch, "/sys/devices/system/cpu/online", cases[i].text);
        assert_int_equal(read_machine(NULL, 0), 0);
        assert_int_equal(machine.cores, cases[i].cores);
    }
}

static void test_memory(void **state)
{
    (void)state;
    scratch_write(&scratch, "/sys/fs/cgroup/memory.max", "4294967296\n");
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_int_equal(machine.memory_bytes, 16ull << 30); /* the kernel's limits follow from it */
    assert_int_equal(machine.memory_max.bytes, 4ull << 30);
    machine_describe(&machine, message, sizeof(message));
    assert_non_null(
        strstr(message, "16.0 GB of memory (4.00 GB by the cgroup's memory.max), Linux"));

    scratch_write(&scratch, "/sys/fs/cgroup/memory.max", "17179869184\n"); /* what there is */
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_int_equal(machine.memory_max.bytes, 0);
    machine_describe(&machine, message, sizeof(message));
    assert_non_null(strstr(message, "16.0 GB of memory, Linux"));

    /* The server's own group, when one runs. */
    scratch_write(&scratch, "/sys/fs/cgroup/memory.max", "4294967296\n");
    scratch_write(&scratch, "/sys/fs/cgroup/system.slice/limpet.service/memory.max", "1048576\n");
    scratch_write(&scratch, "/proc/self/cgroup", "0::/user.slice\n");
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_int_equal(machine.memory_max.bytes, 4ull << 30);
    scratch_write(&scratch, "/proc/812/comm", "limpet\n");
    scratch_write(&scratch, "/proc/812/cgroup", "0::/system.slice/limpet.service\n");
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_int_equal(machine.memory_max.bytes, 1 << 20);

    scratch_write(&scratch, "/proc/meminfo", "MemTotal: what?\n");
    assert_int_equal(read_machine(NULL, 0), -1);
    assert_non_null(strstr(message, "/proc/meminfo"));
    scratch_remove(&scratch, "/proc/meminfo");
    assert_int_equal(read_machine(NULL, 0), -1);
}

static void test_interfaces(void **state)
{
    (void)state;
    assert_int_equal(read_machine("eth7", 0), -1);
    assert_non_null(strstr(message, "eth7"));
    assert_non_null(strstr(message, "ip -br link"));

    scratch_write(&scratch, "/sys/class/net/eth0/speed", "-1\n");
    scratch_write(&scratch, "/sys/class/net/eth0/queues/rx-0/rps_cpus", "0000000f\n");
    assert_int_equal(read_machine("eth0", 0), 0);
    assert_int_equal(machine.link_mbit, 0);
    assert_true(machine.is_steered);

    scratch_write(&scratch, "/proc/net/route", "Iface\tDestination\n");
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_string_equal(machine.nic, "");
}

static void write_irq(const char *irq, const char *cpus)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "/sys/class/net/eth0/device/msi_irqs/%s", irq);
    scratch_write(&scratch, path, "msix\n");
    (void)snprintf(path, sizeof(path), "/proc/irq/%s/effective_affinity_list", irq);
    scratch_write(&scratch, path, cpus);
}

static void test_interrupts(void **state)
{
    (void)state;
    assert_int_equal(interrupts_count_cpus(scratch.root, "eth0"), 0);
    write_irq("40", "3\n"); /* config: not a queue's */
    write_irq("41", "0\n");
    write_irq("42", "1-2\n");
    write_irq("43", "1\n");
    write_irq("44", "\n");
    scratch_write(&scratch, "/proc/irq/50/effective_affinity_list", "2\n");
    scratch_write(&scratch, "/proc/interrupts",
                  "     CPU0  CPU1\n"
                  " 40:    1     0  PCI-MSIX  0-edge  virtio2-config\n"
                  " 41:    1     0  PCI-MSIX  1-edge  virtio2-input.0\n"
                  " 42:    0     9  PCI-MSIX  2-edge  virtio2-input.1\n"
                  " 43:    0     9  PCI-MSIX  3-edge  virtio2-output.1\n"
                  " 44:    0     0  PCI-MSIX  3-edge  virtio2-output.2\n"
                  " 50:    0     7  PCI-MSIX  3-edge  somebody-else\n"
                  "NMI:    0     0  Non-maskable interrupts\n");
    assert_int_equal(interrupts_count_cpus(scratch.root, "eth0"), 2);
    assert_int_equal(interrupts_count_cpus(scratch.root, "eth1"), 0);
}

static void test_the_server(void **state)
{
    (void)state;
    scratch_write(&scratch, "/proc/812/comm", "limpet\n");
    scratch_write(&scratch, "/proc/97/comm", "limpet-bench\n");
    scratch_write(&scratch, "/proc/1205/comm", "limpet\n"); /* the next one, to take over */
    scratch_write(&scratch, "/proc/812/cgroup", "0::/system.slice/limpet.service\n");
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_int_equal(machine.pid, 812);
    assert_string_equal(machine.cgroup, "/system.slice/limpet.service");

    assert_int_equal(read_machine(NULL, 97), 0);
    assert_int_equal(machine.pid, 97);
    assert_string_equal(machine.cgroup, "");

    assert_int_equal(read_machine(NULL, 98), -1);
    assert_non_null(strstr(message, "--pid 98"));
    assert_int_equal(machine_find_process(scratch.root, "limpet-bench"), 97);
    assert_int_equal(machine_find_process(scratch.root, "irqbalance"), 0);
}

static void test_providers(void **state)
{
    (void)state;
    scratch_write(&scratch, "/sys/class/dmi/id/sys_vendor", "Google\n");
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_int_equal(machine.provider, PROVIDER_GOOGLE);
    scratch_write(&scratch, "/sys/class/dmi/id/sys_vendor", "Microsoft Corporation\n");
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_int_equal(machine.provider, PROVIDER_AZURE);
    scratch_write(&scratch, "/sys/class/dmi/id/sys_vendor", "QEMU\n");
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_int_equal(machine.provider, PROVIDER_NONE);
}

static void test_tracking_is_what_has_entries(void **state)
{
    (void)state;
    scratch_sysctl(&scratch, "net.netfilter.nf_conntrack_count", "0");
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_false(machine.is_tracked);
    scratch_sysctl(&scratch, "net.netfilter.nf_conntrack_count", "3");
    assert_int_equal(read_machine(NULL, 0), 0);
    assert_true(machine.is_tracked);
}

static void test_target(void **state)
{
    struct target_options options = {0};
    struct target target;

    (void)state;
    assert_int_equal(read_machine(NULL, 0), 0);
    machine_target(&machine, &options, 0, 0, &target);
    assert_int_equal(target.connections, TARGET_CONNECTIONS_DEFAULT);
    assert_int_equal(target.connect_rate, 5000);
    assert_int_equal(target.threads, 4);

    options.connections_max = 300000;
    options.shards = 3;
    machine_target(&machine, &options, 0, 0, &target);
    assert_int_equal(target.connections, 300000);
    assert_int_equal(target.threads, 3);
    machine_target(&machine, &options, 1, 0, &target);
    assert_int_equal(target.connections, 1);
    assert_int_equal(target.connect_rate, 1);
    machine_target(&machine, &options, 20, 7, &target);
    assert_int_equal(target.connect_rate, 7);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_host, close_host)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_host),     TEST(test_cores),
        TEST(test_memory),     TEST(test_interfaces),
        TEST(test_interrupts), TEST(test_the_server),
        TEST(test_providers),  TEST(test_tracking_is_what_has_entries),
        TEST(test_target),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
