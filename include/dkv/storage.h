/* The storage interface: an ordered or unordered map of bytes to bytes that applies batches
 * atomically together with the Raft index they come from.
 *
 * Raft's log is the durable copy of what was written last; a store is what that log adds up to.  So
 * a store need not sync before it answers, but it must always be able to say exactly which index its
 * content belongs to.  Everything that decides (conditions, revisions, expiry) is done by the daemon
 * before apply(); a store holds bytes, and equal batches give equal content whatever the clock, the
 * machine or the plugin. */
#ifndef DKV_STORAGE_H
#define DKV_STORAGE_H

#include <stdbool.h>

#include "dkv/plugin.h"

struct event_base;

/* What one open store can do, set by open() and fixed from then on; a decorator derives its own from
 * the inner store's.  A store that claims more than its table has is refused at the start.
 * DKV_CAP_DURABLE promises that after a crash of the process or of the machine the content is that of
 * one earlier index, and that applied() says which. */
#define DKV_CAP_DURABLE  (1u << 0) /* see above; sync() works */
#define DKV_CAP_SCAN     (1u << 1) /* scan() works */
#define DKV_CAP_ORDERED  (1u << 2) /* scan() emits keys in the order of memcmp, shorter first */
#define DKV_CAP_SNAPSHOT (1u << 3) /* snapshot_open() pins a view without stopping apply() */
#define DKV_CAP_ASYNC    (1u << 4) /* calls may return DKV_PENDING */

/* Head of every operation.  The caller owns it, with all that it points to, and keeps it alive and
 * unchanged until the call has returned something else than DKV_PENDING, or until done() is called.
 *
 * After DKV_PENDING done() runs exactly once, on the thread that made the call, from the event loop
 * that this thread was introduced with (dkv_store_args.home, the base of reader_open), never before
 * the call has returned.  The owner may free or reuse the operation in done(): it must be the last
 * thing that the plugin does with it.  In done() the owner may call the plugin again.
 *
 * Only get(), scan(), apply() and sync() may return DKV_PENDING, and the others that take an
 * operation must complete in the call: daemons of ABI 1.0 treat anything else as DKV_ENOTSUP.  The
 * same holds for a get() while no batch is under way, at the start and after a restore. */
struct dkv_op {
    void (*done)(struct dkv_op *op, int status); /* NULL where DKV_PENDING is not allowed */
    void *plugin[2];                             /* scratch for the plugin while it is pending */
};

/* Receives key and value, which the plugin lends until emit() returns.  emit() runs inside the call
 * or, if that is pending, before done(); it does not call the storage and does not wait, so a plugin
 * may hold a lock meanwhile.  Non-zero: enough; the operation ends with DKV_OK. */
struct dkv_read {
    struct dkv_op op;
    int (*emit)(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value);
};

struct dkv_get {
    struct dkv_read read;
    struct dkv_slice key;
};

/* Keys that begin with prefix (len 0: all) and are greater than after (len 0: no such bound).  after
 * need not exist, nor begin with the prefix. */
struct dkv_scan {
    struct dkv_read read;
    struct dkv_slice prefix;
    struct dkv_slice after;
    uint64_t limit; /* of keys; 0 = no limit */
};

enum dkv_mutation_kind { DKV_PUT = 1, DKV_DELETE = 2 };

struct dkv_mutation {
    uint32_t kind; /* enum dkv_mutation_kind */
    uint32_t reserved;
    struct dkv_slice key;   /* of 1 to key_max bytes */
    struct dkv_slice value; /* PUT only; of 0 to value_max bytes */
};

/* A batch: all mutations, in order (a key may occur more than once, a DELETE may find nothing), and
 * the index, either everything or nothing. */
struct dkv_apply {
    struct dkv_op op;
    uint64_t index; /* of the last log entry in the batch; there may be gaps between batches */
    const struct dkv_mutation *mutations;
    size_t count; /* 0: only the index moves */
};

struct dkv_index {
    struct dkv_op op;
    uint64_t index; /* out */
};

struct dkv_snapshot_read {
    struct dkv_read read;
    size_t bytes_max; /* stop after about this many bytes of keys and values; at least one key */
    bool end;         /* out: nothing left; meaningful with DKV_OK */
};

struct dkv_restore_write {
    struct dkv_op op;
    const struct dkv_mutation *puts; /* DKV_PUT only */
    size_t count;
};

/* Base of every instance: the first member of the plugin's own struct.  The plugin allocates it
 * zeroed and sets caps and limits in open(); the daemon sets ops and host when open() has returned.
 * The daemon starts only if the limits hold what the cluster allows (cluster.key_max and value_max,
 * and what it adds itself), and refuses bigger keys and values before they reach the log, so that no
 * replica can fail where another succeeds. */
struct dkv_store {
    const struct dkv_storage_ops *ops;
    const struct dkv_host *host;
    uint32_t caps;      /* DKV_CAP_* */
    uint32_t key_max;   /* bytes; 0 = no limit */
    uint64_t value_max; /* bytes; 0 = no limit */
    void *reserved[4];
};

/* Bases of the plugin's own structs; the plugin allocates them and sets store (and index). */
struct dkv_reader {
    struct dkv_store *store;
    void *reserved[2];
};

struct dkv_snapshot {
    struct dkv_store *store;
    uint64_t index; /* the view is exactly the state after this index */
    void *reserved[2];
};

struct dkv_restore {
    struct dkv_store *store;
    void *reserved[2];
};

/* Borrowed during open(); what the pointers lead to lives until close() has returned. */
struct dkv_store_args {
    uint32_t size; /* sizeof(struct dkv_store_args) where the daemon was built */
    uint32_t reserved;
    const struct dkv_host *host;
    const void *options;     /* the struct described by dkv_plugin.options */
    struct dkv_store *inner; /* decorators only, else NULL */
    struct event_base *home; /* loop of the home thread; NULL: there is none, never be pending */
};

/* Threads.  The daemon calls
 *   open, close                            on the main thread, while nobody else calls;
 *   apply, applied, sync, snapshot_open    on the home thread, one operation at a time;
 *   restore_*                              on the home thread or, when that thread also runs Raft,
 *                                          on another one while the home thread calls nothing;
 *   reader_*, get, scan                    on the thread that opened the reader;
 *   snapshot_read, snapshot_close          on one thread, usually not the home thread.
 * So one object is never used by two threads at once, but different objects are: readers and
 * snapshots work while apply() or a restore does.  Get locks right between objects, not within.
 *
 * open, restore_* and the calls on a snapshot may block; apply and sync may wait for the disk if the
 * configuration asks for that, everybody who writes waits with them; get and scan must not wait for
 * network peers or for apply() (return DKV_PENDING instead): a worker serves many clients. */
struct dkv_storage_ops {
    uint32_t size; /* sizeof(struct dkv_storage_ops) where the plugin was built */
    uint32_t reserved;

    /* Gives a store, closed with close().  On failure fills err, leaves *store_out alone and leaks
     * nothing.  DKV_EINVAL: options that contradict each other; DKV_ECORRUPT: what is stored is
     * damaged, the start ends with exit code 70; DKV_ENOTSUP: it was stored by a newer version of the
     * plugin, 65.  May take minutes, and should log if it does.  A store that is durable comes back at
     * the index that applied() will say; others are empty. */
    int (*open)(const struct dkv_store_args *args, struct dkv_store **store_out,
                struct dkv_error *err);
    /* Takes the store.  Readers, snapshots and restores are closed before; operations that are
     * still pending end with DKV_ECANCELED before it returns.  A durable store need not sync. */
    void (*close)(struct dkv_store *store);

    /* Gives a reader, closed with reader_close() on the same thread.  base is that thread's loop,
     * borrowed for as long as the reader lives; NULL: never be pending.  A daemon opens one reader
     * for each of its threads, not one for each request, so it may be expensive. */
    int (*reader_open)(struct dkv_store *store, struct event_base *base,
                       struct dkv_reader **reader_out, struct dkv_error *err);
    /* Takes the reader.  What is pending ends with DKV_ECANCELED before it returns. */
    void (*reader_close)(struct dkv_reader *reader);
    /* Emits the key once, then DKV_OK; DKV_ENOENT and no emit() if it is absent.  Sees all batches
     * whose apply() had succeeded when it was called, each as a whole, and perhaps the one that is
     * being applied, as a whole.  A key that cannot be in the store (empty, too long) is absent. */
    int (*get)(struct dkv_reader *reader, struct dkv_get *get);
    /* DKV_CAP_SCAN.  Emits the content at one moment, which is chosen as get() does: no batch is
     * seen in part, no key twice, whatever is applied meanwhile.  DKV_OK also if there is nothing.
     * After an error what was emitted is thrown away. */
    int (*scan)(struct dkv_reader *reader, struct dkv_scan *scan);

    /* Makes a batch visible and moves the applied index, all or nothing; not durable by itself.
     * Batches come with rising indexes.  One at or below the applied index is answered DKV_OK
     * without effect: the daemon repeats a batch after DKV_EUNCERTAIN, and the log after a restart.
     * After an error nothing has changed, except after DKV_EUNCERTAIN, when either all or nothing
     * has; which errors are repeated is in dkv/types.h.  DKV_ETOOBIG (key or value), DKV_EINVAL
     * (unknown kind, empty key): a batch that the daemon should not have sent.  Borrows the batch;
     * copy what is to stay.  Never skip anything, never depend on clock, chance or free memory:
     * fail instead. */
    int (*apply)(struct dkv_store *store, struct dkv_apply *apply);
    /* The index that a reader sees now; 0 for an empty store.  After open() of a durable store the
     * one that came back with the content.  The log is applied from the next entry on. */
    int (*applied)(struct dkv_store *store, struct dkv_index *index);
    /* Optional; needed for DKV_CAP_DURABLE.  Writes out what is applied and answers with an index up
     * to which everything survives the loss of power, at least the one applied when it was called.
     * The daemon cuts its log there and cannot get back what is lost after that, so a disk that only
     * has it in a cache does not count.  A store without durability answers 0, at once.  May be
     * pending for seconds; the home thread waits with everything else meanwhile. */
    int (*sync)(struct dkv_store *store, struct dkv_index *index);

    /* DKV_CAP_SNAPSHOT.  Gives a view of the content at the applied index, closed with
     * snapshot_close().  O(1) or nearly so, for all writes wait; never copies the data set.  base is
     * the loop of the thread that will read; NULL (always, in ABI 1.0): never be pending. */
    int (*snapshot_open)(struct dkv_store *store, struct event_base *base,
                         struct dkv_snapshot **snapshot_out);
    /* Emits the next part, from where the last call ended; a key whose emit() asked to stop counts
     * as read.  Every key exactly once, in any order, whatever is applied or restored meanwhile.
     * DKV_ECANCELED: the view became too old to be kept.  After an error only close it. */
    int (*snapshot_read)(struct dkv_snapshot *snapshot, struct dkv_snapshot_read *read);
    /* Takes the snapshot, read to its end or not. */
    void (*snapshot_close)(struct dkv_snapshot *snapshot);

    /* Gives a restore: new content, empty at first, beside the old.  The store is read, and views of
     * it are open, meanwhile; nothing is applied and no second restore is opened.  index becomes the
     * applied index; it may be below the present one.  Ended by restore_commit() or restore_abort(),
     * just one of them. */
    int (*restore_open)(struct dkv_store *store, uint64_t index, struct dkv_restore **restore_out);
    /* Adds to the new content; a later put of a key replaces an earlier one.  Borrows the puts.
     * After an error the daemon aborts. */
    int (*restore_write)(struct dkv_restore *restore, struct dkv_restore_write *write);
    /* Takes the restore, also when it fails.  Content and index turn together, for readers and for
     * a crash at any moment: afterwards it is all old or all new.  A durable store has synced the new
     * content when it returns DKV_OK, for the log before the index is already gone.  Snapshots that
     * are open keep what they see.  The daemon stops the node if it fails. */
    int (*restore_commit)(struct dkv_restore *restore, struct dkv_op *op);
    /* Takes the restore and forgets the new content; the old was never touched. */
    void (*restore_abort)(struct dkv_restore *restore);
};

#endif
