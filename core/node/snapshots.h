/* Private to core/node/replica*.c: snapshot files, their making, sending and receiving. */
#ifndef NODE_SNAPSHOTS_H
#define NODE_SNAPSHOTS_H

#include "node/replica_private.h"

#define SNAPSHOT_BYTES_MAX (1ull << 46) /* a peer that says more is not to be believed */
enum { SNAPSHOT_PATH_MAX = 64, SNAPSHOT_WINDOW_CHUNKS = 4, SNAPSHOT_FILES_KEPT = 2 };
#define SNAPSHOT_DIR      "snap"
#define SNAPSHOT_SAVE_TMP "snap/save.tmp"
#define SNAPSHOT_RECV_TMP "snap/receive.tmp"

/* One complete, verified file. */
struct snapshot_file {
    raft_index index; /* 0: none */
    raft_term term;
};

enum snapshot_making { MAKING_NOTHING, MAKING_SYNC, MAKING_PIN, MAKING_FILE };

/* The leader's side of one transfer. */
struct snapshot_sender {
    struct replica *replica;
    raft_id peer;
    struct snapshot_file what; /* index 0: waits for a file to be made */
    struct env_job job;
    bool is_busy, is_over; /* over: freed when the job comes back */
    struct fs_file *file;
    uint64_t total, acked, sent;
    uint64_t progress_us;
    uint8_t *chunk;
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
    bool is_busy, is_finishing;
    bool is_restarted; /* the write under way belongs to a transfer that is over */
    struct fs_file *file;
    struct snapshot_chunk *chunk; /* being written */
    struct kv_snapshot_info *info;
    struct dkv_error err;
    int status;
};

struct snapshots {
    struct snapshot_file newest;

    enum snapshot_making making;
    bool file_wanted;     /* a peer needs one */
    raft_index cut_later; /* the log can be cut up to here once nobody reads it; 0 = no */
    uint64_t retry_us;
    struct apply_job apply_job; /* sync and pin */
    struct env_job save_job;
    struct fs *fs;
    struct kv_snapshot_info *info;
    struct dkv_error err;
    int status;

    struct snapshot_receiver receiver;

    struct raft_install install; /* index 0: none under way */
    uint8_t *install_members;
    uint32_t install_members_len;
    struct apply_job restore_job;
};

/* replica_snapshot.c */
void snapshot__path(char to[SNAPSHOT_PATH_MAX], const struct snapshot_file *file);
/* In a job: makes the temporary file the newest and removes those that are too old. */
int snapshot__publish(struct fs *fs, const char *temporary, const struct snapshot_file *file);
/* The newest complete file with index between low and high; index 0 in file_out if there is none.
 * Blocking. */
int snapshot__find(struct fs *fs, raft_index low, raft_index high, struct snapshot_file *file_out);

/* replica_snapshot_transfer.c */
void snapshot__start_waiting(struct replica *r); /* a file is there for those that wait */
void snapshot__transfers_fini(struct replica *r);

#endif
