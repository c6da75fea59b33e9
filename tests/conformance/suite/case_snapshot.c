/* Snapshots: views of one index, whatever is written meanwhile. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "db.h"

enum { VIEWS = 40 };

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

static void fill_many(struct db *db, uint64_t batches)
{
    enum { AT_ONCE = 1000 };
    struct dkv_mutation *batch = xcalloc(AT_ONCE, sizeof(*batch));
    char(*keys)[24] = xcalloc(AT_ONCE, sizeof(*keys));

    for (uint64_t b = 0; b < batches; b++) {
        for (size_t i = 0; i < AT_ONCE; i++) {
            (void)snprintf(keys[i], sizeof(keys[i]), "many-%012" PRIu64, b * AT_ONCE + i);
            batch[i] = (struct dkv_mutation){
                .kind = DKV_PUT, .key = slice_of(keys[i]), .value = slice_of("value")};
        }
        CHECK_STATUS(db_apply(db, b + 1, batch, AT_ONCE), DKV_OK);
    }
    free(keys);
    free(batch);
}

/* The best of some: a busy machine makes one slow, not all. */
static void open_is_quick(void)
{
    uint64_t best = UINT64_MAX, batches = suite_amount(300);
    uint64_t bound_us = SUITE_SANITIZED ? 50000 : 5000;
    struct db db;

    db_open(&db);
    fill_many(&db, batches);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t started = now_us(), took;
        struct dkv_snapshot *snapshot = snapshot_open(&db);

        took = now_us() - started;
        best = took < best ? took : best;
        CHECK_STATUS(db_put(&db, batches + 1 + i, "k", "v"), DKV_OK);
        snapshot_close(snapshot);
    }
    suite_note("%" PRIu64 " keys, a snapshot opens in %" PRIu64 " us", batches * 1000, best);
    CHECK(best <= bound_us);
    db_close(&db);
}

static uint64_t memory_kb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total, resident = 0;

    if (file == NULL || fscanf(file, "%lu %lu", &total, &resident) != 2)
        suite_skip("/proc/self/statm is not readable here");
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
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

/* Either all of the view or DKV_ECANCELED, and the writer never stops. */
static void nobody_reads(void)
{
    struct model model = {.index = 0}, want = {.index = 0}, got;
    struct dkv_snapshot *snapshot;
    struct db db;
    int status;

    db_open(&db);
    db_run(&db, &model, suite.seed, 100);
    snapshot = snapshot_open(&db);
    got = (struct model){.index = snapshot->index};
    (void)snapshot_step(snapshot, 1, &got, &status);
    CHECK_STATUS(status, DKV_OK);
    db_run(&db, &model, suite.seed, 100 + suite_amount(1500));
    while (snapshot_step(snapshot, 4096, &got, &status))
        continue;
    snapshot_close(snapshot);
    if (status == DKV_OK) {
        model_sort(&got);
        workload_advance(&want, suite.seed, 100);
        model_expect_equal(&got, &want, "a snapshot that nobody read for a while");
    } else {
        CHECK_STATUS(status, DKV_ECANCELED);
    }
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
    {22, "a snapshot never changes, forty at once, closed in any order", stable_views,
     DKV_CAP_SNAPSHOT},
    {23, "a snapshot's index is that of its content", index_of_view, DKV_CAP_SNAPSHOT},
    {41, "a snapshot read on another thread while five times as much is written is exact",
     copy_while_writing, DKV_CAP_SNAPSHOT},
    {42, "a snapshot of many keys opens within 5 ms", open_is_quick, DKV_CAP_SNAPSHOT},
    {43, "a snapshot closed in the middle gives back what it held", left_in_the_middle,
     DKV_CAP_SNAPSHOT},
    {44, "a snapshot that nobody reads does not stop the writer", nobody_reads, DKV_CAP_SNAPSHOT},
    {45, "two snapshots are read at once", two_at_once, DKV_CAP_SNAPSHOT},
    {0, NULL, NULL, 0},
};
