/* All of a node's connections to its peers, by node id.
 *
 * Raft thread.  Nothing here queues without a limit: frames for a peer that is away or slow are
 * dropped and counted, for Raft repeats what matters. */
#ifndef NET_CLUSTER_H
#define NET_CLUSTER_H

#include "net/inbound.h"
#include "net/link.h"

#define NET_PEERS_MAX 63

struct cluster;

struct cluster_config {
    struct env *env;
    struct event_base *base;
    struct dkv_transport *transport;
    struct net_hello hello; /* ours; `to` is ignored */
    const char *listen_address;
    size_t queue_bytes_max;
    uint32_t members_count; /* for the limit of connections that others make */
    void *ctx;
    void (*ready)(void *ctx, uint64_t peer_id);
    void (*lost)(void *ctx, uint64_t peer_id);
    void (*refused)(void *ctx, uint64_t peer_id, const struct net_hello_answer *answer);
    void (*greet)(void *ctx, const struct net_hello *hello, struct net_hello_answer *answer_out);
    void (*frame)(void *ctx, uint64_t from, uint8_t type, struct blob *payload);
    void (*note)(void *ctx, const char *text);
};

/* Listens at once; DKV_EUNAVAIL when the address is in use. */
int cluster_open(const struct cluster_config *config, struct cluster **cluster_out,
                 struct dkv_error *err);
void cluster_close(struct cluster **cluster);

void cluster_add(struct cluster *cluster, uint64_t peer_id, const char *name, const char *address);

/* What hellos from now on say that this node has met. */
void cluster_set_known(struct cluster *cluster, const struct net_known *known, uint32_t count);
bool cluster_is_ready(const struct cluster *cluster, uint64_t peer_id);
/* False if the frame was dropped. */
bool cluster_send(struct cluster *cluster, uint64_t peer_id, enum frame_type type,
                  const struct buf *payload);
/* Once at the end of the loop's turn: at most one write for each peer. */
void cluster_flush(struct cluster *cluster);

#endif
