#include "merge.h"

#include <stdlib.h>

#include "fault.h"

int lmdb_reader_open(struct dkv_store *base, struct event_base *loop,
                     struct dkv_reader **reader_out, struct dkv_error *err)
{
    struct lmdb_store *store = store_of(base);
    struct lmdb_reader *reader = calloc(1, sizeof(*reader));
    int code;

    (void)loop;
    if (reader == NULL)
        return error_set(err, DKV_ENOMEM, "open a reader: out of memory");
    code = mdb_txn_begin(store->env.mdb, NULL, MDB_RDONLY, &reader->txn);
    if (code != 0) {
        free(reader);
        return error_set(err, lmdb_status(code), "open a reader of %s: %s%s", store->options.path,
                         mdb_strerror(code), code == MDB_READERS_FULL ? "; raise max_readers" : "");
    }
    mdb_txn_reset(reader->txn);
    (void)pthread_mutex_init(&reader->lock, NULL);
    reader->base.store = base;
    pthread_mutex_lock(&store->lock);
    reader->next = store->readers;
    store->readers = reader;
    pthread_mutex_unlock(&store->lock);
    *reader_out = &reader->base;
    return DKV_OK;
}

void lmdb_reader_close(struct dkv_reader *base)
{
    struct lmdb_reader *reader = (struct lmdb_reader *)base;
    struct lmdb_store *store = store_of(base->store);
    struct lmdb_reader **at;

    pthread_mutex_lock(&store->lock);
    for (at = &store->readers; *at != reader; at = &(*at)->next)
        continue;
    *at = reader->next;
    pthread_mutex_unlock(&store->lock);
    mdb_txn_abort(reader->txn);
    (void)pthread_mutex_destroy(&reader->lock);
    free(reader);
}

static const struct entry *overlay_find(const struct lmdb_store *store, struct dkv_slice key)
{
    const struct entry *entry;
    uint64_t hash;

    if (store->current->used == 0 && store->committing == NULL)
        return NULL;
    hash = key_hash(key, store->hash_key);
    entry = generation_find(store->current, hash, key);
    return entry != NULL ? entry : generation_find(store->committing, hash, key);
}

static int row_get(struct lmdb_reader *reader, MDB_dbi content, struct dkv_get *get)
{
    const struct lmdb_store *store = store_of(reader->base.store);
    MDB_val key = {get->key.len, (void *)(uintptr_t)get->key.data}, stored;
    struct dkv_slice value;
    int status = lmdb_status(mdb_get(reader->txn, content, &key, &stored));

    if (status == DKV_OK)
        status = value_check(&store->env, &key, &stored, &value);
    if (status == DKV_OK)
        (void)get->read.emit(&get->read, get->key, value);
    return status;
}

static int entry_emit(const struct entry *entry, struct dkv_get *get)
{
    if (entry->kind == DKV_DELETE)
        return DKV_ENOENT;
    (void)get->read.emit(&get->read, get->key, entry_value(entry));
    return DKV_OK;
}

/* The overlay's bytes are emitted under the reader's lock, LMDB's while its view is live. */
int lmdb_get(struct dkv_reader *base, struct dkv_get *get)
{
    struct lmdb_reader *reader = (struct lmdb_reader *)base;
    struct lmdb_store *store = store_of(base->store);
    const struct entry *entry;
    MDB_dbi content;
    int code, status;

    if (get->key.len == 0 || get->key.len > ENV_KEY_MAX)
        return DKV_ENOENT;
    pthread_mutex_lock(&reader->lock);
    entry = overlay_find(store, get->key);
    if (entry != NULL) {
        status = entry_emit(entry, get);
        pthread_mutex_unlock(&reader->lock);
        return status;
    }
    fault_point("pairing");
    content = store->env.content[store->active];
    code = mdb_txn_renew(reader->txn);
    pthread_mutex_unlock(&reader->lock);
    if (code != 0)
        return lmdb_status(code);
    status = row_get(reader, content, get);
    mdb_txn_reset(reader->txn);
    return status;
}

static int walk(struct merge *merge, const struct lmdb_store *store, struct dkv_scan *scan)
{
    for (uint64_t emitted = 0; scan->limit == 0 || emitted < scan->limit; emitted++) {
        struct dkv_slice key, value;
        int status = merge_next(merge, &store->env, &key, &value);

        if (status != DKV_OK)
            return status == DKV_ENOENT ? DKV_OK : status;
        if (scan->read.emit(&scan->read, key, value) != 0)
            break;
    }
    return DKV_OK;
}

int lmdb_scan(struct dkv_reader *base, struct dkv_scan *scan)
{
    struct lmdb_reader *reader = (struct lmdb_reader *)base;
    struct lmdb_store *store = store_of(base->store);
    struct merge merge;
    MDB_dbi content;
    int code, status;

    pthread_mutex_lock(&reader->lock);
    merge_note(&merge, store);
    fault_point("pairing");
    content = store->env.content[store->active];
    code = mdb_txn_renew(reader->txn);
    pthread_mutex_unlock(&reader->lock);
    status = lmdb_status(code);
    if (code == 0) {
        status = merge_start(&merge, reader->txn, content, scan->prefix, scan->after);
        if (status == DKV_OK)
            status = walk(&merge, store, scan);
    }
    merge_end(&merge);
    if (code == 0)
        mdb_txn_reset(reader->txn);
    return status;
}
