/* What the files of the lmdb plugin share: the store, its gate, its committer.
 *
 * Locks, in this order: store->lock, then every reader's lock (both together are "the gate"). The
 * home thread and the committer hold store->lock for a few hundred nanoseconds at a time and never
 * during a disk access.  A reader takes its own lock only, so readers never meet each other.
 *
 * Pairing.  What a reader sees is the overlay first and LMDB behind it.  It notes the generations
 * AND starts its LMDB view while it holds its own lock; generations are published to, put up for
 * commit and retired only with the gate closed, that is with every reader's lock held.  So between
 * the two steps no generation can go.  Take any mutation applied before the reader locked: either
 * its generation is still there, then the reader finds it in the overlay; or it was retired before,
 * then its commit had succeeded before, and the view that starts afterwards contains it.  The view
 * may also contain a generation that is still in the overlay (committed, not retired yet): the
 * overlay answers first with the same values.  The view cannot contain more than that, because
 * what is committed was visible before.  Overlay and view together are therefore exactly the state
 * at the applied index of that moment, all of a batch or nothing. */
#ifndef LMDB_STORE_H
#define LMDB_STORE_H

#include <pthread.h>
#include <stdbool.h>

#include "dkv/storage.h"
#include "env.h"
#include "overlay.h"

enum lmdb_sync { LMDB_SYNC_GROUP, LMDB_SYNC_ALWAYS };

struct lmdb_options {
    const char *path;
    uint64_t map_size;
    int64_t max_readers;
    uint64_t commit_interval_ms;
    uint64_t commit_bytes;
    int64_t commit_ops;
    uint64_t overlay_max;
    uint64_t snapshot_max_ms;
    int64_t sync;
};

struct lmdb_reader {
    struct dkv_reader base;
    struct lmdb_reader *next; /* store->lock */
    pthread_mutex_t lock;
    MDB_txn *txn; /* reset while nothing is being read; the reader's thread */
};

struct lmdb_snapshot;
struct op_queue {
    struct dkv_op *head, *tail;
};

struct lmdb_store {
    struct dkv_store base;
    struct lmdb_options options;
    struct env env;
    const struct dkv_host *host;
    uint64_t hash_key[2];

    pthread_mutex_t lock;
    pthread_cond_t wake;    /* the committer has something to look at */
    pthread_cond_t settled; /* a commit ended, well or not */

    /* Written with the gate closed. */
    struct generation *current;    /* never NULL */
    struct generation *committing; /* NULL if none */
    unsigned active;
    uint64_t applied; /* also read on the home thread without a lock: it alone writes it */

    /* store->lock */
    struct lmdb_reader *readers;
    struct lmdb_snapshot *snapshots;
    uint64_t committed;   /* survives the process */
    uint64_t durable;     /* survives the machine */
    uint64_t sync_wanted; /* somebody waits until this is durable */
    bool busy;            /* the committer is in LMDB */
    bool paused;          /* a restore is about to turn the content */
    bool pressed;         /* an apply waits for room */
    bool retry_now;
    bool stop;
    int failure; /* DKV_OK, DKV_ENOSPC (goes by itself) or what poisoned the store */
    bool home_waits;
    pthread_t committer;

    /* Home thread. */
    uint64_t sequence;
    struct event *settled_event; /* NULL: no home loop, calls wait */
    int settled_fd;              /* eventfd; the committer writes */
    struct op_queue applies;     /* struct dkv_apply in order of arrival */
    struct op_queue syncs;       /* struct dkv_index, index = what it waits for */
    bool restoring;
};

static inline struct lmdb_store *store_of(struct dkv_store *base)
{
    return (struct lmdb_store *)base;
}

uint64_t store__now_ms(void); /* the committer's clock; monotonic */

/* gate.c: call with store->lock held. */
void gate_close(struct lmdb_store *store);
void gate_open(struct lmdb_store *store);

/* committer.c */
int committer_start(struct lmdb_store *store, struct dkv_error *err);
/* Commits what is left, waits for the thread. */
void committer_stop(struct lmdb_store *store);
/* What is on the disk is unknown: nothing is written any more.  store->lock is held. */
void committer_poison(struct lmdb_store *store, int code);
/* Puts the newest value of each key of a sealed generation into a content database, in key order.
 * Returns an LMDB code; the caller aborts or commits. */
int commit_write(MDB_txn *txn, MDB_dbi content, const struct generation *generation);

/* pending.c: calls that answer later, on the home loop. */
int pending_open(struct lmdb_store *store, struct event_base *home, struct dkv_error *err);
void pending_close(struct lmdb_store *store); /* answers DKV_ECANCELED */
void pending_add(struct lmdb_store *store, struct op_queue *queue, struct dkv_op *op);

/* apply.c */
int lmdb_apply(struct dkv_store *base, struct dkv_apply *apply);
int lmdb_applied(struct dkv_store *base, struct dkv_index *index);
int lmdb_sync_op(struct dkv_store *base, struct dkv_index *index);
/* One attempt; DKV_PENDING: no room yet. */
int apply_try(struct lmdb_store *store, const struct dkv_apply *apply);
/* DKV_PENDING while index->index (what was applied when it was asked for) is not durable. */
int sync_try(struct lmdb_store *store, struct dkv_index *index);

/* reader.c */
int lmdb_reader_open(struct dkv_store *base, struct event_base *loop,
                     struct dkv_reader **reader_out, struct dkv_error *err);
void lmdb_reader_close(struct dkv_reader *base);
int lmdb_get(struct dkv_reader *base, struct dkv_get *get);
int lmdb_scan(struct dkv_reader *base, struct dkv_scan *scan);

/* snapshot.c */
int lmdb_snapshot_open(struct dkv_store *base, struct event_base *loop,
                       struct dkv_snapshot **snapshot_out);
int lmdb_snapshot_read(struct dkv_snapshot *base, struct dkv_snapshot_read *read);
void lmdb_snapshot_close(struct dkv_snapshot *base);
/* Lets go of the pages of snapshots older than the limit; store->lock is held. */
void snapshots_expire(struct lmdb_store *store);

/* restore.c */
int lmdb_restore_open(struct dkv_store *base, uint64_t index, struct dkv_restore **restore_out);
int lmdb_restore_write(struct dkv_restore *base, struct dkv_restore_write *write);
int lmdb_restore_commit(struct dkv_restore *base, struct dkv_op *op);
void lmdb_restore_abort(struct dkv_restore *base);

#endif
