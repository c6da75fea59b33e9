/* Terms, timers and votes (dissertation 3.4, 4.2.3, 6.2, 9.6).
 *
 * A follower that hears no leader for a random time in [T, 2T) asks first whether it could win
 * (pre-vote); that changes nobody's state.  With a quorum it raises its term, votes for itself, and
 * only when that is on disk asks for votes: else a crash could make it campaign twice in one term
 * and, being re-granted by a voter that knows only the id, lead it twice with different entries.
 *
 * Whoever hears from a live leader refuses both kinds of votes, so a node behind a bad link cannot
 * depose it. */
#include "raft/core.h"

static uint64_t random_between(struct raft *r, uint64_t low, uint64_t high)
{
    return low + rng_below(&r->rng, high > low ? high - low : 1);
}

void raft__timer_reset(struct raft *r)
{
    uint64_t t = r->config.election_timeout_us;

    r->election_at_us = r->now_us + random_between(r, t, 2 * t);
}

/* A candidate protects no leader, so it tries again sooner: this is what a split vote costs. */
static void timer_candidate(struct raft *r)
{
    uint64_t t = r->config.election_timeout_us;

    r->election_at_us = r->now_us + random_between(r, t / 2, t);
}

static void stop_leading(struct raft *r, uint32_t why)
{
    raft__reads_fail(r, why);
    if (r->transfer_target != 0)
        raft__transfer_abort(r, why);
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].state == RAFT_PEER_SNAPSHOT && r->peers[i].snapshot_asked)
            RAFT_PUSH(&r->snapshot_abort, r->peers[i].id);
        raft__peer_reset(r, &r->peers[i]);
    }
    r->uncommitted_bytes = 0;
}

void raft__become_follower(struct raft *r, raft_term term, raft_id leader, uint32_t why)
{
    bool was_follower = r->role == RAFT_FOLLOWER;

    dkv_assert(term >= r->hard.term);
    if (r->role == RAFT_LEADER)
        stop_leading(r, why);
    if (r->leader != leader)
        raft__reads_fail_remote(r, why);
    if (term > r->hard.term) {
        r->hard.term = term;
        r->hard.vote = 0;
        r->vote_reply_to = 0;
        r->matched = r->commit;
        r->acked = 0;
        r->ack_due = false;
        r->receipt_due = false;
        r->receipt_seq = 0;
        r->receipt_sent = 0;
    } else if (MUTANT(2) && !was_follower) {
        r->hard.vote = 0;
    }
    if (r->role != RAFT_FOLLOWER || r->leader != leader)
        r->why = why;
    r->role = RAFT_FOLLOWER;
    r->leader = leader;
    if (!was_follower)
        raft__timer_reset(r);
}

void raft__hear_leader(struct raft *r, raft_id leader)
{
    if (r->role != RAFT_FOLLOWER || r->leader != leader)
        raft__become_follower(r, r->hard.term, leader, RAFT_WHY_LEADER_FOUND);
    r->leader_contact_us = r->now_us;
    r->leader_gone = false;
    raft__timer_reset(r);
}

/* A voter of the latest or of the committed configuration: a leader that was removed by an entry
 * which may yet be rolled back can be the only one with the newest log. */
bool raft__is_promotable(const struct raft *r)
{
    const struct raft_member *latest = raft_members_find(raft__members(r), r->config.self);
    const struct raft_member *committed =
        raft_members_find(raft__conf_at(r, r->commit)->members, r->config.self);
    uint8_t votes = RAFT_MEMBER_VOTER | RAFT_MEMBER_OUTGOING;

    if (r->installing)
        return false;
    return (latest != NULL && (latest->flags & votes) != 0) ||
           (committed != NULL && (committed->flags & votes) != 0);
}

static uint64_t self_bit(const struct raft *r)
{
    return r->self_slot == RAFT_MEMBERS_MAX ? 0 : (uint64_t)1 << r->self_slot;
}

static void ask_for_votes(struct raft *r, uint32_t type, raft_term term)
{
    uint64_t voters = raft__voters(r);

    for (uint32_t i = 0; i < r->peers_count; i++) {
        if ((voters >> i & 1) == 0 || r->peers[i].id == r->config.self)
            continue;
        raft__send(r, (struct raft_message){
                          .type = type,
                          .flags = type == RAFT_MSG_VOTE && r->campaign_forced ? RAFT_FORCED : 0,
                          .to = r->peers[i].id,
                          .term = term,
                          .index = r->tail.last,
                          .log_term = raft__tail_last_term(&r->tail),
                          .seq = type == RAFT_MSG_PREVOTE ? r->round : 0,
                      });
    }
}

static void become_leader(struct raft *r)
{
    dkv_assert(r->role == RAFT_CANDIDATE);
    dkv_assert(MUTANT(6) || (r->hard_durable.term == r->hard.term &&
                             r->hard_durable.vote == r->config.self)); /* I-14 */
    r->role = RAFT_LEADER;
    r->leader = r->config.self;
    r->why = RAFT_WHY_ELECTED;
    r->leader_gone = false;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        raft__peer_reset(r, &r->peers[i]);
        r->peers[i].contact_us = r->now_us; /* grace before check-quorum */
        r->read_acked[i] = 0;
    }
    r->uncommitted_bytes = 0;
    r->heartbeat_at_us = r->now_us;
    r->term_start = r->tail.last + 1;
    raft__append_own(r, RAFT_ENTRY_NOOP, NULL);
}

static void campaign_for_real(struct raft *r)
{
    if (r->hard.term >= RAFT_NUMBER_MAX)
        return;
    raft__become_follower(r, r->hard.term + 1, 0, r->why);
    r->hard.vote = r->config.self;
    r->role = RAFT_CANDIDATE;
    r->granted = 0;
    r->refused = 0;
    r->vote_requested = false;
    r->elections_started++;
    timer_candidate(r);
    raft__election_persisted(r);
}

static void count_votes(struct raft *r)
{
    switch (raft__quorum_vote(r->quorum, r->granted, r->refused)) {
    case RAFT_VOTE_WON:
        if (r->role == RAFT_PRECANDIDATE)
            campaign_for_real(r);
        else
            become_leader(r);
        break;
    case RAFT_VOTE_LOST: {
        uint64_t again_us = r->election_at_us;

        raft__become_follower(r, r->hard.term, 0, RAFT_WHY_LOST);
        r->election_at_us = again_us;
        break;
    }
    case RAFT_VOTE_PENDING:
        break;
    }
}

/* The moment a candidate's own vote is on disk it may ask for others, and a voter may tell. */
void raft__election_persisted(struct raft *r)
{
    bool is_durable = r->hard_durable.term == r->hard.term && r->hard_durable.vote == r->hard.vote;

    if (r->role == RAFT_CANDIDATE && !r->vote_requested && (is_durable || MUTANT(6))) {
        r->vote_requested = true;
        r->granted |= self_bit(r);
        ask_for_votes(r, RAFT_MSG_VOTE, r->hard.term);
        count_votes(r);
        return;
    }
    if (r->vote_reply_to != 0 && (is_durable || MUTANT(26))) {
        raft__send(r, (struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .to = r->vote_reply_to});
        r->vote_reply_to = 0;
    }
}

void raft__campaign(struct raft *r, uint32_t why)
{
    if (!raft__is_promotable(r) || raft__disk_is_stalled(r)) {
        raft__timer_reset(r);
        return;
    }
    raft__become_follower(r, r->hard.term, 0, why);
    r->role = RAFT_PRECANDIDATE;
    r->why = why;
    r->round++;
    r->granted = self_bit(r);
    r->refused = 0;
    r->campaign_forced = false;
    timer_candidate(r);
    if (MUTANT(15))
        r->hard = (struct raft_hard_state){r->hard.term + 1, 0};
    ask_for_votes(r, RAFT_MSG_PREVOTE, r->hard.term + 1);
    count_votes(r);
}

void raft__campaign_forced(struct raft *r, uint32_t why)
{
    if (!raft__is_promotable(r) || raft__disk_is_stalled(r))
        return;
    r->campaign_forced = true;
    r->why = why;
    campaign_for_real(r);
}

static bool has_live_leader(const struct raft *r)
{
    if (r->role == RAFT_LEADER)
        return true;
    return (r->leader != 0 || MUTANT(33)) && !r->leader_gone &&
           r->now_us < r->leader_contact_us + r->config.election_timeout_us;
}

static bool log_is_good_enough(const struct raft *r, const struct raft_message *m)
{
    raft_term own = raft__tail_last_term(&r->tail);

    if (MUTANT(27))
        return m->index >= r->tail.last;
    return m->log_term > own || (m->log_term == own && m->index >= r->tail.last);
}

static void refuse(struct raft *r, const struct raft_message *m, uint32_t type)
{
    raft__send(
        r, (struct raft_message){.type = type, .flags = RAFT_REJECT, .to = m->from, .seq = m->seq});
}

void raft__on_prevote(struct raft *r, const struct raft_message *m)
{
    uint64_t soon = r->now_us + r->config.election_timeout_us / 4;

    if (m->term <= r->hard.term || has_live_leader(r) || !log_is_good_enough(r, m)) {
        refuse(r, m, RAFT_MSG_PREVOTE_REPLY);
        return;
    }
    raft__send(r,
               (struct raft_message){
                   .type = RAFT_MSG_PREVOTE_REPLY, .to = m->from, .term = m->term, .seq = m->seq});

    /* Don't run into an election that is just being won.  The wait is shorter than anybody's
     * interval of asking, so it cannot be prolonged for ever. */
    if (r->role == RAFT_FOLLOWER && r->election_at_us < soon)
        r->election_at_us = soon;
}

void raft__on_prevote_reply(struct raft *r, const struct raft_message *m)
{
    uint32_t slot = raft__slot(r, m->from);

    if ((m->flags & RAFT_REJECT) != 0 && m->term > r->hard.term) {
        raft__become_follower(r, m->term, 0, RAFT_WHY_HIGHER_TERM);
        return;
    }
    if (r->role != RAFT_PRECANDIDATE || m->seq != r->round || slot == RAFT_MEMBERS_MAX)
        return;
    if ((m->flags & RAFT_REJECT) != 0)
        r->refused |= (uint64_t)1 << slot;
    else if (m->term == r->hard.term + 1)
        r->granted |= (uint64_t)1 << slot;
    count_votes(r);
}

/* Judged by term and log alone, never by our own view of who is a member (D15): the candidate may
 * know a newer configuration. */
void raft__on_vote(struct raft *r, const struct raft_message *m)
{
    bool may_vote;

    if (m->term < r->hard.term ||
        (m->term > r->hard.term && (m->flags & RAFT_FORCED) == 0 && has_live_leader(r))) {
        refuse(r, m, RAFT_MSG_VOTE_REPLY);
        return;
    }
    if (m->term > r->hard.term)
        raft__become_follower(r, m->term, 0, RAFT_WHY_HIGHER_TERM);
    may_vote = r->hard.vote == m->from || (r->hard.vote == 0 && r->leader == 0);
    if (MUTANT(28))
        may_vote = r->leader == 0;
    if (!may_vote || !log_is_good_enough(r, m)) {
        refuse(r, m, RAFT_MSG_VOTE_REPLY);
        return;
    }
    if (r->role == RAFT_PRECANDIDATE) /* somebody is further than we are */
        raft__become_follower(r, r->hard.term, 0, RAFT_WHY_LOST);
    r->hard.vote = m->from;
    r->vote_reply_to = m->from;
    raft__timer_reset(r);
    raft__election_persisted(r);
}

void raft__on_vote_reply(struct raft *r, const struct raft_message *m)
{
    uint32_t slot = raft__slot(r, m->from);

    if (r->role != RAFT_CANDIDATE || slot == RAFT_MEMBERS_MAX)
        return;
    if ((m->flags & RAFT_REJECT) != 0) {
        if ((r->granted >> slot & 1) == 0)
            r->refused |= (uint64_t)1 << slot;
    } else if (MUTANT(16)) {
        while (slot < 63 && (r->granted >> slot & 1) != 0)
            slot++;
        r->granted |= (uint64_t)1 << slot;
    } else {
        r->granted |= (uint64_t)1 << slot;
    }
    count_votes(r);
}

void raft__election_tick(struct raft *r)
{
    if (r->role == RAFT_LEADER || r->now_us < r->election_at_us)
        return;
    if (r->role == RAFT_CANDIDATE && !r->vote_requested)
        timer_candidate(r); /* still waits for the own disk; another term would not help */
    else if (r->role == RAFT_FOLLOWER && r->leader_gone)
        raft__campaign(r, RAFT_WHY_LEADER_GONE);
    else
        raft__campaign(r, RAFT_WHY_TIMEOUT);
}

/* The latest time by which a quorum, with ourselves, had been heard (check-quorum). */
static uint64_t quorum_contact_us(const struct raft *r)
{
    uint64_t contact[RAFT_MEMBERS_MAX];

    for (uint32_t i = 0; i < r->peers_count; i++)
        contact[i] = i == r->self_slot ? r->now_us : r->peers[i].contact_us;
    return raft__quorum_value(r->quorum, contact);
}

void raft__leader_tick(struct raft *r)
{
    uint64_t t = r->config.election_timeout_us;

    if (raft__disk_is_stalled(r)) {
        raft__become_follower(r, r->hard.term, 0, RAFT_WHY_DISK_STALL);
        return;
    }
    if (quorum_contact_us(r) + t <= r->now_us) {
        raft__become_follower(r, r->hard.term, 0, RAFT_WHY_QUORUM_LOST);
        return;
    }
    if (r->transfer_target != 0 && r->now_us >= r->transfer_at_us)
        raft__transfer_abort(r, RAFT_WHY_TIMEOUT);
    if (r->now_us >= r->heartbeat_at_us) {
        r->heartbeat_at_us = r->now_us + r->config.heartbeat_us;
        for (uint32_t i = 0; i < r->peers_count; i++)
            r->peers[i].heartbeat_due = true;
    }
}

uint64_t raft__leader_deadline(const struct raft *r)
{
    uint64_t at = r->heartbeat_at_us;
    uint64_t quorum_us = quorum_contact_us(r);
    uint64_t disk_us = raft__disk_deadline(r);

    if (quorum_us + r->config.election_timeout_us < at)
        at = quorum_us + r->config.election_timeout_us;
    if (disk_us < at)
        at = disk_us;
    if (r->transfer_target != 0 && r->transfer_at_us < at)
        at = r->transfer_at_us;
    return at;
}
