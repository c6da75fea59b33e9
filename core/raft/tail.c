#include "raft/tail.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/blob.h"
#include "base/mem.h"

#define RING_MIN 64

void raft__tail_init(struct raft_tail *t)
{
    memset(t, 0, sizeof(*t));
    t->ring_first = 1;
    t->ring_max = RING_MIN;
    t->ring = xcalloc(t->ring_max, sizeof(*t->ring));
}

static void drop_ring(struct raft_tail *t)
{
    while (t->ring_first <= t->last)
        raft__tail_evict_one(t);
}

void raft__tail_fini(struct raft_tail *t)
{
    drop_ring(t);
    free(t->ring);
    free(t->runs);
}

void raft__tail_reset(struct raft_tail *t, raft_index index, raft_term term)
{
    drop_ring(t);
    t->base = index;
    t->base_term = term;
    t->last = index;
    t->ring_first = index + 1;
    t->runs_count = 0;
}

static void push_run(struct raft_tail *t, raft_index first, raft_term term)
{
    if (t->runs_count > 0 && t->runs[t->runs_count - 1].term == term)
        return;
    if (t->runs_count == t->runs_max) {
        t->runs_max = t->runs_max == 0 ? 16 : t->runs_max * 2;
        t->runs = xreallocarray(t->runs, t->runs_max, sizeof(*t->runs));
    }
    t->runs[t->runs_count++] = (struct raft_run){first, term};
}

void raft__tail_add_run(struct raft_tail *t, raft_index first, raft_term term, raft_index last)
{
    dkv_assert(t->ring_first == t->last + 1);
    dkv_assert(first == t->last + 1 && last >= first);
    push_run(t, first, term);
    t->last = last;
    t->ring_first = last + 1;
}

static void grow(struct raft_tail *t)
{
    uint64_t max = t->ring_max * 2;
    struct raft_entry *ring = xcalloc(max, sizeof(*ring));

    for (raft_index i = t->ring_first; i <= t->last; i++)
        ring[i & (max - 1)] = t->ring[i & (t->ring_max - 1)];
    free(t->ring);
    t->ring = ring;
    t->ring_max = max;
}

void raft__tail_append(struct raft_tail *t, const struct raft_entry *e)
{
    dkv_assert(e->index == t->last + 1);
    dkv_assert(e->term >= raft__tail_last_term(t));
    if (t->last + 1 - t->ring_first == t->ring_max)
        grow(t);
    push_run(t, e->index, e->term);
    t->ring[e->index & (t->ring_max - 1)] = *e;
    if (e->owner != NULL)
        blob_ref(e->owner);
    t->ring_bytes += raft__entry_bytes(e);
    t->last = e->index;
}

void raft__tail_truncate(struct raft_tail *t, raft_index from)
{
    dkv_assert(from > t->base);
    for (; t->last >= from; t->last--) {
        if (t->ring_first <= t->last) {
            struct raft_entry *e = &t->ring[t->last & (t->ring_max - 1)];

            t->ring_bytes -= raft__entry_bytes(e);
            blob_unref(e->owner);
        }
    }
    if (t->ring_first > t->last + 1)
        t->ring_first = t->last + 1;
    while (t->runs_count > 0 && t->runs[t->runs_count - 1].first > t->last)
        t->runs_count--;
}

void raft__tail_compact(struct raft_tail *t, raft_index index)
{
    uint32_t gone = 0;

    dkv_assert(index >= t->base && index <= t->last);
    t->base_term = raft__tail_term(t, index);
    t->base = index;
    while (t->ring_first <= index)
        raft__tail_evict_one(t);
    while (gone + 1 < t->runs_count && t->runs[gone + 1].first <= index + 1)
        gone++;
    if (index == t->last)
        gone = t->runs_count;
    t->runs_count -= gone;
    memmove(t->runs, t->runs + gone, t->runs_count * sizeof(*t->runs));
}

void raft__tail_evict_one(struct raft_tail *t)
{
    struct raft_entry *e = &t->ring[t->ring_first & (t->ring_max - 1)];

    dkv_assert(t->ring_first <= t->last);
    t->ring_bytes -= raft__entry_bytes(e);
    blob_unref(e->owner);
    t->ring_first++;
}

raft_term raft__tail_last_term(const struct raft_tail *t)
{
    return t->runs_count == 0 ? t->base_term : t->runs[t->runs_count - 1].term;
}

/* Position of the run that holds index; the caller knows that there is one. */
static uint32_t find_run(const struct raft_tail *t, raft_index index)
{
    uint32_t low = 0, high = t->runs_count - 1;

    if (t->runs[high].first <= index) /* nearly always */
        return high;
    while (low < high) {
        uint32_t mid = low + (high - low + 1) / 2;

        if (t->runs[mid].first <= index)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

raft_term raft__tail_term(const struct raft_tail *t, raft_index index)
{
    if (index == t->base)
        return t->base_term;
    if (index < t->base || index > t->last)
        return 0;
    return t->runs[find_run(t, index)].term;
}

raft_index raft__tail_find(const struct raft_tail *t, raft_index index, raft_term term)
{
    if (index > t->last)
        index = t->last;
    while (index > t->base) {
        const struct raft_run *run = &t->runs[find_run(t, index)];

        if (run->term <= term)
            return index;
        index = run->first - 1;
        if (index < t->base)
            index = t->base;
    }
    return t->base;
}
