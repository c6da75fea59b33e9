/* The end of the log as the core knows it: the term of every entry from the compaction point on
 * (as runs), and the newest entries themselves in a ring.
 *
 * The ring is contiguous, ends at `last`, and holds one blob reference per entry.  The slot of an
 * entry is its index modulo the capacity, so that nothing moves and nothing is allocated per
 * entry. */
#ifndef RAFT_TAIL_H
#define RAFT_TAIL_H

#include "raft/types.h"

struct raft_tail {
    raft_index base; /* the log begins after this entry */
    raft_term base_term;
    raft_index last;

    struct raft_run *runs; /* rising; of base+1 .. last */
    uint32_t runs_count, runs_max;

    struct raft_entry *ring;
    uint64_t ring_max;     /* power of two */
    raft_index ring_first; /* last + 1 when empty */
    uint64_t ring_bytes;
};

void raft__tail_init(struct raft_tail *t);
void raft__tail_fini(struct raft_tail *t);

/* Empty log that begins after index. */
void raft__tail_reset(struct raft_tail *t, raft_index index, raft_term term);

/* Recovery: entries that are only on disk. */
void raft__tail_add_run(struct raft_tail *t, raft_index first, raft_term term, raft_index last);

void raft__tail_append(struct raft_tail *t, const struct raft_entry *e); /* references e->owner */
void raft__tail_truncate(struct raft_tail *t, raft_index from);
void raft__tail_compact(struct raft_tail *t, raft_index index);
void raft__tail_evict_one(struct raft_tail *t);

/* 0 outside base .. last. */
raft_term raft__tail_term(const struct raft_tail *t, raft_index index);

/* The highest index <= index, but not below base, whose term is <= term. */
raft_index raft__tail_find(const struct raft_tail *t, raft_index index, raft_term term);

raft_term raft__tail_last_term(const struct raft_tail *t);

static inline uint64_t raft__entry_bytes(const struct raft_entry *e)
{
    return e->len + sizeof(*e);
}

static inline bool raft__tail_has(const struct raft_tail *t, raft_index index)
{
    return index >= t->ring_first && index <= t->last;
}

static inline const struct raft_entry *raft__tail_at(const struct raft_tail *t, raft_index index)
{
    return raft__tail_has(t, index) ? &t->ring[index & (t->ring_max - 1)] : NULL;
}

#endif
