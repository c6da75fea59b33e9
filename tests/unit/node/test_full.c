/* Disks that are full: what is refused, what goes on, and who leads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fs_mem.h"
#include "replicas.h"

enum { STALL_US = 5 * T_US, HAND_OVER_US = 15 * 1000 * 1000 };

static int setup(void **state)
{
    *state = replicas_new(3);
    return 0;
}

static int teardown(void **state)
{
    replicas_free(*state);
    return 0;
}

static void set_full(struct replicas *all, uint32_t n, bool is_full)
{
    fs_mem_set_capacity(all->nodes[n].fs, is_full ? 1 : 1u << 30);
}

static int put(struct replicas *all, uint32_t n, const char *key, size_t len)
{
    static char value[20001];
    struct client_write w;

    memset(value, 'x', len);
    value[len] = '\0';
    replicas_write(all, n, &w, key, value);
    replicas_run(all, T_US / 40);
    if (w.done == 0)
        replicas_run(all, 2 * TIMEOUT_US);
    assert_int_equal(w.done, 1);
    return w.write.status;
}

/* Writes until the leader's disk takes no more. */
static void fill(struct replicas *all, uint32_t leader)
{
    for (int i = 0; i < 400; i++) {
        int status = put(all, leader, "k", 20000);

        if (status == DKV_ENOSPC)
            return;
        assert_int_equal(status, DKV_OK);
    }
    fail_msg("the disk does not get full");
}

static uint64_t term_of(struct replicas *all, uint32_t n)
{
    return replicas_view(all, n).term;
}

static void test_a_full_disk_refuses_writes_and_nothing_else(void **state)
{
    struct replicas *all = *state;
    struct client_read r;
    uint32_t leader = replicas_leader(all);
    uint64_t term = term_of(all, leader);

    for (uint32_t n = 0; n < 3; n++)
        set_full(all, n, true);
    fill(all, leader);
    replicas_run(all, 5 * T_US);
    replicas_read(all, (leader + 1) % 3, &r);
    replicas_run(all, T_US / 4);
    assert_true(r.done == 1 && r.barrier.status == DKV_OK);
    assert_true(term_of(all, leader) == term);
    for (uint32_t n = 0; n < 3; n++)
        set_full(all, n, false);
    replicas_run(all, 5 * T_US);
    assert_int_equal(put(all, leader, "again", 1), DKV_OK);
}

/* Cannot cut its log, for nobody is told how far its storage is durable. */
static void test_a_full_leader_hands_over_to_who_has_space(void **state)
{
    struct replicas *all = *state;
    uint32_t old = replicas_leader(all), leader;

    set_full(all, old, true);
    all->nodes[old].is_sync_failing = true;
    fill(all, old);
    set_full(all, (old + 1) % 3, true); /* with spare segments; it does not say so yet */
    replicas_run(all, STALL_US + 4 * T_US);
    leader = replicas_leader(all);
    assert_int_not_equal(leader, old);
    assert_int_equal(put(all, leader, "after", 1), DKV_OK);
    assert_int_equal(put(all, old, "through", 1), DKV_OK);
}

static void test_where_all_are_full_nobody_hands_over(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all);
    uint64_t term = term_of(all, leader);

    for (uint32_t n = 0; n < 3; n++) {
        set_full(all, n, true);
        all->nodes[n].is_sync_failing = true;
    }
    fill(all, leader);
    for (int i = 0; i < 20; i++)
        (void)put(all, leader, "k", 1000);
    replicas_run(all, STALL_US + 2 * HAND_OVER_US);
    assert_true(term_of(all, leader) == term);
    assert_int_equal(replicas_leader(all), leader);
}

static void test_full_for_a_moment_is_no_reason(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all);
    uint64_t term = term_of(all, leader);

    for (int i = 0; i < 5; i++) {
        struct client_write w;

        all->nodes[leader].is_storage_full = true;
        replicas_write(all, leader, &w, "k", "v");
        replicas_run(all, STALL_US / 2);
        all->nodes[leader].is_storage_full = false;
        replicas_run(all, 3 * T_US);
        assert_true(w.done == 1 && w.write.status == DKV_OK);
    }
    assert_true(term_of(all, leader) == term);
}

static int count_segment(void *ctx, const char *name)
{
    *(unsigned *)ctx += strstr(name, ".seg") != NULL;
    return 0;
}

static unsigned segments_of(struct replicas *all, uint32_t n)
{
    unsigned count = 0;

    assert_int_equal(all->nodes[n].fs->ops->list(all->nodes[n].fs, "wal", count_segment, &count),
                     DKV_OK);
    return count;
}

/* A cut that comes while one is under way is made when that is over, for Raft's log and the files
 * alike: on a full disk nothing else makes room. */
static void test_a_cut_waits_for_the_one_before(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all);
    struct replicas_node *node = &all->nodes[leader];
    unsigned before;

    assert_int_equal(put(all, leader, "k", 20000), DKV_OK);
    node->is_background_slow = true;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(put(all, leader, "k", 20000), DKV_OK);
        replicas_run(all, T_US / 2);
    }
    before = segments_of(all, leader);
    node->is_sync_failing = true; /* there is no other reason to cut any more */
    node->is_background_slow = false;
    replicas_run(all, 2 * T_US);
    assert_true(segments_of(all, leader) < before);
}

static int count_temporary(void *ctx, const char *name)
{
    *(unsigned *)ctx += strstr(name, ".tmp") != NULL;
    return 0;
}

static void test_a_snapshot_that_finds_no_room_leaves_nothing(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all), other = (leader + 1) % 3;
    struct fs *fs = all->nodes[other].fs;
    unsigned temporary = 0;

    replicas_kill(all, other);
    for (int i = 0; i < 40; i++) {
        char key[8] = {'k', (char)('a' + i % 26), (char)('a' + i / 26)};

        assert_int_equal(put(all, leader, key, 8000), DKV_OK);
        replicas_run(all, T_US);
    }
    replicas_start(all, other);
    all->drops[FRAME_SNAPSHOT_CHUNK] = true;
    replicas_run(all, T_US);
    set_full(all, other, true);
    all->drops[FRAME_SNAPSHOT_CHUNK] = false;
    replicas_run(all, 8 * T_US);
    assert_true(all->sent[FRAME_SNAPSHOT_CHUNK] > 0);
    assert_int_equal(fs->ops->list(fs, "snap", count_temporary, &temporary), DKV_OK);
    assert_int_equal(temporary, 0);
    set_full(all, other, false);
    replicas_run(all, 60 * T_US);
    assert_int_equal(replicas_view(all, other).keys, replicas_view(all, leader).keys);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_a_full_disk_refuses_writes_and_nothing_else),
        WITH(test_a_full_leader_hands_over_to_who_has_space),
        WITH(test_a_cut_waits_for_the_one_before),
        WITH(test_a_snapshot_that_finds_no_room_leaves_nothing),
        WITH(test_where_all_are_full_nobody_hands_over),
        WITH(test_full_for_a_moment_is_no_reason),
    };

    return cmocka_run_group_tests_name("full", tests, NULL, NULL);
}
