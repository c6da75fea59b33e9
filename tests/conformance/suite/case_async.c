/* Stores that answer later. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "db.h"

enum { IN_FLIGHT = 1000 };

/* One apply after the other, each made where the daemon makes it: when the one before is done. */
struct chain {
    struct dkv_apply apply;
    struct db *db;
    struct dkv_mutation puts[2];
    char key[16], value[16];
    uint64_t last;
    bool is_inside; /* of apply() */
};

static int chain_next(struct chain *chain)
{
    int status;

    chain->apply.index++;
    (void)snprintf(chain->key, sizeof(chain->key), "k%u", (unsigned)(chain->apply.index % 100));
    (void)snprintf(chain->value, sizeof(chain->value), "%u", (unsigned)chain->apply.index);
    chain->puts[0] = (struct dkv_mutation){
        .kind = DKV_PUT, .key = slice_of(chain->key), .value = slice_of(chain->value)};
    chain->puts[1] = chain->puts[0];
    chain->puts[1].key = slice_of("newest");
    chain->is_inside = true;
    status = chain->db->store->ops->apply(chain->db->store, &chain->apply);
    chain->is_inside = false;
    return status;
}

static void chain_done(struct dkv_op *op, int status)
{
    struct chain *chain = (struct chain *)op;

    if (chain->is_inside)
        suite_fail(__FILE__, __LINE__, "done() ran before the call had returned");
    CHECK_STATUS(status, DKV_OK);
    CHECK_EQ(db_applied(chain->db), chain->apply.index);
    while (chain->apply.index < chain->last) {
        status = chain_next(chain);
        if (status == DKV_PENDING)
            return;
        CHECK_STATUS(status, DKV_OK);
    }
    chain->last = 0;
}

static void applies_from_done(void)
{
    struct chain chain = {.apply = {.op = {.done = chain_done}, .count = 2}, .last = IN_FLIGHT};
    struct db db;
    int status;

    db_open(&db);
    chain.db = &db;
    chain.apply.mutations = chain.puts;
    status = chain_next(&chain);
    if (status != DKV_PENDING)
        chain_done(&chain.apply.op, status);
    while (chain.last != 0)
        CHECK_EQ((uint64_t)event_base_loop(db.home, EVLOOP_ONCE), 0);
    db_expect(&db, "k42", "942");
    db_expect(&db, "newest", "1000");
    db_close(&db);
}

static void gets_start(struct db *db, struct call *gets)
{
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        call_init(&gets[i], NULL, NULL);
        gets[i].as.get.key = slice_of(i % 2 == 0 ? "k" : "absent");
        call_returned(&gets[i], db->store, db->store->ops->get(db->reader, &gets[i].as.get));
    }
}

static void in_flight(void)
{
    struct call *gets = xcalloc(IN_FLIGHT, sizeof(*gets));
    struct db db;

    applies_from_done();
    db_forget();
    db_open(&db);
    CHECK_STATUS(db_put(&db, 1, "k", "v"), DKV_OK);
    gets_start(&db, gets);
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        CHECK_STATUS(call_wait(&gets[i], db.home), i % 2 == 0 ? DKV_OK : DKV_ENOENT);
        CHECK_EQ(gets[i].emitted, i % 2 == 0);
    }
    (void)event_base_loop(db.home, EVLOOP_NONBLOCK); /* a second answer would come now */
    db_close(&db);
    free(gets);
}

static void expect_ended(const struct call *call)
{
    if (call->status != DKV_OK && call->status != DKV_ECANCELED && call->status != DKV_ENOENT)
        suite_fail(__FILE__, __LINE__, "a call that close() ended says \"%s\"",
                   suite_status_text(call->status));
}

static void close_reader(void)
{
    struct call *gets = xcalloc(IN_FLIGHT, sizeof(*gets));
    struct db db;

    db_open(&db);
    CHECK_STATUS(db_put(&db, 1, "k", "v"), DKV_OK);
    gets_start(&db, gets);
    db.store->ops->reader_close(db.reader);
    for (size_t i = 0; i < IN_FLIGHT; i++)
        expect_ended(&gets[i]);
    memset(gets, 0x5a, IN_FLIGHT * sizeof(*gets)); /* nobody may come back to them */
    (void)event_base_loop(db.home, EVLOOP_NONBLOCK);
    db.reader = NULL;
    CHECK_STATUS(db_put(&db, 2, "k", "w"), DKV_OK);
    db_close(&db);
    free(gets);
}

static void close_store(bool with_sync)
{
    struct dkv_mutation put = {.kind = DKV_PUT, .key = slice_of("last"), .value = slice_of("v")};
    struct call call;
    struct db db;

    db_open(&db);
    call_init(&call, NULL, NULL);
    if (with_sync) {
        CHECK_STATUS(db_put(&db, 10, "k", "v"), DKV_OK);
        call_returned(&call, db.store, db.store->ops->sync(db.store, &call.as.index));
    } else {
        call.as.apply.index = 11;
        call.as.apply.mutations = &put;
        call.as.apply.count = 1;
        call_returned(&call, db.store, db.store->ops->apply(db.store, &call.as.apply));
    }
    db_close(&db);
    expect_ended(&call);
}

static void close_with_pending(void)
{
    close_reader();
    close_store(false);
    if ((suite.caps & DKV_CAP_DURABLE) != 0)
        close_store(true);
}

const struct suite_case async_cases[] = {
    {28, "a thousand gets in flight, a thousand applies from done(): one answer each, never inline",
     in_flight, DKV_CAP_ASYNC},
    {29, "closing answers what is pending, and nothing is answered afterwards", close_with_pending,
     DKV_CAP_ASYNC},
    {0, NULL, NULL, 0},
};
