#include "db.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "plugin/loader.h"
#include "plugin/storage.h"

enum { CLUSTER_KEY_MAX = 500, CLUSTER_VALUE_MAX = 1 << 20 };

/* "delay(memory)" is an instance "delay" that wraps an instance "memory". */
static int open_spec(struct db *db, const char *spec, struct dkv_error *err)
{
    char folder[4200];
    const char *environment[] = {folder, NULL};
    struct conf_input input = {.path = suite.conf_path, .environment = environment};
    char *name = xstrdup(spec);
    struct storage_config config = {
        .name = name, .key_max = CLUSTER_KEY_MAX, .value_max = CLUSTER_VALUE_MAX};
    int status;

    (void)snprintf(folder, sizeof(folder), "DKV_PLUGIN_PATH=%s", plugin_folder());
    name[strcspn(name, "(")] = '\0';
    *db = (struct db){.home = event_base_new(), .conf = conf_load(&input)};
    config.home = db->home;
    config.conf = db->conf;
    status = storage_open(&config, &db->storage, err);
    free(name);
    if (status == DKV_OK) {
        db->store = storage_store(db->storage);
        return DKV_OK;
    }
    conf_free(&db->conf);
    event_base_free(db->home);
    return status;
}

int db_try_open(struct db *db, struct dkv_error *err)
{
    return open_spec(db, suite.spec, err);
}

static void open_reader(struct db *db)
{
    struct dkv_error err = {0};
    int status = db->store->ops->reader_open(db->store, db->home, &db->reader, &err);

    if (status != DKV_OK)
        suite_fail(__FILE__, __LINE__, "reader_open: %s", err.text);
}

void db_open_other(struct db *db, const char *spec)
{
    struct dkv_error err = {0};

    if (open_spec(db, spec, &err) != DKV_OK)
        suite_fail(__FILE__, __LINE__, "open %s: %s", spec, err.text);
    open_reader(db);
}

void db_open(struct db *db)
{
    db_open_other(db, suite.spec);
}

void db_close(struct db *db)
{
    if (db->reader != NULL)
        db->store->ops->reader_close(db->reader);
    storage_close(&db->storage);
    conf_free(&db->conf);
    event_base_free(db->home);
}

void db_reopen(struct db *db)
{
    db_close(db);
    db_open(db);
}

void db_forget(void)
{
    char command[4200];

    (void)snprintf(command, sizeof(command), "rm -rf '%s'/store/*", suite.folder);
    CHECK_EQ((uint64_t)system(command), 0);
}

static void on_done(struct dkv_op *op, int status)
{
    struct call *call = (struct call *)op;

    if (!call->has_returned)
        suite_fail(__FILE__, __LINE__, "done() ran before the call had returned");
    if (call->done_count != 0)
        suite_fail(__FILE__, __LINE__, "done() ran twice for one call");
    if (call->status != DKV_PENDING)
        suite_fail(__FILE__, __LINE__, "done() ran although the call had returned \"%s\"",
                   suite_status_text(call->status));
    if (status == DKV_PENDING)
        suite_fail(__FILE__, __LINE__, "done() was given DKV_PENDING");
    if (!pthread_equal(call->thread, pthread_self()))
        suite_fail(__FILE__, __LINE__, "done() ran on another thread than the call");
    call->done_count++;
    call->status = status;
}

static int on_emit(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct call *call = (struct call *)read;

    if (call->has_stopped)
        suite_fail(__FILE__, __LINE__, "emit() was called again after it had said stop");
    if (call->done_count != 0)
        suite_fail(__FILE__, __LINE__, "emit() was called after done()");
    if (!pthread_equal(call->thread, pthread_self()))
        suite_fail(__FILE__, __LINE__, "emit() ran on another thread than the call");
    call->emitted++;
    call->has_stopped = call->visit != NULL && call->visit(call->ctx, key, value) != 0;
    return call->has_stopped;
}

void call_init(struct call *call, int (*visit)(void *, struct dkv_slice, struct dkv_slice),
               void *ctx)
{
    memset(call, 0, sizeof(*call));
    call->visit = visit;
    call->ctx = ctx;
    call->thread = pthread_self();
    call->as.op.done = on_done;
    call->as.get.read.emit = on_emit; /* the same place in every kind of read */
}

void call_returned(struct call *call, const struct dkv_store *store, int status)
{
    call->status = status;
    call->has_returned = true;
    if (status > DKV_PENDING)
        suite_fail(__FILE__, __LINE__, "a call returned %d, which is no status", status);
    if (status == DKV_PENDING && (store->caps & DKV_CAP_ASYNC) == 0)
        suite_fail(__FILE__, __LINE__, "a call is pending, but the store does not say ASYNC");
}

int call_completed(struct call *call, int status)
{
    if (status >= DKV_PENDING)
        suite_fail(__FILE__, __LINE__, "a call returned %d, but must complete", status);
    call->status = status;
    call->has_returned = true;
    return status;
}

int call_wait(struct call *call, struct event_base *base)
{
    while (call->status == DKV_PENDING) {
        if (event_base_loop(base, EVLOOP_ONCE) != 0)
            suite_fail(__FILE__, __LINE__, "a call is pending, but nothing is left in its loop");
    }
    return call->status;
}

static int finish(struct db *db, struct call *call, int status)
{
    call_returned(call, db->store, status);
    return call_wait(call, db->home);
}

int db_apply(struct db *db, uint64_t index, const struct dkv_mutation *mutations, size_t count)
{
    struct call call;

    call_init(&call, NULL, NULL);
    call.as.apply.index = index;
    call.as.apply.mutations = mutations;
    call.as.apply.count = count;
    return finish(db, &call, db->store->ops->apply(db->store, &call.as.apply));
}

int db_put(struct db *db, uint64_t index, const char *key, const char *value)
{
    struct dkv_mutation put = {.kind = DKV_PUT, .key = slice_of(key), .value = slice_of(value)};

    return db_apply(db, index, &put, 1);
}

int db_delete(struct db *db, uint64_t index, const char *key)
{
    struct dkv_mutation del = {.kind = DKV_DELETE, .key = slice_of(key)};

    return db_apply(db, index, &del, 1);
}

uint64_t db_applied(struct db *db)
{
    struct call call;

    call_init(&call, NULL, NULL);
    CHECK_STATUS(call_completed(&call, db->store->ops->applied(db->store, &call.as.index)), DKV_OK);
    return call.as.index.index;
}

int db_sync(struct db *db, uint64_t *durable_out)
{
    struct call call;
    int status;

    call_init(&call, NULL, NULL);
    status = finish(db, &call, db->store->ops->sync(db->store, &call.as.index));
    *durable_out = call.as.index.index;
    return status;
}

void db_run(struct db *db, struct model *model, uint64_t seed, uint64_t index)
{
    while (model->index < index) {
        struct batch batch;

        workload_batch(seed, model->index + 1, &batch);
        CHECK_STATUS(db_apply(db, batch.index, batch.mutations, batch.count), DKV_OK);
        model_apply(model, batch.index, batch.mutations, batch.count);
        batch_free(&batch);
    }
}

int read_get(struct dkv_reader *reader, struct event_base *base, struct dkv_slice key,
             int (*visit)(void *, struct dkv_slice, struct dkv_slice), void *ctx)
{
    struct call call;

    call_init(&call, visit, ctx);
    call.as.get.key = key;
    call_returned(&call, reader->store, reader->store->ops->get(reader, &call.as.get));
    if (call_wait(&call, base) == DKV_OK)
        CHECK_EQ(call.emitted, 1);
    else
        CHECK_EQ(call.emitted, 0);
    return call.status;
}

int read_scan(struct dkv_reader *reader, struct event_base *base, const struct scan_range *range,
              int (*visit)(void *, struct dkv_slice, struct dkv_slice), void *ctx)
{
    struct call call;

    call_init(&call, visit, ctx);
    call.as.scan.prefix = range->prefix;
    call.as.scan.after = range->after;
    call.as.scan.limit = range->limit;
    call_returned(&call, reader->store, reader->store->ops->scan(reader, &call.as.scan));
    return call_wait(&call, base);
}

struct expected {
    struct dkv_slice key;
    const struct dkv_slice *value;
};

static int expect_value(void *ctx, struct dkv_slice key, struct dkv_slice value)
{
    const struct expected *want = ctx;

    if (slice_compare(key, want->key) != 0)
        suite_fail(__FILE__, __LINE__, "get gave another key than it was asked for");
    if (want->value == NULL)
        suite_fail(__FILE__, __LINE__, "get found a key that should be absent");
    if (slice_compare(value, *want->value) != 0)
        suite_fail(__FILE__, __LINE__, "get gave another value, of %zu bytes, not %zu", value.len,
                   want->value->len);
    return 0;
}

void db_expect_pair(struct db *db, struct dkv_slice key, const struct dkv_slice *value)
{
    struct expected want = {key, value};

    CHECK_STATUS(read_get(db->reader, db->home, key, expect_value, &want),
                 value == NULL ? DKV_ENOENT : DKV_OK);
}

void db_expect(struct db *db, const char *key, const char *value)
{
    struct dkv_slice slice = slice_of(value == NULL ? "" : value);

    db_expect_pair(db, slice_of(key), value == NULL ? NULL : &slice);
}

static int append(void *ctx, struct dkv_slice key, struct dkv_slice value)
{
    model_append(ctx, key, value);
    return 0;
}

void db_collect_scan(struct db *db, struct model *model_out)
{
    struct scan_range all = {.limit = 0};

    *model_out = (struct model){.pairs = NULL};
    CHECK_STATUS(read_scan(db->reader, db->home, &all, append, model_out), DKV_OK);
    model_sort(model_out);
}

static void expect_all(struct db *db, const struct model *model)
{
    struct model got;

    if ((db->store->caps & DKV_CAP_SCAN) != 0) {
        db_collect_scan(db, &got);
        got.index = model->index;
        model_expect_equal(&got, model, "a scan");
        model_clear(&got);
    }
    if ((db->store->caps & DKV_CAP_SNAPSHOT) != 0) {
        snapshot_collect(snapshot_open(db), &got);
        model_expect_equal(&got, model, "a snapshot");
        model_clear(&got);
    }
}

/* All at once, so that a store which answers late does so for all of them together. */
struct get_of {
    struct call call;
    struct expected want;
    unsigned char bytes[MODEL_KEY_MAX];
};

static void gets_start(struct db *db, struct get_of *gets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct call *call = &gets[i].call;

        call_init(call, expect_value, &gets[i].want);
        call->as.get.key = gets[i].want.key;
        call_returned(call, db->store, db->store->ops->get(db->reader, &call->as.get));
    }
}

static void expect_gets(struct db *db, const struct model *model)
{
    struct get_of *gets = xcalloc(model->count + WORKLOAD_KEYS, sizeof(*gets));
    size_t count = 0;

    for (; count < model->count; count++)
        gets[count].want = (struct expected){model->pairs[count].key, &model->pairs[count].value};
    for (unsigned i = 0; i < WORKLOAD_KEYS; i += 3) {
        gets[count].want.key = workload_key(i, gets[count].bytes);
        count += model_find(model, gets[count].want.key) == NULL;
    }
    gets_start(db, gets, count);
    for (size_t i = 0; i < count; i++)
        CHECK_STATUS(call_wait(&gets[i].call, db->home),
                     gets[i].want.value == NULL ? DKV_ENOENT : DKV_OK);
    free(gets);
}

void db_expect_model(struct db *db, const struct model *model)
{
    CHECK_EQ(db_applied(db), model->index);
    expect_gets(db, model);
    expect_all(db, model);
}

struct dkv_snapshot *snapshot_open(struct db *db)
{
    struct dkv_snapshot *snapshot = NULL;

    CHECK_STATUS(db->store->ops->snapshot_open(db->store, NULL, &snapshot), DKV_OK);
    CHECK(snapshot != NULL && snapshot->store == db->store);
    return snapshot;
}

bool snapshot_step(struct dkv_snapshot *snapshot, size_t bytes, struct model *model_out,
                   int *status_out)
{
    struct call call;

    call_init(&call, append, model_out);
    call.as.snapshot.bytes_max = bytes;
    *status_out =
        call_completed(&call, snapshot->store->ops->snapshot_read(snapshot, &call.as.snapshot));
    if (*status_out != DKV_OK)
        return false;
    if (!call.as.snapshot.end && call.emitted == 0)
        suite_fail(__FILE__, __LINE__, "snapshot_read gave nothing, yet it is not at the end");
    return !call.as.snapshot.end;
}

void snapshot_close(struct dkv_snapshot *snapshot)
{
    snapshot->store->ops->snapshot_close(snapshot);
}

void snapshot_collect(struct dkv_snapshot *snapshot, struct model *model_out)
{
    int status;

    *model_out = (struct model){.index = snapshot->index};
    while (snapshot_step(snapshot, 16384, model_out, &status))
        continue;
    CHECK_STATUS(status, DKV_OK);
    snapshot_close(snapshot);
    model_sort(model_out);
}

struct dkv_restore *restore_open(struct db *db, uint64_t index)
{
    struct dkv_restore *restore = NULL;

    CHECK_STATUS(db->store->ops->restore_open(db->store, index, &restore), DKV_OK);
    CHECK(restore != NULL && restore->store == db->store);
    return restore;
}

int restore_write(struct dkv_restore *restore, const struct dkv_mutation *puts, size_t count)
{
    struct call call;

    call_init(&call, NULL, NULL);
    call.as.write.puts = puts;
    call.as.write.count = count;
    return call_completed(&call, restore->store->ops->restore_write(restore, &call.as.write));
}

void restore_pairs(struct dkv_restore *restore, const struct model *model, size_t from, size_t to)
{
    enum { CHUNK = 100 };
    struct dkv_mutation puts[CHUNK];

    for (size_t at = from; at < to;) {
        size_t count = 0;

        for (; count < CHUNK && at < to; at++, count++)
            puts[count] = (struct dkv_mutation){
                .kind = DKV_PUT, .key = model->pairs[at].key, .value = model->pairs[at].value};
        CHECK_STATUS(restore_write(restore, puts, count), DKV_OK);
    }
}

int restore_commit(struct dkv_restore *restore)
{
    struct call call;

    call_init(&call, NULL, NULL);
    return call_completed(&call, restore->store->ops->restore_commit(restore, &call.as.op));
}

void restore_abort(struct dkv_restore *restore)
{
    restore->store->ops->restore_abort(restore);
}

void db_restore(struct db *db, const struct model *model)
{
    struct dkv_restore *restore = restore_open(db, model->index);

    restore_pairs(restore, model, 0, model->count);
    CHECK_STATUS(restore_commit(restore), DKV_OK);
}
