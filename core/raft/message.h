/* The messages between cores as one plain struct; core/net encodes them, and nothing here knows
 * how.  Unused fields are 0.  Every message carries from, to, term.
 *
 *   type             fields
 *   PREVOTE          term: the one it would campaign at; index, log_term: end of its log; seq: round
 *   PREVOTE_REPLY    seq echoed; granted: term echoed; RAFT_REJECT: the voter's term
 *   VOTE             index, log_term: end of its log; RAFT_FORCED after a hand-over
 *   VOTE_REPLY       RAFT_REJECT
 *   APPEND           index, log_term: of the entry before the first; count, entries; commit; read_seq
 *   APPEND_REPLY     index: log durable and equal to the leader's up to here (the small one)
 *     RAFT_REJECT    index: the refused APPEND's; hint_index, log_term: where to look next
 *   HEARTBEAT        commit (never above what the receiver has); read_seq
 *   HEARTBEAT_REPLY  read_seq: the receipt; does not wait for any disk
 *   READ_REQUEST     seq
 *   READ_REPLY       seq echoed; index; or RAFT_REJECT
 *   TIMEOUT_NOW      -
 */
#ifndef RAFT_MESSAGE_H
#define RAFT_MESSAGE_H

#include "raft/types.h"

/* On the wire: append, never renumber. */
enum raft_message_type {
    RAFT_MSG_PREVOTE = 1,
    RAFT_MSG_PREVOTE_REPLY = 2,
    RAFT_MSG_VOTE = 3,
    RAFT_MSG_VOTE_REPLY = 4,
    RAFT_MSG_APPEND = 5,
    RAFT_MSG_APPEND_REPLY = 6,
    RAFT_MSG_HEARTBEAT = 7,
    RAFT_MSG_HEARTBEAT_REPLY = 8,
    RAFT_MSG_READ_REQUEST = 9,
    RAFT_MSG_READ_REPLY = 10,
    RAFT_MSG_TIMEOUT_NOW = 11,
};

enum raft_message_flags {
    RAFT_REJECT = 1,
    RAFT_FORCED = 2, /* VOTE: the leader asked for this election */
};

struct raft_message {
    uint32_t type;
    uint32_t flags;
    raft_id from, to;
    raft_term term;
    raft_index index;
    raft_term log_term;
    raft_index hint_index;
    raft_index commit;
    uint64_t read_seq;
    uint64_t seq;
    uint32_t count; /* APPEND: entries index+1 .. index+count */

    /* Received: the entries, borrowed for the raft_step().  To be sent: ask
     * raft_message_entry(), for they may lie in the ring instead. */
    const struct raft_entry *entries;
};

#endif
