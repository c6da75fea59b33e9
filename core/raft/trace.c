/* Texts for logs and traces. */
#include "raft/raft.h"

const char *raft_why_text(uint32_t why)
{
    static const char *const texts[] = {
        [RAFT_WHY_NONE] = "none",
        [RAFT_WHY_TIMEOUT] = "election timeout without a leader",
        [RAFT_WHY_LEADER_GONE] = "connection to the leader broke",
        [RAFT_WHY_ASKED] = "asked to",
        [RAFT_WHY_TIMEOUT_NOW] = "the leader handed over",
        [RAFT_WHY_ELECTED] = "elected",
        [RAFT_WHY_HIGHER_TERM] = "a higher term exists",
        [RAFT_WHY_LEADER_FOUND] = "heard from the leader",
        [RAFT_WHY_LOST] = "election lost",
        [RAFT_WHY_QUORUM_LOST] = "no quorum heard for an election timeout",
        [RAFT_WHY_DISK_STALL] = "own disk stalled",
        [RAFT_WHY_NO_LEADER] = "no leader known",
        [RAFT_WHY_REFUSED] = "refused by the leader",
        [RAFT_WHY_LIMIT] = "too many waiting",
        [RAFT_WHY_TRUNCATED] = "replaced by a new leader's entry",
        [RAFT_WHY_SNAPSHOT] = "replaced by a snapshot",
        [RAFT_WHY_MEMBERS_CHANGED] = "membership changed",
        [RAFT_WHY_STORE_FAILED] = "the store failed",
    };

    if (why >= sizeof(texts) / sizeof(texts[0]))
        return "unknown";
    return texts[why];
}

const char *raft_role_text(uint32_t role)
{
    switch (role) {
    case RAFT_FOLLOWER:
        return "follower";
    case RAFT_PRECANDIDATE:
        return "pre-candidate";
    case RAFT_CANDIDATE:
        return "candidate";
    case RAFT_LEADER:
        return "leader";
    default:
        return "unknown";
    }
}
