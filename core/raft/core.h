/* What the files of the core share: its whole state, and the functions they call of each other.
 * Nobody outside core/raft includes this but the core's own tests. */
#ifndef RAFT_CORE_H
#define RAFT_CORE_H

#include "base/assert.h"
#include "base/rng.h"
#include "dkv/types.h"
#include "raft/mutant.h"
#include "raft/quorum.h"
#include "raft/raft.h"
#include "raft/tail.h"

#define RAFT_NEVER UINT64_MAX

/* A growing array of one poll's results, kept for reuse. */
#define RAFT_LIST(type)                                                                            \
    struct {                                                                                       \
        type *at;                                                                                  \
        uint32_t count, max;                                                                       \
    }
#define RAFT_PUSH(list, value)                                                                     \
    do {                                                                                           \
        raft__list_reserve((void **)&(list)->at, &(list)->max, (list)->count,                      \
                           sizeof(*(list)->at));                                                   \
        (list)->at[(list)->count++] = (value);                                                     \
    } while (0)

/* Entries read back from the log for somebody. */
struct raft_stash {
    struct raft_entry *entries;
    uint32_t count;
};

/* The leader's view of one member (progress.c); of the other members in every role only id. */
struct raft_peer {
    raft_id id;
    uint32_t state;
    raft_index match, next;
    bool probe_sent;
    uint64_t paused_until_us; /* after a failed snapshot or fetch */

    raft_index *inflight; /* circular: the last index of each APPEND without reply, and its bytes */
    uint32_t *inflight_sizes;
    uint32_t inflight_head, inflight_count;
    uint64_t inflight_bytes;
    uint64_t progress_us; /* of the last reply that freed something, or of the first in flight */

    raft_index commit_sent;
    uint64_t contact_us, heartbeat_seq; /* heartbeat_seq: read_seq it was last told */
    bool heartbeat_due;

    bool snapshot_asked;
    raft_index snapshot_index; /* 0 until RAFT_SNAPSHOT_STARTED */
    raft_index fetch_first;    /* 0 = nothing asked */
    struct raft_stash fetched;
};

/* A configuration, in force from index on. */
struct raft_conf {
    raft_index index;
    struct raft_members *members;
};

struct raft_ticket {
    uint64_t number;
    raft_index claim; /* the log is durable up to here with it; lowered by truncation (D6) */
    struct raft_hard_state hard;
    uint64_t issued_us;
};

/* A read that waits at the leader: its own (peer 0) or of another node's turn. */
struct raft_read {
    uint64_t context; /* or the other node's seq */
    raft_id peer;
    raft_index index;
    uint64_t seq; /* round; 0 = waits for a commit in this term */
};

/* A read that waits at a follower for the leader's answer. */
struct raft_remote_read {
    uint64_t context;
    uint64_t seq; /* of the request that will answer it; 0 = not yet asked */
};

struct raft {
    struct raft_config config;
    struct rng rng;
    uint64_t now_us;
    bool started, fatal;

    struct raft_hard_state hard, hard_durable, hard_handed;
    uint32_t role;
    raft_id leader;
    uint32_t why;
    struct {
        uint32_t role;
        raft_id leader;
        raft_term term;
    } told; /* as of the last poll */

    /* elections */
    uint64_t election_at_us;
    uint64_t leader_contact_us;
    bool leader_gone; /* its connection broke since */
    uint64_t round;   /* of pre-votes */
    uint64_t granted, refused;
    bool campaign_forced, vote_requested;
    raft_id vote_reply_to; /* granted, not yet durable */
    uint64_t elections_started;

    /* log */
    struct raft_tail tail;
    raft_index commit, applied, apply_handed;
    raft_index durable;       /* the log's prefix that is on disk */
    raft_index persist_next;  /* first entry not yet handed out */
    raft_index truncate_from; /* to be handed out; 0 = none */
    struct raft_stash apply_stash;
    raft_index apply_fetch_first; /* 0 = nothing asked */
    uint64_t apply_retry_us;
    struct raft_ticket *tickets; /* circular */
    uint32_t tickets_head, tickets_count, tickets_max;
    uint64_t ticket_last;

    /* follower: what is known to equal the leader's log in this term */
    raft_index matched, acked;
    bool ack_due, receipt_due;
    uint64_t receipt_seq, receipt_sent;

    /* members */
    struct raft_conf *confs; /* [0] is the one in force at the compaction point */
    uint32_t confs_count, confs_max;
    raft_index members_told;
    bool members_changed;
    struct raft_peer peers[RAFT_MEMBERS_MAX]; /* in the order of the latest configuration */
    uint32_t peers_count;
    uint32_t self_slot; /* RAFT_MEMBERS_MAX = not a member */
    struct raft_quorum quorum;

    /* leader */
    raft_index term_start; /* its no-op */
    uint64_t heartbeat_at_us;
    uint64_t uncommitted_bytes;
    uint64_t read_seq;
    uint64_t read_acked[RAFT_MEMBERS_MAX];
    struct raft_read *reads; /* circular */
    uint32_t reads_head, reads_count, reads_max, reads_assigned;
    raft_id transfer_target;
    uint64_t transfer_at_us;
    bool transfer_sent;
    uint32_t transfer_failed;

    /* reads of a follower */
    RAFT_LIST(struct raft_remote_read) remote_reads;
    uint64_t remote_base, remote_seq, remote_retry_us;
    bool remote_due;

    /* snapshot being installed */
    bool installing, install_handed;
    struct raft_install install;
    struct raft_members install_members;

    /* results since the last poll, valid until the next step */
    bool polled;
    RAFT_LIST(struct raft_message) messages;
    RAFT_LIST(struct raft_read_ok) reads_ok;
    RAFT_LIST(struct raft_read_failed) reads_failed;
    RAFT_LIST(struct raft_dropped) dropped;
    RAFT_LIST(struct raft_want_fetch) want_fetch;
    RAFT_LIST(raft_id) want_snapshot;
    RAFT_LIST(raft_id) snapshot_abort;
    RAFT_LIST(struct raft_stash) retired; /* freed with the next step */
};

/* step.c, poll.c */
void raft__list_reserve(void **at, uint32_t *max, uint32_t count, size_t size);
void raft__send(struct raft *r, struct raft_message m); /* fills in from, and term if it is 0 */
void raft__check_invariants(const struct raft *r);
void raft__drop_results(struct raft *r); /* of the last poll */
void raft__stash_free(struct raft_stash *s);
void raft__stash_copy(struct raft_stash *s, const struct raft_entry *entries, uint32_t count);

/* election.c */
void raft__become_follower(struct raft *r, raft_term term, raft_id leader, uint32_t why);
void raft__timer_reset(struct raft *r);
void raft__campaign(struct raft *r, uint32_t why);        /* pre-vote */
void raft__campaign_forced(struct raft *r, uint32_t why); /* at once */
void raft__hear_leader(struct raft *r, raft_id leader);
void raft__on_prevote(struct raft *r, const struct raft_message *m);
void raft__on_prevote_reply(struct raft *r, const struct raft_message *m);
void raft__on_vote(struct raft *r, const struct raft_message *m);
void raft__on_vote_reply(struct raft *r, const struct raft_message *m);
void raft__election_persisted(struct raft *r);
void raft__election_tick(struct raft *r);
void raft__leader_tick(struct raft *r);
uint64_t raft__leader_deadline(const struct raft *r);
bool raft__is_promotable(const struct raft *r);

/* replication.c: the leader */
int raft__propose(struct raft *r, const struct raft_event *event);
void raft__append_own(struct raft *r, uint32_t type, const struct raft_payload *p);
void raft__on_append_reply(struct raft *r, const struct raft_message *m);
void raft__on_heartbeat_reply(struct raft *r, const struct raft_message *m);
void raft__leader_commit(struct raft *r);
void raft__leader_send(struct raft *r);
int raft__on_fetched(struct raft *r, const struct raft_event *event);

/* append.c: the follower */
int raft__on_append(struct raft *r, const struct raft_message *m);
void raft__on_heartbeat(struct raft *r, const struct raft_message *m);
void raft__follower_send(struct raft *r);

/* progress.c */
void raft__peer_reset(struct raft *r, struct raft_peer *p);
void raft__peer_probe(struct raft_peer *p, raft_index next);
void raft__peer_replicate(struct raft_peer *p);
void raft__peer_snapshot(struct raft_peer *p);
bool raft__peer_window_is_full(const struct raft *r, const struct raft_peer *p);
void raft__peer_inflight_add(struct raft *r, struct raft_peer *p, raft_index last, uint32_t bytes);
void raft__peer_inflight_free(const struct raft *r, struct raft_peer *p, raft_index upto);
void raft__peer_fini(struct raft_peer *p);
void raft__peer_fetch_drop(struct raft_peer *p);

/* membership.c */
int raft__conf_start(struct raft *r, const struct raft_start *start);
void raft__conf_append(struct raft *r, const struct raft_entry *e);
void raft__conf_truncate(struct raft *r, raft_index from);
void raft__conf_compact(struct raft *r, raft_index index);
void raft__conf_reset(struct raft *r, raft_index index, const struct raft_members *members);
const struct raft_conf *raft__conf_at(const struct raft *r, raft_index index);
const struct raft_members *raft__members(const struct raft *r); /* the latest */
struct raft_peer *raft__peer(struct raft *r, raft_id id);
uint32_t raft__slot(const struct raft *r, raft_id id); /* RAFT_MEMBERS_MAX = none */
uint64_t raft__voters(const struct raft *r);
void raft__conf_fini(struct raft *r);

/* persist.c */
void raft__truncate(struct raft *r, raft_index from);
void raft__issue_ticket(struct raft *r, struct raft_output *out);
void raft__on_persisted(struct raft *r, uint64_t ticket);
bool raft__disk_is_stalled(const struct raft *r);
uint64_t raft__disk_deadline(const struct raft *r);
void raft__drop_range(struct raft *r, raft_index first, raft_index last, uint32_t why);

/* apply.c */
void raft__hand_apply(struct raft *r, struct raft_output *out);
int raft__on_applied(struct raft *r, raft_index index);
int raft__on_compacted(struct raft *r, raft_index index, raft_term term);
void raft__evict(struct raft *r);

/* install.c */
int raft__on_snapshot_chunk(struct raft *r, const struct raft_event *event);
int raft__on_snapshot_received(struct raft *r, const struct raft_event *event);
int raft__on_snapshot_installed(struct raft *r, raft_index index);
int raft__on_snapshot_started(struct raft *r, const struct raft_event *event);
int raft__on_snapshot_sent(struct raft *r, const struct raft_event *event);
raft_index raft__retain_from(const struct raft *r);

/* read_index.c */
int raft__read(struct raft *r, uint64_t context);
void raft__on_read_request(struct raft *r, const struct raft_message *m);
void raft__on_read_reply(struct raft *r, const struct raft_message *m);
void raft__reads_start(struct raft *r);   /* poll, before sending: a round for what has come */
void raft__reads_confirm(struct raft *r); /* poll: what a quorum has acknowledged */
void raft__reads_remote(struct raft *r);  /* poll: ask the leader */
void raft__reads_fail(struct raft *r, uint32_t why);
void raft__reads_fail_remote(struct raft *r, uint32_t why);
bool raft__commit_is_current(const struct raft *r);

/* transfer.c */
int raft__transfer(struct raft *r, raft_id target);
void raft__transfer_poll(struct raft *r);
void raft__transfer_abort(struct raft *r, uint32_t why);
void raft__on_timeout_now(struct raft *r, const struct raft_message *m);

#endif
