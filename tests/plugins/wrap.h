/* A decorator that passes everything on; faulty and buggy take from it what they leave alone.  The
 * operations are those of the caller, so what is pending in the wrapped store is answered by it. */
#ifndef WRAP_H
#define WRAP_H

#include <stdlib.h>

#include "dkv/storage.h"

struct wrap_store {
    struct dkv_store base;
    struct dkv_store *inner;
};

struct wrap_reader {
    struct dkv_reader base;
    struct dkv_reader *inner;
};

struct wrap_snapshot {
    struct dkv_snapshot base;
    struct dkv_snapshot *inner;
};

struct wrap_restore {
    struct dkv_restore base;
    struct dkv_restore *inner;
};

static inline struct dkv_store *wrap_inner(struct dkv_store *base)
{
    return ((struct wrap_store *)base)->inner;
}

static inline struct dkv_reader *wrap_reader_inner(struct dkv_reader *base)
{
    return ((struct wrap_reader *)base)->inner;
}

static inline void wrap_init(struct wrap_store *store, const struct dkv_store_args *args)
{
    store->inner = args->inner;
    store->base.caps = args->inner->caps;
    store->base.key_max = args->inner->key_max;
    store->base.value_max = args->inner->value_max;
}

static inline void wrap_close(struct dkv_store *base)
{
    free(base);
}

static inline int wrap_reader_open(struct dkv_store *base, struct event_base *loop,
                                   struct dkv_reader **reader_out, struct dkv_error *err)
{
    struct wrap_reader *reader = calloc(1, sizeof(*reader));
    struct dkv_store *inner = wrap_inner(base);
    int status =
        reader == NULL ? DKV_ENOMEM : inner->ops->reader_open(inner, loop, &reader->inner, err);

    if (status != DKV_OK) {
        free(reader);
        return status;
    }
    reader->base.store = base;
    *reader_out = &reader->base;
    return DKV_OK;
}

static inline void wrap_reader_close(struct dkv_reader *base)
{
    struct dkv_reader *inner = wrap_reader_inner(base);

    inner->store->ops->reader_close(inner);
    free(base);
}

static inline int wrap_get(struct dkv_reader *base, struct dkv_get *get)
{
    struct dkv_reader *inner = wrap_reader_inner(base);

    return inner->store->ops->get(inner, get);
}

static inline int wrap_scan(struct dkv_reader *base, struct dkv_scan *scan)
{
    struct dkv_reader *inner = wrap_reader_inner(base);

    return inner->store->ops->scan == NULL ? DKV_ENOTSUP : inner->store->ops->scan(inner, scan);
}

static inline int wrap_apply(struct dkv_store *base, struct dkv_apply *apply)
{
    return wrap_inner(base)->ops->apply(wrap_inner(base), apply);
}

static inline int wrap_applied(struct dkv_store *base, struct dkv_index *index)
{
    return wrap_inner(base)->ops->applied(wrap_inner(base), index);
}

static inline int wrap_sync(struct dkv_store *base, struct dkv_index *index)
{
    struct dkv_store *inner = wrap_inner(base);

    return inner->ops->sync == NULL ? DKV_ENOTSUP : inner->ops->sync(inner, index);
}

static inline int wrap_snapshot_open(struct dkv_store *base, struct event_base *loop,
                                     struct dkv_snapshot **snapshot_out)
{
    struct wrap_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    struct dkv_store *inner = wrap_inner(base);
    int status =
        snapshot == NULL ? DKV_ENOMEM : inner->ops->snapshot_open(inner, loop, &snapshot->inner);

    if (status != DKV_OK) {
        free(snapshot);
        return status;
    }
    snapshot->base.store = base;
    snapshot->base.index = snapshot->inner->index;
    *snapshot_out = &snapshot->base;
    return DKV_OK;
}

static inline int wrap_snapshot_read(struct dkv_snapshot *base, struct dkv_snapshot_read *read)
{
    struct dkv_snapshot *inner = ((struct wrap_snapshot *)base)->inner;

    return inner->store->ops->snapshot_read(inner, read);
}

static inline void wrap_snapshot_close(struct dkv_snapshot *base)
{
    struct dkv_snapshot *inner = ((struct wrap_snapshot *)base)->inner;

    inner->store->ops->snapshot_close(inner);
    free(base);
}

static inline int wrap_restore_open(struct dkv_store *base, uint64_t index,
                                    struct dkv_restore **restore_out)
{
    struct wrap_restore *restore = calloc(1, sizeof(*restore));
    struct dkv_store *inner = wrap_inner(base);
    int status =
        restore == NULL ? DKV_ENOMEM : inner->ops->restore_open(inner, index, &restore->inner);

    if (status != DKV_OK) {
        free(restore);
        return status;
    }
    restore->base.store = base;
    *restore_out = &restore->base;
    return DKV_OK;
}

static inline int wrap_restore_write(struct dkv_restore *base, struct dkv_restore_write *write)
{
    struct dkv_restore *inner = ((struct wrap_restore *)base)->inner;

    return inner->store->ops->restore_write(inner, write);
}

static inline int wrap_restore_commit(struct dkv_restore *base, struct dkv_op *op)
{
    struct dkv_restore *inner = ((struct wrap_restore *)base)->inner;

    free(base);
    return inner->store->ops->restore_commit(inner, op);
}

static inline void wrap_restore_abort(struct dkv_restore *base)
{
    struct dkv_restore *inner = ((struct wrap_restore *)base)->inner;

    free(base);
    inner->store->ops->restore_abort(inner);
}

#endif
