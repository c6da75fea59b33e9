/* Restores: new content beside the old, then in its place. */
#include <event2/event.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "db.h"

static struct model model_at(uint64_t seed, uint64_t index)
{
    struct model model = {.index = 0};

    workload_advance(&model, seed, index);
    return model;
}

static void old_content_is_gone(void)
{
    struct model first = model_at(suite.seed, 80), second = model_at(suite.seed + 1, 30);
    struct model none = {.index = 7000};
    struct db db;

    db_open(&db);
    db_restore(&db, &first);
    db_expect_model(&db, &first);
    db_restore(&db, &second); /* an older index, other keys */
    db_expect_model(&db, &second);
    db_run(&db, &second, suite.seed + 1, 90);
    db_expect_model(&db, &second);
    if ((suite.caps & DKV_CAP_DURABLE) != 0) {
        db_reopen(&db);
        db_expect_model(&db, &second);
    }
    db_restore(&db, &none);
    db_expect_model(&db, &none);
    CHECK_STATUS(db_put(&db, 7001, "k", "v"), DKV_OK);
    db_expect(&db, "k", "v");
    model_clear(&first);
    model_clear(&second);
    db_close(&db);
}

static void aborted(void)
{
    struct model first = model_at(suite.seed, 80), second = model_at(suite.seed + 1, 60);
    struct dkv_restore *restore;
    struct db db;

    db_open(&db);
    db_restore(&db, &first);
    for (unsigned quarter = 0; quarter <= 4; quarter++) {
        restore = restore_open(&db, 9000);
        restore_pairs(restore, &second, 0, second.count * quarter / 4);
        db_expect_model(&db, &first);
        restore_abort(restore);
        db_expect_model(&db, &first);
        db_run(&db, &first, suite.seed, first.index + 1);
    }
    db_restore(&db, &second);
    db_expect_model(&db, &second);
    model_clear(&first);
    model_clear(&second);
    db_close(&db);
}

static void refuse(struct db *db, const struct model *model, const struct dkv_mutation *wrong,
                   int want)
{
    struct dkv_mutation puts[2] = {
        {.kind = DKV_PUT, .key = slice_of("restored"), .value = slice_of("v")}, *wrong};
    struct dkv_restore *restore = restore_open(db, 9000);

    CHECK_STATUS(restore_write(restore, puts, 1), DKV_OK);
    CHECK_STATUS(restore_write(restore, puts, 2), want);
    restore_abort(restore);
    db_expect_model(db, model);
}

static void wrong_chunk(void)
{
    struct model model = model_at(suite.seed, 40);
    struct dkv_mutation wrong = {.kind = DKV_DELETE, .key = slice_of("k")};
    struct db db;

    db_open(&db);
    db_restore(&db, &model);
    refuse(&db, &model, &wrong, DKV_EINVAL);
    wrong = (struct dkv_mutation){.kind = DKV_PUT, .key = {"", 0}};
    refuse(&db, &model, &wrong, DKV_EINVAL);
    if (db.store->key_max != 0) {
        wrong.key = (struct dkv_slice){calloc(1, (size_t)db.store->key_max + 1),
                                       (size_t)db.store->key_max + 1};
        refuse(&db, &model, &wrong, DKV_ETOOBIG);
        free((void *)(uintptr_t)wrong.key.data);
    }
    model_clear(&model);
    db_close(&db);
    aborted();
}

/* To a plain storage and back: what one says another understands. */
static void transfer(void)
{
    struct model want = model_at(suite.seed, 120), first, second;
    struct db db, other;

    db_open(&db);
    db_open_other(&other, "memory");
    {
        struct model model = {.index = 0};

        db_run(&db, &model, suite.seed, 120);
        model_clear(&model);
    }
    snapshot_collect(snapshot_open(&db), &first);
    db_restore(&other, &first);
    db_expect_model(&other, &want);
    snapshot_collect(snapshot_open(&other), &second);
    model_expect_equal(&second, &want, "the snapshot of the other storage");
    db_restore(&db, &second);
    db_expect_model(&db, &want);
    db_run(&db, &want, suite.seed, 150);
    db_expect_model(&db, &want);
    model_clear(&first);
    model_clear(&second);
    model_clear(&want);
    db_close(&other);
    db_close(&db);
}

static void twice_the_same(void)
{
    struct model model = {.index = 0}, first, second;
    struct dkv_snapshot *snapshots[2];
    struct db db;

    db_open(&db);
    db_run(&db, &model, suite.seed, 100);
    snapshots[0] = snapshot_open(&db);
    snapshots[1] = snapshot_open(&db);
    snapshot_collect(snapshots[0], &first);
    snapshot_collect(snapshots[1], &second);
    model_expect_equal(&first, &second, "the second snapshot of one state");
    model_expect_equal(&first, &model, "the snapshot");
    model_clear(&first);
    model_clear(&second);
    model_clear(&model);
    db_close(&db);
}

enum { SHARED_KEYS = 50 };

struct onlooker {
    pthread_t thread;
    struct dkv_store *store;
    atomic_bool is_over;
    atomic_uint looks;
};

struct colours {
    char seen;
    unsigned count;
};

static int see_colour(void *ctx, struct dkv_slice key, struct dkv_slice value)
{
    struct colours *colours = ctx;
    char colour = *(const char *)value.data;

    (void)key;
    CHECK(colours->count == 0 || colours->seen == colour);
    colours->seen = colour;
    colours->count++;
    return 0;
}

static void *look_on(void *context)
{
    struct onlooker *o = context;
    struct event_base *base = event_base_new();
    struct dkv_error err = {0};
    struct dkv_reader *reader;

    CHECK_STATUS(o->store->ops->reader_open(o->store, base, &reader, &err), DKV_OK);
    while (!o->is_over) {
        struct colours colours = {.count = 0};
        struct scan_range all = {.limit = 0};

        CHECK_STATUS(read_scan(reader, base, &all, see_colour, &colours), DKV_OK);
        CHECK_EQ(colours.count, SHARED_KEYS);
        o->looks++;
    }
    o->store->ops->reader_close(reader);
    event_base_free(base);
    return NULL;
}

static struct model coloured(char colour, uint64_t index)
{
    struct model model = {.index = index};
    char key[16];

    for (unsigned i = 0; i < SHARED_KEYS; i++) {
        (void)snprintf(key, sizeof(key), "c%u-%c", i, i % 2 == 0 ? colour : 'x');
        model_append(&model, slice_of(key), (struct dkv_slice){&colour, 1});
    }
    model_sort(&model);
    return model;
}

/* Two looks end: the second has begun now. */
static void wait_for_a_look(struct onlooker *o)
{
    unsigned looks = o->looks;

    while (o->looks - looks < 2)
        sched_yield();
}

static void readers_meanwhile(void)
{
    struct model models[2] = {coloured('a', 1000), coloured('b', 500)}, got;
    struct onlooker o = {.store = NULL};
    struct dkv_snapshot *snapshot;
    struct db db;

    db_open(&db);
    o.store = db.store;
    db_restore(&db, &models[0]);
    snapshot = snapshot_open(&db);
    CHECK_EQ((uint64_t)pthread_create(&o.thread, NULL, look_on, &o), 0);
    for (uint64_t i = 1; i <= suite_amount(60); i++) {
        db_restore(&db, &models[i % 2]);
        wait_for_a_look(&o);
    }
    o.is_over = true;
    (void)pthread_join(o.thread, NULL);
    snapshot_collect(snapshot, &got);
    model_expect_equal(&got, &models[0], "a snapshot opened before the restores");
    model_clear(&got);
    model_clear(&models[0]);
    model_clear(&models[1]);
    db_close(&db);
}

static void round_trip(struct db *db, const struct model *model)
{
    struct model got;

    db_restore(db, model);
    snapshot_collect(snapshot_open(db), &got);
    model_expect_equal(&got, model, "what was restored");
    model_clear(&got);
}

static void extremes(void)
{
    struct dkv_mutation twice[2] = {
        {.kind = DKV_PUT, .key = slice_of("k"), .value = slice_of("first")},
        {.kind = DKV_PUT, .key = slice_of("k"), .value = slice_of("second")}};
    struct model none = {.index = 3}, big = {.index = UINT64_MAX - 1};
    struct dkv_slice value = {NULL, 4 << 20};
    struct dkv_restore *restore;
    struct db db;

    db_open(&db);
    round_trip(&db, &none);
    if (db.store->value_max != 0 && db.store->value_max < value.len)
        value.len = (size_t)db.store->value_max;
    value.data = calloc(1, value.len);
    model_put(&big, slice_of("big"), value);
    model_put(&big, slice_of("empty"), (struct dkv_slice){"", 0});
    round_trip(&db, &big);
    restore = restore_open(&db, 4);
    CHECK_STATUS(restore_write(restore, twice, 2), DKV_OK);
    twice[1].value = slice_of("third");
    CHECK_STATUS(restore_write(restore, twice + 1, 1), DKV_OK);
    CHECK_STATUS(restore_commit(restore), DKV_OK);
    db_expect(&db, "k", "third");
    db_expect(&db, "big", NULL);
    CHECK_EQ(db_applied(&db), 4);
    free((void *)(uintptr_t)value.data);
    model_clear(&big);
    db_close(&db);
}

const struct suite_case restore_cases[] = {
    {46, "a restore leaves nothing of the old content, be it older or newer", old_content_is_gone,
     0},
    {48, "a wrong chunk is refused, and an aborted restore leaves no trace", wrong_chunk, 0},
    {49, "a snapshot goes to another storage and back unchanged", transfer, DKV_CAP_SNAPSHOT},
    {50, "two snapshots of one state are equal", twice_the_same, DKV_CAP_SNAPSHOT},
    {51, "readers see the old or the new content of a restore, open snapshots keep theirs",
     readers_meanwhile, DKV_CAP_SCAN | DKV_CAP_SNAPSHOT},
    {52, "snapshots of nothing and of a big value are restored; of two puts the later counts",
     extremes, DKV_CAP_SNAPSHOT},
    {0, NULL, NULL, 0},
};
