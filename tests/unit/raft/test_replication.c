/* The leader's side. */
#include "tests/unit/raft/lone.h"

static void refuse(struct lone *l, raft_id from, raft_index index, raft_index hint, raft_term term)
{
    lone_receive(l, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                          .flags = RAFT_REJECT,
                                          .from = from,
                                          .term = l->out.term,
                                          .index = index,
                                          .hint_index = hint,
                                          .log_term = term});
}

static void receipt(struct lone *l, raft_id from)
{
    lone_receive(l, (struct raft_message){
                        .type = RAFT_MSG_HEARTBEAT_REPLY, .from = from, .term = l->out.term});
}

static const struct raft_peer_status *peer(const struct lone *l, raft_id id)
{
    for (uint32_t i = 0; i < l->s.peers_count; i++) {
        if (l->s.peers[i].id == id)
            return &l->s.peers[i];
    }
    fail();
    return NULL;
}

static void leader_of_old_log(struct lone *l) /* 3 entries of term 1 and 2, leads term 4 */
{
    static const struct raft_run runs[] = {{1, 1}, {3, 2}};

    lone_prepare(l, 3);
    l->start.hard.term = 3;
    l->start.runs = runs;
    l->start.runs_count = 2;
    l->start.last_index = 3;
    lone_start(l);
    lone_leader(l);
}

static void test_r_r1_older_terms_are_not_committed_by_counting(void **state)
{
    struct lone l;

    (void)state;
    leader_of_old_log(&l);
    lone_persist(&l);
    lone_ack(&l, 2, 3); /* a majority has 1..3 */
    lone_ack(&l, 3, 3);
    assert_int_equal(l.out.commit, 0);
    lone_ack(&l, 2, 4); /* and now the no-op of term 4 */
    assert_int_equal(l.out.commit, 4);
    lone_free(&l);
}

static void test_r_r2_a_new_leader_appends_a_no_op_at_once(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader(&l);
    assert_int_equal(l.out.append_count, 1);
    assert_int_equal(raft_entry_at(l.r, l.out.append_first)->type, RAFT_ENTRY_NOOP);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 2)->count, 1);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 3)->count, 1);
    lone_free(&l);
}

static void test_r_r7_a_heartbeat_names_no_commit_above_the_peers_match(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader(&l);
    lone_persist(&l);
    lone_ack(&l, 2, 1);
    assert_int_equal(l.out.commit, 1);
    lone_timeout(&l);
    assert_int_equal(lone_sent(&l, RAFT_MSG_HEARTBEAT, 2)->commit, 1);
    assert_int_equal(lone_sent(&l, RAFT_MSG_HEARTBEAT, 3)->commit, 0);
    lone_free(&l);
}

static void test_r_r8_match_never_decreases(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_propose(&l, 3, 10);
    lone_ack(&l, 2, 4);
    lone_ack(&l, 2, 2); /* late */
    assert_int_equal(peer(&l, 2)->match, 4);
    lone_ack(&l, 2, 4); /* twice */
    assert_int_equal(peer(&l, 2)->match, 4);
    assert_int_equal(peer(&l, 2)->next, 5);
    lone_ack(&l, 2, 99); /* not from our log */
    assert_int_equal(peer(&l, 2)->match, 4);
    lone_free(&l);
}

static void test_r_r9_a_stale_refusal_is_ignored(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_propose(&l, 3, 10);
    lone_ack(&l, 2, 4);
    refuse(&l, 2, 3, 0, 0);
    assert_int_equal(peer(&l, 2)->state, RAFT_PEER_REPLICATE);
    assert_int_equal(peer(&l, 2)->next, 5);
    lone_free(&l);
}

static void test_r_r10_back_off_skips_whole_terms(void **state)
{
    static const struct raft_run runs[] = {{1, 1}, {4, 4}, {6, 5}, {8, 6}};
    struct lone l;

    (void)state;
    lone_prepare(&l, 3); /* 1 1 1 4 4 5 5 6 6 6, as in Figure 7 */
    l.start.hard.term = 6;
    l.start.runs = runs;
    l.start.runs_count = 4;
    l.start.last_index = 10;
    lone_start(&l);
    lone_leader(&l);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 2)->index, 10);
    refuse(&l, 2, 10, 10 - 1, 3);                /* its log: 1 1 1 2 2 2 3 3 3 3 3 */
    assert_int_equal(l.out.want_fetch_count, 1); /* entries of before the start are on disk */
    assert_int_equal(l.out.want_fetch[0].peer, 2);
    assert_int_equal(l.out.want_fetch[0].first, 4);
    lone_free(&l);
}

static void test_r_r11_a_probe_is_alone_and_a_receipt_allows_the_next(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader(&l);
    lone_propose(&l, 1, 10);
    assert_null(lone_sent(&l, RAFT_MSG_APPEND, 2));
    receipt(&l, 2);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 2)->count, 2);
    assert_null(lone_sent(&l, RAFT_MSG_APPEND, 3));
    lone_free(&l);
}

static void test_r_r11_a_stream_stops_at_the_window(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    l.config.inflight_msgs_max = 2;
    l.config.inflight_bytes_max = 5000;
    lone_start(&l);
    lone_leader_settled(&l);
    lone_propose(&l, 1, 10);
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_APPEND, 2), 1);
    lone_propose(&l, 1, 10);
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_APPEND, 2), 1);
    lone_propose(&l, 1, 10); /* two messages are on their way */
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_APPEND, 2), 0);
    lone_ack(&l, 2, 2);
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_APPEND, 2), 1);
    lone_ack(&l, 3, 3);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 3)->count, 1);
    lone_ack(&l, 3, 4);
    lone_propose(&l, 1, 6000); /* now the bytes */
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_APPEND, 3), 1);
    lone_propose(&l, 1, 10);
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_APPEND, 3), 0);
    lone_free(&l);
}

static void test_r_r12_a_full_window_with_lost_messages_recovers(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    l.config.inflight_msgs_max = 1;
    lone_start(&l);
    lone_leader_settled(&l);
    lone_propose(&l, 2, 10); /* lost on the way to 2 */
    lone_propose(&l, 2, 10);
    lone_wait(&l, T_US / 2);
    receipt(&l, 2);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 2)->count, 0);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 2)->index, 3);
    refuse(&l, 2, 3, 1, 1);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 2)->index, 1);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 2)->count, 4);
    lone_free(&l);
}

static void test_r_r13_an_entry_above_the_message_limit_is_sent_alone(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    l.config.msg_bytes_max = 1000;
    lone_start(&l);
    lone_leader_settled(&l);
    lone_propose(&l, 1, 5000);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 2)->count, 1);
    lone_propose(&l, 30, 100);
    assert_in_range(lone_sent(&l, RAFT_MSG_APPEND, 2)->count, 2, 10);
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_APPEND, 2), 3); /* up to the window */
    lone_free(&l);
}

static void test_r_r14_the_own_disk_is_one_voice_among_others(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_propose(&l, 1, 10);
    lone_ack(&l, 2, 2);
    assert_int_equal(l.out.commit, 1);
    lone_ack(&l, 3, 2); /* both others: the own disk is not needed to commit ... */
    assert_int_equal(l.out.commit, 2);
    assert_int_equal(l.out.apply_last, 0); /* ... but to apply */
    lone_persist(&l);
    assert_int_equal(l.s.durable, 2);
    lone_free(&l);
}

static void test_r_p3_a_single_node_commits_only_what_is_durable(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 1);
    lone_leader(&l);
    assert_int_equal(l.out.commit, 0);
    lone_propose(&l, 1, 10);
    assert_int_equal(l.out.commit, 0);
    lone_persist(&l);
    assert_int_equal(l.out.commit, 2);
    assert_int_equal(l.out.apply_first, 1);
    assert_int_equal(l.out.apply_last, 2);
    lone_free(&l);
}

static void test_r_r16_uncommitted_bytes_are_limited_but_one_always_passes(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    l.config.uncommitted_bytes_max = 1000;
    lone_start(&l);
    lone_leader_settled(&l);
    assert_int_equal(lone_propose(&l, 1, 5000), DKV_OK);
    assert_int_equal(lone_propose(&l, 1, 1), RAFT_ELIMIT);
    assert_int_equal(l.s.last, 2);
    lone_persist(&l);
    lone_ack(&l, 2, 2);
    assert_int_equal(l.s.uncommitted_bytes, 0);
    assert_int_equal(lone_propose(&l, 1, 10), DKV_OK);
    lone_free(&l);
}

static void test_r_r17_stepping_down_keeps_the_log(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_propose(&l, 3, 10);
    lone_heartbeat(&l, 2, 7, 0, 0);
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    assert_int_equal(l.s.last, 4);
    assert_int_equal(l.out.truncate_from, 0);
    assert_int_equal(l.out.dropped_count, 0);
    assert_int_equal(lone_propose(&l, 1, 1), RAFT_ENOTLEADER);
    lone_free(&l);
}

static void test_r_r20_acks_of_strangers_do_not_count(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader(&l);
    lone_persist(&l);
    lone_ack(&l, 8, 1);
    lone_ack(&l, 9, 1);
    assert_int_equal(l.out.commit, 0);
    lone_free(&l);
}

static void test_r_m20_learners_do_not_count(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    lone_member(&l, 4, RAFT_MEMBER_LEARNER);
    lone_start(&l);
    lone_leader(&l);
    lone_persist(&l);
    lone_ack(&l, 4, 1);
    assert_int_equal(l.out.commit, 0);
    lone_ack(&l, 3, 1);
    assert_int_equal(l.out.commit, 1);
    lone_free(&l);
}

static void test_r_r21_an_unreachable_peer_is_probed_once(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_propose(&l, 2, 10);
    lone_do(&l, (struct raft_event){.type = RAFT_UNREACHABLE, .peer = 2});
    assert_int_equal(peer(&l, 2)->state, RAFT_PEER_PROBE);
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_APPEND, 2), 1);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 2)->index, 1);
    lone_do(&l, (struct raft_event){.type = RAFT_UNREACHABLE, .peer = 2});
    assert_null(lone_sent(&l, RAFT_MSG_APPEND, 2));
    lone_free(&l);
}

static void test_r_r22_idle_followers_hear_of_a_commit_at_once(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_propose(&l, 1, 10);
    lone_persist(&l);
    lone_ack(&l, 2, 2);
    assert_int_equal(lone_sent(&l, RAFT_MSG_HEARTBEAT, 2)->commit, 2);
    assert_null(lone_sent(&l, RAFT_MSG_HEARTBEAT, 3)); /* has not got it yet */
    lone_ack(&l, 3, 2);
    assert_int_equal(lone_sent(&l, RAFT_MSG_HEARTBEAT, 3)->commit, 2);
    lone_free(&l);
}

static void test_r_r23_a_stale_leader_steps_down(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_append(&l, 2, 5, 1, 1, 1, TERMS(5));
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    assert_int_equal(l.out.leader, 2);
    assert_int_equal(l.out.term, 5);
    lone_free(&l);
}

static void fetched_of_len(struct lone *l, raft_id id, raft_index first, uint32_t count,
                           raft_term term, uint32_t len)
{
    struct raft_entry e[8];
    struct raft_event event = {.type = RAFT_FETCHED};

    for (uint32_t i = 0; i < count; i++)
        e[i] = (struct raft_entry){.index = first + i,
                                   .term = term,
                                   .type = RAFT_ENTRY_DATA,
                                   .len = len,
                                   .data = l->payload->bytes,
                                   .owner = l->payload};
    event.fetched.peer = id;
    event.fetched.first = first;
    event.fetched.entries = e;
    event.fetched.count = count;
    lone_do(l, event);
}

static void fetched(struct lone *l, raft_id id, raft_index first, uint32_t count, raft_term term)
{
    fetched_of_len(l, id, first, count, term, 4);
}

static void test_entries_that_left_memory_are_fetched_and_sent(void **state)
{
    struct lone l;
    const struct raft_message *m;

    (void)state;
    leader_of_old_log(&l);
    refuse(&l, 2, 3, 0, 0);
    assert_int_equal(l.out.want_fetch[0].first, 1);
    assert_int_equal(l.out.want_fetch[0].last, 3);
    fetched(&l, 2, 1, 2, 1);
    m = lone_sent(&l, RAFT_MSG_APPEND, 2);
    assert_int_equal(m->index, 0);
    assert_int_equal(m->count, 2);
    assert_int_equal(raft_message_entry(l.r, m, 1)->index, 2);
    lone_free(&l);
}

/* The driver may have read more than was asked for. */
static void test_r_r13_fetched_entries_keep_to_the_message_limit(void **state)
{
    const struct raft_message *m;
    struct lone l;

    (void)state;
    leader_of_old_log(&l);
    refuse(&l, 2, 3, 0, 0);
    lone_ack(&l, 2, 0); /* no probe any more */
    assert_int_equal(l.out.want_fetch[0].first, 1);
    fetched_of_len(&l, 2, 1, 2, 1, 400 << 10); /* the limit is 512 KiB */
    assert_int_equal(l.out.messages_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        m = &l.out.messages[i];
        assert_int_equal(m->type, RAFT_MSG_APPEND);
        assert_int_equal(m->index, i);
        assert_int_equal(m->count, 1);
        assert_int_equal(raft_message_entry(l.r, m, 0)->index, 1 + i);
    }
    lone_free(&l);
}

static void test_r_r24_a_late_fetch_is_dropped(void **state)
{
    struct lone l;

    (void)state;
    leader_of_old_log(&l);
    refuse(&l, 2, 3, 0, 0);
    lone_ack(&l, 2, 4); /* it has everything after all */
    fetched(&l, 2, 1, 2, 1);
    assert_int_equal(l.rc, RAFT_ESTALE);
    assert_null(lone_sent(&l, RAFT_MSG_APPEND, 2));
    lone_free(&l);
    leader_of_old_log(&l);
    refuse(&l, 2, 3, 0, 0);
    fetched(&l, 2, 1, 2, 9); /* not the entries we have */
    assert_int_equal(l.rc, RAFT_ESTALE);
    lone_heartbeat(&l, 3, 9, 0, 0); /* no leader any more */
    fetched(&l, 2, 1, 2, 1);
    assert_int_equal(l.rc, RAFT_ESTALE);
    lone_free(&l);
}

static void test_joint_commit_needs_both_majorities(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    lone_member(&l, 1, RAFT_MEMBER_VOTER | RAFT_MEMBER_OUTGOING);
    lone_member(&l, 4, RAFT_MEMBER_OUTGOING);
    lone_member(&l, 5, RAFT_MEMBER_OUTGOING);
    lone_start(&l);
    lone_leader(&l);
    lone_persist(&l);
    lone_ack(&l, 2, 1);
    lone_ack(&l, 3, 1);
    assert_int_equal(l.out.commit, 0);
    lone_ack(&l, 4, 1);
    assert_int_equal(l.out.commit, 1);
    lone_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r_r1_older_terms_are_not_committed_by_counting),
        cmocka_unit_test(test_r_r2_a_new_leader_appends_a_no_op_at_once),
        cmocka_unit_test(test_r_r7_a_heartbeat_names_no_commit_above_the_peers_match),
        cmocka_unit_test(test_r_r8_match_never_decreases),
        cmocka_unit_test(test_r_r9_a_stale_refusal_is_ignored),
        cmocka_unit_test(test_r_r10_back_off_skips_whole_terms),
        cmocka_unit_test(test_r_r11_a_probe_is_alone_and_a_receipt_allows_the_next),
        cmocka_unit_test(test_r_r11_a_stream_stops_at_the_window),
        cmocka_unit_test(test_r_r12_a_full_window_with_lost_messages_recovers),
        cmocka_unit_test(test_r_r13_an_entry_above_the_message_limit_is_sent_alone),
        cmocka_unit_test(test_r_r14_the_own_disk_is_one_voice_among_others),
        cmocka_unit_test(test_r_p3_a_single_node_commits_only_what_is_durable),
        cmocka_unit_test(test_r_r16_uncommitted_bytes_are_limited_but_one_always_passes),
        cmocka_unit_test(test_r_r17_stepping_down_keeps_the_log),
        cmocka_unit_test(test_r_r20_acks_of_strangers_do_not_count),
        cmocka_unit_test(test_r_m20_learners_do_not_count),
        cmocka_unit_test(test_r_r21_an_unreachable_peer_is_probed_once),
        cmocka_unit_test(test_r_r22_idle_followers_hear_of_a_commit_at_once),
        cmocka_unit_test(test_r_r23_a_stale_leader_steps_down),
        cmocka_unit_test(test_entries_that_left_memory_are_fetched_and_sent),
        cmocka_unit_test(test_r_r13_fetched_entries_keep_to_the_message_limit),
        cmocka_unit_test(test_r_r24_a_late_fetch_is_dropped),
        cmocka_unit_test(test_joint_commit_needs_both_majorities),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
