/* Counts of latencies in log-linear buckets, as HdrHistogram has them.
 *
 * A value below 128 has a bucket of its own; above, each power of two is cut into 128 equal parts,
 * so what a percentile says is never below the true value and less than 1/128 above it.  The least
 * and the greatest value are kept exactly.  Not for sharing between threads.  The unit is the
 * caller's. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BITS = 7, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS };

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count, min, max;
    double sum;
};

void histogram_reset(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The value that `percent` of all values do not exceed; 0 if there are none. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
double histogram_mean(const struct histogram *h);

#endif
