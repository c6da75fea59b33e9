/* A snapshot is what a scan notes, kept: references to the generations, an LMDB view, the index.
 * LMDB does not reuse a page that a view may need, so an abandoned snapshot would let the file
 * grow: the committer takes the view away when it is older than snapshot_max, and the next
 * snapshot_read() says DKV_ECANCELED. */
#include "merge.h"

#include <stdlib.h>

struct lmdb_snapshot {
    struct dkv_snapshot base;
    struct lmdb_snapshot *next; /* store->lock */
    uint64_t opened_ms;
    pthread_mutex_t lock; /* the reading thread against expiry; after store->lock */
    MDB_txn *txn;         /* NULL: expired */
    MDB_dbi content;
    struct merge merge;
    bool started;
    int status; /* what ended it early */
};

static uint64_t host_now_ms(const struct lmdb_store *store)
{
    return store->host != NULL && store->host->now_ms != NULL
               ? store->host->now_ms(store->host->ctx)
               : store__now_ms();
}

int lmdb_snapshot_open(struct dkv_store *base, struct event_base *loop,
                       struct dkv_snapshot **snapshot_out)
{
    struct lmdb_store *store = store_of(base);
    struct lmdb_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    int code;

    (void)loop;
    if (snapshot == NULL)
        return DKV_ENOMEM;
    snapshot->base.store = base;
    snapshot->opened_ms = host_now_ms(store);
    (void)pthread_mutex_init(&snapshot->lock, NULL);
    /* The committer needs store->lock to retire a generation: the same pairing as a reader's. */
    pthread_mutex_lock(&store->lock);
    code = mdb_txn_begin(store->env.mdb, NULL, MDB_RDONLY, &snapshot->txn);
    if (code == 0) {
        merge_note(&snapshot->merge, store);
        snapshot->content = store->env.content[store->active];
        snapshot->base.index = store->applied;
        snapshot->next = store->snapshots;
        store->snapshots = snapshot;
        pthread_cond_signal(&store->wake);
    }
    pthread_mutex_unlock(&store->lock);
    if (code != 0) {
        (void)pthread_mutex_destroy(&snapshot->lock);
        free(snapshot);
        return lmdb_status(code);
    }
    *snapshot_out = &snapshot->base;
    return DKV_OK;
}

static void release(struct lmdb_snapshot *snapshot)
{
    if (snapshot->txn == NULL)
        return;
    merge_end(&snapshot->merge);
    mdb_txn_abort(snapshot->txn);
    snapshot->txn = NULL;
}

void snapshots_expire(struct lmdb_store *store)
{
    uint64_t now_ms = host_now_ms(store);

    for (struct lmdb_snapshot *at = store->snapshots; at != NULL; at = at->next) {
        if (now_ms < at->opened_ms + store->options.snapshot_max_ms ||
            pthread_mutex_trylock(&at->lock) != 0)
            continue;
        if (at->txn != NULL) {
            host_log(store->host, LOG_LEVEL_WARNING,
                     "lmdb: snapshot of index %llu is older than snapshot_max, given up",
                     (unsigned long long)at->base.index);
            release(at);
            at->status = DKV_ECANCELED;
            store->retry_now = true;
        }
        pthread_mutex_unlock(&at->lock);
    }
}

static int chunk_emit(struct lmdb_snapshot *snapshot, struct dkv_snapshot_read *read)
{
    const struct lmdb_store *store = store_of(snapshot->base.store);
    size_t bytes = 0;

    do {
        struct dkv_slice key, value;
        int status = merge_next(&snapshot->merge, &store->env, &key, &value);

        if (status == DKV_ENOENT) {
            read->end = true;
            return DKV_OK;
        }
        if (status != DKV_OK)
            return status;
        bytes += key.len + value.len;
        if (read->read.emit(&read->read, key, value) != 0)
            return DKV_OK;
    } while (bytes < read->bytes_max);
    return DKV_OK;
}

int lmdb_snapshot_read(struct dkv_snapshot *base, struct dkv_snapshot_read *read)
{
    struct lmdb_snapshot *snapshot = (struct lmdb_snapshot *)base;
    struct dkv_slice all = {"", 0};
    int status;

    read->end = false;
    pthread_mutex_lock(&snapshot->lock);
    status = snapshot->status;
    if (status == DKV_OK && !snapshot->started) {
        snapshot->started = true;
        status = merge_start(&snapshot->merge, snapshot->txn, snapshot->content, all, all);
    }
    if (status == DKV_OK)
        status = chunk_emit(snapshot, read);
    snapshot->status = status;
    pthread_mutex_unlock(&snapshot->lock);
    return status;
}

void lmdb_snapshot_close(struct dkv_snapshot *base)
{
    struct lmdb_snapshot *snapshot = (struct lmdb_snapshot *)base;
    struct lmdb_store *store = store_of(base->store);
    struct lmdb_snapshot **at;

    pthread_mutex_lock(&store->lock);
    for (at = &store->snapshots; *at != snapshot; at = &(*at)->next)
        continue;
    *at = snapshot->next;
    pthread_mutex_unlock(&store->lock);
    release(snapshot);
    /* Pages came free: a commit that found the map full may fit now. */
    pthread_mutex_lock(&store->lock);
    store->retry_now = store->failure == DKV_ENOSPC;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->lock);
    (void)pthread_mutex_destroy(&snapshot->lock);
    free(snapshot);
}
