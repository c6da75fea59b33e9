/* The memory storage, loaded as the daemon loads it, against a sorted-array model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "plugin/loader.h"

enum { KEYS = 5000, VALUE_BYTES = 24 };

/* The model: key number to value, "" if absent. */
struct model {
    char values[KEYS][VALUE_BYTES];
    uint64_t index;
};

struct fixture {
    struct plugin *plugin;
    struct dkv_store *store;
    struct dkv_reader *reader;
    struct model *model;
    struct rng rng;
};

struct collected {
    struct dkv_snapshot_read snapshot;
    struct dkv_scan scan;
    struct model *seen;
    size_t count;
    char last[16];
    bool is_ordered;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct dkv_error err = {0};
    struct dkv_store_args args = {.size = sizeof(args)};

    f->model = calloc(1, sizeof(*f->model));
    rng_init(&f->rng, 7);
    if (plugin_load(plugin_folder(), "memory", DKV_PLUGIN_STORAGE, &f->plugin, &err) != DKV_OK)
        fail_msg("%s", err.text);
    assert_int_equal(f->plugin->storage.open(&args, &f->store, &err), DKV_OK);
    f->store->ops = &f->plugin->storage;
    assert_int_equal(f->store->ops->reader_open(f->store, NULL, &f->reader, &err), DKV_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    f->store->ops->reader_close(f->reader);
    f->store->ops->close(f->store);
    plugin_free(&f->plugin);
    free(f->model);
    free(f);
    return 0;
}

static void key_text(size_t number, char key[16])
{
    snprintf(key, 16, "key-%05zu", number);
}

/* One batch of random puts and deletes, also of the same key twice. */
static void apply_random(struct fixture *f)
{
    struct dkv_mutation mutations[32];
    char keys[32][16];
    size_t count = rng_next(&f->rng) % 32;
    struct dkv_apply apply = {.index = f->model->index + 1, .mutations = mutations, .count = count};

    for (size_t i = 0; i < count; i++) {
        size_t number = rng_next(&f->rng) % KEYS;
        char *value = f->model->values[number];

        key_text(number, keys[i]);
        if (rng_next(&f->rng) % 3 == 0)
            value[0] = '\0';
        else
            snprintf(value, VALUE_BYTES, "%llu", (unsigned long long)rng_next(&f->rng));
        mutations[i] = (struct dkv_mutation){.kind = value[0] == '\0' ? DKV_DELETE : DKV_PUT,
                                             .key = {keys[i], strlen(keys[i])}};
        /* The model's text may change again within the batch. */
        mutations[i].value = (struct dkv_slice){strdup(value), strlen(value)};
    }
    assert_int_equal(f->store->ops->apply(f->store, &apply), DKV_OK);
    f->model->index++;
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)mutations[i].value.data);
}

static void collect(struct collected *c, struct dkv_slice key, struct dkv_slice value)
{
    char text[16];
    size_t number;

    assert_true(key.len < sizeof(text));
    memcpy(text, key.data, key.len);
    text[key.len] = '\0';
    number = (size_t)strtoul(text + 4, NULL, 10);
    assert_true(number < KEYS && value.len < VALUE_BYTES);
    assert_int_equal(c->seen->values[number][0], '\0'); /* never twice */
    memcpy(c->seen->values[number], value.data, value.len);
    c->is_ordered = c->is_ordered && strcmp(c->last, text) < 0;
    memcpy(c->last, text, sizeof(text));
    c->count++;
}

static int collect_snapshot(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    collect((struct collected *)read, key, value);
    return 0;
}

static int collect_scan(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct collected *c = (void *)((char *)read - offsetof(struct collected, scan));

    collect(c, key, value);
    return 0;
}

static void assert_same(const struct model *expected, const struct model *seen)
{
    for (size_t i = 0; i < KEYS; i++)
        assert_string_equal(expected->values[i], seen->values[i]);
}

static void scan_pages(struct fixture *f, uint64_t limit, struct collected *c)
{
    char after[16] = "";
    size_t before;

    do {
        before = c->count;
        memcpy(after, c->last, sizeof(after));
        c->scan = (struct dkv_scan){.read.emit = collect_scan,
                                    .prefix = {"key-", 4},
                                    .after = {after, strlen(after)},
                                    .limit = limit};
        assert_int_equal(f->store->ops->scan(f->reader, &c->scan), DKV_OK);
        assert_true(limit == 0 || c->count - before <= limit);
    } while (limit != 0 && c->count > before);
}

static void random_batches_equal_the_model_in_byte_order_page_by_page(void **state)
{
    struct fixture *f = *state;
    struct model *seen = calloc(1, sizeof(*seen));
    struct collected c = {.seen = seen, .is_ordered = true};
    struct dkv_index index = {0};

    for (int i = 0; i < 3000; i++)
        apply_random(f);
    scan_pages(f, 37, &c);
    assert_true(c.is_ordered);
    assert_same(f->model, seen);
    assert_int_equal(f->store->ops->applied(f->store, &index), DKV_OK);
    assert_int_equal(index.index, f->model->index);
    free(seen);
}

static void a_repeated_index_has_no_effect(void **state)
{
    struct fixture *f = *state;
    struct dkv_mutation put = {.kind = DKV_PUT, .key = {"key-00001", 9}, .value = {"1", 1}};
    struct dkv_apply apply = {.index = 1, .mutations = &put, .count = 1};
    struct model *seen = calloc(1, sizeof(*seen));
    struct collected c = {.seen = seen};

    assert_int_equal(f->store->ops->apply(f->store, &apply), DKV_OK);
    put.value = (struct dkv_slice){"2", 1};
    assert_int_equal(f->store->ops->apply(f->store, &apply), DKV_OK);
    scan_pages(f, 0, &c);
    assert_string_equal(seen->values[1], "1");
    free(seen);
}

static void read_snapshot(struct fixture *f, struct dkv_snapshot *snapshot, struct collected *c)
{
    do {
        c->snapshot = (struct dkv_snapshot_read){.read.emit = collect_snapshot, .bytes_max = 1000};
        assert_int_equal(f->store->ops->snapshot_read(snapshot, &c->snapshot), DKV_OK);
        apply_random(f);
    } while (!c->snapshot.end);
}

static void snapshots_stay_at_their_index_while_everything_is_rewritten(void **state)
{
    struct fixture *f = *state;
    struct dkv_snapshot *snapshots[2];
    struct model *expected = calloc(2, sizeof(*expected));

    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 500; j++)
            apply_random(f);
        assert_int_equal(f->store->ops->snapshot_open(f->store, NULL, &snapshots[i]), DKV_OK);
        assert_int_equal(snapshots[i]->index, f->model->index);
        expected[i] = *f->model;
    }
    for (int i = 0; i < 2; i++) {
        struct model *seen = calloc(1, sizeof(*seen));
        struct collected c = {.seen = seen};

        read_snapshot(f, snapshots[i], &c);
        assert_same(&expected[i], seen);
        f->store->ops->snapshot_close(snapshots[i]);
        free(seen);
    }
    random_batches_equal_the_model_in_byte_order_page_by_page(state);
    free(expected);
}

static void a_restore_replaces_everything_at_commit_and_views_live_on(void **state)
{
    struct fixture *f = *state;
    struct model *seen = calloc(2, sizeof(*seen));
    struct collected after = {.seen = &seen[0]}, pinned = {.seen = &seen[1]};
    struct dkv_mutation put = {.kind = DKV_PUT, .key = {"key-00001", 9}, .value = {"new", 3}};
    struct dkv_restore_write write = {.puts = &put, .count = 1};
    struct dkv_index index = {0};
    struct dkv_snapshot *snapshot;
    struct dkv_restore *restore;
    struct model before;

    for (int i = 0; i < 300; i++)
        apply_random(f);
    before = *f->model;
    assert_int_equal(f->store->ops->snapshot_open(f->store, NULL, &snapshot), DKV_OK);
    assert_int_equal(f->store->ops->restore_open(f->store, 9000, &restore), DKV_OK);
    assert_int_equal(f->store->ops->restore_write(restore, &write), DKV_OK);
    assert_int_equal(f->store->ops->restore_commit(restore, NULL), DKV_OK);
    assert_int_equal(f->store->ops->applied(f->store, &index), DKV_OK);
    assert_int_equal(index.index, 9000);
    scan_pages(f, 0, &after);
    assert_int_equal(after.count, 1);
    f->model->index = 9000;
    read_snapshot(f, snapshot, &pinned);
    assert_same(&before, pinned.seen);
    f->store->ops->snapshot_close(snapshot);
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_batches_equal_the_model_in_byte_order_page_by_page,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_repeated_index_has_no_effect, setup, teardown),
        cmocka_unit_test_setup_teardown(snapshots_stay_at_their_index_while_everything_is_rewritten,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_restore_replaces_everything_at_commit_and_views_live_on,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
