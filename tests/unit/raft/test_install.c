/* Snapshots, compaction, start, and the configuration through all of them. */
#include "tests/unit/raft/lone.h"

#include <string.h>

static void with_entries(struct lone *l, uint32_t count) /* of term 1, durable, leader 2 */
{
    lone_new(l, 3);
    for (raft_index i = 0; i < count; i++)
        lone_append(l, 2, 1, i, i == 0 ? 0 : 1, 0, TERMS(1));
    lone_persist(l);
}

static void installed(struct lone *l, raft_index index)
{
    lone_do(l, (struct raft_event){.type = RAFT_SNAPSHOT_INSTALLED, .index = index});
}

static const struct raft_message *reply(const struct lone *l)
{
    return lone_sent(l, RAFT_MSG_APPEND_REPLY, 2);
}

static void test_r_s1_an_install_drops_a_log_that_lacks_or_contradicts_it(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 3);
    lone_snapshot(&l, 2, 2, 10, 2); /* lacks it */
    assert_non_null(l.out.install);
    assert_int_equal(l.out.install->index, 10);
    assert_int_equal(l.s.last, 10);
    lone_free(&l);
    with_entries(&l, 8);
    lone_snapshot(&l, 2, 2, 5, 2); /* contradicts it: the suffix goes too */
    assert_non_null(l.out.install);
    assert_int_equal(l.s.last, 5);
    lone_free(&l);
    with_entries(&l, 8);
    lone_snapshot(&l, 2, 2, 5, 1); /* the log has it: no install, the suffix stays */
    assert_int_equal(l.rc, RAFT_ESTALE);
    assert_null(l.out.install);
    assert_int_equal(l.s.last, 8);
    assert_int_equal(l.out.commit, 5);
    lone_free(&l);
}

static void test_r_s1_a_snapshot_whose_terms_make_no_sense_is_refused(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 3);
    lone_heartbeat(&l, 2, 1, 3, 0);
    lone_snapshot(&l, 2, 2, 10, 0); /* of no term */
    assert_int_equal(l.rc, DKV_EINVAL);
    lone_snapshot(&l, 2, 2, 10, 3); /* later than its sender's */
    assert_int_equal(l.rc, DKV_EINVAL);
    assert_null(l.out.install);
    lone_free(&l);
    lone_new(&l, 3);
    lone_append(&l, 2, 4, 0, 0, 1, TERMS(4));
    lone_snapshot(&l, 2, 4, 2, 3); /* earlier than what is committed before it */
    assert_int_equal(l.rc, DKV_EINVAL);
    assert_int_equal(l.s.last, 1);
    lone_free(&l);
}

static void test_r_s2_a_snapshot_not_above_commit_is_ignored_but_acked(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 5);
    lone_heartbeat(&l, 2, 1, 4, 0);
    lone_snapshot(&l, 2, 1, 3, 1);
    assert_int_equal(l.rc, RAFT_ESTALE);
    assert_null(l.out.install);
    assert_true(reply(&l) != NULL && reply(&l)->index >= 4);
    lone_free(&l);
}

static void test_r_s4_a_snapshot_is_acked_only_when_installed(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 3);
    lone_snapshot(&l, 2, 1, 10, 1);
    lone_persist(&l);
    assert_null(reply(&l));
    installed(&l, 10);
    assert_int_equal(reply(&l)->index, 10);
    assert_int_equal(l.s.applied, 10);
    assert_int_equal(l.s.durable, 10);
    lone_free(&l);
}

static void test_r_s9_appends_during_an_install_wait_for_it(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 3);
    lone_snapshot(&l, 2, 1, 10, 1);
    lone_append(&l, 2, 1, 10, 1, 12, TERMS(1, 1));
    assert_int_equal(l.s.last, 12);
    assert_int_equal(l.out.append_count, 0);
    assert_int_equal(l.out.apply_last, 0);
    installed(&l, 10);
    assert_int_equal(l.out.append_first, 11);
    assert_int_equal(l.out.append_count, 2);
    lone_persist(&l);
    assert_int_equal(reply(&l)->index, 12);
    assert_int_equal(l.out.apply_first, 11);
    assert_int_equal(l.out.apply_last, 12);
    lone_free(&l);
}

static void test_r_s5_compaction_never_goes_back(void **state)
{
    struct lone l;
    struct raft_event event = {.type = RAFT_COMPACTED};

    (void)state;
    with_entries(&l, 5);
    lone_snapshot(&l, 2, 2, 10, 2);
    installed(&l, 10);
    event.compacted.index = 4; /* of the own snapshot that was slower */
    event.compacted.term = 1;
    lone_do(&l, event);
    assert_int_equal(l.rc, DKV_OK);
    assert_int_equal(l.s.compacted, 10);
    event.compacted.index = 11; /* not applied */
    lone_do(&l, event);
    assert_int_equal(l.rc, DKV_EINVAL);
    lone_free(&l);
}

static void test_r_s8_chunks_of_an_older_term_are_refused(void **state)
{
    struct lone l;
    struct raft_event event = {.type = RAFT_SNAPSHOT_CHUNK};

    (void)state;
    with_entries(&l, 1);
    lone_heartbeat(&l, 3, 5, 0, 0);
    event.snapshot.from = 2;
    event.snapshot.term = 1;
    lone_do(&l, event);
    assert_int_equal(l.rc, RAFT_ESTALE);
    assert_int_equal(reply(&l)->term, 5);
    lone_snapshot(&l, 2, 1, 10, 1);
    assert_int_equal(l.rc, RAFT_ESTALE);
    assert_null(l.out.install);
    lone_free(&l);
}

static void test_r_s10_a_second_snapshot_waits_for_the_first(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 1);
    lone_snapshot(&l, 2, 1, 10, 1);
    lone_snapshot(&l, 2, 1, 20, 1);
    assert_int_equal(l.rc, RAFT_EBUSY);
    installed(&l, 10);
    lone_snapshot(&l, 2, 1, 20, 1);
    assert_int_equal(l.rc, DKV_OK);
    assert_int_equal(l.out.install->index, 20);
    lone_free(&l);
}

static void test_r_s15_chunks_keep_the_election_timer_alive(void **state)
{
    struct lone l;
    struct raft_event event = {.type = RAFT_SNAPSHOT_CHUNK};

    (void)state;
    with_entries(&l, 1);
    event.snapshot.from = 2;
    event.snapshot.term = 1;
    for (int i = 0; i < 10; i++) {
        lone_wait(&l, T_US - 1);
        lone_do(&l, event);
        assert_int_equal(l.out.role, RAFT_FOLLOWER);
        assert_non_null(lone_sent(&l, RAFT_MSG_HEARTBEAT_REPLY, 2));
    }
    lone_free(&l);
}

static void test_r_e16_who_installs_does_not_campaign_but_votes(void **state)
{
    struct lone l;

    (void)state;
    with_entries(&l, 1);
    lone_snapshot(&l, 2, 1, 10, 1);
    lone_wait(&l, 3 * T_US);
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    lone_receive(&l, (struct raft_message){
                         .type = RAFT_MSG_VOTE, .from = 3, .term = 5, .index = 10, .log_term = 1});
    assert_true(l.out.hard_changed);
    assert_int_equal(l.out.append_count, 0);
    lone_persist(&l);
    assert_non_null(lone_sent(&l, RAFT_MSG_VOTE_REPLY, 3));
    lone_free(&l);
}

/* A leader whose log begins after 5, with a peer that has nothing. */
static void leader_with_compacted_log(struct lone *l)
{
    struct raft_event event = {.type = RAFT_COMPACTED, .compacted = {5, 1}};

    lone_new(l, 3);
    lone_leader_settled(l);
    lone_propose(l, 5, 10);
    lone_persist(l);
    lone_ack(l, 2, 6);
    lone_apply_all(l);
    lone_do(l, event);
    assert_int_equal(l->rc, DKV_OK);
    lone_do(l, (struct raft_event){.type = RAFT_UNREACHABLE, .peer = 3});
    assert_int_equal(l->s.peers[1].match, 1);
    lone_poll(l);
}

static void sent(struct lone *l, uint32_t type, raft_index index, bool ok)
{
    struct raft_event event = {.type = type};

    event.sent.peer = 3;
    event.sent.index = index;
    event.sent.ok = ok;
    lone_do(l, event);
}

static void test_r_s3_r_s11_r_s13_a_peer_behind_the_log_gets_a_snapshot(void **state)
{
    struct lone l;

    (void)state;
    leader_with_compacted_log(&l);
    assert_int_equal(l.s.peers[1].state, RAFT_PEER_SNAPSHOT);
    lone_timeout(&l);
    sent(&l, RAFT_SNAPSHOT_STARTED, 6, false);
    assert_int_equal(l.out.retain_from, 7);
    sent(&l, RAFT_SNAPSHOT_SENT, 6, false); /* failed: probed, later asked for again */
    assert_int_equal(l.out.want_snapshot_count, 0);
    lone_wait(&l, T_US / 2);
    lone_ack(&l, 2, 6);
    lone_receive(&l, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_REPLY, .from = 3, .term = 1});
    assert_int_equal(l.out.want_snapshot_count, 0);
    lone_wait(&l, T_US / 2);
    assert_int_equal(l.out.want_snapshot_count, 1);
    assert_int_equal(l.out.want_snapshot[0], 3);
    sent(&l, RAFT_SNAPSHOT_SENT, 6, true); /* done: continued behind it */
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 3)->index, 6);
    lone_free(&l);
    leader_with_compacted_log(&l);
    lone_ack(&l, 3, 5); /* caught up by itself */
    assert_int_equal(l.out.snapshot_abort_count, 1);
    assert_int_equal(lone_sent(&l, RAFT_MSG_APPEND, 3)->index, 5);
    lone_free(&l);
}

static void test_r_s12_sending_a_snapshot_stops_nothing_else(void **state)
{
    struct lone l;

    (void)state;
    leader_with_compacted_log(&l);
    lone_propose(&l, 1, 10);
    assert_non_null(lone_sent(&l, RAFT_MSG_APPEND, 2));
    lone_timeout(&l);
    assert_non_null(lone_sent(&l, RAFT_MSG_HEARTBEAT, 3));
    lone_free(&l);
}

static void test_r_s16_start_with_snapshot_and_log_in_any_relation(void **state)
{
    static const struct raft_run runs[] = {{4, 1}};
    static const struct {
        raft_index snapshot, prev, last;
        int rc;
        raft_index compacted, end;
    } cases[] = {
        {0, 0, 0, DKV_OK, 0, 0},       /* nothing */
        {8, 3, 6, DKV_OK, 8, 8},       /* snapshot ahead of the log */
        {6, 3, 6, DKV_OK, 3, 6},       /* equal */
        {5, 3, 9, DKV_OK, 3, 9},       /* behind the log's end */
        {3, 3, 9, DKV_OK, 3, 9},       /* just before it */
        {8, 8, 8, DKV_OK, 8, 8},       /* only a snapshot */
        {2, 3, 9, DKV_ECORRUPT, 0, 0}, /* a gap */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lone l;

        lone_prepare(&l, 3);
        l.start.hard.term = 1;
        l.start.snapshot_index = cases[i].snapshot;
        l.start.snapshot_term = cases[i].snapshot == 0 ? 0 : 1;
        l.start.applied_index = cases[i].snapshot;
        l.start.log_prev_index = cases[i].prev;
        l.start.log_prev_term = cases[i].prev == 0 ? 0 : 1;
        l.start.last_index = cases[i].last;
        l.start.runs = runs;
        l.start.runs_count = cases[i].last > cases[i].prev;
        lone_start(&l);
        assert_int_equal(l.rc, cases[i].rc);
        if (l.rc == DKV_OK) {
            assert_int_equal(l.s.compacted, cases[i].compacted);
            assert_int_equal(l.s.last, cases[i].end);
            assert_int_equal(l.s.commit, cases[i].snapshot);
            lone_append(&l, 2, 1, cases[i].end, cases[i].end == 0 ? 0 : 1, 0, TERMS(1));
            assert_int_equal(l.out.append_first, cases[i].end + 1);
        }
        lone_free(&l);
    }
}

static void test_start_reads_unapplied_entries_back_from_the_log(void **state)
{
    static const struct raft_run runs[] = {{1, 1}};
    struct raft_event event = {.type = RAFT_FETCHED};
    struct raft_entry e[2];
    struct lone l;

    (void)state;
    lone_prepare(&l, 3);
    l.start.hard.term = 1;
    l.start.last_index = 2;
    l.start.runs = runs;
    l.start.runs_count = 1;
    lone_start(&l);
    lone_append(&l, 2, 1, 2, 1, 2, NO_TERMS);
    assert_int_equal(l.out.want_fetch_count, 1);
    assert_int_equal(l.out.want_fetch[0].peer, 1);
    for (raft_index i = 0; i < 2; i++)
        e[i] = (struct raft_entry){i + 1, 1, RAFT_ENTRY_DATA, 3, l.payload->bytes, l.payload};
    event.fetched.peer = 1;
    event.fetched.first = 1;
    event.fetched.entries = e;
    event.fetched.count = 2;
    lone_do(&l, event);
    assert_int_equal(l.out.apply_first, 1);
    assert_int_equal(l.out.apply_last, 2);
    assert_int_equal(raft_entry_at(l.r, 2)->index, 2);
    lone_apply(&l);
    assert_null(raft_entry_at(l.r, 2));
    lone_free(&l);
}

static struct raft_members members_of(raft_id a, raft_id b)
{
    struct raft_members m = {.count = 0};

    raft_members_set(&m, a, RAFT_MEMBER_VOTER, "a", 1);
    raft_members_set(&m, b, RAFT_MEMBER_VOTER, "b", 1);
    return m;
}

static void test_r_m3_a_configuration_holds_from_append_and_is_rolled_back(void **state)
{
    static struct raft_members m;
    struct lone l;

    (void)state;
    m = members_of(2, 4);
    with_entries(&l, 2);
    lone_append_config(&l, 1, 2, 1, &m);
    assert_true(l.out.members_changed);
    assert_int_equal(l.out.members_index, 3);
    assert_true(raft_members_equal(l.out.members, &m));
    assert_false(l.s.is_voter);
    assert_true(raft_members_equal(raft_members_at(l.r, 2), &l.members));
    lone_append(&l, 3, 2, 2, 1, 0, TERMS(2)); /* replaced */
    assert_true(l.out.members_changed);
    assert_int_equal(l.out.members_index, 0);
    assert_true(raft_members_equal(l.out.members, &l.members));
    assert_true(l.s.is_voter);
    lone_free(&l);
}

static void test_r_m11_a_voter_of_the_committed_configuration_may_still_campaign(void **state)
{
    static struct raft_members m;
    struct lone l;

    (void)state;
    m = members_of(2, 4);
    with_entries(&l, 2);
    lone_append_config(&l, 1, 2, 1, &m);
    lone_persist(&l);
    lone_wait(&l, 3 * T_US);
    assert_int_equal(l.out.role, RAFT_PRECANDIDATE);
    lone_heartbeat(&l, 2, 1, 3, 0); /* committed: it is out */
    lone_wait(&l, 3 * T_US);
    assert_int_equal(l.out.role, RAFT_FOLLOWER);
    lone_free(&l);
}

static void test_r_s6_a_snapshot_has_the_configuration_of_its_index(void **state)
{
    static struct raft_members m;
    struct lone l;
    struct raft_event event = {.type = RAFT_COMPACTED, .compacted = {2, 1}};

    (void)state;
    m = members_of(1, 4);
    with_entries(&l, 2);
    lone_append_config(&l, 1, 2, 1, &m);
    lone_append(&l, 2, 1, 3, 1, 2, TERMS(1));
    lone_persist(&l);
    lone_apply_all(&l);
    assert_true(raft_members_equal(raft_members_at(l.r, 2), &l.members));
    assert_true(raft_members_equal(raft_members_at(l.r, 3), &m));
    lone_do(&l, event);
    assert_int_equal(l.rc, DKV_OK);
    assert_true(raft_members_equal(raft_members_at(l.r, 2), &l.members));
    assert_true(raft_members_equal(l.out.members, &m));
    lone_free(&l);
}

static void test_r_s7_r_s14_an_install_brings_its_configuration(void **state)
{
    static struct raft_members m;
    struct lone l;

    (void)state;
    with_entries(&l, 2);
    m = l.members;
    lone_member(&l, 1, RAFT_MEMBER_LEARNER);
    lone_snapshot(&l, 2, 1, 10, 1);
    assert_true(raft_members_equal(l.out.members, &l.members));
    assert_false(l.s.is_voter);
    installed(&l, 10);
    lone_append_config(&l, 1, 10, 1, &m);
    assert_true(l.s.is_voter);
    lone_append(&l, 3, 2, 10, 1, 0, TERMS(2)); /* rolled back to the snapshot's */
    assert_true(raft_members_equal(l.out.members, &l.members));
    assert_int_equal(l.out.members_index, 10);
    lone_free(&l);
}

static void test_r_m19_configurations_above_the_snapshot_are_found_at_start(void **state)
{
    static const struct raft_run runs[] = {{1, 1}};
    static struct raft_members m;
    struct raft_entry e = {.index = 2, .term = 1, .type = RAFT_ENTRY_CONFIG};
    uint8_t bytes[256];
    struct lone l;

    (void)state;
    m = members_of(1, 2);
    raft_members_set(&m, 3, RAFT_MEMBER_OUTGOING, NULL, 0);
    e.len = (uint32_t)raft_members_encode(&m, bytes);
    e.data = bytes;
    lone_prepare(&l, 3);
    l.start.hard.term = 1;
    l.start.last_index = 3;
    l.start.runs = runs;
    l.start.runs_count = 1;
    l.start.configs = &e;
    l.start.configs_count = 1;
    lone_start(&l);
    assert_int_equal(l.rc, DKV_OK);
    assert_true(raft_members_is_joint(l.out.members));
    assert_int_equal(l.out.members_index, 2);
    lone_free(&l);
}

static void test_members_survive_encoding_and_damage_is_noticed(void **state)
{
    static struct raft_members m, back;
    uint8_t bytes[2048], cut[2048];
    size_t size;

    (void)state;
    raft_members_set(&m, 7, RAFT_MEMBER_VOTER, "seven", 5);
    raft_members_set(&m, 3, RAFT_MEMBER_OUTGOING | RAFT_MEMBER_LEARNER, NULL, 0);
    raft_members_set(&m, 9, RAFT_MEMBER_LEARNER, "nine!", 5);
    size = raft_members_encode(&m, bytes);
    assert_int_equal(size, raft_members_size(&m));
    assert_int_equal(raft_members_decode(bytes, size, &back), DKV_OK);
    assert_true(raft_members_equal(&m, &back));
    assert_int_equal(back.member[0].id, 3);
    for (size_t len = 0; len < size; len++) {
        memcpy(cut, bytes, len);
        assert_int_equal(raft_members_decode(cut, len, &back), DKV_ECORRUPT);
    }
    assert_int_equal(raft_members_decode(bytes, size + 1, &back), DKV_ECORRUPT);
    bytes[0] = 2;
    assert_int_equal(raft_members_decode(bytes, size, &back), DKV_ENOTSUP);
    bytes[0] = 1;
    bytes[12] = 64; /* flags */
    assert_int_equal(raft_members_decode(bytes, size, &back), DKV_ECORRUPT);
    assert_int_equal(raft_members_set(&m, 0, RAFT_MEMBER_VOTER, NULL, 0), DKV_EINVAL);
    assert_int_equal(raft_members_set(&m, 1, 5, NULL, 0), DKV_EINVAL);
    assert_int_equal(raft_members_set(&m, 1, 1, bytes, 513), DKV_ETOOBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r_s1_an_install_drops_a_log_that_lacks_or_contradicts_it),
        cmocka_unit_test(test_r_s1_a_snapshot_whose_terms_make_no_sense_is_refused),
        cmocka_unit_test(test_r_s2_a_snapshot_not_above_commit_is_ignored_but_acked),
        cmocka_unit_test(test_r_s4_a_snapshot_is_acked_only_when_installed),
        cmocka_unit_test(test_r_s9_appends_during_an_install_wait_for_it),
        cmocka_unit_test(test_r_s5_compaction_never_goes_back),
        cmocka_unit_test(test_r_s8_chunks_of_an_older_term_are_refused),
        cmocka_unit_test(test_r_s10_a_second_snapshot_waits_for_the_first),
        cmocka_unit_test(test_r_s15_chunks_keep_the_election_timer_alive),
        cmocka_unit_test(test_r_e16_who_installs_does_not_campaign_but_votes),
        cmocka_unit_test(test_r_s3_r_s11_r_s13_a_peer_behind_the_log_gets_a_snapshot),
        cmocka_unit_test(test_r_s12_sending_a_snapshot_stops_nothing_else),
        cmocka_unit_test(test_r_s16_start_with_snapshot_and_log_in_any_relation),
        cmocka_unit_test(test_start_reads_unapplied_entries_back_from_the_log),
        cmocka_unit_test(test_r_m3_a_configuration_holds_from_append_and_is_rolled_back),
        cmocka_unit_test(test_r_m11_a_voter_of_the_committed_configuration_may_still_campaign),
        cmocka_unit_test(test_r_s6_a_snapshot_has_the_configuration_of_its_index),
        cmocka_unit_test(test_r_s7_r_s14_an_install_brings_its_configuration),
        cmocka_unit_test(test_r_m19_configurations_above_the_snapshot_are_found_at_start),
        cmocka_unit_test(test_members_survive_encoding_and_damage_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
