/* Majority arithmetic, in one place.  Members are bits of a mask; value[i] belongs to bit i.  A
 * joint quorum needs a majority of both halves; an empty half agrees with everything. */
#ifndef RAFT_QUORUM_H
#define RAFT_QUORUM_H

#include <stdbool.h>
#include <stdint.h>

struct raft_quorum {
    uint64_t incoming, outgoing; /* outgoing is 0 outside a joint phase */
};

enum raft_vote_result {
    RAFT_VOTE_PENDING,
    RAFT_VOTE_WON,
    RAFT_VOTE_LOST,
};

/* The highest value that a quorum has reached; UINT64_MAX when both halves are empty.  The same
 * function serves log indexes, read rounds and times of contact. */
uint64_t raft__quorum_value(struct raft_quorum q, const uint64_t *value);
enum raft_vote_result raft__quorum_vote(struct raft_quorum q, uint64_t granted, uint64_t refused);

#endif
