/* The folder of snapshot files: which there are, and which of them a start can use.
 *
 * Every call may block: a job's, or a start's. */
#ifndef NODE_SNAPSHOT_FOLDER_H
#define NODE_SNAPSHOT_FOLDER_H

#include "base/env.h"
#include "wal/wal.h"

enum { SNAPSHOT_PATH_MAX = 64, SNAPSHOT_FILES_KEPT = 2 };
#define SNAPSHOT_DIR      "snap"
#define SNAPSHOT_SAVE_TMP "snap/save.tmp"
#define SNAPSHOT_RECV_TMP "snap/receive.tmp"

/* One complete, verified file. */
struct snapshot_file {
    raft_index index; /* 0: none */
    raft_term term;
};

struct snapshot_found {
    struct snapshot_file newest; /* that is intact and lies in the log */
    raft_index older;            /* of the one before, which is not looked into; 0: none */
    /* The newest that lies in the log, if it cannot be used, and why; else "". */
    char damaged[SNAPSHOT_PATH_MAX];
    struct dkv_error damage;
};

void snapshot__path(char to[SNAPSHOT_PATH_MAX], const struct snapshot_file *file);
/* Makes the temporary file the newest and removes those that are too old.  What a start needs,
 * keep_from, and all later ones stay: one that was received is of no use to a start before the log
 * begins after it, and that may never happen. */
int snapshot__publish(struct fs *fs, const char *temporary, const struct snapshot_file *file,
                      raft_index keep_from);
/* DKV_ENOTSUP: one of a newer format lies in the log; err says which. */
int snapshot__find(struct fs *fs, const struct wal_recovery *log, struct snapshot_found *found_out,
                   struct dkv_error *err);
/* At a start: removes what a crash has left of one that was made, received, or installed but is not in
 * the log. */
void snapshot__remove_strays(struct fs *fs, const struct wal_recovery *log);

#endif
