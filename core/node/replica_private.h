/* Private to core/node/replica*.c: the replica's state and what its parts call of each other. */
#ifndef NODE_REPLICA_PRIVATE_H
#define NODE_REPLICA_PRIVATE_H

#include "base/buf.h"
#include "net/relay.h"
#include "net/wire.h"
#include "node/pending.h"
#include "node/phases.h"
#include "node/replica.h"
#include "raft/raft.h"
#include "wal/wal.h"

enum { REPLICA_PEERS_MAX = 64 };

/* What this node knows of a member besides Raft's own view. */
struct replica_peer {
    raft_id id;
    char name[API_NAME_MAX];
    char address[API_ADDRESS_MAX];
    char http[API_ADDRESS_MAX];
    char storage[NET_STORAGE_MAX];
    uint64_t applied_index;
    bool has_space;                 /* as it said last */
    uint64_t incarnation;           /* 0: not met yet */
    struct snapshot_sender *sender; /* a snapshot is on its way there */
};

/* A barrier's batch: all reads of one turn share one round. */
struct read_batch {
    struct list link;
    uint64_t id;
    struct list barriers;
};

struct replica {
    struct replica_config config;
    struct env *env;
    struct raft *raft;
    struct wal *wal;
    uint64_t now_us; /* read once for each turn and each event from outside */
    bool is_failed;  /* fail_stop was called (it returns only in tests) */
    bool is_stopping, is_resigning;

    /* What Raft last said. */
    uint32_t role; /* enum raft_role */
    raft_term term;
    raft_id leader;
    uint64_t leader_since_us;
    raft_index commit_index;
    bool needs_turn;       /* something waits for replica_turn */
    bool needs_poll;       /* Raft was stepped since it was polled */
    uint64_t led_until_us; /* it led, and does no more; 0 = never */
    bool members_changed;
    uint64_t leaderless_us;  /* since when; 0: there is a leader */
    uint32_t told_reachable; /* in the log, while there is none; 0: not yet */

    struct replica_peer peers[REPLICA_PEERS_MAX]; /* this node among them */
    size_t peers_count;

    /* Writes, on their way from left to right. */
    struct list writes_new;     /* not proposed yet, or held until there is a leader */
    struct pending pending;     /* appended to our log */
    struct list writes_relayed; /* sent to the leader; ordered by ticket */
    raft_id refused_by;         /* said that it does not lead; not asked again before ... */
    uint64_t refused_until_us;
    uint64_t next_ticket;
    size_t writes_count;
    struct phases phases;          /* of this leader's entries */
    struct raft_payload *payloads; /* scratch of a turn's proposal */
    struct api_write **proposed;
    size_t proposal_cap;
    struct buf frame; /* scratch for payloads of frames */
    struct buf
        results[REPLICA_PEERS_MAX]; /* results of relayed writes, sent at the end of a turn */

    /* Reads. */
    struct list barriers_new;
    uint64_t reads_pause_us;      /* the leader refused: it is not asked before */
    struct list batches;          /* asked of Raft */
    struct list barriers_waiting; /* confirmed; ordered by index; wait for the apply */
    uint64_t next_batch;

    struct list queries; /* GET /cluster, asked of the leader */
    uint64_t next_query;

    /* Applying. */
    struct kv_state state;
    struct apply_job entries_job;
    bool is_applying;
    struct raft_entry *entries; /* of the job, with a reference each */
    struct kv_result *entry_results;
    size_t entries_cap;
    uint64_t retry_apply_us; /* 0: no */
    bool storage_is_full;

    struct raft_entry *appended; /* scratch of replica__log */
    size_t appended_cap;

    struct snapshots *snapshots;
    uint64_t info_sent_us, info_sent_index;
    raft_id info_sent_to;
    bool info_sent_space;
    uint64_t roles;         /* how often role, term or leader changed */
    uint64_t full_since_us; /* this leader; 0: it is not */
    uint64_t hand_over_us;  /* not again before */
    bool is_restoring;
    uint64_t expiry_us;           /* when deadlines are looked at next */
    struct wire_entries received; /* scratch of replica_frame */
    raft_index retain_from;
    uint32_t fetches; /* under way */
    uint64_t frames_refused;
};

/* replica.c */
void replica__fail(struct replica *r, int exit_code, const char *fmt, ...) DKV_PRINTF(3, 4);
struct replica_peer *replica__peer(struct replica *r, raft_id id); /* NULL if unknown */
bool replica__send(struct replica *r, raft_id to, enum frame_type type, const struct buf *payload);
uint64_t replica__now(struct replica *r);
int replica__step(struct replica *r, struct raft_event *event); /* fills in the time */
/* replica_log.c */
int replica__open_log(struct replica *r, struct wal_recovery *recovery_out, int *exit_code_out,
                      struct dkv_error *err);
void replica__close_log(struct replica *r);
void replica__log(struct replica *r, const struct raft_output *out);
void replica__fetch(struct replica *r, const struct raft_want_fetch *want);
/* The log begins anew after index; replica__log_was_reset follows when that is durable. */
void replica__reset_log(struct replica *r, raft_index index, raft_term term, const void *members,
                        uint32_t members_len);

/* replica_full.c */
bool replica__is_full(const struct replica *r); /* takes no entries */
void replica__hand_over_if_full(struct replica *r);

/* replica_slow.c */
bool replica__tell_if_slow(struct replica *r, const struct api_write *write, raft_index index);

/* replica_writes.c */
void replica__propose(struct replica *r);
void replica__complete_write(struct replica *r, struct api_write *write, int status,
                             struct kv_result result);
void replica__fail_write(struct replica *r, struct api_write *write, int status);
void replica__answer_applied(struct replica *r, const struct kv_batch *batch);
void replica__drop_pending(struct replica *r, raft_index from, raft_term term);
void replica__expire_writes(struct replica *r);
void replica__cancel_writes(struct replica *r);

/* replica_forward.c */
void replica__forward(struct replica *r); /* to the leader, if there is one */
void replica__on_forward(struct replica *r, raft_id from, struct blob *payload);
void replica__on_forward_result(struct replica *r, raft_id from, const struct blob *payload);
void replica__send_results(struct replica *r);
void replica__leader_changed(struct replica *r);
void replica__relay_lost(struct replica *r, raft_id peer);
void replica__expire_forwarded(struct replica *r, uint64_t now_us);

/* replica_reads.c */
void replica__ask_reads(struct replica *r);
void replica__read_ready(struct replica *r, uint64_t batch, raft_index index);
void replica__read_failed(struct replica *r, const struct raft_read_failed *failed);
void replica__release_barriers(struct replica *r);
void replica__expire_reads(struct replica *r);
void replica__cancel_reads(struct replica *r);

/* replica_apply.c */
void replica__apply(struct replica *r, raft_index first, raft_index last);
void replica__retry_apply(struct replica *r);
/* A status of the storage after which it is asked once more, some time later. */
bool replica__may_pass(int status);
/* The batch that waits to be tried again, if there is one. */
void replica__abandon_retry(struct replica *r);

/* replica_snapshot.c */
void replica__snapshots_init(struct replica *r);
void replica__snapshots_fini(struct replica *r);
void replica__maybe_compact(struct replica *r);
void replica__retry_restore(struct replica *r);
void replica__install(struct replica *r, const struct raft_install *install);
void replica__log_was_reset(struct replica *r);

/* replica_snapshot_transfer.c */
void snapshot__tick(struct replica *r);
void replica__send_snapshot(struct replica *r, raft_id to);
void replica__stop_snapshot(struct replica *r, raft_id to);
void replica__on_chunk(struct replica *r, raft_id from, struct blob *payload);
void replica__on_chunk_ack(struct replica *r, raft_id from, const struct blob *payload);

/* replica_view.c */
void replica__on_query(struct replica *r, raft_id from, const struct blob *payload);
void replica__on_query_answer(struct replica *r, const struct blob *payload);
void replica__on_node_info(struct replica *r, raft_id from, const struct blob *payload);
void replica__send_info(struct replica *r);
void replica__answer_queries(struct replica *r);
void replica__cancel_queries(struct replica *r);
void replica__tell_no_leader(struct replica *r);

#endif
