/* The home thread's calls.  apply() copies the batch into the current generation and turns the
 * hash table's slots with the gate closed; no disk is touched. */
#include "store.h"

#include "fault.h"

static int mutations_check(const struct lmdb_store *store, const struct dkv_apply *apply)
{
    for (size_t i = 0; i < apply->count; i++) {
        const struct dkv_mutation *mutation = &apply->mutations[i];

        if ((mutation->kind != DKV_PUT && mutation->kind != DKV_DELETE) || mutation->key.len == 0)
            return DKV_EINVAL;
        if (mutation->key.len > store->base.key_max ||
            (mutation->kind == DKV_PUT && mutation->value.len > store->base.value_max))
            return DKV_ETOOBIG;
    }
    return DKV_OK;
}

/* A batch bigger than the limit is taken when nothing else is in the way. */
static bool has_room(const struct lmdb_store *store, size_t cost)
{
    size_t held =
        store->current->bytes + (store->committing != NULL ? store->committing->bytes : 0);

    return held == 0 || held + cost <= store->options.overlay_max;
}

static bool is_full(const struct lmdb_store *store, const struct generation *generation)
{
    return generation->count >= (size_t)store->options.commit_ops ||
           generation->bytes >= store->options.commit_bytes;
}

static int insert(struct lmdb_store *store, const struct dkv_apply *apply)
{
    struct generation *current = store->current;
    bool was_empty = current->count == 0, was_full = is_full(store, current);
    int status =
        generation_stage(current, store->hash_key, store->sequence, apply->mutations, apply->count);

    if (status != DKV_OK)
        return status;
    store->sequence += apply->count;
    fault_point("staged");
    gate_close(store);
    generation_publish(current, apply->index);
    store->applied = apply->index;
    gate_open(store);
    if (was_empty && current->count != 0) {
        current->born_ms = store__now_ms();
        pthread_cond_signal(&store->wake);
    } else if (!was_full && is_full(store, current)) {
        pthread_cond_signal(&store->wake);
    }
    return DKV_OK;
}

int apply_try(struct lmdb_store *store, const struct dkv_apply *apply)
{
    size_t cost = generation_cost(apply->mutations, apply->count);
    int status;

    pthread_mutex_lock(&store->lock);
    /* Lack of space stops the committer, not the overlay: what a majority has committed stays
     * readable, and the log has it until it is durable here. */
    if (store->failure != DKV_OK && store->failure != DKV_ENOSPC) {
        status = store->failure;
    } else if (!has_room(store, cost) && store->failure == DKV_ENOSPC) {
        status = DKV_ENOSPC;
    } else if (!has_room(store, cost)) {
        store->pressed = true;
        pthread_cond_signal(&store->wake);
        status = DKV_PENDING;
    } else {
        status = insert(store, apply);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

/* Without a home loop, and with sync = always, the call itself waits. */
static void wait_settled(struct lmdb_store *store)
{
    pthread_mutex_lock(&store->lock);
    if (store->pressed && store->failure == DKV_OK)
        pthread_cond_wait(&store->settled, &store->lock);
    pthread_mutex_unlock(&store->lock);
}

static int durable_wait(struct lmdb_store *store, uint64_t index)
{
    int status;

    pthread_mutex_lock(&store->lock);
    if (store->sync_wanted < index)
        store->sync_wanted = index;
    pthread_cond_signal(&store->wake);
    while (store->durable < index && store->failure == DKV_OK)
        pthread_cond_wait(&store->settled, &store->lock);
    status = store->durable >= index ? DKV_OK : store->failure;
    pthread_mutex_unlock(&store->lock);
    return status;
}

int lmdb_apply(struct dkv_store *base, struct dkv_apply *apply)
{
    struct lmdb_store *store = store_of(base);
    int status;

    if (apply->index <= store->applied)
        return DKV_OK;
    status = mutations_check(store, apply);
    if (status != DKV_OK)
        return status;
    if (store->applies.head != NULL) {
        pending_add(store, &store->applies, &apply->op);
        return DKV_PENDING;
    }
    while ((status = apply_try(store, apply)) == DKV_PENDING) {
        if (store->settled_event != NULL) {
            pending_add(store, &store->applies, &apply->op);
            return DKV_PENDING;
        }
        wait_settled(store);
    }
    if (status == DKV_OK && store->options.sync == LMDB_SYNC_ALWAYS)
        status = durable_wait(store, apply->index);
    return status;
}

int lmdb_applied(struct dkv_store *base, struct dkv_index *index)
{
    index->index = store_of(base)->applied;
    return DKV_OK;
}

int sync_try(struct lmdb_store *store, struct dkv_index *index)
{
    int status = DKV_PENDING;

    pthread_mutex_lock(&store->lock);
    if (store->durable >= index->index) {
        index->index = store->durable;
        status = DKV_OK;
    } else if (store->failure != DKV_OK) {
        status = store->failure;
    } else if (store->sync_wanted < index->index) {
        store->sync_wanted = index->index;
        pthread_cond_signal(&store->wake);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

int lmdb_sync_op(struct dkv_store *base, struct dkv_index *index)
{
    struct lmdb_store *store = store_of(base);
    int status;

    index->index = store->applied;
    status = sync_try(store, index);
    if (status != DKV_PENDING)
        return status;
    if (store->settled_event != NULL) {
        pending_add(store, &store->syncs, &index->op);
        return DKV_PENDING;
    }
    status = durable_wait(store, index->index);
    return status == DKV_OK ? sync_try(store, index) : status;
}
