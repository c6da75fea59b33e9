/* A complete storage plugin in one file: a sorted array in memory.
 *
 * The content is a chain of versions, each an array of entries that never changes.  apply() makes
 * the next version beside the current one and puts it in its place, so a batch is visible as a
 * whole or not at all.  Who reads pins the version that is current then; a snapshot is a pin that
 * is kept.  Nothing outlives the process: the daemon refills the store from its log.
 *
 * Simple rather than quick: a batch costs time in proportion to the number of keys. */
#include <dkv/storage.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    atomic_size_t refs; /* versions that hold it */
    size_t key_len, value_len;
    unsigned char bytes[]; /* key, value */
};

struct version {
    size_t refs; /* store.lock */
    uint64_t index;
    size_t count;
    struct entry *entries[];
};

struct sorted_options {
    uint64_t value_max;
};

struct sorted_store {
    struct dkv_store base;
    pthread_mutex_t lock;
    struct version *current; /* lock; only the home thread replaces it */
};

struct sorted_snapshot {
    struct dkv_snapshot base;
    struct version *version;
    size_t next;
};

struct sorted_restore {
    struct dkv_restore base;
    struct version *version;
};

/* --- entries and versions --- */

static struct entry *entry_new(const struct dkv_mutation *put)
{
    struct entry *entry = malloc(sizeof(*entry) + put->key.len + put->value.len);

    if (entry == NULL)
        return NULL;
    atomic_init(&entry->refs, 1);
    entry->key_len = put->key.len;
    entry->value_len = put->value.len;
    if (put->key.len > 0)
        memcpy(entry->bytes, put->key.data, put->key.len);
    if (put->value.len > 0)
        memcpy(entry->bytes + put->key.len, put->value.data, put->value.len);
    return entry;
}

static void entry_unref(struct entry *entry)
{
    if (atomic_fetch_sub(&entry->refs, 1) == 1)
        free(entry);
}

/* A copy of old, or an empty version, with room for `more` entries. */
static struct version *version_new(const struct version *old, size_t more)
{
    size_t count = old == NULL ? 0 : old->count;
    struct version *version = malloc(sizeof(*version) + (count + more) * sizeof(struct entry *));

    if (version == NULL)
        return NULL;
    *version = (struct version){.refs = 1, .count = count};
    for (size_t i = 0; i < count; i++) {
        version->entries[i] = old->entries[i];
        (void)atomic_fetch_add(&version->entries[i]->refs, 1);
    }
    return version;
}

static void version_free(struct version *version)
{
    for (size_t i = 0; i < version->count; i++)
        entry_unref(version->entries[i]);
    free(version);
}

static struct version *version_pin(struct sorted_store *s)
{
    struct version *version;

    (void)pthread_mutex_lock(&s->lock);
    version = s->current;
    version->refs++;
    (void)pthread_mutex_unlock(&s->lock);
    return version;
}

static void version_unpin(struct sorted_store *s, struct version *version)
{
    size_t refs;

    (void)pthread_mutex_lock(&s->lock);
    refs = --version->refs;
    (void)pthread_mutex_unlock(&s->lock);
    if (refs == 0)
        version_free(version);
}

static void version_publish(struct sorted_store *s, struct version *version)
{
    struct version *old;

    (void)pthread_mutex_lock(&s->lock);
    old = s->current;
    s->current = version;
    (void)pthread_mutex_unlock(&s->lock);
    version_unpin(s, old);
}

static int compare(struct dkv_slice a, struct dkv_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static struct dkv_slice key_of(const struct entry *entry)
{
    return (struct dkv_slice){entry->bytes, entry->key_len};
}

static struct dkv_slice value_of(const struct entry *entry)
{
    return (struct dkv_slice){entry->bytes + entry->key_len, entry->value_len};
}

/* Where the key is, or where it would be. */
static size_t position_of(const struct version *version, struct dkv_slice key, int *found_out)
{
    size_t low = 0, high = version->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(key_of(version->entries[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found_out = low < version->count && compare(key_of(version->entries[low]), key) == 0;
    return low;
}

/* In a version that nobody else sees yet, and that has room. */
static int change(struct version *version, const struct dkv_mutation *m)
{
    int found;
    size_t at = position_of(version, m->key, &found);
    struct entry **slot = &version->entries[at];
    struct entry *entry = NULL;

    if (m->kind == DKV_PUT && (entry = entry_new(m)) == NULL)
        return DKV_ENOMEM;
    if (found)
        entry_unref(*slot);
    if (entry != NULL && !found)
        memmove(slot + 1, slot, (version->count++ - at) * sizeof(struct entry *));
    if (entry == NULL && found)
        memmove(slot, slot + 1, (--version->count - at) * sizeof(struct entry *));
    if (entry != NULL)
        *slot = entry;
    return DKV_OK;
}

static int check(const struct dkv_store *base, const struct dkv_mutation *m)
{
    if ((m->kind != DKV_PUT && m->kind != DKV_DELETE) || m->key.len == 0)
        return DKV_EINVAL;
    return m->kind == DKV_PUT && m->value.len > base->value_max ? DKV_ETOOBIG : DKV_OK;
}

/* --- open and close --- */

static int sorted_open(const struct dkv_store_args *args, struct dkv_store **store_out,
                       struct dkv_error *err)
{
    const struct sorted_options *options = args->options;
    struct sorted_store *s = calloc(1, sizeof(*s));

    if (s == NULL || (s->current = version_new(NULL, 0)) == NULL) {
        free(s);
        err->status = DKV_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "no memory for an empty store");
        return DKV_ENOMEM;
    }
    (void)pthread_mutex_init(&s->lock, NULL);
    s->base.caps = DKV_CAP_SCAN | DKV_CAP_ORDERED | DKV_CAP_SNAPSHOT;
    s->base.value_max = options->value_max;
    *store_out = &s->base;
    return DKV_OK;
}

static void sorted_close(struct dkv_store *base)
{
    struct sorted_store *s = (struct sorted_store *)base;

    version_free(s->current);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

/* --- reading --- */

static int sorted_reader_open(struct dkv_store *store, struct event_base *base,
                              struct dkv_reader **reader_out, struct dkv_error *err)
{
    struct dkv_reader *reader = calloc(1, sizeof(*reader));

    (void)base; /* no call ever waits */
    if (reader == NULL) {
        err->status = DKV_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "no memory for a reader");
        return DKV_ENOMEM;
    }
    reader->store = store;
    *reader_out = reader;
    return DKV_OK;
}

static void sorted_reader_close(struct dkv_reader *reader)
{
    free(reader);
}

static int sorted_get(struct dkv_reader *reader, struct dkv_get *get)
{
    struct sorted_store *s = (struct sorted_store *)reader->store;
    struct version *version = version_pin(s);
    int found;
    size_t at = position_of(version, get->key, &found);

    if (found) {
        const struct entry *entry = version->entries[at];

        (void)get->read.emit(&get->read, key_of(entry), value_of(entry));
    }
    version_unpin(s, version);
    return found ? DKV_OK : DKV_ENOENT;
}

static int has_prefix(struct dkv_slice key, struct dkv_slice prefix)
{
    return key.len >= prefix.len &&
           (prefix.len == 0 || memcmp(key.data, prefix.data, prefix.len) == 0);
}

static int sorted_scan(struct dkv_reader *reader, struct dkv_scan *scan)
{
    struct sorted_store *s = (struct sorted_store *)reader->store;
    struct version *version = version_pin(s);
    uint64_t emitted = 0;
    int found;
    size_t at = position_of(version, scan->prefix, &found);

    if (scan->after.len > 0 && compare(scan->after, scan->prefix) >= 0) {
        at = position_of(version, scan->after, &found);
        at += found ? 1 : 0;
    }
    for (; at < version->count && (scan->limit == 0 || emitted < scan->limit); at++) {
        const struct entry *entry = version->entries[at];

        if (!has_prefix(key_of(entry), scan->prefix))
            break;
        emitted++;
        if (scan->read.emit(&scan->read, key_of(entry), value_of(entry)) != 0)
            break;
    }
    version_unpin(s, version);
    return DKV_OK;
}

/* --- writing --- */

static int sorted_apply(struct dkv_store *base, struct dkv_apply *apply)
{
    struct sorted_store *s = (struct sorted_store *)base;
    struct version *next;
    int status = DKV_OK;

    if (apply->index <= s->current->index)
        return DKV_OK; /* a repeated batch */
    next = version_new(s->current, apply->count);
    if (next == NULL)
        return DKV_ENOMEM;
    for (size_t i = 0; i < apply->count && status == DKV_OK; i++) {
        status = check(base, &apply->mutations[i]);
        if (status == DKV_OK)
            status = change(next, &apply->mutations[i]);
    }
    if (status != DKV_OK) {
        version_free(next);
        return status;
    }
    next->index = apply->index;
    version_publish(s, next);
    return DKV_OK;
}

static int sorted_applied(struct dkv_store *base, struct dkv_index *index)
{
    index->index = ((struct sorted_store *)base)->current->index;
    return DKV_OK;
}

/* --- snapshots --- */

static int sorted_snapshot_open(struct dkv_store *base, struct event_base *loop,
                                struct dkv_snapshot **snapshot_out)
{
    struct sorted_snapshot *snapshot = calloc(1, sizeof(*snapshot));

    (void)loop;
    if (snapshot == NULL)
        return DKV_ENOMEM;
    snapshot->version = version_pin((struct sorted_store *)base);
    snapshot->base.store = base;
    snapshot->base.index = snapshot->version->index;
    *snapshot_out = &snapshot->base;
    return DKV_OK;
}

static int sorted_snapshot_read(struct dkv_snapshot *base, struct dkv_snapshot_read *read)
{
    struct sorted_snapshot *snapshot = (struct sorted_snapshot *)base;
    const struct version *version = snapshot->version;
    size_t bytes = 0;

    while (snapshot->next < version->count && (bytes == 0 || bytes < read->bytes_max)) {
        const struct entry *entry = version->entries[snapshot->next++];

        bytes += entry->key_len + entry->value_len;
        if (read->read.emit(&read->read, key_of(entry), value_of(entry)) != 0)
            break;
    }
    read->end = snapshot->next == version->count;
    return DKV_OK;
}

static void sorted_snapshot_close(struct dkv_snapshot *base)
{
    struct sorted_snapshot *snapshot = (struct sorted_snapshot *)base;

    version_unpin((struct sorted_store *)base->store, snapshot->version);
    free(snapshot);
}

/* --- restores --- */

static int sorted_restore_open(struct dkv_store *base, uint64_t index,
                               struct dkv_restore **restore_out)
{
    struct sorted_restore *restore = calloc(1, sizeof(*restore));

    if (restore == NULL || (restore->version = version_new(NULL, 0)) == NULL) {
        free(restore);
        return DKV_ENOMEM;
    }
    restore->base.store = base;
    restore->version->index = index;
    *restore_out = &restore->base;
    return DKV_OK;
}

static int sorted_restore_write(struct dkv_restore *base, struct dkv_restore_write *write)
{
    struct sorted_restore *restore = (struct sorted_restore *)base;
    size_t slots = restore->version->count + write->count;
    struct version *grown =
        realloc(restore->version, sizeof(*grown) + slots * sizeof(struct entry *));
    int status = DKV_OK;

    if (grown == NULL)
        return DKV_ENOMEM;
    restore->version = grown;
    for (size_t i = 0; i < write->count && status == DKV_OK; i++) {
        status = write->puts[i].kind == DKV_PUT ? check(base->store, &write->puts[i]) : DKV_EINVAL;
        if (status == DKV_OK)
            status = change(grown, &write->puts[i]);
    }
    return status;
}

static int sorted_restore_commit(struct dkv_restore *base, struct dkv_op *op)
{
    struct sorted_restore *restore = (struct sorted_restore *)base;

    (void)op;
    version_publish((struct sorted_store *)base->store, restore->version);
    free(restore);
    return DKV_OK;
}

static void sorted_restore_abort(struct dkv_restore *base)
{
    struct sorted_restore *restore = (struct sorted_restore *)base;

    version_free(restore->version);
    free(restore);
}

/* --- the descriptor --- */

static const struct dkv_option sorted_option_table[] = {
    {.name = "value_max",
     .type = DKV_OPTION_SIZE,
     .offset = offsetof(struct sorted_options, value_max),
     .fallback = "1G",
     .min = 1,
     .max = INT64_MAX,
     .help = "largest value that is taken"},
    {.name = NULL},
};

static const struct dkv_storage_ops sorted_ops = {
    .size = sizeof(struct dkv_storage_ops),
    .open = sorted_open,
    .close = sorted_close,
    .reader_open = sorted_reader_open,
    .reader_close = sorted_reader_close,
    .get = sorted_get,
    .scan = sorted_scan,
    .apply = sorted_apply,
    .applied = sorted_applied,
    .snapshot_open = sorted_snapshot_open,
    .snapshot_read = sorted_snapshot_read,
    .snapshot_close = sorted_snapshot_close,
    .restore_open = sorted_restore_open,
    .restore_write = sorted_restore_write,
    .restore_commit = sorted_restore_commit,
    .restore_abort = sorted_restore_abort,
};

DKV_PLUGIN_DECLARE(.name = "sorted", .version = "1.0", .kind = DKV_PLUGIN_STORAGE,
                   .summary = "sorted array in memory, an example", .options = sorted_option_table,
                   .options_size = sizeof(struct sorted_options), .ops.storage = &sorted_ops);
