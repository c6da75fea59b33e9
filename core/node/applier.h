/* The storage plugin's home: runs apply jobs one after another, on a thread of its own or, with
 * threads.apply = off, on the raft thread.
 *
 * A job that the storage answers later (DKV_PENDING) holds up those behind it, never the thread's
 * event loop.  When folded, restoring a snapshot, which may take seconds, is done by a background
 * job: nothing else is asked of the storage meanwhile but reads. */
#ifndef NODE_APPLIER_H
#define NODE_APPLIER_H

#include "base/env.h"
#include "base/mailbox.h"
#include "node/apply_job.h"

struct applier;
struct event_base;

struct applier_config {
    struct dkv_store *store; /* borrowed */
    struct env *env;         /* borrowed; its files, and its background queue when folded */
    struct kv_machine_config machine;
    struct event_base *home; /* borrowed; the loop that the store was opened for */
    bool is_folded;          /* home is the raft thread's */
};

/* Opens the machine on the home thread. */
int applier_open(const struct applier_config *config, struct applier **applier_out,
                 struct kv_state *state_out, struct dkv_error *err);
/* Closing comes in three steps.  applier_stop: no job is begun any more, all that the applier had
 * opened in the storage is closed.  Then the storage is closed, which ends what it has under way, and
 * the jobs are still there.  applier_close: frees the rest.  No job's done() is called. */
void applier_stop(struct applier *applier);
void applier_close(struct applier **applier);

/* Raft thread. */
void applier_post(struct applier *applier, struct apply_job *job);
/* Raft thread: runs jobs if this is their home, calls done() of those that are finished; true if
 * there was one. */
bool applier_turn(struct applier *applier);
/* Raft thread: what to sleep on. */
struct mailbox *applier_mailbox(struct applier *applier);
/* At start only: posts one job and waits for it. */
void applier_run(struct applier *applier, struct apply_job *job);

#endif
