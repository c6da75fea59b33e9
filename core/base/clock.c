#include "base/clock.h"

#include <time.h>

#include "base/assert.h"

static struct timespec read_clock(clockid_t which)
{
    struct timespec ts;
    int rc = clock_gettime(which, &ts);

    dkv_assert(rc == 0);
    return ts;
}

uint64_t clock_now_us(void)
{
    struct timespec ts = read_clock(CLOCK_BOOTTIME);

    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

int64_t clock_wall_us(void)
{
    struct timespec ts = read_clock(CLOCK_REALTIME);

    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
