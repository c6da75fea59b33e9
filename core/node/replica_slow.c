/* Writes that took long: a line for the oldest of a batch, with what it waited for. */
#include "node/replica_private.h"

#include "api/backend.h"
#include "base/log.h"

/* The voter that has least of the log. */
static const char *who_is_behind(struct replica *r)
{
    raft_index least = UINT64_MAX;
    const char *name = NULL;
    struct raft_status status;

    raft_status(r->raft, &status);
    for (uint32_t i = 0; i < status.peers_count; i++) {
        const struct raft_peer_status *p = &status.peers[i];
        const struct replica_peer *peer = replica__peer(r, p->id);

        if (peer == NULL || (p->flags & RAFT_MEMBER_LEARNER) != 0 || p->match >= least)
            continue;
        least = p->match;
        name = peer->name;
    }
    return name;
}

bool replica__tell_if_slow(struct replica *r, const struct api_write *write, raft_index index)
{
    uint64_t accepted_us = write->accepted_us, now_us = replica__now(r);
    struct phase_times t;

    if (r->config.slow_request_us == 0 || now_us < accepted_us + r->config.slow_request_us)
        return false;
    phases_explain(&r->phases, index, accepted_us, now_us, &t);
    log_warn("raft", "raft.slow_write", "a write took long", LOG_U64("index", index),
             LOG_U64("bytes", write->command->len), LOG_MS("dur_ms", now_us - accepted_us),
             LOG_STR("waited_for", t.waited_for), LOG_MS("queue_ms", t.queue_us),
             LOG_MS("disk_ms", t.disk_us), LOG_MS("commit_ms", t.commit_us),
             LOG_MS("storage_ms", t.storage_us), LOG_STR("last_peer", who_is_behind(r)), LOG_END);
    return true;
}
