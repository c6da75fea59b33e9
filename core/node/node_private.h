/* Private to core/node/node*.c: everything a running daemon consists of, in the order in which it
 * is opened. */
#ifndef NODE_NODE_PRIVATE_H
#define NODE_NODE_PRIVATE_H

#include <event2/event.h>

#include "conf/conf.h"
#include "net/cluster.h"
#include "node/applier.h"
#include "node/daemon_env.h"
#include "node/datadir.h"
#include "node/exchange.h"
#include "node/identity.h"
#include "node/node.h"
#include "node/plugins.h"
#include "node/replica.h"
#include "node/rest.h"
#include "node/status_board.h"
#include "node/worker.h"

enum { NODE_WORKERS_MAX = 64, NODE_SIGNALS = 4 /* TERM, INT, USR1, HUP */ };

enum node_stop {
    NODE_RUNNING,
    NODE_RESIGNING, /* leadership is handed over */
    NODE_DRAINING,  /* what clients have asked is finished */
    NODE_STOPPED
};

struct node {
    struct conf *conf;
    const struct settings *settings;
    struct identity identity;

    struct datadir *datadir; /* NULL with --dev */
    struct plugins plugins;
    struct daemon_env *env;
    struct event_base *base, *apply_base; /* apply_base: NULL if folded */
    struct event *timer, *mail_events[2 + EXCHANGE_KINDS], *signals[NODE_SIGNALS];
    struct applier *applier;
    struct kv_state state; /* of the storage, at start */
    struct replica *replica;
    struct cluster *cluster; /* NULL: this node is alone */
    struct exchange from_workers;
    bool has_exchange;
    struct status_board board;
    struct rest *rest; /* threads.workers = 0 */
    struct worker *workers[NODE_WORKERS_MAX];
    size_t workers_count;
    uint32_t connections_max; /* of clients, for each server */

    /* Incarnations of the other members, as first met; and the job that writes them down. */
    struct datadir_peer known[DATADIR_PEERS_MAX];
    uint32_t known_count;
    uint64_t refused_by; /* a bit for each member that says that this is another cluster */
    struct env_job known_job;
    struct datadir_peer known_copy[DATADIR_PEERS_MAX];
    uint32_t known_copy_count;
    bool known_is_dirty, known_is_busy;

    uint64_t told_roles;
    char role_text[192]; /* for the service manager and for a failed assertion */

    /* SIGHUP. */
    const struct node_source *source;
    struct env_job reload_job;
    struct conf *reload_conf, *latest; /* being judged; the last that was adopted, NULL: n->conf */
    bool reload_is_wanted, reload_is_busy;

    enum node_stop stop;
    uint64_t stop_deadline_us;
    bool rest_is_drained;
    int exit_code;
};

/* node_loop.c */
struct event_base *node__new_base(void); /* for one thread; cannot fail */
void node__open_loop(struct node *n);
void node__close_loop(struct node *n);
void node__watch_mail(struct node *n);
void node__run_loop(struct node *n);
void node__stop(struct node *n, int exit_code);

/* node_reload.c */
void node__reload(struct node *n); /* answers in the log, later */

/* node_peers.c */
extern const struct replica_ops node__replica_ops;
int node__open_peers(struct node *n, struct dkv_error *err);

/* node_backend.c */
void node__tell_role(struct node *n);
extern const struct api_backend_ops node__local_ops;              /* for REST on the raft thread */
bool node__take_requests(struct node *n);                         /* from the workers */
void node__node_view(void *ctx, struct api_node_view *view_out);  /* any thread */
void node__members(void *ctx, struct api_cluster_view *view_out); /* any thread */
void node__publish(struct node *n);

#endif
