/* When snapshots are made, when the log is cut, and how a node gets on that was away behind the cut:
 * over storage that keeps its content and over storage in memory, which needs a file each time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs_mem.h"
#include "replicas.h"

static int setup_durable(void **state)
{
    *state = replicas_new(3);
    return 0;
}

static int setup_in_memory(void **state)
{
    *state = replicas_new_in_memory(3);
    return 0;
}

static int teardown(void **state)
{
    replicas_free(*state);
    return 0;
}

enum { VALUE = 1000, BLOCK = 4096 }; /* a write that comes alone takes a block of the log */

/* bytes of log, a key for each value */
static void fill(struct replicas *all, uint32_t n, const char *prefix, uint64_t bytes)
{
    static char value[VALUE + 1];

    memset(value, 'v', VALUE);
    for (unsigned i = 0; i < bytes / VALUE; i++) {
        struct client_write w;
        char key[16];

        (void)snprintf(key, sizeof(key), "%s%u", prefix, i);
        replicas_write(all, n, &w, key, value);
        replicas_run(all, T_US / 20);
        assert_true(w.done == 1 && w.write.status == DKV_OK);
    }
}

static void assert_equal_states(const struct replicas *all)
{
    struct api_node_view one = replicas_view(all, 0);

    for (uint32_t n = 1; n < all->count; n++) {
        struct api_node_view other = replicas_view(all, n);

        assert_true(other.applied_index == one.applied_index && other.keys == one.keys);
        assert_memory_equal(&other.digest, &one.digest, sizeof(one.digest));
    }
}

static bool has_files(const struct replicas *all, uint32_t n)
{
    return all->nodes[n].store->snapshots > 0;
}

static void test_a_log_is_cut_by_what_it_grew_and_not_made_shorter_when_idle(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all);
    unsigned made[REPLICAS_MAX];

    fill(all, leader, "k", 5 * LOG_SIZE);
    for (uint32_t n = 0; n < 3; n++) {
        made[n] = all->nodes[n].store->snapshots;
        if (all->is_in_memory)
            assert_true(made[n] >= 5 && made[n] <= 5 * BLOCK / VALUE + 1);
        else
            assert_int_equal(made[n], 0);
    }
    replicas_run(all, 50 * T_US);
    for (uint32_t n = 0; n < 3; n++)
        assert_int_equal(all->nodes[n].store->snapshots, made[n]);
}

static void test_who_was_away_behind_the_cut_gets_a_snapshot(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;

    fill(all, leader, "a", LOG_SIZE / 2);
    replicas_kill(all, follower);
    fill(all, leader, "b", 5 * LOG_SIZE);
    replicas_start(all, follower);
    replicas_run(all, 5 * T_US);
    assert_true(has_files(all, leader));
    assert_true(all->sent[FRAME_SNAPSHOT_CHUNK] > 0);
    assert_equal_states(all);
    fill(all, follower, "c", LOG_SIZE / 2);
    replicas_run(all, T_US);
    assert_equal_states(all);
}

static void test_a_follower_that_goes_away_meanwhile_is_not_read_for(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;

    replicas_kill(all, follower);
    fill(all, leader, "k", 5 * LOG_SIZE);
    replicas_start(all, follower);
    all->drops[FRAME_SNAPSHOT_CHUNK] = true;
    replicas_run(all, T_US / 2); /* the file is there and its first piece sent */
    all->nodes[leader].is_disk_slow = true;
    replicas_run(all, 3 * T_US);  /* it is read once more, */
    replicas_kill(all, follower); /* and nobody is there for it */
    all->nodes[leader].is_disk_slow = all->drops[FRAME_SNAPSHOT_CHUNK] = false;
    replicas_run(all, T_US);
    replicas_start(all, follower);
    replicas_run(all, 10 * T_US);
    assert_equal_states(all);
}

/* A follower behind the cut, which is started last. */
static uint32_t leave_one_behind(struct replicas *all, uint32_t *follower_out)
{
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;

    replicas_kill(all, follower);
    fill(all, leader, "k", 5 * LOG_SIZE);
    memset(all->sent, 0, sizeof(all->sent));
    *follower_out = follower;
    return leader;
}

static void test_r_s8_chunks_that_come_twice_and_out_of_order_are_no_harm(void **state)
{
    struct replicas *all = *state;
    uint32_t follower;

    (void)leave_one_behind(all, &follower);
    for (int i = 0; i < 2; i++) {
        enum frame_type type = i == 0 ? FRAME_SNAPSHOT_CHUNK : FRAME_SNAPSHOT_ACK;

        all->doubles[type] = all->swaps[type] = true;
    }
    replicas_start(all, follower);
    replicas_run(all, 40 * T_US);
    assert_true(all->sent[FRAME_SNAPSHOT_CHUNK] > 15);
    assert_equal_states(all);
}

static void test_r_s8_lost_chunks_and_acknowledgements_are_sent_again(void **state)
{
    struct replicas *all = *state;
    uint32_t follower;

    (void)leave_one_behind(all, &follower);
    replicas_start(all, follower);
    for (int i = 0; i < 2; i++) {
        enum frame_type type = i == 0 ? FRAME_SNAPSHOT_CHUNK : FRAME_SNAPSHOT_ACK;

        all->drops[type] = true;
        replicas_run(all, 3 * T_US);
        assert_true(all->sent[type] > 0);
        all->drops[type] = false;
    }
    replicas_run(all, 40 * T_US);
    assert_equal_states(all);
}

/* Sent and not acknowledged: a window and no more, however long the answer takes. */
static void test_r_s8_a_window_of_chunks_is_under_way(void **state)
{
    struct replicas *all = *state;
    uint32_t follower;

    (void)leave_one_behind(all, &follower);
    all->drops[FRAME_SNAPSHOT_ACK] = true;
    replicas_start(all, follower);
    replicas_run(all, 2 * T_US);
    assert_int_equal(all->sent[FRAME_SNAPSHOT_CHUNK], 4);
    all->drops[FRAME_SNAPSHOT_ACK] = false;
    replicas_run(all, 40 * T_US);
    assert_equal_states(all);
}

static void test_r_s8_a_new_leader_begins_with_a_snapshot_of_its_own(void **state)
{
    struct replicas *all = *state;
    uint32_t follower, old = leave_one_behind(all, &follower), next;

    all->drops[FRAME_SNAPSHOT_ACK] = true; /* what the old leader sends stays half */
    replicas_start(all, follower);
    while (all->sent[FRAME_SNAPSHOT_CHUNK] < 2)
        replicas_run(all, T_US / 40);
    replicas_cut(all, old, true);
    replicas_run(all, 6 * T_US);
    all->drops[FRAME_SNAPSHOT_ACK] = false;
    next = replicas_leader(all);
    assert_true(next != old);
    fill(all, next, "n", LOG_SIZE / 4);
    replicas_cut(all, old, false);
    replicas_run(all, 40 * T_US);
    assert_equal_states(all);
}

static void test_all_come_back_to_what_they_had(void **state)
{
    struct replicas *all = *state;
    struct api_node_view before, after;

    fill(all, replicas_leader(all), "k", 3 * LOG_SIZE);
    replicas_run(all, T_US);
    before = replicas_view(all, 0);
    for (uint32_t n = 0; n < 3; n++)
        replicas_kill(all, n);
    for (uint32_t n = 0; n < 3; n++)
        replicas_start(all, n);
    (void)replicas_leader(all);
    after = replicas_view(all, 0);
    assert_equal_states(all);
    assert_int_equal(after.keys, before.keys);
    assert_memory_equal(&after.digest, &before.digest, sizeof(before.digest));
}

/* The view is pinned only when storage gets round to it; by then Raft may have put the leader's
 * snapshot in the place of the log that the view belongs to. */
static void test_a_snapshot_of_its_own_may_be_overtaken_by_the_leaders(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;

    fill(all, leader, "a", LOG_SIZE / 2);
    all->nodes[follower].is_storage_slow = true;
    fill(all, leader, "b", LOG_SIZE);
    replicas_cut(all, follower, true);
    fill(all, leader, "c", 6 * LOG_SIZE);
    replicas_cut(all, follower, false);
    replicas_run(all, 5 * T_US);
    assert_true(all->sent[FRAME_SNAPSHOT_CHUNK] > 0);
    assert_true(replicas_view(all, follower).applied_index <
                replicas_view(all, leader).applied_index);
    all->nodes[follower].is_storage_slow = false;
    replicas_run(all, 5 * T_US);
    assert_equal_states(all);
    fill(all, leader, "d", 3 * LOG_SIZE);
    assert_equal_states(all);
}

#define DURABLE(test)   cmocka_unit_test_setup_teardown(test, setup_durable, teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, setup_in_memory, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DURABLE(test_a_log_is_cut_by_what_it_grew_and_not_made_shorter_when_idle),
        IN_MEMORY(test_a_log_is_cut_by_what_it_grew_and_not_made_shorter_when_idle),
        DURABLE(test_who_was_away_behind_the_cut_gets_a_snapshot),
        IN_MEMORY(test_who_was_away_behind_the_cut_gets_a_snapshot),
        DURABLE(test_a_follower_that_goes_away_meanwhile_is_not_read_for),
        IN_MEMORY(test_a_follower_that_goes_away_meanwhile_is_not_read_for),
        DURABLE(test_r_s8_chunks_that_come_twice_and_out_of_order_are_no_harm),
        IN_MEMORY(test_r_s8_chunks_that_come_twice_and_out_of_order_are_no_harm),
        DURABLE(test_r_s8_lost_chunks_and_acknowledgements_are_sent_again),
        IN_MEMORY(test_r_s8_lost_chunks_and_acknowledgements_are_sent_again),
        DURABLE(test_r_s8_a_window_of_chunks_is_under_way),
        IN_MEMORY(test_r_s8_a_window_of_chunks_is_under_way),
        DURABLE(test_r_s8_a_new_leader_begins_with_a_snapshot_of_its_own),
        IN_MEMORY(test_r_s8_a_new_leader_begins_with_a_snapshot_of_its_own),
        DURABLE(test_all_come_back_to_what_they_had),
        IN_MEMORY(test_all_come_back_to_what_they_had),
        DURABLE(test_a_snapshot_of_its_own_may_be_overtaken_by_the_leaders),
        IN_MEMORY(test_a_snapshot_of_its_own_may_be_overtaken_by_the_leaders),
    };

    return cmocka_run_group_tests_name("snapshots", tests, NULL, NULL);
}
