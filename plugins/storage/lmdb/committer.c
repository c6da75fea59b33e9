/* The thread that carries generations into LMDB.
 *
 * It sleeps until the current generation is old or big enough, or somebody wants to know it on the
 * disk; then it takes the generation (a new one becomes the current), writes the newest value of
 * each key in key order, so that every page is touched once, and commits with the index.  Only
 * then the generation is retired.  The longer it waits the fewer pages are written per mutation;
 * nothing waits for it but sync() and an apply() that found the overlay full. */
#include "store.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"

#define RETRY_MS 1000 /* after ENOSPC */

struct sorted {
    uint64_t head; /* the first bytes of the key, big-endian: most comparisons end here */
    const struct entry *entry;
};

uint64_t store__now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int sorted_compare(const void *left, const void *right)
{
    const struct sorted *a = left, *b = right;

    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    return key_compare(entry_key(a->entry), entry_key(b->entry));
}

static struct sorted *generation_sort(const struct generation *generation)
{
    struct sorted *sorted = malloc((generation->used + 1) * sizeof(*sorted));
    size_t count = 0;

    if (sorted == NULL)
        return NULL;
    for (size_t i = 0; i < generation->capacity; i++) {
        const struct entry *entry = generation->slots[i].entry;

        if (entry == NULL)
            continue;
        sorted[count++] = (struct sorted){key_head(entry_key(entry)), entry};
    }
    qsort(sorted, count, sizeof(*sorted), sorted_compare);
    return sorted;
}

static int entry_write(MDB_cursor *cursor, const struct entry *entry)
{
    MDB_val key = {entry->key_len, (void *)(uintptr_t)entry->bytes}, value;
    int code;

    if (entry->kind == DKV_DELETE) {
        code = mdb_del(mdb_cursor_txn(cursor), mdb_cursor_dbi(cursor), &key, NULL);
        return code == MDB_NOTFOUND ? 0 : code;
    }
    value = (MDB_val){VALUE_HEADER + entry->value_len, NULL};
    code = mdb_cursor_put(cursor, &key, &value, MDB_RESERVE);
    if (code == 0)
        value_seal(value.mv_data, entry_key(entry), entry_value(entry));
    return code;
}

int commit_write(MDB_txn *txn, MDB_dbi content, const struct generation *generation)
{
    struct sorted *sorted = generation_sort(generation);
    MDB_cursor *cursor;
    int code;

    if (sorted == NULL)
        return ENOMEM;
    code = mdb_cursor_open(txn, content, &cursor);
    if (code == 0) {
        for (size_t i = 0; i < generation->used && code == 0; i++) {
            code = entry_write(cursor, sorted[i].entry);
            fault_point("written");
        }
        mdb_cursor_close(cursor);
    }
    free(sorted);
    return code;
}

static int commit(struct lmdb_store *store, const struct generation *generation)
{
    struct env_state state = {.index = generation->index, .active = store->active};
    MDB_txn *txn;
    int code;

    fault_point("begin");
    code = mdb_txn_begin(store->env.mdb, NULL, 0, &txn);
    if (code != 0)
        return code;
    code = commit_write(txn, store->env.content[state.active], generation);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return env_commit(&store->env, txn, &state);
}

/* store->lock is held from here on, but for the calls into LMDB. */

static void settle(struct lmdb_store *store)
{
    uint64_t one = 1;

    pthread_cond_broadcast(&store->settled);
    if (store->home_waits && write(store->settled_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        host_log(store->host, LOG_LEVEL_ERROR, "lmdb: eventfd: %s", strerror(errno));
}

void committer_poison(struct lmdb_store *store, int code)
{
    if (store->failure != DKV_EIO)
        host_log(store->host, LOG_LEVEL_ERROR,
                 "lmdb: write to %s: %s; the store is stopped, restart the node",
                 store->options.path, mdb_strerror(code));
    store->failure = DKV_EIO;
}

/* Only lack of space may pass: the generations stay in the overlay and the log above the durable
 * index is kept, so nothing is lost by trying again.  After any other failure, a failed fdatasync
 * first of all, what is on the disk is unknown. */
static void commit_failed(struct lmdb_store *store, int code)
{
    if (lmdb_status(code) != DKV_ENOSPC && code != ENOMEM) {
        committer_poison(store, code);
        return;
    }
    if (store->failure == DKV_OK)
        host_log(
            store->host, LOG_LEVEL_ERROR,
            "lmdb: commit in %s: %s; tried again every second, writes stay in memory and the log",
            store->options.path, mdb_strerror(code));
    store->failure = DKV_ENOSPC;
}

static void commit_done(struct lmdb_store *store)
{
    struct generation *generation = store->committing;

    fault_point("retire");
    gate_close(store);
    store->committing = NULL;
    gate_open(store);
    /* This commit's fdatasync carried the root of the one before. */
    store->durable = store->env.always_sync ? generation->index : store->committed;
    store->committed = generation->index;
    if (store->failure != DKV_OK)
        host_log(store->host, LOG_LEVEL_INFO, "lmdb: %s has room again", store->options.path);
    store->failure = DKV_OK;
    store->pressed = false;
    pthread_mutex_unlock(&store->lock);
    generation_unref(generation);
    pthread_mutex_lock(&store->lock);
}

static int generation_take(struct lmdb_store *store)
{
    struct generation *fresh;

    if (store->committing != NULL)
        return 0; /* once more, after ENOSPC */
    fresh = generation_new(store->current->index);
    if (fresh == NULL)
        return ENOMEM;
    fault_point("take");
    gate_close(store);
    store->committing = store->current;
    store->current = fresh;
    gate_open(store);
    return 0;
}

static void round_commit(struct lmdb_store *store)
{
    int code = generation_take(store);

    if (code == 0) {
        store->busy = true;
        pthread_mutex_unlock(&store->lock);
        code = commit(store, store->committing);
        pthread_mutex_lock(&store->lock);
        store->busy = false;
    }
    if (code == 0)
        commit_done(store);
    else
        commit_failed(store, code);
}

static void round_sync(struct lmdb_store *store)
{
    uint64_t committed = store->committed;
    int code;

    store->busy = true;
    pthread_mutex_unlock(&store->lock);
    code = env_sync(&store->env);
    pthread_mutex_lock(&store->lock);
    store->busy = false;
    if (code == 0)
        store->durable = committed;
    else
        committer_poison(store, code);
}

/* An index without data is not worth a disk access: it waits for data or for sync(). */
static bool wants_commit(const struct lmdb_store *store, uint64_t now_ms)
{
    const struct generation *current = store->current;

    if (store->sync_wanted > store->committed)
        return true;
    if (current->count == 0)
        return store->stop && store->committed < store->applied;
    return store->stop || store->pressed || current->count >= (size_t)store->options.commit_ops ||
           current->bytes >= store->options.commit_bytes ||
           now_ms >= current->born_ms + store->options.commit_interval_ms;
}

static void wait_until(struct lmdb_store *store, uint64_t ms)
{
    struct timespec until = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)pthread_cond_timedwait(&store->wake, &store->lock, &until);
}

static void rest(struct lmdb_store *store)
{
    bool may_commit = !store->paused && store->failure == DKV_OK;

    if (may_commit && store->current->count != 0)
        wait_until(store, store->current->born_ms + store->options.commit_interval_ms);
    else if (store->snapshots != NULL)
        wait_until(store, store__now_ms() + RETRY_MS);
    else
        pthread_cond_wait(&store->wake, &store->lock);
}

static void rest_failed(struct lmdb_store *store)
{
    uint64_t until = store__now_ms() + RETRY_MS;

    while (!store->stop && !store->retry_now && !store->paused && store__now_ms() < until) {
        if (store->snapshots != NULL)
            snapshots_expire(store);
        wait_until(store, until);
    }
    store->retry_now = false;
}

/* False: there is nothing to be done now. */
static bool round_go(struct lmdb_store *store)
{
    if (store->paused || store->failure == DKV_EIO)
        return false;
    if (store->committing != NULL || wants_commit(store, store__now_ms()))
        round_commit(store);
    else if (store->sync_wanted > store->durable ||
             (store->stop && store->durable < store->committed))
        round_sync(store);
    else
        return false;
    settle(store);
    return true;
}

static void *committer_main(void *context)
{
    struct lmdb_store *store = context;

    pthread_mutex_lock(&store->lock);
    for (;;) {
        bool went;

        /* Also where one commit follows the other: that is when an old view costs most. */
        if (store->snapshots != NULL)
            snapshots_expire(store);
        went = round_go(store);
        if (went && store->failure == DKV_OK)
            continue;
        if (store->stop)
            break;
        if (went && store->failure == DKV_ENOSPC)
            rest_failed(store);
        else
            rest(store);
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

int committer_start(struct lmdb_store *store, struct dkv_error *err)
{
    sigset_t all, before;
    int code;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&store->committer, NULL, committer_main, store);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return error_set(err, DKV_EUNAVAIL, "start the committer thread: %s", strerror(code));
    (void)pthread_setname_np(store->committer, "lmdb-commit");
    return DKV_OK;
}

void committer_stop(struct lmdb_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->stop = true;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->lock);
    (void)pthread_join(store->committer, NULL);
}
