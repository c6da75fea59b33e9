#include "raft/quorum.h"

#include "raft/mutant.h"

static uint32_t bits(uint64_t mask)
{
    uint32_t count = 0;

    for (; mask != 0; mask &= mask - 1)
        count++;
    return count;
}

/* Insertion sort over at most 64 values, every time: incremental schemes have been wrong before. */
static uint64_t majority_value(uint64_t mask, const uint64_t *value)
{
    uint64_t sorted[64]; /* descending */
    uint32_t count = 0;

    if (mask == 0)
        return UINT64_MAX;
    for (; mask != 0; mask &= mask - 1) {
        uint64_t v = value[__builtin_ctzll(mask)];
        uint32_t at = count++;

        for (; at > 0 && sorted[at - 1] < v; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = v;
    }
    return sorted[MUTANT(30) ? (count - 1) / 2 : count / 2];
}

static enum raft_vote_result majority_vote(uint64_t mask, uint64_t granted, uint64_t refused)
{
    uint32_t needed = bits(mask) / 2 + 1;

    if (mask == 0 || bits(mask & granted) >= needed)
        return RAFT_VOTE_WON;
    if (bits(mask & ~refused) < needed)
        return RAFT_VOTE_LOST;
    return RAFT_VOTE_PENDING;
}

uint64_t raft__quorum_value(struct raft_quorum q, const uint64_t *value)
{
    uint64_t in = majority_value(q.incoming, value);
    uint64_t out = MUTANT(10) ? UINT64_MAX : majority_value(q.outgoing, value);

    return in < out ? in : out;
}

enum raft_vote_result raft__quorum_vote(struct raft_quorum q, uint64_t granted, uint64_t refused)
{
    enum raft_vote_result in = majority_vote(q.incoming, granted, refused);
    enum raft_vote_result out = majority_vote(q.outgoing, granted, refused);

    if (in == RAFT_VOTE_LOST || out == RAFT_VOTE_LOST)
        return RAFT_VOTE_LOST;
    if (in == RAFT_VOTE_WON && out == RAFT_VOTE_WON)
        return RAFT_VOTE_WON;
    return RAFT_VOTE_PENDING;
}
