/* Private to core/wal: the log's state and what its files call of each other. */
#ifndef WAL_INTERNAL_H
#define WAL_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "wal/format.h"
#include "wal/vote.h"
#include "wal/wal.h"

enum { WAL__PATH_MAX = 64, WAL__SPARES_MAX = 8, WAL__JOB_RECORDS_MAX = 8192 };
#define WAL__DIR       "wal"
#define WAL__BASE_PATH "wal/base"

/* A file of the log, and where each of its entries stands. */
struct wal__segment {
    struct wal__super super;
    raft_index first; /* of the entries that count; 0 = none */
    uint32_t count;
    uint32_t *offsets; /* of their headers, in 8-byte units; cap is offsets_cap */
    uint32_t offsets_cap;
    uint64_t data_end; /* bytes; where the next batch goes, before padding */
    uint32_t slots_used;
};

/* What goes to disk in one write and one sync; to one segment. */
struct wal__job {
    struct env_job job;
    struct list link;
    struct wal *wal;
    uint64_t ticket;
    bool has_hard;
    struct raft_hard_state hard;

    /* A new segment first. */
    bool opens_segment, needs_spare;
    bool is_mark; /* only a durable mark: written, not synced */
    struct wal__super super;
    uint64_t spare_id;

    /* The records, encoded when the job is submitted. */
    struct wal__record *records;
    uint32_t records_count, records_cap;
    struct buf data; /* from data_offset on; room for headers is left */
    uint64_t data_offset;
    uint32_t slot; /* of the first record */
    uint32_t chain_before;
    struct buf slots;
    raft_index last_index; /* of the log once this is on disk; 0 = unchanged */

    /* A reset: the base file is the switch. */
    bool is_reset;
    raft_index base_index;
    raft_term base_term;
    struct buf base_data;

    struct fs_file *file; /* where it is written */
    const char *what;     /* failed, for the message */
    int status;
};

struct wal__spare {
    uint64_t id;
    struct fs_file *file;
    bool is_recycled; /* was a segment: its blocks are there, its bytes are to be wiped */
};

struct wal__base {
    uint64_t gen;
    bool is_whole;   /* read: both copies are good and equal */
    uint64_t newest; /* read: the copy that counts; the other is written first */
    raft_index index;
    raft_term term;
    uint64_t first_seq; /* segments before it are void */
    void *data;
    uint32_t data_len;
};

struct wal {
    struct wal_config config;
    struct wal__vote vote; /* the log queue's */

    struct wal__segment *segments;
    uint32_t segments_count, segments_cap;
    struct fs_file *current; /* of the last segment; the log queue's */
    uint64_t next_seq;
    uint32_t batch_seq, chain;
    uint64_t current_salt;
    uint32_t resets; /* submitted, not on disk */
    uint64_t base_first_seq;
    bool base_is_whole;
    raft_index base_index, last_index, durable_index;
    raft_index marked_index;
    uint64_t idle_since_us;
    bool has_segment; /* this start has opened one of its own */

    struct list jobs; /* the first may be under way */
    bool job_is_busy, has_failed;

    /* Spare segments; making is the background queue's while busy. */
    struct wal__spare ready[WAL__SPARES_MAX];
    uint32_t ready_count;
    struct env_job spare_job;
    struct wal__spare making;
    bool spare_is_busy, is_full;
    bool spare_is_made;
    uint64_t spare_offset, spare_retry_us;
    int spare_status;
    uint64_t next_spare_id;
    uint64_t recycled_id; /* of the file that the next spare is made from; 0 = none */

    struct compaction *compaction; /* under way */
};

/* wal.c */
struct wal__segment *wal__last_segment(struct wal *w);
void wal__start_jobs(struct wal *w);
struct wal__job *wal__new_job(struct wal *w);
void wal__free_job(struct wal__job *job);
int wal__run_job(struct wal__job *job); /* on the log queue, or with no job under way */
bool wal__has_room(const struct wal *w, const struct wal__job *job, uint32_t len);
void wal__gather(struct wal *w, struct wal__job *job, uint8_t type, const struct raft_entry *entry);
bool wal__prepare_job(struct wal *w, struct wal__job *job);
void wal__fail(struct wal *w, const char *what, int status);
void wal__segment_path(char to[WAL__PATH_MAX], const struct wal__super *super);
struct wal__segment *wal__add_segment(struct wal *w, const struct wal__super *super);
void wal__segment_add(struct wal__segment *s, raft_index index, uint64_t offset);
void wal__segment_cut(struct wal__segment *s, raft_index from);
int wal__write(struct fs_file *file, const void *data, size_t len, uint64_t offset);

/* open.c */
void wal__mark(struct wal *w, uint64_t now_us);
int wal__vote_is_missing(struct dkv_error *err);

/* spare.c */
void wal__make_spares(struct wal *w);
bool wal__take_spare(struct wal *w, struct wal__spare *spare_out);
void wal__recycled_path(char to[WAL__PATH_MAX], uint64_t id);
void wal__spare_path(char to[WAL__PATH_MAX], uint64_t id);
int wal__find_spares(struct wal *w);
/* Blocking, at the start: makes one if none is ready. */
int wal__first_spare(struct wal *w);
void wal__close_spares(struct wal *w);

/* base.c */
int wal__base_read(struct fs *fs, const struct wal_identity *identity, struct wal__base *base_out,
                   struct dkv_error *err);
int wal__base_write(struct fs *fs, const struct wal_identity *identity,
                    const struct wal__base *base);
int wal__base_create(struct fs *fs, const struct wal_identity *identity); /* a whole log */

/* recover.c: fills in segments, base, last and durable index.  Blocking. */
int wal__recover(struct wal *w, struct wal_recovery *recovery_out, struct dkv_error *err);
int wal__is_new(struct fs *fs, bool *is_new_out); /* no segment and no base */

/* compact.c */
void wal__remove_before(struct wal *w, uint64_t seq);
void wal__free_compaction(struct wal *w);

#endif
