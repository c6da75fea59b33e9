/* A decorator with a bug of your choice, each one that a storage plugin could well have.  It shows
 * that the conformance suite finds them: tests/conformance/suite_bites.sh. */
#include "wrap.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

enum bug {
    NO_BUG,
    SCAN_ORDER,    /* the last key of a scan comes first */
    SCAN_LIMIT,    /* one more key than asked for */
    LOST_DELETE,   /* a delete changes the index only */
    LAST_PUT_LOST, /* of a key twice in a batch the first counts */
    KEY_ENDS_AT_0, /* keys are taken for C strings */
    LOOSE_LIMIT,   /* a key that is too long is cut */
    STALE_INDEX,   /* applied() is one batch behind */
    REPEATS,       /* a batch that was applied is applied again */
    TORN_BATCH,    /* the second half of a batch becomes visible later */
    LATE_VIEW,     /* a snapshot begins when it is first read */
    LOST_PAIR,     /* a snapshot stops before its last key */
    RESTORE_ADDS,  /* what was there before a restore stays */
    EAGER_RESTORE, /* what a restore writes is seen before it is committed */
    NOT_DURABLE,   /* says DURABLE, writes nothing */
    INLINE_DONE,   /* done() from within the call */
    FORGETS,       /* now and then a get is never answered */
    LEAKS,         /* a descriptor for each reader */
    SLUGGISH       /* apply() takes its time while a snapshot is open */
};

static const char *const names[] = {"none",          "scan-order",    "scan-limit",  "lost-delete",
                                    "last-put-lost", "key-ends-at-0", "loose-limit", "stale-index",
                                    "repeats",       "torn-batch",    "late-view",   "lost-pair",
                                    "restore-adds",  "eager-restore", "not-durable", "inline-done",
                                    "forgets",       "leaks",         "sluggish",    NULL};

struct buggy_options {
    int64_t bug;
};

/* The wrapped store has indexes of its own, so that one batch can be given to it in parts. */
struct buggy_store {
    struct wrap_store wrap;
    enum bug bug;
    uint64_t applied, before;
    uint64_t inner_applied;
    unsigned snapshots;
};

static struct buggy_store *store_of(struct dkv_store *base)
{
    return (struct buggy_store *)base;
}

static enum bug bug_of(struct dkv_store *base)
{
    return store_of(base)->bug;
}

static int buggy_open(const struct dkv_store_args *args, struct dkv_store **store_out,
                      struct dkv_error *err)
{
    struct buggy_store *store = calloc(1, sizeof(*store));

    (void)err;
    if (store == NULL)
        return DKV_ENOMEM;
    wrap_init(&store->wrap, args);
    store->bug = (enum bug)((const struct buggy_options *)args->options)->bug;
    if (store->bug == NOT_DURABLE)
        store->wrap.base.caps |= DKV_CAP_DURABLE;
    if (store->bug == INLINE_DONE || store->bug == FORGETS)
        store->wrap.base.caps |= DKV_CAP_ASYNC;
    *store_out = &store->wrap.base;
    return DKV_OK;
}

static int apply_part(struct buggy_store *store, const struct dkv_mutation *mutations, size_t count)
{
    struct dkv_apply part = {
        .index = store->inner_applied + 1, .mutations = mutations, .count = count};
    int status = wrap_apply(&store->wrap.base, &part);

    store->inner_applied += status == DKV_OK;
    return status;
}

static int apply_torn(struct buggy_store *store, const struct dkv_apply *apply)
{
    const struct timespec pause = {.tv_nsec = 50000};
    int status = apply_part(store, apply->mutations, apply->count / 2);

    if (status != DKV_OK)
        return status;
    (void)nanosleep(&pause, NULL);
    return apply_part(store, apply->mutations + apply->count / 2, apply->count - apply->count / 2);
}

static bool is_later_put(const struct dkv_mutation *mutations, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (mutations[i].key.len == mutations[at].key.len &&
            memcmp(mutations[i].key.data, mutations[at].key.data, mutations[at].key.len) == 0)
            return true;
    return false;
}

/* A copy of the batch, changed as the bug wants it. */
static int apply_changed(struct buggy_store *store, const struct dkv_apply *apply)
{
    struct dkv_mutation *changed = calloc(apply->count + 1, sizeof(*changed));
    size_t count = 0;
    int status;

    for (size_t i = 0; i < apply->count && changed != NULL; i++) {
        struct dkv_mutation m = apply->mutations[i];

        if ((store->bug == LOST_DELETE && m.kind == DKV_DELETE) ||
            (store->bug == LAST_PUT_LOST && is_later_put(apply->mutations, i)))
            continue;
        if (store->bug == KEY_ENDS_AT_0 && m.key.len > 1)
            m.key.len = 1 + strnlen((const char *)m.key.data + 1, m.key.len - 1);
        if (store->bug == LOOSE_LIMIT && m.key.len > store->wrap.base.key_max)
            m.key.len = store->wrap.base.key_max;
        changed[count++] = m;
    }
    status = apply_part(store, changed, count);
    free(changed);
    return status;
}

static int buggy_apply(struct dkv_store *base, struct dkv_apply *apply)
{
    struct buggy_store *store = store_of(base);
    int status;

    if (apply->index <= store->applied && store->bug != REPEATS)
        return DKV_OK;
    if (store->bug == SLUGGISH && store->snapshots > 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
    status = store->bug == TORN_BATCH ? apply_torn(store, apply) : apply_changed(store, apply);
    if (status == DKV_OK && apply->index > store->applied) {
        store->before = store->applied;
        store->applied = apply->index;
    }
    return status;
}

static int buggy_applied(struct dkv_store *base, struct dkv_index *index)
{
    const struct buggy_store *store = store_of(base);

    index->index = store->bug == STALE_INDEX ? store->before : store->applied;
    return DKV_OK;
}

static int buggy_sync(struct dkv_store *base, struct dkv_index *index)
{
    index->index = bug_of(base) == NOT_DURABLE ? store_of(base)->applied : 0;
    return DKV_OK;
}

static int buggy_reader_open(struct dkv_store *base, struct event_base *loop,
                             struct dkv_reader **reader_out, struct dkv_error *err)
{
    if (bug_of(base) == LEAKS && event_base_new() == NULL)
        return DKV_ENOMEM;
    return wrap_reader_open(base, loop, reader_out, err);
}

static int buggy_get(struct dkv_reader *base, struct dkv_get *get)
{
    if (bug_of(base->store) == FORGETS && get->key.len == 6)
        return DKV_PENDING;
    if (bug_of(base->store) == INLINE_DONE) {
        get->read.op.done(&get->read.op, wrap_get(base, get));
        return DKV_PENDING;
    }
    return wrap_get(base, get);
}

/* Holds the first key of a scan back until after the second. */
struct reorder {
    struct dkv_scan scan;
    struct dkv_scan *caller;
    unsigned count;
    unsigned char key[512], value[8192];
    struct dkv_slice first_key, first_value;
};

static int reorder_emit(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct reorder *r = (struct reorder *)read;
    struct dkv_read *caller = &r->caller->read;

    if (r->count++ == 0 && key.len <= sizeof(r->key) && value.len <= sizeof(r->value)) {
        memcpy(r->key, key.data, key.len);
        if (value.len > 0)
            memcpy(r->value, value.data, value.len);
        r->first_key = (struct dkv_slice){r->key, key.len};
        r->first_value = (struct dkv_slice){r->value, value.len};
        return 0;
    }
    if (caller->emit(caller, key, value) != 0)
        return 1;
    if (r->first_key.len == 0)
        return 0;
    key = r->first_key;
    r->first_key.len = 0;
    return caller->emit(caller, key, r->first_value);
}

static int scan_reordered(struct dkv_reader *base, struct dkv_scan *scan)
{
    struct reorder r = {.scan = *scan, .caller = scan};
    int status;

    r.scan.read.emit = reorder_emit;
    status = wrap_scan(base, &r.scan);
    if (status == DKV_OK && r.first_key.len != 0)
        (void)scan->read.emit(&scan->read, r.first_key, r.first_value);
    return status;
}

static int buggy_scan(struct dkv_reader *base, struct dkv_scan *scan)
{
    if (bug_of(base->store) == SCAN_ORDER)
        return scan_reordered(base, scan);
    if (bug_of(base->store) == SCAN_LIMIT && scan->limit != 0)
        scan->limit++;
    return wrap_scan(base, scan);
}

static int buggy_snapshot_open(struct dkv_store *base, struct event_base *loop,
                               struct dkv_snapshot **snapshot_out)
{
    int status = wrap_snapshot_open(base, loop, snapshot_out);

    if (status != DKV_OK)
        return status;
    (*snapshot_out)->index = store_of(base)->applied;
    store_of(base)->snapshots++; /* never fewer: only this thread counts */
    return DKV_OK;
}

/* The view is taken anew at the first read. */
static int view_again(struct wrap_snapshot *snapshot)
{
    struct dkv_store *inner = snapshot->inner->store;

    inner->ops->snapshot_close(snapshot->inner);
    return inner->ops->snapshot_open(inner, NULL, &snapshot->inner);
}

struct losing {
    struct dkv_snapshot_read read;
    struct dkv_snapshot_read *caller;
    uint64_t count;
};

static int losing_emit(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct losing *losing = (struct losing *)read;

    if (++losing->count == 50)
        return 0;
    return losing->caller->read.emit(&losing->caller->read, key, value);
}

static int buggy_snapshot_read(struct dkv_snapshot *base, struct dkv_snapshot_read *read)
{
    struct losing losing = {.read = *read, .caller = read};
    int status;

    if (bug_of(base->store) == LATE_VIEW && base->reserved[0] == NULL) {
        base->reserved[0] = base;
        status = view_again((struct wrap_snapshot *)base);
        if (status != DKV_OK)
            return status;
    }
    if (bug_of(base->store) != LOST_PAIR)
        return wrap_snapshot_read(base, read);
    losing.read.read.emit = losing_emit;
    status = wrap_snapshot_read(base, &losing.read);
    read->end = losing.read.end;
    return status;
}

static int buggy_restore_open(struct dkv_store *base, uint64_t index,
                              struct dkv_restore **restore_out)
{
    int status = wrap_restore_open(base, index, restore_out);

    if (status == DKV_OK)
        (*restore_out)->reserved[0] = (void *)(uintptr_t)index;
    return status;
}

static int buggy_restore_write(struct dkv_restore *base, struct dkv_restore_write *write)
{
    struct buggy_store *store = store_of(base->store);

    if (store->bug == RESTORE_ADDS || store->bug == EAGER_RESTORE)
        (void)apply_part(store, write->puts, write->count);
    return wrap_restore_write(base, write);
}

static int buggy_restore_commit(struct dkv_restore *base, struct dkv_op *op)
{
    struct buggy_store *store = store_of(base->store);
    uint64_t index = (uintptr_t)base->reserved[0];
    int status = DKV_OK;

    if (store->bug == RESTORE_ADDS) {
        wrap_restore_abort(base);
    } else {
        status = wrap_restore_commit(base, op);
        store->inner_applied = index;
    }
    if (status == DKV_OK)
        store->applied = store->before = index;
    return status;
}

static const struct dkv_option options[] = {
    {.name = "bug",
     .type = DKV_OPTION_CHOICE,
     .offset = offsetof(struct buggy_options, bug),
     .fallback = "none",
     .choices = names,
     .help = "what is wrong with it"},
    {.name = NULL},
};

static const struct dkv_storage_ops operations = {
    .size = sizeof(struct dkv_storage_ops),
    .open = buggy_open,
    .close = wrap_close,
    .reader_open = buggy_reader_open,
    .reader_close = wrap_reader_close,
    .get = buggy_get,
    .scan = buggy_scan,
    .apply = buggy_apply,
    .applied = buggy_applied,
    .sync = buggy_sync,
    .snapshot_open = buggy_snapshot_open,
    .snapshot_read = buggy_snapshot_read,
    .snapshot_close = wrap_snapshot_close,
    .restore_open = buggy_restore_open,
    .restore_write = buggy_restore_write,
    .restore_commit = buggy_restore_commit,
    .restore_abort = wrap_restore_abort,
};

DKV_PLUGIN_DECLARE(.name = "buggy", .version = "1.0", .kind = DKV_PLUGIN_STORAGE,
                   .flags = DKV_PLUGIN_WRAPS, .summary = "has the bug it is told to have",
                   .options = options, .options_size = sizeof(struct buggy_options),
                   .ops.storage = &operations);
