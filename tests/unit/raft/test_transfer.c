#include "tests/unit/raft/lone.h"

static void transfer(struct lone *l, raft_id target)
{
    lone_do(l, (struct raft_event){.type = RAFT_TRANSFER, .transfer.target = target});
}

static void test_r_t1_the_target_is_told_when_it_has_everything(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_propose(&l, 2, 10);
    transfer(&l, 2);
    assert_null(lone_sent(&l, RAFT_MSG_TIMEOUT_NOW, 0));
    assert_int_equal(lone_propose(&l, 1, 1), RAFT_EBUSY);
    lone_ack(&l, 2, 2);
    assert_null(lone_sent(&l, RAFT_MSG_TIMEOUT_NOW, 0));
    lone_ack(&l, 2, 3);
    assert_non_null(lone_sent(&l, RAFT_MSG_TIMEOUT_NOW, 2));
    lone_free(&l);
}

static void test_r_t2_a_hand_over_gives_up_after_one_timeout(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    transfer(&l, 2);
    l.now_us += T_US / 2;
    lone_ack(&l, 2, 1);
    lone_wait(&l, T_US / 2);
    assert_int_equal(l.out.transfer_failed, RAFT_WHY_TIMEOUT);
    assert_int_equal(l.s.transfer_target, 0);
    assert_int_equal(lone_propose(&l, 1, 1), DKV_OK);
    lone_free(&l);
}

static void test_r_t3_another_target_replaces_the_same_changes_nothing(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_propose(&l, 1, 1);
    transfer(&l, 2);
    l.now_us += T_US / 4;
    transfer(&l, 2);
    l.now_us += T_US / 4;
    transfer(&l, 3);
    assert_int_equal(l.s.transfer_target, 3);
    lone_ack(&l, 2, 2);
    assert_null(lone_sent(&l, RAFT_MSG_TIMEOUT_NOW, 0));
    lone_ack(&l, 3, 2);
    assert_non_null(lone_sent(&l, RAFT_MSG_TIMEOUT_NOW, 3));
    lone_free(&l);
}

static void test_r_t4_who_cannot_lead_is_refused(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    lone_member(&l, 4, RAFT_MEMBER_LEARNER);
    lone_start(&l);
    transfer(&l, 2);
    assert_int_equal(l.rc, RAFT_ENOTLEADER);
    lone_leader_settled(&l);
    transfer(&l, 1);
    assert_int_equal(l.rc, DKV_EINVAL);
    transfer(&l, 4);
    assert_int_equal(l.rc, DKV_EINVAL);
    transfer(&l, 77);
    assert_int_equal(l.rc, DKV_EINVAL);
    lone_free(&l);
}

static void test_r_t6_the_forced_election_skips_the_pre_vote_but_not_the_disk(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_heartbeat(&l, 2, 1, 0, 0);
    lone_receive(&l, (struct raft_message){.type = RAFT_MSG_TIMEOUT_NOW, .from = 2, .term = 1});
    assert_int_equal(l.out.role, RAFT_CANDIDATE);
    assert_null(lone_sent(&l, RAFT_MSG_PREVOTE, 0));
    assert_null(lone_sent(&l, RAFT_MSG_VOTE, 0));
    lone_persist(&l);
    assert_true(lone_sent(&l, RAFT_MSG_VOTE, 3)->flags & RAFT_FORCED);
    lone_free(&l);
}

static void test_r_t7_only_a_voter_obeys_and_only_its_leader(void **state)
{
    struct lone l;
    struct raft_message m = {.type = RAFT_MSG_TIMEOUT_NOW, .from = 2, .term = 1};

    (void)state;
    lone_prepare(&l, 3);
    lone_member(&l, 1, RAFT_MEMBER_LEARNER);
    lone_start(&l);
    lone_heartbeat(&l, 2, 1, 0, 0);
    lone_receive(&l, m);
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    lone_free(&l);
    lone_new(&l, 3);
    lone_heartbeat(&l, 2, 1, 0, 0);
    m.from = 3;
    lone_receive(&l, m);
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    lone_free(&l);
}

static void test_r_t9_a_higher_term_ends_the_hand_over(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    transfer(&l, 2);
    lone_receive(&l, (struct raft_message){.type = RAFT_MSG_VOTE,
                                           .flags = RAFT_FORCED,
                                           .from = 2,
                                           .term = 2,
                                           .index = 1,
                                           .log_term = 1});
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    assert_int_equal(l.out.hard.vote, 2);
    assert_int_equal(l.s.transfer_target, 0);
    assert_int_equal(l.out.transfer_failed, 0);
    lone_free(&l);
}

static void test_r_t11_without_a_target_the_best_match_is_taken(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    lone_member(&l, 4, RAFT_MEMBER_LEARNER);
    lone_start(&l);
    lone_leader_settled(&l);
    lone_propose(&l, 3, 10);
    lone_ack(&l, 4, 4);
    lone_ack(&l, 3, 3);
    lone_ack(&l, 2, 2);
    transfer(&l, 0);
    assert_int_equal(l.s.transfer_target, 3);
    lone_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r_t1_the_target_is_told_when_it_has_everything),
        cmocka_unit_test(test_r_t2_a_hand_over_gives_up_after_one_timeout),
        cmocka_unit_test(test_r_t3_another_target_replaces_the_same_changes_nothing),
        cmocka_unit_test(test_r_t4_who_cannot_lead_is_refused),
        cmocka_unit_test(test_r_t6_the_forced_election_skips_the_pre_vote_but_not_the_disk),
        cmocka_unit_test(test_r_t7_only_a_voter_obeys_and_only_its_leader),
        cmocka_unit_test(test_r_t9_a_higher_term_ends_the_hand_over),
        cmocka_unit_test(test_r_t11_without_a_target_the_best_match_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
