/* What a node gets from the world: time, randomness, files and somebody to do slow work.
 *
 * core/wal, core/kv and the decisions of core/node name no system call, no clock, no thread and no
 * libevent symbol (tests/lint/check_purity.sh); they get all of it from here.  The daemon binds it
 * to POSIX and threads, tests bind it to a virtual world where a seed reproduces a run.
 *
 * Every call is made on the raft thread unless it says otherwise. */
#ifndef BASE_ENV_H
#define BASE_ENV_H

#include <stdint.h>

#include "base/fs.h"
#include "base/list.h"

struct env;

/* Jobs of one queue run one after another, in the order of their submission. */
enum env_queue {
    ENV_QUEUE_LOG,        /* writes and syncs that answers wait for */
    ENV_QUEUE_BACKGROUND, /* spare segments, snapshots, old log entries */
    ENV_QUEUE_NAMES, /* host names, which may take many seconds; and the configuration, again */
    ENV_QUEUE_COUNT
};

/* Caller-owned; must stay until done() is called. */
struct env_job {
    void (*work)(struct env_job *job); /* on the queue's thread; may block, may use env->fs */
    void (*done)(struct env_job *job); /* on the submitter's thread, never before submit returns */
    struct list link;                  /* the queue's */
    void *owner;                       /* the queue's */
};

struct env_ops {
    uint64_t (*now_us)(struct env *env); /* monotonic, counts time in suspend; any thread */
    int64_t (*wall_us)(struct env *env); /* since 1970; never used for decisions; any thread */
    uint64_t (*random)(struct env *env); /* unpredictable in the daemon, seeded in tests */
    void (*submit)(struct env *env, enum env_queue queue, struct env_job *job);
    /* The node cannot go on: says why once, stops answering, ends the process with the code
     * (reliability rule C5: never retry).  Returns only in tests.  Any thread. */
    void (*fail_stop)(struct env *env, int exit_code, const char *why);
};

struct env {
    const struct env_ops *ops;
    struct fs *fs;
};

#endif
