/* The replicated state machine: committed log entries in, one atomic storage batch out.
 *
 * Lives on the storage plugin's home thread.  It judges conditions, gives revisions and keeps the
 * digest and the number of keys, so that plugins only hold bytes and cannot disagree.  Nothing
 * here depends on time, chance or local limits: the same entries give the same state on every
 * replica (storage rule 7).  The digest is written in the same storage batch as the data it
 * describes (rule 1). */
#ifndef KV_MACHINE_H
#define KV_MACHINE_H

#include "dkv/storage.h"
#include "kv/command.h"
#include "kv/record.h"
#include "raft/types.h"

/* What the state is after `index`. */
struct kv_state {
    uint64_t index, term; /* of the last entry that was applied */
    struct kv_digest digest;
    uint64_t keys;
};

/* A run of committed entries.  The caller owns it, its entries and results until done(). */
struct kv_batch {
    const struct raft_entry *entries; /* consecutive, in order */
    size_t count;
    struct kv_result *results;                        /* out; count of them */
    struct kv_state state;                            /* out */
    void (*done)(struct kv_batch *batch, int status); /* on the home thread */
};

struct kv_machine;

enum {
    KV_EFOREIGN = -2201
}; /* the state in the store is another cluster's, or of another version */

struct kv_machine_config {
    uint64_t hash_key[2]; /* secret and random */
    uint8_t cluster_id[16];
};

/* Home thread.  Reads the state that the store has; borrows the store.  The reader is the
 * machine's own and is opened on `home`.  DKV_ECORRUPT if the store's content is not a machine's,
 * KV_EFOREIGN if it is that of a machine of another cluster or version. */
int kv_machine_open(struct dkv_store *store, struct event_base *home,
                    const struct kv_machine_config *config, struct kv_machine **machine_out,
                    struct dkv_error *err);
/* Closes all that has to be closed before the store is, except for the batch that the store has under
 * way: closing the store ends it.  Nothing may be applied after. */
void kv_machine_seal(struct kv_machine *machine);
/* The machine is not in use: either no batch is under way, or it was sealed and the store closed. */
void kv_machine_close(struct kv_machine **machine);

/* One batch at a time.  Returns a status, or DKV_PENDING and calls done() later.  Entries at or
 * below the applied index are skipped and get KV_OUTCOME_NONE.  Any error is for the whole batch:
 * the node must not go on to the next entry.  DKV_ECORRUPT: an entry this version cannot read. */
int kv_machine_apply(struct kv_machine *machine, struct kv_batch *batch);

const struct kv_state *kv_machine_state(const struct kv_machine *machine);

/* After the store's content was replaced (a snapshot was restored). */
int kv_machine_reload(struct kv_machine *machine, struct dkv_error *err);

#endif
