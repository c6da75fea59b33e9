/* Snapshots and restores of the lmdb plugin, on one thread; test_lmdb_threads has the others. */
#include "lmdb_fixture.h"

struct copy {
    struct dkv_snapshot_read read;
    struct fixture *target;
    struct dkv_restore *restore;
    size_t count;
};

static int copy_one(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct copy *copy = (struct copy *)read;
    struct dkv_mutation one = {.kind = DKV_PUT, .key = key, .value = value};
    struct dkv_restore_write write = {.puts = &one, .count = 1};

    copy->count++;
    assert_int_equal(copy->target->store->ops->restore_write(copy->restore, &write), DKV_OK);
    return 0;
}

static void snapshot_copy(struct dkv_snapshot *snapshot, struct fixture *target)
{
    struct copy copy = {.read = {.read = {.emit = copy_one}, .bytes_max = 1000}, .target = target};
    const struct dkv_storage_ops *ops = target->store->ops;
    struct dkv_op op = {0};

    assert_int_equal(ops->restore_open(target->store, snapshot->index, &copy.restore), DKV_OK);
    while (!copy.read.end)
        assert_int_equal(ops->snapshot_read(snapshot, &copy.read), DKV_OK);
    assert_int_equal(ops->restore_commit(copy.restore, &op), DKV_OK);
}

static void test_r_s17_a_snapshot_is_exact_while_writes_go_on(void **state)
{
    struct fixture *f = *state, *target;
    struct model model = {.seed = 77}, at_open;
    struct dkv_snapshot *snapshot;
    void *other;

    f->options.commit_ops = 100;
    (void)fixture_setup(&other);
    target = other;
    store_reopen(f);
    store_reopen(target);
    (void)put(target, 1, "old content", "x", 1);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 300 + round; i++)
            assert_int_equal(model_apply(f, &model), DKV_OK);
        at_open = model;
        assert_int_equal(f->store->ops->snapshot_open(f->store, NULL, &snapshot), DKV_OK);
        assert_int_equal(snapshot->index, model.index);
        for (int i = 0; i < 500; i++)
            assert_int_equal(model_apply(f, &model), DKV_OK);
        snapshot_copy(snapshot, target);
        f->store->ops->snapshot_close(snapshot);
        assert_int_equal(applied_now(target), at_open.index);
        assert_is_model(target, &at_open);
        assert_value(target, "old content", NULL);
        store_reopen(target);
        assert_int_equal(applied_now(target), at_open.index);
        assert_is_model(target, &at_open);
    }
    (void)fixture_teardown(&other);
}

struct count {
    struct dkv_snapshot_read read;
    size_t count;
};

static int count_one(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    (void)key;
    (void)value;
    ((struct count *)read)->count++;
    return 0;
}

/* One chunk, or all that is left. */
static size_t snapshot_count(struct dkv_snapshot *snapshot, size_t bytes_max, bool all)
{
    struct count count = {.read = {.read = {.emit = count_one}, .bytes_max = bytes_max}};

    do
        assert_int_equal(snapshot->store->ops->snapshot_read(snapshot, &count.read), DKV_OK);
    while (all && !count.read.end);
    return count.count;
}

static void test_snapshots_at_two_indexes_stand_side_by_side(void **state)
{
    struct fixture *f = *state;
    struct dkv_snapshot *empty, *one, *two;
    const struct dkv_storage_ops *ops;

    f->options.commit_ops = 2;
    store_reopen(f);
    ops = f->store->ops;
    assert_int_equal(ops->snapshot_open(f->store, NULL, &empty), DKV_OK);
    (void)put(f, 1, "a", "x", 1);
    assert_int_equal(ops->snapshot_open(f->store, NULL, &one), DKV_OK);
    (void)put(f, 2, "b", "x", 1);
    (void)del(f, 3, "a");
    (void)put(f, 4, "c", "x", 1);
    (void)put(f, 5, "d", "x", 1);
    (void)sync_now(f);
    assert_int_equal(ops->snapshot_open(f->store, NULL, &two), DKV_OK);
    (void)del(f, 6, "b");
    assert_int_equal(snapshot_count(two, 1, false), 1);
    assert_int_equal(snapshot_count(empty, 100, true), 0);
    assert_int_equal(snapshot_count(one, 100, true), 1);
    ops->snapshot_close(one);
    assert_int_equal(snapshot_count(two, 100, true), 2);
    ops->snapshot_close(two);
    ops->snapshot_close(empty);
    assert_int_equal(sync_now(f), 6);
}

static void test_a_snapshot_closed_in_the_middle_lets_go(void **state)
{
    struct fixture *f = *state;
    struct model model = {.seed = 3};
    struct dkv_snapshot *snapshot;

    store_reopen(f);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(model_apply(f, &model), DKV_OK);
        assert_int_equal(f->store->ops->snapshot_open(f->store, NULL, &snapshot), DKV_OK);
        (void)snapshot_count(snapshot, 100, false);
        f->store->ops->snapshot_close(snapshot);
    }
    assert_null(store_of(f->store)->snapshots);
    assert_is_model(f, &model);
}

static void test_an_old_snapshot_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct dkv_snapshot *snapshot;
    struct copy copy = {.read = {.bytes_max = 1}};

    f->options.snapshot_max_ms = 1000;
    f->now_ms = 1000000;
    store_reopen(f);
    (void)put(f, 1, "a", "x", 1);
    assert_int_equal(f->store->ops->snapshot_open(f->store, NULL, &snapshot), DKV_OK);
    pthread_mutex_lock(&store_of(f->store)->lock);
    f->now_ms += 2000;
    snapshots_expire(store_of(f->store));
    pthread_mutex_unlock(&store_of(f->store)->lock);
    assert_int_equal(f->store->ops->snapshot_read(snapshot, &copy.read), DKV_ECANCELED);
    f->store->ops->snapshot_close(snapshot);
}

static void test_an_aborted_restore_leaves_the_old_content(void **state)
{
    struct fixture *f = *state;
    struct dkv_restore *restore, *second;
    struct dkv_mutation one = {.kind = DKV_PUT, .key = {"new", 3}, .value = {"y", 1}};
    struct dkv_restore_write write = {.puts = &one, .count = 1};
    struct dkv_op op = {0};

    store_reopen(f);
    (void)put(f, 9, "old", "x", 1);
    assert_int_equal(f->store->ops->restore_open(f->store, 5, &restore), DKV_OK);
    assert_int_equal(f->store->ops->restore_open(f->store, 5, &second), DKV_EUNAVAIL);
    assert_int_equal(f->store->ops->restore_write(restore, &write), DKV_OK);
    f->store->ops->restore_abort(restore);
    assert_value(f, "old", "x");
    assert_value(f, "new", NULL);
    assert_int_equal(f->store->ops->restore_open(f->store, 5, &restore), DKV_OK);
    assert_int_equal(f->store->ops->restore_write(restore, &write), DKV_OK);
    assert_value(f, "old", "x");
    assert_int_equal(f->store->ops->restore_commit(restore, &op), DKV_OK);
    assert_value(f, "old", NULL);
    assert_value(f, "new", "y");
    assert_int_equal(applied_now(f), 5);
    assert_int_equal(put(f, 6, "more", "z", 1), DKV_OK);
    store_reopen(f);
    assert_int_equal(applied_now(f), 6);
    assert_value(f, "new", "y");
    assert_value(f, "more", "z");
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_r_s17_a_snapshot_is_exact_while_writes_go_on),
        T(test_snapshots_at_two_indexes_stand_side_by_side),
        T(test_a_snapshot_closed_in_the_middle_lets_go),
        T(test_an_old_snapshot_is_given_up),
        T(test_an_aborted_restore_leaves_the_old_content),
    };

    return cmocka_run_group_tests_name("lmdb snapshots", tests, NULL, NULL);
}
