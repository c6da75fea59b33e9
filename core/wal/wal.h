/* The durable log and the vote.
 *
 * Raft thread.  Pure logic over struct env: writing, syncing and reading happen in env jobs, so
 * nothing here blocks after wal_open.  Batches are written in the order of their submission; while
 * one job runs, later batches gather and go together in the next one, with one sync (group commit).
 *
 * What is promised (docs/formats.md has the layout): a header's checksum is verified before any of
 * its lengths is trusted; a batch begins on a block of its own, so a torn write never touches what
 * was synced; every start opens a new segment; truncation is a new segment, never a cut; a torn
 * end is told from damage by the durable mark that every header carries.  Any failed write or sync
 * ends the node (env->fail_stop, 74), and nothing is retried. */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include "base/env.h"
#include "raft/types.h"

#define WAL_BASE_DATA_MAX (16u << 10)

struct wal;

struct wal_identity {
    uint8_t cluster_id[16];
    uint64_t node_id;
    uint64_t incarnation;
};

struct wal_config {
    struct env *env;
    struct wal_identity identity;
    uint64_t segment_bytes;  /* of a segment file; at least 64 KiB */
    uint32_t spare_segments; /* kept ready, so that an append never meets a full disk */
    bool is_volatile;        /* nothing is written; all is durable at the next turn */
    bool is_alone;           /* a cluster of one: nobody to ask for what is damaged */
    bool was_used;           /* not the first start: vote and log must be there */
    void *ctx;
    /* All tickets up to this one are on disk. */
    void (*on_durable)(void *ctx, uint64_t ticket);
    /* The reset of the last wal_submit_reset is on disk. */
    void (*on_reset)(void *ctx);
};

/* What a start finds.  Freed by wal_recovery_fini. */
struct wal_recovery {
    struct raft_hard_state hard;
    raft_index base_index; /* the log begins after it */
    raft_term base_term;
    void *base_data; /* as given to wal_compact or wal_submit_reset; NULL for a new log */
    uint32_t base_data_len;
    raft_index last_index;
    struct raft_run *runs; /* terms of base_index+1 .. last_index */
    uint32_t runs_count;
    struct raft_entry *configs; /* CONFIG entries above base_index, payloads included */
    uint32_t configs_count;
    uint64_t torn_bytes; /* cut off at the end: a write that was under way */
    bool tail_unknown;   /* something was torn: a node with peers might hold its votes */
};

enum wal_error {
    WAL_EFOREIGN = -2101, /* of another cluster, node or incarnation, or of a newer format */
    WAL_EDAMAGED = -2102  /* err names file, offset and indexes, and what to do */
};

/* Blocking; start of the process only.  Creates the folder "wal" on the first start.  Returns a
 * status of files, WAL_EFOREIGN or WAL_EDAMAGED; nothing on disk is changed by a start that fails
 * in one of the last two ways. */
int wal_open(const struct wal_config *config, struct wal **wal_out,
             struct wal_recovery *recovery_out, struct dkv_error *err);
void wal_recovery_fini(struct wal_recovery *recovery);
/* The term of an entry between base_index and last_index. */
raft_term wal_recovery_term(const struct wal_recovery *recovery, raft_index index);

/* Recovery only, nothing is written.  Appends lines for people to `report`; DKV_OK when the log is as
 * a start needs it, and recovery_out is then what one would find. */
struct buf;
int wal_check(struct fs *fs, const struct wal_identity *identity, bool is_alone, struct buf *report,
              struct wal_recovery *recovery_out);

struct wal_batch {
    uint64_t ticket;                    /* above all before */
    const struct raft_hard_state *hard; /* written before the entries; NULL = unchanged */
    raft_index truncate_from;           /* 0 = none */
    const struct raft_entry *entries;   /* consecutive; copied, so borrowed for the call */
    uint32_t count;
};
void wal_submit(struct wal *wal, const struct wal_batch *batch);

/* A snapshot was installed: the log begins anew, empty, after index, in one atomic step. */
void wal_submit_reset(struct wal *wal, raft_index index, raft_term term, const void *base_data,
                      uint32_t base_data_len);

/* Entries that are not in memory any more.  Caller-owned until done(); the entries and their
 * payload belong to the caller afterwards: blob_unref(payload), free(entries). */
struct wal_read {
    raft_index first, last;
    uint32_t bytes_max; /* as they are on disk; one entry is read even if it has more */
    void (*done)(struct wal_read *read);
    int status; /* out: DKV_OK, DKV_ENOENT if they are gone, DKV_ECORRUPT, DKV_EIO */
    struct raft_entry *entries;
    uint32_t count;
    struct blob *payload;
    struct env_job job; /* the wal's */
    struct wal *wal;
    void *plan;
};
void wal_read(struct wal *wal, struct wal_read *read);

/* Entries up to index are not needed any more.  Whole segments go, in the background, the oldest
 * first, once the new base is on disk.  Not while wal_is_cutting. */
void wal_compact(struct wal *wal, raft_index index, raft_term term, const void *base_data,
                 uint32_t base_data_len);
bool wal_is_cutting(const struct wal *wal); /* a cut or a reset is under way */

/* What the entries after index take on disk, headers and padding included. */
uint64_t wal_bytes_after(const struct wal *wal, raft_index index);
/* Up to where the log has to be cut for its files, but for the last of them, to take no more than
 * this; 0: they do not.  Every start begins a file, so it is not the entries that fill the disk of a
 * node that is started often. */
raft_index wal_cut_for(const struct wal *wal, uint64_t file_bytes);
bool wal_is_full(const struct wal *wal); /* no spare segment can be made: refuse proposals */
void wal_tick(struct wal *wal, uint64_t now_us); /* tries again to make spares */

/* Writes what is queued, seals the log, blocking: no job may be under way any more. */
void wal_seal(struct wal *wal);
void wal_close(struct wal **wal);

#endif
