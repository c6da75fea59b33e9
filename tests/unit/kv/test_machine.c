#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/blob.h"
#include "base/mem.h"
#include "fake_store.h"
#include "kv/command.h"
#include "kv/machine.h"

enum { ENTRIES_MAX = 64 };

struct fixture {
    struct fake_store *store;
    struct kv_machine *machine;
    uint64_t next_index;
    struct raft_entry entries[ENTRIES_MAX];
    struct kv_result results[ENTRIES_MAX];
    struct kv_batch batch;
    int done_count, done_status;
};

static const struct kv_machine_config config = {{1, 2}, {7}};

static void open_machine(struct fixture *f)
{
    struct dkv_error err = {0};

    if (kv_machine_open(&f->store->base, NULL, &config, &f->machine, &err) != DKV_OK)
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->store = fake_store_new();
    f->next_index = 1;
    open_machine(f);
    *state = f;
    return 0;
}

static void clear(struct fixture *f)
{
    for (size_t i = 0; i < f->batch.count; i++)
        blob_unref(f->entries[i].owner);
    f->batch.count = 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    clear(f);
    kv_machine_close(&f->machine);
    fake_store_free(f->store);
    free(f);
    return 0;
}

static void add_entry(struct fixture *f, uint32_t type, struct blob *blob)
{
    f->entries[f->batch.count++] = (struct raft_entry){.index = f->next_index++,
                                                       .term = 1,
                                                       .type = type,
                                                       .len = blob == NULL ? 0 : blob->len,
                                                       .data = blob == NULL ? NULL : blob->bytes,
                                                       .owner = blob};
}

static void add(struct fixture *f, enum kv_op op, const char *key, const char *value,
                uint32_t flags, uint64_t match)
{
    struct kv_command command = {.op = op,
                                 .flags = flags,
                                 .match = match,
                                 .key = {key, strlen(key)},
                                 .value = {value, strlen(value)}};

    add_entry(f, RAFT_ENTRY_DATA, kv_command_encode(&command));
}

static void put(struct fixture *f, const char *key, const char *value)
{
    add(f, KV_OP_PUT, key, value, 0, 0);
}

static void delete (struct fixture *f, const char *key)
{
    add(f, KV_OP_DELETE, key, "", 0, 0);
}

static void on_done(struct kv_batch *batch, int status)
{
    struct fixture *f = container_of(batch, struct fixture, batch);

    f->done_count++;
    f->done_status = status;
}

static int apply(struct fixture *f)
{
    int status;

    f->batch.entries = f->entries;
    f->batch.results = f->results;
    f->batch.done = on_done;
    f->done_count = 0;
    status = kv_machine_apply(f->machine, &f->batch);
    assert_int_equal(f->done_count, 0);
    if (status == DKV_PENDING) {
        (void)fake_store_run(f->store);
        assert_int_equal(f->done_count, 1);
        status = f->done_status;
    }
    return status;
}

static void assert_result(const struct fixture *f, size_t i, enum kv_outcome outcome,
                          uint64_t revision)
{
    assert_int_equal(f->results[i].outcome, outcome);
    assert_true(f->results[i].revision == revision);
}

static void assert_stored(const struct fixture *f, const char *key, const char *value,
                          uint64_t create_revision, uint64_t revision, uint32_t changes)
{
    uint8_t stored[64] = {KV_SPACE_USER};
    const struct fake_pair *pair;
    struct kv_record record;

    memcpy(stored + 1, key, strlen(key));
    pair = fake_store_find(f->store, stored, 1 + strlen(key));
    assert_non_null(pair);
    assert_int_equal(kv_record_decode((struct dkv_slice){pair->value, pair->value_len}, &record),
                     DKV_OK);
    assert_true(record.create_revision == create_revision);
    assert_true(record.revision == revision);
    assert_int_equal(record.changes, changes);
    assert_int_equal(record.value.len, strlen(value));
    assert_memory_equal(record.value.data, value, record.value.len);
}

static void test_a_put_creates_then_replaces(void **state)
{
    struct fixture *f = *state;

    put(f, "a", "1");
    put(f, "b", "2");
    put(f, "a", "3");
    assert_int_equal(apply(f), DKV_OK);
    assert_result(f, 0, KV_OUTCOME_CREATED, 1);
    assert_result(f, 1, KV_OUTCOME_CREATED, 2);
    assert_result(f, 2, KV_OUTCOME_REPLACED, 3);
    assert_stored(f, "a", "3", 1, 3, 2);
    assert_stored(f, "b", "2", 2, 2, 1);
    assert_true(kv_machine_state(f->machine)->keys == 2);
    assert_true(kv_machine_state(f->machine)->index == 3);
}

static void test_a_delete_says_whether_there_was_something(void **state)
{
    struct fixture *f = *state;

    put(f, "a", "1");
    delete (f, "a");
    delete (f, "a");
    put(f, "a", "2");
    assert_int_equal(apply(f), DKV_OK);
    assert_result(f, 1, KV_OUTCOME_DELETED, 2);
    assert_result(f, 2, KV_OUTCOME_NOT_FOUND, 0);
    assert_result(f, 3, KV_OUTCOME_CREATED, 4);
    assert_stored(f, "a", "2", 4, 4, 1);
}

static void test_conditions_see_earlier_entries_of_the_same_batch(void **state)
{
    struct fixture *f = *state;

    add(f, KV_OP_PUT, "a", "1", KV_IF_ABSENT, 0);
    add(f, KV_OP_PUT, "a", "2", KV_IF_ABSENT, 0);
    add(f, KV_OP_PUT, "a", "3", KV_IF_REVISION, 1);
    add(f, KV_OP_PUT, "a", "4", KV_IF_REVISION, 1);
    add(f, KV_OP_DELETE, "a", "", KV_IF_REVISION, 3);
    add(f, KV_OP_PUT, "a", "5", KV_IF_EXISTS, 0);
    assert_int_equal(apply(f), DKV_OK);
    assert_result(f, 0, KV_OUTCOME_CREATED, 1);
    assert_result(f, 1, KV_OUTCOME_CONDITION, 1);
    assert_result(f, 2, KV_OUTCOME_REPLACED, 3);
    assert_result(f, 3, KV_OUTCOME_CONDITION, 3);
    assert_result(f, 4, KV_OUTCOME_DELETED, 5);
    assert_result(f, 5, KV_OUTCOME_CONDITION, 0);
    assert_true(kv_machine_state(f->machine)->keys == 0);
}

static void test_the_digest_does_not_depend_on_batches(void **state)
{
    struct fixture *f = *state;
    struct fixture *g;
    void *other;

    (void)setup(&other);
    g = other;
    put(f, "a", "1");
    put(f, "b", "2");
    delete (f, "a");
    put(f, "c", "3");
    assert_int_equal(apply(f), DKV_OK);
    put(g, "a", "1");
    assert_int_equal(apply(g), DKV_OK);
    clear(g);
    put(g, "b", "2");
    delete (g, "a");
    assert_int_equal(apply(g), DKV_OK);
    clear(g);
    put(g, "c", "3");
    assert_int_equal(apply(g), DKV_OK);
    assert_true(kv_machine_state(f->machine)->digest.low ==
                kv_machine_state(g->machine)->digest.low);
    assert_true(kv_machine_state(f->machine)->digest.high ==
                kv_machine_state(g->machine)->digest.high);
    assert_true(kv_machine_state(f->machine)->digest.low != 0);
    (void)teardown(&other);
}

static void test_deleting_everything_gives_the_digest_of_nothing(void **state)
{
    struct fixture *f = *state;

    put(f, "a", "1");
    put(f, "b", "2");
    assert_int_equal(apply(f), DKV_OK);
    clear(f);
    delete (f, "b");
    delete (f, "a");
    assert_int_equal(apply(f), DKV_OK);
    assert_true(kv_machine_state(f->machine)->digest.low == 0);
    assert_true(kv_machine_state(f->machine)->digest.high == 0);
}

static void test_applied_entries_are_skipped(void **state)
{
    struct fixture *f = *state;

    put(f, "a", "1");
    put(f, "b", "2");
    assert_int_equal(apply(f), DKV_OK);
    assert_int_equal(apply(f), DKV_OK); /* the whole batch again */
    assert_result(f, 0, KV_OUTCOME_NONE, 0);
    put(f, "c", "3"); /* a, b and c: only c is new */
    assert_int_equal(apply(f), DKV_OK);
    assert_result(f, 0, KV_OUTCOME_NONE, 0);
    assert_result(f, 2, KV_OUTCOME_CREATED, 3);
    assert_stored(f, "a", "1", 1, 1, 1);
    assert_true(kv_machine_state(f->machine)->keys == 3);
}

static void test_noops_and_configurations_advance_the_index(void **state)
{
    struct fixture *f = *state;

    add_entry(f, RAFT_ENTRY_NOOP, NULL);
    put(f, "a", "1");
    add_entry(f, RAFT_ENTRY_CONFIG, NULL);
    assert_int_equal(apply(f), DKV_OK);
    assert_result(f, 0, KV_OUTCOME_NONE, 0);
    assert_result(f, 2, KV_OUTCOME_NONE, 0);
    assert_true(f->store->index == 3);
}

static void test_an_unreadable_entry_stops_everything(void **state)
{
    struct fixture *f = *state;

    put(f, "a", "1");
    f->entries[0].owner->bytes[0] = 99;
    assert_int_equal(apply(f), DKV_ECORRUPT);
    assert_true(f->store->index == 0);
}

static void test_a_failed_apply_changes_nothing(void **state)
{
    struct fixture *f = *state;

    put(f, "a", "1");
    f->store->fail_apply = DKV_ENOSPC;
    assert_int_equal(apply(f), DKV_ENOSPC);
    assert_true(kv_machine_state(f->machine)->index == 0);
    assert_true(kv_machine_state(f->machine)->keys == 0);
    assert_int_equal(apply(f), DKV_OK); /* and may be repeated */
    assert_result(f, 0, KV_OUTCOME_CREATED, 1);
}

static void test_a_failed_fetch_changes_nothing(void **state)
{
    struct fixture *f = *state;

    put(f, "a", "1");
    f->store->fail_get = DKV_EIO;
    assert_int_equal(apply(f), DKV_EIO);
    assert_true(f->store->index == 0);
    assert_int_equal(f->store->applies, 0);
}

static void test_a_storage_that_answers_late_gives_the_same(void **state)
{
    struct fixture *f = *state;

    f->store->late = true;
    put(f, "a", "1");
    put(f, "b", "2");
    add(f, KV_OP_PUT, "a", "3", KV_IF_REVISION, 1);
    assert_int_equal(apply(f), DKV_OK);
    assert_result(f, 2, KV_OUTCOME_REPLACED, 3);
    assert_stored(f, "a", "3", 1, 3, 2);
    clear(f);
    put(f, "c", "4");
    f->store->fail_apply = DKV_EIO;
    assert_int_equal(apply(f), DKV_EIO);
}

static void test_state_survives_a_restart(void **state)
{
    struct fixture *f = *state;
    struct kv_state before;

    put(f, "a", "1");
    put(f, "b", "2");
    assert_int_equal(apply(f), DKV_OK);
    before = *kv_machine_state(f->machine);
    kv_machine_close(&f->machine);
    open_machine(f);
    assert_memory_equal(kv_machine_state(f->machine), &before, sizeof(before));
}

static void test_a_store_of_somebody_else_is_refused(void **state)
{
    struct fixture *f = *state;
    struct kv_machine *machine = NULL;
    struct dkv_error err = {0};

    f->store->index = 7; /* an index, but no state */
    assert_int_equal(kv_machine_open(&f->store->base, NULL, &config, &machine, &err), DKV_ENOENT);
    assert_non_null(strstr(err.text, "index 7"));
    f->store->index = 0;
}

static void test_a_store_of_another_cluster_is_refused(void **state)
{
    static const struct kv_machine_config other = {{1, 2}, {8}};
    struct fixture *f = *state;
    struct kv_machine *machine = NULL;
    struct dkv_error err = {0};

    put(f, "a", "1");
    assert_int_equal(apply(f), DKV_OK);
    assert_int_equal(kv_machine_open(&f->store->base, NULL, &other, &machine, &err), KV_EFOREIGN);
    assert_non_null(strstr(err.text, "another cluster"));
}

static void test_a_state_of_another_version_is_refused_and_stays(void **state)
{
    static const uint8_t key[] = {'m', 's', 't', 'a', 't', 'e'};
    struct fixture *f = *state;
    struct kv_machine *machine = NULL;
    struct dkv_error err = {0};
    const struct fake_pair *pair;

    put(f, "a", "1");
    assert_int_equal(apply(f), DKV_OK);
    pair = fake_store_find(f->store, key, sizeof(key));
    pair->value[0]++;
    assert_int_equal(kv_machine_open(&f->store->base, NULL, &config, &machine, &err), KV_EFOREIGN);
    assert_non_null(strstr(err.text, "Start the version of dkvd that wrote it"));
    pair->value[0]--;
    assert_int_equal(kv_machine_open(&f->store->base, NULL, &config, &machine, &err), DKV_OK);
    kv_machine_close(&machine);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_a_put_creates_then_replaces),
        WITH(test_a_delete_says_whether_there_was_something),
        WITH(test_conditions_see_earlier_entries_of_the_same_batch),
        WITH(test_the_digest_does_not_depend_on_batches),
        WITH(test_deleting_everything_gives_the_digest_of_nothing),
        WITH(test_applied_entries_are_skipped),
        WITH(test_noops_and_configurations_advance_the_index),
        WITH(test_an_unreadable_entry_stops_everything),
        WITH(test_a_failed_apply_changes_nothing),
        WITH(test_a_failed_fetch_changes_nothing),
        WITH(test_a_storage_that_answers_late_gives_the_same),
        WITH(test_state_survives_a_restart),
        WITH(test_a_store_of_somebody_else_is_refused),
        WITH(test_a_store_of_another_cluster_is_refused),
        WITH(test_a_state_of_another_version_is_refused_and_stays),
    };

    return cmocka_run_group_tests_name("kv/machine", tests, NULL, NULL);
}
