/* The data directory: who it belongs to, and that nobody else uses it.
 *
 *   FORMAT   "dkv data 1": the newest layout this directory needs
 *   NODE     name, incarnation, cluster, first members, whether there is a log: "key = value" lines
 *   PEERS    incarnations of the other members as first met, "id incarnation" a line
 *   LOCK     held while a daemon runs
 *   wal/ snap/ store/<plugin>/
 *
 * Opened at the start of the process; datadir_learn_peer runs inside an env job. */
#ifndef NODE_DATADIR_H
#define NODE_DATADIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fs.h"

#define DATADIR_NAME_MAX         64
#define DATADIR_MEMBERS_TEXT_MAX 8192
#define DATADIR_PEERS_MAX        64

struct datadir_identity {
    char node_name[DATADIR_NAME_MAX];
    char cluster_name[DATADIR_NAME_MAX];
    uint8_t cluster_id[16];
    uint64_t incarnation; /* random; another one for a directory that was emptied */
    bool has_log;         /* the first start has made vote file and log */
    char members[DATADIR_MEMBERS_TEXT_MAX]; /* cluster.peers as of the first start */
};

struct datadir_peer {
    uint64_t id, incarnation;
};

struct datadir;

/* Creates the directory (0700) if absent, locks it, and reads or makes its identity.  `identity`
 * says what to write into a new directory; on return it holds what the directory says.  On failure
 * *exit_code_out is 65 (another node's or cluster's, or a newer format), 69 (another dkvd runs on
 * it), 74 (I/O), 77 (permission) or 78 (a file system that loses data), and err says what to do. */
int datadir_open(const char *path, bool allow_any_fs, struct datadir_identity *identity,
                 struct datadir **dir_out, int *exit_code_out, struct dkv_error *err);
void datadir_close(struct datadir **dir);

/* What a start would find, without changing or locking anything: as datadir_open, and 69 while a
 * daemon runs on it, 70 for a NODE that makes no sense. */
int datadir_inspect(const char *path, struct fs *fs, struct datadir_identity *identity_out,
                    int *exit_code_out, struct dkv_error *err);

/* Reads NODE; locks nothing.  DKV_ECORRUPT if it makes no sense. */
int datadir_read_identity(struct fs *fs, struct datadir_identity *identity_out);

/* The log was opened: from now on a start without one is refused.  Once is enough. */
int datadir_note_log(struct datadir *dir, struct datadir_identity *identity);

struct fs *datadir_fs(struct datadir *dir); /* borrowed; its root is the directory */
const char *datadir_path(const struct datadir *dir);

/* Peers as far as known; count_out <= DATADIR_PEERS_MAX. */
int datadir_read_peers(struct fs *fs, struct datadir_peer *peers_out, uint32_t *count_out,
                       struct dkv_error *err);
/* Replaces PEERS durably. */
int datadir_write_peers(struct fs *fs, const struct datadir_peer *peers, uint32_t count);

#endif
