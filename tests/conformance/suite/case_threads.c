/* Readers on threads of their own while the home thread applies. */
#include <event2/event.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/rng.h"
#include "db.h"

enum { READERS = 8, GROUP = 16, VALUE_BYTES = 64, LONG_SECONDS = 60 };

struct stage {
    struct dkv_store *store;
    atomic_bool is_over;
    atomic_uint ready;
    _Atomic uint64_t published; /* the number whose apply() has succeeded */
    void (*turn)(struct stage *stage, struct dkv_reader *reader, struct event_base *base,
                 struct rng *rng);
};

struct worker {
    pthread_t thread;
    struct stage *stage;
    uint64_t seed;
};

/* A value that carries its number and shows whether it is whole. */
static void value_make(uint64_t number, unsigned char bytes_out[VALUE_BYTES])
{
    memcpy(bytes_out, &number, sizeof(number));
    memset(bytes_out + sizeof(number), (int)(number % 251), VALUE_BYTES - sizeof(number));
}

static uint64_t value_number(struct dkv_slice value)
{
    unsigned char whole[VALUE_BYTES];
    uint64_t number;

    CHECK_EQ(value.len, VALUE_BYTES);
    memcpy(&number, value.data, sizeof(number));
    value_make(number, whole);
    CHECK(memcmp(whole, value.data, VALUE_BYTES) == 0);
    return number;
}

static void *worker_main(void *context)
{
    struct worker *worker = context;
    struct stage *stage = worker->stage;
    struct event_base *base = event_base_new();
    struct dkv_error err = {0};
    struct dkv_reader *reader;
    struct rng rng;

    rng_init(&rng, worker->seed);
    CHECK_STATUS(stage->store->ops->reader_open(stage->store, base, &reader, &err), DKV_OK);
    stage->ready++;
    do
        stage->turn(stage, reader, base, &rng);
    while (!stage->is_over);
    stage->turn(stage, reader, base, &rng);
    stage->store->ops->reader_close(reader);
    event_base_free(base);
    return NULL;
}

static time_t seconds_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* Runs `write` with numbers from 1 to count, and on until the seconds are over, while the readers
 * take their turns. */
static void perform(void (*turn)(struct stage *, struct dkv_reader *, struct event_base *,
                                 struct rng *),
                    void (*write)(struct db *db, uint64_t number), uint64_t count, time_t seconds)
{
    time_t end = seconds_now() + seconds;
    struct stage stage = {.turn = turn};
    struct worker workers[READERS];
    struct db db;

    db_open(&db);
    stage.store = db.store;
    write(&db, 1);
    stage.published = 1;
    for (unsigned i = 0; i < READERS; i++) {
        workers[i] = (struct worker){.stage = &stage, .seed = suite.seed + i};
        CHECK_EQ((uint64_t)pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
    }
    while (stage.ready < READERS)
        sched_yield();
    for (uint64_t number = 2; number <= count || seconds_now() < end; number++) {
        write(&db, number);
        stage.published = number;
    }
    stage.is_over = true;
    for (unsigned i = 0; i < READERS; i++)
        (void)pthread_join(workers[i].thread, NULL);
    db_close(&db);
}

static struct dkv_slice group_key(uint64_t member, char text_out[16])
{
    (void)snprintf(text_out, 16, "group-%02u", (unsigned)member);
    return slice_of(text_out);
}

static void write_group(struct db *db, uint64_t number)
{
    struct dkv_mutation batch[GROUP];
    unsigned char value[VALUE_BYTES];
    char keys[GROUP][16];

    value_make(number, value);
    for (unsigned i = 0; i < GROUP; i++)
        batch[i] = (struct dkv_mutation){.kind = DKV_PUT,
                                         .key = group_key((i + number) % GROUP, keys[i]),
                                         .value = {value, VALUE_BYTES}};
    CHECK_STATUS(db_apply(db, number, batch, GROUP), DKV_OK);
}

static int take_number(void *ctx, struct dkv_slice key, struct dkv_slice value)
{
    (void)key;
    *(uint64_t *)ctx = value_number(value);
    return 0;
}

static uint64_t read_number(struct dkv_reader *reader, struct event_base *base, uint64_t member)
{
    uint64_t number = 0;
    char key[16];

    CHECK_STATUS(read_get(reader, base, group_key(member, key), take_number, &number), DKV_OK);
    return number;
}

struct group_seen {
    uint64_t first;
    unsigned count;
};

static int take_member(void *ctx, struct dkv_slice key, struct dkv_slice value)
{
    struct group_seen *seen = ctx;
    uint64_t number = value_number(value);

    (void)key;
    if (seen->count++ == 0)
        seen->first = number;
    if (number != seen->first)
        suite_fail(__FILE__, __LINE__,
                   "a scan saw batch %" PRIu64 " and batch %" PRIu64 " of the same keys",
                   seen->first, number);
    return 0;
}

/* A batch that one key shows, another key shows too, whoever is read first. */
static void turn_atomic(struct stage *stage, struct dkv_reader *reader, struct event_base *base,
                        struct rng *rng)
{
    uint64_t before = read_number(reader, base, rng_below(rng, GROUP));
    uint64_t after = read_number(reader, base, rng_below(rng, GROUP));

    (void)stage;
    if (after < before)
        suite_fail(__FILE__, __LINE__,
                   "batch %" PRIu64 " was seen by one key, then another was still at %" PRIu64,
                   before, after);
    if (stage->store->caps & DKV_CAP_SCAN) {
        struct scan_range range = {.prefix = slice_of("group-")};
        struct group_seen seen = {.count = 0};

        CHECK_STATUS(read_scan(reader, base, &range, take_member, &seen), DKV_OK);
        CHECK_EQ(seen.count, GROUP);
        CHECK(seen.first >= after);
    }
}

static void batches_are_atomic(void)
{
    perform(turn_atomic, write_group, suite_amount(6000), suite.is_long ? LONG_SECONDS : 0);
}

static void turn_published(struct stage *stage, struct dkv_reader *reader, struct event_base *base,
                           struct rng *rng)
{
    uint64_t published = stage->published;
    uint64_t seen = read_number(reader, base, rng_below(rng, GROUP));

    if (seen < published)
        suite_fail(__FILE__, __LINE__,
                   "index %" PRIu64 " was applied, a reader is still at %" PRIu64, published, seen);
}

static void read_your_apply(void)
{
    perform(turn_published, write_group, suite_amount(6000), 0);
}

static void write_and_delete(struct db *db, uint64_t number)
{
    unsigned char value[VALUE_BYTES];
    struct dkv_mutation one = {.kind = number % 3 == 0 ? DKV_DELETE : DKV_PUT,
                               .key = slice_of("target"),
                               .value = {value, VALUE_BYTES}};

    value_make(number, value);
    CHECK_STATUS(db_apply(db, number, &one, 1), DKV_OK);
}

/* Looks twice, with some time between. */
static int look_again(void *ctx, struct dkv_slice key, struct dkv_slice value)
{
    uint64_t number = value_number(value);
    volatile unsigned spin = 0;

    (void)ctx;
    while (spin < 3000)
        spin++;
    CHECK_EQ(value_number(value), number);
    CHECK(slice_compare(key, slice_of("target")) == 0);
    return 0;
}

static void turn_look(struct stage *stage, struct dkv_reader *reader, struct event_base *base,
                      struct rng *rng)
{
    int status = read_get(reader, base, slice_of("target"), look_again, NULL);

    (void)stage;
    (void)rng;
    CHECK(status == DKV_OK || status == DKV_ENOENT);
}

static void lent_bytes_stay(void)
{
    perform(turn_look, write_and_delete, suite_amount(6000), 0);
}

static struct dkv_slice grown_key(uint64_t number, char text_out[32])
{
    (void)snprintf(text_out, 32, "grown-%08" PRIx64, number * 2654435761u % (1u << 31));
    return slice_of(text_out);
}

enum { GROWN_AT_ONCE = 40 };

static void write_more(struct db *db, uint64_t number)
{
    struct dkv_mutation batch[GROWN_AT_ONCE];
    unsigned char values[GROWN_AT_ONCE][VALUE_BYTES];
    char keys[GROWN_AT_ONCE][32];

    for (unsigned i = 0; i < GROWN_AT_ONCE; i++) {
        uint64_t each = number * GROWN_AT_ONCE + i;

        value_make(each, values[i]);
        batch[i] = (struct dkv_mutation){
            .kind = DKV_PUT, .key = grown_key(each, keys[i]), .value = {values[i], VALUE_BYTES}};
    }
    CHECK_STATUS(db_apply(db, number, batch, GROWN_AT_ONCE), DKV_OK);
}

static void turn_any(struct stage *stage, struct dkv_reader *reader, struct event_base *base,
                     struct rng *rng)
{
    uint64_t batch = 1 + rng_below(rng, stage->published), number = 0;
    uint64_t wanted = batch * GROWN_AT_ONCE + rng_below(rng, GROWN_AT_ONCE);
    char key[32];

    CHECK_STATUS(read_get(reader, base, grown_key(wanted, key), take_number, &number), DKV_OK);
    CHECK_EQ(number, wanted);
}

static void growth(void)
{
    perform(turn_any, write_more, suite_amount(4000), 0);
}

const struct suite_case thread_cases[] = {
    {21, "eight readers on other threads see all of a batch or nothing", batches_are_atomic, 0},
    {24, "what is applied every reader sees at once", read_your_apply, 0},
    {25, "what emit() is lent stays as it is while the key is written and deleted", lent_bytes_stay,
     0},
    {27, "no key is lost to readers while the store grows", growth, 0},
    {0, NULL, NULL, 0},
};
