/* Handing leadership over (dissertation 3.10): hold proposals, wait until the target has the whole
 * log, tell it to start an election at once.  It is over, either way, after one election timeout. */
#include "raft/core.h"

static bool may_lead(const struct raft *r, uint32_t slot)
{
    return slot != RAFT_MEMBERS_MAX && slot != r->self_slot &&
           (r->quorum.incoming >> slot & 1) != 0;
}

/* The voter, heard of lately, that has most of the log. */
static raft_id best_target(const struct raft *r)
{
    const struct raft_peer *best = NULL;

    for (uint32_t i = 0; i < r->peers_count; i++) {
        const struct raft_peer *p = &r->peers[i];

        if (!may_lead(r, i) || p->contact_us + r->config.election_timeout_us <= r->now_us)
            continue;
        if (best == NULL || p->match > best->match)
            best = p;
    }
    return best == NULL ? 0 : best->id;
}

int raft__transfer(struct raft *r, raft_id target)
{
    if (r->role != RAFT_LEADER)
        return RAFT_ENOTLEADER;
    if (target == 0 && r->transfer_target != 0)
        return DKV_OK;
    if (target == 0)
        target = best_target(r);
    if (!may_lead(r, raft__slot(r, target)))
        return DKV_EINVAL;
    if (target == r->transfer_target)
        return DKV_OK;
    r->transfer_target = target;
    r->transfer_sent = false;
    r->transfer_at_us = r->now_us + r->config.election_timeout_us;
    return DKV_OK;
}

void raft__transfer_poll(struct raft *r)
{
    const struct raft_peer *p;

    if (r->transfer_target == 0 || r->transfer_sent)
        return;
    p = raft__peer(r, r->transfer_target);
    if (p == NULL) {
        raft__transfer_abort(r, RAFT_WHY_MEMBERS_CHANGED);
        return;
    }
    if (p->match != r->tail.last && !MUTANT(32))
        return;
    r->transfer_sent = true;
    raft__send(r, (struct raft_message){.type = RAFT_MSG_TIMEOUT_NOW, .to = p->id});
}

void raft__transfer_abort(struct raft *r, uint32_t why)
{
    r->transfer_target = 0;
    r->transfer_sent = false;
    if (why != RAFT_WHY_HIGHER_TERM) /* that is how it succeeds */
        r->transfer_failed = why;
}

void raft__on_timeout_now(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER || r->leader != m->from)
        return;
    raft__campaign_forced(r, RAFT_WHY_TIMEOUT_NOW);
}
