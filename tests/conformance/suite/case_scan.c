/* Scans: what they give, in which order, and page by page while the store changes. */
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "db.h"

struct walk {
    const struct model *model;
    size_t next, end; /* the pair that must come, and the one after the last */
    bool is_ordered;
    unsigned char *seen;
    uint64_t stop_after, count;
};

static int step(void *ctx, struct dkv_slice key, struct dkv_slice value)
{
    struct walk *walk = ctx;
    const struct model_pair *pair = model_find(walk->model, key);
    size_t at;

    if (pair == NULL)
        suite_fail(__FILE__, __LINE__, "the scan gave a key that is not there");
    at = (size_t)(pair - walk->model->pairs);
    CHECK(slice_compare(pair->value, value) == 0);
    if (walk->is_ordered && at != walk->next)
        suite_fail(__FILE__, __LINE__, "the scan gave pair %zu of the model, not %zu", at,
                   walk->next);
    CHECK(walk->seen[at] == 0);
    walk->seen[at] = 1;
    walk->next++;
    return ++walk->count == walk->stop_after;
}

static bool has_prefix(struct dkv_slice key, struct dkv_slice prefix)
{
    return key.len >= prefix.len &&
           slice_compare((struct dkv_slice){key.data, prefix.len}, prefix) == 0;
}

/* The scan of one range against the model; `stop` as emit() would say, 0 = never. */
static void expect_range(struct db *db, const struct model *model, const struct scan_range *range,
                         uint64_t stop)
{
    struct walk walk = {
        .model = model, .is_ordered = (db->store->caps & DKV_CAP_ORDERED) != 0, .stop_after = stop};
    uint64_t count = 0, most = range->limit;

    walk.seen = calloc(model->count + 1, 1);
    if (range->prefix.len != 0)
        walk.next = model_seek(model, range->prefix);
    while (range->after.len != 0 && walk.next < model->count &&
           slice_compare(model->pairs[walk.next].key, range->after) <= 0)
        walk.next++;
    for (size_t i = walk.next; i < model->count && has_prefix(model->pairs[i].key, range->prefix);
         i++)
        count++;
    if (stop != 0 && (most == 0 || stop < most))
        most = stop;
    if (most != 0 && most < count)
        count = most;
    CHECK_STATUS(read_scan(db->reader, db->home, range, step, &walk), DKV_OK);
    CHECK_EQ(walk.count, count);
    free(walk.seen);
}

static void full_scan(void)
{
    struct scan_range all = {.limit = 0};
    struct model model = {.index = 0};
    struct db db;

    db_open(&db);
    expect_range(&db, &model, &all, 0);
    db_run(&db, &model, suite.seed, 60);
    expect_range(&db, &model, &all, 0);
    db_run(&db, &model, suite.seed, 200);
    expect_range(&db, &model, &all, 0);
    model_clear(&model);
    db_close(&db);
}

static void fixed_ranges(struct db *db, const struct model *model)
{
    struct dkv_slice none = {NULL, 0}, dir = slice_of("dir/"), last = {"\xff\xff\xff\xff", 4};
    const struct scan_range ranges[] = {{dir, none, 0},
                                        {dir, none, 1},
                                        {dir, none, 5},
                                        {dir, slice_of("a"), 0},
                                        {dir, slice_of("dir/3/"), 0},
                                        {dir, slice_of("e"), 0},
                                        {slice_of("dir/3/"), dir, 0},
                                        {slice_of("absent"), none, 0},
                                        {{"\xff\xff", 2}, none, 0},
                                        {{"\0", 1}, none, 0},
                                        {none, last, 0},
                                        {none, {"\0", 1}, 3},
                                        {last, none, 0},
                                        {slice_of("pppp"), slice_of("pppppp"), 4},
                                        {none, none, UINT64_MAX},
                                        {slice_of("dir/3"), slice_of("dir/3"), 0}};

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        expect_range(db, model, &ranges[i], 0);
}

static void ranges(void)
{
    struct model model = {.index = 0};
    unsigned char bytes[2][MODEL_KEY_MAX];
    struct rng rng;
    struct db db;

    rng_init(&rng, suite.seed);
    db_open(&db);
    db_run(&db, &model, suite.seed, 150);
    fixed_ranges(&db, &model);
    for (uint64_t i = 0; i < suite_amount(300); i++) {
        struct scan_range range = {.limit = rng_below(&rng, 20)};

        if (rng_below(&rng, 3) != 0)
            range.after = workload_key((unsigned)rng_below(&rng, WORKLOAD_KEYS), bytes[0]);
        range.prefix = workload_key((unsigned)rng_below(&rng, WORKLOAD_KEYS), bytes[1]);
        range.prefix.len = rng_below(&rng, range.prefix.len + 1);
        expect_range(&db, &model, &range, rng_below(&rng, 8));
    }
    model_clear(&model);
    db_close(&db);
}

enum { PAGED_KEYS = 700 };

struct page {
    unsigned char seen[PAGED_KEYS];
    char last[16];
    size_t count;
};

static int page_step(void *ctx, struct dkv_slice key, struct dkv_slice value)
{
    struct page *page = ctx;
    char text[16];
    unsigned number;

    (void)value;
    CHECK(key.len < sizeof(text));
    memcpy(text, key.data, key.len);
    text[key.len] = '\0';
    if (key.len == strlen("page-00000") && sscanf(text, "page-%u", &number) == 1) {
        CHECK(number < PAGED_KEYS && page->seen[number] == 0);
        page->seen[number] = 1;
    }
    CHECK(strcmp(page->last, text) < 0);
    memcpy(page->last, text, sizeof(text));
    page->count++;
    return 0;
}

/* Rewrites every key, and makes and deletes others between them. */
static void rewrite(struct db *db, uint64_t index)
{
    struct dkv_mutation batch[50];
    char keys[50][24];
    unsigned from = (unsigned)(index * 37 % PAGED_KEYS);

    for (unsigned i = 0; i < 50; i++) {
        bool is_other = i % 5 == 0;

        (void)snprintf(keys[i], sizeof(keys[i]), is_other ? "page-%05u~" : "page-%05u",
                       (from + i) % PAGED_KEYS);
        batch[i] = (struct dkv_mutation){.kind = is_other && index % 2 == 0 ? DKV_DELETE : DKV_PUT,
                                         .key = slice_of(keys[i])};
        batch[i].value = batch[i].key;
    }
    CHECK_STATUS(db_apply(db, index, batch, 50), DKV_OK);
}

static void pages(void)
{
    struct page page = {.count = 0};
    struct scan_range range = {.limit = 16};
    uint64_t index = 0;
    struct db db;

    db_open(&db);
    for (unsigned i = 0; i < PAGED_KEYS; i++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "page-%05u", i);
        CHECK_STATUS(db_put(&db, ++index, key, key), DKV_OK);
    }
    do {
        page.count = 0;
        range.after = slice_of(page.last);
        CHECK_STATUS(read_scan(db.reader, db.home, &range, page_step, &page), DKV_OK);
        CHECK(page.count <= range.limit);
        rewrite(&db, ++index);
    } while (page.count != 0);
    for (unsigned i = 0; i < PAGED_KEYS; i++)
        CHECK(page.seen[i] == 1);
    db_close(&db);
}

const struct suite_case scan_cases[] = {
    {16, "a scan gives every key once, in order if the store says so", full_scan, DKV_CAP_SCAN},
    {17, "prefix, start, limit and an early stop give what the model gives", ranges,
     DKV_CAP_SCAN | DKV_CAP_ORDERED},
    {18, "page by page each key comes once, while all of them are written again", pages,
     DKV_CAP_SCAN | DKV_CAP_ORDERED},
    {0, NULL, NULL, 0},
};
