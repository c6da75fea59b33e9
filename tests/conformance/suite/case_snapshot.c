/* Snapshots: views of one index, whatever is written meanwhile. */
#include <ftw.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "db.h"

enum { VIEWS = 100 };

struct view {
    struct dkv_snapshot *snapshot;
    uint64_t index;
};

static void expect_view(struct view *view)
{
    struct model got, want = {.index = 0};

    CHECK_EQ(view->snapshot->index, view->index);
    snapshot_collect(view->snapshot, &got);
    workload_advance(&want, suite.seed, view->index);
    model_expect_equal(&got, &want, "a snapshot that was open for long");
    model_clear(&got);
    model_clear(&want);
}

static void views_do_not_change(void)
{
    struct view views[VIEWS];
    struct model model = {.index = 0};
    struct rng rng;
    struct db db;

    rng_init(&rng, suite.seed);
    db_open(&db);
    for (size_t i = 0; i < VIEWS; i++) {
        db_run(&db, &model, suite.seed, i * 7 + 1);
        views[i] = (struct view){snapshot_open(&db), model.index};
    }
    db_run(&db, &model, suite.seed, VIEWS * 7 + 300);
    for (size_t left = VIEWS; left > 0; left--) {
        size_t at = rng_below(&rng, left);

        expect_view(&views[at]);
        views[at] = views[left - 1];
        db_run(&db, &model, suite.seed, model.index + 3);
    }
    db_expect_model(&db, &model);
    model_clear(&model);
    db_close(&db);
}

/* Deleted and put again, then deleted, all before anything had a chance to settle. */
static void views_see_a_key_come_and_go(void)
{
    static const char *const values[] = {"1", NULL, "3", NULL, NULL, "6"};
    enum { COUNT = sizeof(values) / sizeof(values[0]) };
    struct dkv_snapshot *snapshots[COUNT];
    struct model got;
    struct db db;

    db_open(&db);
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK_STATUS(values[i] == NULL ? db_delete(&db, i + 1, "k")
                                       : db_put(&db, i + 1, "k", values[i]),
                     DKV_OK);
        snapshots[i] = snapshot_open(&db);
    }
    for (unsigned i = COUNT; i-- > 0;) {
        snapshot_collect(snapshots[i], &got);
        CHECK_EQ(got.index, i + 1);
        CHECK_EQ(got.count, values[i] != NULL);
        CHECK(values[i] == NULL || slice_compare(got.pairs[0].value, slice_of(values[i])) == 0);
        model_clear(&got);
    }
    db_close(&db);
}

static void stable_views(void)
{
    views_see_a_key_come_and_go();
    db_forget();
    views_do_not_change();
}

static void index_of_view(void)
{
    struct model model = {.index = 0}, got;
    struct db db;

    db_open(&db);
    for (uint64_t i = 0; i < 60; i++) {
        struct dkv_snapshot *snapshot = snapshot_open(&db);

        CHECK_EQ(snapshot->index, db_applied(&db));
        if (i % 2 == 0)
            db_run(&db, &model, suite.seed, model.index + 1);
        snapshot_collect(snapshot, &got);
        CHECK_EQ(got.index, i % 2 == 0 ? model.index - 1 : model.index);
        model_clear(&got);
    }
    db_expect_model(&db, &model);
    model_clear(&model);
    db_close(&db);
}

/* Reads a snapshot on a thread of its own, as the daemon does. */
struct copier {
    pthread_t thread;
    struct dkv_snapshot *snapshot;
    struct model got;
};

static void *copy(void *context)
{
    struct copier *copier = context;

    snapshot_collect(copier->snapshot, &copier->got);
    return NULL;
}

static void copy_while_writing(void)
{
    uint64_t size = suite_amount(300);
    struct model model = {.index = 0}, want = {.index = 0};
    struct copier copier;
    struct db db;

    db_open(&db);
    db_run(&db, &model, suite.seed, size);
    copier.snapshot = snapshot_open(&db);
    CHECK_EQ((uint64_t)pthread_create(&copier.thread, NULL, copy, &copier), 0);
    db_run(&db, &model, suite.seed, 6 * size);
    (void)pthread_join(copier.thread, NULL);
    workload_advance(&want, suite.seed, size);
    model_expect_equal(&copier.got, &want, "a snapshot read while five times as much was written");
    db_restore(&db, &copier.got);
    db_expect_model(&db, &want);
    model_clear(&copier.got);
    model_clear(&want);
    model_clear(&model);
    db_close(&db);
}

static uint64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* How many of the batches there was time for: a store that is slow in itself gets fewer. */
static uint64_t fill_many(struct db *db, uint64_t batches)
{
    enum { AT_ONCE = 1000, ENOUGH_US = 3000000 };
    uint64_t begun = now_us(), done = 0;
    struct dkv_mutation *batch = xcalloc(AT_ONCE, sizeof(*batch));
    char(*keys)[24] = xcalloc(AT_ONCE, sizeof(*keys));

    for (uint64_t b = 0; b < batches && now_us() < begun + ENOUGH_US; b++) {
        for (size_t i = 0; i < AT_ONCE; i++) {
            (void)snprintf(keys[i], sizeof(keys[i]), "many-%012" PRIu64, b * AT_ONCE + i);
            batch[i] = (struct dkv_mutation){
                .kind = DKV_PUT, .key = slice_of(keys[i]), .value = slice_of("value")};
        }
        CHECK_STATUS(db_apply(db, b + 1, batch, AT_ONCE), DKV_OK);
        done++;
    }
    free(keys);
    free(batch);
    return done;
}

/* The best of some: a busy machine makes one slow, not all. */
static void open_quickly(struct db *db, uint64_t batches)
{
    uint64_t best = UINT64_MAX, bound_us = SUITE_SANITIZED ? 50000 : 5000;

    for (unsigned i = 0; i < 10; i++) {
        uint64_t started = now_us(), took;
        struct dkv_snapshot *snapshot = snapshot_open(db);

        took = now_us() - started;
        best = took < best ? took : best;
        CHECK_STATUS(db_put(db, batches + 1 + i, "k", "v"), DKV_OK);
        snapshot_close(snapshot);
    }
    suite_note("%" PRIu64 " keys, a snapshot opens in %" PRIu64 " us", batches * 1000, best);
    CHECK(best <= bound_us);
}

/* Reads a snapshot to its end, again and again, and keeps nothing. */
struct skimmer {
    pthread_t thread;
    struct dkv_snapshot *snapshot;
    atomic_bool is_done;
};

static int skim_one(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    (void)read;
    (void)key;
    (void)value;
    return 0;
}

static void *skim(void *context)
{
    struct skimmer *skimmer = context;
    const struct dkv_storage_ops *ops = skimmer->snapshot->store->ops;
    struct dkv_snapshot_read read = {.read = {.emit = skim_one}, .bytes_max = 256 << 10};

    while (!read.end)
        CHECK_STATUS(ops->snapshot_read(skimmer->snapshot, &read), DKV_OK);
    ops->snapshot_close(skimmer->snapshot);
    skimmer->is_done = true;
    return NULL;
}

static int compare_times(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* p99.9 of the time of one put, in microseconds, and no less than what a scheduler takes.  A store
 * that is slow in itself makes fewer. */
static uint64_t apply_p999(struct db *db, uint64_t *index)
{
    enum { PUTS = 5000, PUTS_MIN = 50, ENOUGH_US = 1000000, FLOOR_US = 200 };
    uint64_t *took = xcalloc(PUTS, sizeof(*took)), begun = now_us(), p999;
    size_t count = 0;
    char key[24];

    for (; count < PUTS_MIN || (count < PUTS && now_us() < begun + ENOUGH_US); count++) {
        uint64_t started;

        (void)snprintf(key, sizeof(key), "many-%012zu", count * 7);
        started = now_us();
        CHECK_STATUS(db_put(db, ++*index, key, "new"), DKV_OK);
        took[count] = now_us() - started;
    }
    qsort(took, count, sizeof(*took), compare_times);
    p999 = took[count - 1 - count / 1000];
    free(took);
    return p999 < FLOOR_US ? FLOOR_US : p999;
}

/* One of some tries is enough: on a busy machine anything may be slow. */
static void apply_is_not_slowed(struct db *db, uint64_t index)
{
    enum { TRIES = 8 };
    bool is_fine = false;

    for (unsigned i = 0; i < TRIES && !is_fine; i++) {
        uint64_t alone = apply_p999(db, &index), beside;
        struct skimmer skimmer = {.snapshot = snapshot_open(db)};
        bool was_done;

        CHECK_EQ((uint64_t)pthread_create(&skimmer.thread, NULL, skim, &skimmer), 0);
        beside = apply_p999(db, &index);
        was_done = skimmer.is_done;
        (void)pthread_join(skimmer.thread, NULL);
        suite_note("p99.9 of apply %" PRIu64 " us alone, %" PRIu64 " us beside a snapshot%s", alone,
                   beside, was_done ? " that ended before" : "");
        is_fine = beside <= 2 * alone;
    }
    CHECK(is_fine || SUITE_SANITIZED);
}

static void snapshot_of_many(void)
{
    uint64_t batches = suite_amount(suite_is_decorated() ? 100 : 1000);
    struct db db;

    db_open(&db);
    batches = fill_many(&db, batches);
    open_quickly(&db, batches);
    apply_is_not_slowed(&db, batches + 10);
    db_close(&db);
}

static void abandoned(struct db *db, struct model *model, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        struct dkv_snapshot *snapshot = snapshot_open(db);
        struct model part = {.index = 0};
        int status;

        db_run(db, model, suite.seed, model->index + 2);
        if (i % 3 != 0) {
            (void)snapshot_step(snapshot, i % 2 == 0 ? 1 : 20000, &part, &status);
            CHECK_STATUS(status, DKV_OK);
        }
        snapshot_close(snapshot);
        model_clear(&part);
    }
}

static void left_in_the_middle(void)
{
    struct model model = {.index = 0};
    uint64_t before;
    struct db db;

    db_open(&db);
    db_run(&db, &model, suite.seed, 200);
    abandoned(&db, &model, 100);
    before = memory_kb();
    abandoned(&db, &model, 400);
    if (!SUITE_SANITIZED && memory_kb() > before + 16384)
        suite_fail(__FILE__, __LINE__,
                   "400 abandoned snapshots took memory from %" PRIu64 " to %" PRIu64 " KiB",
                   before, memory_kb());
    db_expect_model(&db, &model);
    model_clear(&model);
    db_close(&db);
}

static uint64_t folder_kb;

static int add_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path;
    (void)ftw;
    folder_kb += type == FTW_F ? (uint64_t)st->st_blocks / 2 : 0;
    return 0;
}

/* Memory and files. */
static uint64_t space_kb(void)
{
    folder_kb = 0;
    (void)nftw(suite.folder, add_file, 16, FTW_PHYS);
    return folder_kb + (SUITE_SANITIZED ? 0 : memory_kb());
}

/* The time it took, in microseconds; it ends early when that is too long. */
static uint64_t write_for_a_while(struct db *db, struct model *model, uint64_t batches,
                                  uint64_t too_long_us)
{
    uint64_t started = now_us();

    for (uint64_t done = 0; done < batches && now_us() - started < too_long_us; done += 20)
        db_run(db, model, suite.seed, model->index + 20);
    return now_us() - started;
}

/* Some time in which a store with a limit for the age of snapshots reaches it. */
static void write_past_the_limit(struct db *db, struct model *model)
{
    enum { LIMIT_US = 1500000 };
    uint64_t until = now_us() + LIMIT_US;

    while (now_us() < until)
        db_run(db, model, suite.seed, model->index + 20);
}

/* Either all of the view, or DKV_ECANCELED, and then what it held is not held any more.  The writer
 * never stops. */
static void nobody_reads(void)
{
    enum { SLACK_KB = 24576, SLOWER = 10, FLOOR_US = 100000 };
    uint64_t batches = suite_amount(1500), before_kb, after_kb;
    uint64_t alone_us, beside_us, too_long_us;
    struct model model = {.index = 0}, want = {.index = 0}, got;
    struct dkv_snapshot *snapshot;
    struct db db;
    int status;

    db_open(&db);
    alone_us = write_for_a_while(&db, &model, batches, UINT64_MAX);
    too_long_us = SLOWER * (alone_us < FLOOR_US ? FLOOR_US : alone_us);
    snapshot = snapshot_open(&db);
    got = (struct model){.index = snapshot->index};
    (void)snapshot_step(snapshot, 1, &got, &status);
    CHECK_STATUS(status, DKV_OK);
    write_past_the_limit(&db, &model);
    before_kb = space_kb();
    beside_us = write_for_a_while(&db, &model, batches, too_long_us);
    after_kb = space_kb();
    while (snapshot_step(snapshot, 4096, &got, &status))
        continue;
    snapshot_close(snapshot);
    suite_note("a snapshot that nobody reads %s",
               status == DKV_ECANCELED ? "is given up" : "is kept");
    if (status == DKV_OK) {
        model_sort(&got);
        workload_advance(&want, suite.seed, got.index);
        model_expect_equal(&got, &want, "a snapshot that nobody read for a while");
        before_kb = space_kb(); /* what it held is used again */
        (void)write_for_a_while(&db, &model, 2 * batches, UINT64_MAX);
        after_kb = space_kb();
    } else {
        CHECK_STATUS(status, DKV_ECANCELED);
    }
    suite_note("%" PRIu64 " batches take %" PRIu64 " us alone, %" PRIu64
               " us beside it; then space goes from %" PRIu64 " to %" PRIu64 " KiB",
               batches, alone_us, beside_us, before_kb, after_kb);
    CHECK(after_kb < before_kb + SLACK_KB);
    CHECK(beside_us < too_long_us);
    db_expect_model(&db, &model);
    model_clear(&got);
    model_clear(&want);
    model_clear(&model);
    db_close(&db);
}

static void two_at_once(void)
{
    struct model model = {.index = 0}, parts[2] = {{.index = 0}}, want[2] = {{.index = 0}};
    struct dkv_snapshot *snapshots[2];
    bool is_more[2] = {true, true};
    struct db db;
    int status;

    db_open(&db);
    for (unsigned i = 0; i < 2; i++) {
        db_run(&db, &model, suite.seed, 50 * (i + 1));
        workload_advance(&want[i], suite.seed, model.index);
        snapshots[i] = snapshot_open(&db);
        parts[i].index = snapshots[i]->index;
    }
    while (is_more[0] || is_more[1]) {
        for (unsigned i = 0; i < 2; i++) {
            if (!is_more[i])
                continue;
            is_more[i] = snapshot_step(snapshots[i], 500 * (i + 1), &parts[i], &status);
            CHECK_STATUS(status, DKV_OK);
        }
        db_run(&db, &model, suite.seed, model.index + 1);
    }
    for (unsigned i = 0; i < 2; i++) {
        snapshot_close(snapshots[i]);
        model_sort(&parts[i]);
        model_expect_equal(&parts[i], &want[i], "one of two snapshots at once");
        model_clear(&parts[i]);
        model_clear(&want[i]);
    }
    model_clear(&model);
    db_close(&db);
}

const struct suite_case snapshot_cases[] = {
    {22, "a snapshot never changes, a hundred at once, closed in any order", stable_views,
     DKV_CAP_SNAPSHOT},
    {23, "a snapshot's index is that of its content", index_of_view, DKV_CAP_SNAPSHOT},
    {41, "a snapshot read on another thread while five times as much is written is exact",
     copy_while_writing, DKV_CAP_SNAPSHOT},
    {42, "a snapshot of a million keys opens within 5 ms, and reading it does not slow apply",
     snapshot_of_many, DKV_CAP_SNAPSHOT},
    {43, "a snapshot closed in the middle gives back what it held", left_in_the_middle,
     DKV_CAP_SNAPSHOT},
    {44, "a snapshot that nobody reads does not stop the writer, nor take space without end",
     nobody_reads, DKV_CAP_SNAPSHOT},
    {45, "two snapshots are read at once", two_at_once, DKV_CAP_SNAPSHOT},
    {0, NULL, NULL, 0},
};
