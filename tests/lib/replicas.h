/* Up to three real replicas in one process: a virtual clock, disks in memory, storage that applies
 * at once, and frames that travel when the test says so.  The node's own code runs, all of it that
 * is pure; only the loop, the sockets and the plugins are not there. */
#ifndef TESTS_REPLICAS_H
#define TESTS_REPLICAS_H

#include "base/buf.h"
#include "env_test.h"
#include "fake_store.h"
#include "fs_mem.h"
#include "kv/machine.h"
#include "node/replica.h"

enum { REPLICAS_MAX = 3, FRAMES_MAX = 4096, FRAME_TYPES = 16 };
#define T_US          ((uint64_t)400 * 1000)  /* election timeout */
#define LOG_SIZE      ((uint64_t)16 << 10)    /* a longer log is cut */
#define CHUNK         ((uint32_t)4 << 10)     /* of snapshots */
#define TIMEOUT_US    ((uint64_t)3000 * 1000) /* of requests */
#define REPLICA_ID(n) ((raft_id)(n) + 1)

struct replicas;

/* Bugs that a test of promises must see. */
enum replicas_sabotage {
    SABOTAGE_NONE,
    SABOTAGE_DISK,    /* what is synced is not: a power cut takes all since the start */
    SABOTAGE_STORAGE, /* forgets a key now and then */
    SABOTAGE_RESTORE, /* a restored snapshot lacks a key */
    SABOTAGE_COUNT
};

struct replicas_node {
    struct replicas *all;
    struct env_test e;
    struct fs *fs;
    struct fake_store *store;
    struct kv_machine *machine;
    struct replica *replica; /* NULL: not running */
    struct list applies;
    struct fake_store *synced; /* what a power cut leaves of storage that is not in memory */
    struct fs *disk_at_start;  /* for SABOTAGE_DISK */
    bool may_stop;             /* its disk may fail: it does nothing more once it says so */
    bool is_storage_slow;      /* applies nothing */
    bool is_storage_full;      /* takes no entries, */
    bool has_no_room;          /* and no snapshot */
    bool is_sync_failing;      /* for lack of space: does not say how far it is durable */
    bool is_disk_slow;         /* does no job */
    bool is_background_slow;   /* does no slow job: those of the log go on */
    bool has_log;
};

struct replicas_frame {
    uint32_t from, to;
    uint8_t type;
    struct blob *payload;
};

struct replicas {
    bool is_in_memory; /* storage forgets when its node is killed */
    bool is_jittery;   /* a turn does some of what it could do, by chance */
    struct rng rng;    /* of the jitter */
    enum replicas_sabotage sabotage;
    uint64_t log_size; /* a longer log is cut, from the next start on; LOG_SIZE at first */
    uint64_t now_us;
    uint32_t count;
    struct replicas_node nodes[REPLICAS_MAX];
    struct replica_member members[REPLICAS_MAX];
    struct replicas_frame frames[FRAMES_MAX]; /* under way, a ring */
    uint32_t first, used;
    bool cut[REPLICAS_MAX][REPLICAS_MAX]; /* from, to: frames vanish, nobody is told */
    bool drops[FRAME_TYPES];              /* frames of this type vanish */
    bool doubles[FRAME_TYPES];            /* arrive twice */
    bool damages[FRAME_TYPES];            /* their last byte changes on the way */
    bool swaps[FRAME_TYPES];              /* overtake the one before, of the same two nodes */
    unsigned sent[FRAME_TYPES];
    size_t longest[FRAME_TYPES]; /* payload */
};

/* Running, nobody leads yet. */
struct replicas *replicas_new(uint32_t count);
struct replicas *replicas_new_in_memory(uint32_t count);
void replicas_free(struct replicas *all);
void replicas_start(struct replicas *all, uint32_t n);
/* A start that may be refused: then it answers the exit code, err says why, and the node does not run;
 * 0: it runs. */
int replicas_try_start(struct replicas *all, uint32_t n, struct dkv_error *err);
/* As a killed process: the disk stays, and so does storage that is not in memory; connections
 * break. */
void replicas_kill(struct replicas *all, uint32_t n);
/* In the middle of what it does; the disk and the storage lose what was not synced. */
void replicas_power_cut(struct replicas *all, uint32_t n, enum fs_mem_crash_mode mode,
                        uint64_t seed);
void replicas_cut(struct replicas *all, uint32_t n, bool is_cut); /* from all others */

/* A turn of each node, and all frames arrive; false if nothing is left to do. */
bool replicas_step(struct replicas *all);
/* All that can happen now; time stands still. */
void replicas_settle(struct replicas *all);
void replicas_run(struct replicas *all, uint64_t us);
uint32_t replicas_leader(struct replicas *all); /* waits for one */
struct api_node_view replicas_view(const struct replicas *all, uint32_t n);

struct client_write {
    struct api_write write;
    unsigned done; /* how often it was answered: once at most */
};
/* As replicas_write, but only if there is no such key. */
void replicas_create(struct replicas *all, uint32_t n, struct client_write *w, const char *key,
                     const char *value);
void replicas_write(struct replicas *all, uint32_t n, struct client_write *w, const char *key,
                    const char *value);
struct client_read {
    struct api_barrier barrier;
    unsigned done;
};
/* It may wait for that long; 0 for as long as any request. */
void replicas_read_within(struct replicas *all, uint32_t n, struct client_read *r,
                          uint64_t wait_max_us);
void replicas_read(struct replicas *all, uint32_t n, struct client_read *r);

#endif
