/* Private to core/wal: term and vote, in two copies of one file.
 *
 * Each copy is a block of its own and is synced before the other is touched, so at rest both are
 * equal and any single damage leaves the newest.  Blocking: inside a job, or at the start. */
#ifndef WAL_VOTE_H
#define WAL_VOTE_H

#include "raft/types.h"
#include "wal/wal.h"

#define WAL__VOTE_PATH "wal/vote"

struct wal__vote {
    struct fs_file *file;
    uint64_t gen; /* of the last write */
    int older;    /* the copy that is written first: never the only good one */
    struct raft_hard_state hard;
};

/* Creates the file with term 0 if it is absent and may_create.  DKV_ENOENT: absent. WAL_EDAMAGED:
 * no copy verifies.  WAL_EFOREIGN: another node's. */
int wal__vote_open(struct fs *fs, const struct wal_identity *identity, bool may_create,
                   bool may_write, struct wal__vote *vote_out, struct dkv_error *err);
int wal__vote_write(struct wal__vote *vote, const struct wal_identity *identity,
                    const struct raft_hard_state *hard);
void wal__vote_close(struct wal__vote *vote);

#endif
