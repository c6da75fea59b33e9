/* The LMDB environment of one store: its directory, its lock, its state record, its values.
 *
 * Three named databases: two that hold content, of which the state record names the active one (a
 * restore fills the other and then turns the record), and `meta` with that record.  The record
 * {format, applied index, active database} is written by env_commit() and by nothing else, in the
 * transaction that holds the data it speaks of.
 *
 * Any thread may call what takes a transaction, as long as one transaction stays on one thread. */
#ifndef LMDB_ENV_H
#define LMDB_ENV_H

#include <lmdb.h>
#include <stdbool.h>

#include "dkv/storage.h"

#define ENV_FORMAT    1u
#define ENV_KEY_MAX   511u
#define ENV_VALUE_MAX ((uint64_t)16 * 1024 * 1024)

struct env_state {
    uint64_t index;
    unsigned active; /* 0 or 1 */
};

struct env {
    MDB_env *mdb;
    MDB_dbi content[2];
    MDB_dbi meta;
    int lock_fd;
    bool always_sync;
    const struct dkv_host *host;
};

struct env_config {
    const char *path;
    uint64_t map_size;
    unsigned max_readers;
    bool always_sync; /* without MDB_NOMETASYNC */
    const struct dkv_host *host;
};

enum { LOG_LEVEL_INFO = 1, LOG_LEVEL_WARNING = 2, LOG_LEVEL_ERROR = 3 }; /* of dkv_host.log */

/* The only place where an LMDB (or errno) code becomes a status. */
int lmdb_status(int code);

int error_set(struct dkv_error *err, int status, const char *fmt, ...) DKV_PRINTF(3, 4);
void host_log(const struct dkv_host *host, int level, const char *fmt, ...) DKV_PRINTF(3, 4);

int env_open(struct env *env, const struct env_config *config, struct env_state *state_out,
             struct dkv_error *err);
void env_close(struct env *env);

/* Commits a write transaction; the only function that does.  With a state the record changes in
 * the same transaction, NULL leaves it as it is.  The transaction is gone afterwards either way.
 * Returns an LMDB code. */
int env_commit(struct env *env, MDB_txn *txn, const struct env_state *state);

/* Brings the newest commit's root to the disk, which MDB_NOMETASYNC leaves to the next commit.
 * Returns an LMDB code. */
int env_sync(struct env *env);

/* A stored value is the checksum of key and value, then the value: LMDB has none of its own. */
#define VALUE_HEADER sizeof(uint64_t)
void value_seal(void *stored, struct dkv_slice key, struct dkv_slice value);
/* DKV_ECORRUPT is logged here, by length and checksum of the key. */
int value_check(const struct env *env, const MDB_val *key, const MDB_val *stored,
                struct dkv_slice *value_out);

#endif
