#include "admin/process.h"

#include "base/bytes.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t resident_bytes(void)
{
    uint64_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file) {
        if (fscanf(file, "%*u %" SCNu64, &pages) != 1) {
            pages = 0;
        }
        (void)fclose(file);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Direct descriptors are not among them: connections do not make this slow. */
static uint64_t descriptors_open(void)
{
    uint64_t count = 0;
    DIR *folder = opendir("/proc/self/fd");

    if (!folder) {
        return 0;
    }
    while (readdir(folder)) { // NOLINT(concurrency-mt-unsafe): the stream is this call's own
        count++;
    }
    (void)closedir(folder);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the folder's own */
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Unix time at which the process started: now, less its age by the clock that counts from boot. */
static double find_start_time(void)
{
    unsigned long long start_ticks = 0;
    struct timespec boot;
    struct timespec now;
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");

    if (!file) {
        return 0;
    }
    if (fgets(line, sizeof(line), file)) {
        /* The second field is the name in brackets, and may hold anything. */
        const char *rest = strrchr(line, ')');
        for (uint32_t field = 2; rest && field < 22; field++) {
            rest = strchr(rest + 1, ' ');
        }
        start_ticks = rest ? strtoull(rest, NULL, 10) : 0;
    }
    (void)fclose(file);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)clock_gettime(CLOCK_BOOTTIME, &boot);
    return (double)(now.tv_sec - boot.tv_sec) + (double)(now.tv_nsec - boot.tv_nsec) / 1e9 +
           (double)start_ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Found once: it would cost as much as half of the others, and waver with the clocks. */
static double start_time(void)
{
    static double found;

    if (found == 0) {
        found = find_start_time();
    }
    return found;
}

static void write_sample(FILE *out, const char *name, const char *type, const char *help,
                         double value)
{
    (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name,
                  value);
}

void process_write(FILE *out)
{
    struct rusage usage;
    struct rlimit limit;

    ASSERT(getrusage(RUSAGE_SELF, &usage) == 0);
    ASSERT(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    write_sample(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
                 (double)resident_bytes());
    write_sample(out, "process_cpu_seconds_total", "counter",
                 "User and system CPU time spent in seconds.",
                 seconds(usage.ru_utime) + seconds(usage.ru_stime));
    write_sample(out, "process_open_fds", "gauge",
                 "Open file descriptors (connections are direct descriptors, and not among them).",
                 (double)descriptors_open());
    write_sample(out, "process_max_fds", "gauge", "Limit of open file descriptors.",
                 (double)limit.rlim_cur);
    write_sample(out, "process_start_time_seconds", "gauge",
                 "Start time of the process as Unix time in seconds.", start_time());
}
