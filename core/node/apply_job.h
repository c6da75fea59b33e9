/* Work for the storage plugin's home thread, handed over by the raft thread and handed back.
 *
 * The applier runs one job after another, in the order they came.  The owner allocates a job and
 * gets it back through its `done`, on the raft thread. */
#ifndef NODE_APPLY_JOB_H
#define NODE_APPLY_JOB_H

#include "base/list.h"
#include "kv/machine.h"
#include "kv/snapshot.h"

enum apply_kind {
    APPLY_ENTRIES, /* batch: a run of committed entries */
    APPLY_SYNC,    /* durable_index: up to where the storage survives a crash */
    APPLY_PIN,     /* view, state: a snapshot view of exactly state.index */
    APPLY_RESTORE  /* path: replaces the storage's content, then state */
};

struct apply_job {
    struct list link;
    enum apply_kind kind;
    void (*done)(struct apply_job *job); /* raft thread */
    void *owner;                         /* the raft thread's */
    void *batch_owner;                   /* the applier's */
    int status;                          /* out */
    struct dkv_error err;                /* out, PIN and RESTORE */
    struct kv_batch batch;
    uint64_t durable_index;
    struct dkv_index index; /* scratch of SYNC */
    struct dkv_snapshot *view;
    struct kv_state state; /* out: after the job */
    char path[64];
};

#endif
