/* A deterministic world for Raft cores: any number of them, a virtual clock, a network that loses,
 * delays, reorders, duplicates and partitions, disks that are slow and lose in a crash what was not
 * synced, a state machine, snapshots and compaction.  One seed makes one run, byte for byte;
 * world_trace() is its fingerprint.  The invariants are checked while it runs (check.c); the first
 * one that does not hold ends the process with its name, the seed and the time.
 *
 * Single-threaded; the tests own everything and look into it. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "base/blob.h"
#include "base/rng.h"
#include "raft/raft.h"

#define NODES_MAX 9
#define ID(n)     ((raft_id)(n) + 1) /* node number to id */

struct log_entry {
    raft_term term;
    uint32_t type;
    uint64_t hash;
    struct blob *blob; /* NULL = no payload */
};

/* Entries prev+1 .. prev+count. */
struct log {
    raft_index prev;
    raft_term prev_term;
    struct log_entry *at;
    uint64_t count, max;
};

struct snapshot {
    raft_index index;
    raft_term term;
    uint64_t state;
    struct raft_members members;
};

/* One ordered operation of a disk: a ticket, or an install (ticket 0). */
struct disk_op {
    uint64_t ticket;
    bool hard_changed;
    struct raft_hard_state hard;
    raft_index truncate_from;
    raft_index first;
    struct log_entry *entries;
    uint32_t count;
    struct snapshot *install;
    uint64_t done_us;
};

struct proposal {
    raft_index index;
    raft_term term;
};

struct read {
    uint64_t context;
    raft_index required; /* everything acknowledged before it was asked */
    raft_index index;    /* 0 = no answer yet */
    bool is_open;
};

struct sending { /* a snapshot under way to a peer */
    bool is_active;
    uint64_t number;
    raft_index index;
};

struct node {
    struct raft *raft;
    bool is_up;
    uint64_t epoch; /* of starts: events of an older one are void */
    uint32_t flags; /* of the member */
    uint64_t deadline_us;
    bool poll_pending;

    struct log wal;  /* as written by this process */
    struct log disk; /* as it would be found after a crash */
    struct raft_hard_state disk_hard;
    struct snapshot snapshot; /* durable */
    struct disk_op *ops;
    uint32_t ops_count, ops_max;
    uint64_t disk_busy_us; /* the disk does nothing until then */

    raft_index applied;
    uint64_t state;
    raft_index applying_last;
    struct snapshot *incoming; /* received, being installed */

    struct proposal *proposals;
    uint32_t proposals_count, proposals_max;
    struct read *reads;
    uint32_t reads_count, reads_max;
    struct sending sending[NODES_MAX];

    /* for the invariants */
    uint32_t role;
    raft_term term_seen;
    raft_index commit_seen, applied_seen;
};

struct world_config {
    uint32_t nodes;
    uint8_t flags[NODES_MAX]; /* 0 = voter */
    struct raft_config raft;  /* self and seed are set by the world */
    uint64_t delay_min_us, delay_max_us, disk_min_us, disk_max_us;
    uint32_t compact_every; /* entries between snapshots; 0 = none */
};

struct ledger_entry { /* what is committed, for all time */
    raft_term term;
    uint64_t hash, state;
    raft_term commit_term; /* of the leader that first knew */
};

struct world {
    uint64_t seed;
    struct world_config config;
    struct rng rng;
    uint64_t now_us, events_count;
    uint64_t trace; /* running hash of everything that happened */
    bool verbose;
    struct node nodes[NODES_MAX];
    struct raft_members members;

    /* network */
    bool cut[NODES_MAX][NODES_MAX];         /* from, to */
    uint64_t slow_us[NODES_MAX][NODES_MAX]; /* from, to: on top of the usual delay, up to that */
    uint32_t loss_ppm, duplicate_ppm;

    struct event *queue; /* binary heap by time, then number */
    uint32_t queue_count, queue_max;
    uint64_t event_last, sending_last, context_last;

    /* checks */
    struct ledger_entry *ledger; /* [i - 1] */
    raft_index ledger_count, ledger_max;
    raft_id *leaders; /* by term */
    uint64_t leaders_max;
    struct content *contents; /* hash table (index, term) -> content */
    uint64_t contents_count, contents_max;
    struct vote *votes;
    uint32_t votes_count, votes_max;
    raft_index acknowledged; /* the highest index any client has seen the effect of */
    uint64_t writes_acked, reads_done, elections, crashes, installs;
};

struct content {
    raft_index index;
    raft_term term, prev_term;
    uint64_t hash;
};

struct vote {
    raft_id node, vote;
    raft_term term;
};

struct world *world_new(uint64_t seed, const struct world_config *config);
void world_free(struct world **w);
void world_run(struct world *w, uint64_t for_us);
uint64_t world_trace(const struct world *w);

/* What a test or a schedule does to it. */
void world_crash(struct world *w, uint32_t n);
void world_start(struct world *w, uint32_t n);
int world_propose(struct world *w, uint32_t n, uint32_t count, uint32_t len_max);
void world_read(struct world *w, uint32_t n);
void world_event(struct world *w, uint32_t n, struct raft_event event); /* any other, then a poll */
void world_heal(struct world *w);                                       /* network only */
void world_isolate(struct world *w, uint32_t n);
void world_snapshot(struct world *w, uint32_t n); /* of the applied state; compacts behind it */
int world_leader(const struct world *w);          /* of the highest term, -1 = none */
bool world_is_settled(const struct world *w);     /* one leader, equal states, nothing open */

/* Shared by the files of the simulator. */
_Noreturn void world__fail(const struct world *w, const char *what, uint32_t n);
void world__trace(struct world *w, uint64_t value);
uint64_t world__mix(uint64_t h, uint64_t v);
int world__step(struct world *w, uint32_t n, struct raft_event *event);
void world__poll(struct world *w, uint32_t n);
void world__send_packets(struct world *w, uint32_t n, const struct raft_output *out);
void world__send_snapshots(struct world *w, uint32_t n, const struct raft_output *out);

struct event {
    uint64_t at_us, number;
    uint32_t type, node;
    uint64_t epoch; /* 0 = any */
    struct raft_message message;
    struct raft_entry *entries; /* owned */
    struct snapshot *snapshot;  /* owned */
    uint64_t a, b, c;
};
enum {
    EV_PACKET,
    EV_DISK,
    EV_APPLY,
    EV_POLL,
    EV_FETCHED,
    EV_CHUNK,    /* a: from, b: term, c: number of the sending */
    EV_SNAPSHOT, /* same, the last one */
    EV_SENT,     /* a: peer, b: number, c: ok */
};
void world__schedule(struct world *w, struct event e);
struct event world__pop(struct world *w);
void world__free_event(struct event *e);
void world__on_snapshot_event(struct world *w, struct event *e);

uint64_t log__last(const struct log *l);
raft_term log__term(const struct log *l, raft_index index);
const struct log_entry *log__at(const struct log *l, raft_index index);
void log__append(struct log *l, const struct log_entry *e);
void log__truncate(struct log *l, raft_index from);
void log__compact(struct log *l, raft_index index);
void log__reset(struct log *l, raft_index index, raft_term term);
void disk__submit(struct world *w, uint32_t n, struct disk_op op);
void disk__work(struct world *w, uint32_t n, bool crash);
void disk__crash(struct world *w, uint32_t n);

void check__append(struct world *w, uint32_t n, raft_index index);
void check__applied(struct world *w, uint32_t n);
void check__output(struct world *w, uint32_t n, const struct raft_output *out);
void check__message(struct world *w, uint32_t n, const struct raft_message *m);
void check__vote_durable(struct world *w, uint32_t n);
void check__apply(struct world *w, uint32_t n, raft_index index, const struct log_entry *e);

#endif
