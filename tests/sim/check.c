/* The invariants, by their numbers in the list of correctness rules. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/sim/world.h"

_Noreturn void world__fail(const struct world *w, const char *what, uint32_t n)
{
    fflush(stdout);
    fprintf(stderr, "seed %" PRIu64 " at %" PRIu64 " us, node %u: %s\n", w->seed, w->now_us, n + 1,
            what);
    abort();
}

/* I-3 LogMatching, by induction: an (index, term) has one content and one predecessor. */
static struct content *find_content(struct world *w, raft_index index, raft_term term)
{
    uint64_t i = world__mix(index, term) & (w->contents_max - 1);

    while (w->contents[i].index != 0 &&
           (w->contents[i].index != index || w->contents[i].term != term))
        i = (i + 1) & (w->contents_max - 1);
    return &w->contents[i];
}

static void grow_contents(struct world *w)
{
    struct content *old = w->contents;
    uint64_t old_max = w->contents_max;

    if (w->contents_max != 0 && w->contents_count * 2 < w->contents_max)
        return;
    w->contents_max = old_max == 0 ? 1024 : old_max * 2;
    w->contents = xcalloc(w->contents_max, sizeof(*w->contents));
    for (uint64_t i = 0; i < old_max; i++) {
        if (old[i].index != 0)
            *find_content(w, old[i].index, old[i].term) = old[i];
    }
    free(old);
}

void check__append(struct world *w, uint32_t n, raft_index index)
{
    const struct log *l = &w->nodes[n].wal;
    const struct log_entry *e = log__at(l, index);
    raft_term prev_term = log__term(l, index - 1);
    struct content *c;

    grow_contents(w);
    c = find_content(w, index, e->term);
    if (c->index == 0) {
        *c = (struct content){index, e->term, prev_term, e->hash};
        w->contents_count++;
    } else if (c->hash != e->hash || c->prev_term != prev_term) {
        world__fail(w, "I-3 LogMatching: two contents for one index and term", n);
    }
    if (e->term < prev_term)
        world__fail(w, "I-3: terms go back in a log", n);
}

static void check_leader(struct world *w, uint32_t n, raft_term term)
{
    raft_index i;

    while (w->leaders_max <= term) {
        uint64_t max = w->leaders_max == 0 ? 64 : w->leaders_max * 2;

        w->leaders = xreallocarray(w->leaders, max, sizeof(*w->leaders));
        for (uint64_t t = w->leaders_max; t < max; t++)
            w->leaders[t] = 0;
        w->leaders_max = max;
    }
    if (w->leaders[term] == ID(n))
        return;
    if (w->leaders[term] != 0)
        world__fail(w, "I-1 ElectionSafety: two leaders in one term", n);
    w->leaders[term] = ID(n);
    w->elections++;
    for (i = w->ledger_count; i > 0 && w->ledger[i - 1].commit_term >= term; i--)
        continue;
    if (i > 0 && raft_term_at(w->nodes[n].raft, i) != w->ledger[i - 1].term) {
        struct raft_status s;

        raft_status(w->nodes[n].raft, &s);
        if (s.compacted < i)
            world__fail(w, "I-4 LeaderCompleteness: a leader lacks a committed entry", n);
    }
}

static bool is_durable_at(const struct node *node, raft_index index, raft_term term)
{
    return node->snapshot.index >= index || log__term(&node->disk, index) == term;
}

/* A count of its own, so that an error in the core's arithmetic shows. */
static bool on_quorum(const struct world *w, raft_index index, raft_term term, uint8_t half)
{
    uint32_t have = 0, all = 0;

    for (uint32_t i = 0; i < w->config.nodes; i++) {
        if ((w->nodes[i].flags & half) == 0)
            continue;
        all++;
        have += is_durable_at(&w->nodes[i], index, term);
    }
    return all == 0 || have * 2 > all;
}

static void commit(struct world *w, uint32_t n, raft_index index, raft_term leader_term)
{
    const struct log_entry *e = log__at(&w->nodes[n].wal, index);
    raft_term term = raft_term_at(w->nodes[n].raft, index);
    struct ledger_entry *l;

    if (index <= w->ledger_count) {
        if (term != 0 && w->ledger[index - 1].term != term)
            world__fail(w, "I-5/I-7: a committed entry differs", n);
        return;
    }
    if (index != w->ledger_count + 1 || e == NULL || e->term != term)
        world__fail(w, "I-5: a commit that the node's log does not hold", n);
    if (w->ledger_count == w->ledger_max) {
        w->ledger_max = w->ledger_max == 0 ? 256 : w->ledger_max * 2;
        w->ledger = xreallocarray(w->ledger, w->ledger_max, sizeof(*w->ledger));
    }
    l = &w->ledger[w->ledger_count++];
    l->term = term;
    l->hash = e->hash;
    l->commit_term = leader_term;
    l->state = world__mix(index > 1 ? w->ledger[index - 2].state : 1, e->hash);
}

static void check_commit(struct world *w, uint32_t n, const struct raft_output *out)
{
    struct node *node = &w->nodes[n];
    raft_index from = node->commit_seen + 1;

    if (out->commit < node->commit_seen)
        world__fail(w, "I-9 MonotoneCommit", n);
    if (out->commit == node->commit_seen)
        return;
    if (out->role == RAFT_LEADER) {
        raft_term term = raft_term_at(node->raft, out->commit);

        if (!on_quorum(w, out->commit, term, RAFT_MEMBER_VOTER) ||
            !on_quorum(w, out->commit, term, RAFT_MEMBER_OUTGOING))
            world__fail(w, "I-6 CommittedOnQuorum: a commit is not durable on a quorum", n);
    }
    if (from <= node->wal.prev)
        from = node->wal.prev + 1;
    for (raft_index i = from; i <= out->commit; i++)
        commit(w, n, i, out->term);
    node->commit_seen = out->commit;
}

static void check_bounds(const struct world *w, uint32_t n)
{
    const struct raft_config *c = &w->config.raft;
    static struct raft_status s; /* big */
    uint64_t slack = 1 << 20;    /* of one turn */

    raft_status(w->nodes[n].raft, &s);
    if (s.uncommitted_bytes > c->uncommitted_bytes_max + slack)
        world__fail(w, "I-16 BoundedMemory: uncommitted", n);
    for (uint32_t i = 0; i < s.peers_count; i++) {
        if (s.peers[i].inflight > c->inflight_msgs_max || s.peers[i].next <= s.peers[i].match)
            world__fail(w, "I-16, R-R8: a peer's window", n);
    }
    if (s.durable > s.last || s.commit > s.last || s.applied > s.commit)
        world__fail(w, "I-12 StateOrdering", n);
    if (s.compacted > s.applied && !s.is_installing)
        world__fail(w, "I-12 StateOrdering: the log begins after what is applied", n);
    if (s.applied > s.durable && !s.is_installing)
        world__fail(w, "I-12 StateOrdering: applied what is not durable", n);
}

/* What the core says, and what the node did. */
void check__applied(struct world *w, uint32_t n)
{
    struct node *node = &w->nodes[n];
    static struct raft_status status; /* big */

    raft_status(node->raft, &status);
    if (status.applied < node->applied_seen || node->applied < node->applied_seen)
        world__fail(w, "I-10 MonotoneApplied", n);
    node->applied_seen = status.applied;
}

void check__output(struct world *w, uint32_t n, const struct raft_output *out)
{
    struct node *node = &w->nodes[n];

    if (out->term < node->term_seen)
        world__fail(w, "I-8 MonotoneTerm", n);
    node->term_seen = out->term;
    if (out->role == RAFT_LEADER) {
        check_leader(w, n, out->term);
        if (out->truncate_from != 0 && node->role == RAFT_LEADER)
            world__fail(w, "I-2 LeaderAppendOnly", n);
    }
    node->role = out->role;
    if (out->truncate_from != 0 && out->truncate_from <= node->commit_seen)
        world__fail(w, "I-7 CommittedImmutable: truncation of committed entries", n);
    check_commit(w, n, out);
    check_bounds(w, n);
    for (uint32_t i = 0; i < out->dropped_count; i++) {
        if (out->dropped[i].first <= node->applied || out->dropped[i].last < out->dropped[i].first)
            world__fail(w, "R-A10: a proposal reported as dropped is applied here", n);
    }
}

void check__message(struct world *w, uint32_t n, const struct raft_message *m)
{
    const struct node *node = &w->nodes[n];

    switch (m->type) {
    case RAFT_MSG_APPEND_REPLY:
        if ((m->flags & RAFT_REJECT) != 0)
            break;
        if (node->snapshot.index < m->index && log__last(&node->disk) < m->index)
            world__fail(w, "I-13 AckImpliesDurable: an append reply", n);
        if (log__term(&node->disk, m->index) != 0 && m->to <= w->config.nodes) {
            const struct node *leader = &w->nodes[m->to - 1];

            if (leader->is_up && leader->role == RAFT_LEADER && leader->term_seen == m->term &&
                raft_term_at(leader->raft, m->index) != 0 &&
                raft_term_at(leader->raft, m->index) != log__term(&node->disk, m->index))
                world__fail(w, "I-13: an append reply for something else than the leader has", n);
        }
        break;
    case RAFT_MSG_VOTE_REPLY:
        if ((m->flags & RAFT_REJECT) == 0 && m->term == node->term_seen &&
            (node->disk_hard.term != m->term || node->disk_hard.vote != m->to))
            world__fail(w, "I-13 AckImpliesDurable: a vote", n);
        break;
    case RAFT_MSG_VOTE:
    case RAFT_MSG_APPEND:
        if (node->disk_hard.term < m->term)
            world__fail(w, "I-14: sent before its term was durable", n);
        break;
    default:
        break;
    }
}

void check__vote_durable(struct world *w, uint32_t n)
{
    struct raft_hard_state hard = w->nodes[n].disk_hard;

    if (hard.vote == 0)
        return;
    for (uint32_t i = 0; i < w->votes_count; i++) {
        const struct vote *v = &w->votes[i];

        if (v->node == ID(n) && v->term == hard.term) {
            if (v->vote != hard.vote)
                world__fail(w, "I-11 VoteOnce", n);
            return;
        }
    }
    if (w->votes_count == w->votes_max) {
        w->votes_max = w->votes_max == 0 ? 64 : w->votes_max * 2;
        w->votes = xreallocarray(w->votes, w->votes_max, sizeof(*w->votes));
    }
    w->votes[w->votes_count++] = (struct vote){ID(n), hard.vote, hard.term};
}

void check__apply(struct world *w, uint32_t n, raft_index index, const struct log_entry *e)
{
    struct node *node = &w->nodes[n];

    if (index != node->applied + 1)
        world__fail(w, "R-A1: applied out of order", n);
    if (index > w->ledger_count || w->ledger[index - 1].term != e->term ||
        w->ledger[index - 1].hash != e->hash)
        world__fail(w, "I-5 StateMachineSafety: applied something else", n);
    if (world__mix(node->state, e->hash) != w->ledger[index - 1].state)
        world__fail(w, "I-21: the state differs", n);
}
