/* When the leader's log passed which index: what a slow write waited for.
 *
 * Raft thread.  A note costs a comparison; only who asks looks back.  Times are of the replica's
 * clock and exact to a millisecond; what happened too long ago is forgotten. */
#ifndef NODE_PHASES_H
#define NODE_PHASES_H

#include "raft/types.h"

enum phase { PHASE_PROPOSED, PHASE_DURABLE, PHASE_COMMITTED, PHASE_COUNT };
enum { PHASE_MARKS = 1024, PHASE_APART_US = 1000 };

struct phase_mark {
    raft_index index; /* all up to it had passed ... */
    uint64_t at_us;   /* ... by now */
};

struct phases {
    struct {
        struct phase_mark marks[PHASE_MARKS];
        uint32_t newest, count;
    } of[PHASE_COUNT];
};

struct phase_times {
    uint64_t queue_us;      /* until it was in the log, */
    uint64_t disk_us;       /* from then until it was durable on this node, */
    uint64_t commit_us;     /* and on a majority, */
    uint64_t storage_us;    /* and from both on */
    const char *waited_for; /* the longest of it: "queue", "disk", "peers" or "storage" */
};

void phases_note(struct phases *p, enum phase phase, raft_index index, uint64_t now_us);
/* When index had passed; 0 = it has not. */
uint64_t phases_when(const struct phases *p, enum phase phase, raft_index index);
/* A new leader's log may be shorter than what was noted. */
void phases_forget(struct phases *p);
/* Of a write that was taken at accepted_us and is answered now; what has not happened yet lasts. */
void phases_explain(const struct phases *p, raft_index index, uint64_t accepted_us, uint64_t now_us,
                    struct phase_times *times_out);

#endif
