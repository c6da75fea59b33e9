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
#include "net/relay.h"
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

struct newest {
    unsigned files; /* that there are in all */
    raft_index index;
    char path[64];
};

static int see_file(void *ctx, const char *name)
{
    struct newest *newest = ctx;
    raft_index index = strtoull(name, NULL, 16);

    newest->files += strstr(name, ".snap") != NULL;
    if (index > newest->index) {
        newest->index = index;
        (void)snprintf(newest->path, sizeof(newest->path), "snap/%s", name);
    }
    return 0;
}

static struct newest newest_file(const struct replicas *all, uint32_t n)
{
    struct fs *fs = all->nodes[n].fs;
    struct newest newest = {.index = 0};

    assert_int_equal(fs->ops->list(fs, "snap", see_file, &newest), DKV_OK);
    assert_true(newest.index > 0);
    return newest;
}

static void answered(struct api_cluster_query *query)
{
    assert_int_equal(query->status, DKV_OK);
}

static bool is_sending(struct replicas *all, uint32_t leader, uint32_t to)
{
    struct api_cluster_query query = {.done = answered, .status = DKV_ECANCELED};

    replica_cluster(all->nodes[leader].replica, &query);
    (void)replicas_step(all);
    assert_int_equal(query.status, DKV_OK);
    for (uint32_t i = 0; i < query.view.members_count; i++) {
        if (strcmp(query.view.members[i].name, all->members[to].name) == 0)
            return query.view.members[i].is_sending_snapshot;
    }
    return false;
}

/* "Nothing is written yet" about an earlier transfer of the same file comes when of this one not
 * even the size is known. */
static void test_r_s8_an_old_answer_does_not_end_a_new_transfer(void **state)
{
    struct replicas *all = *state;
    uint32_t follower, leader = leave_one_behind(all, &follower);
    struct relay_chunk_ack ack = {.index = newest_file(all, leader).index};
    struct buf frame = {NULL, 0, 0};
    struct blob *payload;

    all->nodes[leader].is_disk_slow = true;
    replicas_start(all, follower);
    replicas_run(all, T_US);
    assert_true(is_sending(all, leader, follower));
    assert_int_equal(all->sent[FRAME_SNAPSHOT_CHUNK], 0);
    ack.term = replicas_view(all, leader).term;
    relay_chunk_ack_encode(&frame, &ack);
    payload = blob_try((uint32_t)frame.len);
    memcpy(payload->bytes, frame.data, frame.len);
    replica_frame(all->nodes[leader].replica, REPLICA_ID(follower), FRAME_SNAPSHOT_ACK, payload);
    blob_unref(payload);
    buf_fini(&frame);
    assert_true(is_sending(all, leader, follower));
    all->nodes[leader].is_disk_slow = false;
    replicas_run(all, 5 * T_US);
    assert_equal_states(all);
}

/* Runs until the leader has given the transfer up, if it does within that time. */
static bool is_given_up(struct replicas *all, uint32_t leader, uint32_t to, uint64_t us)
{
    uint64_t end = all->now_us + us;

    while (all->now_us < end) {
        replicas_run(all, T_US / 8);
        if (all->sent[FRAME_SNAPSHOT_CHUNK] > 0 && !is_sending(all, leader, to))
            return true;
    }
    return false;
}

static void test_a_file_that_cannot_be_read_gives_way_to_the_next(void **state)
{
    struct replicas *all = *state;
    uint32_t follower, leader = leave_one_behind(all, &follower);
    struct newest newest = newest_file(all, leader);

    fs_mem_make_unreadable(all->nodes[leader].fs, newest.path, 0, 1);
    replicas_start(all, follower);
    replicas_run(all, 5 * T_US);
    assert_int_equal(all->sent[FRAME_SNAPSHOT_CHUNK], 0);
    assert_true(replicas_view(all, follower).applied_index < newest.index);
    fill(all, leader, "m", 2 * LOG_SIZE);
    replicas_run(all, 5 * T_US);
    assert_true(newest_file(all, leader).index > newest.index);
    assert_equal_states(all);
}

static void test_a_follower_without_space_refuses_and_gets_it_when_there_is(void **state)
{
    struct replicas *all = *state;
    uint32_t follower, leader = leave_one_behind(all, &follower);

    replicas_start(all, follower);
    fs_mem_set_capacity(all->nodes[follower].fs, 1);
    assert_true(is_given_up(all, leader, follower, 3 * T_US)); /* before it could be a time-out */
    assert_true(replicas_view(all, follower).applied_index < newest_file(all, leader).index);
    fs_mem_set_capacity(all->nodes[follower].fs, UINT64_MAX);
    replicas_run(all, 10 * T_US);
    assert_equal_states(all);
}

static void test_a_snapshot_that_was_damaged_on_the_way_is_refused(void **state)
{
    struct replicas *all = *state;
    uint32_t follower, leader = leave_one_behind(all, &follower);

    all->damages[FRAME_SNAPSHOT_CHUNK] = true;
    replicas_start(all, follower);
    for (int i = 0; i < 3; i++)
        assert_true(is_given_up(all, leader, follower, 5 * T_US));
    assert_true(replicas_view(all, follower).applied_index < newest_file(all, leader).index);
    all->damages[FRAME_SNAPSHOT_CHUNK] = false;
    replicas_run(all, 10 * T_US);
    assert_equal_states(all);
}

static void test_a_transfer_without_progress_is_given_up_after_a_minute(void **state)
{
    struct replicas *all = *state;
    uint32_t follower, leader = leave_one_behind(all, &follower);

    all->drops[FRAME_SNAPSHOT_CHUNK] = true;
    replicas_start(all, follower);
    assert_false(is_given_up(all, leader, follower, 59000000));
    assert_true(is_given_up(all, leader, follower, 5000000));
    all->drops[FRAME_SNAPSHOT_CHUNK] = false;
    replicas_run(all, 10 * T_US);
    assert_equal_states(all);
}

/* The follower's slow jobs stand still after so many turns that do what chance says, for longer than
 * the leader waits before it sends again; meanwhile another may begin to lead.  False: the snapshot was
 * there before. */
static bool stand_still_after(struct replicas *all, unsigned turns, uint64_t seed,
                              bool is_other_leader)
{
    uint32_t follower, leader = leave_one_behind(all, &follower);
    bool was_early;

    replicas_start(all, follower);
    rng_init(&all->rng, seed);
    all->is_jittery = true;
    for (unsigned i = 0; i < turns; i++) {
        if (!replicas_step(all))
            replicas_run(all, T_US / 40);
    }
    was_early = replicas_view(all, follower).applied_index < newest_file(all, leader).index;
    all->nodes[follower].is_background_slow = true;
    replicas_run(all, T_US);
    replicas_cut(all, leader, is_other_leader);
    replicas_run(all, 20 * T_US);
    all->nodes[follower].is_background_slow = all->is_jittery = false;
    replicas_run(all, 5 * T_US);
    replicas_cut(all, leader, false);
    replicas_run(all, 20 * T_US);
    assert_equal_states(all);
    return was_early;
}

static void test_r_s8_slow_jobs_may_stand_still_at_any_moment_of_it(void **state)
{
    struct replicas **all = (struct replicas **)state;
    unsigned early = 0;

    for (unsigned seed = 0; seed < 320; seed++) {
        replicas_free(*all);
        *all = replicas_new_in_memory(3);
        early += stand_still_after(*all, seed / 2 % 12, seed, seed % 2 != 0);
    }
    assert_true(early > 100);
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

static void test_a_storage_without_space_for_the_snapshot_is_asked_again(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;

    fill(all, leader, "a", LOG_SIZE / 2);
    all->nodes[follower].has_no_room = true;
    replicas_cut(all, follower, true);
    fill(all, leader, "c", 6 * LOG_SIZE);
    replicas_cut(all, follower, false);
    replicas_run(all, 20 * T_US);
    assert_true(all->sent[FRAME_SNAPSHOT_CHUNK] > 0);
    assert_true(replicas_view(all, follower).is_disk_full);
    assert_true(replicas_view(all, follower).applied_index <
                replicas_view(all, leader).applied_index);
    all->nodes[follower].has_no_room = false;
    replicas_run(all, 5 * T_US);
    assert_false(replicas_view(all, follower).is_disk_full);
    assert_equal_states(all);
}

/* What it could not apply the snapshot has; what comes behind it is applied before the time at which
 * it would have tried again. */
static void test_a_full_storage_gets_a_snapshot_and_goes_on_behind_it(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;
    unsigned made;

    fill(all, leader, "a", LOG_SIZE / 2);
    all->nodes[follower].is_storage_full = true;
    fill(all, leader, "b", 2 * LOG_SIZE);
    made = all->nodes[follower].store->snapshots;
    replicas_run(all, 2 * T_US);
    assert_int_equal(all->nodes[follower].store->snapshots, made); /* it is the same each time */
    replicas_cut(all, follower, true);
    fill(all, leader, "c", 6 * LOG_SIZE);
    replicas_cut(all, follower, false);
    for (int i = 0; i < 200 && all->sent[FRAME_SNAPSHOT_CHUNK] == 0; i++)
        replicas_run(all, T_US / 40);
    assert_true(all->sent[FRAME_SNAPSHOT_CHUNK] > 0);
    all->nodes[follower].is_storage_full = false;
    for (int i = 0; i < 20; i++)
        fill(all, leader, "d", VALUE);
    replicas_run(all, 5 * T_US);
    assert_equal_states(all);
}

/* False if the follower had everything before the power went. */
static bool lose_power_at(struct replicas *all, uint32_t leader, uint32_t follower, uint64_t nth,
                          enum fs_mem_crash_mode mode)
{
    struct replicas_node *node = &all->nodes[follower];
    bool was_early;

    replicas_start(all, follower);
    node->may_stop = true;
    fs_mem_power_off_at(node->fs, nth);
    replicas_run(all, 2 * T_US);
    was_early = node->e.exit_code != 0 || replicas_view(all, follower).applied_index <
                                              replicas_view(all, leader).applied_index;
    replicas_power_cut(all, follower, mode, nth);
    node->may_stop = false;
    return was_early;
}

/* The same keys each time, so that the second install takes as many ops, or a few more or less. */
static bool lose_power_twice(struct replicas *all, uint64_t nth, uint64_t more,
                             enum fs_mem_crash_mode mode)
{
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;
    struct newest newest = {.files = 0};
    bool was_early;

    fill(all, leader, "k", LOG_SIZE);
    replicas_kill(all, follower);
    fill(all, leader, "k", LOG_SIZE);
    was_early = lose_power_at(all, leader, follower, nth, mode);
    fill(all, leader, "k", LOG_SIZE);
    (void)lose_power_at(all, leader, follower, nth + more, mode);
    replicas_start(all, follower);
    replicas_run(all, 5 * T_US);
    assert_equal_states(all);
    fill(all, leader, "k", LOG_SIZE);
    (void)all->nodes[follower].fs->ops->list(all->nodes[follower].fs, "snap", see_file, &newest);
    assert_true(newest.files <= 3);
    return was_early;
}

/* Files that were received and never became the base must not push out the one that the log still
 * begins with. */
static void test_the_power_may_go_at_any_op_of_two_installs_in_a_row(void **state)
{
    struct replicas **all = (struct replicas **)state;
    bool is_in_memory = (*all)->is_in_memory, was_early = true;
    uint64_t nth;

    for (nth = 1; was_early; nth++) {
        was_early = false;
        for (unsigned mode = 0; mode < FS_MEM_CRASH_MODES; mode++) {
            replicas_free(*all);
            *all = is_in_memory ? replicas_new_in_memory(3) : replicas_new(3);
            was_early =
                lose_power_twice(*all, nth, (nth + mode) % 3, (enum fs_mem_crash_mode)mode) ||
                was_early;
        }
    }
    assert_true(nth > 15);
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
        IN_MEMORY(test_r_s8_an_old_answer_does_not_end_a_new_transfer),
        IN_MEMORY(test_a_file_that_cannot_be_read_gives_way_to_the_next),
        IN_MEMORY(test_a_follower_without_space_refuses_and_gets_it_when_there_is),
        IN_MEMORY(test_a_snapshot_that_was_damaged_on_the_way_is_refused),
        IN_MEMORY(test_a_transfer_without_progress_is_given_up_after_a_minute),
        IN_MEMORY(test_r_s8_slow_jobs_may_stand_still_at_any_moment_of_it),
        DURABLE(test_all_come_back_to_what_they_had),
        IN_MEMORY(test_all_come_back_to_what_they_had),
        DURABLE(test_a_snapshot_of_its_own_may_be_overtaken_by_the_leaders),
        DURABLE(test_a_storage_without_space_for_the_snapshot_is_asked_again),
        IN_MEMORY(test_a_storage_without_space_for_the_snapshot_is_asked_again),
        DURABLE(test_a_full_storage_gets_a_snapshot_and_goes_on_behind_it),
        IN_MEMORY(test_a_full_storage_gets_a_snapshot_and_goes_on_behind_it),
        IN_MEMORY(test_a_snapshot_of_its_own_may_be_overtaken_by_the_leaders),
        DURABLE(test_the_power_may_go_at_any_op_of_two_installs_in_a_row),
        IN_MEMORY(test_the_power_may_go_at_any_op_of_two_installs_in_a_row),
    };

    return cmocka_run_group_tests_name("snapshots", tests, NULL, NULL);
}
