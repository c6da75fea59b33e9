/* Writes that this leader has appended to its log and whose outcome is not known yet, by log
 * index: a ring, because they are appended and applied in index order.
 *
 * Raft thread.  A slot outlives its write when that was answered early (time-out): then write is
 * NULL. */
#ifndef NODE_PENDING_H
#define NODE_PENDING_H

#include <stdbool.h>

#include "raft/types.h"

struct api_write;

struct pending_slot {
    raft_index index;
    raft_term term;
    struct api_write *write;
};

struct pending {
    struct pending_slot *slots;
    size_t head, count, cap; /* cap is a power of two */
};

void pending_fini(struct pending *p);
/* index is above all that are there. */
void pending_push(struct pending *p, raft_index index, raft_term term, struct api_write *write);
/* The first slot, NULL if there is none; borrowed until the next push or pop. */
struct pending_slot *pending_first(struct pending *p);
struct pending_slot *pending_at(struct pending *p, size_t i); /* i < p->count */
void pending_pop(struct pending *p);
/* The other end, for entries that left the log. */
struct pending_slot *pending_last(struct pending *p);
void pending_pop_last(struct pending *p);

#endif
