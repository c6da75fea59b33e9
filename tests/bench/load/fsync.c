#include "bench/load/fsync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/engine.h"
#include "bench/load/histogram.h"

enum { BLOCK = 512, FILE_SIZE = 4 << 20, ROUNDS_MIN = 100 };

static int prepare(int fd)
{
    static const char zeros[65536];

    for (off_t at = 0; at < FILE_SIZE; at += (off_t)sizeof(zeros)) {
        if (pwrite(fd, zeros, sizeof(zeros), at) != (ssize_t)sizeof(zeros))
            return -1;
    }
    return fsync(fd);
}

static int measure(int fd, double seconds, struct histogram *times)
{
    uint64_t end = engine_now_ns() + (uint64_t)(seconds * 1e9), now = 0;
    char block[BLOCK];

    for (unsigned i = 0; i < ROUNDS_MIN || now < end; i++) {
        off_t at = (off_t)i * BLOCK % FILE_SIZE;
        uint64_t start = engine_now_ns();

        memset(block, (int)(i & 127), sizeof(block));
        if (pwrite(fd, block, sizeof(block), at) != BLOCK || fdatasync(fd) != 0)
            return -1;
        now = engine_now_ns();
        histogram_add(times, now - start);
    }
    return 0;
}

int fsync_measure(const char *dir, double seconds, bool json)
{
    static struct histogram times;
    char path[4096];
    int fd, rc;

    if (snprintf(path, sizeof(path), "%s/fsync-XXXXXX", dir) >= (int)sizeof(path) ||
        (fd = mkostemp(path, O_CLOEXEC)) < 0) {
        fprintf(stderr, "load: cannot make a file in %s: %s\n", dir, strerror(errno));
        return -1;
    }
    unlink(path);
    histogram_reset(&times);
    rc = prepare(fd) != 0 || measure(fd, seconds, &times) != 0 ? -1 : 0;
    if (rc != 0)
        fprintf(stderr, "load: writing in %s: %s\n", dir, strerror(errno));
    else
        printf(json ? "{\"fdatasync_us\":{\"p50\":%.1f,\"p99\":%.1f},\"count\":%llu}\n"
                    : "fdatasync of 512 bytes: p50 %.1f us, p99 %.1f us, %llu times\n",
               (double)histogram_percentile(&times, 50) / 1e3,
               (double)histogram_percentile(&times, 99) / 1e3, (unsigned long long)times.count);
    close(fd);
    return rc;
}
