/* What the REST API needs from the node it speaks for: a table that core/node fills in, and that
 * tests fill in with a fake.
 *
 * One backend for each thread that serves REST; all calls and completions happen on that thread.
 * Requests are caller-owned, completions come exactly once and never before the call returns. */
#ifndef API_BACKEND_H
#define API_BACKEND_H

#include "api/access.h"
#include "base/list.h"
#include "kv/reader.h"

struct blob;
struct api_backend;

#define API_NAME_MAX    64
#define API_ADDRESS_MAX 262 /* host name, colon, port, NUL */
#define API_MEMBERS_MAX 64

/* Outcomes of writes and barriers:
 *   DKV_OK          done; a write's result is valid
 *   DKV_EUNAVAIL    no leader was found in time; certainly not done
 *   DKV_EUNCERTAIN  sent, but the answer did not come in time: may have happened
 *   DKV_ENOSPC      the disk or the quota is full; certainly not done
 *   DKV_ENOMEM      too much is waiting already; certainly not done
 *   DKV_ECANCELED   the node is stopping; certainly not done */
struct api_write {
    struct list link;     /* the backend's */
    uint64_t accepted_us; /* the backend's */
    uint64_t deadline_us; /* the backend's */
    uint64_t ticket;      /* the backend's */
    uint64_t relayed_to;  /* the backend's: the node that was asked to do it */
    void *home;           /* the backend's */
    struct blob *command; /* kv/command.h; the backend takes the reference */
    void (*done)(struct api_write *write);
    void (*home_done)(struct api_write *write); /* the backend's */
    int status;                                 /* out */
    struct kv_result result;                    /* out */
};

/* Completes when this node's storage has everything that was committed when barrier() was called:
 * a local read is linearizable then. */
struct api_barrier {
    struct list link;
    uint64_t deadline_us;
    uint64_t wait_max_us; /* in: less than http.request_timeout; 0 for just that */
    uint64_t index;
    void *home; /* the backend's */
    void (*done)(struct api_barrier *barrier);
    void (*home_done)(struct api_barrier *barrier); /* the backend's */
    int status;                                     /* out */
};

enum api_role { API_ROLE_FOLLOWER, API_ROLE_PRE_CANDIDATE, API_ROLE_CANDIDATE, API_ROLE_LEADER };

struct api_member {
    char name[API_NAME_MAX];
    char peer[API_ADDRESS_MAX];
    char http[API_ADDRESS_MAX]; /* "" until the member has told */
    char storage[32];           /* "" until the member has told */
    bool is_voter, is_leader, is_reachable, is_sending_snapshot;
    uint64_t match_index, applied_index, lag;
};

/* This node's own view, consistent in itself: the digest is that of the state at applied_index. */
struct api_node_view {
    char name[API_NAME_MAX];
    char leader[API_NAME_MAX]; /* "" if unknown */
    char storage[32];
    uint8_t cluster_id[16];
    enum api_role role;
    uint64_t term, commit_index, applied_index, keys;
    struct kv_digest digest;
    bool is_stopping, is_restoring, is_disk_full;
    uint64_t turn_age_us; /* since the raft loop last turned */
    /* Since this node last heard the leader; 0 if it leads, UINT64_MAX if it never did. */
    uint64_t contact_age_us;
};

struct api_cluster_view {
    uint8_t cluster_id[16];
    char leader[API_NAME_MAX];
    uint64_t term, commit_index;
    uint32_t members_count;
    struct api_member members[API_MEMBERS_MAX];
};

/* The leader's view, asked for over the network if this node is not the leader. */
struct api_cluster_query {
    struct list link;
    uint64_t deadline_us;
    uint64_t ticket;
    bool is_asked;
    void *home; /* the backend's */
    void (*done)(struct api_cluster_query *query);
    void (*home_done)(struct api_cluster_query *query); /* the backend's */
    int status;                   /* out: DKV_OK, DKV_EUNAVAIL, DKV_ECANCELED */
    struct api_cluster_view view; /* out */
};

struct api_backend_ops {
    void (*write)(struct api_backend *backend, struct api_write *write);
    void (*barrier)(struct api_backend *backend, struct api_barrier *barrier);
    void (*cluster)(struct api_backend *backend, struct api_cluster_query *query);
    /* At once, from what the raft thread last published. */
    void (*node_view)(struct api_backend *backend, struct api_node_view *view_out);
    /* The members this node knows, itself among them; no indexes. */
    void (*members)(struct api_backend *backend, struct api_cluster_view *view_out);
};

struct api_backend {
    const struct api_backend_ops *ops;
    struct kv_reader *reader; /* of this thread */
    /* Asks the thread's loop to call api_turn soon, after what else is ready had its turn. */
    void (*turn_wanted)(struct api_backend *backend);
    const struct api_access *access;
    uint32_t key_max; /* bytes; the cluster's limits */
    uint32_t value_max;
    uint64_t request_timeout_us; /* of a request that is made of several writes */
};

#endif
