/* The plugin's face: options, opening and closing, the table of operations. */
#include "store.h"

#include <event2/event.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#ifdef DKV_SANITIZED
#define MAP_SIZE_DEFAULT "16G" /* a sanitizer wants most of the address space for itself */
#elif UINTPTR_MAX > 0xffffffffu
#define MAP_SIZE_DEFAULT "1024G"
#else
#define MAP_SIZE_DEFAULT "1G"
#endif

static const char *const sync_choices[] = {"group", "always", NULL};

static int options_check(const struct lmdb_options *options, struct dkv_error *err)
{
    if (options->path == NULL || options->path[0] == '\0')
        return error_set(err, DKV_EINVAL, "path is not set");
    if (options->commit_bytes > options->overlay_max)
        return error_set(err, DKV_EINVAL, "commit_bytes (%llu) is above overlay_max (%llu)",
                         (unsigned long long)options->commit_bytes,
                         (unsigned long long)options->overlay_max);
    return DKV_OK;
}

static int locks_init(struct lmdb_store *store, struct dkv_error *err)
{
    pthread_condattr_t attributes;
    int code = pthread_condattr_init(&attributes);

    if (code == 0)
        code = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (code == 0)
        code = pthread_cond_init(&store->wake, &attributes);
    if (code == 0)
        code = pthread_cond_init(&store->settled, NULL);
    if (code == 0)
        code = pthread_mutex_init(&store->lock, NULL);
    (void)pthread_condattr_destroy(&attributes);
    return code == 0 ? DKV_OK
                     : error_set(err, lmdb_status(code), "initialize locks: %s", strerror(code));
}

static int content_open(struct lmdb_store *store, struct dkv_error *err)
{
    struct env_config config = {
        .path = store->options.path,
        .map_size = store->options.map_size,
        .max_readers = (unsigned)store->options.max_readers,
        .always_sync = store->options.sync == LMDB_SYNC_ALWAYS,
        .host = store->host,
    };
    struct env_state state;
    int status = env_open(&store->env, &config, &state, err);

    if (status != DKV_OK)
        return status;
    store->active = state.active;
    store->applied = store->committed = store->durable = state.index;
    store->current = generation_new(state.index);
    if (store->current == NULL) {
        env_close(&store->env);
        return error_set(err, DKV_ENOMEM, "out of memory");
    }
    return DKV_OK;
}

static void store_free(struct lmdb_store *store)
{
    (void)pthread_cond_destroy(&store->wake);
    (void)pthread_cond_destroy(&store->settled);
    (void)pthread_mutex_destroy(&store->lock);
    free(store);
}

static int lmdb_open(const struct dkv_store_args *args, struct dkv_store **store_out,
                     struct dkv_error *err)
{
    const struct lmdb_options *options = args->options;
    struct lmdb_store *store;
    int status = options_check(options, err);

    if (status != DKV_OK)
        return status;
    store = calloc(1, sizeof(*store));
    if (store == NULL)
        return error_set(err, DKV_ENOMEM, "out of memory");
    store->options = *options;
    store->host = args->host;
    store->base.caps = DKV_CAP_DURABLE | DKV_CAP_SCAN | DKV_CAP_ORDERED | DKV_CAP_SNAPSHOT |
                       (args->home != NULL ? DKV_CAP_ASYNC : 0);
    store->base.key_max = ENV_KEY_MAX;
    store->base.value_max = ENV_VALUE_MAX;
    if (getrandom(store->hash_key, sizeof(store->hash_key), 0) !=
        (ssize_t)sizeof(store->hash_key)) {
        free(store);
        return error_set(err, DKV_EIO, "getrandom failed");
    }
    status = locks_init(store, err);
    if (status != DKV_OK) {
        free(store);
        return status;
    }
    status = content_open(store, err);
    if (status != DKV_OK)
        goto fail_store;
    status = pending_open(store, args->home, err);
    if (status != DKV_OK)
        goto fail_content;
    status = committer_start(store, err);
    if (status != DKV_OK)
        goto fail_pending;
    *store_out = &store->base;
    return DKV_OK;

fail_pending:
    pending_close(store);
fail_content:
    generation_unref(store->current);
    env_close(&store->env);
fail_store:
    store_free(store);
    return status;
}

static void lmdb_close(struct dkv_store *base)
{
    struct lmdb_store *store = store_of(base);

    committer_stop(store);
    pending_close(store);
    generation_unref(store->current);
    generation_unref(store->committing);
    env_close(&store->env);
    store_free(store);
}

#define FIELD(member) .offset = offsetof(struct lmdb_options, member)

static const struct dkv_option options[] = {
    {.name = "path",
     .type = DKV_OPTION_STRING,
     .flags = DKV_OPTION_REQUIRED,
     FIELD(path),
     .help = "folder of the database, made if it is not there; not on a network file system"},
    {.name = "map_size",
     .type = DKV_OPTION_SIZE,
     FIELD(map_size),
     .fallback = MAP_SIZE_DEFAULT,
     .min = 1 << 20,
     .max = INT64_MAX,
     .help = "the file never gets bigger; address space, not memory or disk"},
    {.name = "max_readers",
     .type = DKV_OPTION_INT,
     FIELD(max_readers),
     .fallback = "1024",
     .min = 4,
     .max = 65536,
     .help = "readers and snapshots at once"},
    {.name = "commit_interval",
     .type = DKV_OPTION_DURATION,
     FIELD(commit_interval_ms),
     .fallback = "1s",
     .min = 1,
     .max = 60000,
     .help = "the longest a write stays in memory and the log only"},
    {.name = "commit_bytes",
     .type = DKV_OPTION_SIZE,
     FIELD(commit_bytes),
     .fallback = "16M",
     .min = 4096,
     .max = INT64_MAX,
     .help = "commit earlier when this much has been written"},
    {.name = "commit_ops",
     .type = DKV_OPTION_INT,
     FIELD(commit_ops),
     .fallback = "32768",
     .min = 1,
     .max = 10000000,
     .help = "commit earlier after this many writes"},
    {.name = "overlay_max",
     .type = DKV_OPTION_SIZE,
     FIELD(overlay_max),
     .fallback = "64M",
     .min = 4096,
     .max = INT64_MAX,
     .help = "memory for writes that are not committed; full, writes wait"},
    {.name = "snapshot_max",
     .type = DKV_OPTION_DURATION,
     FIELD(snapshot_max_ms),
     .fallback = "10m",
     .min = 1,
     .max = 86400000,
     .help = "a snapshot that takes longer is given up, because the file grows meanwhile"},
    {.name = "sync",
     .type = DKV_OPTION_CHOICE,
     FIELD(sync),
     .fallback = "group",
     .choices = sync_choices,
     .help = "group: commits in the background; always: a commit for each batch, for tests"},
    {.name = NULL},
};

static const struct dkv_storage_ops operations = {
    .size = sizeof(struct dkv_storage_ops),
    .open = lmdb_open,
    .close = lmdb_close,
    .reader_open = lmdb_reader_open,
    .reader_close = lmdb_reader_close,
    .get = lmdb_get,
    .scan = lmdb_scan,
    .apply = lmdb_apply,
    .applied = lmdb_applied,
    .sync = lmdb_sync_op,
    .snapshot_open = lmdb_snapshot_open,
    .snapshot_read = lmdb_snapshot_read,
    .snapshot_close = lmdb_snapshot_close,
    .restore_open = lmdb_restore_open,
    .restore_write = lmdb_restore_write,
    .restore_commit = lmdb_restore_commit,
    .restore_abort = lmdb_restore_abort,
};

DKV_PLUGIN_DECLARE(.name = "lmdb", .version = PACKAGE_VERSION, .kind = DKV_PLUGIN_STORAGE,
                   .summary = "LMDB: ordered, durable, bigger than memory", .options = options,
                   .options_size = sizeof(struct lmdb_options), .ops = {.storage = &operations});
