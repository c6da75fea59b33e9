#include "fake_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

static int compare(const struct fake_pair *pair, struct dkv_slice key)
{
    size_t common = pair->key_len < key.len ? pair->key_len : key.len;
    int order = memcmp(pair->key, key.data, common);

    if (order != 0)
        return order;
    return pair->key_len < key.len ? -1 : pair->key_len > key.len;
}

/* Position of the first pair at or after key. */
static size_t position(const struct fake_store *store, struct dkv_slice key)
{
    size_t i = 0;

    while (i < store->count && compare(&store->pairs[i], key) < 0)
        i++;
    return i;
}

static bool is_at(const struct fake_store *store, size_t i, struct dkv_slice key)
{
    return i < store->count && compare(&store->pairs[i], key) == 0;
}

const struct fake_pair *fake_store_find(const struct fake_store *store, const void *key, size_t len)
{
    struct dkv_slice slice = {key, len};
    size_t i = position(store, slice);

    return is_at(store, i, slice) ? &store->pairs[i] : NULL;
}

static void remove_at(struct fake_store *store, size_t i)
{
    free(store->pairs[i].key);
    free(store->pairs[i].value);
    store->count--;
    memmove(&store->pairs[i], &store->pairs[i + 1], (store->count - i) * sizeof(store->pairs[0]));
}

static uint8_t *copy(struct dkv_slice bytes)
{
    uint8_t *to = xmalloc(bytes.len);

    if (bytes.len > 0)
        memcpy(to, bytes.data, bytes.len);
    return to;
}

static void insert_at(struct fake_store *store, size_t i, struct dkv_slice key,
                      struct dkv_slice value)
{
    if (store->count == store->cap) {
        store->cap = store->cap == 0 ? 16 : store->cap * 2;
        store->pairs = xreallocarray(store->pairs, store->cap, sizeof(store->pairs[0]));
    }
    memmove(&store->pairs[i + 1], &store->pairs[i], (store->count - i) * sizeof(store->pairs[0]));
    store->pairs[i] = (struct fake_pair){copy(key), copy(value), key.len, value.len};
    store->count++;
}

static int wait_for_run(struct fake_store *store, struct dkv_op *op,
                        int (*run)(struct fake_store *store, struct dkv_op *op))
{
    dkv_assert(store->waiting_count < sizeof(store->waiting) / sizeof(store->waiting[0]));
    store->waiting[store->waiting_count] = op;
    store->waiting_run[store->waiting_count++] = run;
    return DKV_PENDING;
}

size_t fake_store_run(struct fake_store *store)
{
    size_t done = 0;

    while (store->waiting_count > 0) {
        struct dkv_op *op = store->waiting[0];
        int (*run)(struct fake_store * store, struct dkv_op * op) = store->waiting_run[0];

        store->waiting_count--;
        memmove(store->waiting, store->waiting + 1,
                store->waiting_count * sizeof(store->waiting[0]));
        memmove(store->waiting_run, store->waiting_run + 1,
                store->waiting_count * sizeof(store->waiting_run[0]));
        op->done(op, run(store, op));
        done++;
    }
    return done;
}

static int run_get(struct fake_store *store, struct dkv_op *op)
{
    struct dkv_get *get = container_of(op, struct dkv_get, read.op);
    const struct fake_pair *pair = fake_store_find(store, get->key.data, get->key.len);
    int fail = store->fail_get;

    store->fail_get = DKV_OK;
    if (fail != DKV_OK)
        return fail;
    if (pair == NULL)
        return DKV_ENOENT;
    (void)get->read.emit(&get->read, get->key, (struct dkv_slice){pair->value, pair->value_len});
    return DKV_OK;
}

static int fake_get(struct dkv_reader *reader, struct dkv_get *get)
{
    struct fake_store *store = container_of(reader->store, struct fake_store, base);

    store->gets++;
    return store->late ? wait_for_run(store, &get->read.op, run_get)
                       : run_get(store, &get->read.op);
}

static int fake_scan(struct dkv_reader *reader, struct dkv_scan *scan)
{
    struct fake_store *store = container_of(reader->store, struct fake_store, base);
    uint64_t emitted = 0;

    for (size_t i = 0; i < store->count; i++) {
        const struct fake_pair *pair = &store->pairs[i];

        if (pair->key_len < scan->prefix.len ||
            memcmp(pair->key, scan->prefix.data, scan->prefix.len) != 0 ||
            (scan->after.len > 0 && compare(pair, scan->after) <= 0))
            continue;
        if (scan->limit != 0 && emitted++ == scan->limit)
            break;
        if (scan->read.emit(&scan->read, (struct dkv_slice){pair->key, pair->key_len},
                            (struct dkv_slice){pair->value, pair->value_len}) != 0)
            break;
    }
    return DKV_OK;
}

static int run_apply(struct fake_store *store, struct dkv_op *op)
{
    struct dkv_apply *apply = container_of(op, struct dkv_apply, op);
    int fail = store->fail_apply;

    store->fail_apply = DKV_OK;
    if (fail != DKV_OK)
        return fail;
    if (apply->index <= store->index)
        return DKV_OK;
    for (size_t n = 0; n < apply->count; n++) {
        const struct dkv_mutation *m = &apply->mutations[n];
        size_t i = position(store, m->key);

        if (is_at(store, i, m->key))
            remove_at(store, i);
        if (m->kind == DKV_PUT)
            insert_at(store, i, m->key, m->value);
    }
    store->index = apply->index;
    return DKV_OK;
}

static int fake_apply(struct dkv_store *base, struct dkv_apply *apply)
{
    struct fake_store *store = container_of(base, struct fake_store, base);

    store->applies++;
    return store->late ? wait_for_run(store, &apply->op, run_apply) : run_apply(store, &apply->op);
}

static int fake_applied(struct dkv_store *base, struct dkv_index *index)
{
    index->index = container_of(base, struct fake_store, base)->index;
    return DKV_OK;
}

static int fake_reader_open(struct dkv_store *store, struct event_base *base,
                            struct dkv_reader **reader_out, struct dkv_error *err)
{
    (void)base;
    (void)err;
    *reader_out = xcalloc(1, sizeof(**reader_out));
    (*reader_out)->store = store;
    return DKV_OK;
}

static void fake_reader_close(struct dkv_reader *reader)
{
    free(reader);
}

struct fake_snapshot {
    struct dkv_snapshot base;
    struct fake_store *copy;
    size_t next;
};

static int fake_snapshot_open(struct dkv_store *store, struct event_base *base,
                              struct dkv_snapshot **snapshot_out)
{
    struct fake_store *from = container_of(store, struct fake_store, base);
    struct fake_snapshot *s = xcalloc(1, sizeof(*s));

    (void)base;
    s->base.store = store;
    s->base.index = from->index;
    s->copy = fake_store_copy(from);
    from->snapshots++;
    *snapshot_out = &s->base;
    return DKV_OK;
}

static int fake_snapshot_read(struct dkv_snapshot *snapshot, struct dkv_snapshot_read *read)
{
    struct fake_snapshot *s = container_of(snapshot, struct fake_snapshot, base);
    const struct fake_store *store = s->copy;
    size_t bytes = 0;

    while (s->next < store->count && bytes < read->bytes_max) {
        const struct fake_pair *pair = &store->pairs[s->next++];

        bytes += pair->key_len + pair->value_len;
        if (read->read.emit(&read->read, (struct dkv_slice){pair->key, pair->key_len},
                            (struct dkv_slice){pair->value, pair->value_len}) != 0)
            break;
    }
    read->end = s->next == store->count;
    return DKV_OK;
}

static void fake_snapshot_close(struct dkv_snapshot *snapshot)
{
    struct fake_snapshot *s = container_of(snapshot, struct fake_snapshot, base);

    fake_store_free(s->copy);
    free(s);
}

struct fake_restore {
    struct dkv_restore base;
    struct fake_store *beside;
};

static int fake_restore_open(struct dkv_store *store, uint64_t index,
                             struct dkv_restore **restore_out)
{
    struct fake_restore *r = xcalloc(1, sizeof(*r));

    r->base.store = store;
    r->beside = fake_store_new();
    r->beside->index = index;
    *restore_out = &r->base;
    return DKV_OK;
}

static int fake_restore_write(struct dkv_restore *restore, struct dkv_restore_write *write)
{
    struct fake_restore *r = container_of(restore, struct fake_restore, base);

    for (size_t n = 0; n < write->count; n++)
        insert_at(r->beside, position(r->beside, write->puts[n].key), write->puts[n].key,
                  write->puts[n].value);
    return DKV_OK;
}

static void fake_restore_abort(struct dkv_restore *restore)
{
    struct fake_restore *r = container_of(restore, struct fake_restore, base);

    fake_store_free(r->beside);
    free(r);
}

static int fake_restore_commit(struct dkv_restore *restore, struct dkv_op *op)
{
    struct fake_restore *r = container_of(restore, struct fake_restore, base);
    struct fake_store *store = container_of(restore->store, struct fake_store, base);
    struct fake_pair *old = store->pairs;
    size_t old_count = store->count, old_cap = store->cap;

    (void)op;
    store->pairs = r->beside->pairs;
    store->count = r->beside->count;
    store->cap = r->beside->cap;
    store->index = r->beside->index;
    r->beside->pairs = old;
    r->beside->count = old_count;
    r->beside->cap = old_cap;
    fake_restore_abort(restore);
    return DKV_OK;
}

static const struct dkv_storage_ops fake_ops = {
    .size = sizeof(struct dkv_storage_ops),
    .reader_open = fake_reader_open,
    .reader_close = fake_reader_close,
    .get = fake_get,
    .scan = fake_scan,
    .apply = fake_apply,
    .applied = fake_applied,
    .snapshot_open = fake_snapshot_open,
    .snapshot_read = fake_snapshot_read,
    .snapshot_close = fake_snapshot_close,
    .restore_open = fake_restore_open,
    .restore_write = fake_restore_write,
    .restore_commit = fake_restore_commit,
    .restore_abort = fake_restore_abort,
};

struct fake_store *fake_store_new(void)
{
    struct fake_store *store = xcalloc(1, sizeof(*store));

    store->base.ops = &fake_ops;
    store->base.caps = DKV_CAP_SCAN | DKV_CAP_ORDERED | DKV_CAP_SNAPSHOT;
    return store;
}

struct fake_store *fake_store_copy(const struct fake_store *store)
{
    struct fake_store *to = fake_store_new();

    for (size_t i = 0; i < store->count; i++)
        insert_at(to, i, (struct dkv_slice){store->pairs[i].key, store->pairs[i].key_len},
                  (struct dkv_slice){store->pairs[i].value, store->pairs[i].value_len});
    to->index = store->index;
    return to;
}

void fake_store_forget_one(struct fake_store *store)
{
    if (store->count > 0 && store->pairs[0].key[0] == 'k')
        remove_at(store, 0);
}

void fake_store_free(struct fake_store *store)
{
    while (store->count > 0)
        remove_at(store, store->count - 1);
    free(store->pairs);
    free(store);
}
