/* One replica: what this node does next.
 *
 * It feeds the Raft core with events, and carries out what the core asks for: the log, messages,
 * applying, snapshots, answers to clients.  Raft thread only.  Pure: it names no system call, no
 * clock, no thread and no libevent symbol; everything comes through struct env and struct
 * replica_ops, so that a simulator can run the same object code (tests/lint/check_purity.sh).
 *
 * The owner calls replica_turn once at the end of every turn of its loop, and when the time of
 * replica_deadline_us has come. */
#ifndef NODE_REPLICA_H
#define NODE_REPLICA_H

#include "api/backend.h"
#include "base/blob.h"
#include "base/env.h"
#include "net/frame.h"
#include "node/apply_job.h"
#include "raft/types.h"

struct replica;

struct replica_ops {
    /* False if the frame was dropped.  Borrows the payload. */
    bool (*send)(void *ctx, raft_id to, enum frame_type type, const struct buf *payload);
    bool (*is_reachable)(void *ctx, raft_id peer);
    /* To the applier; job->done comes later, on this thread. */
    void (*apply)(void *ctx, struct apply_job *job);
};

struct replica_member {
    raft_id id;
    char name[API_NAME_MAX];
    char peer[API_ADDRESS_MAX];
};

struct replica_config {
    struct env *env;
    const struct replica_ops *ops;
    void *ctx; /* of ops and restore */
    raft_id self;
    uint8_t cluster_id[16];
    uint64_t incarnation;
    const struct replica_member *members; /* of the first start; this node among them */
    size_t members_count;
    const char *http_address; /* what this node tells the others */
    const char *storage_name;
    bool storage_is_durable;
    bool is_volatile;      /* --dev: no files at all */
    bool has_log;          /* of an earlier start: it must be there */
    struct kv_state state; /* what the storage holds */

    uint64_t heartbeat_us, election_us, disk_stall_us, request_timeout_us;
    uint64_t slow_request_us; /* a write that takes longer gets a line; 0 = none does */
    uint32_t message_bytes_max, messages_in_flight, reads_pending_max;
    uint64_t uncommitted_bytes_max, log_memory_bytes;
    uint64_t segment_bytes, log_bytes_max, log_keep_bytes;
    uint32_t spare_segments, chunk_bytes;
    uint32_t key_max, value_max;
};

/* Replaces the storage's content by a snapshot file; blocking, at start only. */
typedef int replica_restore_fn(void *ctx, const char *path, struct kv_state *state_out,
                               struct dkv_error *err);

/* Blocking: recovers the log and, if the storage is behind it, restores the newest snapshot.  Texts
 * in config are borrowed as long as the replica lives.  On failure *exit_code_out is 65, 70 or 74,
 * and err says what to do. */
int replica_open(const struct replica_config *config, replica_restore_fn *restore,
                 struct replica **replica_out, int *exit_code_out, struct dkv_error *err);
/* Completes what is pending: with DKV_ECANCELED what certainly did not happen. */
void replica_cancel(struct replica *replica);
/* The log is closed in order; nothing is written to it after. */
void replica_seal(struct replica *replica);
/* Lets go of what it has open in the storage, which can be closed after that. */
void replica_leave_storage(struct replica *replica);
/* When no job of its env or of the applier can come back any more. */
void replica_close(struct replica **replica);

/* --- from clients of this node; the structs are the caller's until done() --- */
void replica_write(struct replica *replica, struct api_write *write);
void replica_barrier(struct replica *replica, struct api_barrier *barrier);
void replica_cluster(struct replica *replica, struct api_cluster_query *query);

/* --- from peers --- */
/* A frame that makes no sense is dropped and counted. */
void replica_frame(struct replica *replica, raft_id from, uint8_t type, struct blob *payload);
void replica_peer_ready(struct replica *replica, raft_id peer);
void replica_peer_lost(struct replica *replica, raft_id peer);
/* What a peer said of itself in its hello. */
void replica_peer_http(struct replica *replica, raft_id peer, const char *http,
                       const char *storage);

/* What can change while it runs. */
struct replica_limits {
    uint64_t request_timeout_us, slow_request_us, log_bytes_max, log_keep_bytes;
};
void replica_set_limits(struct replica *replica, const struct replica_limits *limits);

/* --- the loop --- */
void replica_turn(struct replica *replica);
/* Grows when role, term or leader change. */
uint64_t replica_roles(const struct replica *replica);
uint64_t replica_deadline_us(const struct replica *replica);

/* Graceful stop: hands leadership over if this node leads.  True once there is nothing to wait
 * for; the caller stops waiting after a while anyway. */
bool replica_resign(struct replica *replica);
/* Writes under way, of clients and of peers. */
bool replica_has_writes(const struct replica *replica);

bool replica_is_new(const struct replica *replica); /* its log never had an entry */
void replica_node_view(const struct replica *replica, struct api_node_view *view_out);
void replica_members(const struct replica *replica, struct api_cluster_view *view_out);
bool replica_members_changed(struct replica *replica); /* since it was asked last */

#endif
