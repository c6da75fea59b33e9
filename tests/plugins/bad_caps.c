/* Refused by the daemon when it is open: claims what its table of functions does not have. */
#include <stddef.h>
#include <stdlib.h>

#include "dkv/storage.h"

struct options {
    int64_t caps; /* to be claimed; below 0: succeed without giving a store */
};

static int bad_open(const struct dkv_store_args *args, struct dkv_store **store_out,
                    struct dkv_error *err)
{
    const struct options *options = args->options;

    (void)err;
    if (options->caps < 0)
        return DKV_OK;
    *store_out = calloc(1, sizeof(**store_out));
    if (*store_out == NULL)
        return DKV_ENOMEM;
    (*store_out)->caps = (uint32_t)options->caps;
    return DKV_OK;
}

static void bad_close(struct dkv_store *store)
{
    free(store);
}

static int bad_reader_open(struct dkv_store *store, struct event_base *base,
                           struct dkv_reader **reader_out, struct dkv_error *err)
{
    (void)store;
    (void)base;
    (void)reader_out;
    (void)err;
    return DKV_ENOTSUP;
}

static void bad_reader_close(struct dkv_reader *reader)
{
    (void)reader;
}

static int bad_get(struct dkv_reader *reader, struct dkv_get *get)
{
    (void)reader;
    (void)get;
    return DKV_ENOTSUP;
}

static int bad_apply(struct dkv_store *store, struct dkv_apply *apply)
{
    (void)store;
    (void)apply;
    return DKV_ENOTSUP;
}

static int bad_applied(struct dkv_store *store, struct dkv_index *index)
{
    (void)store;
    (void)index;
    return DKV_ENOTSUP;
}

static int bad_restore_open(struct dkv_store *store, uint64_t index,
                            struct dkv_restore **restore_out)
{
    (void)store;
    (void)index;
    (void)restore_out;
    return DKV_ENOTSUP;
}

static int bad_restore_write(struct dkv_restore *restore, struct dkv_restore_write *write)
{
    (void)restore;
    (void)write;
    return DKV_ENOTSUP;
}

static int bad_restore_commit(struct dkv_restore *restore, struct dkv_op *op)
{
    (void)restore;
    (void)op;
    return DKV_ENOTSUP;
}

static void bad_restore_abort(struct dkv_restore *restore)
{
    (void)restore;
}

static const struct dkv_option option_table[] = {
    {.name = "caps",
     .type = DKV_OPTION_INT,
     .offset = offsetof(struct options, caps),
     .help = "capabilities to claim"},
    {.name = NULL},
};

static const struct dkv_storage_ops ops = {
    .size = sizeof(struct dkv_storage_ops),
    .open = bad_open,
    .close = bad_close,
    .reader_open = bad_reader_open,
    .reader_close = bad_reader_close,
    .get = bad_get,
    .apply = bad_apply,
    .applied = bad_applied,
    .restore_open = bad_restore_open,
    .restore_write = bad_restore_write,
    .restore_commit = bad_restore_commit,
    .restore_abort = bad_restore_abort,
};

DKV_PLUGIN_DECLARE(.name = "bad_caps", .version = "1.0", .kind = DKV_PLUGIN_STORAGE,
                   .options = option_table, .options_size = sizeof(struct options),
                   .ops.storage = &ops);
