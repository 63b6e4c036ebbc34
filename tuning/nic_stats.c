#include "tuning/nic_stats.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define STATS_MAX 65536u /* drivers with many queues have thousands */

static int ask(int fd, const char *nic, void *request)
{
    struct ifreq interface = {0};

    (void)snprintf(interface.ifr_name, sizeof(interface.ifr_name), "%s", nic);
    interface.ifr_data = request;
    return ioctl(fd, SIOCETHTOOL, &interface);
}

/* How many figures there are; 0 when the driver has none. */
static uint32_t count_stats(int fd, const char *nic)
{
    /* The struct ends with as many counts as were asked for: one. */
    uint64_t memory[(sizeof(struct ethtool_sset_info) + sizeof(uint32_t) + 7) / 8] = {0};
    struct ethtool_sset_info *request = (struct ethtool_sset_info *)memory;

    request->cmd = ETHTOOL_GSSET_INFO;
    request->sset_mask = 1ull << ETH_SS_STATS;
    if (ask(fd, nic, request) != 0 || request->sset_mask == 0) {
        return 0;
    }
    return request->data[0] < STATS_MAX ? request->data[0] : STATS_MAX;
}

/* The place of the name among the figures; NONE: there is none. */
static uint32_t find_name(int fd, const char *nic, const char *name, uint32_t count)
{
    struct ethtool_gstrings *names =
        calloc(1, sizeof(*names) + (size_t)count * ETH_GSTRING_LEN + 1);
    uint32_t found = NONE;

    if (!names) {
        return NONE;
    }
    names->cmd = ETHTOOL_GSTRINGS;
    names->string_set = ETH_SS_STATS;
    names->len = count;
    if (ask(fd, nic, names) == 0) {
        for (uint32_t i = 0; i < count && found == NONE; i++) {
            const char *at = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;
            found = strncmp(at, name, ETH_GSTRING_LEN) == 0 ? i : NONE;
        }
    }
    free(names);
    return found;
}

static enum host_reading read_value(int fd, const char *nic, uint32_t index, uint32_t count,
                                    uint64_t *value)
{
    struct ethtool_stats *stats = calloc(1, sizeof(*stats) + count * sizeof(stats->data[0]));
    enum host_reading outcome = HOST_UNREADABLE;

    if (!stats) {
        return outcome;
    }
    stats->cmd = ETHTOOL_GSTATS;
    stats->n_stats = count;
    if (ask(fd, nic, stats) == 0) {
        *value = stats->data[index];
        outcome = HOST_READ;
    }
    free(stats);
    return outcome;
}

enum host_reading nic_stats_read(const char *nic, const char *name, uint64_t *value)
{
    enum host_reading outcome = HOST_ABSENT;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return HOST_UNREADABLE;
    }
    const uint32_t count = count_stats(fd, nic);
    const uint32_t index = count > 0 ? find_name(fd, nic, name, count) : NONE;
    if (index != NONE) {
        outcome = read_value(fd, nic, index, count, value);
    }
    (void)close(fd);
    return outcome;
}
