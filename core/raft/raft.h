/* The Raft core: events in, effects out.  The module's only public header besides types.h and
 * message.h.
 *
 * It does no I/O, reads no clock, starts no thread and calls nobody back, so the same events give
 * the same effects, byte for byte.  Its driver, on the one thread that owns it, calls raft_step()
 * for each event of a loop turn and then raft_poll() once; what came in together goes out together:
 * one record batch for the log, one message per peer, one read round.  All spans in the output and
 * all entries it refers to stay valid until the next raft_step() or raft_poll(); who needs them
 * longer takes references.
 *
 * Differences to the usual shape, all in the driver's favour:
 * - There is one list of messages and all of them may leave at once.  What has to wait for the disk
 *   (a granted vote, a request for votes, a positive append reply) waits inside, and is made when
 *   RAFT_PERSISTED arrives: one reply for all appends that one sync covered.
 * - Proposals carry no cookie: the event tells index and term, (index, term) is the key under which
 *   the caller keeps whoever waits.
 * - Pre-vote and check-quorum cannot be switched off.
 *
 * Errors of raft_step(): DKV_OK, DKV_EINVAL (bad event or malformed message; nothing happened) or
 * one of enum raft_error.  After output.fatal, every event is refused with RAFT_EFATAL. */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include "raft/message.h"
#include "raft/types.h"

struct raft;

enum raft_error {
    RAFT_ENOTLEADER = -2001, /* only the leader can; see raft_status().leader */
    RAFT_ELIMIT = -2002,     /* uncommitted_bytes_max reached: later */
    RAFT_EBUSY = -2003,      /* handing leadership over, or installing a snapshot */
    RAFT_ESTALE = -2004,     /* of an older term, or of something that is over */
    RAFT_EFATAL = -2005,     /* the store failed */
};

/* Every limit is explicit; 0 takes the default in brackets. */
struct raft_config {
    raft_id self;
    uint64_t seed; /* of timeouts and request numbers: must differ per node AND per start, or a
                      late answer to an earlier life's read could pass for one to this life's */
    uint64_t election_timeout_us;   /* T [400000]: followers wait a random time in [T, 2T) */
    uint64_t heartbeat_us;          /* [T / 5] */
    uint64_t disk_stall_us;         /* a leader whose disk is stuck for longer gives up [5 T] */
    uint32_t msg_bytes_max;         /* payload of one APPEND [512 KiB]; one entry is always sent */
    uint32_t inflight_msgs_max;     /* APPENDs without reply per peer [4] */
    uint32_t inflight_bytes_max;    /* [4 MiB] */
    uint32_t apply_bytes_max;       /* one apply range [4 MiB] */
    uint32_t reads_max;             /* reads waiting, and of other nodes' requests [65536] */
    uint64_t uncommitted_bytes_max; /* own proposals not yet committed [64 MiB] */
    uint64_t ring_bytes_max;        /* recent entries kept in memory [16 MiB] */

    /* RAFT_UNREACHABLE of the leader makes a follower ask for pre-votes at once instead of waiting
     * for its timeout.  Harmless to a leader that lives: whoever still hears from it refuses. */
    bool fast_failover;
};

enum raft_role {
    RAFT_FOLLOWER = 0,
    RAFT_PRECANDIDATE = 1,
    RAFT_CANDIDATE = 2,
    RAFT_LEADER = 3,
};

enum raft_event_type {
    RAFT_START,              /* first and once */
    RAFT_TICK,               /* raft_deadline_us() has passed */
    RAFT_RECEIVE,            /* a message from a peer */
    RAFT_PROPOSE,            /* leader: append payloads */
    RAFT_READ,               /* linearizable read, any node */
    RAFT_TRANSFER,           /* leader: hand over */
    RAFT_CAMPAIGN,           /* start an election now (pre-vote first) */
    RAFT_PERSISTED,          /* this ticket and all before it are on stable storage */
    RAFT_STORE_FAILED,       /* a write or sync failed: fatal */
    RAFT_APPLIED,            /* the state machine has applied up to index */
    RAFT_COMPACTED,          /* the log now begins after index */
    RAFT_FETCHED,            /* answer to want_fetch */
    RAFT_UNREACHABLE,        /* the connection to a peer broke */
    RAFT_SNAPSHOT_STARTED,   /* leader: answer to want_snapshot, says which one is sent */
    RAFT_SNAPSHOT_SENT,      /* leader: answer to want_snapshot, the transfer is over */
    RAFT_SNAPSHOT_CHUNK,     /* follower: an offer or a chunk came; RAFT_ESTALE = refuse it */
    RAFT_SNAPSHOT_RECEIVED,  /* follower: completely received, verified and stored; DKV_OK: install
                                follows in the output; RAFT_ESTALE: not needed, throw it away */
    RAFT_SNAPSHOT_INSTALLED, /* follower: output.install is done and durable */
};

/* Start from what recovery found.  The configuration is the one in force at snapshot_index; config
 * entries above it are given in configs.  A new cluster starts on every node with the same members,
 * everything else 0.
 *
 * The snapshot is any applied prefix that the store holds durably (with LMDB: its applied index or
 * an older one).  The log holds log_prev_index+1 .. last_index with the given terms; where it ends
 * before snapshot_index it is forgotten, and the driver has reset it to begin there.  DKV_ECORRUPT:
 * a gap between snapshot and log, applied above the log's end, terms not rising, or a hard state
 * older than the log. */
struct raft_start {
    struct raft_hard_state hard;
    raft_index snapshot_index;
    raft_term snapshot_term;
    const struct raft_members *members;
    raft_index log_prev_index; /* the entry before the log's first: 0, 0 for a whole log */
    raft_term log_prev_term;
    const struct raft_run *runs; /* terms of log_prev_index+1 .. last_index */
    uint32_t runs_count;
    raft_index last_index;
    raft_index applied_index;         /* of the state machine, >= snapshot_index */
    const struct raft_entry *configs; /* CONFIG entries above snapshot_index, by index */
    uint32_t configs_count;
};

struct raft_payload {
    const void *data; /* inside owner; the core takes a reference of its own */
    uint32_t len;
    struct blob *owner;
};

struct raft_event {
    uint32_t type;   /* enum raft_event_type */
    uint64_t now_us; /* monotonic; of this loop turn is enough */
    union {
        struct raft_start start;
        const struct raft_message *message; /* RECEIVE, borrowed */
        struct {
            const struct raft_payload *payloads; /* all or none are appended */
            uint32_t count;
            raft_index *first_out; /* of the first; the rest follow */
            raft_term *term_out;
        } propose; /* RAFT_ENOTLEADER, RAFT_EBUSY, RAFT_ELIMIT */
        struct {
            uint64_t context; /* comes back in reads_ok or reads_failed, once */
        } read;
        struct {
            raft_id target; /* 0 = the voter with the longest log.  DKV_EINVAL: cannot lead */
        } transfer;
        uint64_t ticket;  /* PERSISTED */
        raft_index index; /* APPLIED, SNAPSHOT_INSTALLED */
        raft_id peer;     /* UNREACHABLE */
        struct {
            raft_index index;
            raft_term term;
        } compacted; /* index must be applied, and below any want_fetch not yet answered */
        struct {
            raft_id peer; /* as asked */
            raft_index first;
            const struct raft_entry *entries; /* borrowed; may be fewer than asked, at least 1 */
            uint32_t count;                   /* 0 = failed; asked again later */
        } fetched;
        struct {
            raft_id peer;
            raft_index index; /* of the snapshot that is or was sent */
            bool ok;          /* SENT: the peer has all of it */
        } sent;
        struct {
            raft_id from;   /* CHUNK, RECEIVED: the leader that sends it ... */
            raft_term term; /* ... in this term */
            raft_index snapshot_index;
            raft_term snapshot_term;
            const struct raft_members *members; /* RECEIVED: in force at snapshot_index */
        } snapshot;
    };
};

/* Why something changed or failed: for logs, metrics and answers. */
enum raft_why {
    RAFT_WHY_NONE = 0,
    RAFT_WHY_TIMEOUT,         /* election timeout without a leader */
    RAFT_WHY_LEADER_GONE,     /* the connection to the leader broke (fast_failover) */
    RAFT_WHY_ASKED,           /* RAFT_CAMPAIGN or RAFT_TRANSFER */
    RAFT_WHY_TIMEOUT_NOW,     /* the leader handed over to us */
    RAFT_WHY_ELECTED,         /* won */
    RAFT_WHY_HIGHER_TERM,     /* somebody is ahead */
    RAFT_WHY_LEADER_FOUND,    /* heard from the leader of this term */
    RAFT_WHY_LOST,            /* the election was refused by a quorum */
    RAFT_WHY_QUORUM_LOST,     /* leader: no quorum heard for T */
    RAFT_WHY_DISK_STALL,      /* leader: own disk stuck */
    RAFT_WHY_NO_LEADER,       /* read: nobody to ask */
    RAFT_WHY_REFUSED,         /* read: the leader refused */
    RAFT_WHY_LIMIT,           /* read: reads_max, the oldest goes first */
    RAFT_WHY_TRUNCATED,       /* proposal: a new leader replaced the entry */
    RAFT_WHY_SNAPSHOT,        /* proposal: a snapshot replaced the entry */
    RAFT_WHY_MEMBERS_CHANGED, /* transfer target or own vote is gone */
    RAFT_WHY_STORE_FAILED,
};
const char *raft_why_text(uint32_t why);
const char *raft_role_text(uint32_t role);

struct raft_read_ok {
    uint64_t context;
    raft_index index; /* serve the read once applied >= index */
};

struct raft_read_failed {
    uint64_t context;
    uint32_t why;
};

/* Appended entries first..last, all of term, that are no longer in this log.  Reported whoever
 * proposed them.  In both cases the outcome is unknown: another node may still have the entry, lead
 * later and commit it.  Only when an entry of another term is applied at that index is it certain
 * that it was not done. */
struct raft_dropped {
    raft_index first, last;
    raft_term term;
    uint32_t why;
};

/* Please read entries from first on, at least one and up to bytes_max, and answer RAFT_FETCHED:
 * always, with count 0 if it failed, for nothing else is sent to that peer meanwhile.
 * peer == self: they are needed for apply. */
struct raft_want_fetch {
    raft_id peer;
    raft_index first, last; /* last: there is no point in going further */
    uint32_t bytes_max;
};

/* Make the store equal to the snapshot that RAFT_SNAPSHOT_RECEIVED announced and make the log begin,
 * empty, after index; one of both states must survive a crash at any point.  Entries are held back
 * until RAFT_SNAPSHOT_INSTALLED; a ticket meanwhile contains at most a hard state.  Appends already
 * under way in the log are older than the reset. */
struct raft_install {
    raft_index index;
    raft_term term;
    const struct raft_members *members;
};

struct raft_output {
    /* To the log, in this order, in one batch; then RAFT_PERSISTED(ticket).  0 = nothing. */
    uint64_t ticket;
    bool hard_changed;
    struct raft_hard_state hard; /* always current */
    raft_index truncate_from;    /* 0 = none; this entry and all later ones go */
    raft_index append_first;     /* raft_entry_at() gives the entries */
    uint32_t append_count;

    const struct raft_install *install; /* NULL = none */

    const struct raft_message *messages; /* entries: raft_message_entry() */
    uint32_t messages_count;

    raft_index commit, durable; /* up to where the log is that, the latter on this node */
    /* Committed and durable here; bounded by apply_bytes_max; the next range comes after
     * RAFT_APPLIED(apply_last).  raft_entry_at() gives the entries.  0, 0 = none. */
    raft_index apply_first, apply_last;

    const struct raft_read_ok *reads_ok;
    uint32_t reads_ok_count;
    const struct raft_read_failed *reads_failed;
    uint32_t reads_failed_count;
    const struct raft_dropped *dropped;
    uint32_t dropped_count;

    const struct raft_want_fetch *want_fetch;
    uint32_t want_fetch_count;

    /* Send these peers a snapshot: RAFT_SNAPSHOT_STARTED, and in the end RAFT_SNAPSHOT_SENT without
     * fail, for nothing else is sent to that peer meanwhile. */
    const raft_id *want_snapshot;
    uint32_t want_snapshot_count;
    const raft_id *snapshot_abort; /* stop sending these peers one; no SENT is expected */
    uint32_t snapshot_abort_count;
    raft_index retain_from; /* compact only entries below this, if memory and disk allow */

    bool role_changed; /* role, leader or term */
    uint32_t role;
    raft_id leader; /* 0 = unknown */
    raft_term term;
    uint32_t why; /* of the last change */

    bool members_changed;               /* the latest configuration, in force since its append */
    const struct raft_members *members; /* the latest, always */
    raft_index members_index;           /* of its entry */

    uint32_t transfer_failed; /* enum raft_why; 0 = no news.  Success shows as a new leader */
    bool fatal;               /* stop the process */
};

enum raft_peer_state {
    RAFT_PEER_PROBE = 0,     /* looking for where the logs part; one message at a time */
    RAFT_PEER_REPLICATE = 1, /* streaming */
    RAFT_PEER_SNAPSHOT = 2,  /* waits for a snapshot */
};

struct raft_peer_status {
    raft_id id;
    uint8_t flags; /* of the member */
    uint32_t state;
    raft_index match, next;
    uint32_t inflight;
    uint64_t contact_us; /* when it last answered */
};

struct raft_status {
    raft_id self;
    uint32_t role;
    raft_id leader;
    struct raft_hard_state hard;
    raft_index compacted; /* the log begins after this */
    raft_index last, durable, commit, applied;
    bool commit_in_term; /* leader: an entry of its own term is committed, reads can be served */
    bool is_voter;       /* in the latest configuration */
    bool is_installing;
    raft_id transfer_target; /* 0 = none */
    uint64_t ring_bytes, uncommitted_bytes;
    uint32_t reads_pending, tickets_pending;
    uint64_t leader_contact_us; /* follower: when the leader was last heard */
    uint64_t elections_started; /* since RAFT_START */
    uint32_t peers_count;       /* leader: all members but itself; else 0 */
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
};

/* Gives; cannot fail.  Nothing but RAFT_START is accepted at first. */
struct raft *raft_new(const struct raft_config *config);
void raft_free(struct raft **r);

int raft_step(struct raft *r, const struct raft_event *event);
void raft_poll(struct raft *r, struct raft_output *output_out);

/* When the driver has to come back with RAFT_TICK; UINT64_MAX = never. */
uint64_t raft_deadline_us(const struct raft *r);

/* The entry if it is in memory, else NULL; never NULL for the append and apply ranges of the last
 * output. */
const struct raft_entry *raft_entry_at(const struct raft *r, raft_index index);

/* Entry i (0 .. count-1) of an APPEND in the last output. */
const struct raft_entry *raft_message_entry(const struct raft *r, const struct raft_message *m,
                                            uint32_t i);

/* Term of an entry from `compacted` to `last`; 0 outside. */
/* Of one that follows: when it last heard the leader, 0 if it never did. */
uint64_t raft_leader_contact_us(const struct raft *r);
raft_term raft_term_at(const struct raft *r, raft_index index);

/* The configuration in force at an index between `compacted` and `last`, for a snapshot made
 * there.  Borrowed until the next raft_step(). */
const struct raft_members *raft_members_at(const struct raft *r, raft_index index);

void raft_status(const struct raft *r, struct raft_status *status_out);
uint64_t raft_digest(const struct raft *r); /* of the whole state; equal runs, equal digests */

#endif
