/* Private to core/node/replica*.c: snapshot files, their making, sending and receiving. */
#ifndef NODE_SNAPSHOTS_H
#define NODE_SNAPSHOTS_H

#include "node/replica_private.h"
#include "node/snapshot_folder.h"

#define SNAPSHOT_BYTES_MAX (1ull << 46) /* a peer that says more is not to be believed */
enum { SNAPSHOT_WINDOW_CHUNKS = 4 };

enum snapshot_making { MAKING_NOTHING, MAKING_SYNC, MAKING_PIN, MAKING_FILE };

/* The leader's side of one transfer. */
struct snapshot_sender {
    struct replica *replica;
    raft_id peer;
    struct snapshot_file what; /* index 0: waits for a file to be made */
    struct env_job job;
    bool is_busy, is_over; /* over: freed when the job comes back */
    struct fs_file *file;
    uint64_t total, acked, sent; /* total 0: not known yet */
    uint64_t progress_us;
    uint8_t *chunk;
    uint64_t file_bytes; /* as the job found it; its done() makes it the total */
    size_t chunk_len;
    int status;
};

/* A chunk that waits for those before it to be written. */
struct snapshot_chunk {
    struct list link;
    struct blob *payload;
    const uint8_t *data;
    uint32_t len;
};

/* The follower's side. */
struct snapshot_receiver {
    struct replica *replica;
    struct fs *fs;
    raft_id from;
    raft_term term;
    struct snapshot_file what; /* index 0: nothing is received */
    uint64_t total, queued, written;
    struct list chunks;
    struct env_job job;
    raft_index keep_from; /* startable when the finishing job was submitted */
    bool is_busy, is_finishing;
    bool is_restarted; /* the write under way belongs to a transfer that is over */
    struct fs_file *file;
    struct snapshot_chunk *chunk; /* being written, */
    uint64_t chunk_offset;        /* at this place; `written` may be another transfer's by then */
    struct kv_snapshot_info *info;
    struct dkv_error err;
    int status;
};

struct snapshots {
    struct snapshot_file newest;
    raft_index startable; /* of the newest that a start could begin with, because it lies in the log
                             as that is on disk; 0: none */
    raft_index older;     /* the startable one before it, should that be found damaged; 0: none */
    raft_index synced;    /* a storage that is durable has everything up to here for certain */

    enum snapshot_making making;
    bool file_wanted;     /* a peer needs one */
    raft_index cut_later; /* the log can be cut up to here once nobody reads it; 0 = no */
    uint64_t retry_us;
    struct apply_job apply_job; /* sync and pin */
    struct env_job save_job;
    raft_index save_keep_from; /* startable when the job was submitted */
    struct fs *fs;
    struct kv_snapshot_info *info;
    struct dkv_error err;
    int status;

    struct snapshot_receiver receiver;

    struct raft_install install; /* index 0: none under way */
    uint8_t *install_members;
    uint32_t install_members_len;
    struct apply_job restore_job;
    uint64_t restore_again_us; /* 0: no */
};

/* replica_snapshot.c */
void snapshot__note_startable(struct replica *r, raft_index index);

/* replica_snapshot_transfer.c */
void snapshot__start_waiting(struct replica *r); /* a file is there for those that wait */
void snapshot__transfers_fini(struct replica *r);

#endif
