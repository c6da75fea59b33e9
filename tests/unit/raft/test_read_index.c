#include "tests/unit/raft/lone.h"

static void receipt(struct lone *l, raft_id from, uint64_t seq)
{
    lone_receive(l, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_REPLY,
                                          .from = from,
                                          .term = l->out.term,
                                          .read_seq = seq});
}

static void answer(struct lone *l, raft_id from, uint64_t seq, raft_index index, uint32_t flags)
{
    lone_receive(l, (struct raft_message){.type = RAFT_MSG_READ_REPLY,
                                          .flags = flags,
                                          .from = from,
                                          .term = l->out.term,
                                          .seq = seq,
                                          .index = index});
}

static void test_r_l1_a_new_leader_reads_only_after_a_commit_in_its_term(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader(&l);
    lone_read(&l, 7);
    receipt(&l, 2, 0);
    receipt(&l, 3, 1);
    assert_int_equal(l.out.reads_ok_count, 0);
    lone_persist(&l);
    lone_ack(&l, 2, 1);
    assert_int_equal(l.out.reads_ok_count, 0); /* the round begins only now */
    receipt(&l, 2, lone_sent(&l, RAFT_MSG_HEARTBEAT, 2)->read_seq);
    assert_int_equal(l.out.reads_ok_count, 1);
    assert_int_equal(l.out.reads_ok[0].context, 7);
    assert_int_equal(l.out.reads_ok[0].index, 1);
    lone_free(&l);
}

static void test_r_l2_a_lost_leadership_fails_its_reads(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader(&l);
    lone_read(&l, 7); /* not even in a round */
    lone_heartbeat(&l, 2, 9, 0, 0);
    assert_int_equal(l.out.reads_failed_count, 1);
    assert_int_equal(l.out.reads_failed[0].context, 7);
    lone_free(&l);
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_read(&l, 8);
    lone_wait(&l, T_US);
    assert_int_equal(l.out.reads_failed_count, 1);
    assert_int_equal(l.out.reads_failed[0].why, RAFT_WHY_QUORUM_LOST);
    lone_free(&l);
}

static void test_r_l3_a_receipt_serves_only_reads_from_before_its_heartbeat(void **state)
{
    struct lone l;
    uint64_t first, second;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_read(&l, 1);
    first = lone_sent(&l, RAFT_MSG_HEARTBEAT, 2)->read_seq;
    lone_read(&l, 2);
    second = lone_sent(&l, RAFT_MSG_HEARTBEAT, 2)->read_seq;
    assert_true(second > first);
    receipt(&l, 2, first);
    assert_int_equal(l.out.reads_ok_count, 1);
    assert_int_equal(l.out.reads_ok[0].context, 1);
    receipt(&l, 3, first); /* a quorum, but of the old number */
    assert_int_equal(l.out.reads_ok_count, 0);
    receipt(&l, 3, second);
    assert_int_equal(l.out.reads_ok_count, 1);
    assert_int_equal(l.out.reads_ok[0].context, 2);
    lone_free(&l);
}

static void test_r_l3_answers_to_an_earlier_life_do_not_count(void **state)
{
    struct lone l;
    uint64_t seq;

    (void)state;
    lone_new(&l, 3);
    lone_heartbeat(&l, 2, 1, 0, 0);
    lone_read(&l, 1);
    seq = lone_sent(&l, RAFT_MSG_READ_REQUEST, 2)->seq;
    lone_free(&l);
    lone_prepare(&l, 3);
    l.config.seed = 6;
    lone_start(&l);
    lone_heartbeat(&l, 2, 1, 0, 0);
    lone_read(&l, 2);
    answer(&l, 2, seq, 5, 0);
    assert_int_equal(l.out.reads_ok_count, 0);
    lone_free(&l);
}

static void test_r_l9_reads_of_one_turn_share_a_round(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    for (uint64_t i = 1; i <= 5; i++)
        lone_step(&l, (struct raft_event){.type = RAFT_READ, .read.context = i});
    lone_poll(&l);
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_HEARTBEAT, 2), 1);
    receipt(&l, 2, lone_sent(&l, RAFT_MSG_HEARTBEAT, 2)->read_seq);
    assert_int_equal(l.out.reads_ok_count, 5);
    assert_int_equal(l.out.reads_ok[4].index, l.s.commit);
    lone_free(&l);
}

static void test_d11_a_round_travels_with_appends(void **state)
{
    struct lone l;
    struct raft_payload p;
    struct raft_event event = {.type = RAFT_PROPOSE};

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    p = (struct raft_payload){l.payload->bytes, 10, l.payload};
    event.propose.payloads = &p;
    event.propose.count = 1;
    lone_step(&l, event);
    lone_step(&l, (struct raft_event){.type = RAFT_READ, .read.context = 1});
    lone_poll(&l);
    assert_null(lone_sent(&l, RAFT_MSG_HEARTBEAT, 2));
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 2)->read_seq, 1);
    receipt(&l, 2, 1);
    assert_int_equal(l.out.reads_ok_count, 1);
    lone_free(&l);
}

static void test_r_l10_a_single_node_also_waits_for_its_term(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 1);
    lone_leader(&l);
    lone_read(&l, 1);
    assert_int_equal(l.out.reads_ok_count, 0);
    lone_persist(&l);
    assert_int_equal(l.out.reads_ok_count, 1);
    lone_read(&l, 2);
    assert_int_equal(l.out.reads_ok_count, 1); /* at once */
    lone_free(&l);
}

static void test_r_l11_a_follower_asks_its_leader_once_per_turn(void **state)
{
    struct lone l;
    uint64_t seq;

    (void)state;
    lone_new(&l, 3);
    lone_heartbeat(&l, 2, 1, 0, 0);
    for (uint64_t i = 1; i <= 3; i++)
        lone_step(&l, (struct raft_event){.type = RAFT_READ, .read.context = i});
    lone_poll(&l);
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_READ_REQUEST, 2), 1);
    seq = lone_sent(&l, RAFT_MSG_READ_REQUEST, 2)->seq;
    lone_read(&l, 4); /* after the request: not served by its answer */
    answer(&l, 2, seq, 9, 0);
    assert_int_equal(l.out.reads_ok_count, 3);
    assert_int_equal(l.out.reads_ok[0].index, 9);
    answer(&l, 2, seq + 1, 0, RAFT_REJECT);
    assert_int_equal(l.out.reads_failed_count, 1);
    assert_int_equal(l.out.reads_failed[0].why, RAFT_WHY_REFUSED);
    lone_free(&l);
}

static void test_r_l11_a_lost_request_is_repeated_and_a_new_term_cancels(void **state)
{
    struct lone l;
    uint64_t seq;

    (void)state;
    lone_new(&l, 3);
    lone_heartbeat(&l, 2, 1, 0, 0);
    lone_read(&l, 1);
    seq = lone_sent(&l, RAFT_MSG_READ_REQUEST, 2)->seq;
    lone_timeout(&l);
    assert_true(lone_sent(&l, RAFT_MSG_READ_REQUEST, 2)->seq > seq);
    lone_heartbeat(&l, 3, 2, 0, 0);
    assert_int_equal(l.out.reads_failed_count, 1);
    answer(&l, 2, seq, 9, 0);
    assert_int_equal(l.out.reads_ok_count, 0);
    lone_free(&l);
    lone_new(&l, 3); /* nobody to ask */
    lone_read(&l, 1);
    assert_int_equal(l.out.reads_failed[0].why, RAFT_WHY_NO_LEADER);
    lone_free(&l);
}

static void test_r_l11_a_leader_answers_requests_after_its_round(void **state)
{
    struct lone l;
    struct raft_message m = {.type = RAFT_MSG_READ_REQUEST, .from = 3, .term = 1, .seq = 44};

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_receive(&l, m);
    assert_null(lone_sent(&l, RAFT_MSG_READ_REPLY, 3));
    receipt(&l, 2, lone_sent(&l, RAFT_MSG_HEARTBEAT, 2)->read_seq);
    assert_int_equal(lone_sent(&l, RAFT_MSG_READ_REPLY, 3)->seq, 44);
    assert_int_equal(lone_sent(&l, RAFT_MSG_READ_REPLY, 3)->index, 1);
    lone_free(&l);
    lone_new(&l, 3); /* who does not lead refuses */
    lone_heartbeat(&l, 2, 1, 0, 0);
    lone_receive(&l, m);
    assert_true(lone_sent(&l, RAFT_MSG_READ_REPLY, 3)->flags & RAFT_REJECT);
    lone_free(&l);
}

static void test_r_l12_receipts_do_not_wait_for_the_disk(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_receive(
        &l, (struct raft_message){.type = RAFT_MSG_APPEND, .from = 2, .term = 1, .read_seq = 5});
    assert_int_equal(lone_sent(&l, RAFT_MSG_HEARTBEAT_REPLY, 2)->read_seq, 5);
    assert_null(lone_sent(&l, RAFT_MSG_APPEND_REPLY, 2)); /* the term is not durable */
    lone_persist(&l);
    assert_non_null(lone_sent(&l, RAFT_MSG_APPEND_REPLY, 2));
    lone_free(&l);
}

static void test_r_l13_joint_reads_need_both_majorities(void **state)
{
    struct lone l;
    uint64_t seq;

    (void)state;
    lone_prepare(&l, 3);
    lone_member(&l, 1, RAFT_MEMBER_VOTER | RAFT_MEMBER_OUTGOING);
    lone_member(&l, 4, RAFT_MEMBER_OUTGOING);
    lone_member(&l, 5, RAFT_MEMBER_OUTGOING);
    lone_start(&l);
    lone_leader_settled(&l);
    lone_read(&l, 1);
    seq = lone_sent(&l, RAFT_MSG_HEARTBEAT, 4)->read_seq;
    receipt(&l, 2, seq);
    receipt(&l, 3, seq);
    assert_int_equal(l.out.reads_ok_count, 0);
    receipt(&l, 4, seq);
    assert_int_equal(l.out.reads_ok_count, 1);
    lone_free(&l);
}

static void test_r_l14_the_oldest_read_fails_when_too_many_wait(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    l.config.reads_max = 2;
    lone_start(&l);
    lone_leader_settled(&l);
    lone_read(&l, 1);
    lone_read(&l, 2);
    lone_read(&l, 3);
    assert_int_equal(l.out.reads_failed_count, 1);
    assert_int_equal(l.out.reads_failed[0].context, 1);
    assert_int_equal(l.out.reads_failed[0].why, RAFT_WHY_LIMIT);
    lone_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r_l1_a_new_leader_reads_only_after_a_commit_in_its_term),
        cmocka_unit_test(test_r_l2_a_lost_leadership_fails_its_reads),
        cmocka_unit_test(test_r_l3_a_receipt_serves_only_reads_from_before_its_heartbeat),
        cmocka_unit_test(test_r_l3_answers_to_an_earlier_life_do_not_count),
        cmocka_unit_test(test_r_l9_reads_of_one_turn_share_a_round),
        cmocka_unit_test(test_d11_a_round_travels_with_appends),
        cmocka_unit_test(test_r_l10_a_single_node_also_waits_for_its_term),
        cmocka_unit_test(test_r_l11_a_follower_asks_its_leader_once_per_turn),
        cmocka_unit_test(test_r_l11_a_lost_request_is_repeated_and_a_new_term_cancels),
        cmocka_unit_test(test_r_l11_a_leader_answers_requests_after_its_round),
        cmocka_unit_test(test_r_l12_receipts_do_not_wait_for_the_disk),
        cmocka_unit_test(test_r_l13_joint_reads_need_both_majorities),
        cmocka_unit_test(test_r_l14_the_oldest_read_fails_when_too_many_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
