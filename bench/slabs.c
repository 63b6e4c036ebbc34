#include "bench/slabs.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define FILE_SIZE_MAX   262144
#define SETTLE_MS       150
#define SETTLE_TURNS    20
#define DISTURBED_SHARE 0.02 /* sockets of others that spoil the figure */
#define GROWTH_MIN      0.1  /* objects per connection */

void slabs_parse(struct slabs *slabs, const char *text)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const char *line = text;

    slabs->count = 0;
    while (line && *line != '\0' && slabs->count < SLABS_MAX) {
        struct slab slab = {0};
        uint64_t objects_each;
        uint64_t pages_each;
        /* name active total size objects/slab pages/slab : tunables ... */
        int found = sscanf(line, "%31s %" SCNu64 " %*u %*u %" SCNu64 " %" SCNu64 " : tunables",
                           slab.name, &slab.objects, &objects_each, &pages_each);
        if (found == 4 && objects_each > 0) {
            slab.object_bytes = (double)(pages_each * page) / (double)objects_each;
            slabs->items[slabs->count++] = slab;
        }
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
}

int slabs_read(struct slabs *slabs)
{
    FILE *file = fopen("/proc/slabinfo", "re");

    if (!file) {
        return -errno;
    }
    char *text = malloc(FILE_SIZE_MAX);
    if (!text) {
        (void)fclose(file);
        return -ENOMEM;
    }
    size_t size = fread(text, 1, FILE_SIZE_MAX - 1, file);
    text[size] = '\0';
    slabs_parse(slabs, text);
    (void)fclose(file);
    free(text);
    return slabs->count > 0 ? 0 : -EINVAL;
}

static const struct slab *find(const struct slabs *slabs, const char *name)
{
    for (uint32_t i = 0; i < slabs->count; i++) {
        if (strcmp(slabs->items[i].name, name) == 0) {
            return &slabs->items[i];
        }
    }
    return NULL;
}

/* Sockets of every kind have an inode in this cache. */
static uint64_t sockets_counted(const struct slabs *slabs)
{
    const struct slab *slab = find(slabs, "sock_inode_cache");
    return slab ? slab->objects : 0;
}

int slabs_read_settled(struct slabs *slabs)
{
    const struct timespec pause = {.tv_nsec = SETTLE_MS * 1000000L};
    uint64_t last = UINT64_MAX;

    for (uint32_t i = 0; i < SETTLE_TURNS; i++) {
        int result = slabs_read(slabs);
        if (result != 0) {
            return result;
        }
        if (sockets_counted(slabs) == last) {
            return 0;
        }
        last = sockets_counted(slabs);
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

/* --- comparing -------------------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
    const struct slab_growth *first = a;
    const struct slab_growth *second = b;

    return first->bytes < second->bytes ? 1 : first->bytes > second->bytes ? -1 : 0;
}

/* Caches of files, and of the user memory that people map: they grow when anyone on the machine
 * reads a folder or starts a program, and hold nothing of a socket. */
static bool is_of_others(const char *name)
{
    static const char *const names[] = {"proc_inode_cache",
                                        "ext4_",
                                        "xfs_",
                                        "btrfs_",
                                        "jbd2_",
                                        "shmem_inode_cache",
                                        "inode_cache",
                                        "buffer_head",
                                        "radix_tree_node",
                                        "extent_status",
                                        "anon_vma",
                                        "vm_area_struct",
                                        "maple_node",
                                        "task_struct",
                                        "pid",
                                        "signal_cache",
                                        "sighand_cache",
                                        "mm_struct",
                                        "files_cache",
                                        "cred_jar",
                                        "names_cache",
                                        "kernfs_node_cache",
                                        "ovl_inode",
                                        "fuse_inode"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(name, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* A socket has one dentry; what is more belongs to files that others have opened. */
static void bound_by_sockets(struct slab_growth *growth, double sockets)
{
    if (strcmp(growth->name, "dentry") == 0 && sockets > 0 && growth->objects > sockets) {
        growth->bytes *= sockets / growth->objects;
        growth->objects = sockets;
    }
}

void slabs_compare(struct slab_growths *growths, const struct slabs *before,
                   const struct slabs *after, uint32_t connections)
{
    ASSERT(connections > 0);
    double sockets =
        ((double)sockets_counted(after) - (double)sockets_counted(before)) / connections;
    *growths = (struct slab_growths){.sockets = sockets};
    for (uint32_t i = 0; i < after->count; i++) {
        const struct slab *now = &after->items[i];
        const struct slab *then = find(before, now->name);
        double objects = (double)now->objects - (then ? (double)then->objects : 0);
        struct slab_growth growth = {.objects = objects / connections};
        growth.bytes = growth.objects * now->object_bytes;
        if (growth.objects < GROWTH_MIN || growths->count == GROWTHS_MAX ||
            is_of_others(now->name)) {
            continue;
        }
        memcpy(growth.name, now->name, sizeof(growth.name));
        bound_by_sockets(&growth, sockets);
        growths->items[growths->count++] = growth;
        growths->bytes += growth.bytes;
    }
    qsort(growths->items, growths->count, sizeof(growths->items[0]), by_bytes);
}

bool slabs_are_disturbed(const struct slab_growths *growths, uint32_t ends)
{
    return fabs(growths->sockets - ends) > DISTURBED_SHARE * ends;
}
