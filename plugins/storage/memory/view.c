/* Views, and the two things made of them: scans and snapshots. */
#include <stdlib.h>
#include <string.h>

#include "store.h"

void memory_view_open(struct memory_store *store, struct memory_view *view)
{
    (void)pthread_rwlock_wrlock(&store->lock);
    *view =
        (struct memory_view){.store = store, .table = store->table, .index = store->table->applied};
    view->table->refs++;
    view->table->views++;
    view->table->newest_view = view->index;
    (void)pthread_rwlock_unlock(&store->lock);
}

bool memory_view_walk(struct memory_view *view, void (*visit)(void *ctx, const struct entry *entry),
                      void *ctx)
{
    if (view->is_walked)
        return false;
    (void)pthread_rwlock_rdlock(&view->store->lock);
    view->is_walked =
        !table_walk(view->table, view->index, &view->hash, MEMORY_WALK_BATCH, visit, ctx);
    (void)pthread_rwlock_unlock(&view->store->lock);
    return true;
}

void memory_table_unref(struct memory_store *store, struct table *table)
{
    bool is_last;

    (void)pthread_rwlock_wrlock(&store->lock);
    is_last = --table->refs == 0;
    (void)pthread_rwlock_unlock(&store->lock);
    if (is_last)
        table_free(table);
}

/* The last view takes the old versions with it, in slices, so that the writer gets its turn. */
void memory_view_close(struct memory_view *view)
{
    bool is_more = true;

    (void)pthread_rwlock_wrlock(&view->store->lock);
    view->table->views--;
    (void)pthread_rwlock_unlock(&view->store->lock);
    while (is_more) {
        struct entry *garbage = NULL;

        (void)pthread_rwlock_wrlock(&view->store->lock);
        is_more = table_prune(view->table, MEMORY_PRUNE_BATCH, &garbage);
        (void)pthread_rwlock_unlock(&view->store->lock);
        table_entries_free(garbage);
    }
    memory_table_unref(view->store, view->table);
}

/* The smallest `limit` matches found so far.  Over 2 * limit they are sorted and cut, which costs
 * as much per match as a heap would, and much less code. */
struct matches {
    const struct dkv_scan *scan;
    const struct entry **found;
    size_t count, cap;
    bool is_out_of_memory;
};

static int compare_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
    size_t len = a_len < b_len ? a_len : b_len;
    int order = len == 0 ? 0 : memcmp(a, b, len);

    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;

    return compare_bytes(x->bytes, x->key_len, y->bytes, y->key_len);
}

static void keep_smallest(struct matches *m)
{
    if (m->count == 0)
        return;
    qsort(m->found, m->count, sizeof(*m->found), compare_entries);
    if (m->scan->limit != 0 && m->count > m->scan->limit)
        m->count = (size_t)m->scan->limit;
}

static bool is_match(const struct dkv_scan *scan, const struct entry *entry)
{
    if (entry->key_len < scan->prefix.len ||
        (scan->prefix.len > 0 && memcmp(entry->bytes, scan->prefix.data, scan->prefix.len) != 0))
        return false;
    return scan->after.len == 0 ||
           compare_bytes(entry->bytes, entry->key_len, scan->after.data, scan->after.len) > 0;
}

static void add_match(void *ctx, const struct entry *entry)
{
    struct matches *m = ctx;

    if (m->is_out_of_memory || !is_match(m->scan, entry))
        return;
    if (m->count == m->cap) {
        size_t cap = m->cap == 0 ? 256 : m->cap * 2;
        const struct entry **grown;

        if (m->scan->limit != 0 && m->count > 2 * m->scan->limit) {
            keep_smallest(m);
        } else {
            grown = reallocarray(m->found, cap, sizeof(*grown));
            if (grown == NULL) {
                m->is_out_of_memory = true;
                return;
            }
            m->found = grown;
            m->cap = cap;
        }
    }
    m->found[m->count++] = entry;
}

int memory_scan(struct dkv_reader *reader, struct dkv_scan *scan)
{
    struct memory_store *s = (struct memory_store *)reader->store;
    struct matches m = {.scan = scan};
    struct memory_view view;

    memory_view_open(s, &view);
    while (memory_view_walk(&view, add_match, &m))
        continue;
    keep_smallest(&m);
    for (size_t i = 0; i < m.count && !m.is_out_of_memory; i++) {
        if (scan->read.emit(&scan->read, entry_key(m.found[i]), entry_value(m.found[i])) != 0)
            break;
    }
    memory_view_close(&view);
    free(m.found);
    return m.is_out_of_memory ? DKV_ENOMEM : DKV_OK;
}

struct memory_snapshot {
    struct dkv_snapshot base;
    struct memory_view view;
    const struct entry **ready; /* walked, not emitted yet; pinned by the view */
    size_t count, next, cap;
    bool is_out_of_memory;
};

int memory_snapshot_open(struct dkv_store *base, struct event_base *loop,
                         struct dkv_snapshot **snapshot_out)
{
    struct memory_snapshot *snapshot = calloc(1, sizeof(*snapshot));

    (void)loop;
    if (snapshot == NULL)
        return DKV_ENOMEM;
    memory_view_open((struct memory_store *)base, &snapshot->view);
    snapshot->base.store = base;
    snapshot->base.index = snapshot->view.index;
    *snapshot_out = &snapshot->base;
    return DKV_OK;
}

static void add_ready(void *ctx, const struct entry *entry)
{
    struct memory_snapshot *snapshot = ctx;

    if (snapshot->count == snapshot->cap) {
        size_t cap = snapshot->cap == 0 ? MEMORY_WALK_BATCH + 64 : snapshot->cap * 2;
        const struct entry **grown = reallocarray(snapshot->ready, cap, sizeof(*grown));

        if (grown == NULL) {
            snapshot->is_out_of_memory = true;
            return;
        }
        snapshot->ready = grown;
        snapshot->cap = cap;
    }
    snapshot->ready[snapshot->count++] = entry;
}

int memory_snapshot_read(struct dkv_snapshot *base, struct dkv_snapshot_read *read)
{
    struct memory_snapshot *snapshot = (struct memory_snapshot *)base;
    size_t bytes = 0;

    read->end = false;
    for (;;) {
        while (snapshot->next < snapshot->count) {
            const struct entry *entry = snapshot->ready[snapshot->next];

            if (bytes > 0 && bytes >= read->bytes_max)
                return DKV_OK;
            snapshot->next++;
            bytes += (size_t)entry->key_len + entry->value_len + 1;
            if (read->read.emit(&read->read, entry_key(entry), entry_value(entry)) != 0)
                return DKV_OK;
        }
        snapshot->count = snapshot->next = 0;
        if (!memory_view_walk(&snapshot->view, add_ready, snapshot)) {
            read->end = true;
            return DKV_OK;
        }
        if (snapshot->is_out_of_memory)
            return DKV_ENOMEM;
    }
}

void memory_snapshot_close(struct dkv_snapshot *base)
{
    struct memory_snapshot *snapshot = (struct memory_snapshot *)base;

    memory_view_close(&snapshot->view);
    free(snapshot->ready);
    free(snapshot);
}
