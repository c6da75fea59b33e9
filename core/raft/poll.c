/* The end of a loop turn: everything that can be said once for all events of the turn. */
#include <string.h>

#include "raft/core.h"

/* The invariants that one node can check alone, by the numbers of the tests. */
void raft__check_invariants(const struct raft *r)
{
    dkv_assert(r->commit <= r->tail.last);                      /* I-12 */
    dkv_assert(r->durable <= r->tail.last);                     /* I-12 */
    dkv_assert(r->apply_handed <= r->commit);                   /* I-12 */
    dkv_assert(r->applied <= r->apply_handed);                  /* I-12 */
    dkv_assert(r->installing || r->tail.base <= r->applied);    /* I-12 */
    dkv_assert(r->hard.term >= raft__tail_last_term(&r->tail)); /* R-P1 */
    dkv_assert(r->role != RAFT_LEADER || r->leader == r->config.self);
    dkv_assert(r->matched <= r->tail.last || MUTANT(12));
    dkv_assert(r->confs_count > 0);
}

static void tell_role(struct raft *r, struct raft_output *out)
{
    out->role = r->role;
    out->leader = r->leader;
    out->term = r->hard.term;
    out->why = r->why;
    out->role_changed =
        r->told.role != r->role || r->told.leader != r->leader || r->told.term != r->hard.term;
    r->told.role = r->role;
    r->told.leader = r->leader;
    r->told.term = r->hard.term;
}

static void tell_lists(const struct raft *r, struct raft_output *out)
{
    out->messages = r->messages.at;
    out->messages_count = r->messages.count;
    out->reads_ok = r->reads_ok.at;
    out->reads_ok_count = r->reads_ok.count;
    out->reads_failed = r->reads_failed.at;
    out->reads_failed_count = r->reads_failed.count;
    out->dropped = r->dropped.at;
    out->dropped_count = r->dropped.count;
    out->want_fetch = r->want_fetch.at;
    out->want_fetch_count = r->want_fetch.count;
    out->want_snapshot = r->want_snapshot.at;
    out->want_snapshot_count = r->want_snapshot.count;
    out->snapshot_abort = r->snapshot_abort.at;
    out->snapshot_abort_count = r->snapshot_abort.count;
}

static void lead(struct raft *r)
{
    raft__leader_commit(r);
    raft__reads_confirm(r);
    raft__reads_start(r);
    raft__leader_send(r);
    raft__reads_confirm(r); /* a quorum of one needs no answers */
    raft__transfer_poll(r);
}

void raft_poll(struct raft *r, struct raft_output *output_out)
{
    struct raft_output out;

    memset(&out, 0, sizeof(out));
    dkv_assert(r->started);
    if (r->polled)
        raft__drop_results(r);
    if (!r->fatal) {
        raft__evict(r);
        if (r->role == RAFT_LEADER)
            lead(r);
        else
            raft__follower_send(r);
        raft__reads_remote(r);
        raft__issue_ticket(r, &out);
        raft__hand_apply(r, &out);
        if (r->installing && !r->install_handed) {
            r->install_handed = true;
            out.install = &r->install;
        }
        raft__check_invariants(r);
    }
    out.hard = r->hard;
    out.commit = r->commit;
    out.durable = r->durable;
    out.retain_from = raft__retain_from(r);
    out.members = raft__members(r);
    out.members_index = r->confs[r->confs_count - 1].index;
    out.members_changed = r->members_changed;
    r->members_changed = false;
    out.transfer_failed = r->transfer_failed;
    r->transfer_failed = 0;
    out.fatal = r->fatal;
    tell_role(r, &out);
    tell_lists(r, &out);
    r->polled = true;
    *output_out = out;
}

uint64_t raft_deadline_us(const struct raft *r)
{
    uint64_t at = r->election_at_us;

    if (!r->started || r->fatal)
        return RAFT_NEVER;
    if (r->role == RAFT_LEADER)
        return raft__leader_deadline(r);
    if (r->leader != 0 && r->remote_reads.count > 0 && r->remote_retry_us < at)
        at = r->remote_retry_us;
    if (r->apply_retry_us > r->now_us && r->apply_retry_us < at)
        at = r->apply_retry_us;
    return at;
}

const struct raft_entry *raft_message_entry(const struct raft *r, const struct raft_message *m,
                                            uint32_t i)
{
    dkv_assert(i < m->count);
    return m->entries != NULL ? &m->entries[i] : raft__tail_at(&r->tail, m->index + 1 + i);
}

uint64_t raft_leader_contact_us(const struct raft *r)
{
    return r->leader_contact_us;
}

raft_term raft_term_at(const struct raft *r, raft_index index)
{
    return raft__tail_term(&r->tail, index);
}

const struct raft_members *raft_members_at(const struct raft *r, raft_index index)
{
    dkv_assert(index >= r->tail.base && index <= r->tail.last);
    return raft__conf_at(r, index)->members;
}

static void status_of_peers(const struct raft *r, struct raft_status *s)
{
    for (uint32_t i = 0; i < r->peers_count; i++) {
        const struct raft_peer *p = &r->peers[i];

        if (p->id == r->config.self)
            continue;
        s->peers[s->peers_count++] = (struct raft_peer_status){
            .id = p->id,
            .flags = raft__members(r)->member[i].flags,
            .state = p->state,
            .match = p->match,
            .next = p->next,
            .inflight = p->inflight_count,
            .contact_us = p->contact_us,
        };
    }
}

void raft_status(const struct raft *r, struct raft_status *status_out)
{
    struct raft_status *s = status_out;

    memset(s, 0, sizeof(*s));
    s->self = r->config.self;
    if (!r->started)
        return;
    s->role = r->role;
    s->leader = r->leader;
    s->hard = r->hard;
    s->compacted = r->tail.base;
    s->last = r->tail.last;
    s->durable = r->durable;
    s->commit = r->commit;
    s->applied = r->applied;
    s->commit_in_term = r->role == RAFT_LEADER && raft__commit_is_current(r);
    s->is_voter = r->self_slot < RAFT_MEMBERS_MAX && (raft__voters(r) >> r->self_slot & 1) != 0;
    s->is_installing = r->installing;
    s->transfer_target = r->transfer_target;
    s->ring_bytes = r->tail.ring_bytes;
    s->uncommitted_bytes = r->uncommitted_bytes;
    s->reads_pending = r->reads_count + r->remote_reads.count;
    s->tickets_pending = r->tickets_count;
    s->leader_contact_us = r->leader_contact_us;
    s->elections_started = r->elections_started;
    if (r->role == RAFT_LEADER)
        status_of_peers(r, s);
}
