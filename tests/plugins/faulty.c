/* A decorator of which the Nth call of one kind fails with a chosen status, and the wrapped store
 * does not hear of it: for tests of what the caller does then. */
#include "wrap.h"

enum faulty_kind { FAIL_NOTHING, FAIL_APPLY, FAIL_SYNC, FAIL_SNAPSHOT, FAIL_RESTORE };

struct faulty_options {
    int64_t kind;
    int64_t at;
    int64_t times;
    int64_t status;
};

struct faulty_store {
    struct wrap_store wrap;
    struct faulty_options options;
    int64_t count;
};

static const char *const kinds[] = {"nothing", "apply", "sync", "snapshot", "restore", NULL};
static const char *const statuses[] = {"nospace", "io", "unavailable", NULL};

/* DKV_OK: this call goes on. */
static int faulty_check(struct dkv_store *base, enum faulty_kind kind)
{
    static const int codes[] = {DKV_ENOSPC, DKV_EIO, DKV_EUNAVAIL};
    struct faulty_store *store = (struct faulty_store *)base;

    if (store->options.kind != (int64_t)kind || ++store->count < store->options.at)
        return DKV_OK;
    if (store->options.times != 0 && store->count >= store->options.at + store->options.times)
        return DKV_OK;
    return codes[store->options.status];
}

static int faulty_open(const struct dkv_store_args *args, struct dkv_store **store_out,
                       struct dkv_error *err)
{
    struct faulty_store *store = calloc(1, sizeof(*store));

    (void)err;
    if (store == NULL)
        return DKV_ENOMEM;
    wrap_init(&store->wrap, args);
    store->options = *(const struct faulty_options *)args->options;
    *store_out = &store->wrap.base;
    return DKV_OK;
}

static int faulty_apply(struct dkv_store *base, struct dkv_apply *apply)
{
    int status = faulty_check(base, FAIL_APPLY);

    return status == DKV_OK ? wrap_apply(base, apply) : status;
}

static int faulty_sync(struct dkv_store *base, struct dkv_index *index)
{
    int status = faulty_check(base, FAIL_SYNC);

    return status == DKV_OK ? wrap_sync(base, index) : status;
}

static int faulty_snapshot_read(struct dkv_snapshot *base, struct dkv_snapshot_read *read)
{
    int status = faulty_check(base->store, FAIL_SNAPSHOT);

    return status == DKV_OK ? wrap_snapshot_read(base, read) : status;
}

static int faulty_restore_write(struct dkv_restore *base, struct dkv_restore_write *write)
{
    int status = faulty_check(base->store, FAIL_RESTORE);

    return status == DKV_OK ? wrap_restore_write(base, write) : status;
}

#define FIELD(member) .offset = offsetof(struct faulty_options, member)

static const struct dkv_option options[] = {
    {.name = "fail",
     .type = DKV_OPTION_CHOICE,
     FIELD(kind),
     .fallback = "nothing",
     .choices = kinds,
     .help = "which calls fail"},
    {.name = "at",
     .type = DKV_OPTION_INT,
     FIELD(at),
     .fallback = "1",
     .min = 1,
     .max = INT64_MAX,
     .help = "the first of them that fails, from 1"},
    {.name = "times",
     .type = DKV_OPTION_INT,
     FIELD(times),
     .fallback = "1",
     .min = 0,
     .max = 1000000,
     .help = "how many fail; 0 = all from then on"},
    {.name = "status",
     .type = DKV_OPTION_CHOICE,
     FIELD(status),
     .fallback = "io",
     .choices = statuses,
     .help = "what they say"},
    {.name = NULL},
};

static const struct dkv_storage_ops operations = {
    .size = sizeof(struct dkv_storage_ops),
    .open = faulty_open,
    .close = wrap_close,
    .reader_open = wrap_reader_open,
    .reader_close = wrap_reader_close,
    .get = wrap_get,
    .scan = wrap_scan,
    .apply = faulty_apply,
    .applied = wrap_applied,
    .sync = faulty_sync,
    .snapshot_open = wrap_snapshot_open,
    .snapshot_read = faulty_snapshot_read,
    .snapshot_close = wrap_snapshot_close,
    .restore_open = wrap_restore_open,
    .restore_write = faulty_restore_write,
    .restore_commit = wrap_restore_commit,
    .restore_abort = wrap_restore_abort,
};

DKV_PLUGIN_DECLARE(.name = "faulty", .version = "1.0", .kind = DKV_PLUGIN_STORAGE,
                   .flags = DKV_PLUGIN_WRAPS, .summary = "fails when it is told to, for tests",
                   .options = options, .options_size = sizeof(struct faulty_options),
                   .ops.storage = &operations);
