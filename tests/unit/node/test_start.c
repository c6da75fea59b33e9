/* What a start finds and what it refuses: many starts one after another, a full disk, snapshots that
 * are damaged or of a newer format, a storage that is not this log's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "fs_mem.h"
#include "replicas.h"
#include "wal/wal.h"

enum { VALUE = 1000, SEGMENT = 256 << 10, LIFE_US = T_US / 20 };

static int setup_durable(void **state)
{
    *state = replicas_new(1);
    return 0;
}

static int setup_in_memory(void **state)
{
    *state = replicas_new_in_memory(1);
    return 0;
}

static int teardown(void **state)
{
    replicas_free(*state);
    return 0;
}

static int put(struct replicas *all, unsigned number)
{
    static char value[VALUE + 1];
    struct client_write w;
    char key[16];

    memset(value, 'v', VALUE);
    (void)snprintf(key, sizeof(key), "k%u", number);
    (void)replicas_leader(all);
    replicas_write(all, 0, &w, key, value);
    replicas_run(all, LIFE_US);
    if (w.done == 0)
        replicas_run(all, 2 * TIMEOUT_US);
    assert_int_equal(w.done, 1);
    return w.write.status;
}

static void fill(struct replicas *all, uint64_t bytes)
{
    for (unsigned i = 0; i < bytes / VALUE; i++)
        assert_int_equal(put(all, i), DKV_OK);
}

struct names {
    const char *ending;
    char items[64][48];
    unsigned count;
};

static int note_name(void *ctx, const char *name)
{
    struct names *names = ctx;
    size_t len = strlen(name), end = strlen(names->ending);

    if (len > end && strcmp(name + len - end, names->ending) == 0) {
        assert_true(names->count < 64 && len < 48);
        memcpy(names->items[names->count++], name, len + 1);
    }
    return 0;
}

static struct names files(struct replicas *all, const char *folder, const char *ending)
{
    struct names names = {.ending = ending};
    struct fs *fs = all->nodes[0].fs;

    assert_int_equal(fs->ops->list(fs, folder, note_name, &names), DKV_OK);
    return names;
}

static void restart(struct replicas *all)
{
    replicas_kill(all, 0);
    replicas_start(all, 0);
}

/* Each start begins a segment, so it is not the entries that fill the disk. */
static void test_many_starts_do_not_fill_the_disk(void **state)
{
    struct replicas *all = *state;
    unsigned most = 0;

    all->log_size = 1 << 20; /* what is written here is less */
    for (unsigned i = 0; i < 40; i++) {
        unsigned count;

        restart(all);
        assert_int_equal(put(all, i), DKV_OK);
        replicas_run(all,
                     6 * 1000 * 1000); /* a cut that failed is tried again after five seconds */
        count = files(all, "wal", ".seg").count;
        most = count > most ? count : most;
    }
    assert_in_range(most, 2, (2 * all->log_size + 3 * SEGMENT) / SEGMENT + 2);
    assert_int_equal(replicas_view(all, 0).keys, 40);
}

/* Storage in memory: no file can be made, but those that are there are cut to. */
static void test_on_a_full_disk_the_log_is_cut_to_the_newest_snapshot(void **state)
{
    struct replicas *all = *state;
    unsigned before;

    all->log_size = 512 << 10;
    restart(all);
    fill(all, 300 << 10);
    before = files(all, "wal", ".seg").count;
    fs_mem_set_capacity(all->nodes[0].fs, 1);
    for (unsigned i = 0; i < 900 && put(all, 1000 + i) == DKV_OK; i++)
        continue;
    assert_true(files(all, "wal", ".seg").count <= before);
    fs_mem_set_capacity(all->nodes[0].fs, 1u << 30);
}

static void test_on_a_full_disk_the_log_is_cut_however_short_it_is(void **state)
{
    struct replicas *all = *state;
    unsigned taken = 0;

    for (unsigned i = 0; i < 3; i++) {
        restart(all);
        assert_int_equal(put(all, i), DKV_OK);
    }
    fs_mem_set_capacity(all->nodes[0].fs, 1);
    for (unsigned i = 0; i < 12; i++) {
        restart(all);
        taken += put(all, 100 + i) == DKV_OK;
        replicas_run(all, 6 * 1000 * 1000);
    }
    assert_int_equal(put(all, 200), DKV_OK);
    assert_true(taken >= 10);
    fs_mem_set_capacity(all->nodes[0].fs, 1u << 30);
}

/* A byte in the middle of it, or that of the format, which is told from damage. */
static void change_snapshot(struct replicas *all, const char *name, bool is_format)
{
    char path[64];
    uint8_t *bytes;
    size_t len;

    (void)snprintf(path, sizeof(path), "snap/%s", name);
    bytes = fs_mem_bytes(all->nodes[0].fs, path, &len);
    bytes[is_format ? 8 : len / 2] ^= 0x40;
}

static const char *newest_of(const struct names *names)
{
    const char *newest = NULL;

    for (unsigned i = 0; i < names->count; i++) {
        if (newest == NULL || strcmp(names->items[i], newest) > 0)
            newest = names->items[i];
    }
    return newest;
}

static void test_the_older_snapshot_does_if_the_newest_is_damaged(void **state)
{
    struct replicas *all = *state;
    struct names names;
    uint64_t keys;

    fill(all, 6 * LOG_SIZE);
    keys = replicas_view(all, 0).keys;
    names = files(all, "snap", ".snap");
    assert_int_equal(names.count, 2);
    replicas_kill(all, 0);
    change_snapshot(all, newest_of(&names), false);
    replicas_start(all, 0);
    (void)replicas_leader(all);
    replicas_run(all, T_US);
    assert_int_equal(replicas_view(all, 0).keys, keys);
    fill(all, 6 * LOG_SIZE);
}

static raft_index log_begins(struct replicas *all)
{
    struct wal_identity identity = {
        .cluster_id = {9}, .node_id = REPLICA_ID(0), .incarnation = 100};
    struct wal_recovery recovery;
    struct buf report = {0};
    raft_index begins;

    assert_int_equal(wal_check(all->nodes[0].fs, &identity, true, &report, &recovery), DKV_OK);
    begins = recovery.base_index;
    wal_recovery_fini(&recovery);
    buf_fini(&report);
    return begins;
}

/* By what was written while the newest was made. */
static void test_a_log_that_is_out_of_proportion_is_cut_to_the_newest_snapshot(void **state)
{
    struct replicas *all = *state;
    raft_index before;

    fill(all, LOG_SIZE);
    all->nodes[0].is_background_slow = true;
    fill(all, 2 * LOG_SIZE);
    before = replicas_view(all, 0).applied_index;
    all->nodes[0].is_background_slow = false;
    replicas_run(all, 20 * T_US);
    replicas_kill(all, 0);
    assert_true(log_begins(all) + 2 * LOG_SIZE / 4096 > before);
    replicas_start(all, 0);
}

static void test_without_an_intact_snapshot_it_says_which_is_damaged(void **state)
{
    struct replicas *all = *state;
    struct dkv_error err = {0};
    struct names names;

    fill(all, 6 * LOG_SIZE);
    names = files(all, "snap", ".snap");
    replicas_kill(all, 0);
    for (unsigned i = 0; i < names.count; i++)
        change_snapshot(all, names.items[i], false);
    assert_int_equal(replicas_try_start(all, 0, &err), 70);
    assert_non_null(strstr(err.text, "incomplete"));
    assert_non_null(strstr(err.text, newest_of(&names)));
    for (unsigned i = 0; i < names.count; i++)
        change_snapshot(all, names.items[i], false);
    replicas_start(all, 0);
}

static void test_a_snapshot_of_a_newer_format_is_not_taken_for_damage(void **state)
{
    struct replicas *all = *state;
    struct dkv_error err = {0};
    struct names names;

    fill(all, 6 * LOG_SIZE);
    names = files(all, "snap", ".snap");
    replicas_kill(all, 0);
    change_snapshot(all, newest_of(&names), true);
    assert_int_equal(replicas_try_start(all, 0, &err), 65);
    assert_non_null(strstr(err.text, "newer dkvd"));
    change_snapshot(all, newest_of(&names), true);
    replicas_start(all, 0);
}

/* What an install that was cut off leaves can have the index of an entry, and be of another term. */
static void test_a_snapshot_of_an_entry_that_is_not_in_the_log_is_ignored(void **state)
{
    struct replicas *all = *state;
    struct fs *fs = all->nodes[0].fs;
    struct names names;
    char from[64], to[64];
    uint64_t keys;

    fill(all, 3 * LOG_SIZE);
    keys = replicas_view(all, 0).keys;
    names = files(all, "snap", ".snap");
    replicas_kill(all, 0);
    (void)snprintf(from, sizeof(from), "snap/%s", newest_of(&names));
    (void)snprintf(to, sizeof(to), "%.21s-%016x.snap", from, 9u);
    assert_int_equal(fs->ops->rename(fs, from, to), DKV_OK);
    replicas_start(all, 0);
    (void)replicas_leader(all);
    replicas_run(all, T_US);
    assert_int_equal(replicas_view(all, 0).keys, keys);
    assert_null(fs_mem_bytes(fs, to, &(size_t){0}));
}

/* The state machine's own record; the term of the last entry is its last field. */
static void set_term(struct fake_store *store, uint64_t term)
{
    static const char name[] = "mstate";
    const struct fake_pair *pair = fake_store_find(store, name, sizeof(name) - 1);

    assert_non_null(pair);
    put_u64(pair->value + pair->value_len - 8, term);
}

static void test_a_storage_whose_last_entry_is_not_in_the_log_is_refused(void **state)
{
    struct replicas *all = *state;
    struct dkv_error err = {0};

    fill(all, LOG_SIZE / 2);
    replicas_kill(all, 0);
    set_term(all->nodes[0].store, 7);
    assert_int_equal(replicas_try_start(all, 0, &err), 65);
    assert_non_null(strstr(err.text, "is of term 7"));
    set_term(all->nodes[0].store, 1);
    replicas_start(all, 0);
    (void)replicas_leader(all);
    assert_int_equal(put(all, 1), DKV_OK);
}

static void test_a_storage_that_is_ahead_of_the_log_is_refused(void **state)
{
    struct replicas *all = *state;
    struct dkv_error err = {0};

    fill(all, LOG_SIZE / 2);
    replicas_kill(all, 0);
    all->nodes[0].store->index += 1000;
    assert_int_equal(replicas_try_start(all, 0, &err), 70);
    assert_non_null(strstr(err.text, "the log ends at"));
    all->nodes[0].store->index -= 1000;
    replicas_start(all, 0);
}

static void test_a_storage_that_is_behind_the_log_is_refused(void **state)
{
    struct replicas *all = *state;
    struct fake_store *whole;
    struct dkv_error err = {0};

    fill(all, 3 * LOG_SIZE);
    replicas_kill(all, 0);
    whole = all->nodes[0].store;
    all->nodes[0].store = fake_store_new();
    assert_int_equal(replicas_try_start(all, 0, &err), 70);
    assert_non_null(strstr(err.text, "there is no snapshot in between"));
    assert_non_null(strstr(err.text, "incomplete"));
    fake_store_free(all->nodes[0].store);
    all->nodes[0].store = whole;
    replicas_start(all, 0);
}

#define DURABLE(test) cmocka_unit_test_setup_teardown(test, setup_durable, teardown)
#define MEMORY(test)  cmocka_unit_test_setup_teardown(test, setup_in_memory, teardown)
#define BOTH(test)                                                                                 \
    {#test "_durable", test, setup_durable, teardown, NULL},                                       \
    {                                                                                              \
#test "_in_memory", test, setup_in_memory, teardown, NULL                                  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_many_starts_do_not_fill_the_disk),
        DURABLE(test_on_a_full_disk_the_log_is_cut_however_short_it_is),
        MEMORY(test_on_a_full_disk_the_log_is_cut_to_the_newest_snapshot),
        MEMORY(test_the_older_snapshot_does_if_the_newest_is_damaged),
        MEMORY(test_a_log_that_is_out_of_proportion_is_cut_to_the_newest_snapshot),
        MEMORY(test_without_an_intact_snapshot_it_says_which_is_damaged),
        MEMORY(test_a_snapshot_of_a_newer_format_is_not_taken_for_damage),
        MEMORY(test_a_snapshot_of_an_entry_that_is_not_in_the_log_is_ignored),
        DURABLE(test_a_storage_whose_last_entry_is_not_in_the_log_is_refused),
        DURABLE(test_a_storage_that_is_ahead_of_the_log_is_refused),
        DURABLE(test_a_storage_that_is_behind_the_log_is_refused),
    };

    return cmocka_run_group_tests_name("start", tests, NULL, NULL);
}
