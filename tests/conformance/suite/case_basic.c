/* What one thread sees that applies batches and reads. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/rng.h"
#include "db.h"

static struct dkv_mutation put_of(const char *key, const char *value)
{
    return (struct dkv_mutation){.kind = DKV_PUT, .key = slice_of(key), .value = slice_of(value)};
}

static struct dkv_mutation delete_of(const char *key)
{
    return (struct dkv_mutation){.kind = DKV_DELETE, .key = slice_of(key)};
}

static void empty_store(void)
{
    struct db db;
    struct model empty = {.index = 0};
    uint32_t known =
        DKV_CAP_DURABLE | DKV_CAP_SCAN | DKV_CAP_ORDERED | DKV_CAP_SNAPSHOT | DKV_CAP_ASYNC;
    const struct dkv_storage_ops *ops;

    db_open(&db);
    ops = db.store->ops;
    CHECK_EQ(db.store->caps & ~known, 0);
    CHECK((db.store->caps & DKV_CAP_ORDERED) == 0 || (db.store->caps & DKV_CAP_SCAN) != 0);
    CHECK((db.store->caps & DKV_CAP_SCAN) == 0 || ops->scan != NULL);
    CHECK((db.store->caps & DKV_CAP_SNAPSHOT) == 0 || ops->snapshot_open != NULL);
    CHECK((db.store->caps & DKV_CAP_DURABLE) == 0 || ops->sync != NULL);
    CHECK(db.reader->store == db.store);
    db_expect_model(&db, &empty);
    db_close(&db);
}

static void put_get_delete(void)
{
    struct db db;

    db_open(&db);
    db_expect(&db, "k", NULL);
    CHECK_STATUS(db_put(&db, 1, "k", "one"), DKV_OK);
    db_expect(&db, "k", "one");
    CHECK_STATUS(db_put(&db, 2, "k", "another"), DKV_OK);
    db_expect(&db, "k", "another");
    CHECK_STATUS(db_delete(&db, 3, "k"), DKV_OK);
    db_expect(&db, "k", NULL);
    CHECK_STATUS(db_put(&db, 4, "k", "again"), DKV_OK);
    db_expect(&db, "k", "again");
    CHECK_EQ(db_applied(&db), 4);
    db_close(&db);
}

struct wanted {
    const char *key;
    unsigned seen;
};

static int see(void *ctx, struct dkv_slice key, struct dkv_slice value)
{
    struct wanted *wanted = ctx;

    CHECK(slice_compare(key, slice_of(wanted->key)) == 0);
    CHECK(slice_compare(key, value) == 0);
    wanted->seen++;
    return 0;
}

static void many_gets(void)
{
    static const char *const keys[] = {"a", "b", "a", "absent", "c", "b", "gone", "c", "a"};
    enum { COUNT = sizeof(keys) / sizeof(keys[0]) };
    struct dkv_mutation puts[] = {put_of("a", "a"), put_of("b", "b"), put_of("c", "c"),
                                  put_of("gone", "x"), delete_of("gone")};
    struct wanted wanted[COUNT] = {{NULL, 0}};
    struct call calls[COUNT];
    struct db db;

    db_open(&db);
    CHECK_STATUS(db_apply(&db, 1, puts, 5), DKV_OK);
    for (size_t i = 0; i < COUNT; i++) {
        wanted[i].key = keys[i];
        call_init(&calls[i], see, &wanted[i]);
        calls[i].as.get.key = slice_of(keys[i]);
        call_returned(&calls[i], db.store, db.store->ops->get(db.reader, &calls[i].as.get));
    }
    for (size_t i = 0; i < COUNT; i++) {
        bool is_there = strlen(keys[i]) == 1;

        CHECK_STATUS(call_wait(&calls[i], db.home), is_there ? DKV_OK : DKV_ENOENT);
        CHECK_EQ(wanted[i].seen, is_there);
    }
    db_close(&db);
}

static void key_lengths(void)
{
    struct db db;
    struct dkv_slice empty = {"", 0}, key, value = {"v", 1};
    struct dkv_mutation batch[2] = {put_of("before", "v")};
    char *bytes;

    db_open(&db);
    CHECK_STATUS(db_put(&db, 1, "k", ""), DKV_OK);
    db_expect(&db, "k", "");
    batch[1] = (struct dkv_mutation){.kind = DKV_PUT, .key = empty, .value = value};
    CHECK_STATUS(db_apply(&db, 2, batch, 2), DKV_EINVAL);
    batch[1].kind = DKV_DELETE;
    CHECK_STATUS(db_apply(&db, 2, batch, 2), DKV_EINVAL);
    CHECK_STATUS(read_get(db.reader, db.home, empty, NULL, NULL), DKV_ENOENT);
    if (db.store->key_max != 0) {
        bytes = xmalloc((size_t)db.store->key_max + 1);
        memset(bytes, 'x', (size_t)db.store->key_max + 1);
        key = (struct dkv_slice){bytes, db.store->key_max};
        batch[1] = (struct dkv_mutation){.kind = DKV_PUT, .key = {bytes, key.len + 1}};
        CHECK_STATUS(db_apply(&db, 2, batch, 2), DKV_ETOOBIG);
        db_expect(&db, "before", NULL);
        CHECK_EQ(db_applied(&db), 1);
        CHECK_STATUS(read_get(db.reader, db.home, batch[1].key, NULL, NULL), DKV_ENOENT);
        batch[1] = (struct dkv_mutation){.kind = DKV_PUT, .key = key, .value = value};
        CHECK_STATUS(db_apply(&db, 2, batch, 2), DKV_OK);
        db_expect_pair(&db, key, &value);
        free(bytes);
    }
    db_close(&db);
}

/* Zeroes that take no memory, readable to the last byte. */
static void *zeroes(size_t len)
{
    void *at = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        suite_skip("no address space for a value of %zu bytes", len);
    return at;
}

static void value_lengths(void)
{
    enum { BIG = 16 << 20 };
    struct db db;
    struct dkv_slice value = {NULL, BIG};
    struct dkv_mutation batch[2] = {put_of("before", "v"), put_of("big", "")};

    db_open(&db);
    if (db.store->value_max != 0 && db.store->value_max < BIG)
        value.len = (size_t)db.store->value_max;
    value.data = zeroes((size_t)(db.store->value_max < BIG ? BIG : db.store->value_max) + 1);
    if (db.store->value_max != 0) {
        batch[1].value = (struct dkv_slice){value.data, (size_t)db.store->value_max + 1};
        CHECK_STATUS(db_apply(&db, 1, batch, 2), DKV_ETOOBIG);
        CHECK_EQ(db_applied(&db), 0);
        db_expect(&db, "before", NULL);
        db_expect(&db, "big", NULL);
    }
    batch[1].value = value;
    CHECK_STATUS(db_apply(&db, 1, batch, 2), DKV_OK);
    db_expect_pair(&db, slice_of("big"), &value);
    CHECK_STATUS(db_put(&db, 2, "big", "small"), DKV_OK);
    db_expect(&db, "big", "small");
    db_close(&db);
}

static void binary_keys(void)
{
    static const struct dkv_slice keys[] = {
        {"\0", 1},       {"\0\0", 2},     {"\0\0\0\0\0\0\0\0\0", 9},
        {"a", 1},        {"a\0", 2},      {"a\0b", 3},
        {"ab", 2},       {"\xff", 1},     {"\xff\0", 2},
        {"\xff\xff", 2}, {"12345678", 8}, {"123456789", 9},
        {"\x7f", 1},     {"\x80", 1}};
    enum { COUNT = sizeof(keys) / sizeof(keys[0]) };
    struct dkv_mutation mutations[COUNT];
    struct model model = {.index = 0};
    struct db db;

    db_open(&db);
    for (size_t i = 0; i < COUNT; i++)
        mutations[i] = (struct dkv_mutation){.kind = DKV_PUT, .key = keys[i], .value = keys[i]};
    CHECK_STATUS(db_apply(&db, 1, mutations, COUNT), DKV_OK);
    model_apply(&model, 1, mutations, COUNT);
    CHECK_EQ(model.count, COUNT);
    db_expect_model(&db, &model);
    for (size_t i = 0; i < COUNT; i++)
        mutations[i].kind = i % 2 == 0 ? DKV_DELETE : DKV_PUT;
    CHECK_STATUS(db_apply(&db, 2, mutations, COUNT), DKV_OK);
    model_apply(&model, 2, mutations, COUNT);
    db_expect_model(&db, &model);
    model_clear(&model);
    db_close(&db);
}

static void twice_in_a_batch(void)
{
    struct dkv_mutation batch[] = {
        put_of("twice", "1"),      put_of("twice", "2"),  put_of("again", "1"),
        delete_of("again"),        put_of("again", "3"),  put_of("gone", "1"),
        put_of("gone", "2"),       delete_of("gone"),     delete_of("old"),
        put_of("old", "replaced"), delete_of("old-gone"), delete_of("old-gone")};
    struct db db;

    db_open(&db);
    CHECK_STATUS(db_put(&db, 1, "old", "1"), DKV_OK);
    CHECK_STATUS(db_put(&db, 2, "old-gone", "1"), DKV_OK);
    CHECK_STATUS(db_apply(&db, 3, batch, sizeof(batch) / sizeof(batch[0])), DKV_OK);
    db_expect(&db, "twice", "2");
    db_expect(&db, "again", "3");
    db_expect(&db, "gone", NULL);
    db_expect(&db, "old", "replaced");
    db_expect(&db, "old-gone", NULL);
    db_close(&db);
}

static void delete_of_nothing(void)
{
    struct model model = {.index = 0};
    struct dkv_mutation put = put_of("k", "v"), del = delete_of("absent");
    struct db db;

    db_open(&db);
    CHECK_STATUS(db_apply(&db, 1, &del, 1), DKV_OK);
    model.index = 1;
    db_expect_model(&db, &model);
    CHECK_STATUS(db_apply(&db, 2, &put, 1), DKV_OK);
    model_apply(&model, 2, &put, 1);
    CHECK_STATUS(db_apply(&db, 3, &del, 1), DKV_OK);
    model.index = 3;
    db_expect_model(&db, &model);
    model_clear(&model);
    db_close(&db);
}

static void hidden_index(void)
{
    struct model model = {.index = 0};
    struct dkv_mutation put = put_of("k", "v");
    struct db db;

    db_open(&db);
    CHECK_STATUS(db_apply(&db, 41, NULL, 0), DKV_OK);
    model.index = 41;
    db_expect_model(&db, &model);
    CHECK_STATUS(db_apply(&db, 42, &put, 1), DKV_OK);
    model_apply(&model, 42, &put, 1);
    if ((suite.caps & DKV_CAP_DURABLE) != 0)
        db_reopen(&db);
    db_expect_model(&db, &model);
    model_clear(&model);
    db_close(&db);
}

static void empty_batch(void)
{
    struct db db;

    db_open(&db);
    CHECK_STATUS(db_put(&db, 1, "k", "v"), DKV_OK);
    CHECK_STATUS(db_apply(&db, 2, NULL, 0), DKV_OK);
    CHECK_EQ(db_applied(&db), 2);
    db_expect(&db, "k", "v");
    db_close(&db);
}

static void gaps_and_nonsense(void)
{
    struct dkv_mutation batch[2] = {put_of("good", "v"), {.kind = 7, .key = {"bad", 3}}};
    struct db db;

    db_open(&db);
    CHECK_STATUS(db_put(&db, 5, "a", "1"), DKV_OK);
    CHECK_STATUS(db_put(&db, 5000000000u, "b", "2"), DKV_OK);
    CHECK_EQ(db_applied(&db), 5000000000u);
    CHECK_STATUS(db_apply(&db, 5000000001u, batch, 2), DKV_EINVAL);
    CHECK_EQ(db_applied(&db), 5000000000u);
    db_expect(&db, "good", NULL);
    db_expect(&db, "a", "1");
    db_expect(&db, "b", "2");
    CHECK_STATUS(db_put(&db, UINT64_MAX - 1, "c", "3"), DKV_OK);
    CHECK_EQ(db_applied(&db), UINT64_MAX - 1);
    db_close(&db);
}

static void repeated_batch(void)
{
    struct db db;

    db_open(&db);
    CHECK_STATUS(db_put(&db, 6, "gone", "1"), DKV_OK);
    CHECK_STATUS(db_put(&db, 7, "k", "1"), DKV_OK);
    CHECK_STATUS(db_put(&db, 7, "k", "2"), DKV_OK);
    db_expect(&db, "k", "1");
    CHECK_STATUS(db_delete(&db, 8, "gone"), DKV_OK);
    CHECK_STATUS(db_put(&db, 6, "gone", "1"), DKV_OK);
    CHECK_STATUS(db_delete(&db, 1, "k"), DKV_OK);
    CHECK_STATUS(db_put(&db, 0, "never", "1"), DKV_OK);
    db_expect(&db, "gone", NULL);
    db_expect(&db, "k", "1");
    db_expect(&db, "never", NULL);
    CHECK_EQ(db_applied(&db), 8);
    db_close(&db);
}

static void big_batch(void)
{
    enum { COUNT = 20000, VALUE = 400 };
    struct dkv_mutation *batch = xcalloc(COUNT, sizeof(*batch));
    struct model model = {.index = 0};
    char(*keys)[16] = xcalloc(COUNT, sizeof(*keys));
    char value[VALUE];
    struct db db;

    db_open(&db);
    memset(value, 'v', sizeof(value));
    for (size_t i = 0; i < COUNT; i++) {
        int len = snprintf(keys[i], sizeof(keys[i]), "key-%06zu", i);

        batch[i] = (struct dkv_mutation){
            .kind = DKV_PUT, .key = {keys[i], (size_t)len}, .value = {value, i % VALUE}};
        model_append(&model, batch[i].key, batch[i].value);
    }
    CHECK_STATUS(db_apply(&db, 1, batch, COUNT), DKV_OK);
    model.index = 1;
    for (size_t i = 0; i < COUNT; i += 997)
        db_expect_pair(&db, model.pairs[i].key, &model.pairs[i].value);
    CHECK_EQ(db_applied(&db), 1);
    db_expect_pair(&db, model.pairs[COUNT - 1].key, &model.pairs[COUNT - 1].value);
    model_clear(&model);
    free(keys);
    free(batch);
    db_close(&db);
}

static void random_batches(void)
{
    uint64_t batches = suite_amount(3000), checks = suite.is_long ? 60 : 12;
    struct model model = {.index = 0};
    struct db db;

    suite_note("%llu batches, seed %llu", (unsigned long long)batches,
               (unsigned long long)suite.seed);
    db_open(&db);
    for (uint64_t i = 1; i <= checks; i++) {
        db_run(&db, &model, suite.seed, batches * i / checks);
        db_expect_model(&db, &model);
    }
    model_clear(&model);
    db_close(&db);
}

/* The same changes, `size` to a batch, in an order of keys that the seed decides. */
static void build(struct model *model_out, size_t size, uint64_t seed)
{
    enum { COUNT = 1200 };
    struct dkv_mutation batch[256];
    unsigned char bytes[256][MODEL_KEY_MAX];
    unsigned order[COUNT];
    uint64_t index = 0;
    struct rng rng;
    struct db db;

    rng_init(&rng, seed);
    for (unsigned i = 0; i < COUNT; i++) {
        unsigned other = (unsigned)rng_below(&rng, i + 1);

        order[i] = order[other];
        order[other] = i;
    }
    db_open(&db);
    for (size_t at = 0; at < COUNT;) {
        size_t count = 0;

        for (; count < size && at < COUNT; count++, at++) {
            batch[count] = (struct dkv_mutation){.kind = order[at] % 5 == 0 ? DKV_DELETE : DKV_PUT,
                                                 .key = workload_key(order[at], bytes[count])};
            batch[count].value = batch[count].key;
        }
        CHECK_STATUS(db_apply(&db, ++index, batch, count), DKV_OK);
    }
    CHECK_STATUS(db_apply(&db, 100000, NULL, 0), DKV_OK);
    snapshot_collect(snapshot_open(&db), model_out);
    db_close(&db);
}

static void order_does_not_matter(void)
{
    static const size_t sizes[] = {7, 64, 256};
    struct model first, next;

    build(&first, 100, 1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        db_forget();
        build(&next, sizes[i], i + 2);
        model_expect_equal(&next, &first, "the content in other batches");
        model_clear(&next);
    }
    model_clear(&first);
}

const struct suite_case basic_cases[] = {
    {1, "an empty store is at index 0 and offers what it says", empty_store, 0},
    {2, "put, get, overwrite, delete, get", put_get_delete, 0},
    {3, "many gets at once are each answered once, with their own key", many_gets, 0},
    {4, "the longest key is kept, a longer and an empty one are refused without effect",
     key_lengths, 0},
    {5, "the longest value is kept, a longer one is refused without effect", value_lengths, 0},
    {6, "keys are bytes: zeroes, 0xff, prefixes of each other", binary_keys, 0},
    {7, "of one key twice in a batch the last counts", twice_in_a_batch, 0},
    {8, "a delete of an absent key changes nothing but the index", delete_of_nothing, 0},
    {9, "the stored index is not among the keys", hidden_index, 0},
    {10, "an empty batch advances the index", empty_batch, 0},
    {11, "indexes may have gaps; nonsense in a batch refuses all of it", gaps_and_nonsense, 0},
    {12, "a batch at or below the applied index has no effect", repeated_batch, 0},
    {13, "a batch of 20000 changes and 4 MB is applied as one", big_batch, 0},
    {14, "random batches equal the model", random_batches, 0},
    {15, "the content depends neither on order nor on the bounds of batches", order_does_not_matter,
     DKV_CAP_SNAPSHOT},
    {0, NULL, NULL, 0},
};
