/* A storage opened as the daemon opens it, and calls on it that wait for their answer and check what
 * the ABI says about every call: that only some may be pending, that this is announced by
 * DKV_CAP_ASYNC, and that it is answered exactly once, on the thread that made it, after it has
 * returned. */
#ifndef DB_H
#define DB_H

#include <pthread.h>

#include "model.h"
#include "suite.h"

struct conf;
struct event_base;
struct storage;

struct db {
    struct event_base *home;
    struct conf *conf;
    struct storage *storage;
    struct dkv_store *store;
    struct dkv_reader *reader; /* of the home thread */
};

/* One request of any kind and what became of it. */
struct call {
    union {
        struct dkv_op op;
        struct dkv_get get;
        struct dkv_scan scan;
        struct dkv_apply apply;
        struct dkv_index index;
        struct dkv_snapshot_read snapshot;
        struct dkv_restore_write write;
    } as;
    int (*visit)(void *ctx, struct dkv_slice key, struct dkv_slice value);
    void *ctx;
    uint64_t emitted;
    int status;
    unsigned done_count;
    bool has_returned, has_stopped;
    pthread_t thread;
};

/* Of suite.conf_path and suite.folder. */
void db_open(struct db *db);
int db_try_open(struct db *db, struct dkv_error *err);
/* Another storage than the one under test, such as "memory". */
void db_open_other(struct db *db, const char *spec);
void db_close(struct db *db);
void db_reopen(struct db *db);
/* While nothing is open: the next db_open() finds an empty store. */
void db_forget(void);

/* Prepares a call; every one is used once. */
void call_init(struct call *call, int (*visit)(void *, struct dkv_slice, struct dkv_slice),
               void *ctx);
/* Notes what the function has returned. */
void call_returned(struct call *call, const struct dkv_store *store, int status);
/* The same for those that may not be pending. */
int call_completed(struct call *call, int status);
/* Runs the loop until there is an answer. */
int call_wait(struct call *call, struct event_base *base);

int db_apply(struct db *db, uint64_t index, const struct dkv_mutation *mutations, size_t count);
int db_put(struct db *db, uint64_t index, const char *key, const char *value);
int db_delete(struct db *db, uint64_t index, const char *key);
uint64_t db_applied(struct db *db);
int db_sync(struct db *db, uint64_t *durable_out);

/* Applies the workload's batches after the model's index, to `index`, to both. */
void db_run(struct db *db, struct model *model, uint64_t seed, uint64_t index);

int read_get(struct dkv_reader *reader, struct event_base *base, struct dkv_slice key,
             int (*visit)(void *, struct dkv_slice, struct dkv_slice), void *ctx);
struct scan_range {
    struct dkv_slice prefix, after;
    uint64_t limit;
};
int read_scan(struct dkv_reader *reader, struct event_base *base, const struct scan_range *range,
              int (*visit)(void *, struct dkv_slice, struct dkv_slice), void *ctx);

/* value NULL: the key must be absent. */
void db_expect(struct db *db, const char *key, const char *value);
void db_expect_pair(struct db *db, struct dkv_slice key, const struct dkv_slice *value);
/* Every key by get, all by scan and by snapshot as far as the store has them, and the index. */
void db_expect_model(struct db *db, const struct model *model);
/* All that a scan gives, sorted. */
void db_collect_scan(struct db *db, struct model *model_out);

struct dkv_snapshot *snapshot_open(struct db *db);
/* Up to about `bytes`; false when nothing is left. */
bool snapshot_step(struct dkv_snapshot *snapshot, size_t bytes, struct model *model_out,
                   int *status_out);
void snapshot_close(struct dkv_snapshot *snapshot);
/* Reads what is left and closes it. */
void snapshot_collect(struct dkv_snapshot *snapshot, struct model *model_out);

struct dkv_restore *restore_open(struct db *db, uint64_t index);
int restore_write(struct dkv_restore *restore, const struct dkv_mutation *puts, size_t count);
/* Pairs [from, to) of the model. */
void restore_pairs(struct dkv_restore *restore, const struct model *model, size_t from, size_t to);
int restore_commit(struct dkv_restore *restore);
void restore_abort(struct dkv_restore *restore);
void db_restore(struct db *db, const struct model *model);

#endif
