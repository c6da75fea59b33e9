/* What the files of the memory storage share: the store, its views and the lock around both. */
#ifndef MEMORY_STORE_H
#define MEMORY_STORE_H

#include <pthread.h>

#include "dkv/storage.h"
#include "table.h"

enum { MEMORY_WALK_BATCH = 512, MEMORY_PRUNE_BATCH = 1000 };

/* lock guards table (the pointer and what it points to).  apply, restore and everything that opens
 * or closes a view takes it for writing; get and the steps of a walk for reading.  A whole batch is
 * applied under it, so nobody sees half of one. */
struct memory_store {
    struct dkv_store base;
    pthread_rwlock_t lock;
    struct table *table;
};

/* The content at one index: pinned, not copied.  Used by one thread. */
struct memory_view {
    struct memory_store *store;
    struct table *table;
    uint64_t index;
    uint64_t hash; /* where the walk goes on */
    bool is_walked;
};

void memory_view_open(struct memory_store *store, struct memory_view *view);
/* Calls visit for some more entries, under the lock; what it is given stays valid until the view
 * is closed.  False: there are no more. */
bool memory_view_walk(struct memory_view *view, void (*visit)(void *ctx, const struct entry *entry),
                      void *ctx);
void memory_view_close(struct memory_view *view);

/* Drops a reference; not under the lock. */
void memory_table_unref(struct memory_store *store, struct table *table);

int memory_scan(struct dkv_reader *reader, struct dkv_scan *scan);

int memory_snapshot_open(struct dkv_store *base, struct event_base *loop,
                         struct dkv_snapshot **snapshot_out);
int memory_snapshot_read(struct dkv_snapshot *base, struct dkv_snapshot_read *read);
void memory_snapshot_close(struct dkv_snapshot *base);

int memory_restore_open(struct dkv_store *base, uint64_t index, struct dkv_restore **restore_out);
int memory_restore_write(struct dkv_restore *base, struct dkv_restore_write *write);
int memory_restore_commit(struct dkv_restore *base, struct dkv_op *op);
void memory_restore_abort(struct dkv_restore *base);

#endif
