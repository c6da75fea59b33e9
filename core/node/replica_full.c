/* A leader whose disk is full refuses every write of the cluster, though others may have space. */
#include "node/replica_private.h"

#include "base/log.h"

/* One that got leadership and lost it again is not asked at once: hand-overs stop writes. */
enum { HAND_OVER_INTERVAL_US = 15 * 1000 * 1000 };

bool replica__is_full(const struct replica *r)
{
    return wal_is_full(r->wal) || r->storage_is_full;
}

/* The voter that has most of the log, of those that can be reached and have said that they have
 * space. */
static const struct replica_peer *who_has_space(struct replica *r)
{
    const struct replica_peer *best = NULL;
    raft_index most = 0;
    struct raft_status status;

    raft_status(r->raft, &status);
    for (uint32_t i = 0; i < status.peers_count; i++) {
        const struct raft_peer_status *p = &status.peers[i];
        const struct replica_peer *peer = replica__peer(r, p->id);

        if (peer == NULL || p->id == r->config.self || (p->flags & RAFT_MEMBER_LEARNER) != 0 ||
            !peer->has_space || !r->config.ops->is_reachable(r->config.ctx, p->id) ||
            p->match < most)
            continue;
        best = peer;
        most = p->match;
    }
    return best;
}

void replica__hand_over_if_full(struct replica *r)
{
    struct raft_event event = {.type = RAFT_TRANSFER};
    const struct replica_peer *to;

    if (r->role != RAFT_LEADER || !replica__is_full(r)) {
        r->full_since_us = 0;
        return;
    }
    if (r->full_since_us == 0)
        r->full_since_us = r->now_us;
    if (r->now_us < r->full_since_us + r->config.disk_stall_us || r->now_us < r->hand_over_us)
        return;
    to = who_has_space(r);
    if (to == NULL)
        return;
    r->hand_over_us = r->now_us + HAND_OVER_INTERVAL_US;
    log_warn("raft", "raft.disk_full",
             "the disk of this leader is full; handing over to a node that has space",
             LOG_STR("to", to->name), LOG_END);
    event.transfer.target = to->id;
    (void)replica__step(r, &event);
}
