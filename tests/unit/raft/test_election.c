#include "tests/unit/raft/lone.h"

#define REJECTED(m) (((m)->flags & RAFT_REJECT) != 0)

static void vote_request(struct lone *l, raft_id from, raft_term term, raft_index last,
                         raft_term last_term, uint32_t flags)
{
    lone_receive(l, (struct raft_message){.type = RAFT_MSG_VOTE,
                                          .flags = flags,
                                          .from = from,
                                          .term = term,
                                          .index = last,
                                          .log_term = last_term});
}

static void prevote_request(struct lone *l, raft_id from, raft_term term, raft_index last,
                            raft_term last_term)
{
    lone_receive(l, (struct raft_message){.type = RAFT_MSG_PREVOTE,
                                          .from = from,
                                          .term = term,
                                          .index = last,
                                          .log_term = last_term,
                                          .seq = 77});
}

static void test_r_e1_term_and_vote_come_in_one_ticket(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    vote_request(&l, 2, 4, 0, 0, 0);
    assert_true(l.out.ticket != 0 && l.out.hard_changed);
    assert_int_equal(l.out.hard.term, 4);
    assert_int_equal(l.out.hard.vote, 2);
    lone_free(&l);
}

static void test_r_e2_a_vote_is_told_only_when_it_is_durable(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    vote_request(&l, 2, 4, 0, 0, 0);
    assert_null(lone_sent(&l, RAFT_MSG_VOTE_REPLY, 0));
    lone_persist(&l);
    assert_non_null(lone_sent(&l, RAFT_MSG_VOTE_REPLY, 2));
    assert_false(REJECTED(lone_sent(&l, RAFT_MSG_VOTE_REPLY, 2)));
    lone_free(&l);
}

static void test_r_e3_votes_are_requested_only_when_the_own_vote_is_durable(void **state)
{
    struct lone l;
    uint64_t seq;

    (void)state;
    lone_new(&l, 3);
    lone_precandidate(&l);
    seq = lone_sent(&l, RAFT_MSG_PREVOTE, 2)->seq;
    lone_receive(&l, (struct raft_message){
                         .type = RAFT_MSG_PREVOTE_REPLY, .from = 2, .term = 1, .seq = seq});
    assert_int_equal(l.out.role, RAFT_CANDIDATE);
    assert_null(lone_sent(&l, RAFT_MSG_VOTE, 0));
    lone_receive(&l, (struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .from = 2, .term = 1});
    assert_int_equal(l.out.role, RAFT_CANDIDATE);
    lone_persist(&l);
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_VOTE, 0) > 0 || l.out.role == RAFT_LEADER, 1);
    lone_free(&l);
}

static void test_r_e4_stepping_down_keeps_the_vote(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_candidate(&l);
    lone_heartbeat(&l, 2, 1, 0, 0); /* another leader of this term */
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    assert_int_equal(l.out.hard.vote, 1);
    lone_free(&l);
    lone_new(&l, 3);
    lone_leader(&l);
    lone_wait(&l, T_US); /* nobody answers */
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    assert_int_equal(l.out.hard.vote, 1);
    lone_free(&l);
}

static void test_r_e5_votes_are_counted_once_per_voter(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 5);
    lone_candidate(&l);
    for (int i = 0; i < 3; i++)
        lone_receive(&l, (struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .from = 2, .term = 1});
    assert_int_equal(l.out.role, RAFT_CANDIDATE);
    lone_receive(&l, (struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .from = 3, .term = 1});
    assert_int_equal(l.out.role, RAFT_LEADER);
    lone_free(&l);
}

static void test_r_e5_votes_of_an_older_round_or_term_do_not_count(void **state)
{
    struct lone l;
    uint64_t seq;

    (void)state;
    lone_new(&l, 3);
    lone_precandidate(&l);
    seq = lone_sent(&l, RAFT_MSG_PREVOTE, 2)->seq;
    lone_timeout(&l); /* another round */
    assert_int_not_equal(lone_sent(&l, RAFT_MSG_PREVOTE, 2)->seq, seq);
    lone_receive(&l, (struct raft_message){
                         .type = RAFT_MSG_PREVOTE_REPLY, .from = 2, .term = 1, .seq = seq});
    assert_int_equal(l.out.role, RAFT_PRECANDIDATE);
    lone_free(&l);
    lone_new(&l, 3);
    lone_candidate(&l);
    lone_candidate(&l); /* timed out: term 2 */
    assert_int_equal(l.out.term, 2);
    lone_receive(&l, (struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .from = 2, .term = 1});
    assert_int_equal(l.out.role, RAFT_CANDIDATE);
    lone_free(&l);
}

static void with_log(struct lone *l) /* terms 1 1 3, hard term 3 */
{
    static const struct raft_run runs[] = {{1, 1}, {3, 3}};

    lone_prepare(l, 3);
    l->start.hard.term = 3;
    l->start.runs = runs;
    l->start.runs_count = 2;
    l->start.last_index = 3;
    lone_start(l);
}

static void test_r_e6_a_vote_needs_a_log_as_good_as_ours(void **state)
{
    static const struct {
        raft_index last;
        raft_term term;
        bool ok;
    } cases[] = {{3, 3, true}, {2, 3, false}, {9, 2, false}, {1, 4, true}, {4, 3, true}};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        struct lone l;

        with_log(&l);
        vote_request(&l, 2, 5, cases[i].last, cases[i].term, 0);
        assert_int_equal(l.out.hard.vote, cases[i].ok ? 2 : 0);
        lone_free(&l);
    }
}

static void test_r_e7_the_same_candidate_is_granted_again_another_is_not(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    vote_request(&l, 2, 4, 0, 0, 0);
    lone_persist(&l);
    vote_request(&l, 2, 4, 0, 0, 0);
    assert_false(REJECTED(lone_sent(&l, RAFT_MSG_VOTE_REPLY, 2)));
    vote_request(&l, 3, 4, 9, 3, 0);
    assert_true(REJECTED(lone_sent(&l, RAFT_MSG_VOTE_REPLY, 3)));
    assert_int_equal(l.out.hard.vote, 2);
    lone_free(&l);
}

static void test_r_e8_a_pre_vote_changes_nothing_in_the_voter(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    vote_request(&l, 3, 4, 0, 0, 0);
    lone_persist(&l);
    prevote_request(&l, 2, 9, 0, 0);
    assert_false(REJECTED(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 2)));
    assert_int_equal(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 2)->term, 9);
    assert_int_equal(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 2)->seq, 77);
    assert_int_equal(l.out.term, 4);
    assert_int_equal(l.out.hard.vote, 3);
    assert_int_equal(l.out.ticket, 0);
    lone_free(&l);
    lone_new(&l, 3); /* nor in the one who asks */
    lone_precandidate(&l);
    assert_int_equal(l.out.term, 0);
    assert_int_equal(l.out.ticket, 0);
    lone_free(&l);
}

static void test_r_e9_a_refused_pre_vote_carries_the_higher_term(void **state)
{
    struct lone l;

    (void)state;
    with_log(&l);
    prevote_request(&l, 2, 2, 9, 1);
    assert_true(REJECTED(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 2)));
    assert_int_equal(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 2)->term, 3);
    lone_free(&l);
    lone_new(&l, 3);
    lone_precandidate(&l);
    lone_receive(&l,
                 (struct raft_message){
                     .type = RAFT_MSG_PREVOTE_REPLY, .flags = RAFT_REJECT, .from = 2, .term = 8});
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    assert_int_equal(l.out.term, 8);
    lone_free(&l);
}

static void test_r_e10_messages_of_a_lower_term_get_the_higher_one(void **state)
{
    struct lone l;

    (void)state;
    with_log(&l);
    lone_heartbeat(&l, 2, 1, 0, 0);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND_REPLY, 2)->term, 3);
    lone_append(&l, 2, 1, 0, 0, 0, TERMS(1));
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND_REPLY, 2)->term, 3);
    vote_request(&l, 2, 1, 0, 0, 0);
    assert_int_equal(lone_sent(&l, RAFT_MSG_VOTE_REPLY, 2)->term, 3);
    lone_free(&l);
    lone_new(&l, 3); /* and a leader that gets one steps down */
    lone_leader(&l);
    lone_receive(&l,
                 (struct raft_message){
                     .type = RAFT_MSG_APPEND_REPLY, .flags = RAFT_REJECT, .from = 2, .term = 9});
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    assert_int_equal(l.out.term, 9);
    lone_free(&l);
}

static void test_r_e11_whoever_hears_a_leader_refuses_votes_but_forced_ones(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_heartbeat(&l, 2, 1, 0, 0);
    l.now_us += T_US - 1;
    prevote_request(&l, 3, 2, 9, 9);
    assert_true(REJECTED(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 3)));
    vote_request(&l, 3, 2, 9, 1, 0);
    assert_int_equal(l.out.term, 1);
    vote_request(&l, 3, 2, 9, 1, RAFT_FORCED);
    assert_int_equal(l.out.term, 2);
    assert_int_equal(l.out.hard.vote, 3);
    lone_free(&l);
    lone_new(&l, 3);
    lone_leader(&l);
    vote_request(&l, 3, 2, 9, 1, 0);
    assert_int_equal(l.out.role, RAFT_LEADER);
    lone_free(&l);
}

static void test_r_e12_silence_for_one_timeout_ends_the_refusal(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_heartbeat(&l, 2, 1, 0, 0);
    l.now_us += T_US;
    prevote_request(&l, 3, 2, 9, 9);
    assert_false(REJECTED(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 3)));
    lone_free(&l);
}

/* Each has heard the leader a moment ago, and still they elect: who campaigns follows nobody. */
static void test_r_e12_who_campaigns_grants_although_the_leader_was_just_heard(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_heartbeat(&l, 2, 1, 0, 0);
    prevote_request(&l, 3, 2, 9, 9);
    assert_true(REJECTED(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 3)));
    lone_do(&l, (struct raft_event){.type = RAFT_CAMPAIGN});
    prevote_request(&l, 3, 2, 9, 9);
    assert_false(REJECTED(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 3)));
    lone_free(&l);
}

static void test_r_e13_timeouts_are_random_between_t_and_2t(void **state)
{
    uint64_t low = UINT64_MAX, high = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct lone l;
        uint64_t at;

        lone_prepare(&l, 3);
        l.config.seed = seed;
        lone_start(&l);
        at = raft_deadline_us(l.r) - l.now_us;
        low = at < low ? at : low;
        high = at > high ? at : high;
        lone_free(&l);
    }
    assert_in_range(low, T_US, T_US * 5 / 4);
    assert_in_range(high, T_US * 7 / 4, 2 * T_US - 1);
}

static void test_r_e14_a_candidate_follows_a_leader_of_its_term(void **state)
{
    struct lone l;

    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct raft_event chunk = {.type = RAFT_SNAPSHOT_CHUNK};

        lone_new(&l, 3);
        lone_candidate(&l);
        chunk.snapshot.from = 2;
        chunk.snapshot.term = 1;
        if (kind == 0)
            lone_append(&l, 2, 1, 0, 0, 0, NO_TERMS);
        else if (kind == 1)
            lone_heartbeat(&l, 2, 1, 0, 0);
        else
            lone_do(&l, chunk);
        assert_int_equal(l.out.role, RAFT_FOLLOWER);
        assert_int_equal(l.out.leader, 2);
        assert_int_equal(l.out.term, 1);
        lone_free(&l);
    }
}

static void test_r_e15_a_learner_does_not_campaign_but_votes(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    lone_member(&l, 1, RAFT_MEMBER_LEARNER);
    lone_start(&l);
    lone_wait(&l, 10 * T_US);
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    vote_request(&l, 2, 1, 0, 0, 0);
    assert_int_equal(l.out.hard.vote, 2);
    lone_free(&l);
}

static void test_r_e16_a_stranger_or_a_stalled_disk_does_not_campaign(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    l.config.self = 9;
    lone_start(&l);
    lone_wait(&l, 10 * T_US);
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    lone_free(&l);
    lone_new(&l, 3);
    vote_request(&l, 2, 1, 0, 0, 0);
    lone_wait(&l, 6 * T_US); /* its ticket is still open */
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    lone_free(&l);
}

static void test_r_e17_a_leader_steps_down_t_after_its_quorum_was_heard(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 5);
    lone_leader_settled(&l);
    lone_wait(&l, T_US / 2);
    lone_ack(&l, 2, 1);
    lone_ack(&l, 3, 1);
    lone_wait(&l, T_US - 1);
    assert_int_equal(l.out.role, RAFT_LEADER);
    lone_wait(&l, 1);
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    assert_int_equal(l.out.why, RAFT_WHY_QUORUM_LOST);
    lone_free(&l);
}

static void test_r_e19_a_single_voter_leads_after_its_own_vote_is_durable(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 1);
    lone_timeout(&l);
    assert_int_equal(l.out.role, RAFT_CANDIDATE);
    lone_persist(&l);
    assert_int_equal(l.out.role, RAFT_LEADER);
    lone_free(&l);
}

static void test_r_e20_nonsense_is_ignored(void **state)
{
    struct lone l;

    (void)state;
    with_log(&l);
    lone_receive(&l, (struct raft_message){.type = 99, .from = 2, .term = 7});
    assert_int_equal(l.rc, DKV_EINVAL);
    lone_heartbeat(&l, 2, UINT64_C(1) << 63, 0, 0);
    assert_int_equal(l.rc, DKV_EINVAL);
    vote_request(&l, 2, UINT64_MAX, 9, 9, 0);
    assert_int_equal(l.rc, DKV_EINVAL);
    lone_heartbeat(&l, 1, 5, 0, 0); /* from ourselves */
    assert_int_equal(l.rc, DKV_EINVAL);
    lone_receive(&l, (struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .from = 2, .term = 1});
    assert_int_equal(l.out.term, 3);
    lone_free(&l);
}

static void test_r_e21_every_refusal_carries_the_term(void **state)
{
    struct lone l;

    (void)state;
    with_log(&l);
    lone_heartbeat(&l, 2, 3, 0, 0);
    prevote_request(&l, 3, 9, 9, 9); /* refused for having a leader */
    assert_int_equal(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 3)->term, 3);
    lone_append(&l, 2, 3, 8, 3, 0, NO_TERMS);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND_REPLY, 2)->term, 3);
    lone_free(&l);
}

static void test_fast_failover_asks_early_and_only_when_enabled(void **state)
{
    struct lone l;
    struct raft_event gone = {.type = RAFT_UNREACHABLE, .peer = 2};

    (void)state;
    for (int on = 0; on < 2; on++) {
        lone_prepare(&l, 3);
        l.config.fast_failover = on != 0;
        lone_start(&l);
        lone_heartbeat(&l, 2, 1, 0, 0);
        lone_do(&l, gone);
        assert_int_equal(l.out.role, RAFT_FOLLOWER);
        assert_int_equal(raft_deadline_us(l.r) <= l.now_us + T_US / 4, on);
        prevote_request(&l, 3, 2, 9, 9);
        assert_int_equal(REJECTED(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 3)), !on);
        lone_heartbeat(&l, 2, 1, 0, 0); /* back again: refuses as ever */
        prevote_request(&l, 3, 2, 9, 9);
        assert_true(REJECTED(lone_sent(&l, RAFT_MSG_PREVOTE_REPLY, 3)));
        lone_free(&l);
    }
}

static void test_d14_a_leader_with_a_stalled_disk_steps_down(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    l.config.disk_stall_us = T_US;
    lone_start(&l);
    lone_leader_settled(&l);
    lone_propose(&l, 1, 10);
    l.now_us += T_US / 2;
    lone_ack(&l, 2, 2); /* the others are fine */
    lone_wait(&l, T_US / 2);
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    assert_int_equal(l.out.why, RAFT_WHY_DISK_STALL);
    assert_null(lone_sent(&l, RAFT_MSG_HEARTBEAT, 0));
    lone_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r_e1_term_and_vote_come_in_one_ticket),
        cmocka_unit_test(test_r_e2_a_vote_is_told_only_when_it_is_durable),
        cmocka_unit_test(test_r_e3_votes_are_requested_only_when_the_own_vote_is_durable),
        cmocka_unit_test(test_r_e4_stepping_down_keeps_the_vote),
        cmocka_unit_test(test_r_e5_votes_are_counted_once_per_voter),
        cmocka_unit_test(test_r_e5_votes_of_an_older_round_or_term_do_not_count),
        cmocka_unit_test(test_r_e6_a_vote_needs_a_log_as_good_as_ours),
        cmocka_unit_test(test_r_e7_the_same_candidate_is_granted_again_another_is_not),
        cmocka_unit_test(test_r_e8_a_pre_vote_changes_nothing_in_the_voter),
        cmocka_unit_test(test_r_e9_a_refused_pre_vote_carries_the_higher_term),
        cmocka_unit_test(test_r_e10_messages_of_a_lower_term_get_the_higher_one),
        cmocka_unit_test(test_r_e11_whoever_hears_a_leader_refuses_votes_but_forced_ones),
        cmocka_unit_test(test_r_e12_silence_for_one_timeout_ends_the_refusal),
        cmocka_unit_test(test_r_e12_who_campaigns_grants_although_the_leader_was_just_heard),
        cmocka_unit_test(test_r_e13_timeouts_are_random_between_t_and_2t),
        cmocka_unit_test(test_r_e14_a_candidate_follows_a_leader_of_its_term),
        cmocka_unit_test(test_r_e15_a_learner_does_not_campaign_but_votes),
        cmocka_unit_test(test_r_e16_a_stranger_or_a_stalled_disk_does_not_campaign),
        cmocka_unit_test(test_r_e17_a_leader_steps_down_t_after_its_quorum_was_heard),
        cmocka_unit_test(test_r_e19_a_single_voter_leads_after_its_own_vote_is_durable),
        cmocka_unit_test(test_r_e20_nonsense_is_ignored),
        cmocka_unit_test(test_r_e21_every_refusal_carries_the_term),
        cmocka_unit_test(test_fast_failover_asks_early_and_only_when_enabled),
        cmocka_unit_test(test_d14_a_leader_with_a_stalled_disk_steps_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
