/* Readers on threads of their own while the home thread applies, generations are committed and
 * retired, and snapshots are read: no lost key, no half batch, no step back.  Meant for TSan too. */
#include "lmdb_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUP   16
#define READERS 4
#ifdef DKV_SANITIZED
#define BATCHES 3000
#else
#define BATCHES 8000
#endif
#define READS_MIN 1000

struct stress {
    struct fixture *f;
    bool has_own_keys;
    atomic_bool stop;
    atomic_ulong reads;
    _Atomic uint64_t applied; /* stored after apply() returned */
};

struct group_scan {
    struct dkv_scan scan;
    unsigned count;
    uint64_t number; /* of the first key seen */
    bool torn;
};

static uint64_t number_of(struct dkv_slice value)
{
    uint64_t number;

    memcpy(&number, value.data, sizeof(number));
    return number;
}

static int see(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct group_scan *group = (struct group_scan *)read;

    (void)key;
    if (group->count++ == 0)
        group->number = number_of(value);
    group->torn |= number_of(value) != group->number;
    return 0;
}

/* Every batch also writes a key of its own.  That of a generation just retired is the one that is
 * lost if overlay and view do not belong together. */
static void own_key_check(struct dkv_reader *reader, uint64_t index)
{
    uint64_t number = 0;
    char name[16];
    size_t len;

    (void)snprintf(name, sizeof(name), "own%07u", (unsigned)index);
    assert_int_equal(get_from(reader, name, &number, sizeof(number), &len), DKV_OK);
    assert_int_equal(number, index);
}

/* Each batch writes all of the group with its index, or deletes all of it. */
static uint64_t group_check(struct dkv_reader *reader)
{
    struct group_scan group = {
        .scan = {.read = {.emit = see}, .prefix = {"g", 1}, .after = {"", 0}}};

    assert_int_equal(reader->store->ops->scan(reader, &group.scan), DKV_OK);
    assert_false(group.torn);
    assert_true(group.count == 0 || group.count == GROUP);
    return group.number;
}

static void *reader_main(void *context)
{
    struct stress *stress = context;
    struct dkv_reader *reader;
    struct dkv_error err;
    uint64_t newest = 0, newest_group = 0, number, floor, back = 0;
    size_t len;

    assert_int_equal(stress->f->store->ops->reader_open(stress->f->store, NULL, &reader, &err),
                     DKV_OK);
    while (!atomic_load(&stress->stop)) {
        floor = atomic_load(&stress->applied);
        assert_int_equal(get_from(reader, "counter", &number, sizeof(number), &len), DKV_OK);
        assert_true(number >= newest && number >= floor);
        newest = number;
        back = (back + 7) % 60;
        if (stress->has_own_keys && floor > back)
            own_key_check(reader, floor - back);
        number = group_check(reader);
        assert_true(number == 0 || number >= newest_group);
        if (number != 0)
            newest_group = number;
        atomic_fetch_add(&stress->reads, 1);
    }
    stress->f->store->ops->reader_close(reader);
    return NULL;
}

struct snapshot_job {
    struct dkv_snapshot *snapshot;
    pthread_t thread;
    bool running;
};

struct snapshot_see {
    struct dkv_snapshot_read read;
    uint64_t counter;
    unsigned count;
    uint64_t group;
    uint64_t own; /* keys own1, own2, ... without a gap */
};

static int see_snapshot(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct snapshot_see *seen = (struct snapshot_see *)read;

    if (((const char *)key.data)[0] == 'c') {
        seen->counter = number_of(value);
        return 0;
    }
    if (((const char *)key.data)[0] == 'o') {
        assert_int_equal(number_of(value), ++seen->own);
        return 0;
    }
    assert_true(seen->count == 0 || seen->group == number_of(value));
    seen->group = number_of(value);
    seen->count++;
    return 0;
}

static void *snapshot_main(void *context)
{
    struct snapshot_job *job = context;
    const struct dkv_storage_ops *ops = job->snapshot->store->ops;
    struct snapshot_see seen = {.read = {.read = {.emit = see_snapshot}, .bytes_max = 40}};

    while (!seen.read.end)
        assert_int_equal(ops->snapshot_read(job->snapshot, &seen.read), DKV_OK);
    assert_int_equal(seen.counter, job->snapshot->index);
    assert_int_equal(seen.own, job->snapshot->index);
    assert_true(seen.count == 0 || (seen.count == GROUP && seen.group <= seen.counter));
    ops->snapshot_close(job->snapshot);
    return NULL;
}

static void batch_apply(struct fixture *f, uint64_t index)
{
    static char names[GROUP][4], own[16];
    struct dkv_mutation batch[GROUP + 2];
    bool deletes = index % 7 == 0;

    for (unsigned i = 0; i < GROUP; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "g%02u", i);
        batch[i] = (struct dkv_mutation){.kind = deletes ? DKV_DELETE : DKV_PUT,
                                         .key = {names[i], 3},
                                         .value = {&index, sizeof(index)}};
    }
    batch[GROUP] = (struct dkv_mutation){
        .kind = DKV_PUT, .key = {"counter", 7}, .value = {&index, sizeof(index)}};
    (void)snprintf(own, sizeof(own), "own%07u", (unsigned)index);
    batch[GROUP + 1] =
        (struct dkv_mutation){.kind = DKV_PUT, .key = {own, 10}, .value = {&index, sizeof(index)}};
    assert_int_equal(apply_many(f, index, batch, GROUP + 2), DKV_OK);
}

/* A busy machine may give the readers little of a short test: they are waited for. */
static void readers_get_their_turn(uint64_t index)
{
    if (index < BATCHES)
        return;
    assert_true(index < 40 * (uint64_t)BATCHES);
    (void)usleep(100);
}

static bool has_read_enough(const struct stress *stress)
{
    return atomic_load(&stress->reads) >= READS_MIN;
}

static void test_readers_and_snapshots_see_whole_batches_only(void **state)
{
    struct stress stress = {.f = *state, .has_own_keys = true};
    struct fixture *f = *state;
    struct snapshot_job job = {.running = false};
    pthread_t threads[READERS];

    f->options.commit_ops = 40;
    f->options.commit_interval_ms = 5;
    store_reopen(f);
    batch_apply(f, 1);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &stress), 0);
    for (uint64_t index = 2; index < BATCHES || !has_read_enough(&stress); index++) {
        readers_get_their_turn(index);
        batch_apply(f, index);
        atomic_store(&stress.applied, index);
        if (index % 500 != 0)
            continue;
        if (job.running)
            (void)pthread_join(job.thread, NULL);
        assert_int_equal(f->store->ops->snapshot_open(f->store, NULL, &job.snapshot), DKV_OK);
        assert_int_equal(job.snapshot->index, index);
        job.running = pthread_create(&job.thread, NULL, snapshot_main, &job) == 0;
        assert_true(job.running);
    }
    atomic_store(&stress.stop, true);
    for (int i = 0; i < READERS; i++)
        (void)pthread_join(threads[i], NULL);
    if (job.running)
        (void)pthread_join(job.thread, NULL);
}

static void restore_group(struct fixture *f, uint64_t index)
{
    const struct dkv_storage_ops *ops = f->store->ops;
    struct dkv_restore *restore;
    struct dkv_mutation puts[GROUP + 1];
    struct dkv_restore_write write = {.puts = puts, .count = GROUP + 1};
    char names[GROUP][4];
    struct dkv_op op = {0};

    for (unsigned i = 0; i < GROUP; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "g%02u", i);
        puts[i] = (struct dkv_mutation){
            .kind = DKV_PUT, .key = {names[i], 3}, .value = {&index, sizeof(index)}};
    }
    puts[GROUP] = (struct dkv_mutation){
        .kind = DKV_PUT, .key = {"counter", 7}, .value = {&index, sizeof(index)}};
    assert_int_equal(ops->restore_open(f->store, index, &restore), DKV_OK);
    assert_int_equal(ops->restore_write(restore, &write), DKV_OK);
    assert_int_equal(ops->restore_commit(restore, &op), DKV_OK);
}

static void test_readers_see_old_or_new_content_while_it_is_restored(void **state)
{
    struct stress stress = {.f = *state};
    struct fixture *f = *state;
    pthread_t threads[READERS];
    uint64_t index = 1;

    f->options.commit_ops = 40;
    f->options.commit_interval_ms = 1;
    store_reopen(f);
    batch_apply(f, index);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &stress), 0);
    for (int round = 0; round < 40 || !has_read_enough(&stress); round++) {
        for (int i = 0; i < 30; i++)
            batch_apply(f, ++index);
        index += 10;
        readers_get_their_turn(index);
        restore_group(f, index);
        atomic_store(&stress.applied, index);
    }
    atomic_store(&stress.stop, true);
    for (int i = 0; i < READERS; i++)
        (void)pthread_join(threads[i], NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_readers_and_snapshots_see_whole_batches_only),
        T(test_readers_see_old_or_new_content_while_it_is_restored),
    };

    (void)setenv("DKV_LMDB_PAUSE_AT", "pairing", 1);
    return cmocka_run_group_tests_name("lmdb threads", tests, NULL, NULL);
}
