/* New content is built in the database that is not active, in transactions of some MiB, and becomes
 * the content in one transaction that writes the state record: index and content turn together, and
 * a process killed at any point comes back with the old or the new.  What an unfinished restore has
 * left behind is emptied at the next open or restore.  Readers go on with the old content, then
 * with the new; views that are open keep theirs, for its pages are freed in a later transaction. */
#include "store.h"

#include <errno.h>
#include <stdlib.h>

#include "fault.h"

struct lmdb_restore {
    struct dkv_restore base;
    uint64_t index;
    struct generation *batch;
    unsigned target;
};

static int database_clear(struct lmdb_store *store, unsigned which)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(store->env.mdb, NULL, 0, &txn);

    if (code != 0)
        return code;
    code = mdb_drop(txn, store->env.content[which], 0);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return env_commit(&store->env, txn, NULL);
}

static bool store_is_poisoned(struct lmdb_store *store)
{
    bool poisoned;

    pthread_mutex_lock(&store->lock);
    poisoned = store->failure == DKV_EIO;
    pthread_mutex_unlock(&store->lock);
    return poisoned;
}

int lmdb_restore_open(struct dkv_store *base, uint64_t index, struct dkv_restore **restore_out)
{
    struct lmdb_store *store = store_of(base);
    struct lmdb_restore *restore;
    int code;

    if (store->restoring)
        return DKV_EUNAVAIL;
    if (store_is_poisoned(store))
        return DKV_EIO;
    restore = calloc(1, sizeof(*restore));
    if (restore == NULL)
        return DKV_ENOMEM;
    restore->base.store = base;
    restore->index = index;
    restore->target = 1 - store->active;
    restore->batch = generation_new(index);
    code = restore->batch == NULL ? ENOMEM : database_clear(store, restore->target);
    if (code != 0) {
        generation_unref(restore->batch);
        free(restore);
        return lmdb_status(code);
    }
    store->restoring = true;
    *restore_out = &restore->base;
    return DKV_OK;
}

static int flush(struct lmdb_store *store, struct lmdb_restore *restore)
{
    struct generation *fresh;
    MDB_txn *txn;
    int code;

    if (restore->batch->count == 0)
        return DKV_OK;
    fresh = generation_new(restore->index);
    if (fresh == NULL)
        return DKV_ENOMEM;
    code = mdb_txn_begin(store->env.mdb, NULL, 0, &txn);
    if (code == 0) {
        code = commit_write(txn, store->env.content[restore->target], restore->batch);
        if (code != 0)
            mdb_txn_abort(txn);
        else
            code = env_commit(&store->env, txn, NULL);
    }
    fault_point("restore-flush");
    if (code != 0) {
        generation_unref(fresh);
        return lmdb_status(code);
    }
    generation_unref(restore->batch);
    restore->batch = fresh;
    return DKV_OK;
}

int lmdb_restore_write(struct dkv_restore *base, struct dkv_restore_write *write)
{
    struct lmdb_restore *restore = (struct lmdb_restore *)base;
    struct lmdb_store *store = store_of(base->store);
    int status;

    for (size_t i = 0; i < write->count; i++) {
        if (write->puts[i].kind != DKV_PUT || write->puts[i].key.len == 0)
            return DKV_EINVAL;
        if (write->puts[i].key.len > ENV_KEY_MAX || write->puts[i].value.len > ENV_VALUE_MAX)
            return DKV_ETOOBIG;
    }
    status = generation_stage(restore->batch, store->hash_key, restore->batch->count, write->puts,
                              write->count);
    if (status != DKV_OK)
        return status;
    generation_publish(restore->batch, restore->index);
    if (restore->batch->bytes < store->options.commit_bytes)
        return DKV_OK;
    return flush(store, restore);
}

static int state_turn(struct lmdb_store *store, const struct lmdb_restore *restore)
{
    struct env_state state = {.index = restore->index, .active = restore->target};
    MDB_txn *txn;
    int code = mdb_txn_begin(store->env.mdb, NULL, 0, &txn);

    return code == 0 ? env_commit(&store->env, txn, &state) : code;
}

static void pause_committer(struct lmdb_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->paused = true;
    pthread_cond_signal(&store->wake);
    while (store->busy)
        pthread_cond_wait(&store->settled, &store->lock);
    pthread_mutex_unlock(&store->lock);
}

static void resume_committer(struct lmdb_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->paused = false;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->lock);
}

/* Until here the readers saw old overlay over old content, which is still all there. */
static void content_turn(struct lmdb_store *store, const struct lmdb_restore *restore,
                         struct generation *fresh)
{
    struct generation *old[2];

    pthread_mutex_lock(&store->lock);
    old[0] = store->current;
    old[1] = store->committing;
    gate_close(store);
    store->current = fresh;
    store->committing = NULL;
    store->active = restore->target;
    store->applied = restore->index;
    gate_open(store);
    store->committed = store->durable = restore->index;
    store->sync_wanted = 0;
    store->pressed = false;
    if (store->failure == DKV_ENOSPC)
        store->failure = DKV_OK;
    pthread_mutex_unlock(&store->lock);
    generation_unref(old[0]);
    generation_unref(old[1]);
}

static void restore_free(struct lmdb_restore *restore)
{
    store_of(restore->base.store)->restoring = false;
    generation_unref(restore->batch);
    free(restore);
}

/* Lack of space has changed nothing.  After another failure the record on the disk may be the old
 * or the new one, so both contents must stay, and this process must not write any more. */
static int turn_failed(struct lmdb_store *store, int code)
{
    if (lmdb_status(code) != DKV_ENOSPC && code != ENOMEM) {
        pthread_mutex_lock(&store->lock);
        committer_poison(store, code);
        pthread_mutex_unlock(&store->lock);
    }
    return lmdb_status(code);
}

static int turn(struct lmdb_store *store, struct lmdb_restore *restore)
{
    struct generation *fresh;
    int code, status = flush(store, restore);

    if (status != DKV_OK)
        return status;
    fresh = generation_new(restore->index);
    if (fresh == NULL)
        return DKV_ENOMEM;
    fault_point("restore-turn");
    pause_committer(store);
    code = state_turn(store, restore);
    if (code == 0) {
        fault_point("restore-turned");
        content_turn(store, restore, fresh);
        code = env_sync(&store->env);
    } else {
        generation_unref(fresh);
    }
    status = code == 0 ? DKV_OK : turn_failed(store, code);
    resume_committer(store);
    return status;
}

/* The restore is over either way. */
int lmdb_restore_commit(struct dkv_restore *base, struct dkv_op *op)
{
    struct lmdb_restore *restore = (struct lmdb_restore *)base;
    struct lmdb_store *store = store_of(base->store);
    int code, status = turn(store, restore);

    (void)op;
    code = status == DKV_OK ? database_clear(store, 1 - restore->target) : 0;
    if (code != 0)
        host_log(store->host, LOG_LEVEL_WARNING,
                 "lmdb: %s: replaced content could not be freed (%s); the next start does it",
                 store->options.path, mdb_strerror(code));
    restore_free(restore);
    return status;
}

void lmdb_restore_abort(struct dkv_restore *base)
{
    struct lmdb_restore *restore = (struct lmdb_restore *)base;

    (void)database_clear(store_of(base->store), restore->target);
    restore_free(restore);
}
