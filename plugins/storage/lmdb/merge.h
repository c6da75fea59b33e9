/* One ordered walk over the overlay and LMDB as they were at one moment.
 *
 * merge_note() fixes the moment: with the gate's protection (the reader's own lock, or store->lock)
 * and together with the start of the LMDB view.  The rest needs no lock.  Overlay entries are kept
 * in a heap, so that a walk which ends early has not sorted what it never reached. */
#ifndef LMDB_MERGE_H
#define LMDB_MERGE_H

#include "store.h"

struct merge_item {
    uint64_t head;
    const struct entry *entry;
};

struct merge {
    struct generation *generations[2]; /* references */
    const struct entry *newest[2];
    struct merge_item *heap;
    size_t count, capacity;
    MDB_cursor *cursor;
    bool has_row;
    MDB_val key, stored; /* LMDB's next row, if has_row */
    struct dkv_slice prefix;
};

void merge_note(struct merge *merge, const struct lmdb_store *store);

/* Borrows prefix until merge_end(); after only for the call.  A failed start needs merge_end() too. */
int merge_start(struct merge *merge, MDB_txn *txn, MDB_dbi content, struct dkv_slice prefix,
                struct dkv_slice after);

/* DKV_ENOENT at the end.  The slices are good until merge_end(). */
int merge_next(struct merge *merge, const struct env *env, struct dkv_slice *key_out,
               struct dkv_slice *value_out);

/* Closes the cursor, gives up the references; the transaction is the caller's. */
void merge_end(struct merge *merge);

#endif
