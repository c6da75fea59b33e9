#include "bench/load/histogram.h"

#include <math.h>
#include <string.h>

#define LINEAR ((uint64_t)1 << HISTOGRAM_BITS)

static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < LINEAR)
        return (unsigned)value;
    shift = (unsigned)(63 - __builtin_clzll(value)) - HISTOGRAM_BITS;
    return ((shift + 1) << HISTOGRAM_BITS) + (unsigned)((value >> shift) - LINEAR);
}

/* The greatest value that falls into the bucket. */
static uint64_t bucket_top(unsigned bucket)
{
    unsigned shift;
    uint64_t base;

    if (bucket < LINEAR)
        return bucket;
    shift = (bucket >> HISTOGRAM_BITS) - 1;
    base = (bucket & (LINEAR - 1)) + LINEAR;
    return (base << shift) + (((uint64_t)1 << shift) - 1);
}

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
    h->min = UINT64_MAX;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    h->counts[bucket_of(value)]++;
    h->count++;
    h->sum += (double)value;
    if (value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->count += from->count;
    into->sum += from->sum;
    if (from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    uint64_t rank, seen = 0;

    if (h->count == 0)
        return 0;
    /* 99.9 % of 10000 is 9990, not the 9990.000000000001 that doubles make of it. */
    rank = (uint64_t)ceil(percent * (double)h->count / 100.0 - 1e-6);
    if (rank == 0)
        rank = 1;
    if (rank > h->count)
        rank = h->count;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= rank)
            return bucket_top(i) < h->max ? bucket_top(i) : h->max;
    }
    return h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->count == 0 ? 0.0 : h->sum / (double)h->count;
}
