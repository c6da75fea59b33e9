#include "lmdb_fixture.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void host_write(void *ctx, int level, const char *fmt, ...)
{
    struct fixture *f = ctx;

    (void)fmt;
    if (level == LOG_LEVEL_ERROR)
        f->errors_logged++;
    if (level == LOG_LEVEL_WARNING)
        f->warnings_logged++;
}

static uint64_t host_clock(void *ctx)
{
    struct fixture *f = ctx;

    return f->now_ms != 0 ? f->now_ms : store__now_ms();
}

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    (void)snprintf(f->path, sizeof(f->path), "./lmdb-test-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    f->options = (struct lmdb_options){
        .path = f->path,
        .map_size = (uint64_t)256 << 20,
        .max_readers = 64,
        .commit_interval_ms = 20,
        .commit_bytes = 1 << 20,
        .commit_ops = 1000,
        .overlay_max = 4 << 20,
        .snapshot_max_ms = 600000,
    };
    f->host = (struct dkv_host){
        .size = sizeof(f->host), .ctx = f, .log = host_write, .now_ms = host_clock};
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    if (f->store != NULL)
        store_shut(f);
    if (f->home != NULL)
        event_base_free(f->home);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

int store_try_open(struct fixture *f, struct dkv_store **store_out, struct dkv_error *err)
{
    struct dkv_store_args args = {
        .size = sizeof(args), .host = &f->host, .options = &f->options, .home = f->home};
    int status = dkv_plugin.ops.storage->open(&args, store_out, err);

    if (status == DKV_OK)
        (*store_out)->ops = dkv_plugin.ops.storage;
    return status;
}

void store_reopen(struct fixture *f)
{
    struct dkv_error err = {0};

    if (f->store != NULL)
        store_shut(f);
    if (store_try_open(f, &f->store, &err) != DKV_OK)
        fail_msg("open: %s", err.text);
    assert_int_equal(f->store->ops->reader_open(f->store, NULL, &f->reader, &err), DKV_OK);
}

void store_shut(struct fixture *f)
{
    f->store->ops->reader_close(f->reader);
    f->store->ops->close(f->store);
    f->store = NULL;
}

struct waiter {
    bool done;
    int status;
};

static void on_done(struct dkv_op *op, int status)
{
    struct waiter *waiter = op->plugin[1];

    waiter->done = true;
    waiter->status = status;
}

static int wait_for(struct fixture *f, const struct waiter *waiter, int status)
{
    if (status != DKV_PENDING)
        return status;
    while (!waiter->done)
        assert_true(event_base_loop(f->home, EVLOOP_ONCE) >= 0);
    return waiter->status;
}

int apply_many(struct fixture *f, uint64_t index, const struct dkv_mutation *mutations,
               size_t count)
{
    struct waiter waiter = {false, 0};
    struct dkv_apply apply = {.op = {.done = on_done, .plugin = {NULL, &waiter}},
                              .index = index,
                              .mutations = mutations,
                              .count = count};

    return wait_for(f, &waiter, f->store->ops->apply(f->store, &apply));
}

int put(struct fixture *f, uint64_t index, const char *key, const void *value, size_t len)
{
    struct dkv_mutation mutation = {
        .kind = DKV_PUT, .key = {key, strlen(key)}, .value = {value, len}};

    return apply_many(f, index, &mutation, 1);
}

int del(struct fixture *f, uint64_t index, const char *key)
{
    struct dkv_mutation mutation = {.kind = DKV_DELETE, .key = {key, strlen(key)}};

    return apply_many(f, index, &mutation, 1);
}

int sync_status(struct fixture *f, uint64_t *index_out)
{
    struct waiter waiter = {false, 0};
    struct dkv_index index = {.op = {.done = on_done, .plugin = {NULL, &waiter}}};
    int status = wait_for(f, &waiter, f->store->ops->sync(f->store, &index));

    *index_out = index.index;
    return status;
}

uint64_t sync_now(struct fixture *f)
{
    uint64_t index;

    assert_int_equal(sync_status(f, &index), DKV_OK);
    return index;
}

uint64_t applied_now(struct fixture *f)
{
    struct dkv_index index = {.index = 0};

    assert_int_equal(f->store->ops->applied(f->store, &index), DKV_OK);
    return index.index;
}

struct getter {
    struct dkv_get get;
    void *value;
    size_t size, len;
};

static int keep(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct getter *getter = (struct getter *)read;

    (void)key;
    getter->len = value.len;
    if (value.len != 0)
        memcpy(getter->value, value.data, value.len < getter->size ? value.len : getter->size);
    return 0;
}

int get_from(struct dkv_reader *reader, const char *key, void *value_out, size_t size,
             size_t *len_out)
{
    struct getter getter = {.get = {.read = {.emit = keep}, .key = {key, strlen(key)}},
                            .value = value_out,
                            .size = size};
    int status = reader->store->ops->get(reader, &getter.get);

    *len_out = getter.len;
    return status;
}

void assert_value(struct fixture *f, const char *key, const char *value)
{
    char got[256];
    size_t len;
    int status = get_from(f->reader, key, got, sizeof(got), &len);

    if (value == NULL) {
        assert_int_equal(status, DKV_ENOENT);
        return;
    }
    assert_int_equal(status, DKV_OK);
    assert_int_equal(len, strlen(value));
    assert_memory_equal(got, value, len);
}

struct scanner {
    struct dkv_scan scan;
    struct collected *collected;
};

static int collect(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct collected *collected = ((struct scanner *)read)->collected;
    size_t used = strlen(collected->text);

    (void)snprintf(collected->text + used, sizeof(collected->text) - used, "%.*s=%.*s ",
                   (int)key.len, (const char *)key.data, (int)value.len, (const char *)value.data);
    collected->count++;
    return collected->limit != 0 && collected->count >= collected->limit;
}

int scan_into(struct dkv_reader *reader, const char *prefix, const char *after, uint64_t limit,
              struct collected *collected)
{
    struct scanner scanner = {.scan = {.read = {.emit = collect},
                                       .prefix = {prefix, strlen(prefix)},
                                       .after = {after, strlen(after)},
                                       .limit = limit},
                              .collected = collected};

    collected->count = 0;
    collected->text[0] = '\0';
    return reader->store->ops->scan(reader, &scanner.scan);
}

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static char model_names[MODEL_KEYS][8];

static size_t model_value(const struct model *model, size_t key, uint64_t index, char *value_out)
{
    size_t len = 16 + mix(model->seed ^ index ^ (key << 32)) % 300;

    memset(value_out, (int)(index % 251), len);
    (void)snprintf(value_out, 16, "%07llu", (unsigned long long)index);
    return len;
}

static char model_values[16][512];

void model_advance(struct model *model, struct dkv_mutation *mutations, size_t *count_out)
{
    uint64_t index = ++model->index, random = mix(model->seed + index);
    size_t count = 1 + random % 16;

    for (size_t i = 0; i < count; i++) {
        size_t key = (random = mix(random)) % MODEL_KEYS;
        bool puts = (random >> 32) % 4 != 0;

        (void)snprintf(model_names[key], sizeof(model_names[key]), "k%05zu", key);
        mutations[i] = (struct dkv_mutation){.kind = puts ? DKV_PUT : DKV_DELETE,
                                             .key = {model_names[key], 6}};
        model->written[key] = puts ? index : 0;
        if (puts)
            mutations[i].value = (struct dkv_slice){
                model_values[i], model_value(model, key, index, model_values[i])};
    }
    *count_out = count;
}

int model_apply(struct fixture *f, struct model *model)
{
    struct dkv_mutation mutations[16];
    size_t count;

    model_advance(model, mutations, &count);
    return apply_many(f, model->index, mutations, count);
}

struct checker {
    struct dkv_scan scan;
    const struct model *model;
    size_t next; /* the first key that may still come */
};

static size_t model_find(const struct model *model, size_t from)
{
    while (from < MODEL_KEYS && model->written[from] == 0)
        from++;
    return from;
}

static int check(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct checker *checker = (struct checker *)read;
    size_t at = model_find(checker->model, checker->next);
    char name[8], expected[512];

    assert_true(at < MODEL_KEYS);
    (void)snprintf(name, sizeof(name), "k%05zu", at);
    assert_int_equal(key.len, 6);
    assert_memory_equal(key.data, name, 6);
    assert_int_equal(value.len,
                     model_value(checker->model, at, checker->model->written[at], expected));
    assert_memory_equal(value.data, expected, value.len);
    checker->next = at + 1;
    return 0;
}

void assert_is_model(struct fixture *f, const struct model *model)
{
    struct checker checker = {
        .scan = {.read = {.emit = check}, .prefix = {"", 0}, .after = {"", 0}}, .model = model};
    char name[8], got[512];
    size_t len;

    assert_int_equal(f->store->ops->scan(f->reader, &checker.scan), DKV_OK);
    assert_int_equal(model_find(model, checker.next), MODEL_KEYS);
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        (void)snprintf(name, sizeof(name), "k%05zu", i);
        assert_int_equal(get_from(f->reader, name, got, sizeof(got), &len),
                         model->written[i] != 0 ? DKV_OK : DKV_ENOENT);
    }
}
