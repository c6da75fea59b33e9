/* Snapshots, both ways (dissertation 5).  The bytes are the driver's business; the core decides who
 * needs one, whether one that came is of use, and what becomes of the log. */
#include "raft/core.h"

/* Every offer and chunk: is it from the leader of this term?  It also counts as hearing from it. */
int raft__on_snapshot_chunk(struct raft *r, const struct raft_event *event)
{
    raft_term term = event->snapshot.term;
    raft_id from = event->snapshot.from;

    if (term > RAFT_NUMBER_MAX || from == 0 || from == r->config.self)
        return DKV_EINVAL;
    if (term < r->hard.term) {
        raft__send(r, (struct raft_message){
                          .type = RAFT_MSG_APPEND_REPLY, .flags = RAFT_REJECT, .to = from});
        return RAFT_ESTALE;
    }
    if (term > r->hard.term)
        raft__become_follower(r, term, from, RAFT_WHY_HIGHER_TERM);
    if (r->role == RAFT_LEADER)
        return DKV_EINVAL;
    raft__hear_leader(r, from);
    r->receipt_due = true; /* a long transfer must not look like silence to the leader either */
    return DKV_OK;
}

/* The log is replaced whole: it lacks the snapshot's last entry, or contradicts it, and then what
 * follows cannot be committed either. */
static void replace_log(struct raft *r, raft_index index, raft_term term,
                        const struct raft_members *members)
{
    raft__drop_range(r, r->apply_handed + 1, r->tail.last, RAFT_WHY_SNAPSHOT);
    if (MUTANT(12) && r->tail.last > index) {
        r->commit = index;
        return;
    }
    r->install_members = *members;
    r->install = (struct raft_install){index, term, &r->install_members};
    r->installing = true;
    r->install_handed = false;
    raft__tail_reset(&r->tail, index, term);
    raft__conf_reset(r, index, &r->install_members);
    raft__stash_free(&r->apply_stash);
    r->apply_fetch_first = 0;
    r->commit = index;
    r->matched = index;
    r->truncate_from = 0;
    r->persist_next = index + 1;
    r->durable = 0;
    for (uint32_t i = 0; i < r->tickets_count; i++)
        r->tickets[(r->tickets_head + i) % r->tickets_max].claim = 0;
}

int raft__on_snapshot_received(struct raft *r, const struct raft_event *event)
{
    raft_index index = event->snapshot.snapshot_index;
    raft_term term = event->snapshot.snapshot_term;
    int rc;

    if (event->snapshot.members == NULL || index == 0 || index > RAFT_NUMBER_MAX || term == 0 ||
        term > event->snapshot.term || raft_members_check(event->snapshot.members) != DKV_OK)
        return DKV_EINVAL;
    if (index > r->commit && term < raft__tail_term(&r->tail, r->commit))
        return DKV_EINVAL; /* terms never fall along a log */
    if (r->installing)
        return RAFT_EBUSY;
    rc = raft__on_snapshot_chunk(r, event);
    if (rc != DKV_OK)
        return rc;
    r->ack_due = true;
    if (index <= r->commit) { /* nothing new; the leader learns how far we are */
        if (r->matched < r->commit)
            r->matched = r->commit;
        return RAFT_ESTALE;
    }
    if (raft__tail_term(&r->tail, index) == term) { /* the log has it all: no need to install */
        r->commit = index;
        if (r->matched < index)
            r->matched = index;
        return RAFT_ESTALE;
    }
    replace_log(r, index, term, event->snapshot.members);
    return DKV_OK;
}

int raft__on_snapshot_installed(struct raft *r, raft_index index)
{
    if (!r->installing || index != r->install.index)
        return DKV_EINVAL;
    r->installing = false;
    r->applied = index;
    r->apply_handed = index;
    r->durable = index;
    r->ack_due = true;
    return DKV_OK;
}

int raft__on_snapshot_started(struct raft *r, const struct raft_event *event)
{
    struct raft_peer *p = raft__peer(r, event->sent.peer);

    if (r->role != RAFT_LEADER || p == NULL || !p->snapshot_asked)
        return RAFT_ESTALE;
    p->snapshot_index = event->sent.index;
    return DKV_OK;
}

/* Success is only a hint: the peer's own reply counts.  After a failure the peer is probed, which
 * leads to the next attempt if it still needs one. */
int raft__on_snapshot_sent(struct raft *r, const struct raft_event *event)
{
    struct raft_peer *p = raft__peer(r, event->sent.peer);
    raft_index next;

    if (r->role != RAFT_LEADER || p == NULL || p->state != RAFT_PEER_SNAPSHOT || !p->snapshot_asked)
        return RAFT_ESTALE;
    next = p->match + 1;
    if (event->sent.ok && event->sent.index >= next && event->sent.index <= r->tail.last)
        next = event->sent.index + 1;
    raft__peer_probe(p, next);
    if (!event->sent.ok)
        p->paused_until_us = r->now_us + r->config.election_timeout_us;
    return DKV_OK;
}

/* What peers that live still need.  One that has been silent for long gets a snapshot instead. */
raft_index raft__retain_from(const struct raft *r)
{
    raft_index from = r->applied + 1;

    if (r->role != RAFT_LEADER)
        return from;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        raft_index needs = p->match + 1;

        if (p->id == r->config.self ||
            p->contact_us + 10 * r->config.election_timeout_us < r->now_us)
            continue;
        if (p->state == RAFT_PEER_SNAPSHOT) {
            if (p->snapshot_index == 0)
                continue;
            needs = p->snapshot_index + 1;
        } else if (p->state == RAFT_PEER_PROBE && p->match == 0) {
            needs = p->next;
        }
        if (needs < from)
            from = needs;
    }
    return from;
}
