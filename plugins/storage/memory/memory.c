/* Storage in memory: everything is gone when the process ends, and comes back from the newest
 * snapshot and the log. */
#include <stdio.h>
#include <stdlib.h>

#include "store.h"

static int memory_open(const struct dkv_store_args *args, struct dkv_store **store_out,
                       struct dkv_error *err)
{
    struct memory_store *s = calloc(1, sizeof(*s));
    pthread_rwlockattr_t attr;

    (void)args;
    if (s != NULL)
        s->table = table_new();
    if (s == NULL || s->table == NULL) {
        free(s);
        err->status = DKV_ENOMEM;
        snprintf(err->text, sizeof(err->text), "no memory for an empty table");
        return DKV_ENOMEM;
    }
    /* Otherwise readers that never leave a gap would keep the writer out. */
    (void)pthread_rwlockattr_init(&attr);
    (void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&s->lock, &attr);
    (void)pthread_rwlockattr_destroy(&attr);
    s->base.caps = DKV_CAP_SCAN | DKV_CAP_ORDERED | DKV_CAP_SNAPSHOT;
    s->base.key_max = UINT16_MAX;
    s->base.value_max = UINT32_MAX;
    *store_out = &s->base;
    return DKV_OK;
}

static void memory_close(struct dkv_store *base)
{
    struct memory_store *s = (struct memory_store *)base;

    table_free(s->table);
    (void)pthread_rwlock_destroy(&s->lock);
    free(s);
}

static int memory_reader_open(struct dkv_store *store, struct event_base *base,
                              struct dkv_reader **reader_out, struct dkv_error *err)
{
    struct dkv_reader *reader = calloc(1, sizeof(*reader));

    (void)base;
    if (reader == NULL) {
        err->status = DKV_ENOMEM;
        snprintf(err->text, sizeof(err->text), "no memory for a reader");
        return DKV_ENOMEM;
    }
    reader->store = store;
    *reader_out = reader;
    return DKV_OK;
}

static void memory_reader_close(struct dkv_reader *reader)
{
    free(reader);
}

static int memory_get(struct dkv_reader *reader, struct dkv_get *get)
{
    struct memory_store *s = (struct memory_store *)reader->store;
    const struct entry *entry;

    (void)pthread_rwlock_rdlock(&s->lock);
    entry = table_find(s->table, get->key);
    if (entry != NULL)
        (void)get->read.emit(&get->read, entry_key(entry), entry_value(entry));
    (void)pthread_rwlock_unlock(&s->lock);
    return entry == NULL ? DKV_ENOENT : DKV_OK;
}

static int check(const struct memory_store *s, const struct dkv_apply *apply)
{
    for (size_t i = 0; i < apply->count; i++) {
        const struct dkv_mutation *m = &apply->mutations[i];

        if ((m->kind != DKV_PUT && m->kind != DKV_DELETE) || m->key.len == 0)
            return DKV_EINVAL;
        if (m->key.len > s->base.key_max ||
            (m->kind == DKV_PUT && m->value.len > s->base.value_max))
            return DKV_ETOOBIG;
    }
    return DKV_OK;
}

/* A delete has an entry too: a tombstone, in case a view is open. */
static int make_entries(const struct dkv_apply *apply, struct entry **first_out)
{
    struct entry **last = first_out;

    *first_out = NULL;
    for (size_t i = 0; i < apply->count; i++) {
        const struct dkv_mutation *m = &apply->mutations[i];
        struct dkv_slice none = {NULL, 0};
        struct entry *entry =
            table_entry_new(m->key, m->kind == DKV_PUT ? m->value : none, apply->index);

        if (entry == NULL) {
            table_entries_free(*first_out);
            return DKV_ENOMEM;
        }
        entry->is_tombstone = m->kind == DKV_DELETE;
        *last = entry;
        last = &entry->next;
    }
    return DKV_OK;
}

static int memory_apply(struct dkv_store *base, struct dkv_apply *apply)
{
    struct memory_store *s = (struct memory_store *)base;
    struct entry *entry, *garbage = NULL;
    int status = check(s, apply);

    if (status != DKV_OK || apply->index <= s->table->applied)
        return status;
    status = make_entries(apply, &entry);
    if (status != DKV_OK)
        return status;
    (void)pthread_rwlock_wrlock(&s->lock);
    if (!table_reserve(s->table, apply->count)) {
        (void)pthread_rwlock_unlock(&s->lock);
        table_entries_free(entry);
        return DKV_ENOMEM;
    }
    while (entry != NULL) {
        struct entry *next = entry->next;

        table_set(s->table, entry, &garbage);
        entry = next;
    }
    s->table->applied = apply->index;
    (void)pthread_rwlock_unlock(&s->lock);
    table_entries_free(garbage);
    return DKV_OK;
}

static int memory_applied(struct dkv_store *store, struct dkv_index *index)
{
    index->index = ((struct memory_store *)store)->table->applied;
    return DKV_OK;
}

/* Nothing here outlives the process. */
static int memory_sync(struct dkv_store *store, struct dkv_index *index)
{
    (void)store;
    index->index = 0;
    return DKV_OK;
}

static const struct dkv_storage_ops memory_ops = {
    .size = sizeof(struct dkv_storage_ops),
    .open = memory_open,
    .close = memory_close,
    .reader_open = memory_reader_open,
    .reader_close = memory_reader_close,
    .get = memory_get,
    .scan = memory_scan,
    .apply = memory_apply,
    .applied = memory_applied,
    .sync = memory_sync,
    .snapshot_open = memory_snapshot_open,
    .snapshot_read = memory_snapshot_read,
    .snapshot_close = memory_snapshot_close,
    .restore_open = memory_restore_open,
    .restore_write = memory_restore_write,
    .restore_commit = memory_restore_commit,
    .restore_abort = memory_restore_abort,
};

DKV_PLUGIN_DECLARE(.name = "memory", .version = PACKAGE_VERSION, .kind = DKV_PLUGIN_STORAGE,
                   .summary = "hash table in memory, refilled from snapshots and the log",
                   .ops.storage = &memory_ops);
