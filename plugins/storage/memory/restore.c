/* Restores: a second table is filled beside the first and takes its place in one step. */
#include <stdlib.h>

#include "store.h"

struct memory_restore {
    struct dkv_restore base;
    struct table *table; /* nobody else's until commit */
    uint64_t index;
};

int memory_restore_open(struct dkv_store *base, uint64_t index, struct dkv_restore **restore_out)
{
    struct memory_restore *restore = calloc(1, sizeof(*restore));

    if (restore == NULL)
        return DKV_ENOMEM;
    restore->table = table_new();
    if (restore->table == NULL) {
        free(restore);
        return DKV_ENOMEM;
    }
    restore->base.store = base;
    restore->index = index;
    *restore_out = &restore->base;
    return DKV_OK;
}

int memory_restore_write(struct dkv_restore *base, struct dkv_restore_write *write)
{
    struct memory_restore *restore = (struct memory_restore *)base;
    struct entry *garbage = NULL;
    int status = DKV_OK;

    for (size_t i = 0; i < write->count && status == DKV_OK; i++) {
        const struct dkv_mutation *put = &write->puts[i];
        struct entry *entry;

        if (put->kind != DKV_PUT || put->key.len == 0)
            status = DKV_EINVAL;
        else if (put->key.len > base->store->key_max || put->value.len > base->store->value_max)
            status = DKV_ETOOBIG;
        else if ((entry = table_entry_new(put->key, put->value, restore->index)) == NULL)
            status = DKV_ENOMEM;
        else
            table_set(restore->table, entry, &garbage);
    }
    table_entries_free(garbage);
    return status;
}

static void replace_table(struct memory_store *s, struct table *table)
{
    struct table *old = s->table;

    (void)pthread_rwlock_wrlock(&s->lock);
    s->table = table;
    (void)pthread_rwlock_unlock(&s->lock);
    memory_table_unref(s, old);
}

int memory_restore_commit(struct dkv_restore *base, struct dkv_op *op)
{
    struct memory_restore *restore = (struct memory_restore *)base;

    (void)op;
    restore->table->applied = restore->index;
    replace_table((struct memory_store *)base->store, restore->table);
    free(restore);
    return DKV_OK;
}

void memory_restore_abort(struct dkv_restore *base)
{
    struct memory_restore *restore = (struct memory_restore *)base;

    table_free(restore->table);
    free(restore);
}
