/* What is particular to the lmdb plugin: overlay and file together, commits, limits.  What every
 * plugin must do is in the suite beside this. */
#include "lmdb_fixture.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_a_new_store_is_empty_at_index_zero(void **state)
{
    struct fixture *f = *state;

    store_reopen(f);
    assert_int_equal(applied_now(f), 0);
    assert_int_equal(sync_now(f), 0);
    assert_value(f, "a", NULL);
    assert_int_equal(f->store->key_max, 511);
}

static void test_a_write_is_visible_before_it_is_committed(void **state)
{
    struct fixture *f = *state;

    f->options.commit_interval_ms = 60000;
    store_reopen(f);
    assert_int_equal(put(f, 1, "a", "one", 3), DKV_OK);
    assert_int_equal(store_of(f->store)->committed, 0);
    assert_value(f, "a", "one");
}

static void test_a_deleted_key_stays_away_while_lmdb_still_has_it(void **state)
{
    struct fixture *f = *state;
    struct collected got = {.limit = 0};

    f->options.commit_interval_ms = 60000;
    store_reopen(f);
    assert_int_equal(put(f, 1, "a", "one", 3), DKV_OK);
    assert_int_equal(sync_now(f), 1);
    assert_int_equal(del(f, 2, "a"), DKV_OK);
    assert_value(f, "a", NULL);
    assert_int_equal(scan_into(f->reader, "", "", 0, &got), DKV_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(sync_now(f), 2);
    assert_value(f, "a", NULL);
}

static void test_within_a_batch_the_last_mutation_of_a_key_wins(void **state)
{
    struct fixture *f = *state;
    struct dkv_mutation batch[] = {
        {.kind = DKV_PUT, .key = {"a", 1}, .value = {"1", 1}},
        {.kind = DKV_DELETE, .key = {"a", 1}},
        {.kind = DKV_PUT, .key = {"a", 1}, .value = {"2", 1}},
        {.kind = DKV_PUT, .key = {"b", 1}, .value = {"3", 1}},
        {.kind = DKV_DELETE, .key = {"b", 1}},
    };

    store_reopen(f);
    assert_int_equal(apply_many(f, 1, batch, 5), DKV_OK);
    assert_value(f, "a", "2");
    assert_value(f, "b", NULL);
    store_reopen(f);
    assert_value(f, "a", "2");
    assert_value(f, "b", NULL);
}

static void test_an_index_that_was_applied_has_no_effect(void **state)
{
    struct fixture *f = *state;

    store_reopen(f);
    assert_int_equal(put(f, 5, "a", "one", 3), DKV_OK);
    assert_int_equal(put(f, 5, "a", "two", 3), DKV_OK);
    assert_int_equal(put(f, 4, "a", "two", 3), DKV_OK);
    assert_value(f, "a", "one");
    assert_int_equal(applied_now(f), 5);
}

static void test_a_batch_with_one_bad_mutation_has_no_effect(void **state)
{
    struct fixture *f = *state;
    char key[600];
    struct dkv_mutation batch[] = {
        {.kind = DKV_PUT, .key = {"a", 1}, .value = {"1", 1}},
        {.kind = DKV_PUT, .key = {key, 512}, .value = {"1", 1}},
    };

    memset(key, 'x', sizeof(key));
    store_reopen(f);
    assert_int_equal(apply_many(f, 1, batch, 2), DKV_ETOOBIG);
    batch[1].key.len = 0;
    assert_int_equal(apply_many(f, 1, batch, 2), DKV_EINVAL);
    assert_value(f, "a", NULL);
    assert_int_equal(applied_now(f), 0);
    batch[1].key.len = 511;
    assert_int_equal(apply_many(f, 1, batch, 2), DKV_OK);
    store_reopen(f);
    assert_value(f, "a", "1");
}

static void test_an_empty_batch_advances_the_index_over_a_restart(void **state)
{
    struct fixture *f = *state;

    store_reopen(f);
    assert_int_equal(apply_many(f, 7, NULL, 0), DKV_OK);
    assert_int_equal(applied_now(f), 7);
    store_reopen(f);
    assert_int_equal(applied_now(f), 7);
}

static void test_empty_and_big_values_come_back(void **state)
{
    struct fixture *f = *state;
    size_t size = 3 << 20, len;
    char *big = malloc(size), *got = malloc(size);

    assert_non_null(big);
    assert_non_null(got);
    for (size_t i = 0; i < size; i++)
        big[i] = (char)(i * 7 + i / 4096);
    store_reopen(f);
    assert_int_equal(put(f, 1, "empty", "", 0), DKV_OK);
    assert_int_equal(put(f, 2, "big", big, size), DKV_OK);
    for (int round = 0; round < 2; round++) {
        assert_value(f, "empty", "");
        assert_int_equal(get_from(f->reader, "big", got, size, &len), DKV_OK);
        assert_int_equal(len, size);
        assert_memory_equal(got, big, size);
        store_reopen(f);
    }
    free(big);
    free(got);
}

static void test_a_scan_merges_overlay_and_file_in_order(void **state)
{
    struct fixture *f = *state;
    struct collected got = {.limit = 0};

    f->options.commit_interval_ms = 60000;
    store_reopen(f);
    (void)put(f, 1, "a1", "x", 1);
    (void)put(f, 2, "a3", "x", 1);
    (void)put(f, 3, "a5", "x", 1);
    (void)put(f, 4, "b1", "x", 1);
    (void)sync_now(f);
    (void)put(f, 5, "a2", "y", 1);
    (void)put(f, 6, "a3", "y", 1);
    (void)del(f, 7, "a5");
    (void)put(f, 8, "a6", "y", 1);
    (void)put(f, 9, "a6", "z", 1);
    assert_int_equal(scan_into(f->reader, "", "", 0, &got), DKV_OK);
    assert_string_equal(got.text, "a1=x a2=y a3=y a6=z b1=x ");
    assert_int_equal(scan_into(f->reader, "a", "", 0, &got), DKV_OK);
    assert_string_equal(got.text, "a1=x a2=y a3=y a6=z ");
    assert_int_equal(scan_into(f->reader, "a", "a2", 2, &got), DKV_OK);
    assert_string_equal(got.text, "a3=y a6=z ");
    assert_int_equal(scan_into(f->reader, "a", "a1", 0, &got), DKV_OK);
    assert_string_equal(got.text, "a2=y a3=y a6=z ");
    assert_int_equal(scan_into(f->reader, "b", "a9", 0, &got), DKV_OK);
    assert_string_equal(got.text, "b1=x ");
    assert_int_equal(scan_into(f->reader, "c", "", 0, &got), DKV_OK);
    assert_string_equal(got.text, "");
    got.limit = 2;
    assert_int_equal(scan_into(f->reader, "", "", 0, &got), DKV_OK);
    assert_string_equal(got.text, "a1=x a2=y ");
}

static void test_random_batches_equal_the_model_at_every_step(void **state)
{
    struct fixture *f = *state;
    struct model model = {.seed = 42};

    f->options.commit_ops = 37;
    store_reopen(f);
    for (int i = 0; i < 4000; i++) {
        assert_int_equal(model_apply(f, &model), DKV_OK);
        if (i % 50 == 0)
            assert_is_model(f, &model);
        if (i % 700 == 0)
            assert_int_equal(sync_now(f), model.index);
        if (i % 900 == 0)
            store_reopen(f);
    }
    assert_is_model(f, &model);
    assert_int_equal(applied_now(f), model.index);
}

static void test_group_commit_reports_the_index_before_the_last_as_durable(void **state)
{
    struct fixture *f = *state;
    struct lmdb_store *store;

    f->options.commit_ops = 1;
    store_reopen(f);
    store = store_of(f->store);
    for (uint64_t index = 1; index <= 50; index++) {
        assert_int_equal(put(f, index, "a", "x", 1), DKV_OK);
        pthread_mutex_lock(&store->lock);
        assert_true(store->durable <= store->committed);
        assert_true(store->durable == 0 || store->durable < store->committed);
        pthread_mutex_unlock(&store->lock);
    }
    assert_int_equal(sync_now(f), 50);
}

static void test_sync_and_full_overlay_answer_on_the_home_loop(void **state)
{
    struct fixture *f = *state;
    struct model model = {.seed = 5};

    f->home = event_base_new();
    f->options.commit_interval_ms = 60000;
    f->options.commit_bytes = 64 << 10;
    f->options.overlay_max = 64 << 10;
    store_reopen(f);
    assert_true((f->store->caps & DKV_CAP_ASYNC) != 0);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(model_apply(f, &model), DKV_OK);
    assert_is_model(f, &model);
    assert_int_equal(sync_now(f), model.index);
}

struct pending_op {
    struct dkv_apply apply;
    struct dkv_mutation mutation;
    int *order;
    int position, status;
};

static void on_applied(struct dkv_op *op, int status)
{
    struct pending_op *pending = (struct pending_op *)op;

    pending->position = (*pending->order)++;
    pending->status = status;
}

static void test_close_cancels_what_waits_in_order(void **state)
{
    struct fixture *f = *state;
    struct pending_op ops[20] = {0};
    static char value[40 << 10];
    int order = 0, waiting = 0, next = 0;

    f->home = event_base_new();
    f->options.commit_interval_ms = 60000;
    f->options.commit_bytes = 64 << 10;
    f->options.overlay_max = 64 << 10;
    store_reopen(f);
    for (int i = 0; i < 20; i++) {
        ops[i].mutation = (struct dkv_mutation){
            .kind = DKV_PUT, .key = {"a", 1}, .value = {value, sizeof(value)}};
        ops[i].apply = (struct dkv_apply){.op = {.done = on_applied},
                                          .index = (uint64_t)i + 1,
                                          .mutations = &ops[i].mutation,
                                          .count = 1};
        ops[i].order = &order;
        ops[i].position = -1;
        if (f->store->ops->apply(f->store, &ops[i].apply) == DKV_PENDING)
            waiting++;
        assert_int_equal(order, 0);
    }
    assert_true(waiting > 0);
    store_shut(f);
    assert_int_equal(order, waiting);
    for (int i = 0; i < 20; i++)
        if (ops[i].position >= 0) {
            assert_int_equal(ops[i].position, next++);
            assert_int_equal(ops[i].status, DKV_ECANCELED);
        }
}

static void test_a_second_opener_is_refused_with_a_reason(void **state)
{
    struct fixture *f = *state;
    struct dkv_store *other = NULL;
    struct dkv_error err = {0};

    store_reopen(f);
    assert_int_equal(store_try_open(f, &other, &err), DKV_EUNAVAIL);
    assert_non_null(strstr(err.text, "in use"));
    assert_null(other);
    assert_int_equal(put(f, 1, "a", "x", 1), DKV_OK);
}

static void test_files_are_private(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"data.mdb", "lock.mdb", "dkv.lock"};
    char name[128];
    struct stat info;

    store_reopen(f);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof(name), "%s/%s", f->path, names[i]);
        assert_int_equal(stat(name, &info), 0);
        assert_int_equal(info.st_mode & 077, 0);
    }
}

static void test_missing_folders_are_made_and_a_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct dkv_store *store = NULL;
    struct dkv_error err = {0};
    char deep[128], wrong[160];

    (void)snprintf(deep, sizeof(deep), "%s/store/lmdb", f->path);
    f->options.path = deep;
    store_reopen(f);
    assert_int_equal(put(f, 1, "a", "x", 1), DKV_OK);
    store_shut(f);
    (void)snprintf(wrong, sizeof(wrong), "%s/data.mdb", deep);
    f->options.path = wrong;
    assert_int_equal(store_try_open(f, &store, &err), DKV_EINVAL);
    assert_non_null(strstr(err.text, "is not a directory"));
    f->options.path = "";
    assert_int_equal(store_try_open(f, &store, &err), DKV_EINVAL);
}

static void flip_in_file(const struct fixture *f, const char *needle)
{
    char name[128];
    static char bytes[1 << 20];
    size_t at, len = strlen(needle);
    ssize_t got;
    int fd, flips = 0;

    (void)snprintf(name, sizeof(name), "%s/data.mdb", f->path);
    fd = open(name, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    got = pread(fd, bytes, sizeof(bytes), 0);
    for (at = 0; at + len <= (size_t)got; at++)
        if (memcmp(bytes + at, needle, len) == 0) {
            bytes[at] ^= 1;
            assert_int_equal(pwrite(fd, bytes + at, 1, (off_t)at), 1);
            flips++;
        }
    (void)close(fd);
    assert_true(flips > 0);
}

static void test_a_flipped_bit_in_a_value_is_never_returned(void **state)
{
    struct fixture *f = *state;
    char got[64];
    size_t len;
    struct collected all = {.limit = 0};

    store_reopen(f);
    assert_int_equal(put(f, 1, "key", "the value that will be damaged", 30), DKV_OK);
    store_shut(f);
    flip_in_file(f, "the value that will be damaged");
    store_reopen(f);
    assert_int_equal(get_from(f->reader, "key", got, sizeof(got), &len), DKV_ECORRUPT);
    assert_int_equal(scan_into(f->reader, "", "", 0, &all), DKV_ECORRUPT);
    assert_int_equal(all.count, 0);
    assert_int_equal(f->errors_logged, 2);
}

static void test_a_file_that_was_cut_is_refused_if_pages_in_use_are_gone(void **state)
{
    struct fixture *f = *state;
    struct model model = {.seed = 9};
    struct dkv_store *store = NULL;
    struct dkv_error err = {0};
    struct stat info;
    char name[128];
    int refused = 0;

    store_reopen(f);
    for (int i = 0; i < 200; i++)
        (void)model_apply(f, &model);
    store_shut(f);
    (void)snprintf(name, sizeof(name), "%s/data.mdb", f->path);
    assert_int_equal(stat(name, &info), 0);
    for (off_t size = info.st_size - 4096; size >= 8192; size -= 4096) {
        assert_int_equal(truncate(name, size), 0);
        if (store_try_open(f, &store, &err) == DKV_ECORRUPT) {
            assert_non_null(strstr(err.text, "cut"));
            refused++;
            continue;
        }
        /* What was cut off was not in use. */
        assert_int_equal(refused, 0);
        store->ops->close(store);
        store_reopen(f);
        assert_is_model(f, &model);
        store_shut(f);
    }
    assert_true(refused > 0);
}

static void test_a_full_map_refuses_writes_serves_reads_and_recovers(void **state)
{
    struct fixture *f = *state;
    struct dkv_snapshot *pin;
    static char value[8192];
    uint64_t index = 1, refused;
    char name[16];
    int status = DKV_OK;

    f->options.map_size = 4 << 20;
    f->options.overlay_max = 1 << 20;
    f->options.commit_ops = 10;
    store_reopen(f);
    (void)put(f, 1, "kept", "here", 4);
    (void)sync_now(f);
    assert_int_equal(f->store->ops->snapshot_open(f->store, NULL, &pin), DKV_OK);
    while (status == DKV_OK && index < 20000) {
        index++;
        (void)snprintf(name, sizeof(name), "n%03llu", (unsigned long long)(index % 100));
        memset(value, (int)(index % 256), sizeof(value));
        status = put(f, index, name, value, sizeof(value));
        if (index % 100 == 0)
            usleep(1000);
    }
    assert_int_equal(status, DKV_ENOSPC);
    refused = index;
    assert_int_equal(applied_now(f), refused - 1);
    assert_value(f, "kept", "here");
    assert_true(f->errors_logged > 0);
    f->store->ops->snapshot_close(pin);
    for (int i = 0; i < 5000 && status == DKV_ENOSPC; i++) {
        status = put(f, refused, "after", "space", 5);
        usleep(1000);
    }
    assert_int_equal(status, DKV_OK);
    /* Pages that a commit frees are LMDB's to use only two commits later. */
    status = DKV_ENOSPC;
    for (int i = 0; i < 5000 && status == DKV_ENOSPC; i++) {
        status = sync_status(f, &index);
        usleep(1000);
    }
    assert_int_equal(status, DKV_OK);
    assert_int_equal(index, refused);
    store_reopen(f);
    assert_int_equal(applied_now(f), refused);
    assert_value(f, "after", "space");
    assert_value(f, "kept", "here");
}

/* As a later version would leave it: the same record with a higher format number. */
static void format_raise(const struct fixture *f)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta;
    MDB_val key = {5, (void *)(uintptr_t) "state"}, value;
    unsigned char record[64];

    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 3), 0);
    assert_int_equal(mdb_env_open(env, f->path, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", 0, &meta), 0);
    assert_int_equal(mdb_get(txn, meta, &key, &value), 0);
    assert_true(value.mv_size <= sizeof(record));
    memcpy(record, value.mv_data, value.mv_size);
    record[8]++;
    value.mv_data = record;
    assert_int_equal(mdb_put(txn, meta, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void test_a_newer_format_is_refused_with_both_versions(void **state)
{
    struct fixture *f = *state;
    struct dkv_store *store = NULL;
    struct dkv_error err = {0};

    store_reopen(f);
    (void)put(f, 1, "a", "x", 1);
    store_shut(f);
    format_raise(f);
    assert_int_equal(store_try_open(f, &store, &err), DKV_ENOTSUP);
    assert_non_null(strstr(err.text, "format 2"));
    assert_non_null(strstr(err.text, "up to 1"));
}

static void test_a_map_that_does_not_fit_gets_smaller_and_says_so(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, tight;
#ifdef DKV_SANITIZED
    skip(); /* its shadow needs the address space */
#endif

    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)8 << 30;
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    f->options.map_size = (uint64_t)1 << 40;
    store_reopen(f);
    assert_int_equal(f->warnings_logged, 1);
    assert_int_equal(put(f, 1, "a", "x", 1), DKV_OK);
    assert_int_equal(sync_now(f), 1);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
}

static void test_sync_always_is_durable_when_apply_returns(void **state)
{
    struct fixture *f = *state;

    f->options.sync = LMDB_SYNC_ALWAYS;
    store_reopen(f);
    assert_int_equal(put(f, 1, "a", "x", 1), DKV_OK);
    assert_int_equal(store_of(f->store)->durable, 1);
}

static size_t open_files(void)
{
    size_t count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_many_opens_and_closes_leak_nothing(void **state)
{
    struct fixture *f = *state;
    size_t before = open_files();
    struct dkv_reader *reader;
    struct dkv_error err;

    f->home = event_base_new();
    before = open_files();
    for (int i = 0; i < 200; i++) {
        store_reopen(f);
        (void)put(f, (uint64_t)i + 1, "a", "x", 1);
        store_shut(f);
    }
    store_reopen(f);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(f->store->ops->reader_open(f->store, NULL, &reader, &err), DKV_OK);
        f->store->ops->reader_close(reader);
    }
    store_shut(f);
    assert_int_equal(open_files(), before);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_new_store_is_empty_at_index_zero),
        T(test_a_write_is_visible_before_it_is_committed),
        T(test_a_deleted_key_stays_away_while_lmdb_still_has_it),
        T(test_within_a_batch_the_last_mutation_of_a_key_wins),
        T(test_an_index_that_was_applied_has_no_effect),
        T(test_a_batch_with_one_bad_mutation_has_no_effect),
        T(test_an_empty_batch_advances_the_index_over_a_restart),
        T(test_empty_and_big_values_come_back),
        T(test_a_scan_merges_overlay_and_file_in_order),
        T(test_random_batches_equal_the_model_at_every_step),
        T(test_group_commit_reports_the_index_before_the_last_as_durable),
        T(test_sync_and_full_overlay_answer_on_the_home_loop),
        T(test_close_cancels_what_waits_in_order),
        T(test_a_second_opener_is_refused_with_a_reason),
        T(test_files_are_private),
        T(test_missing_folders_are_made_and_a_file_is_refused),
        T(test_a_flipped_bit_in_a_value_is_never_returned),
        T(test_a_file_that_was_cut_is_refused_if_pages_in_use_are_gone),
        T(test_a_full_map_refuses_writes_serves_reads_and_recovers),
        T(test_a_newer_format_is_refused_with_both_versions),
        T(test_a_map_that_does_not_fit_gets_smaller_and_says_so),
        T(test_sync_always_is_durable_when_apply_returns),
        T(test_many_opens_and_closes_leak_nothing),
    };

    return cmocka_run_group_tests_name("lmdb", tests, NULL, NULL);
}
