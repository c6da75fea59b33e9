/* When each request of a run at a fixed rate is meant to start.
 *
 * The n-th one is due at start + n / rate, whatever became of those before it: a server that stalls
 * is charged for every request that should have started meanwhile, which a loop that waits for each
 * answer leaves out ("coordinated omission").  Times are nanoseconds of one monotonic clock. */
#ifndef LOAD_SCHEDULE_H
#define LOAD_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule {
    uint64_t start_ns, issued;
    double interval_ns; /* 0: closed loop, always due */
};

static inline void schedule_init(struct schedule *s, uint64_t start_ns, double rate)
{
    s->start_ns = start_ns;
    s->issued = 0;
    s->interval_ns = rate > 0.0 ? 1e9 / rate : 0.0;
}

/* When the next request is due. */
static inline uint64_t schedule_due(const struct schedule *s, uint64_t now_ns)
{
    if (s->interval_ns <= 0.0)
        return now_ns;
    return s->start_ns + (uint64_t)((double)s->issued * s->interval_ns);
}

/* Takes the next request if it is due, and says when it was meant to start. */
static inline bool schedule_take(struct schedule *s, uint64_t now_ns, uint64_t *intended_ns_out)
{
    uint64_t due = schedule_due(s, now_ns);

    if (due > now_ns)
        return false;
    s->issued++;
    *intended_ns_out = due;
    return true;
}

/* How many requests that are due before end_ns have not been taken. */
static inline uint64_t schedule_left(const struct schedule *s, uint64_t end_ns)
{
    uint64_t due = schedule_due(s, end_ns);

    return due < end_ns ? (uint64_t)((double)(end_ns - due) / s->interval_ns + 0.5) : 0;
}

#endif
