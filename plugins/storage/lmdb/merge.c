#include "merge.h"

#include <stdlib.h>
#include <string.h>

void merge_note(struct merge *merge, const struct lmdb_store *store)
{
    *merge = (struct merge){0};
    merge->generations[0] = generation_ref(store->current);
    merge->newest[0] = store->current->newest;
    if (store->committing != NULL) {
        merge->generations[1] = generation_ref(store->committing);
        merge->newest[1] = store->committing->newest;
    }
}

/* By key, and of one key the newest first. */
static bool item_before(const struct merge_item *a, const struct merge_item *b)
{
    int order;

    if (a->head != b->head)
        return a->head < b->head;
    order = key_compare(entry_key(a->entry), entry_key(b->entry));
    return order != 0 ? order < 0 : a->entry->sequence > b->entry->sequence;
}

static void heap_sink(struct merge *merge, size_t at)
{
    struct merge_item item = merge->heap[at];

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= merge->count)
            break;
        if (child + 1 < merge->count && item_before(&merge->heap[child + 1], &merge->heap[child]))
            child++;
        if (!item_before(&merge->heap[child], &item))
            break;
        merge->heap[at] = merge->heap[child];
        at = child;
    }
    merge->heap[at] = item;
}

static const struct entry *heap_pop(struct merge *merge)
{
    const struct entry *entry = merge->heap[0].entry;

    merge->heap[0] = merge->heap[--merge->count];
    if (merge->count > 1)
        heap_sink(merge, 0);
    return entry;
}

static bool has_prefix(struct dkv_slice key, struct dkv_slice prefix)
{
    return key.len >= prefix.len &&
           (prefix.len == 0 || memcmp(key.data, prefix.data, prefix.len) == 0);
}

static int heap_add(struct merge *merge, const struct entry *entry)
{
    if (merge->count == merge->capacity) {
        size_t capacity = merge->capacity != 0 ? merge->capacity * 2 : 64;
        struct merge_item *heap = realloc(merge->heap, capacity * sizeof(*heap));

        if (heap == NULL)
            return DKV_ENOMEM;
        merge->heap = heap;
        merge->capacity = capacity;
    }
    merge->heap[merge->count++] = (struct merge_item){key_head(entry_key(entry)), entry};
    return DKV_OK;
}

static int heap_fill(struct merge *merge, struct dkv_slice after)
{
    for (int i = 0; i < 2; i++) {
        for (const struct entry *entry = merge->newest[i]; entry != NULL; entry = entry->previous) {
            struct dkv_slice key = entry_key(entry);

            if (!has_prefix(key, merge->prefix) || (after.len != 0 && key_compare(key, after) <= 0))
                continue;
            if (heap_add(merge, entry) != DKV_OK)
                return DKV_ENOMEM;
        }
    }
    for (size_t at = merge->count / 2; at-- > 0;)
        heap_sink(merge, at);
    return DKV_OK;
}

static int row_take(struct merge *merge, int code)
{
    struct dkv_slice key = {merge->key.mv_data, merge->key.mv_size};

    merge->has_row = code == 0 && has_prefix(key, merge->prefix);
    return code == 0 || code == MDB_NOTFOUND ? DKV_OK : lmdb_status(code);
}

static int row_next(struct merge *merge)
{
    return row_take(merge, mdb_cursor_get(merge->cursor, &merge->key, &merge->stored, MDB_NEXT));
}

static int row_first(struct merge *merge, struct dkv_slice after)
{
    bool from_after = after.len != 0 && key_compare(after, merge->prefix) >= 0;
    struct dkv_slice from = from_after ? after : merge->prefix;
    int code;

    merge->key = (MDB_val){from.len, (void *)(uintptr_t)from.data};
    code = mdb_cursor_get(merge->cursor, &merge->key, &merge->stored,
                          from.len != 0 ? MDB_SET_RANGE : MDB_FIRST);
    if (code == 0 && from_after && merge->key.mv_size == after.len &&
        memcmp(merge->key.mv_data, after.data, after.len) == 0)
        return row_next(merge);
    return row_take(merge, code);
}

int merge_start(struct merge *merge, MDB_txn *txn, MDB_dbi content, struct dkv_slice prefix,
                struct dkv_slice after)
{
    int code, status;

    merge->prefix = prefix;
    status = heap_fill(merge, after);
    if (status != DKV_OK)
        return status;
    code = mdb_cursor_open(txn, content, &merge->cursor);
    if (code != 0) {
        merge->cursor = NULL;
        return lmdb_status(code);
    }
    return row_first(merge, after);
}

static bool same_key(const struct entry *entry, struct dkv_slice key)
{
    return entry->key_len == key.len && memcmp(entry->bytes, key.data, key.len) == 0;
}

/* Takes the first key of the heap with all its older entries, and LMDB's row of it. */
static int key_take(struct merge *merge, const struct entry **entry_out)
{
    const struct entry *entry = heap_pop(merge);
    struct dkv_slice row;

    while (merge->count != 0 && same_key(merge->heap[0].entry, entry_key(entry)))
        (void)heap_pop(merge);
    *entry_out = entry;
    row = (struct dkv_slice){merge->key.mv_data, merge->key.mv_size};
    return merge->has_row && same_key(entry, row) ? row_next(merge) : DKV_OK;
}

static bool overlay_is_next(const struct merge *merge)
{
    struct dkv_slice row = {merge->key.mv_data, merge->key.mv_size};

    if (merge->count == 0)
        return false;
    return !merge->has_row || key_compare(entry_key(merge->heap[0].entry), row) <= 0;
}

int merge_next(struct merge *merge, const struct env *env, struct dkv_slice *key_out,
               struct dkv_slice *value_out)
{
    MDB_val key, stored;
    int status;

    while (overlay_is_next(merge)) {
        const struct entry *entry;

        status = key_take(merge, &entry);
        if (status != DKV_OK)
            return status;
        if (entry->kind == DKV_DELETE)
            continue;
        *key_out = entry_key(entry);
        *value_out = entry_value(entry);
        return DKV_OK;
    }
    if (!merge->has_row)
        return DKV_ENOENT;
    key = merge->key;
    stored = merge->stored;
    status = row_next(merge);
    if (status != DKV_OK)
        return status;
    *key_out = (struct dkv_slice){key.mv_data, key.mv_size};
    return value_check(env, &key, &stored, value_out);
}

void merge_end(struct merge *merge)
{
    if (merge->cursor != NULL)
        mdb_cursor_close(merge->cursor);
    generation_unref(merge->generations[0]);
    generation_unref(merge->generations[1]);
    free(merge->heap);
    *merge = (struct merge){0};
}
