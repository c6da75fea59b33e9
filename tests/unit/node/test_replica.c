/* What a client is told, whichever node it asks and whatever happens to the leader meanwhile: an
 * answer comes once, DKV_EUNAVAIL only for what certainly was not done, DKV_EUNCERTAIN for what may
 * have been, and a read never shows less than what was acknowledged before it was asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "fs_mem.h"
#include "replicas.h"

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

static void assert_answer(const struct client_write *w, int status)
{
    assert_int_equal(w->done, 1);
    assert_int_equal(w->write.status, status);
}

/* Every node has applied the same, and the same number of writes. */
static void assert_equal_states(const struct replicas *all, uint64_t keys)
{
    struct api_node_view one = replicas_view(all, 0);

    assert_true(one.keys == keys);
    for (uint32_t n = 1; n < all->count; n++) {
        struct api_node_view other = replicas_view(all, n);

        assert_true(other.applied_index == one.applied_index && other.keys == one.keys);
        assert_memory_equal(&other.digest, &one.digest, sizeof(one.digest));
    }
}

/* --- writes --- */

static void test_a_write_on_any_node_is_answered_once_and_applied_on_all(void **state)
{
    struct replicas *all = *state;
    struct client_write w[3];
    uint32_t leader = replicas_leader(all);
    uint64_t revision = 0;

    for (uint32_t i = 0; i < 3; i++) {
        uint32_t n = (leader + i) % 3;
        char key[8];

        (void)snprintf(key, sizeof(key), "k%u", i);
        replicas_write(all, n, &w[i], key, "v");
        replicas_run(all, T_US / 4);
        assert_answer(&w[i], DKV_OK);
        assert_int_equal(w[i].write.result.outcome, KV_OUTCOME_CREATED);
        assert_true(w[i].write.result.revision > revision);
        revision = w[i].write.result.revision;
    }
    replicas_run(all, T_US);
    assert_equal_states(all, 3);
}

static void test_a_turn_relays_all_its_writes_in_one_frame(void **state)
{
    struct replicas *all = *state;
    struct client_write w[50];
    uint32_t follower = (replicas_leader(all) + 1) % 3;

    for (int i = 0; i < 50; i++)
        replicas_write(all, follower, &w[i], "same", "v");
    replicas_run(all, T_US / 4);
    for (int i = 0; i < 50; i++)
        assert_answer(&w[i], DKV_OK);
    assert_int_equal(all->sent[FRAME_FORWARD], 1);
    assert_int_equal(all->sent[FRAME_FORWARD_RESULT], 1);
}

/* It comes back with "not here" and waits for the next leader: at most one hop. */
static void test_a_write_relayed_to_a_node_that_leads_no_more_finds_the_leader(void **state)
{
    struct replicas *all = *state;
    struct client_write w;
    uint32_t old = replicas_leader(all), follower = (old + 1) % 3;

    replicas_cut(all, follower, true); /* does not hear of the hand-over, nor of this: */
    replicas_write(all, old, &w, "first", "v");
    replicas_run(all, T_US / 4);
    assert_answer(&w, DKV_OK);
    (void)replica_resign(all->nodes[old].replica);
    replicas_run(all, T_US / 4);
    assert_int_not_equal(replicas_view(all, old).role, API_ROLE_LEADER);
    all->cut[follower][old] = all->cut[old][follower] = false;
    replicas_write(all, follower, &w, "k", "v");
    replicas_settle(all);
    assert_int_equal(w.done, 0);
    assert_int_equal(all->sent[FRAME_FORWARD], 1); /* not again at once, and again */
    replicas_cut(all, follower, false);
    replicas_run(all, 3 * T_US);
    assert_answer(&w, DKV_OK);
    replicas_run(all, T_US);
    assert_equal_states(all, 2);
}

static void test_a_lost_connection_makes_a_relayed_write_uncertain_at_once(void **state)
{
    struct replicas *all = *state;
    struct client_write w;
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;

    all->drops[FRAME_FORWARD_RESULT] = true;
    replicas_write(all, follower, &w, "k", "v");
    replicas_settle(all);
    assert_int_equal(w.done, 0);
    replica_peer_lost(all->nodes[follower].replica, REPLICA_ID((leader + 2) % 3));
    replicas_settle(all);
    assert_int_equal(w.done, 0); /* that was another one */
    replica_peer_lost(all->nodes[follower].replica, REPLICA_ID(leader));
    replicas_settle(all);
    assert_answer(&w, DKV_EUNCERTAIN);
}

/* Whoever led knows what became of it; but it may be cut off for ever. */
static void
test_after_a_change_of_leader_the_old_one_has_an_election_timeout_to_answer(void **state)
{
    struct replicas *all = *state;
    struct client_write answered, lost;
    uint32_t old = replicas_leader(all), follower = (old + 1) % 3;

    all->nodes[old].is_storage_slow = true; /* commits, but does not apply: no answer yet */
    replicas_write(all, follower, &answered, "a", "v");
    replicas_run(all, T_US / 8);
    (void)replica_resign(all->nodes[old].replica);
    replicas_run(all, T_US / 4);
    assert_int_not_equal(replicas_view(all, old).role, API_ROLE_LEADER);
    assert_int_equal(answered.done, 0);
    all->nodes[old].is_storage_slow = false;
    replicas_run(all, T_US / 8);
    assert_answer(&answered, DKV_OK);

    old = replicas_leader(all);
    follower = (old + 1) % 3;
    all->drops[FRAME_FORWARD_RESULT] = true;
    replicas_write(all, follower, &lost, "b", "v");
    replicas_run(all, T_US / 8);
    (void)replica_resign(all->nodes[old].replica);
    replicas_run(all, 2 * T_US);
    assert_answer(&lost, DKV_EUNCERTAIN);
    assert_true(all->now_us < lost.write.deadline_us + TIMEOUT_US);
}

static void test_a_restarted_node_ignores_answers_to_its_earlier_life(void **state)
{
    struct replicas *all = *state;
    struct client_write first, w[20], again;
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;
    char key[8];

    replicas_write(all, leader, &first, "exists", "old");
    replicas_run(all, T_US / 4);
    assert_answer(&first, DKV_OK);
    all->nodes[leader].is_storage_slow = true;
    for (int i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        replicas_write(all, follower, &w[i], key, "v");
        replicas_settle(all);
    }
    replicas_kill(all, follower);
    replicas_start(all, follower);
    replicas_run(all, T_US);
    replicas_create(all, follower, &again, "exists", "new");
    replicas_settle(all);
    all->nodes[leader].is_storage_slow = false;
    replicas_run(all, T_US);
    assert_answer(&again, DKV_OK);
    assert_int_equal(again.write.result.outcome, KV_OUTCOME_CONDITION);
}

static void test_who_lost_proposals_can_lead_again(void **state)
{
    struct replicas *all = *state;
    struct client_write lost[10], w;
    uint32_t old = replicas_leader(all), other;

    replicas_cut(all, old, true);
    for (int i = 0; i < 10; i++)
        replicas_write(all, old, &lost[i], "lost", "v");
    replicas_settle(all);
    other = replicas_leader(all);
    replicas_write(all, other, &w, "w", "v");
    replicas_run(all, T_US / 4);
    replicas_cut(all, old, false);
    replicas_run(all, T_US);
    replicas_kill(all, 3 - old - other); /* so that the old leader is the one to follow */
    (void)replica_resign(all->nodes[other].replica);
    replicas_run(all, 2 * T_US);
    assert_int_equal(replicas_leader(all), old);
    replicas_write(all, old, &w, "w", "v");
    replicas_run(all, T_US / 4);
    assert_answer(&w, DKV_OK);
    for (int i = 0; i < 10; i++)
        assert_answer(&lost[i], DKV_EUNCERTAIN);
}

static void test_relayed_writes_of_any_size_fit_into_frames(void **state)
{
    struct replicas *all = *state;
    static char big[60000];
    struct client_write w[40];
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;

    memset(big, 'x', sizeof(big) - 1);
    for (int i = 0; i < 40; i++)
        replicas_write(all, follower, &w[i], "k", i % 2 == 0 ? "small" : big);
    replicas_run(all, T_US / 4);
    for (int i = 0; i < 40; i++)
        assert_answer(&w[i], DKV_OK);
    assert_int_equal(all->sent[FRAME_FORWARD], 2);
    assert_true(all->longest[FRAME_FORWARD] <= 1 << 20);
}

static void test_without_a_leader_a_write_waits_and_was_certainly_not_done(void **state)
{
    struct replicas *all = *state;
    struct client_write w;
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;

    replicas_kill(all, leader);
    replicas_kill(all, (leader + 2) % 3);
    replicas_run(all, 3 * T_US);
    replicas_write(all, follower, &w, "k", "v");
    replicas_run(all, TIMEOUT_US - T_US / 2);
    assert_int_equal(w.done, 0);
    replicas_run(all, T_US);
    assert_answer(&w, DKV_EUNAVAIL);
    replicas_start(all, leader);
    replicas_start(all, (leader + 2) % 3);
    (void)replicas_leader(all);
    replicas_run(all, T_US);
    assert_equal_states(all, 0);
}

static void test_a_leader_that_is_cut_off_does_not_know_what_became_of_its_writes(void **state)
{
    struct replicas *all = *state;
    struct client_write w;
    uint32_t leader = replicas_leader(all);

    replicas_cut(all, leader, true);
    replicas_write(all, leader, &w, "k", "v");
    replicas_run(all, TIMEOUT_US + T_US);
    assert_answer(&w, DKV_EUNCERTAIN);
}

/* Only when an entry of another term is applied at its index is it certain. */
static void test_a_write_that_another_leader_replaced_is_not_called_done(void **state)
{
    struct replicas *all = *state;
    struct client_write lost, other;
    uint32_t old = replicas_leader(all), leader;

    replicas_cut(all, old, true);
    replicas_write(all, old, &lost, "lost", "v");
    replicas_settle(all);
    leader = replicas_leader(all);
    assert_int_not_equal(leader, old);
    replicas_write(all, leader, &other, "other", "v");
    replicas_run(all, T_US / 4);
    assert_answer(&other, DKV_OK);
    replicas_cut(all, old, false);
    replicas_run(all, 2 * T_US);
    assert_int_equal(lost.done, 1);
    assert_true(lost.write.status == DKV_EUNCERTAIN || lost.write.status == DKV_EUNAVAIL);
    replicas_run(all, TIMEOUT_US);
    assert_int_equal(lost.done, 1);
    assert_equal_states(all, 1);
}

struct told {
    unsigned no_majority, of_one, no_leader, elected;
};

static void take_line(void *ctx, enum log_level level, const char *line)
{
    struct told *told = ctx;

    (void)level;
    if (strstr(line, "raft.no_majority") != NULL)
        told->no_majority++;
    if (strstr(line, "reachable=1 members=3") != NULL)
        told->of_one++;
    if (strstr(line, "raft.no_leader") != NULL)
        told->no_leader++;
    if (strstr(line, "raft.elected") != NULL || strstr(line, "raft.leader_found") != NULL)
        told->elected++;
}

static void test_the_log_says_once_that_a_majority_is_missing(void **state)
{
    struct replicas *all = *state;
    struct told told = {0};
    uint32_t leader = replicas_leader(all);

    replicas_kill(all, leader);
    replicas_kill(all, (leader + 2) % 3);
    log_capture(take_line, &told);
    replicas_run(all, 3 * T_US);
    assert_int_equal(told.no_majority, 0); /* an election may take that long */
    replicas_run(all, 20 * T_US);
    assert_int_equal(told.no_majority, 1);
    assert_int_equal(told.of_one, 1);
    assert_int_equal(told.elected, 0);
    replicas_start(all, leader);
    (void)replicas_leader(all);
    replicas_run(all, T_US);
    log_capture(NULL, NULL);
    assert_int_equal(told.no_majority, 1);
    assert_int_equal(told.no_leader, 0);
    assert_true(told.elected > 0);
}

/* --- reads --- */

static void test_a_read_on_any_node_waits_for_what_was_acknowledged_before(void **state)
{
    struct replicas *all = *state;
    struct client_write w;
    struct client_read r;
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;

    all->nodes[follower].is_storage_slow = true;
    replicas_write(all, leader, &w, "k", "v");
    replicas_run(all, T_US / 4);
    assert_answer(&w, DKV_OK);
    replicas_read(all, follower, &r);
    replicas_run(all, T_US / 4);
    assert_int_equal(r.done, 0); /* confirmed, but the storage is behind */
    all->nodes[follower].is_storage_slow = false;
    replicas_run(all, T_US / 4);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.barrier.status, DKV_OK);
    assert_true(replicas_view(all, follower).applied_index >= w.write.result.revision);
}

static void test_a_leader_that_was_replaced_serves_no_read(void **state)
{
    struct replicas *all = *state;
    struct client_read r;
    uint32_t old = replicas_leader(all);

    replicas_cut(all, old, true);
    replicas_read(all, old, &r);
    replicas_run(all, T_US / 2);
    assert_int_equal(r.done, 0);
    replicas_run(all, TIMEOUT_US + T_US);
    assert_int_equal(r.done, 1);
    assert_int_not_equal(r.barrier.status, DKV_OK);
}

/* Whoever probes gives up before http.request_timeout. */
static void test_a_read_may_wait_for_less_than_others(void **state)
{
    struct replicas *all = *state;
    struct client_read probe, other;
    uint32_t old = replicas_leader(all);

    replicas_cut(all, old, true);
    replicas_read_within(all, old, &probe, T_US);
    replicas_read(all, old, &other);
    replicas_run(all, T_US / 2);
    assert_int_equal(probe.done, 0);
    replicas_run(all, T_US);
    assert_int_equal(probe.done, 1);
    assert_int_equal(probe.barrier.status, DKV_EUNAVAIL);
    assert_int_equal(other.done, 0);
    replicas_run(all, TIMEOUT_US);
    assert_int_equal(other.done, 1);
}

static void test_all_reads_of_a_turn_share_one_round(void **state)
{
    struct replicas *all = *state;
    struct client_read r[40];
    uint32_t leader = replicas_leader(all);
    unsigned before;

    replicas_settle(all);
    before = all->sent[FRAME_RAFT];
    for (int i = 0; i < 40; i++)
        replicas_read(all, leader, &r[i]);
    replicas_settle(all);
    for (int i = 0; i < 40; i++)
        assert_true(r[i].done == 1 && r[i].barrier.status == DKV_OK);
    assert_true(all->sent[FRAME_RAFT] - before <= 4); /* to two peers, and back */
}

static void test_who_was_refused_a_read_does_not_ask_again_at_once(void **state)
{
    struct replicas *all = *state;
    struct client_read r[2];
    uint32_t old = replicas_leader(all), one = (old + 1) % 3, other = (old + 2) % 3;

    replicas_kill(all, old);
    replicas_start(all, old); /* and does not know that it led */
    replicas_read(all, one, &r[0]);
    (void)replicas_step(all);
    replicas_read(all, other, &r[1]);
    replicas_settle(all);
    for (int i = 0; i < 2; i++)
        assert_int_equal(r[i].done, 0);
    replicas_run(all, 5 * T_US);
    for (int i = 0; i < 2; i++)
        assert_true(r[i].done == 1 && r[i].barrier.status == DKV_OK);
}

/* --- starts, ends, nonsense --- */

static void test_a_killed_node_comes_back_to_the_same_state(void **state)
{
    struct replicas *all = *state;
    struct client_write w[20];
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;
    char key[8];

    for (int i = 0; i < 20; i++) {
        if (i == 10)
            replicas_kill(all, follower);
        (void)snprintf(key, sizeof(key), "k%d", i);
        replicas_write(all, leader, &w[i], key, "v");
        replicas_run(all, T_US / 8);
        assert_answer(&w[i], DKV_OK);
    }
    replicas_start(all, follower);
    replicas_run(all, 2 * T_US);
    assert_equal_states(all, 20);
    for (uint32_t n = 0; n < 3; n++)
        replicas_kill(all, n);
    for (uint32_t n = 0; n < 3; n++)
        replicas_start(all, n);
    (void)replicas_leader(all);
    assert_equal_states(all, 20);
}

static void test_who_resigns_has_answered_all_when_it_has_no_writes(void **state)
{
    struct replicas *all = *state;
    struct client_write own, relayed;
    uint32_t old = replicas_leader(all), follower = (old + 1) % 3;

    replicas_write(all, old, &own, "own", "v");
    replicas_write(all, follower, &relayed, "relayed", "v");
    replica_turn(all->nodes[follower].replica);
    while (!replica_resign(all->nodes[old].replica) ||
           replica_has_writes(all->nodes[old].replica)) {
        assert_true(all->now_us < 100 * T_US);
        replicas_run(all, T_US / 40);
    }
    replicas_kill(all, old);
    replicas_run(all, 3 * T_US);
    assert_answer(&own, DKV_OK);
    assert_answer(&relayed, DKV_OK);
}

static void test_who_stops_says_so_whether_it_leads_or_not(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all);

    for (uint32_t n = 0; n < 3; n++) {
        assert_false(replicas_view(all, n).is_stopping);
        assert_true(replica_resign(all->nodes[n].replica) == (n != leader));
        assert_true(replicas_view(all, n).is_stopping);
    }
}

/* Or they would send it writes whose fate nobody could tell them. */
static void test_when_who_resigns_may_go_all_know_of_the_next_leader(void **state)
{
    struct replicas *all = *state;
    uint32_t old = replicas_leader(all);
    char name[API_NAME_MAX];

    (void)snprintf(name, sizeof(name), "%s", replicas_view(all, old).name);
    while (!replica_resign(all->nodes[old].replica)) {
        assert_true(all->now_us < 100 * T_US);
        if (!replicas_step(all))
            replicas_run(all, T_US / 40);
    }
    for (uint32_t n = 0; n < 3; n++) {
        struct api_node_view view = replicas_view(all, n);

        assert_true(view.leader[0] != '\0');
        assert_string_not_equal(view.leader, name);
    }
}

/* The shortest writes that a frame can hold make no sense, and each gets its answer. */
static void test_answers_to_relayed_writes_fit_into_frames(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;
    struct blob *payload = blob_try(FRAME_PAYLOAD_MAX);

    memset(payload->bytes, 0, payload->len);
    replica_frame(all->nodes[leader].replica, REPLICA_ID(follower), FRAME_FORWARD, payload);
    blob_unref(payload);
    replicas_settle(all);
    assert_in_range(all->longest[FRAME_FORWARD_RESULT], 1 << 19, FRAME_PAYLOAD_MAX);
}

static void test_frames_that_make_no_sense_are_dropped(void **state)
{
    struct replicas *all = *state;
    uint32_t leader = replicas_leader(all), follower = (leader + 1) % 3;
    struct client_write w;
    struct rng rng;

    rng_init(&rng, 5);
    for (int i = 0; i < 20000; i++) {
        struct blob *payload = blob_try((uint32_t)rng_below(&rng, 120));

        for (uint32_t at = 0; at < payload->len; at++)
            payload->bytes[at] = (uint8_t)(rng_below(&rng, 3) == 0 ? rng_next(&rng) : 0);
        /* Raft messages may say anything about terms: fuzz_raft looks at those. */
        replica_frame(all->nodes[rng_below(&rng, 3)].replica, REPLICA_ID(follower),
                      (uint8_t)(FRAME_FORWARD + rng_below(&rng, 10)), payload);
        blob_unref(payload);
        if (i % 100 == 0)
            replicas_run(all, T_US / 40);
    }
    leader = replicas_leader(all);
    replicas_write(all, leader, &w, "k", "v");
    replicas_run(all, T_US);
    assert_answer(&w, DKV_OK);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_a_write_on_any_node_is_answered_once_and_applied_on_all),
        WITH(test_a_turn_relays_all_its_writes_in_one_frame),
        WITH(test_a_write_relayed_to_a_node_that_leads_no_more_finds_the_leader),
        WITH(test_a_lost_connection_makes_a_relayed_write_uncertain_at_once),
        WITH(test_after_a_change_of_leader_the_old_one_has_an_election_timeout_to_answer),
        WITH(test_a_restarted_node_ignores_answers_to_its_earlier_life),
        WITH(test_who_lost_proposals_can_lead_again),
        WITH(test_relayed_writes_of_any_size_fit_into_frames),
        WITH(test_without_a_leader_a_write_waits_and_was_certainly_not_done),
        WITH(test_a_leader_that_is_cut_off_does_not_know_what_became_of_its_writes),
        WITH(test_a_write_that_another_leader_replaced_is_not_called_done),
        WITH(test_the_log_says_once_that_a_majority_is_missing),
        WITH(test_a_read_on_any_node_waits_for_what_was_acknowledged_before),
        WITH(test_a_leader_that_was_replaced_serves_no_read),
        WITH(test_a_read_may_wait_for_less_than_others),
        WITH(test_all_reads_of_a_turn_share_one_round),
        WITH(test_who_was_refused_a_read_does_not_ask_again_at_once),
        WITH(test_a_killed_node_comes_back_to_the_same_state),
        WITH(test_who_stops_says_so_whether_it_leads_or_not),
        WITH(test_who_resigns_has_answered_all_when_it_has_no_writes),
        WITH(test_when_who_resigns_may_go_all_know_of_the_next_leader),
        WITH(test_answers_to_relayed_writes_fit_into_frames),
        WITH(test_frames_that_make_no_sense_are_dropped),
    };

    return cmocka_run_group_tests_name("replica", tests, NULL, NULL);
}
