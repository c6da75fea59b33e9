/* The log over a disk in memory: what is written comes back, and a full or failing disk takes
 * nothing back that was promised. */
#include "tests/unit/wal/log_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* --- what is written comes back --- */

static void test_entries_come_back_over_many_segments_and_starts(void **state)
{
    struct fixture *f = *state;

    for (int round = 0; round < 4; round++) {
        log_write(f, 300);
        log_write(f, 1);
        log_assert_readable(f, 1, f->last);
        log_reopen(f);
        assert_true(f->found.last_index == (raft_index)(round + 1) * 301);
        log_assert_readable(f, 1, f->last);
    }
}

static void test_batches_gather_while_one_is_written(void **state)
{
    struct fixture *f = *state;
    uint64_t ops;

    log_write(f, 1);
    log_submit(f, 1, 0);
    ops = fs_mem_ops(f->fs);
    for (int i = 0; i < 20; i++)
        log_submit(f, 1, 0);
    env_test_run(&f->e);
    assert_true(f->durable == f->ticket);
    assert_true(fs_mem_ops(f->fs) - ops <= 2 * 3); /* two writes and a sync, twice */
}

/* The power goes in the first sync of a segment, and all has reached the disk but what says that
 * it is one. */
static void test_a_spare_that_was_written_to_is_not_taken_again(void **state)
{
    struct fixture *f = *state;
    struct names spares = log_files(f, ".spare");
    struct fs *old = f->fs;
    uint8_t *bytes;
    char path[64];
    size_t len = 0;

    (void)snprintf(path, sizeof(path), "wal/%s", spares.items[0]);
    log_submit(f, 150, 0);
    fs_mem_power_off_at(f->fs, 9); /* the vote, two superheaders, two places; then the sync */
    (void)env_test_work(&f->e, ENV_QUEUE_LOG);
    f->fs = fs_mem_crash(old, FS_MEM_KEEP_ALL, 1);
    bytes = fs_mem_bytes(f->fs, path, &len);
    assert_non_null(bytes);
    assert_true(bytes[0] != 0 && bytes[2 * 4096] != 0 && bytes[2 * 4096 + SEGMENT / 4] != 0);
    memset(bytes, 0, 2 * 4096);
    wal_recovery_fini(&f->found);
    wal_close(&f->wal);
    old->ops->free(old);
    env_test_init(&f->e, f->fs, 99);
    f->last = 0;
    f->ticket = f->durable = 0;
    log_open(f);
    log_write(f, 1);
    log_write(f, 1);
    wal_seal(f->wal);
    log_close(f);
    env_test_init(&f->e, f->fs, 100);
    log_open(f);
    assert_true(f->found.last_index == 2);
    log_assert_readable(f, 1, 2);
}

static void test_truncated_entries_stay_away(void **state)
{
    struct fixture *f = *state;

    log_write(f, 50);
    f->term = 2;
    log_submit(f, 5, 20);
    env_test_run(&f->e);
    log_reopen(f);
    assert_true(f->found.last_index == 24);
    assert_int_equal(f->found.runs_count, 2);
    assert_true(f->found.runs[1].first == 20 && f->found.runs[1].term == 2);
    log_assert_readable(f, 1, 24);
}

static void test_r_p10_the_vote_survives_with_one_copy_damaged(void **state)
{
    struct fixture *f = *state;

    for (int copy = 0; copy < 2; copy++) {
        size_t len;

        f->term++;
        log_submit(f, 0, f->last == 0 ? 0 : f->last);
        log_write(f, 3);
        log_close(f);
        fs_mem_bytes(f->fs, "wal/vote", &len)[copy * 4096 + 60] ^= 1;
        env_test_init(&f->e, f->fs, 5);
        log_open(f);
        assert_true(f->found.hard.vote == 1);
    }
}

static void test_compaction_removes_whole_segments_and_keeps_the_base(void **state)
{
    struct fixture *f = *state;
    uint64_t before;

    log_write(f, 1000);
    before = wal_bytes_after(f->wal, 0);
    wal_compact(f->wal, 900, 1, "members", 7);
    env_test_run(&f->e);
    assert_true(wal_bytes_after(f->wal, 0) < before);
    log_assert_readable(f, 901, 1000);
    log_reopen(f);
    assert_true(f->found.base_index == 900 && f->found.base_term == 1);
    assert_int_equal(f->found.base_data_len, 7);
    assert_memory_equal(f->found.base_data, "members", 7);
    assert_true(f->found.last_index == 1000);
    log_assert_readable(f, 901, 1000);
}

/* Entry i has i % 200 bytes, a header of 64 at most, and starts at a multiple of 8. */
static void test_bytes_after_an_entry_are_those_of_the_entries_that_follow(void **state)
{
    struct fixture *f = *state;
    uint64_t after = 0;

    assert_true(wal_bytes_after(f->wal, 0) == 0);
    log_write(f, 1000); /* several segments */
    assert_true(wal_bytes_after(f->wal, 1000) == 0);
    assert_true(wal_bytes_after(f->wal, 1001) == 0);
    for (raft_index i = 999; i > 0; i--) {
        uint64_t grown = wal_bytes_after(f->wal, i) - after;

        assert_true(grown >= (i + 1) % 200 && grown <= 2 * 4096);
        after += grown;
    }
    log_submit(f, 1, 501);
    env_test_run(&f->e);
    assert_true(wal_bytes_after(f->wal, 500) < 1000 && wal_bytes_after(f->wal, 501) == 0);
    log_reopen(f);
    assert_true(wal_bytes_after(f->wal, 500) > 0 && wal_bytes_after(f->wal, 501) == 0);
}

static bool is_blank(struct fixture *f, const char *name)
{
    char path[64];
    uint8_t *bytes;
    size_t len;

    snprintf(path, sizeof(path), "wal/%s", name);
    bytes = fs_mem_bytes(f->fs, path, &len);
    assert_int_equal(len, SEGMENT);
    while (len > 0 && bytes[len - 1] == 0)
        len--;
    return len == 0;
}

static void test_a_segment_that_was_cut_off_becomes_a_spare(void **state)
{
    struct fixture *f = *state;
    struct names old, spare;

    for (int round = 0; round < 6; round++) {
        log_write(f, 700);
        wal_compact(f->wal, f->last - 10, 1, "members", 7);
        env_test_run(&f->e);
        old = log_files(f, ".old");
        assert_int_equal(old.count, 1);
        if (round == 3)
            log_reopen(f); /* one that waits survives a restart */
        assert_string_equal(log_files(f, ".old").items[0], old.items[0]);
        while (log_files(f, ".old").count > 0)
            log_write(f, 5); /* until one spare is taken, and a new one made */
        spare = log_files(f, ".spare");
        assert_int_equal(spare.count, 2);
        for (int i = 0; i < spare.count; i++)
            assert_true(is_blank(f, spare.items[i]));
    }
    log_reopen(f);
    log_assert_readable(f, f->found.base_index + 1, f->last);
}

static void test_a_log_that_is_cut_regularly_needs_no_space_on_a_full_disk(void **state)
{
    struct fixture *f = *state;

    log_write(f, 700);
    wal_compact(f->wal, f->last - 10, 1, "members", 7);
    env_test_run(&f->e);
    fs_mem_set_capacity(f->fs, 1);
    for (int round = 0; round < 20; round++) {
        log_write(f, 100);
        wal_compact(f->wal, f->last - 10, 1, "members", 7);
        env_test_run(&f->e);
        assert_false(wal_is_full(f->wal));
    }
    fs_mem_set_capacity(f->fs, 1u << 30);
}

static void test_a_reset_begins_anew_after_the_snapshot(void **state)
{
    struct fixture *f = *state;

    log_write(f, 100);
    wal_compact(f->wal, 50, 1, "old", 3); /* under way: the reset waits for it */
    wal_submit_reset(f->wal, 5000, 3, "new", 3);
    env_test_run(&f->e);
    assert_int_equal(f->resets, 1);
    f->last = 5000;
    log_write(f, 10);
    log_reopen(f);
    assert_true(f->found.base_index == 5000 && f->found.base_term == 3);
    assert_memory_equal(f->found.base_data, "new", 3);
    assert_true(f->found.last_index == 5010);
    log_assert_readable(f, 5001, 5010);
}

/* --- the disk fails or is full --- */

static void test_a_failed_sync_ends_the_node_and_nothing_is_tried_again(void **state)
{
    struct fixture *f = *state;
    uint64_t ops;

    log_write(f, 3);
    log_submit(f, 1, 0);
    fs_mem_fail_at(f->fs, 3, DKV_EIO); /* data, headers, sync */
    env_test_run(&f->e);
    assert_int_equal(f->e.exit_code, 74);
    assert_true(f->durable == f->ticket - 1);
    ops = fs_mem_ops(f->fs);
    log_submit(f, 1, 0);
    env_test_run(&f->e);
    assert_true(fs_mem_ops(f->fs) == ops);
}

static void test_r_p8_a_full_disk_stops_nothing_that_was_promised(void **state)
{
    struct fixture *f = *state;

    fs_mem_set_capacity(f->fs, 1);
    while (!wal_is_full(f->wal) && f->last < 5000)
        log_write(f, 50);
    assert_true(wal_is_full(f->wal));
    assert_int_equal(f->e.exit_code, 0);
    fs_mem_set_capacity(f->fs, 1u << 30);
    f->e.now_us += 5000000;
    wal_tick(f->wal, f->e.now_us);
    env_test_run(&f->e);
    assert_false(wal_is_full(f->wal));
    log_write(f, 500);
    log_reopen(f);
    log_assert_readable(f, 1, f->last);
}

static void test_a_start_on_a_full_disk_takes_an_old_segment_or_waits_for_space(void **state)
{
    struct fixture *f = *state;

    fs_mem_set_capacity(f->fs, 1);
    while (!wal_is_full(f->wal))
        log_write(f, 50);
    log_reopen(f); /* no spare, no old segment */
    log_assert_readable(f, 1, f->last);
    assert_true(wal_is_full(f->wal));
    log_submit(f, 1, 0);
    env_test_run(&f->e);
    assert_true(f->durable < f->ticket);
    fs_mem_set_capacity(f->fs, 1u << 30);
    f->e.now_us += 2000000;
    wal_tick(f->wal, f->e.now_us);
    env_test_run(&f->e);
    assert_true(f->durable == f->ticket && f->e.exit_code == 0);
    log_reopen(f);
    log_assert_readable(f, 1, f->last);

    fs_mem_set_capacity(f->fs, 1);
    while (!wal_is_full(f->wal))
        log_write(f, 50);
    wal_compact(f->wal, f->last, 1, "members", 7);
    while (log_files(f, ".old").count == 0)
        assert_true(env_test_work(&f->e, ENV_QUEUE_BACKGROUND));
    log_reopen(f);
    assert_false(wal_is_full(f->wal));
    log_write(f, 10);
    assert_int_equal(f->e.exit_code, 0);
}

/* Space or descriptors run out at each step of making a spare from a segment that was cut off. */
static void test_a_segment_that_cannot_be_used_again_is_no_loss(void **state)
{
    static const int passing[] = {DKV_ENOSPC, DKV_EUNAVAIL};
    struct fixture *f = *state;

    for (uint64_t nth = 1; nth <= 16; nth++) {
        fs_mem_set_capacity(f->fs, 1);
        while (!wal_is_full(f->wal))
            log_write(f, 50);
        wal_compact(f->wal, f->last, 1, "members", 7);
        while (log_files(f, ".old").count == 0)
            assert_true(env_test_work(&f->e, ENV_QUEUE_BACKGROUND));
        fs_mem_fail_at(f->fs, (nth + 1) / 2, passing[nth % 2]);
        env_test_run(&f->e);
        fs_mem_fail_at(f->fs, 0, 0);
        fs_mem_set_capacity(f->fs, 1u << 30);
        f->e.now_us += 2000000;
        wal_tick(f->wal, f->e.now_us);
        env_test_run(&f->e);
        assert_int_equal(f->e.exit_code, 0);
        assert_false(wal_is_full(f->wal));
        assert_int_equal(log_files(f, ".making").count, 0);
    }
    log_reopen(f);
    log_assert_readable(f, f->found.base_index + 1, f->last);
}

static void put_back(struct fixture *f, const char *path, void *bytes, size_t len)
{
    const struct iovec iov = {bytes, len};
    struct fs_file *file;

    assert_int_equal(f->fs->ops->open(f->fs, path, FS_WRITE | FS_CREATE, &file), DKV_OK);
    assert_int_equal(f->fs->ops->write(file, &iov, 1, 0), DKV_OK);
    assert_int_equal(f->fs->ops->close(file), DKV_OK);
}

/* They stay if the power goes between the new base and their end. */
static void test_segments_before_the_base_are_removed_at_a_start(void **state)
{
    struct fixture *f = *state;
    struct names old;
    char path[64];
    size_t len;
    void *bytes;

    log_write(f, 1500);
    old = log_files(f, ".seg");
    assert_true(old.count > 3);
    (void)snprintf(path, sizeof(path), "wal/%s", old.items[1]);
    bytes = fs_mem_bytes(f->fs, path, &len);
    bytes = memcpy(malloc(len), bytes, len);
    wal_compact(f->wal, f->last, 1, "members", 7);
    env_test_run(&f->e);
    log_close(f);
    assert_int_equal(log_files(f, ".seg").count, 1);
    put_back(f, path, bytes, len);
    free(bytes);
    log_open(f);
    assert_int_equal(log_files(f, ".seg").count, 1);
    log_write(f, 10);
    log_reopen(f);
    log_assert_readable(f, f->found.base_index + 1, f->last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(test_entries_come_back_over_many_segments_and_starts),
        WITH_LOG(test_batches_gather_while_one_is_written),
        WITH_LOG(test_a_spare_that_was_written_to_is_not_taken_again),
        WITH_LOG(test_truncated_entries_stay_away),
        WITH_LOG(test_r_p10_the_vote_survives_with_one_copy_damaged),
        WITH_LOG(test_bytes_after_an_entry_are_those_of_the_entries_that_follow),
        WITH_LOG(test_compaction_removes_whole_segments_and_keeps_the_base),
        WITH_LOG(test_a_segment_that_was_cut_off_becomes_a_spare),
        WITH_LOG(test_a_log_that_is_cut_regularly_needs_no_space_on_a_full_disk),
        WITH_LOG(test_a_segment_that_cannot_be_used_again_is_no_loss),
        WITH_LOG(test_segments_before_the_base_are_removed_at_a_start),
        WITH_LOG(test_a_reset_begins_anew_after_the_snapshot),
        WITH_LOG(test_a_failed_sync_ends_the_node_and_nothing_is_tried_again),
        WITH_LOG(test_a_start_on_a_full_disk_takes_an_old_segment_or_waits_for_space),
        WITH_LOG(test_r_p8_a_full_disk_stops_nothing_that_was_promised),
    };

    return cmocka_run_group_tests_name("wal", tests, NULL, NULL);
}
