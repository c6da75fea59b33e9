/* The follower's side, and what is durable when. */
#include "base/rng.h"
#include "tests/unit/raft/lone.h"

static raft_index acked(const struct lone *l)
{
    const struct raft_message *m = lone_sent(l, RAFT_MSG_APPEND_REPLY, 2);

    return m == NULL || (m->flags & RAFT_REJECT) != 0 ? 0 : m->index;
}

static bool refused(const struct lone *l)
{
    const struct raft_message *m = lone_sent(l, RAFT_MSG_APPEND_REPLY, 2);

    return m != NULL && (m->flags & RAFT_REJECT) != 0;
}

static void with_entries(struct lone *l, uint32_t count) /* of term 1, durable, leader 2 */
{
    lone_new(l, 3);
    for (raft_index i = 0; i < count; i++)
        lone_append(l, 2, 1, i, i == 0 ? 0 : 1, 0, TERMS(1));
    lone_persist(l);
    assert_int_equal(l->s.durable, count);
}

static void test_r_r3_only_a_conflict_truncates(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 5);
    lone_append(&l, 2, 1, 0, 0, 0, TERMS(1, 1)); /* late, a prefix */
    assert_int_equal(l.s.last, 5);
    assert_int_equal(l.out.truncate_from, 0);
    lone_append(&l, 2, 1, 3, 1, 0, NO_TERMS);
    assert_int_equal(l.s.last, 5);
    lone_append(&l, 2, 2, 3, 1, 0, TERMS(2)); /* a real one */
    assert_int_equal(l.s.last, 4);
    assert_int_equal(l.out.truncate_from, 4);
    assert_int_equal(l.out.append_first, 4);
    assert_int_equal(l.out.append_count, 1);
    lone_free(&l);
}

static void test_r_r4_committed_entries_are_never_compared_or_cut(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 5);
    lone_heartbeat(&l, 2, 1, 3, 0);
    lone_append(&l, 2, 2, 1, 1, 0, TERMS(1, 1, 2)); /* conflict at 4, above commit */
    assert_int_equal(l.out.truncate_from, 4);
    assert_int_equal(l.out.commit, 3);
    lone_free(&l);
}

static void test_r_r5_the_ack_is_what_the_message_covered(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 5);
    lone_append(&l, 2, 2, 1, 1, 0, TERMS(1)); /* a new leader has verified 1..2 */
    lone_persist(&l);
    assert_int_equal(acked(&l), 2);
    lone_free(&l);
}

static void test_r_r6_commit_is_clamped_to_what_is_verified(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 5);
    lone_append(&l, 2, 2, 1, 1, 5, TERMS(1));
    assert_int_equal(l.out.commit, 2);
    lone_free(&l);
}

static void test_r_r18_an_empty_append_reports_a_conflict(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 3);
    lone_append(&l, 2, 2, 3, 2, 0, NO_TERMS);
    assert_true(refused(&l));
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND_REPLY, 2)->hint_index, 2);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND_REPLY, 2)->log_term, 1);
    lone_append(&l, 2, 2, 9, 2, 0, NO_TERMS); /* beyond the end */
    assert_true(refused(&l));
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND_REPLY, 2)->hint_index, 3);
    lone_free(&l);
}

static void test_r_r19_a_previous_entry_below_the_snapshot_is_no_conflict(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    l.start.hard.term = 1;
    l.start.snapshot_index = 10;
    l.start.snapshot_term = 1;
    l.start.applied_index = 10;
    l.start.log_prev_index = 10;
    l.start.log_prev_term = 1;
    l.start.last_index = 10;
    lone_start(&l);
    assert_int_equal(l.rc, DKV_OK);
    lone_append(&l, 2, 1, 8, 1, 0, TERMS(1, 1, 1));
    assert_false(refused(&l));
    assert_int_equal(l.s.last, 11);
    lone_append(&l, 2, 1, 3, 1, 0, TERMS(1, 1));
    assert_int_equal(l.s.last, 11);
    lone_persist(&l);
    assert_int_equal(acked(&l), 11);
    lone_free(&l);
}

static void test_r_r20_appends_of_a_stranger_are_judged_by_term_and_log(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_append(&l, 77, 4, 0, 0, 0, TERMS(4));
    assert_int_equal(l.out.leader, 77);
    assert_int_equal(l.s.last, 1);
    lone_free(&l);
}

static void test_d5_one_ack_covers_all_appends_of_a_sync(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 1);
    for (raft_index i = 1; i < 6; i++) {
        lone_append(&l, 2, 1, i, 1, 0, TERMS(1));
        assert_null(lone_sent(&l, RAFT_MSG_APPEND_REPLY, 0));
    }
    lone_persist(&l);
    assert_int_equal(lone_sent_count(&l, RAFT_MSG_APPEND_REPLY, 2), 1);
    assert_int_equal(acked(&l), 6);
    lone_append(&l, 2, 1, 2, 1, 0, TERMS(1)); /* the ack may be lost: asked again, told again */
    assert_int_equal(acked(&l), 6);
    lone_free(&l);
}

static void test_r_p1_terms_reach_the_disk_not_after_their_entries(void **state)
{
    static const struct raft_run runs[] = {{1, 7}};
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_append(&l, 2, 4, 0, 0, 0, TERMS(4));
    assert_true(l.out.hard_changed && l.out.append_count == 1);
    assert_int_equal(l.out.hard.term, 4);
    lone_free(&l);
    lone_prepare(&l, 3); /* and a log that contradicts this is refused */
    l.start.hard.term = 6;
    l.start.runs = runs;
    l.start.runs_count = 1;
    l.start.last_index = 1;
    lone_start(&l);
    assert_int_equal(l.rc, DKV_ECORRUPT);
    lone_free(&l);
}

static void test_r_p2_a_late_sync_of_replaced_entries_credits_nothing(void **state)
{
    struct lone l;
    uint64_t first;

    (void)state;
    lone_new(&l, 3);
    lone_append(&l, 3, 1, 0, 0, 0, TERMS(1, 1, 1));
    first = l.ticket;
    lone_append(&l, 2, 2, 0, 0, 0, TERMS(2, 2, 2)); /* replaces all three */
    assert_int_equal(l.out.truncate_from, 1);
    lone_do(&l, (struct raft_event){.type = RAFT_PERSISTED, .ticket = first});
    assert_int_equal(l.s.durable, 0);
    assert_int_equal(acked(&l), 0);
    lone_persist(&l);
    assert_int_equal(acked(&l), 3);
    lone_free(&l);
}

static void test_r_p7_a_failed_store_is_final(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader(&l);
    lone_do(&l, (struct raft_event){.type = RAFT_STORE_FAILED});
    assert_true(l.out.fatal);
    assert_int_equal(l.out.messages_count, 0);
    lone_step(&l, (struct raft_event){.type = RAFT_TICK});
    assert_int_equal(l.rc, RAFT_EFATAL);
    assert_int_equal(raft_deadline_us(l.r), UINT64_MAX);
    lone_free(&l);
}

static void test_r_a10_replaced_proposals_are_reported(void **state)
{
    struct lone l;

    (void)state;
    lone_new(&l, 3);
    lone_leader_settled(&l);
    lone_propose(&l, 3, 10);
    lone_append(&l, 2, 5, 1, 1, 1, TERMS(5));
    assert_int_equal(l.out.dropped_count, 1);
    assert_int_equal(l.out.dropped[0].first, 2);
    assert_int_equal(l.out.dropped[0].last, 4);
    assert_int_equal(l.out.dropped[0].term, 1);
    assert_int_equal(l.out.dropped[0].why, RAFT_WHY_TRUNCATED);
    lone_free(&l);
}

static void test_r_a2_apply_ranges_are_bounded_and_follow_each_other(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 1);
    l.config.apply_bytes_max = 300;
    lone_start(&l);
    lone_leader(&l);
    lone_propose(&l, 10, 100);
    lone_persist(&l);
    assert_int_equal(l.out.apply_first, 1);
    assert_in_range(l.out.apply_last, 1, 4);
    for (raft_index next = 1; l.s.applied < 11; next = l.s.applied + 1) {
        assert_int_equal(l.out.apply_first, next);
        lone_apply(&l);
    }
    assert_int_equal(l.out.apply_last, 0);
    lone_free(&l);
}

static void test_applied_entries_leave_a_full_ring(void **state)
{
    struct lone l;

    (void)state;
    lone_prepare(&l, 1);
    l.config.ring_bytes_max = 500;
    lone_start(&l);
    lone_leader(&l);
    lone_propose(&l, 4, 100);
    lone_persist(&l);
    assert_non_null(raft_entry_at(l.r, 1));
    lone_apply(&l);
    assert_null(raft_entry_at(l.r, 1));
    assert_non_null(raft_entry_at(l.r, 5));
    assert_true(l.s.ring_bytes <= 500);
    lone_free(&l);
}

static void test_malformed_entries_are_refused_whole(void **state)
{
    struct lone l;
    struct raft_entry e = {.index = 1, .term = 1, .type = RAFT_ENTRY_NOOP};
    struct raft_message m = {
        .type = RAFT_MSG_APPEND, .from = 2, .term = 1, .count = 1, .entries = &e};

    (void)state;
    lone_new(&l, 3);
    e.index = 2; /* a gap */
    lone_receive(&l, m);
    assert_int_equal(l.rc, DKV_EINVAL);
    e.index = 1;
    e.term = 2; /* above the message's */
    lone_receive(&l, m);
    assert_int_equal(l.rc, DKV_EINVAL);
    e.term = 1;
    e.type = 9;
    lone_receive(&l, m);
    assert_int_equal(l.rc, DKV_EINVAL);
    e.type = RAFT_ENTRY_CONFIG; /* that does not decode */
    lone_receive(&l, m);
    assert_int_equal(l.rc, DKV_EINVAL);
    assert_int_equal(l.s.last, 0);
    lone_free(&l);
}

/* Whatever the bytes on the wire decode to, the core survives it; its own assertions watch. */
static void test_r_x3_random_messages_never_crash(void **state)
{
    struct rng g;

    (void)state;
    rng_init(&g, 1);
    for (uint32_t run = 0; run < 300; run++) {
        struct lone l;

        lone_new(&l, 3);
        for (uint32_t i = 0; i < 200; i++) {
            struct raft_entry e[4];
            struct raft_message m = {.type = (uint32_t)rng_below(&g, 13),
                                     .flags = (uint32_t)rng_below(&g, 4),
                                     .from = rng_below(&g, 5),
                                     .term = rng_below(&g, 4) + l.out.term / 2,
                                     .index = rng_below(&g, 12),
                                     .log_term = rng_below(&g, 4),
                                     .hint_index = rng_below(&g, 12),
                                     .commit = rng_below(&g, 12),
                                     .read_seq = rng_below(&g, 4),
                                     .seq = rng_next(&g),
                                     .count = (uint32_t)rng_below(&g, 5),
                                     .entries = e};

            if (rng_below(&g, 50) == 0)
                m.hint_index = m.commit = m.log_term = UINT64_MAX;
            for (uint32_t k = 0; k < m.count; k++)
                e[k] = (struct raft_entry){.index = m.index + 1 + k,
                                           .term = m.log_term + rng_below(&g, 3),
                                           .type = 1 + 2 * (uint32_t)rng_below(&g, 2)};
            lone_receive(&l, m);
            if (rng_below(&g, 3) == 0)
                lone_persist(&l);
            if (rng_below(&g, 5) == 0)
                lone_apply_all(&l);
            if (rng_below(&g, 5) == 0)
                lone_timeout(&l);
            if (rng_below(&g, 5) == 0)
                lone_propose(&l, 1, 5);
            if (rng_below(&g, 9) == 0)
                lone_read(&l, i);
        }
        lone_free(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r_r3_only_a_conflict_truncates),
        cmocka_unit_test(test_r_r4_committed_entries_are_never_compared_or_cut),
        cmocka_unit_test(test_r_r5_the_ack_is_what_the_message_covered),
        cmocka_unit_test(test_r_r6_commit_is_clamped_to_what_is_verified),
        cmocka_unit_test(test_r_r18_an_empty_append_reports_a_conflict),
        cmocka_unit_test(test_r_r19_a_previous_entry_below_the_snapshot_is_no_conflict),
        cmocka_unit_test(test_r_r20_appends_of_a_stranger_are_judged_by_term_and_log),
        cmocka_unit_test(test_d5_one_ack_covers_all_appends_of_a_sync),
        cmocka_unit_test(test_r_p1_terms_reach_the_disk_not_after_their_entries),
        cmocka_unit_test(test_r_p2_a_late_sync_of_replaced_entries_credits_nothing),
        cmocka_unit_test(test_r_p7_a_failed_store_is_final),
        cmocka_unit_test(test_r_a10_replaced_proposals_are_reported),
        cmocka_unit_test(test_r_a2_apply_ranges_are_bounded_and_follow_each_other),
        cmocka_unit_test(test_applied_entries_leave_a_full_ring),
        cmocka_unit_test(test_malformed_entries_are_refused_whole),
        cmocka_unit_test(test_r_x3_random_messages_never_crash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
