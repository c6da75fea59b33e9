/* What a start says of one segment: the clean end, the torn one and damage, and which entries it
 * concerns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/wal/log_fixture.h"
#include "wal/format.h"

/* Entries 1 to count, each a batch of its own: header of entry i in block i - 1, copy in slot i - 1. */
enum { DATA = 8192 + SEGMENT / 4, ZONE = 8192, HEADER = WAL__RECORD_HEADER };

static uint8_t *segment(struct fixture *f)
{
    char path[64];
    size_t len;
    uint8_t *bytes;

    (void)snprintf(path, sizeof(path), "wal/%s", log_files(f, ".seg").items[0]);
    bytes = fs_mem_bytes(f->fs, path, &len);
    assert_true(bytes != NULL && len == SEGMENT);
    return bytes;
}

static void write_each(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        log_write(f, 1);
}

/* The disk as it is, for a start that does not know of a seal. */
static void kill_node(struct fixture *f)
{
    struct fs *left = fs_mem_crash(f->fs, FS_MEM_KEEP_ALL, 1);

    log_close(f);
    f->fs->ops->free(f->fs);
    f->fs = left;
    env_test_init(&f->e, f->fs, 3);
}

static void idle(struct fixture *f)
{
    f->e.now_us += 1000 * 1000;
    wal_tick(f->wal, f->e.now_us);
    env_test_run(&f->e);
}

static void blank(struct fixture *f, unsigned batch)
{
    memset(segment(f) + DATA + batch * WAL__BLOCK, 0, WAL__BLOCK);
    memset(segment(f) + ZONE + batch * HEADER, 0, HEADER);
}

static void assert_refused(struct fixture *f, const char *text)
{
    assert_int_equal(log_try_open(f), WAL_EDAMAGED);
    if (strstr(f->err.text, text) == NULL)
        fail_msg("no \"%s\" in: %s", text, f->err.text);
}

static void test_damage_says_which_entries_it_concerns(void **state)
{
    struct fixture *f = *state;

    write_each(f, 13);
    kill_node(f);
    memset(segment(f) + DATA + 3 * WAL__BLOCK, 0, WAL__BLOCK); /* the copy of the header is there */
    assert_refused(f, "entries 4 to 13 cannot be trusted, durable up to 12");
    memset(segment(f) + ZONE + 3 * HEADER, 1, HEADER);
    assert_refused(f, "entries 4 to 13 cannot be trusted, durable up to 12");
}

static void test_damage_in_the_first_of_many_segments_concerns_all_of_them(void **state)
{
    struct fixture *f = *state;
    char expected[64];

    log_write(f, 900);
    log_write(f, 1);
    assert_true(log_files(f, ".seg").count > 2);
    kill_node(f);
    memset(segment(f) + DATA, 0, WAL__BLOCK);
    (void)snprintf(expected, sizeof(expected), "entries 1 to %u cannot", (unsigned)f->last);
    assert_refused(f, expected);
}

static void test_a_blank_header_before_later_batches_is_no_clean_end(void **state)
{
    struct fixture *f = *state;

    write_each(f, 8);
    kill_node(f);
    blank(f, 3);
    assert_refused(f, "a record is missing, and later ones are there; entries 4 to 8");
}

/* A mark is written and not synced: the power can go between it and the batch that follows. */
static void test_a_lost_mark_and_a_batch_that_was_never_synced_are_a_torn_end(void **state)
{
    struct fixture *f = *state;

    write_each(f, 3);
    idle(f);
    write_each(f, 1);
    kill_node(f);
    blank(f, 3); /* the mark */
    log_open(f);
    assert_int_equal(f->found.last_index, 3);
    assert_true(f->found.tail_unknown);
    f->last = 3;
    log_write(f, 2);
    log_reopen(f);
    log_assert_readable(f, 1, 5);
}

static void test_a_lost_mark_and_a_batch_that_was_synced_are_damage(void **state)
{
    struct fixture *f = *state;

    write_each(f, 3);
    idle(f);
    write_each(f, 2);
    kill_node(f);
    blank(f, 3);
    assert_refused(f, "entries 4 to 5 cannot be trusted, durable up to 4");
}

/* Each header verifies by itself: that they follow each other, the chain says. */
static void test_a_record_of_another_chain_is_damage(void **state)
{
    struct fixture *f = *state;
    struct wal__super super;
    struct wal__record r;
    uint64_t at = DATA + 4 * WAL__BLOCK, copy = ZONE + 4 * HEADER;

    write_each(f, 8);
    kill_node(f);
    assert_int_equal(wal__super_decode(segment(f), &super), DKV_OK);
    assert_true(wal__record_decode(segment(f) + at, super.salt, at, &r));
    assert_int_equal(r.index, 5);
    r.chain ^= 1;
    wal__record_encode(segment(f) + at, &r, super.salt, at);
    wal__record_encode(segment(f) + copy, &r, super.salt, copy);
    assert_refused(f, "a record is out of its order; entries 5 to 8");
}

static void test_something_behind_the_seal_is_damage(void **state)
{
    struct fixture *f = *state;

    write_each(f, 3);
    wal_seal(f->wal);
    kill_node(f);
    segment(f)[DATA + 4 * WAL__BLOCK] = 1; /* block 3 holds the seal */
    assert_refused(f, "there is something behind the seal");
    segment(f)[DATA + 4 * WAL__BLOCK] = 0;
    log_open(f);
    assert_false(f->found.tail_unknown);
}

/* The vote changed within a term: only its generation tells the older file from the newer. */
static void test_r_p10_an_older_vote_of_the_same_term_is_refused(void **state)
{
    struct fixture *f = *state;
    struct raft_hard_state hard = {1, 2};
    struct wal_batch batch = {.hard = &hard};
    uint8_t old[8192];
    size_t len;

    log_write(f, 3);
    memcpy(old, fs_mem_bytes(f->fs, "wal/vote", &len), sizeof(old));
    batch.ticket = ++f->ticket;
    wal_submit(f->wal, &batch);
    env_test_run(&f->e);
    log_submit(f, 2, 2); /* begins a segment, which knows how new the vote is */
    env_test_run(&f->e);
    log_close(f);
    memcpy(fs_mem_bytes(f->fs, "wal/vote", &len), old, sizeof(old));
    env_test_init(&f->e, f->fs, 3);
    assert_refused(f, "wal/vote: older than the log says it was");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(test_damage_says_which_entries_it_concerns),
        WITH_LOG(test_damage_in_the_first_of_many_segments_concerns_all_of_them),
        WITH_LOG(test_a_blank_header_before_later_batches_is_no_clean_end),
        WITH_LOG(test_a_lost_mark_and_a_batch_that_was_never_synced_are_a_torn_end),
        WITH_LOG(test_a_lost_mark_and_a_batch_that_was_synced_are_damage),
        WITH_LOG(test_a_record_of_another_chain_is_damage),
        WITH_LOG(test_something_behind_the_seal_is_damage),
        WITH_LOG(test_r_p10_an_older_vote_of_the_same_term_is_refused),
    };

    return cmocka_run_group_tests_name("wal verdict", tests, NULL, NULL);
}
